//! A drill brings a sample back for real, and says what did not come.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::fs;
use std::sync::Arc;

use getrandom::SysRng;
use heirloom_engine::EngineError;
use heirloom_engine::drill::{self, DrillOptions, DrillOutcome};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use rand_core::UnwrapErr;
use support::{Made, Run, TestReader, back_up, shrink};

fn stored(made: &mut Made) -> Arc<MemoryStore> {
    let memory = Arc::new(MemoryStore::new());
    back_up(
        &(Arc::clone(&memory) as Arc<dyn Store>),
        &MemoryLedger::new(),
        made,
        &Run::default(),
    )
    .unwrap();
    memory
}

fn run(memory: &Arc<MemoryStore>, options: DrillOptions) -> Result<DrillOutcome, EngineError> {
    let dir = tempfile::tempdir().unwrap();
    let repository = Arc::new(Repository::open(
        Arc::clone(memory) as _,
        TestReader::new(),
        None,
    )?);
    drill::run(
        &mut repository.view(&Selection::Newest)?,
        dir.path(),
        &options,
        &mut UnwrapErr(SysRng),
        &Silent,
    )
}

#[test]
fn a_sound_backup_comes_back() {
    let mut made = Made::new(61, 3, 900);
    let memory = stored(&mut made);
    let before = memory.objects();
    let outcome = run(&memory, DrillOptions::default()).unwrap();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert_eq!((outcome.messages, outcome.attachments), (made.total(), 20));
    assert!(outcome.bytes > 0);
    assert!(
        memory.objects() == before,
        "a drill writes nothing into the store"
    );
    assert_eq!(
        run(&memory, DrillOptions { attachments: 3 })
            .unwrap()
            .attachments,
        3
    );
    assert_eq!(
        run(&memory, DrillOptions { attachments: 0 })
            .unwrap()
            .attachments,
        0
    );
}

#[test]
fn of_a_large_backup_a_sample_of_conversations_comes_back() {
    let mut made = Made::new(62, 12, 6000);
    shrink(&mut made, 300);
    let memory = stored(&mut made);
    let outcome = run(&memory, DrillOptions { attachments: 5 }).unwrap();
    assert_eq!(outcome.problems, Vec::<String>::new());
    assert!(
        (5000..made.total()).contains(&outcome.messages),
        "{} of {}",
        outcome.messages,
        made.total()
    );
}

#[test]
fn an_empty_backup_has_nothing_to_bring_back() {
    let memory = stored(&mut Made::new(63, 0, 0));
    assert_eq!(
        run(&memory, DrillOptions::default()).unwrap(),
        DrillOutcome::default()
    );
}

#[test]
fn what_is_damaged_is_said_or_refused() {
    let mut made = Made::new(64, 2, 300);
    shrink(&mut made, 5000);
    let memory = stored(&mut made);
    let objects = memory.objects();
    let (mut said, mut refused) = (0, 0);
    for (name, bytes) in objects
        .iter()
        .filter(|(name, _)| name.starts_with("packs/"))
    {
        // Every entry of the pack: whichever the sample takes, it is damaged.
        let mut damaged = bytes.clone();
        damaged[1292..].iter_mut().for_each(|byte| *byte ^= 0x40);
        let memory = Arc::new(MemoryStore::from_objects(objects.clone()));
        memory.tamper(name, damaged);
        match run(&memory, DrillOptions { attachments: 1000 }) {
            Ok(outcome) => {
                assert!(!outcome.problems.is_empty(), "{name}");
                assert_eq!(outcome.messages, made.total());
                assert!(
                    outcome
                        .problems
                        .iter()
                        .any(|problem| problem.contains(name.as_str())),
                    "{:?}",
                    outcome.problems
                );
                said += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains(name.as_str()), "{error}");
                refused += 1;
            }
        }
    }
    assert!(said > 0 && refused > 0, "{said} said, {refused} refused");
}

#[test]
fn a_folder_with_something_in_it_is_refused_and_left_as_it_is() {
    let memory = stored(&mut Made::new(65, 1, 50));
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.txt"), "mine").unwrap();
    let repository =
        Arc::new(Repository::open(Arc::clone(&memory) as _, TestReader::new(), None).unwrap());
    let mut view = repository.view(&Selection::Newest).unwrap();
    let refused = drill::run(
        &mut view,
        dir.path(),
        &DrillOptions::default(),
        &mut UnwrapErr(SysRng),
        &Silent,
    )
    .unwrap_err();
    assert!(refused.to_string().ends_with("is not empty"), "{refused}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}
