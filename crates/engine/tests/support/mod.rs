//! Keys without a keyring, and a source that makes a chat history from a seed.
#![expect(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::new_ret_no_self,
    clippy::precedence,
    reason = "a test that cannot go on may panic; what it makes is small"
)]

pub mod tracked;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use getrandom::SysRng;
use heirloom_archive::{
    Attachment, Conversation, ConversationRef, Kind, MediaFile, MediaStore, Message, MessageKind,
    Participant, Presence, Reaction, Report, Sink, Source, SourceError, SourceInfo, Stamp,
};
use heirloom_engine::backup::{BackupJob, BackupOptions, BackupOutcome};
use heirloom_engine::keys::{Key, KeyRefused, ReaderKeys, WriterKeys};
use heirloom_engine::ledger::Ledger;
use heirloom_engine::progress::Silent;
use heirloom_engine::store::Store;
use heirloom_engine::{EngineError, backup};
use rand_core::{Rng as _, UnwrapErr};
use secrecy::SecretBox;

pub const REPOSITORY: [u8; 16] = [1; 16];

fn key(byte: u8) -> Key {
    SecretBox::new(Box::new([byte; 32]))
}

/// Seals run keys by nothing at all: sealing belongs to the keys crate, and is tested there.
#[derive(Debug)]
pub struct TestReader {
    chunk_id_key: Key,
    keyring_number: u64,
    run_keys_opened: AtomicU64,
}

impl TestReader {
    pub fn new() -> Arc<dyn ReaderKeys> {
        Self::of_keyring(1)
    }

    /// As if the store had shown the keyring of this number.
    pub fn of_keyring(keyring_number: u64) -> Arc<dyn ReaderKeys> {
        Self::counting(keyring_number)
    }

    /// One that can be asked how many run keys it had to open: the dear part of opening a backup.
    pub fn counting(keyring_number: u64) -> Arc<Self> {
        Arc::new(Self {
            chunk_id_key: key(9),
            keyring_number,
            run_keys_opened: AtomicU64::new(0),
        })
    }

    pub fn run_keys_opened(&self) -> u64 {
        self.run_keys_opened.load(Ordering::Relaxed)
    }
}

impl ReaderKeys for TestReader {
    fn repository(&self) -> [u8; 16] {
        REPOSITORY
    }
    fn keyring_number(&self) -> u64 {
        self.keyring_number
    }
    fn chunk_id_key(&self) -> &Key {
        &self.chunk_id_key
    }
    fn writer_keys(&self, device: &[u8; 16], _: &[u8]) -> Vec<Key> {
        if device[0] < 100 {
            vec![key(device[0])]
        } else {
            Vec::new()
        }
    }
    fn open_run_key(&self, sealed: &[u8]) -> Result<Key, KeyRefused> {
        self.run_keys_opened.fetch_add(1, Ordering::Relaxed);
        let bytes: [u8; 32] = sealed
            .get(..32)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(KeyRefused)?;
        Ok(SecretBox::new(Box::new(bytes)))
    }
}

pub fn writer(device: u8) -> WriterKeys {
    let mut run_key = [0; 32];
    UnwrapErr(SysRng).fill_bytes(&mut run_key);
    let mut sealed = run_key.to_vec();
    sealed.resize(1200, 0xEE);
    WriterKeys::new(
        REPOSITORY,
        [device; 16],
        1,
        [2; 32],
        SecretBox::new(Box::new(run_key)),
        sealed,
        key(device),
        key(9),
    )
}

/// A small generator: the same seed gives the same history.
#[derive(Debug, Clone)]
pub struct Made {
    pub conversations: Vec<(Conversation, Vec<Message>)>,
    pub participants: Vec<Participant>,
    pub files: BTreeMap<String, Vec<u8>>,
    pub stamp: Option<[u8; 32]>,
}

pub struct Lcg(pub u64);

impl Lcg {
    pub fn next(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

impl Made {
    pub fn new(seed: u64, conversations: u64, messages: u64) -> Self {
        let mut rng = Lcg(seed);
        let mut made = Self {
            conversations: Vec::new(),
            participants: Vec::new(),
            files: BTreeMap::new(),
            stamp: None,
        };
        for person in 0..6 {
            made.participants.push(Participant {
                id: format!("p{person}"),
                name: format!("Person {person}"),
                ..Participant::default()
            });
        }
        for number in 0..conversations {
            let conversation = Conversation {
                id: format!("chat{number}"),
                app: "test".into(),
                title: format!("Chat {number}"),
                ..Conversation::default()
            };
            let mut list = Vec::new();
            let mut at = 1_600_000_000_000 + i64::try_from(rng.next(1000)).unwrap();
            for n in 0..messages / (number + 1) {
                at += i64::try_from(rng.next(60_000)).unwrap();
                list.push(made.message(&mut rng, number, n, at));
            }
            made.conversations.push((conversation, list));
        }
        made
    }

    pub fn message(&mut self, rng: &mut Lcg, conversation: u64, n: u64, at: i64) -> Message {
        let words = [
            "hello",
            "breakfast",
            "train",
            "Größe",
            "ok",
            "tomorrow",
            "photo",
            "東京",
        ];
        let text: Vec<String> = (0..rng.next(9))
            .map(|_| {
                format!(
                    "{}{}",
                    words[usize::try_from(rng.next(8)).unwrap()],
                    rng.next(30)
                )
            })
            .collect();
        let mut message = Message {
            id: format!("m{conversation}-{n}"),
            author: format!("p{}", rng.next(6)),
            sent_at: at,
            text: text.join(" "),
            ..Message::default()
        };
        if rng.next(20) == 0 {
            message.reactions.push(Reaction {
                author: "p1".into(),
                emoji: "👍".into(),
                at,
            });
        }
        if rng.next(25) == 0 {
            let len = usize::try_from(match rng.next(12) {
                0 => 0,
                1 => 2_500_000,
                2 => 1_048_576,
                _ => rng.next(60_000),
            })
            .unwrap();
            let path = format!("media/{conversation}-{n}.jpg");
            let tag = rng.next(40);
            let bytes: Vec<u8> = (0..len)
                .map(|i| u8::try_from((i as u64 * (tag + 3) >> 2) & 0xff).unwrap())
                .collect();
            message.set_kind(MessageKind::Picture);
            message.attachments.push(Attachment {
                name: format!("IMG-{n}.jpg"),
                bytes: len as u64,
                source_path: path.clone(),
                ..Attachment::default()
            });
            self.files.insert(path, bytes);
        }
        if rng.next(60) == 0 {
            let mut gone = Attachment {
                name: "gone.jpg".into(),
                ..Attachment::default()
            };
            gone.set_presence(Presence::Absent);
            message.attachments.push(gone);
        }
        message
    }

    pub fn total(&self) -> u64 {
        self.conversations
            .iter()
            .map(|(_, list)| list.len() as u64)
            .sum()
    }
}

#[derive(Debug)]
struct Files(BTreeMap<String, Vec<u8>>);

impl MediaStore for Files {
    fn open(&self, path: &str) -> io::Result<MediaFile> {
        let bytes = self.0.get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(MediaFile::Stream(Box::new(io::Cursor::new(bytes))))
    }
    fn stamp(&self, path: &str) -> io::Result<Option<Stamp>> {
        let bytes = self.0.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Some(Stamp {
            len: bytes.len() as u64,
            modified_ns: 1,
            changed_ns: 1,
            inode: 1,
        }))
    }
}

impl Source for Made {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            app: "test",
            form: "test",
            label: "made".into(),
        }
    }
    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        let mut report = Report::default();
        for participant in &self.participants {
            sink.participant(participant.clone())?;
        }
        // Mixed and backwards: a source may give messages in any order.
        let mut handles: Vec<ConversationRef> = Vec::new();
        for (conversation, _) in &self.conversations {
            handles.push(sink.conversation(conversation.clone())?);
            report.take(Kind::Conversations);
        }
        let longest = self
            .conversations
            .iter()
            .map(|(_, list)| list.len())
            .max()
            .unwrap_or(0);
        for n in (0..longest).rev() {
            for ((_, list), handle) in self.conversations.iter().zip(&handles) {
                if let Some(message) = list.get(n) {
                    report.take(Kind::Messages);
                    for attachment in &message.attachments {
                        if attachment.presence() == Presence::Present {
                            report.take(Kind::Attachments);
                        } else {
                            report.absent();
                        }
                    }
                    sink.message(*handle, message.clone())?;
                }
            }
        }
        Ok(report)
    }
    fn media(&self) -> Arc<dyn MediaStore> {
        Arc::new(Files(self.files.clone()))
    }
    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        Ok(self.stamp)
    }
}

pub struct Run {
    pub device: u8,
    pub now_ms: i64,
    pub workers: usize,
    pub unlocked: bool,
}

impl Default for Run {
    fn default() -> Self {
        Self {
            device: 7,
            now_ms: 1_700_000_000_000,
            workers: 2,
            unlocked: true,
        }
    }
}

pub fn back_up(
    store: &Arc<dyn Store>,
    ledger: &dyn Ledger,
    source: &mut dyn Source,
    run: &Run,
) -> Result<BackupOutcome, EngineError> {
    let mut rng = UnwrapErr(SysRng);
    backup::run(BackupJob {
        store: Arc::clone(store),
        keys: &writer(run.device),
        reader: run.unlocked.then(TestReader::new),
        ledger,
        source,
        rng: &mut rng,
        now_ms: run.now_ms,
        device_name: "test device",
        options: BackupOptions {
            workers: run.workers,
            ..BackupOptions::default()
        },
        progress: &Silent,
    })
}

/// Conversations with their messages, each with the bytes of its attachments.
pub type Everything = Vec<(Conversation, Vec<(Message, Vec<Option<Vec<u8>>>)>)>;

/// Everything that a history says, for comparison: messages with their media's bytes.
pub fn read_all(history: &mut dyn heirloom_archive::History) -> Everything {
    let mut all = Vec::new();
    let mut conversations = history.conversations().unwrap();
    conversations.sort_by(|a, b| a.conversation.id.cmp(&b.conversation.id));
    for summary in conversations {
        let list = Mutex::new(Vec::new());
        history
            .messages(
                &summary.conversation.id,
                heirloom_archive::MessageQuery::default(),
                &mut |message| {
                    list.lock().unwrap().push(message);
                    Ok(std::ops::ControlFlow::Continue(()))
                },
            )
            .unwrap();
        let mut messages = Vec::new();
        for mut message in list.into_inner().unwrap() {
            let mut bodies = Vec::new();
            for attachment in &mut message.attachments {
                let mut bytes = None;
                if let Some(mut reader) = history.open(attachment).unwrap() {
                    let mut body = Vec::new();
                    io::Read::read_to_end(&mut reader, &mut body).unwrap();
                    bytes = Some(body);
                }
                bodies.push(bytes);
                attachment.content.clear();
                attachment.path.clear();
                attachment.source_path.clear();
            }
            messages.push((message, bodies));
        }
        all.push((summary.conversation, messages));
    }
    all
}

/// The same of what was made.
pub fn expected(made: &Made) -> Everything {
    let mut all: Vec<_> = made
        .conversations
        .iter()
        .map(|(conversation, list)| {
            let mut list = list.clone();
            list.sort_by(|a, b| (a.sent_at, &a.id).cmp(&(b.sent_at, &b.id)));
            let list = list
                .into_iter()
                .map(|mut message| {
                    let bodies = message
                        .attachments
                        .iter()
                        .map(|attachment| made.files.get(&attachment.source_path).cloned())
                        .collect();
                    for attachment in &mut message.attachments {
                        attachment.source_path.clear();
                    }
                    (message, bodies)
                })
                .collect();
            (conversation.clone(), list)
        })
        .collect();
    all.sort_by(|a: &(Conversation, _), b| a.0.id.cmp(&b.0.id));
    all
}

/// The canonical form of what a source gives.
pub fn canon_of_source(source: &mut dyn Source) -> String {
    let mut sink = heirloom_archive::canon::CanonSink::new(source.media());
    source.read(&mut sink).unwrap();
    sink.finish()
}

/// The canonical form of a history.
pub fn canon(
    history: &mut dyn heirloom_archive::History,
) -> Result<String, heirloom_archive::HistoryError> {
    let mut text = Vec::new();
    heirloom_archive::canon::canonical(history, &mut text)?;
    Ok(String::from_utf8(text).unwrap())
}

/// Cuts media to a few thousand bytes, for tests that look at every byte.
pub fn shrink(made: &mut Made, at_most: usize) {
    for (_, list) in &mut made.conversations {
        for attachment in list.iter_mut().flat_map(|message| &mut message.attachments) {
            if let Some(file) = made.files.get_mut(&attachment.source_path) {
                file.truncate(at_most);
                attachment.bytes = file.len() as u64;
            }
        }
    }
}

/// The same table again: what a cloned computer has.
pub fn copy_of(
    ledger: &heirloom_engine::ledger::MemoryLedger,
) -> heirloom_engine::ledger::MemoryLedger {
    use heirloom_engine::ledger::{MemoryLedger, Space};
    let copy = MemoryLedger::new();
    for space in [
        Space::Chunk,
        Space::Pack,
        Space::Segment,
        Space::Tree,
        Space::File,
        Space::State,
    ] {
        ledger
            .each(space, &mut |key, value| {
                copy.apply(vec![(space, key.to_vec(), Some(value.to_vec()))])
            })
            .unwrap();
    }
    copy
}
