//! The second pass: sorted messages into segments; segments that are not stored yet are compressed, given a filter, and
//! sealed, by workers.

mod additions;
mod seal;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use heirloom_archive::{Attachment, Kind, Presence, Report, frames};
use prost::Message as _;

use super::base::Base;
use super::media::{MediaKey, Results, Stored};
use super::scan::{Scanned, ScannedConversation};
use super::state::NoteState;
use super::trees::{Added, Thinned, Trees, WrittenTree};
use super::{BackupOptions, NewCounts};
use crate::error::EngineError;
use crate::ids::ShortId;
use crate::keys::{ReaderKeys, purpose};
use crate::ledger::Change;
use crate::packer::{Packer, Stream};
use crate::progress::Phase;
use crate::proto;
use crate::segment::{EncodedMessage, Fingerprint, Segment, Segmenter};
use crate::sorter::{SortKey, Sorted};
use crate::store::Store;
use seal::{Backlog, compressor, seal, seal_jobs};

/// Segments that wait for a worker at most.
const WAITING: usize = 4;
/// Only what is new is stored of a segment in which less than one message in so many is.
const DELTA_SHARE: usize = 3;

/// What the second pass gives.
pub(crate) struct Merged {
    pub(crate) report: Report,
    pub(crate) new: NewCounts,
    pub(crate) trees: Vec<WrittenTree>,
    pub(crate) participants: Vec<Vec<u8>>,
    pub(crate) participant_count: u64,
    pub(crate) remembered: Vec<Change>,
    /// What the source was like, if nothing of it was left out.
    pub(crate) mark: Option<Vec<u8>>,
    /// What the snapshot tells a device without local state.
    pub(crate) notes: Vec<NoteState>,
}

struct Job {
    conversation: u32,
    number: u32,
    segment: Segment,
    /// Only what is new or changed.
    delta: bool,
}

/// A segment that is stored, or on its way.
pub(crate) struct SealedSegment {
    pub(crate) number: u32,
    pub(crate) entry: proto::SegmentEntry,
    pub(crate) fingerprints: Vec<Fingerprint>,
    pub(crate) attachments_at: Vec<(u32, u32)>,
}

type Done = Result<(u32, SealedSegment), EngineError>;

/// The streams that workers share. Compressing happens outside the locks, sealing is quick.
struct Streams {
    text: Mutex<Stream>,
    meta: Mutex<Stream>,
    /// What the ledger is to be told of segments. It is told rarely: each time costs it a write of its own.
    learned: Mutex<Vec<Change>>,
}

/// Segments of which the ledger is told at once.
const LEARN: usize = 256;

impl Streams {
    fn begin(packer: &Packer<'_>) -> Self {
        Self {
            text: Mutex::new(packer.stream()),
            meta: Mutex::new(packer.stream()),
            learned: Mutex::default(),
        }
    }

    /// Remembers something of a segment, soon: until then a killed run makes it again.
    fn learn(&self, packer: &Packer<'_>, change: Change) -> Result<(), EngineError> {
        let mut learned = lock(&self.learned);
        learned.push(change);
        if learned.len() < LEARN {
            return Ok(());
        }
        let full = std::mem::take(&mut *learned);
        drop(learned);
        packer.remember(full)
    }
}

/// What the second pass works with.
pub(crate) struct SecondPass<'a> {
    pub(crate) reader: Option<&'a Arc<dyn ReaderKeys>>,
    pub(crate) store: &'a Arc<dyn Store>,
    pub(crate) source_key: &'a [u8; 32],
    pub(crate) options: &'a BackupOptions,
    /// Everything is read because deltas have piled up.
    pub(crate) piled_up: bool,
    /// What the clock says.
    pub(crate) now_ms: i64,
    /// What segments are written with as `added_at`: later than any that this lineage knows of.
    pub(crate) added_ms: i64,
}

/// Stores what is not stored yet. `None`: the source was read in part, and has to be read as a whole; nothing was stored.
pub(crate) fn run(
    packer: &Packer<'_>,
    scanned: Scanned,
    base: &mut Base,
    pass: &SecondPass<'_>,
) -> Result<Option<Merged>, EngineError> {
    let SecondPass {
        reader,
        store,
        source_key,
        options,
        piled_up,
        now_ms: _,
        added_ms,
    } = *pass;
    let Scanned {
        mut sorted,
        conversations,
        participants,
        media,
        files,
        mut report,
        whole,
        mark,
    } = scanned;
    let streams = Streams::begin(packer);
    let (done_sender, done) = channel::<Done>();
    let mut trees = Trees::new(packer, base, reader, store, piled_up);
    let failed = AtomicBool::new(false);

    let (jobs, work) = sync_channel::<Job>(WAITING);
    let work = &Mutex::new(work);
    let fits = std::thread::scope(|scope| -> Result<bool, EngineError> {
        for _ in 0..options.workers {
            let sender = done_sender.clone();
            let (streams, failed) = (&streams, &failed);
            crate::workers::spawn(scope, "seal", move || {
                seal_jobs(packer, streams, work, &sender, failed, added_ms);
            })?;
        }
        let mut feeder = Feeder {
            packer,
            streams: &streams,
            jobs: (options.workers > 0).then_some(jobs),
            done_sender,
            done: &done,
            media: &media,
            report: &mut report,
            sealed: BTreeMap::new(),
            thinned: BTreeMap::new(),
            added: None,
            failed: &failed,
            added_ms,
        };
        if whole {
            feed(&mut feeder, &mut sorted, &conversations, &mut trees)?;
            Ok(true)
        } else {
            additions::feed(&mut feeder, &mut sorted, &conversations, &mut trees)
        }
    })?;
    none_failed_late(&done)?;
    if !fits {
        return Ok(None);
    }

    let mut remembered = Vec::new();
    let new = trees.new_counts();
    for conversation in trees.finish(&mut lock(&streams.meta))? {
        remembered.push(conversation);
    }
    let written = trees.written();
    let (participant_chunks, participant_count) = super::trees::write_participants(
        packer,
        &mut lock(&streams.meta),
        participants.into_values(),
        base,
        &mut remembered,
    )?;
    // What was left out may be there next time, and is said again until then: so everything is looked at again.
    let mark = mark.filter(|_| report.skips().next().is_none());
    let notes = super::notes::write(
        packer,
        &mut lock(&streams.meta),
        &base.state,
        &files,
        source_key,
        mark.as_deref(),
    )?;
    let Streams {
        text,
        meta,
        learned,
    } = streams;
    remembered.extend(learned.into_inner().unwrap_or_else(PoisonError::into_inner));
    packer.finish(text.into_inner().unwrap_or_else(PoisonError::into_inner))?;
    packer.finish(meta.into_inner().unwrap_or_else(PoisonError::into_inner))?;
    Ok(Some(Merged {
        report,
        new,
        trees: written,
        participants: participant_chunks,
        participant_count,
        remembered,
        mark,
        notes,
    }))
}

/// A worker's last segments go into their pack after it has said that they are done.
fn none_failed_late(done: &Receiver<Done>) -> Result<(), EngineError> {
    done.try_iter().find_map(Result::err).map_or(Ok(()), Err)
}

struct Feeder<'a, 'p> {
    packer: &'a Packer<'p>,
    streams: &'a Streams,
    jobs: Option<SyncSender<Job>>,
    done_sender: Sender<Done>,
    done: &'a Receiver<Done>,
    media: &'a Results,
    report: &'a mut Report,
    /// Finished segments by conversation, until all of one are there.
    sealed: BTreeMap<u32, Vec<SealedSegment>>,
    /// Segments of which only what is new is stored, by conversation.
    thinned: BTreeMap<u32, Vec<Thinned>>,
    /// When only what changed was read: what that adds to each conversation.
    added: Option<BTreeMap<u32, Added>>,
    failed: &'a AtomicBool,
    added_ms: i64,
}

fn feed(
    feeder: &mut Feeder<'_, '_>,
    sorted: &mut Sorted,
    conversations: &[ScannedConversation],
    trees: &mut Trees<'_, '_>,
) -> Result<(), EngineError> {
    let mut segmenter = Segmenter::default();
    let mut current: Option<(u32, u32)> = None;
    let mut waiting: BTreeMap<u32, u32> = BTreeMap::new();
    let mut before: Option<(SortKey, Vec<u8>)> = None;
    let mut spare = None;
    let mut record = Vec::new();
    let mut unheard = 0;
    while let Some((key, body)) = sorted.next(spare.take())? {
        if let Some((conversation, count)) = current
            && conversation != key.conversation
        {
            let count = count
                + feeder.offer(
                    trees,
                    conversations,
                    (conversation, count),
                    segmenter.finish(),
                )?;
            waiting.insert(conversation, count);
            current = None;
            before = None;
        }
        let (conversation, count) = current.get_or_insert((key.conversation, 0));
        let same = before.as_ref().is_some_and(|(known, bytes)| {
            known.sent_at == key.sent_at && known.id == key.id && *bytes == body
        });
        if same {
            feeder.report.lose(
                Kind::Messages,
                "the same message stands there twice",
                false,
                "",
            );
            spare = Some((key, body));
            continue;
        }
        let (attachments, present, contents) = feeder.encode(&body, &mut record);
        let (fingerprint, boundary) = Fingerprint::of(&feeder.packer.ids, &record);
        let message = EncodedMessage {
            sent_at: key.sent_at,
            record: &record,
            attachments,
            present,
            contents: &contents,
            fingerprint,
            boundary,
        };
        let segment = segmenter.push(&message);
        *count += feeder.offer(trees, conversations, (*conversation, *count), segment)?;
        spare = before.replace((key, body));
        unheard += 1;
        if unheard == 512 {
            feeder
                .packer
                .progress
                .advance(Phase::SealingMessages, unheard, 0);
            unheard = 0;
            feeder.collect(false, &mut waiting, conversations, trees)?;
            if feeder.packer.progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
        }
    }
    feeder
        .packer
        .progress
        .advance(Phase::SealingMessages, unheard, 0);
    if let Some((conversation, count)) = current {
        let count = count
            + feeder.offer(
                trees,
                conversations,
                (conversation, count),
                segmenter.finish(),
            )?;
        waiting.insert(conversation, count);
    }
    // Conversations without a message have a tree too.
    let all = (0u32..).zip(conversations).map(|(number, _)| number);
    let silent: Vec<u32> = all
        .filter(|number| !waiting.contains_key(number) && !trees.has(*number))
        .collect();
    for number in silent {
        waiting.insert(number, 0);
    }
    feeder.jobs = None;
    feeder.collect(true, &mut waiting, conversations, trees)
}

impl Feeder<'_, '_> {
    /// Hands a segment to a worker, or only what is new in it when that is little; returns how many segments that were (0
    /// or 1).
    fn offer(
        &mut self,
        trees: &mut Trees<'_, '_>,
        conversations: &[ScannedConversation],
        (conversation, number): (u32, u32),
        segment: Option<Segment>,
    ) -> Result<u32, EngineError> {
        let Some(segment) = segment else {
            return Ok(0);
        };
        let id = self.packer.ids.chunk_id(&segment.plaintext);
        let key = conversations[usize::try_from(conversation).expect("fits")].key;
        let base = if self.packer.is_stored(&id.short())? {
            None
        } else {
            trees.delta_base(&key, segment.first_at, segment.last_at)?
        };
        let Some(known) = base else {
            return self.submit(conversation, number, segment, false);
        };
        let fresh: Vec<usize> = segment
            .fingerprints
            .iter()
            .enumerate()
            .filter(|(_, print)| !known.contains(print))
            .map(|(at, _)| at)
            .collect();
        let little = fresh.len() * DELTA_SHARE < segment.fingerprints.len();
        let Some(part) = little.then(|| segment.only(&fresh)).flatten() else {
            return self.submit(conversation, number, segment, false);
        };
        let Segment {
            messages,
            attachments,
            fingerprints,
            ..
        } = segment;
        let thinned = Thinned {
            messages,
            attachments,
            fingerprints,
        };
        self.thinned.entry(conversation).or_default().push(thinned);
        if part.messages == 0 {
            return Ok(0);
        }
        self.submit(conversation, number, part, true)
    }

    fn submit(
        &mut self,
        conversation: u32,
        number: u32,
        segment: Segment,
        delta: bool,
    ) -> Result<u32, EngineError> {
        let job = Job {
            conversation,
            number,
            segment,
            delta,
        };
        if let Some(jobs) = &self.jobs {
            // A send fails only when all workers are gone: then one has sent its error.
            if jobs.send(job).is_err() {
                return Err(self.worker_error());
            }
        } else {
            let mut compressor = compressor()?;
            let mut backlog = Backlog::default();
            let done = seal(
                self.packer,
                self.streams,
                job,
                &mut compressor,
                &mut backlog,
                self.added_ms,
            );
            backlog.settle_all(self.packer, self.streams)?;
            // The receiver lives as long as this feeder.
            let _ = self.done_sender.send(done);
        }
        if self.failed.load(Ordering::Relaxed) {
            return Err(self.worker_error());
        }
        Ok(1)
    }

    fn worker_error(&self) -> EngineError {
        self.done
            .try_iter()
            .find_map(Result::err)
            .unwrap_or(EngineError::Interrupted)
    }

    /// Takes finished segments, and writes the trees of conversations that are complete.
    fn collect(
        &mut self,
        all: bool,
        waiting: &mut BTreeMap<u32, u32>,
        conversations: &[ScannedConversation],
        trees: &mut Trees<'_, '_>,
    ) -> Result<(), EngineError> {
        loop {
            while let Ok(done) = self.done.try_recv() {
                let (conversation, segment) = done?;
                self.sealed.entry(conversation).or_default().push(segment);
            }
            let complete: Vec<u32> = waiting
                .iter()
                .filter(|(number, count)| {
                    self.sealed.get(number).map_or(0, Vec::len)
                        == usize::try_from(**count).expect("fits")
                })
                .map(|(number, _)| *number)
                .collect();
            for number in &complete {
                waiting.remove(number);
                let mut segments = self.sealed.remove(number).unwrap_or_default();
                segments.sort_by_key(|segment| segment.number);
                let conversation = &conversations[usize::try_from(*number).expect("fits")];
                if let Some(added) = &mut self.added {
                    let added = added.remove(number).unwrap_or_default();
                    let meta = &mut lock(&self.streams.meta);
                    trees.extend(*number, conversation, &segments, added, meta)?;
                    continue;
                }
                trees.write(
                    *number,
                    conversation,
                    &segments,
                    &self.thinned.remove(number).unwrap_or_default(),
                    &mut lock(&self.streams.meta),
                )?;
            }
            if !all || waiting.is_empty() {
                return Ok(());
            }
            match self.done.recv() {
                Ok(done) => {
                    let (conversation, segment) = done?;
                    self.sealed.entry(conversation).or_default().push(segment);
                }
                Err(_) => return Err(EngineError::Interrupted),
            }
        }
    }

    /// Puts the attachments' whereabouts behind the message. Returns how many it has, how many of them are not absent,
    /// and what they need.
    fn encode(&mut self, body: &[u8], record: &mut Vec<u8>) -> (u32, u32, Vec<ShortId>) {
        let (len, rest) = body.split_first_chunk::<4>().expect("written by the sink");
        let (message, rest) =
            rest.split_at(usize::try_from(u32::from_le_bytes(*len)).expect("fits"));
        record.clear();
        record.extend_from_slice(message);
        let mut contents = Vec::new();
        let (mut count, mut present) = (0, 0);
        for frame in frames::split(rest).map_while(Result::ok) {
            let Ok(mut attachment) = Attachment::decode(frame) else {
                continue;
            };
            count += 1;
            if attachment.presence() == Presence::Present {
                present += 1;
                let hash = self
                    .packer
                    .ids
                    .keyed(purpose::FILE, attachment.source_path.as_bytes());
                let key: MediaKey = hash[..16].try_into().expect("16 bytes");
                match self.media.get(&key) {
                    Some(Stored::Content {
                        content,
                        bytes,
                        chunks,
                    }) => {
                        attachment.content = content;
                        // Where the source kept it says nothing any more, and would make equal messages differ.
                        attachment.source_path.clear();
                        attachment.path.clear();
                        attachment.bytes = bytes;
                        contents.extend(chunks);
                    }
                    Some(Stored::Unreadable { reason, readable }) => {
                        attachment.set_presence(Presence::Unreadable);
                        self.report.lose(
                            Kind::Attachments,
                            reason,
                            readable,
                            attachment.source_path.as_str(),
                        );
                    }
                    None => {
                        attachment.set_presence(Presence::Unreadable);
                        self.report.lose(
                            Kind::Attachments,
                            "the file was not found",
                            false,
                            attachment.source_path.as_str(),
                        );
                    }
                }
            }
            prost::encoding::message::encode(ATTACHMENTS_FIELD, &attachment, record);
        }
        (count, present, contents)
    }
}

/// `Message.attachments` in archive.proto: the last field, so that it can be put behind the rest.
const ATTACHMENTS_FIELD: u32 = 40;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
