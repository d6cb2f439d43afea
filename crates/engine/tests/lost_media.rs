//! Media that the source no longer has stay in the backup, and those that the store has lost are stored again.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

mod support;

use std::sync::Arc;

use heirloom_archive::{Attachment, Conversation, Message, MessageKind, Presence};
use heirloom_engine::backup::{self, BackupJob, BackupOptions};
use heirloom_engine::check::{self, CheckOptions};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::prune::{self, GRACE_MS, KeepRules};
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use rand_core::UnwrapErr;
use support::{Lcg, Made, Run, TestReader, back_up, copy_of, expected, read_all, shrink, writer};

const DAY_MS: i64 = 86_400_000;

fn store() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

fn day(number: i64) -> Run {
    Run {
        now_ms: Run::default().now_ms + number * DAY_MS,
        unlocked: number == 0,
        ..Run::default()
    }
}

fn open(store: &Arc<dyn Store>) -> Arc<Repository> {
    Arc::new(Repository::open(Arc::clone(store), TestReader::new(), None).unwrap())
}

fn view(store: &Arc<dyn Store>) -> support::Everything {
    read_all(&mut open(store).view(&Selection::Newest).unwrap())
}

/// What each message's first attachment holds, in the order of the messages.
fn media(store: &Arc<dyn Store>) -> Vec<Option<Vec<u8>>> {
    let messages = view(store).into_iter().flat_map(|(_, messages)| messages);
    messages
        .filter_map(|(_, bodies)| bodies.into_iter().next())
        .collect()
}

/// A chat of pictures alone; the file of each is what `content` says.
fn album(pictures: u16, content: impl Fn(u16) -> u16) -> Made {
    let mut made = Made::new(1, 0, 0);
    let mut list = Vec::new();
    for number in 0..pictures {
        let path = format!("media/{number}.jpg");
        let mut message = Message {
            id: format!("picture{number}"),
            author: "p1".into(),
            sent_at: 1_600_000_000_000 + i64::from(number) * 1000,
            ..Message::default()
        };
        message.set_kind(MessageKind::Picture);
        message.attachments.push(Attachment {
            name: format!("{number}.jpg"),
            bytes: 3000,
            source_path: path.clone(),
            ..Attachment::default()
        });
        list.push(message);
        let [low, high] = content(number).to_le_bytes();
        made.files.insert(path, [low, high].repeat(1500));
    }
    let conversation = Conversation {
        id: "album".into(),
        app: "test".into(),
        title: "Album".into(),
        ..Conversation::default()
    };
    made.conversations.push((conversation, list));
    made
}

/// As an export without these media has it.
fn without(made: &Made, gone: impl Fn(usize) -> bool) -> Made {
    let mut made = made.clone();
    for (number, message) in made.conversations[0].1.iter_mut().enumerate() {
        if gone(number) {
            for attachment in &mut message.attachments {
                made.files.remove(&attachment.source_path);
                attachment.source_path.clear();
                attachment.set_presence(Presence::Absent);
            }
        }
    }
    made
}

fn prune_to_the_last(store: &Arc<dyn Store>, number: i64) {
    let rules = KeepRules {
        last: 1,
        ..KeepRules::default()
    };
    for now_ms in [day(number).now_ms, day(number).now_ms + GRACE_MS] {
        let repository = open(store);
        let plan = prune::plan(&repository, &rules, now_ms).unwrap();
        let mut rng = UnwrapErr(getrandom::SysRng);
        prune::apply(&repository, plan, &writer(7), &mut rng, &Silent).unwrap();
    }
}

fn problems(store: &Arc<dyn Store>) -> Vec<check::Problem> {
    let options = CheckOptions {
        read_data: Some(100),
    };
    check::run(&open(store), &options, &Silent)
        .unwrap()
        .problems
}

#[test]
fn a_chat_that_lost_its_media_keeps_those_that_were_stored() {
    for gone in [|_: usize| true, |number: usize| number.is_multiple_of(3)] {
        let full = album(700, |number| number);
        let expected: Vec<_> = full.conversations[0]
            .1
            .iter()
            .map(|message| full.files.get(&message.attachments[0].source_path).cloned())
            .collect();
        let (store, ledger) = (store(), MemoryLedger::new());
        back_up(&store, &ledger, &mut full.clone(), &day(0)).unwrap();
        let mut poorer = without(&full, gone);
        for number in 1..4 {
            back_up(&store, &ledger, &mut poorer, &day(number)).unwrap();
            assert_eq!(media(&store), expected, "day {number}");
        }
        prune_to_the_last(&store, 4);
        assert_eq!(media(&store), expected, "after prune");
        assert_eq!(problems(&store), []);
        // And the source has them again.
        back_up(&store, &ledger, &mut full.clone(), &day(30)).unwrap();
        assert_eq!(media(&store), expected);
    }
}

#[test]
fn a_sticker_that_other_messages_still_have_is_not_lost_to_the_one_that_has_it_no_more() {
    let full = album(60, |number| number / 30);
    let expected: Vec<_> = (0..60)
        .map(|number| full.files.get(&format!("media/{number}.jpg")).cloned())
        .collect();
    let (store, ledger) = (store(), MemoryLedger::new());
    back_up(&store, &ledger, &mut full.clone(), &day(0)).unwrap();
    // More than a third of each half: the segment is written whole.
    let mut poorer = without(&full, |number| number.is_multiple_of(2));
    back_up(&store, &ledger, &mut poorer, &day(1)).unwrap();
    assert_eq!(media(&store), expected);
}

#[test]
fn a_segment_whose_media_all_stand_in_the_new_one_goes() {
    let mut made = album(40, |number| number);
    let (store, ledger) = (store(), MemoryLedger::new());
    back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let mut more = album(100, |number| number);
    back_up(&store, &ledger, &mut more, &day(1)).unwrap();
    let before = store.list("packs/").unwrap().len();
    prune_to_the_last(&store, 2);
    assert!(
        store.list("packs/").unwrap().len() < before,
        "the old one is needed no more"
    );
    assert_eq!(media(&store).len(), 100);
    assert_eq!(problems(&store), []);
}

fn forced(store: &Arc<dyn Store>, ledger: &MemoryLedger, source: &mut Made, unlocked: bool) {
    backup::run(BackupJob {
        store: Arc::clone(store),
        keys: &writer(7),
        reader: unlocked.then(TestReader::new),
        ledger,
        source,
        rng: &mut UnwrapErr(getrandom::SysRng),
        now_ms: day(20).now_ms,
        device_name: "test device",
        options: BackupOptions {
            force: true,
            ..BackupOptions::default()
        },
        progress: &Silent,
    })
    .unwrap();
}

#[test]
fn a_pack_that_the_store_lost_is_stored_again_by_a_forced_run() {
    let memory = Arc::new(MemoryStore::new());
    let whole: Arc<dyn Store> = memory.clone();
    let ledger = MemoryLedger::new();
    let mut made = Made::new(5, 2, 300);
    shrink(&mut made, 3000);
    back_up(&whole, &ledger, &mut made, &day(0)).unwrap();
    for number in 1..4 {
        let mut rng = Lcg(u64::try_from(number).unwrap());
        let at = 1_650_000_000_000 + number * 1000;
        let id = u64::try_from(1000 + number).unwrap();
        let message = made.message(&mut rng, 0, id, at);
        made.conversations[0].1.push(message);
        shrink(&mut made, 3000);
        back_up(&whole, &ledger, &mut made, &day(number)).unwrap();
    }
    let packs = whole.list("packs/").unwrap();
    assert!(packs.len() >= 9, "{} packs", packs.len());
    let lost = |how: usize, names: &[&str]| {
        let mut objects = memory.objects();
        for name in names {
            match how {
                0 => drop(objects.remove(*name)),
                _ => objects.get_mut(*name).unwrap().truncate(100),
            }
        }
        let store: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(objects));
        store
    };
    let each: Vec<Vec<&str>> = packs.iter().map(|pack| vec![pack.name.as_str()]).collect();
    let all: Vec<&str> = packs.iter().map(|pack| pack.name.as_str()).collect();
    for (at, names) in each.into_iter().chain([all]).enumerate() {
        let (store, ledger) = (lost(at % 2, &names), copy_of(&ledger));
        forced(&store, &ledger, &mut made, at % 3 == 0);
        assert!(view(&store) == expected(&made), "without {names:?}");
        // And nothing is left to do.
        let packs = store.list("packs/").unwrap().len();
        forced(&store, &ledger, &mut made, false);
        assert!(store.list("packs/").unwrap().len() <= packs + 1);
        // Older snapshots had trees of their own, which no source gives: only they stay damaged.
        let newest = open(&store).snapshots().unwrap().remove(0).hash;
        for problem in problems(&store) {
            let of_older = problem.object.starts_with("snapshots/")
                && !problem.object.ends_with(&newest)
                || problem.affects.starts_with("the conversation")
                || problem.affects == "nothing that a snapshot needs";
            assert!(of_older, "without {names:?}: {problem:?}");
        }
        prune_to_the_last(&store, 30);
        assert_eq!(problems(&store), [], "without {names:?}");
        assert!(view(&store) == expected(&made));
    }
}
