//! A source that can tell what changed, and counts what it is asked for.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heirloom_archive::{
    Conversation, ConversationRef, MediaFile, MediaStore, Message, Participant, Reaction, Reading,
    Report, Sink, SinkError, Source, SourceError, SourceInfo, Stamp,
};
use prost::Message as _;

use super::{Lcg, Made};

/// A source that knows what changed: its mark holds a hash of each message.
pub struct Tracked {
    pub made: Made,
    /// Messages given by the last reading.
    pub given: u64,
    /// Readings of everything.
    pub whole: u32,
    /// Media that were opened, in all.
    pub opened: Arc<AtomicU64>,
    /// The computer that the files lie on: each gives them other numbers and other times of its own.
    pub computer: u64,
    /// When the files were changed.
    pub modified_ns: i64,
}

impl Tracked {
    pub fn new(made: Made) -> Self {
        Self {
            made,
            given: 0,
            whole: 0,
            opened: Arc::default(),
            computer: 1,
            modified_ns: 1,
        }
    }

    /// Media that were opened so far.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

/// Counts what is opened.
struct Counted {
    files: Arc<dyn MediaStore>,
    opened: Arc<AtomicU64>,
    computer: u64,
    modified_ns: i64,
}

impl MediaStore for Counted {
    fn open(&self, path: &str) -> io::Result<MediaFile> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.files.open(path)
    }
    fn stamp(&self, path: &str) -> io::Result<Option<Stamp>> {
        let stamp = self.files.stamp(path)?;
        Ok(stamp.map(|stamp| Stamp {
            inode: self.computer,
            changed_ns: i64::try_from(self.computer).unwrap(),
            modified_ns: self.modified_ns,
            ..stamp
        }))
    }
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
        Arc::new(Counted {
            files: self.made.media(),
            opened: Arc::clone(&self.opened),
            computer: self.computer,
            modified_ns: self.modified_ns,
        })
    }
    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }
}

/// New messages at the end of some conversations, and changes to old ones anywhere.
pub fn a_day(made: &mut Made, rng: &mut Lcg, day: u64) {
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
