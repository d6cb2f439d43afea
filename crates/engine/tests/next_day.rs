//! A run that reads only what changed leaves the same history behind as one that reads everything.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

mod support;

use std::sync::Arc;

use heirloom_archive::Kind;
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use support::tracked::{Tracked, a_day};
use support::{Lcg, Made, Run, TestReader, back_up, read_all};

const DAY_MS: i64 = 86_400_000;

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn view(store: &Arc<dyn Store>) -> support::Everything {
    let repository = Repository::open(Arc::clone(store), TestReader::new(), None).unwrap();
    read_all(&mut Arc::new(repository).view(&Selection::Newest).unwrap())
}

#[test]
fn thirty_days_of_changes_give_what_thirty_full_reads_give() {
    for seed in [1, 2] {
        let mut source = Tracked::new(Made::new(seed, 5, 700));
        let (partly, wholly) = (store(), store());
        let (ledger, other) = (MemoryLedger::new(), MemoryLedger::new());
        let mut rng = Lcg(seed + 100);
        for day in 0..30 {
            let run = Run {
                now_ms: 1_700_000_000_000 + i64::try_from(day).unwrap() * DAY_MS,
                workers: usize::from(day % 2 == 0) * 2,
                unlocked: day == 0,
                ..Run::default()
            };
            if day > 0 {
                a_day(&mut source.made, &mut rng, day);
            }
            let whole_before = source.whole;
            let outcome = back_up(&partly, &ledger, &mut source, &run).unwrap();
            let full = back_up(&wholly, &other, &mut source.made.clone(), &run).unwrap();
            assert_eq!(outcome.new, full.new, "seed {seed}, day {day}");
            assert_eq!(outcome.report, full.report, "seed {seed}, day {day}");
            assert!(outcome.report.adds_up());
            if day == 0 || source.whole > whole_before {
                assert_eq!(outcome.report.counts(Kind::Messages).found, source.given);
            } else {
                assert!(source.given < 120, "{} messages on day {day}", source.given);
            }
            assert_eq!(view(&partly), view(&wholly), "seed {seed}, day {day}");
        }
        // Deltas pile up, and then everything is read: now and then, not each time.
        assert!((2..=9).contains(&source.whole), "{}", source.whole);
    }
}

#[test]
fn a_run_without_changes_reads_nothing_and_stores_a_head() {
    let mut source = Tracked::new(Made::new(3, 3, 300));
    let (store, ledger) = (store(), MemoryLedger::new());
    back_up(&store, &ledger, &mut source, &Run::default()).unwrap();
    let packs = store.list("packs/").unwrap().len();
    let run = Run {
        now_ms: Run::default().now_ms + 1,
        unlocked: false,
        ..Run::default()
    };
    let outcome = back_up(&store, &ledger, &mut source, &run).unwrap();
    assert_eq!((source.given, source.whole), (0, 1));
    assert_eq!(outcome.new.messages, 0);
    assert_eq!(store.list("packs/").unwrap().len(), packs);
    assert_eq!(
        outcome.report.counts(Kind::Messages).found,
        source.made.total()
    );
}

#[test]
fn another_source_in_between_hides_nothing() {
    let mut source = Tracked::new(Made::new(4, 3, 300));
    let (store, ledger) = (store(), MemoryLedger::new());
    let at = |n: i64| Run {
        now_ms: Run::default().now_ms + n,
        ..Run::default()
    };
    back_up(&store, &ledger, &mut source, &at(0)).unwrap();
    // An older and smaller copy of the same chats, which does not know marks.
    let mut older = Made::new(4, 3, 300);
    for (_, list) in &mut older.conversations {
        list.truncate(50);
    }
    back_up(&store, &ledger, &mut older, &at(1)).unwrap();
    source.made.conversations[1].1[7].text = "edited".into();
    back_up(&store, &ledger, &mut source, &at(2)).unwrap();
    let all = view(&store);
    let total: usize = all.iter().map(|(_, list)| list.len()).sum();
    assert_eq!(u64::try_from(total).unwrap(), source.made.total());
    assert!(
        all.iter()
            .flat_map(|(_, list)| list)
            .any(|(message, _)| message.text == "edited")
    );
}
