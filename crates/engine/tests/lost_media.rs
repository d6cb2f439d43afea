//! Media that the source no longer has stay in the backup, and those that the store has lost are stored again.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

mod support;

use std::sync::Arc;

use heirloom_archive::{Attachment, Conversation, Message, MessageKind, Presence};
use heirloom_engine::check::{self, CheckOptions};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::prune::{self, GRACE_MS, KeepRules};
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use rand_core::UnwrapErr;
use support::{Made, Run, TestReader, back_up, read_all, writer};

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

/// What each message's first attachment holds, in the order of the messages.
fn media(store: &Arc<dyn Store>) -> Vec<Option<Vec<u8>>> {
    let all = read_all(&mut open(store).view(&Selection::Newest).unwrap());
    let messages = all.into_iter().flat_map(|(_, messages)| messages);
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
    for gone in [|_: usize| true, |number: usize| number % 3 == 0] {
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
    let mut poorer = without(&full, |number| number % 2 == 0);
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
