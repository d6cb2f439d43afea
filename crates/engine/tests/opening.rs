//! Opening a backup and looking into one chat costs a few small reads, however much is in it and however often it was run.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::print_stdout,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::ops::ControlFlow;
use std::sync::Arc;

use heirloom_archive::history::ListedConversation;
use heirloom_archive::{Conversation, History as _, Message, MessageQuery};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::repository::{Repository, Selection, View};
use heirloom_engine::store::Store;
use heirloom_engine::store::faulty::FaultyStore;
use heirloom_engine::store::memory::MemoryStore;
use support::{Lcg, Made, Run, TestReader, back_up};

const READS: u64 = 12;
const BYTES: u64 = 2_000_000;
/// One for head and snapshot, and one for each index object: their rows grow by a factor, so there are few.
const RUN_KEYS: u64 = 6;

/// Chats of different lengths, text only.
fn chats(conversations: u64, messages: u64) -> Made {
    let mut made = Made::new(1, 0, 0);
    let mut rng = Lcg(17);
    for number in 0..conversations {
        let conversation = Conversation {
            id: format!("chat{number}"),
            title: format!("Chat {number}"),
            app: "test".into(),
            ..Conversation::default()
        };
        made.conversations.push((conversation, Vec::new()));
    }
    for n in 0..messages {
        // A few chats have most of the messages, as with people.
        let at = usize::try_from(rng.next(conversations) * rng.next(conversations) / conversations)
            .unwrap();
        let message = message(&mut rng, n);
        made.conversations[at].1.push(message);
    }
    made
}

fn message(rng: &mut Lcg, n: u64) -> Message {
    let words = [
        "see", "you", "tomorrow", "at", "the", "station", "bring", "bread", "please", "and",
        "coffee", "ok",
    ];
    let text: Vec<&str> = (0..2 + rng.next(14))
        .map(|_| words[usize::try_from(rng.next(12)).unwrap()])
        .collect();
    Message {
        id: format!("{:016X}{n:08X}", rng.next(u64::from(u32::MAX))),
        author: format!("p{}", rng.next(6)),
        sent_at: 1_500_000_000_000 + i64::try_from(n).unwrap() * 60_000,
        text: text.join(" "),
        ..Message::default()
    }
}

/// The last 50 ids of a chat, and what it cost to get there from nothing.
fn last_50(store: &Arc<dyn Store>, chat: &str, list_first: bool) -> (Vec<String>, u64, u64) {
    let counting = Arc::new(FaultyStore::counting(Arc::clone(store)));
    let reader = TestReader::counting(1);
    let repository = Arc::new(
        Repository::open(Arc::clone(&counting) as _, Arc::clone(&reader) as _, None).unwrap(),
    );
    let mut view: View = repository.view(&Selection::Newest).unwrap();
    if list_first {
        let before = (counting.reads(), reader.run_keys_opened());
        assert!(!view.list().unwrap().is_empty());
        assert_eq!(
            (counting.reads(), reader.run_keys_opened()),
            before,
            "a list needs no more than what opening has read"
        );
        assert!(
            before.1 <= RUN_KEYS,
            "{} run keys opened for a list",
            before.1
        );
    }
    let mut ids = Vec::new();
    view.messages(
        chat,
        MessageQuery {
            last: Some(50),
            ..MessageQuery::default()
        },
        &mut |message| {
            ids.push(message.id);
            Ok(ControlFlow::Continue(()))
        },
    )
    .unwrap();
    (ids, counting.reads(), counting.bytes_read())
}

fn assert_cheap(store: &Arc<dyn Store>, made: &Made, when: &str) {
    let longest = made
        .conversations
        .iter()
        .max_by_key(|(_, list)| list.len())
        .unwrap();
    for (conversation, list) in [longest, &made.conversations[made.conversations.len() / 2]] {
        let wanted: Vec<String> = list[list.len().saturating_sub(50)..]
            .iter()
            .map(|message| message.id.clone())
            .collect();
        for list_first in [false, true] {
            let (ids, reads, bytes) = last_50(store, &conversation.id, list_first);
            assert_eq!(ids, wanted, "{when}");
            println!(
                "{when}: the last 50 of {}, list first {list_first}: {reads} reads, {bytes} bytes",
                list.len()
            );
            assert!(reads <= READS, "{when}: {reads} reads");
            assert!(bytes <= BYTES, "{when}: {bytes} bytes");
        }
    }
}

#[test]
fn the_last_50_of_200_000_messages_are_a_few_reads_away() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut made = chats(50, 200_000);
    back_up(&store, &MemoryLedger::new(), &mut made, &Run::default()).unwrap();
    assert_cheap(&store, &made, "200,000 messages");
}

#[test]
fn thirty_runs_do_not_make_it_slower() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = chats(50, 30_000);
    let mut rng = Lcg(4);
    let mut n = 30_000;
    for day in 0..30 {
        back_up(
            &store,
            &ledger,
            &mut made,
            &Run {
                now_ms: 1_700_000_000_000 + day * 86_400_000,
                unlocked: false,
                ..Run::default()
            },
        )
        .unwrap();
        for _ in 0..60 {
            let at = usize::try_from(rng.next(50)).unwrap();
            let message = message(&mut rng, n);
            made.conversations[at].1.push(message);
            n += 1;
        }
    }
    back_up(
        &store,
        &ledger,
        &mut made,
        &Run {
            now_ms: 1_700_000_000_000 + 30 * 86_400_000,
            unlocked: false,
            ..Run::default()
        },
    )
    .unwrap();
    assert_cheap(&store, &made, "after 31 runs");
}

#[test]
fn a_small_backup_is_opened_with_less() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut made = chats(3, 300);
    back_up(&store, &MemoryLedger::new(), &mut made, &Run::default()).unwrap();
    let (_, reads, bytes) = last_50(&store, "chat0", false);
    assert!(
        reads <= 6 && bytes < 100_000,
        "{reads} reads, {bytes} bytes"
    );
}

#[test]
fn a_list_says_what_the_conversations_say() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    let mut made = chats(20, 2_000);
    made.conversations.push((
        Conversation {
            id: "silent".into(),
            app: "test".into(),
            ..Conversation::default()
        },
        Vec::new(),
    ));
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let mut rng = Lcg(8);
    made.conversations[3].1.push(message(&mut rng, 2_000));
    let later = Run {
        now_ms: 1_700_000_000_000 + 86_400_000,
        ..Run::default()
    };
    back_up(&store, &ledger, &mut made, &later).unwrap();

    let repository = Arc::new(Repository::open(store, TestReader::new(), None).unwrap());
    let mut view = repository.view(&Selection::Newest).unwrap();
    let whole: Vec<ListedConversation> = view
        .conversations()
        .unwrap()
        .into_iter()
        .map(ListedConversation::from)
        .collect();
    assert_eq!(whole.len(), 21);
    assert_eq!(view.list().unwrap(), whole);
}
