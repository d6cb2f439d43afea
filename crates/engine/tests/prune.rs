//! Prune lets go of what no rule keeps, and of nothing else, whatever happens in between.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::panic,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use heirloom_engine::EngineError;
use heirloom_engine::check::{self, CheckOptions};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::prune::{self, GRACE_MS, KeepRules, PruneOutcome, PrunePlan};
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::faulty::FaultyStore;
use heirloom_engine::store::memory::MemoryStore;
use heirloom_engine::store::{Listed, Put, Store, StoreError};
use rand_core::UnwrapErr;
use support::{Lcg, Made, Run, TestReader, back_up, canon, canon_of_source, shrink, writer};

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_700_000_000_000;
const LAST: KeepRules = KeepRules {
    last: 1,
    daily: 0,
    weekly: 0,
    monthly: 0,
    yearly: 0,
};

fn day(number: i64) -> Run {
    Run {
        now_ms: START_MS + number * DAY_MS,
        ..Run::default()
    }
}

fn locked(number: i64) -> Run {
    Run {
        unlocked: false,
        ..day(number)
    }
}

fn open(store: &Arc<dyn Store>) -> Arc<Repository> {
    Arc::new(Repository::open(Arc::clone(store), TestReader::new(), None).unwrap())
}

fn plan(store: &Arc<dyn Store>, rules: KeepRules, now_ms: i64) -> PrunePlan {
    prune::plan(&open(store), &rules, now_ms).unwrap()
}

fn prune_at(
    store: &Arc<dyn Store>,
    rules: KeepRules,
    now_ms: i64,
) -> Result<PruneOutcome, EngineError> {
    let repository = open(store);
    let plan = prune::plan(&repository, &rules, now_ms)?;
    prune::apply(
        &repository,
        plan,
        &writer(7),
        &mut UnwrapErr(getrandom::SysRng),
        &Silent,
    )
}

fn assert_whole(store: &Arc<dyn Store>, made: &mut Made, when: &str) {
    let repository = open(store);
    let outcome = check::run(
        &repository,
        &CheckOptions {
            read_data: Some(100),
        },
        &Silent,
    )
    .unwrap();
    assert!(
        outcome.problems.is_empty(),
        "{when}: {:#?}",
        outcome.problems
    );
    let read = canon(&mut repository.view(&Selection::Newest).unwrap())
        .unwrap_or_else(|error| panic!("{when}: {error:?}"));
    assert!(
        read == canon_of_source(made),
        "{when}: something is not as it was"
    );
}

fn grow(made: &mut Made, number: u64, messages: u64) {
    let mut rng = Lcg(number);
    for n in 0..messages {
        let at = 1_650_000_000_000 + i64::try_from(number * 100_000 + n).unwrap();
        let message = made.message(&mut rng, 500 + number, n, at);
        let conversation = usize::try_from(n).unwrap() % made.conversations.len();
        made.conversations[conversation].1.push(message);
    }
    shrink(made, 3000);
}

/// One snapshot a day; all conversations change each day.
fn daily(store: &Arc<dyn Store>, ledger: &MemoryLedger, days: i64) -> Made {
    let mut made = Made::new(21, 3, 300);
    shrink(&mut made, 3000);
    for number in 0..days {
        if number > 0 {
            grow(&mut made, u64::try_from(number).unwrap(), 6);
        }
        back_up(store, ledger, &mut made, &day(number)).unwrap();
    }
    made
}

#[test]
fn a_plan_changes_nothing_and_says_what_would_go_and_why() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    daily(&store, &MemoryLedger::new(), 10);
    let before = memory.objects();
    let plan = plan(
        &store,
        KeepRules {
            last: 2,
            weekly: 2,
            ..KeepRules::default()
        },
        START_MS + 10 * DAY_MS,
    );
    assert_eq!(memory.objects(), before);
    assert_eq!(plan.snapshots.len(), 10);
    assert!(
        plan.snapshots
            .is_sorted_by(|a, b| a.created_at > b.created_at)
    );
    assert!(plan.snapshots[0].keep && plan.snapshots[0].why.starts_with("newest"));
    assert!(plan.snapshots[1].keep && plan.snapshots[1].why.contains("one of the last 2"));
    assert!(
        plan.snapshots
            .iter()
            .filter(|choice| !choice.keep)
            .all(|choice| choice.why == "no rule keeps it")
    );
    let kept = plan.snapshots.iter().filter(|choice| choice.keep).count();
    assert!((3..=4).contains(&kept), "{kept}");
    assert!(plan.marked_objects > 0);
    assert_eq!((plan.swept_objects, plan.freed_bytes), (0, 0));
}

#[test]
fn objects_are_marked_first_and_deleted_after_the_grace_time() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let mut made = daily(&store, &MemoryLedger::new(), 6);
    let before = memory.objects();
    let now = START_MS + 6 * DAY_MS;
    let marked = prune_at(&store, LAST, now).unwrap();
    assert!(marked.marked_objects >= 10 && marked.swept_objects == 0);
    let after: Vec<String> = memory
        .objects()
        .into_keys()
        .filter(|name| !before.contains_key(name))
        .collect();
    assert!(
        after.len() == 1 && after[0].starts_with("prune/"),
        "{after:?}"
    );
    assert!(
        before
            .keys()
            .all(|name| memory.objects().contains_key(name))
    );
    assert_whole(&store, &mut made, "marked");

    let early = prune_at(&store, LAST, now + GRACE_MS - 1).unwrap();
    assert_eq!((early.marked_objects, early.swept_objects), (0, 0));
    assert_eq!(memory.objects().len(), before.len() + 1);

    let size = |objects: &BTreeMap<String, Vec<u8>>| objects.values().map(Vec::len).sum::<usize>();
    let large = size(&memory.objects());
    let swept = prune_at(&store, LAST, now + GRACE_MS).unwrap();
    assert_eq!(swept.swept_objects, marked.marked_objects);
    assert_eq!(
        size(&memory.objects()) as u64,
        large as u64 - swept.freed_bytes
    );
    assert!(swept.freed_bytes > 0);
    assert_whole(&store, &mut made, "swept");
    assert_eq!(open(&store).snapshots().unwrap().len(), 1);
    let again = prune_at(&store, LAST, now + 2 * GRACE_MS).unwrap();
    assert_eq!((again.marked_objects, again.swept_objects), (0, 0));
}

#[test]
fn every_snapshot_that_is_kept_restores_as_it_was() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = Made::new(22, 3, 200);
    shrink(&mut made, 3000);
    let mut states: BTreeMap<String, String> = BTreeMap::new();
    for number in 0..8 {
        grow(&mut made, 100 + u64::try_from(number).unwrap(), 5);
        let outcome = back_up(&store, &ledger, &mut made, &day(number)).unwrap();
        states.insert(outcome.snapshot, canon_of_source(&mut made));
    }
    let rules = KeepRules {
        last: 3,
        ..KeepRules::default()
    };
    prune_at(&store, rules, START_MS + 8 * DAY_MS).unwrap();
    // Days go by, with backups in between; each prune marks and sweeps.
    for number in 8..16 {
        grow(&mut made, 100 + u64::try_from(number).unwrap(), 5);
        let outcome = back_up(&store, &ledger, &mut made, &locked(number)).unwrap();
        states.insert(outcome.snapshot, canon_of_source(&mut made));
        prune_at(&store, rules, START_MS + number * DAY_MS + 1).unwrap();
        let repository = open(&store);
        let kept = repository.snapshots().unwrap();
        assert_eq!(kept.len(), 3, "day {number}");
        for info in kept {
            let mut view = Arc::clone(&repository)
                .view(&Selection::Snapshot(info.hash.clone()))
                .unwrap();
            assert!(
                canon(&mut view).unwrap() == states[&info.hash],
                "day {number}"
            );
        }
        assert_whole(&store, &mut made, &format!("day {number}"));
    }
    let snapshots = memory
        .objects()
        .keys()
        .filter(|name| name.starts_with("snapshots/"))
        .count();
    assert!(snapshots <= 3 + 4, "{snapshots} snapshots are left");
}

#[test]
fn the_newest_of_every_lineage_stays() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (one, two) = (MemoryLedger::new(), MemoryLedger::new());
    let mut made = Made::new(23, 2, 200);
    shrink(&mut made, 3000);
    back_up(&store, &one, &mut made, &day(0)).unwrap();
    back_up(
        &store,
        &two,
        &mut made,
        &Run {
            device: 8,
            ..day(1)
        },
    )
    .unwrap();
    grow(&mut made, 1, 8);
    back_up(
        &store,
        &two,
        &mut made,
        &Run {
            device: 8,
            ..day(2)
        },
    )
    .unwrap();
    let plan = plan(&store, KeepRules::default(), START_MS + 3 * DAY_MS);
    assert_eq!(
        plan.snapshots.iter().filter(|choice| choice.keep).count(),
        2
    );
    prune_at(&store, KeepRules::default(), START_MS + 3 * DAY_MS).unwrap();
    prune_at(
        &store,
        KeepRules::default(),
        START_MS + 3 * DAY_MS + GRACE_MS,
    )
    .unwrap();
    assert_eq!(open(&store).snapshots().unwrap().len(), 2);
    assert_whole(&store, &mut made, "swept");
}

#[test]
fn a_snapshot_that_is_marked_is_no_longer_offered() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 4);
    prune_at(&store, LAST, START_MS + 4 * DAY_MS).unwrap();
    assert_eq!(open(&store).snapshots().unwrap().len(), 1);
    // Even if the rules become wider, and although the objects are still there.
    grow(&mut made, 77, 9);
    back_up(&store, &ledger, &mut made, &locked(5)).unwrap();
    let plan = plan(
        &store,
        KeepRules {
            last: 10,
            ..KeepRules::default()
        },
        START_MS + 5 * DAY_MS,
    );
    assert_eq!(plan.snapshots.len(), 2);
    assert_whole(&store, &mut made, "between mark and deletion");
}

#[test]
fn a_prune_that_is_killed_at_any_delete_is_taken_up_again() {
    let memory = Arc::new(MemoryStore::new());
    let original: Arc<dyn Store> = Arc::clone(&memory) as _;
    let mut made = daily(&original, &MemoryLedger::new(), 6);
    let now = START_MS + 6 * DAY_MS;
    let unmarked = memory.objects();
    prune_at(&original, LAST, now).unwrap();
    let marked = memory.objects();
    for (objects, now) in [(unmarked, now), (marked, now + GRACE_MS)] {
        let mut done = false;
        for writes in 0.. {
            let inner: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(objects.clone()));
            let faulty: Arc<dyn Store> =
                Arc::new(FaultyStore::stopping_after(Arc::clone(&inner), writes));
            done = prune_at(&faulty, LAST, now).is_ok();
            assert_whole(&inner, &mut made, &format!("killed at write {writes}"));
            prune_at(&inner, LAST, now).unwrap();
            prune_at(&inner, LAST, now + GRACE_MS).unwrap();
            assert_whole(
                &inner,
                &mut made,
                &format!("after what was killed at write {writes}"),
            );
            assert_eq!(open(&inner).snapshots().unwrap().len(), 1);
            let left = inner
                .list("")
                .unwrap()
                .into_iter()
                .filter(|listed| listed.name.starts_with("snapshots/"))
                .count();
            assert_eq!(left, 1);
            if done {
                break;
            }
        }
        assert!(done);
    }
}

/// Packs of a run that stopped: nothing refers to them, and the ledger knows them.
fn orphan(
    store: &Arc<dyn Store>,
    ledger: &MemoryLedger,
    made: &mut Made,
    number: i64,
) -> Vec<String> {
    let packs = |store: &Arc<dyn Store>| {
        store
            .list("packs/")
            .unwrap()
            .into_iter()
            .map(|listed| listed.name)
            .collect::<Vec<_>>()
    };
    let before = packs(store);
    let faulty: Arc<dyn Store> = Arc::new(FaultyStore::stopping_after(Arc::clone(store), 2));
    back_up(&faulty, ledger, made, &locked(number)).unwrap_err();
    let new: Vec<String> = packs(store)
        .into_iter()
        .filter(|name| !before.contains(name))
        .collect();
    assert!(!new.is_empty());
    new
}

#[test]
fn a_backup_that_wants_a_marked_chunk_stores_it_again() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 2);
    grow(&mut made, 50, 60);
    let orphans = orphan(&store, &ledger, &mut made, 2);
    prune_at(&store, LAST, START_MS + 3 * DAY_MS).unwrap();
    let outcome = back_up(&store, &ledger, &mut made, &locked(4)).unwrap();
    assert_eq!(outcome.new.messages, 60);
    assert_whole(&store, &mut made, "backed up between mark and deletion");
    let swept = prune_at(&store, LAST, START_MS + 3 * DAY_MS + GRACE_MS).unwrap();
    assert!(swept.swept_objects > 0);
    for name in &orphans {
        assert!(
            !memory.objects().contains_key(name),
            "{name} was marked, and nothing needs it"
        );
    }
    assert_whole(&store, &mut made, "swept");
    for number in 8..14 {
        grow(&mut made, 50 + u64::try_from(number).unwrap(), 40);
        back_up(&store, &ledger, &mut made, &locked(number)).unwrap();
        assert_whole(&store, &mut made, &format!("day {number}"));
    }
}

/// A prune that had looked before the backup was there deletes after it: the backup does not need what was marked.
#[test]
fn a_prune_that_began_before_a_backup_and_ends_after_it_takes_nothing_from_it() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 2);
    let mut grown = made.clone();
    grow(&mut grown, 50, 60);
    orphan(&store, &ledger, &mut grown, 2);
    prune_at(&store, LAST, START_MS + 3 * DAY_MS).unwrap();
    // The marked packs stay in the index: what they hold was once listed.
    grow(&mut made, 51, 5);
    let now = START_MS + 3 * DAY_MS + GRACE_MS;
    let repository = open(&store);
    let plan = prune::plan(&repository, &LAST, now).unwrap();
    back_up(&store, &ledger, &mut grown, &locked(7)).unwrap();
    prune::apply(
        &repository,
        plan,
        &writer(7),
        &mut UnwrapErr(getrandom::SysRng),
        &Silent,
    )
    .unwrap();
    assert_whole(&store, &mut grown, "deleted after the backup");
}

/// Shows no prune marks: as they are to a backup that began before them.
#[derive(Debug)]
struct BeforeMarks(Arc<dyn Store>);

impl Store for BeforeMarks {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.0.put_new(name, bytes)
    }
    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get(name, limit)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get_range(name, offset, len)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        Ok(self
            .0
            .list(prefix)?
            .into_iter()
            .filter(|listed| !listed.name.starts_with("prune/"))
            .collect())
    }
    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.0.delete(name)
    }
    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.0.stat(name)
    }
}

#[test]
fn a_backup_that_began_before_the_mark_keeps_what_it_refers_to() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 2);
    grow(&mut made, 50, 60);
    let orphans = orphan(&store, &ledger, &mut made, 2);
    let before: Arc<dyn Store> = Arc::new(BeforeMarks(Arc::clone(&store)));
    prune_at(&store, LAST, START_MS + 3 * DAY_MS).unwrap();
    back_up(&before, &ledger, &mut made, &locked(3)).unwrap();
    prune_at(&store, LAST, START_MS + 3 * DAY_MS + GRACE_MS).unwrap();
    assert!(
        orphans
            .iter()
            .any(|name| memory.objects().contains_key(name)),
        "packs that are needed stay"
    );
    assert_whole(&store, &mut made, "the backup ended after the mark");
    // From now on the mark is seen. What the newest snapshot needs must stay in the index, however often indexes are merged.
    for number in 8..18 {
        grow(&mut made, 60 + u64::try_from(number).unwrap(), 90);
        back_up(&store, &ledger, &mut made, &locked(number)).unwrap();
        assert_whole(&store, &mut made, &format!("day {number}"));
        prune_at(&store, LAST, START_MS + number * DAY_MS + 1).unwrap();
        assert_whole(&store, &mut made, &format!("day {number}, pruned"));
    }
}

/// Shows no prune marks the first time: they come while the run that asks is on its way.
#[derive(Debug)]
struct MarksComeLater(Arc<dyn Store>, std::sync::atomic::AtomicBool);

impl MarksComeLater {
    fn over(store: &Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Self(Arc::clone(store), false.into()))
    }
}

impl Store for MarksComeLater {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.0.put_new(name, bytes)
    }
    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get(name, limit)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.0.get_range(name, offset, len)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let first = || !self.1.swap(true, std::sync::atomic::Ordering::Relaxed);
        if prefix == "prune/" && first() {
            return Ok(Vec::new());
        }
        self.0.list(prefix)
    }
    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.0.delete(name)
    }
    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.0.stat(name)
    }
}

#[test]
fn a_backup_whose_packs_a_prune_has_deleted_meanwhile_is_not_published() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 2);
    let mut before = made.clone();
    grow(&mut made, 50, 60);
    orphan(&store, &ledger, &mut made, 2);
    prune_at(&store, LAST, START_MS + 3 * DAY_MS).unwrap();
    let swept = prune_at(&store, LAST, START_MS + 3 * DAY_MS + GRACE_MS).unwrap();
    assert!(swept.swept_objects > 0);
    let heads = store.list("heads/").unwrap();
    let asleep = MarksComeLater::over(&store);
    let refused = back_up(&asleep, &ledger, &mut made, &locked(3)).unwrap_err();
    assert!(matches!(refused, EngineError::Swept), "{refused}");
    assert!(refused.hint().unwrap().contains("run it again"));
    assert_eq!(store.list("heads/").unwrap(), heads);
    assert_whole(&store, &mut before, "nothing was published");
    let outcome = back_up(&store, &ledger, &mut made, &locked(7)).unwrap();
    assert_eq!(outcome.new.messages, 60);
    assert_whole(&store, &mut made, "run again");
}

#[test]
fn a_backup_that_slept_past_the_grace_of_a_mark_is_not_published_though_all_is_still_there() {
    fn awake_again() -> i64 {
        START_MS + 3 * DAY_MS + GRACE_MS
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 2);
    grow(&mut made, 50, 60);
    orphan(&store, &ledger, &mut made, 2);
    prune_at(&store, LAST, START_MS + 3 * DAY_MS).unwrap();
    let asleep = MarksComeLater::over(&store);
    let refused = heirloom_engine::backup::run(heirloom_engine::backup::BackupJob {
        store: asleep,
        keys: &writer(7),
        reader: None,
        ledger: &ledger,
        source: &mut made,
        rng: &mut UnwrapErr(getrandom::SysRng),
        now_ms: START_MS + 3 * DAY_MS,
        device_name: "test device",
        options: heirloom_engine::backup::BackupOptions {
            clock: Some(awake_again),
            ..Default::default()
        },
        progress: &Silent,
    });
    assert!(matches!(refused, Err(EngineError::Swept)));
    back_up(&store, &ledger, &mut made, &locked(6)).unwrap();
    prune_at(&store, LAST, START_MS + 7 * DAY_MS).unwrap();
    assert_whole(&store, &mut made, "run again, and pruned");
}

#[test]
fn a_source_that_did_not_change_is_read_again_when_a_mark_names_what_it_gave() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(31, 2, 100);
    shrink(&mut made, 3000);
    made.stamp = Some([3; 32]);
    let first = back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    assert!(!first.unchanged);
    let mark = forged_mark(&store);
    let name = format!("prune/{}", heirloom_engine::ids::ObjectHash::of(&mark));
    store.put_new(&name, &mark).unwrap();
    let marked = back_up(&store, &ledger, &mut made, &locked(1)).unwrap();
    assert!(!marked.unchanged && marked.stored_bytes > first.stored_bytes / 2);
    assert!(
        back_up(&store, &ledger, &mut made, &locked(2))
            .unwrap()
            .unchanged
    );
    let read = canon(&mut open(&store).view(&Selection::Newest).unwrap()).unwrap();
    assert!(read == canon_of_source(&mut made));
}

#[test]
fn a_forged_mark_costs_an_upload_and_no_message() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = daily(&store, &ledger, 3);
    let forged = forged_mark(&store);
    let name = format!("prune/{}", heirloom_engine::ids::ObjectHash::of(&forged));
    memory.tamper(&name, forged);
    let swept = prune_at(&store, LAST, START_MS + 30 * DAY_MS).unwrap();
    assert_eq!(swept.swept_objects, 0, "a forged mark deletes nothing");
    for number in 31..40 {
        grow(&mut made, u64::try_from(number).unwrap(), 70);
        back_up(&store, &ledger, &mut made, &locked(number)).unwrap();
        let repository = open(&store);
        let outcome = check::run(
            &repository,
            &CheckOptions {
                read_data: Some(100),
            },
            &Silent,
        )
        .unwrap();
        let [problem] = outcome.problems.as_slice() else {
            panic!("day {number}: {:#?}", outcome.problems)
        };
        assert_eq!(
            (&problem.object, problem.affects.as_str()),
            (&name, "nothing: it is not heeded")
        );
        let read = canon(&mut repository.view(&Selection::Newest).unwrap()).unwrap();
        assert!(read == canon_of_source(&mut made), "day {number}");
    }
}

/// `PruneMark` by hand: repository, device, time, objects, no signature.
fn forged_mark(store: &Arc<dyn Store>) -> Vec<u8> {
    let mut bytes = vec![0x0a, 16];
    bytes.extend([1; 16]);
    bytes.extend([0x12, 16]);
    bytes.extend([7; 16]);
    bytes.extend([0x18, 1]);
    for listed in store.list("packs/").unwrap() {
        bytes.push(0x22);
        bytes.push(u8::try_from(listed.name.len()).unwrap());
        bytes.extend(listed.name.bytes());
    }
    bytes
}

#[test]
fn a_device_that_saw_a_head_which_was_pruned_still_opens() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = Made::new(29, 2, 200);
    shrink(&mut made, 3000);
    back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let seen = open(&store).seen();
    for number in 1..5 {
        grow(&mut made, u64::try_from(number).unwrap(), 5);
        back_up(&store, &ledger, &mut made, &day(number)).unwrap();
    }
    prune_at(&store, LAST, START_MS + 5 * DAY_MS).unwrap();
    prune_at(&store, LAST, START_MS + 5 * DAY_MS + GRACE_MS).unwrap();
    assert!(
        !memory
            .objects()
            .keys()
            .any(|name| name.ends_with(&seen.heads[0].hash)),
        "the head is gone"
    );
    Repository::open(Arc::clone(&store), TestReader::new(), Some(&seen)).unwrap();
    // Without the mark that says so it might as well have been stolen.
    let mut objects = memory.objects();
    objects.retain(|name, _| !name.starts_with("prune/"));
    let stolen: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(objects));
    assert!(matches!(
        Repository::open(stolen, TestReader::new(), Some(&seen)),
        Err(EngineError::Forked { .. })
    ));
}

/// Another device's index still lists the marked pack; what was stored again is found where it is now.
#[test]
fn an_idle_devices_old_index_hides_nothing() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let (one, two) = (MemoryLedger::new(), MemoryLedger::new());
    let mut made = daily(&store, &one, 2);
    let mut grown = made.clone();
    grow(&mut grown, 50, 60);
    let orphans = orphan(&store, &one, &mut grown, 2);
    // The next run does not need the orphans, and lists them; another device joins and takes the list over.
    grow(&mut made, 51, 6);
    back_up(&store, &one, &mut made, &locked(3)).unwrap();
    back_up(
        &store,
        &two,
        &mut made,
        &Run {
            device: 8,
            ..day(4)
        },
    )
    .unwrap();
    let marked = prune_at(&store, LAST, START_MS + 5 * DAY_MS).unwrap();
    assert!(marked.marked_objects > 0);
    // Now they are needed, and stored again.
    for (conversation, list) in &grown.conversations {
        let known = made
            .conversations
            .iter_mut()
            .find(|(known, _)| known.id == conversation.id)
            .unwrap();
        for message in list {
            if !known.1.iter().any(|other| other.id == message.id) {
                known.1.push(message.clone());
            }
        }
    }
    made.files.extend(grown.files);
    back_up(&store, &one, &mut made, &locked(6)).unwrap();
    assert_whole(&store, &mut made, "stored again");
    prune_at(&store, LAST, START_MS + 5 * DAY_MS + GRACE_MS).unwrap();
    assert!(
        orphans
            .iter()
            .all(|name| !memory.objects().contains_key(name)),
        "the marked packs are gone"
    );
    assert_whole(&store, &mut made, "deleted");
    for number in 9..13 {
        grow(&mut made, 60 + u64::try_from(number).unwrap(), 50);
        let device = if number % 2 == 0 { 7 } else { 8 };
        let ledger = if number % 2 == 0 { &one } else { &two };
        let run = Run {
            device,
            ..day(number)
        };
        back_up(&store, ledger, &mut made, &run).unwrap();
        assert_whole(&store, &mut made, &format!("day {number}"));
    }
}
