//! A backup whose newest objects are damaged: the rest of it stays readable, and the damage is named.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]

mod support;

use std::sync::Arc;

use heirloom_engine::EngineError;
use heirloom_engine::check::{self, CheckOptions};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use support::{Made, Run, TestReader, back_up, expected, read_all};

/// Two snapshots; gives the store, and what the first held.
fn two_snapshots() -> (Arc<MemoryStore>, support::Everything) {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = memory.clone();
    let ledger = MemoryLedger::new();
    let mut made = Made::new(21, 2, 300);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let first = expected(&made);
    made.conversations[0].1[5].text = "edited".into();
    let run = Run {
        now_ms: 1_700_000_100_000,
        ..Run::default()
    };
    back_up(&store, &ledger, &mut made, &run).unwrap();
    (memory, first)
}

fn newest(store: &MemoryStore) -> (String, String) {
    let opened: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(store.objects()));
    let repository = Repository::open(opened, TestReader::new(), None).unwrap();
    let seen = repository.seen().heads.remove(0);
    let head = format!("heads/{}/{:010}-{}", seen.lineage, seen.sequence, seen.hash);
    let snapshot = repository.snapshots().unwrap().remove(0).hash;
    (head, format!("snapshots/{snapshot}"))
}

#[test]
fn an_older_snapshot_opens_beside_a_damaged_newest_one() {
    let (store, first) = two_snapshots();
    let (head, snapshot) = newest(&store);
    for object in [head, snapshot] {
        let hurt = Arc::new(MemoryStore::from_objects(store.objects()));
        let mut bytes = hurt.objects().remove(&object).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        hurt.tamper(&object, bytes);
        let opened = Repository::open(hurt.clone(), TestReader::new(), None);
        assert!(
            matches!(opened, Err(EngineError::Damaged { .. })),
            "{object}"
        );

        let repository = Arc::new(Repository::open_damaged(hurt, TestReader::new(), None).unwrap());
        assert_eq!(repository.damage().len(), 1, "{object}");
        let found = check::run(
            &repository,
            &CheckOptions {
                read_data: Some(100),
            },
            &Silent,
        )
        .unwrap();
        let problem = found
            .problems
            .iter()
            .find(|problem| problem.object == object)
            .unwrap();
        assert!(
            problem
                .affects
                .contains("the newest snapshot of its lineage"),
            "{problem:?}"
        );
        assert!(
            read_all(&mut repository.view(&Selection::Newest).unwrap()) == first,
            "{object}"
        );
    }
}

#[test]
fn a_damaged_index_is_named_with_what_it_costs() {
    let (store, _) = two_snapshots();
    let index = store.list("index/").unwrap().pop().unwrap().name;
    let mut bytes = store.objects().remove(&index).unwrap();
    bytes[200] ^= 1;
    store.tamper(&index, bytes);
    assert!(Repository::open(store.clone(), TestReader::new(), None).is_err());
    let repository = Repository::open_damaged(store, TestReader::new(), None).unwrap();
    let found = check::run(&repository, &CheckOptions::default(), &Silent).unwrap();
    assert!(found.problems.iter().any(
        |problem| problem.object == index && problem.affects == "finding what this index lists"
    ));
}

#[test]
fn a_keyring_older_than_the_newest_backup_is_noticed_by_who_has_seen_neither() {
    let (store, _) = two_snapshots();
    let opened = Repository::open(store.clone(), TestReader::of_keyring(0), None);
    assert!(matches!(opened, Err(EngineError::Rollback { .. })));
    assert!(Repository::open(store, TestReader::of_keyring(1), None).is_ok());
}

#[test]
fn versions_of_one_message_are_joined_whatever_the_order_of_authors() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(22, 1, 10);
    let template = made.conversations[0].1[0].clone();
    let at = template.sent_at;
    for author in ["zoe", "ana", "mia"] {
        made.conversations[0].1.push(heirloom_archive::Message {
            id: "same".into(),
            author: author.into(),
            sent_at: at,
            text: author.into(),
            ..Default::default()
        });
    }
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    made.conversations[0].1.last_mut().unwrap().text = "edited".into();
    let run = Run {
        now_ms: 1_700_000_100_000,
        ..Run::default()
    };
    back_up(&store, &ledger, &mut made, &run).unwrap();
    let repository = Arc::new(Repository::open(store, TestReader::new(), None).unwrap());
    let all = read_all(&mut repository.view(&Selection::Newest).unwrap());
    let same: Vec<_> = all[0]
        .1
        .iter()
        .filter(|(message, _)| message.id == "same")
        .collect();
    assert_eq!(
        same.iter()
            .map(|(message, _)| message.author.as_str())
            .collect::<Vec<_>>(),
        ["ana", "mia", "zoe"]
    );
    assert_eq!(same[1].0.text, "edited");
}

#[test]
fn nothing_at_all_is_still_no_backup() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let opened = Repository::open_damaged(store, TestReader::new(), None);
    assert!(matches!(opened, Err(EngineError::NoBackup)));
}
