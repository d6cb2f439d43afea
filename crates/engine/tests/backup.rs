//! What goes in comes out again, whatever happens in between.

mod support;

use std::sync::Arc;

use heirloom_archive::{History as _, MessageQuery};
use heirloom_engine::EngineError;
use heirloom_engine::ledger::{Ledger as _, MemoryLedger};
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::faulty::FaultyStore;
use heirloom_engine::store::memory::MemoryStore;
use support::{Everything, Lcg, Made, Run, TestReader, back_up, expected, read_all};

fn read_newest(store: &Arc<dyn Store>) -> Everything {
    let repository = Repository::open(Arc::clone(store), TestReader::new(), None).expect("opens");
    read_all(
        &mut Arc::new(repository)
            .view(&Selection::Newest)
            .expect("a view"),
    )
}

#[test]
fn what_goes_in_comes_out() {
    for workers in [0, 2] {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let ledger = MemoryLedger::new();
        let mut made = Made::new(1, 5, 3000);
        let outcome = back_up(
            &store,
            &ledger,
            &mut made,
            &Run {
                workers,
                ..Run::default()
            },
        )
        .unwrap();
        assert!(outcome.report.adds_up());
        assert_eq!(outcome.new.messages, made.total());
        assert!(read_newest(&store) == expected(&made));
    }
}

#[test]
fn the_same_again_stores_next_to_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(2, 4, 2000);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let again = back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            now_ms: 1_700_000_100_000,
            unlocked: false,
            ..Run::default()
        },
    )
    .unwrap();
    assert_eq!(
        (
            again.new.messages,
            again.new.attachments,
            again.new.conversations
        ),
        (0, 0, 0)
    );
    assert!(again.stored_bytes < 20_000, "{}", again.stored_bytes);
    assert!(read_newest(&store) == expected(&made));
}

#[test]
fn an_unchanged_source_is_not_even_read() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(2, 2, 200);
    made.stamp = Some([4; 32]);
    let first = back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let again = back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            now_ms: 1_700_000_100_000,
            ..Run::default()
        },
    )
    .unwrap();
    assert!(again.unchanged && !first.unchanged);
    assert_eq!(again.snapshot, first.snapshot);
    assert_eq!(again.report, first.report);
    assert!(again.stored_bytes < 64 * 1024);
    made.stamp = Some([5; 32]);
    assert!(
        !back_up(
            &store,
            &ledger,
            &mut made,
            &Run {
                now_ms: 1_700_000_200_000,
                ..Run::default()
            }
        )
        .unwrap()
        .unchanged
    );
}

#[test]
fn a_next_day_adds_only_what_is_new() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(3, 6, 6000);
    let first = back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let mut rng = Lcg(99);
    for number in 0..6u64 {
        for n in 0..5 {
            let message = made.message(
                &mut rng,
                number + 100,
                n,
                1_690_000_000_000 + i64::try_from(n).unwrap(),
            );
            made.conversations[usize::try_from(number).unwrap()]
                .1
                .push(message);
        }
    }
    let second = back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            now_ms: 1_700_000_100_000,
            unlocked: false,
            ..Run::default()
        },
    )
    .unwrap();
    assert_eq!(second.new.messages, 30);
    assert!(
        second.stored_bytes < first.stored_bytes / 3,
        "{} of {}",
        second.stored_bytes,
        first.stored_bytes
    );
    assert!(read_newest(&store) == expected(&made));
}

#[test]
fn an_edited_message_keeps_its_older_text() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(4, 1, 500);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let before = std::mem::replace(
        &mut made.conversations[0].1[250].text,
        "quite another text".into(),
    );
    let second = back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            now_ms: 1_700_000_100_000,
            ..Run::default()
        },
    )
    .unwrap();
    assert_eq!(second.new.messages, 0);
    let all = read_newest(&store);
    assert_eq!(all[0].1.len(), 500);
    let message = &all[0]
        .1
        .iter()
        .find(|(message, _)| message.text == "quite another text")
        .unwrap()
        .0;
    assert_eq!(
        message
            .edits
            .iter()
            .map(|edit| edit.before.clone())
            .collect::<Vec<_>>(),
        [before]
    );
}

#[test]
fn importing_less_loses_nothing() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(5, 3, 3000);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let all = expected(&made);
    // An export that begins later, and another that ends earlier.
    for range in [1000..3000, 0..700, 500..1200] {
        let mut part = made.clone();
        let len = part.conversations[0].1.len();
        part.conversations[0].1 =
            part.conversations[0].1[range.start.min(len)..range.end.min(len)].to_vec();
        part.conversations.truncate(1);
        let outcome = back_up(
            &store,
            &ledger,
            &mut part,
            &Run {
                now_ms: 1_700_000_100_000,
                ..Run::default()
            },
        )
        .unwrap();
        assert_eq!(outcome.new.messages, 0, "{range:?}");
        assert!(read_newest(&store) == all, "{range:?}");
    }
}

#[test]
fn a_device_that_joins_reuses_what_is_stored() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut made = Made::new(6, 4, 2000);
    let first = back_up(&store, &MemoryLedger::new(), &mut made, &Run::default()).unwrap();
    let locked = back_up(
        &store,
        &MemoryLedger::new(),
        &mut made,
        &Run {
            device: 8,
            unlocked: false,
            ..Run::default()
        },
    );
    assert!(matches!(locked, Err(EngineError::UnlockNeeded)));
    let other = MemoryLedger::new();
    let run = Run {
        device: 8,
        now_ms: 1_700_000_100_000,
        ..Run::default()
    };
    let joined = back_up(&store, &other, &mut made, &run).unwrap();
    assert_ne!(joined.lineage, first.lineage);
    assert_eq!(joined.new.messages, 0);
    assert!(
        joined.stored_bytes < first.stored_bytes / 10,
        "{} of {}",
        joined.stored_bytes,
        first.stored_bytes
    );
    assert!(read_newest(&store) == expected(&made));
}

#[test]
fn two_devices_see_each_others_messages_together() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let (one, two) = (MemoryLedger::new(), MemoryLedger::new());
    let mut made = Made::new(7, 2, 1000);
    let mut half = made.clone();
    half.conversations[0].1.truncate(600);
    let mut other_half = made.clone();
    other_half.conversations[0].1.drain(..400);
    back_up(&store, &one, &mut half, &Run::default()).unwrap();
    back_up(
        &store,
        &two,
        &mut other_half,
        &Run {
            device: 8,
            now_ms: 1_700_000_100_000,
            ..Run::default()
        },
    )
    .unwrap();
    assert!(read_newest(&store) == expected(&made));
    // The first device goes on without having read the second one's.
    back_up(
        &store,
        &one,
        &mut half,
        &Run {
            now_ms: 1_700_000_200_000,
            unlocked: false,
            ..Run::default()
        },
    )
    .unwrap();
    assert!(read_newest(&store) == expected(&made));
    // A third joins both.
    back_up(
        &store,
        &MemoryLedger::new(),
        &mut made,
        &Run {
            device: 9,
            now_ms: 1_700_000_300_000,
            ..Run::default()
        },
    )
    .unwrap();
    assert!(read_newest(&store) == expected(&made));
}

/// What a small run stores at most: a pack of each stream (media: one more than there are workers; text; what leads to
/// it), index, snapshot and head. How many of the media's streams hold something is chance, for their workers race.
const MOST_OBJECTS: usize = 3 + 2 + 3;

#[test]
fn a_run_that_stops_at_any_write_loses_nothing_and_is_taken_up_again() {
    let mut made = Made::new(8, 3, 1500);
    let mut grown = made.clone();
    let mut rng = Lcg(5);
    for n in 0..200 {
        let message = grown.message(
            &mut rng,
            77,
            n,
            1_695_000_000_000 + i64::try_from(n).unwrap(),
        );
        grown.conversations[1].1.push(message);
    }
    let bytes = |made: &Made| made.files.values().map(Vec::len).sum::<usize>();
    assert!(bytes(&grown) - bytes(&made) < 8 << 20, "one pack holds it");
    for (writes, silent) in (0..).flat_map(|writes| [(writes, false), (writes, true)]) {
        let why = format!("stopped at write {writes}, which was done: {silent}");
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let ledger = MemoryLedger::new();
        back_up(&inner, &ledger, &mut made, &Run::default()).unwrap();
        let before = inner.list("").unwrap().len();
        let faulty = if silent {
            FaultyStore::going_silent_after(Arc::clone(&inner), writes)
        } else {
            FaultyStore::stopping_after(Arc::clone(&inner), writes)
        };
        let faulty: Arc<dyn Store> = Arc::new(faulty);
        let run = Run {
            now_ms: 1_700_000_100_000,
            unlocked: false,
            ..Run::default()
        };
        let stopped = back_up(&faulty, &ledger, &mut grown, &run);
        if stopped.is_ok() {
            assert!(
                writes >= 5,
                "packs, index, snapshot and head are more than {writes} writes"
            );
            break;
        }
        let has_head = inner.list("heads/").unwrap().len() == 2;
        assert!(silent || !has_head, "{why}");
        let now = read_newest(&inner);
        let wanted = if has_head { &grown } else { &made };
        assert!(now == expected(wanted), "{why}");
        let later = Run {
            now_ms: 1_700_000_200_000,
            unlocked: false,
            ..Run::default()
        };
        let again = back_up(&inner, &ledger, &mut grown, &later).unwrap();
        // A head that was ready is published first, and then nothing is new.
        assert!([0, 200].contains(&again.new.messages), "{why}");
        assert!(!has_head || again.new.messages == 0, "{why}");
        assert!(read_newest(&inner) == expected(&grown), "{why}");
        let after = inner.list("").unwrap().len();
        assert!(
            after <= before + 2 * MOST_OBJECTS,
            "{why}: {before} objects became {after}"
        );
    }
}

#[test]
fn a_first_run_that_stops_at_any_write_is_taken_up_again() {
    let mut made = Made::new(9, 2, 1200);
    for writes in 0..40 {
        let inner: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let ledger = MemoryLedger::new();
        let faulty: Arc<dyn Store> =
            Arc::new(FaultyStore::stopping_after(Arc::clone(&inner), writes));
        let stopped = back_up(&faulty, &ledger, &mut made, &Run::default());
        if stopped.is_ok() {
            return;
        }
        assert!(matches!(
            Repository::open(Arc::clone(&inner), TestReader::new(), None),
            Err(EngineError::NoBackup)
        ));
        back_up(&inner, &ledger, &mut made, &Run::default()).unwrap();
        assert!(
            read_newest(&inner) == expected(&made),
            "stopped at write {writes}"
        );
    }
    panic!("never done");
}

#[test]
fn a_lost_ledger_is_rebuilt_at_the_next_unlock() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(10, 3, 1500);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    ledger.clear().unwrap();
    let run = Run {
        now_ms: 1_700_000_100_000,
        unlocked: false,
        ..Run::default()
    };
    assert!(matches!(
        back_up(&store, &ledger, &mut made, &run),
        Err(EngineError::UnlockNeeded)
    ));
    let again = back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            unlocked: true,
            ..run
        },
    )
    .unwrap();
    assert_eq!(again.new.messages, 0);
}

#[test]
fn a_clock_that_was_wrong_once_stops_no_later_run_and_shows_no_older_version() {
    const AHEAD_MS: i64 = 4_102_444_800_000;
    let now = |hours: i64| Run {
        now_ms: 1_700_000_000_000 + hours * 3_600_000,
        ..Run::default()
    };
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(11, 1, 50);
    let first = back_up(&store, &ledger, &mut made, &now(0)).unwrap();
    assert_eq!(first.ahead_ms, None);
    let text = |made: &mut Made, text: &str| {
        made.conversations[0].1[7].text = text.to_owned();
    };
    text(&mut made, "as the wrong clock saw it");
    let ahead = Run {
        now_ms: AHEAD_MS,
        ..Run::default()
    };
    assert_eq!(
        back_up(&store, &ledger, &mut made, &ahead)
            .unwrap()
            .ahead_ms,
        None
    );
    // Set right: it goes on, says so once, and what it finds now is the newer version.
    text(&mut made, "as the right clock saw it");
    let right = back_up(&store, &ledger, &mut made, &now(1)).unwrap();
    assert_eq!(right.ahead_ms, Some(AHEAD_MS));
    assert_text(&store, "as the right clock saw it");
    text(&mut made, "and once more");
    let right = back_up(&store, &ledger, &mut made, &now(2)).unwrap();
    assert_eq!(right.ahead_ms, None);
    assert_text(&store, "and once more");
    // On a computer that lost its table, too.
    ledger.clear().unwrap();
    text(&mut made, "after all");
    back_up(&store, &ledger, &mut made, &now(3)).unwrap();
    assert_text(&store, "after all");
    let repository = Repository::open(store, TestReader::new(), None).unwrap();
    let mut times: Vec<i64> = repository
        .snapshots()
        .unwrap()
        .iter()
        .map(|snapshot| snapshot.created_at)
        .collect();
    times.sort_unstable();
    assert_eq!(
        times,
        [
            now(0).now_ms,
            now(1).now_ms,
            now(2).now_ms,
            now(3).now_ms,
            AHEAD_MS
        ],
        "each snapshot says what its clock said"
    );
}

fn assert_text(store: &Arc<dyn Store>, wanted: &str) {
    let repository = Repository::open(Arc::clone(store), TestReader::new(), None).expect("opens");
    let mut view = Arc::new(repository)
        .view(&Selection::Newest)
        .expect("opens");
    let id = view.conversations().expect("chats")[0]
        .conversation
        .id
        .clone();
    let mut found = 0;
    view.messages(&id, MessageQuery::default(), &mut |message| {
        found += usize::from(message.text == wanted);
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .expect("opens");
    assert_eq!(found, 1, "{wanted}");
}

#[test]
fn many_runs_do_not_make_many_indexes() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(12, 4, 4000);
    let mut rng = Lcg(4);
    for day in 0..30u64 {
        back_up(
            &store,
            &ledger,
            &mut made,
            &Run {
                now_ms: 1_700_000_000_000 + i64::try_from(day).unwrap() * 86_400_000,
                unlocked: false,
                ..Run::default()
            },
        )
        .unwrap();
        for n in 0..20 {
            let message = made.message(
                &mut rng,
                1000 + day,
                n,
                1_690_000_000_000 + i64::try_from(day * 1000 + n).unwrap(),
            );
            made.conversations[usize::try_from(n % 4).unwrap()]
                .1
                .push(message);
        }
    }
    let repository = Repository::open(Arc::clone(&store), TestReader::new(), None).unwrap();
    let (reads, _) = repository.reads();
    assert!(reads <= 8, "{reads} reads to open after 30 runs");
    assert_eq!(repository.snapshots().unwrap().len(), 30);
}

#[test]
fn a_change_to_an_old_message_stores_little_and_is_read_again() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(13, 1, 6000);
    let first = back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    for day in 0..20u32 {
        let at = usize::try_from(day * 3).unwrap();
        made.conversations[0].1[at]
            .reactions
            .push(heirloom_archive::Reaction {
                author: "p2".into(),
                emoji: "❤".into(),
                at: i64::from(day),
            });
        let run = Run {
            now_ms: 1_700_000_100_000 + i64::from(day) * 86_400_000,
            unlocked: false,
            ..Run::default()
        };
        let outcome = back_up(&store, &ledger, &mut made, &run).unwrap();
        assert_eq!(outcome.new.messages, 0);
        // Every ninth time the whole segment is written again, and the deltas to it go.
        assert!(
            outcome.stored_bytes < first.stored_bytes / 10,
            "day {day}: {} of {}",
            outcome.stored_bytes,
            first.stored_bytes
        );
        assert!(read_newest(&store) == expected(&made), "day {day}");
    }
    let info = Repository::open(store, TestReader::new(), None)
        .unwrap()
        .snapshots()
        .unwrap()
        .remove(0);
    assert_eq!(info.totals.1, 6000);
}

#[test]
fn a_few_new_messages_store_little_beside_their_segment() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(14, 1, 6000);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let last = made.conversations[0].1.last().unwrap().sent_at;
    for n in 0..3u32 {
        made.conversations[0].1.push(heirloom_archive::Message {
            id: format!("late{n}"),
            author: "p1".into(),
            sent_at: last + 1 + i64::from(n),
            text: "see you tomorrow".into(),
            ..Default::default()
        });
    }
    let run = Run {
        now_ms: 1_700_000_100_000,
        unlocked: false,
        ..Run::default()
    };
    let outcome = back_up(&store, &ledger, &mut made, &run).unwrap();
    assert_eq!(outcome.new.messages, 3);
    assert!(outcome.stored_bytes < 30_000, "{}", outcome.stored_bytes);
    assert!(read_newest(&store) == expected(&made));
}

#[test]
fn an_unchanged_source_that_is_read_another_way_is_read_again() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(16, 1, 50);
    made.stamp = Some([5; 32]);
    let mut read_as = |words: &str| {
        heirloom_engine::backup::run(heirloom_engine::backup::BackupJob {
            store: Arc::clone(&store),
            keys: &support::writer(7),
            reader: Some(TestReader::new()),
            ledger: &ledger,
            source: &mut made,
            rng: &mut rand_core::UnwrapErr(getrandom::SysRng),
            now_ms: 1_700_000_000_000,
            device_name: "test device",
            options: heirloom_engine::backup::BackupOptions {
                read_as: words.into(),
                ..Default::default()
            },
            progress: &heirloom_engine::progress::Silent,
        })
        .unwrap()
        .unchanged
    };
    assert!(!read_as("") && read_as(""));
    assert!(!read_as("month first") && read_as("month first"));
    assert!(!read_as("day first"));
}

#[test]
fn the_last_messages_are_as_many_as_were_asked_for_however_often_one_of_them_changed() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = Made::new(17, 1, 600);
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    for day in 0..6u32 {
        let newest = made.conversations[0].1.last_mut().unwrap();
        newest.reactions.push(heirloom_archive::Reaction {
            author: "p2".into(),
            emoji: "❤".into(),
            at: i64::from(day),
        });
        let run = Run {
            now_ms: 1_700_000_100_000 + i64::from(day) * 86_400_000,
            ..Run::default()
        };
        back_up(&store, &ledger, &mut made, &run).unwrap();
    }
    let repository = Arc::new(Repository::open(store, TestReader::new(), None).unwrap());
    let mut view = repository.view(&Selection::Newest).unwrap();
    let list = &expected(&made)[0].1;
    for last in [0, 1, 2, 5, 6, 7, 100, 599, 600, 601] {
        let mut ids = Vec::new();
        let query = heirloom_archive::MessageQuery {
            last: Some(last),
            ..Default::default()
        };
        heirloom_archive::History::messages(&mut view, "chat0", query, &mut |message| {
            ids.push(message.id);
            Ok(std::ops::ControlFlow::Continue(()))
        })
        .unwrap();
        let from = list.len().saturating_sub(last);
        let wanted: Vec<_> = list[from..]
            .iter()
            .map(|(message, _)| &message.id)
            .collect();
        assert_eq!(ids.iter().collect::<Vec<_>>(), wanted, "the last {last}");
    }
}
