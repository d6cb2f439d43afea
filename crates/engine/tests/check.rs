//! A check says nothing of a sound repository, counts what is unused, and reads as much as it is told.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::sync::Arc;

use heirloom_engine::EngineError;
use heirloom_engine::check::{self, CheckOptions, CheckOutcome};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::{Amount, Phase, Progress, Silent};
use heirloom_engine::repository::Repository;
use heirloom_engine::store::Store;
use heirloom_engine::store::faulty::FaultyStore;
use heirloom_engine::store::memory::MemoryStore;
use support::{Made, Run, TestReader, back_up, shrink};

fn check(store: &Arc<dyn Store>, read_data: Option<u8>) -> CheckOutcome {
    let repository = Repository::open(Arc::clone(store), TestReader::new(), None).unwrap();
    check::run(&repository, &CheckOptions { read_data }, &Silent).unwrap()
}

/// Many runs, so that there are many packs.
fn many_packs(memory: &Arc<MemoryStore>, ledger: &MemoryLedger) -> Made {
    let store: Arc<dyn Store> = Arc::clone(memory) as _;
    let mut made = Made::new(51, 2, 2000);
    shrink(&mut made, 20_000);
    let whole = made.clone();
    for run in 1..=20 {
        for ((_, list), (_, all)) in made.conversations.iter_mut().zip(&whole.conversations) {
            *list = all[..all.len() * run / 20].to_vec();
        }
        let now_ms = 1_700_000_000_000 + i64::try_from(run).unwrap() * 86_400_000;
        back_up(
            &store,
            ledger,
            &mut made,
            &Run {
                now_ms,
                ..Run::default()
            },
        )
        .unwrap();
    }
    made
}

fn bytes_of_packs(memory: &MemoryStore) -> u64 {
    memory
        .objects()
        .iter()
        .filter(|(name, _)| name.starts_with("packs/"))
        .map(|(_, bytes)| bytes.len() as u64)
        .sum()
}

#[test]
fn a_sound_repository_has_no_problem_however_it_is_checked() {
    let memory = Arc::new(MemoryStore::new());
    many_packs(&memory, &MemoryLedger::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let before = memory.objects();
    for read_data in [None, Some(0), Some(30), Some(100)] {
        let outcome = check(&store, read_data);
        assert_eq!(outcome.problems, [], "{read_data:?}");
        assert_eq!(
            (outcome.objects, outcome.unused_packs),
            (before.len() as u64, 0)
        );
    }
    assert!(memory.objects() == before, "a check changes nothing");
}

#[test]
fn a_check_of_the_structure_reads_no_pack_as_a_whole() {
    let memory = Arc::new(MemoryStore::new());
    let mut made = Made::new(52, 2, 1500);
    back_up(
        &(Arc::clone(&memory) as Arc<dyn Store>),
        &MemoryLedger::new(),
        &mut made,
        &Run::default(),
    )
    .unwrap();
    let counting = Arc::new(FaultyStore::counting(Arc::clone(&memory) as _));
    let store: Arc<dyn Store> = Arc::clone(&counting) as _;
    check(&store, None);
    let packs = bytes_of_packs(&memory);
    assert!(
        counting.bytes_read() < packs / 4,
        "{} of {packs}",
        counting.bytes_read()
    );
    assert!(check(&store, Some(100)).bytes >= packs);
}

#[test]
fn a_sampled_check_reads_about_so_many_packs_and_finds_damage_only_there() {
    let memory = Arc::new(MemoryStore::new());
    many_packs(&memory, &MemoryLedger::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let objects = memory.objects();
    let packs: Vec<&String> = objects
        .keys()
        .filter(|name| name.starts_with("packs/"))
        .collect();
    assert!(packs.len() > 30, "{} packs", packs.len());
    let read = |percent| check(&store, Some(percent)).bytes - check(&store, Some(0)).bytes;
    let (few, half, all) = (read(10), read(50), read(100));
    assert!(
        few < half && half < all && all == bytes_of_packs(&memory),
        "{few} {half} {all}"
    );
    // Every pack damaged in its padding: so many are found as are read.
    for name in &packs {
        let mut bytes = objects[*name].clone();
        let at = bytes.len() - 1;
        bytes[at] ^= 1;
        memory.tamper(name, bytes);
    }
    let found = |percent| check(&store, Some(percent)).problems.len();
    assert_eq!((found(0), check(&store, None).problems.len()), (0, 0));
    assert_eq!(found(100), packs.len());
    assert!(
        (1..packs.len()).contains(&found(50)),
        "{} of {}",
        found(50),
        packs.len()
    );
}

#[test]
fn packs_of_an_interrupted_run_are_unused_and_no_problem() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = many_packs(&memory, &ledger);
    let mut more = Made::new(53, 1, 800);
    shrink(&mut more, 5000);
    for (mut conversation, list) in more.conversations {
        conversation.id.push_str(" new");
        made.conversations.push((conversation, list));
    }
    made.files.extend(more.files);
    let run = Run {
        now_ms: 1_710_000_000_000,
        ..Run::default()
    };
    for writes in 1..5 {
        let faulty: Arc<dyn Store> =
            Arc::new(FaultyStore::stopping_after(Arc::clone(&store), writes));
        if back_up(&faulty, &ledger, &mut made, &run).is_ok() {
            break;
        }
        let outcome = check(&store, Some(100));
        assert_eq!(outcome.problems, [], "stopped after {writes} writes");
        assert!(outcome.unused_packs >= 1, "stopped after {writes} writes");
    }
    back_up(&store, &ledger, &mut made, &run).unwrap();
    assert_eq!(
        check(&store, Some(100)).unused_packs,
        0,
        "the next run used them"
    );
}

#[test]
fn a_pack_of_another_size_or_gone_is_found_without_reading_it() {
    let memory = Arc::new(MemoryStore::new());
    let mut made = Made::new(54, 2, 800);
    back_up(
        &(Arc::clone(&memory) as Arc<dyn Store>),
        &MemoryLedger::new(),
        &mut made,
        &Run::default(),
    )
    .unwrap();
    let objects = memory.objects();
    let mut said = Vec::new();
    for name in objects.keys().filter(|name| name.starts_with("packs/")) {
        for (what, change) in [
            ("it is missing", 0),
            ("it has another size than the index says", 1),
        ] {
            let mut changed = objects.clone();
            if change == 0 {
                changed.remove(name);
            } else {
                changed.get_mut(name).unwrap().push(0);
            }
            let store: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(changed));
            let outcome = check(&store, None);
            let problem = outcome
                .problems
                .iter()
                .find(|problem| problem.object == *name && problem.what == what);
            said.push(
                problem
                    .unwrap_or_else(|| panic!("{name}, {what}: {:?}", outcome.problems))
                    .affects
                    .clone(),
            );
        }
    }
    assert!(
        said.iter().all(|affects| affects.contains(" of \"Chat ")),
        "{said:?}"
    );
}

struct Stop;

impl Progress for Stop {
    fn phase(&self, _: Phase, _: Option<Amount>) {}
    fn advance(&self, _: Phase, _: u64, _: u64) {}
    fn warn(&self, _: &str) {}
    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn a_check_can_be_interrupted() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    back_up(
        &store,
        &MemoryLedger::new(),
        &mut Made::new(55, 1, 100),
        &Run::default(),
    )
    .unwrap();
    let repository = Repository::open(store, TestReader::new(), None).unwrap();
    assert!(matches!(
        check::run(&repository, &CheckOptions::default(), &Stop),
        Err(EngineError::Interrupted)
    ));
}
