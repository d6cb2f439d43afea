//! A run that reads only what changed leaves the same history behind as one that reads everything.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

mod support;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use heirloom_archive::{
    Conversation, ConversationRef, Kind, MediaStore, Message, Participant, Reaction, Reading,
    Report, Sink, SinkError, Source, SourceError, SourceInfo,
};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::repository::{Repository, Selection};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use prost::Message as _;
use support::{Lcg, Made, Run, TestReader, back_up, read_all};

const DAY_MS: i64 = 86_400_000;

/// A source that knows what changed: its mark holds a hash of each message.
struct Tracked {
    made: Made,
    /// Messages given by the last reading.
    given: u64,
    /// Readings of everything.
    whole: u32,
}

/// Lets through what the mark does not know, and counts.
struct Changed<'a> {
    sink: &'a mut dyn Sink,
    known: BTreeMap<Vec<u8>, [u8; 32]>,
    now: BTreeMap<Vec<u8>, [u8; 32]>,
    given: u64,
}

impl Sink for Changed<'_> {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.sink.participant(participant)
    }
    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        self.sink.conversation(conversation)
    }
    fn message(
        &mut self,
        conversation: ConversationRef,
        message: Message,
    ) -> Result<(), SinkError> {
        let hash = digest(&message.encode_to_vec());
        let id = format!("{} {}", conversation.0, message.id).into_bytes();
        let same = self.known.get(&id) == Some(&hash);
        self.now.insert(id, hash);
        if same {
            return Ok(());
        }
        self.given += 1;
        self.sink.message(conversation, message)
    }
}

/// Any digest will do for a test's own bookkeeping.
fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0u8; 32];
    for (at, byte) in bytes.iter().enumerate() {
        let place = &mut hash[at % 32];
        *place = place.rotate_left(3) ^ byte.wrapping_mul(31).wrapping_add(7);
    }
    hash
}

impl Source for Tracked {
    fn info(&self) -> SourceInfo {
        self.made.info()
    }
    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        self.made.read(sink)
    }
    fn read_since(
        &mut self,
        mark: Option<&[u8]>,
        key: &[u8; 32],
        sink: &mut dyn Sink,
    ) -> Result<Reading, SourceError> {
        assert_ne!(key, &[0; 32]);
        let mut known = BTreeMap::new();
        let mut rest = mark.unwrap_or_default();
        while let Some((len, after)) = rest.split_first_chunk::<8>() {
            let (id, after) = after.split_at(usize::try_from(u64::from_le_bytes(*len)).unwrap());
            let (hash, after) = after.split_first_chunk::<32>().unwrap();
            known.insert(id.to_vec(), *hash);
            rest = after;
        }
        let mut changed = Changed {
            sink,
            known,
            now: BTreeMap::new(),
            given: 0,
        };
        let report = self.made.read(&mut changed)?;
        let mut mark_now = Vec::new();
        for (id, hash) in &changed.now {
            mark_now.extend_from_slice(&u64::try_from(id.len()).unwrap().to_le_bytes());
            mark_now.extend_from_slice(id);
            mark_now.extend_from_slice(hash);
        }
        self.given = changed.given;
        self.whole += u32::from(mark.is_none());
        Ok(Reading {
            report,
            whole: mark.is_none(),
            mark: Some(mark_now),
        })
    }
    fn media(&self) -> Arc<dyn MediaStore> {
        self.made.media()
    }
    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }
}

/// New messages at the end of some conversations, and changes to old ones anywhere.
fn a_day(made: &mut Made, rng: &mut Lcg, day: u64) {
    for number in 0..made.conversations.len() {
        let conversation = u64::try_from(number).unwrap();
        let newest = made.conversations[number].1.last();
        let until = newest.map_or(0, |message| message.sent_at);
        for n in 0..rng.next(6) {
            let at = until + 1 + i64::try_from(n * 1000).unwrap();
            let fresh = made.message(rng, conversation, 1_000_000 + day * 1000 + n, at);
            made.conversations[number].1.push(fresh);
        }
        let list = &mut made.conversations[number].1;
        if list.is_empty() {
            continue;
        }
        let len = u64::try_from(list.len()).unwrap();
        let at = |rng: &mut Lcg| usize::try_from(rng.next(len)).unwrap();
        match rng.next(5) {
            0 => list[at(rng)].text = format!("edited on day {day}"),
            1 => {
                let at = at(rng);
                list[at].reactions.push(Reaction {
                    author: format!("p{day}"),
                    emoji: "🎉".into(),
                    at: i64::try_from(day).unwrap(),
                });
            }
            2 => list[0].text = format!("the oldest, edited on day {day}"),
            3 if list.len() > 20 => {
                list.remove(5);
            }
            _ => {}
        }
    }
    if day % 5 == 3 {
        let number = u64::try_from(made.conversations.len()).unwrap();
        let conversation = Conversation {
            id: format!("chat{number}"),
            app: "test".into(),
            title: format!("New on day {day}"),
            ..Conversation::default()
        };
        let list = (0..70)
            .map(|n| made.message(rng, number, n, 5_000 + i64::try_from(n).unwrap()))
            .collect();
        made.conversations.push((conversation, list));
    }
    if day % 7 == 2 {
        made.conversations[0].0.title = format!("renamed on day {day}");
    }
}

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
        let mut source = Tracked {
            made: Made::new(seed, 5, 700),
            given: 0,
            whole: 0,
        };
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
    let mut source = Tracked {
        made: Made::new(3, 3, 300),
        given: 0,
        whole: 0,
    };
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
    let mut source = Tracked {
        made: Made::new(4, 3, 300),
        given: 0,
        whole: 0,
    };
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
