//! A device without a ledger finds in the backup what it need not read again.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

mod support;

use std::sync::Arc;

use heirloom_engine::EngineError;
use heirloom_engine::backup::{self, BackupJob, BackupOptions, BackupOutcome};
use heirloom_engine::check::{self, CheckOptions};
use heirloom_engine::ledger::{Ledger as _, MemoryLedger, Space};
use heirloom_engine::progress::Silent;
use heirloom_engine::prune::{self, GRACE_MS, KeepRules};
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use rand_core::UnwrapErr;
use support::tracked::{Tracked, a_day};
use support::{Lcg, Made, Run, TestReader, back_up, copy_of, expected, read_all, writer};

const DAY_MS: i64 = 86_400_000;

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn day(number: i64) -> Run {
    Run {
        now_ms: Run::default().now_ms + number * DAY_MS,
        ..Run::default()
    }
}

fn open(store: &Arc<dyn Store>) -> Arc<Repository> {
    Arc::new(Repository::open(Arc::clone(store), TestReader::new(), None).unwrap())
}

fn view(store: &Arc<dyn Store>) -> support::Everything {
    read_all(&mut open(store).view(&Selection::Newest).unwrap())
}

fn bytes(store: &Arc<dyn Store>) -> u64 {
    store
        .list("")
        .unwrap()
        .iter()
        .map(|listed| listed.bytes)
        .sum()
}

fn assert_no_problems(store: &Arc<dyn Store>) {
    let options = CheckOptions {
        read_data: Some(100),
    };
    let problems = check::run(&open(store), &options, &Silent)
        .unwrap()
        .problems;
    assert!(problems.is_empty(), "{problems:#?}");
}

/// Reads everything, whatever is known.
fn forced(store: &Arc<dyn Store>, ledger: &MemoryLedger, source: &mut Tracked) -> BackupOutcome {
    backup::run(BackupJob {
        store: Arc::clone(store),
        keys: &writer(7),
        reader: Some(TestReader::new()),
        ledger,
        source,
        rng: &mut UnwrapErr(getrandom::SysRng),
        now_ms: day(9).now_ms,
        device_name: "test device",
        options: BackupOptions {
            force: true,
            ..BackupOptions::default()
        },
        progress: &Silent,
    })
    .unwrap()
}

#[test]
fn a_device_that_lost_its_ledger_reads_only_what_changed_on_whatever_disk_it_lies() {
    for computer in [1, 2] {
        let mut source = Tracked::new(Made::new(3, 5, 700));
        let (one, other) = (store(), store());
        let kept = MemoryLedger::new();
        back_up(&one, &MemoryLedger::new(), &mut source, &day(0)).unwrap();
        back_up(&other, &kept, &mut source.made.clone(), &day(0)).unwrap();
        let (read, files) = (source.opened(), source.made.files.len());
        assert_eq!(read, u64::try_from(files).unwrap());

        a_day(&mut source.made, &mut Lcg(8), 1);
        source.computer = computer;
        let outcome = back_up(&one, &MemoryLedger::new(), &mut source, &day(1)).unwrap();
        let full = back_up(&other, &kept, &mut source.made.clone(), &day(1)).unwrap();
        assert_eq!(source.whole, 1, "only the first run reads everything");
        assert!(source.given < 60, "{} messages", source.given);
        let new = source.made.files.len() - files;
        assert_eq!(source.opened() - read, u64::try_from(new).unwrap());
        assert_eq!(outcome.new, full.new);
        assert_eq!(outcome.report, full.report);
        assert_eq!(view(&one), view(&other));
        assert_no_problems(&one);
    }
}

#[test]
fn a_file_of_another_time_is_read_and_so_is_every_file_of_a_forced_run() {
    let mut source = Tracked::new(Made::new(3, 3, 300));
    let (store, ledger) = (store(), MemoryLedger::new());
    back_up(&store, &ledger, &mut source, &day(0)).unwrap();
    let files = u64::try_from(source.made.files.len()).unwrap();
    assert_eq!(source.opened(), files);
    forced(&store, &ledger, &mut source);
    assert_eq!(source.opened(), 2 * files, "--force reads what is known");

    // A source without a mark, so that every attachment is asked for.
    source.modified_ns = 2;
    let joined = MemoryLedger::new();
    forget_marks(&store, &joined, &mut source);
    assert_eq!(source.opened(), 3 * files, "another time is another file");
    forget_marks(&store, &MemoryLedger::new(), &mut source);
    assert_eq!(source.opened(), 3 * files, "and then it is known");
}

/// A run of a device that has joined and finds the same source under another name: no mark is of it.
fn forget_marks(store: &Arc<dyn Store>, ledger: &MemoryLedger, source: &mut Tracked) {
    struct Renamed<'a>(&'a mut Tracked);
    impl heirloom_archive::Source for Renamed<'_> {
        fn info(&self) -> heirloom_archive::SourceInfo {
            heirloom_archive::SourceInfo {
                label: "another name".into(),
                ..self.0.info()
            }
        }
        fn read(
            &mut self,
            sink: &mut dyn heirloom_archive::Sink,
        ) -> Result<heirloom_archive::Report, heirloom_archive::SourceError> {
            self.0.read(sink)
        }
        fn media(&self) -> Arc<dyn heirloom_archive::MediaStore> {
            self.0.media()
        }
    }
    back_up(store, ledger, &mut Renamed(source), &day(20)).unwrap();
}

#[test]
fn a_whole_reading_without_a_ledger_stores_no_segment_again() {
    let mut made = Made::new(5, 4, 900);
    let store = store();
    back_up(&store, &MemoryLedger::new(), &mut made, &day(0)).unwrap();
    let before = bytes(&store);
    let ledger = MemoryLedger::new();
    let outcome = back_up(&store, &ledger, &mut made, &day(1)).unwrap();
    assert_eq!(outcome.new.messages, 0);
    let grown = bytes(&store) - before;
    assert!(grown < 20_000, "{grown} bytes for nothing new");
    // Having met its segments, the device knows what is in them: it can go on without a key.
    let mut bare = 0;
    ledger
        .each(Space::Segment, &mut |_, value| {
            bare += u32::from(value.len() <= 32);
            Ok(())
        })
        .unwrap();
    assert_eq!(bare, 0);
}

#[test]
fn after_a_quick_join_a_locked_run_loses_nothing() {
    let mut source = Tracked::new(Made::new(6, 5, 700));
    let (one, other) = (store(), store());
    let kept = MemoryLedger::new();
    back_up(&one, &MemoryLedger::new(), &mut source, &day(0)).unwrap();
    back_up(&other, &kept, &mut source.made.clone(), &day(0)).unwrap();
    let joined = MemoryLedger::new();
    let mut rng = Lcg(2);
    for number in 1..6 {
        a_day(&mut source.made, &mut rng, u64::try_from(number).unwrap());
        let run = Run {
            unlocked: number == 1,
            ..day(number)
        };
        back_up(&one, &joined, &mut source, &run).unwrap();
        back_up(&other, &kept, &mut source.made.clone(), &run).unwrap();
        assert_eq!(view(&one), view(&other), "day {number}");
    }
    // The first one, and the first without a key: of what it meets it learns.
    assert_eq!(source.whole, 2);
    assert_no_problems(&one);
}

#[test]
fn prune_keeps_what_a_joining_device_needs() {
    let mut source = Tracked::new(Made::new(7, 4, 500));
    let (store, ledger) = (store(), MemoryLedger::new());
    back_up(&store, &ledger, &mut source, &day(0)).unwrap();
    for number in 1..4 {
        a_day(
            &mut source.made,
            &mut Lcg(9),
            u64::try_from(number).unwrap(),
        );
        back_up(&store, &ledger, &mut source, &day(number)).unwrap();
    }
    prune_at(&store, day(4).now_ms);
    prune_at(&store, day(4).now_ms + GRACE_MS);
    let (whole, opened) = (source.whole, source.opened());
    back_up(&store, &MemoryLedger::new(), &mut source, &day(30)).unwrap();
    assert_eq!((source.whole, source.opened()), (whole, opened));
    // The mark may be of an earlier day: what changed since is compared, and known.
    assert!(source.given < source.made.total() / 2, "{}", source.given);
    assert_no_problems(&store);
}

fn prune_at(store: &Arc<dyn Store>, now_ms: i64) {
    let rules = KeepRules {
        last: 1,
        daily: 0,
        weekly: 0,
        monthly: 0,
        yearly: 0,
    };
    let repository = open(store);
    let plan = prune::plan(&repository, &rules, now_ms).unwrap();
    let mut rng = UnwrapErr(getrandom::SysRng);
    prune::apply(&repository, plan, &writer(7), &mut rng, &Silent).unwrap();
}

#[test]
fn a_heeded_prune_mark_voids_what_the_source_was_like() {
    let (store, ledger) = (store(), MemoryLedger::new());
    let locked = |number| Run {
        unlocked: false,
        ..day(number)
    };
    let mut made = Made::new(11, 1, 30);
    back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let mut first = made.clone();
    // So much comes that the only segment is written anew, and the first one is needed no more …
    let mut rng = Lcg(4);
    for n in 100..140 {
        let message = made.message(
            &mut rng,
            0,
            n,
            1_700_000_000_000 + i64::from(u8::try_from(n).unwrap()),
        );
        made.conversations[0].1.push(message);
    }
    let mut source = Tracked::new(made);
    back_up(&store, &ledger, &mut source, &day(1)).unwrap();
    let read_again = |source: &mut Tracked, number| {
        back_up(&store, &ledger, source, &locked(number)).unwrap();
        source.whole
    };
    assert_eq!(read_again(&mut source, 2), 1, "nothing changed");
    prune_at(&store, day(3).now_ms);
    assert_eq!(store.list("prune/").unwrap().len(), 1);

    // … and a run that sees the mark reads everything, though nothing has changed since the last one.
    assert_eq!(read_again(&mut source, 4), 2, "the mark is void");
    assert_eq!(read_again(&mut source, 5), 2, "once");

    // What was swept is stored again when a source has it again.
    prune_at(&store, day(3).now_ms + GRACE_MS);
    back_up(&store, &ledger, &mut first, &locked(30)).unwrap();
    assert_no_problems(&store);
    assert_eq!(view(&store), support::expected(&source.made));
}

fn append(made: &mut Made, number: i64) {
    let mut rng = Lcg(7);
    for n in 0..9 {
        let at = 1_650_000_000_000 + number * 100_000 + i64::from(n);
        let id = u64::try_from(10_000 + number * 10 + i64::from(n)).unwrap();
        let message = made.message(&mut rng, 0, id, at);
        made.conversations[0].1.push(message);
    }
}

fn lineages(store: &Arc<dyn Store>) -> usize {
    let heads = store.list("heads/").unwrap();
    let of = |name: &str| name.split('/').nth(1).unwrap_or_default().to_owned();
    let lineages: std::collections::BTreeSet<String> =
        heads.iter().map(|head| of(&head.name)).collect();
    lineages.len()
}

fn locked(number: i64) -> Run {
    Run {
        unlocked: false,
        ..day(number)
    }
}

#[test]
fn a_device_that_was_put_back_goes_on_beside_what_it_wrote_since_the_copy() {
    let (store, ledger) = (store(), MemoryLedger::new());
    let mut made = Made::new(12, 2, 200);
    let first = back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let put_back = copy_of(&ledger);
    for number in 1..4 {
        append(&mut made, number);
        back_up(&store, &ledger, &mut made, &locked(number)).unwrap();
    }

    // Without a key it cannot know what was written since: it must not guess.
    append(&mut made, 4);
    let before = store.list("").unwrap();
    let refused = back_up(&store, &put_back, &mut made, &locked(4)).unwrap_err();
    assert!(matches!(refused, EngineError::Overtaken), "{refused}");
    assert!(refused.hint().unwrap().contains("--recovery-key-file"));
    assert_eq!(store.list("").unwrap(), before);

    let outcome = back_up(&store, &put_back, &mut made, &day(4)).unwrap();
    assert_ne!(outcome.lineage, first.lineage);
    assert_eq!(outcome.new.messages, 9, "what was written since is known");
    assert_eq!(view(&store), expected(&made));

    // From then on it needs no key, and the copy may go on, too.
    for number in 5..9 {
        append(&mut made, number);
        let table = if number % 2 == 0 { &ledger } else { &put_back };
        back_up(&store, table, &mut made, &locked(number)).unwrap();
        assert_eq!(view(&store), expected(&made), "day {number}");
    }
    assert_eq!(lineages(&store), 2);
    assert_no_problems(&store);
}

#[test]
fn a_copied_device_that_wrote_as_often_as_the_first_goes_on_beside_it() {
    let (store, ledger) = (store(), MemoryLedger::new());
    let mut made = Made::new(13, 2, 200);
    back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let copy = copy_of(&ledger);
    append(&mut made, 1);
    back_up(&store, &ledger, &mut made, &locked(1)).unwrap();
    append(&mut made, 2);
    let refused = back_up(&store, &copy, &mut made, &locked(2));
    assert!(matches!(refused, Err(EngineError::Overtaken)));
    back_up(&store, &copy, &mut made, &day(2)).unwrap();
    assert_eq!((view(&store), lineages(&store)), (expected(&made), 2));
}
