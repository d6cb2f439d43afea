//! Trees: which segments a conversation consists of, and how a new run's segments meet those that were there.

mod stored;
mod successors;

pub(crate) use stored::{Added, Standing, StoredConversation};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use heirloom_archive::{Conversation, Participant, frames};
use prost::Message as _;

use super::NewCounts;
use super::base::Base;
use super::scan::ScannedConversation;
use super::segments::SealedSegment;
use crate::error::EngineError;
use crate::format::index::ChunkKind;
use crate::ids::{ChunkId, ShortId};
use crate::keys::{ReaderKeys, purpose};
use crate::ledger::{Change, Space};
use crate::packer::{Packer, Stream};
use crate::proto;
use crate::repository::Repository;
use crate::segment::Fingerprint;
use crate::store::Store;
use successors::Successors;

/// A conversation's entry for the snapshot.
pub(crate) struct WrittenTree {
    pub(crate) entry: proto::ConversationEntry,
}

/// By what a list knows a conversation.
struct Named {
    id: String,
    app: String,
    title: String,
}

impl Named {
    fn of(record: &Conversation) -> Self {
        Self {
            id: record.id.clone(),
            app: record.app.clone(),
            title: record.title.clone(),
        }
    }
}

/// Deltas to one time of a conversation at most.
pub(crate) const MAX_DELTAS: usize = 8;
/// The same where everything was read because they had piled up: few are left behind.
const MAX_DELTAS_AFTER: usize = 2;

/// A segment of which only what is new or changed is stored.
pub(crate) struct Thinned {
    pub(crate) messages: u32,
    pub(crate) attachments: u32,
    pub(crate) fingerprints: Vec<Fingerprint>,
}

/// Writes trees, and counts what is new.
pub(crate) struct Trees<'a, 'p> {
    packer: &'a Packer<'p>,
    known: HashMap<Vec<u8>, proto::ConversationEntry>,
    dirty: std::collections::BTreeMap<Vec<u8>, proto::ConversationTree>,
    reader: Option<&'a Arc<dyn ReaderKeys>>,
    store: &'a Arc<dyn Store>,
    repository: Option<Repository>,
    /// The segments before this run of the conversation that is being cut.
    current: Option<(Vec<u8>, Vec<proto::SegmentEntry>)>,
    max_deltas: usize,
    new: NewCounts,
    numbers: BTreeSet<u32>,
    written: Vec<WrittenTree>,
    changes: Vec<Change>,
}

impl<'a, 'p> Trees<'a, 'p> {
    pub(crate) fn new(
        packer: &'a Packer<'p>,
        base: &mut Base,
        reader: Option<&'a Arc<dyn ReaderKeys>>,
        store: &'a Arc<dyn Store>,
        piled_up: bool,
    ) -> Self {
        Self {
            packer,
            known: base
                .conversations
                .iter()
                .map(|(key, entry)| (key.clone(), entry.clone()))
                .collect(),
            dirty: std::mem::take(&mut base.dirty),
            reader,
            store,
            repository: None,
            current: None,
            max_deltas: if piled_up {
                MAX_DELTAS_AFTER
            } else {
                MAX_DELTAS
            },
            new: NewCounts::default(),
            numbers: BTreeSet::new(),
            written: Vec::new(),
            changes: Vec::new(),
        }
    }

    pub(crate) fn has(&self, number: u32) -> bool {
        self.numbers.contains(&number)
    }

    pub(crate) fn new_counts(&self) -> NewCounts {
        self.new
    }

    /// Merges a conversation's new segments with those that were there, and stores its tree.
    ///
    /// A segment that the source no longer gives stays, unless every message of it, with the same content and with its
    /// media, stands in the new ones: so nothing is ever lost by importing less, and an edited message keeps its older
    /// version.
    pub(crate) fn write(
        &mut self,
        number: u32,
        conversation: &ScannedConversation,
        segments: &[SealedSegment],
        thinned: &[Thinned],
        stream: &mut Stream,
    ) -> Result<(), EngineError> {
        self.numbers.insert(number);
        let before = self.segments_before(&conversation.key)?;
        let before_by_id: HashMap<Vec<u8>, proto::SegmentEntry> = before
            .iter()
            .map(|entry| (entry.id.clone(), entry.clone()))
            .collect();
        let now: HashSet<Vec<u8>> = segments
            .iter()
            .map(|segment| segment.entry.id.clone())
            .collect();

        let gone: Vec<&proto::SegmentEntry> = before
            .iter()
            .filter(|entry| !now.contains(&entry.id))
            .collect();
        let fresh: Vec<&SealedSegment> = segments
            .iter()
            .filter(|segment| !before_by_id.contains_key(&segment.entry.id))
            .collect();
        let mut gone_prints = Vec::with_capacity(gone.len());
        for entry in &gone {
            gone_prints.push(self.fingerprints(entry)?);
        }
        let known_ids: HashSet<[u8; 8]> =
            gone_prints.iter().flatten().map(|print| print.id).collect();
        // Of a first run nothing is gone: then this would be every message.
        let successors = Successors::of(if gone.is_empty() { &[] } else { &fresh });
        for segment in &fresh {
            let attachments: HashMap<u32, u32> = segment.attachments_at.iter().copied().collect();
            for (at, print) in (0u32..).zip(&segment.fingerprints) {
                if !known_ids.contains(&print.id) {
                    self.new.messages += 1;
                    self.new.attachments += u64::from(attachments.get(&at).copied().unwrap_or(0));
                }
            }
        }

        let mut entries: Vec<proto::SegmentEntry> = segments
            .iter()
            .map(|segment| {
                before_by_id
                    .get(&segment.entry.id)
                    .unwrap_or(&segment.entry)
                    .clone()
            })
            .collect();
        let mut kept: HashSet<[u8; 8]> = HashSet::new();
        let mut kept_attachments: Vec<([u8; 8], u64)> = Vec::new();
        for (entry, prints) in gone.iter().zip(&gone_prints) {
            if !successors.replace(entry, prints) {
                entries.push((*entry).clone());
                kept.extend(prints.iter().map(|print| print.id));
                // Which of its messages have them is not remembered: they count with its last one.
                kept_attachments.extend(
                    prints
                        .last()
                        .map(|print| (print.id, u64::from(entry.attachments))),
                );
            }
        }
        // A thinned segment counts as what the source said, not as what was stored of it.
        let full = || segments.iter().filter(|segment| !segment.entry.delta);
        let mut messages: u64 = full()
            .map(|segment| u64::from(segment.entry.messages))
            .chain(thinned.iter().map(|thinned| u64::from(thinned.messages)))
            .sum();
        let mut attachments: u64 = full()
            .map(|segment| u64::from(segment.entry.attachments))
            .chain(thinned.iter().map(|thinned| u64::from(thinned.attachments)))
            .sum();
        if !kept.is_empty() {
            let stored = segments.iter().map(|segment| &segment.fingerprints);
            let said = thinned.iter().map(|thinned| &thinned.fingerprints);
            for print in stored.chain(said).flatten() {
                kept.remove(&print.id);
            }
            messages += u64::try_from(kept.len()).expect("fits");
            // Those of kept segments whose messages the source no longer has.
            attachments += kept_attachments
                .into_iter()
                .filter(|(id, _)| kept.contains(id))
                .map(|(_, count)| count)
                .sum::<u64>();
        }
        put_in_order(&mut entries);
        if !self.known.contains_key(conversation.key.as_slice()) {
            self.new.conversations += 1;
        }
        self.dirty.remove(conversation.key.as_slice());
        self.store_record(conversation, entries, (messages, attachments), stream)
    }

    fn store_record(
        &mut self,
        conversation: &ScannedConversation,
        segments: Vec<proto::SegmentEntry>,
        counts: (u64, u64),
        stream: &mut Stream,
    ) -> Result<(), EngineError> {
        let ScannedConversation {
            record,
            key,
            rank: _,
        } = conversation;
        let tree = proto::ConversationTree {
            conversation: record.encode_to_vec(),
            segments,
        };
        self.store_tree(key, &tree, counts, Named::of(record), stream)
    }

    fn store_tree(
        &mut self,
        key: &[u8],
        tree: &proto::ConversationTree,
        (messages, attachments): (u64, u64),
        Named { id, app, title }: Named,
        stream: &mut Stream,
    ) -> Result<(), EngineError> {
        let plaintext = tree.encode_to_vec();
        let chunk = self.packer.ids.chunk_id(&plaintext);
        if self.packer.claim(&chunk)? {
            let compressed = zstd::bulk::compress(&plaintext, 1).ok();
            self.packer.add(
                stream,
                chunk,
                ChunkKind::Tree,
                &plaintext,
                compressed.as_deref(),
            )?;
        }
        self.changes.push(ledger_change(key, tree));
        self.written.push(WrittenTree {
            entry: proto::ConversationEntry {
                key: key.to_vec(),
                tree: chunk.0.to_vec(),
                messages,
                attachments,
                first_at: tree
                    .segments
                    .iter()
                    .map(|segment| segment.first_at)
                    .min()
                    .unwrap_or(0),
                last_at: tree
                    .segments
                    .iter()
                    .map(|segment| segment.last_at)
                    .max()
                    .unwrap_or(0),
                title,
                id,
                app,
            },
        });
        Ok(())
    }

    /// Writes the trees that are left: those of several lineages that this device has joined.
    pub(crate) fn finish(&mut self, stream: &mut Stream) -> Result<Vec<Change>, EngineError> {
        for (key, tree) in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.known.get(&key).cloned() else {
                continue;
            };
            let mut ids = HashSet::new();
            for segment in &tree.segments {
                ids.extend(
                    self.fingerprints(segment)?
                        .into_iter()
                        .map(|print| print.id),
                );
            }
            let messages = u64::try_from(ids.len()).expect("fits").max(entry.messages);
            let attachments = tree
                .segments
                .iter()
                .map(|segment| u64::from(segment.attachments))
                .sum();
            self.store_tree(
                &key,
                &tree,
                (messages, attachments),
                Named {
                    id: entry.id,
                    app: entry.app,
                    title: entry.title,
                },
                stream,
            )?;
        }
        Ok(std::mem::take(&mut self.changes))
    }

    pub(crate) fn written(self) -> Vec<WrittenTree> {
        self.written
    }

    /// What the stored segments of a time say already, if a segment of that time may be stored as a delta to them.
    ///
    /// Not when there are many deltas to them by now: then the whole is written again, and takes their place.
    pub(crate) fn delta_base(
        &mut self,
        key: &[u8],
        first_at: i64,
        last_at: i64,
    ) -> Result<Option<HashSet<Fingerprint>>, EngineError> {
        if self.current.as_ref().is_none_or(|(known, _)| known != key) {
            self.current = Some((key.to_vec(), self.segments_before(key)?));
        }
        let overlapping: Vec<proto::SegmentEntry> = self
            .current
            .iter()
            .flat_map(|(_, segments)| segments)
            .filter(|entry| entry.first_at <= last_at && entry.last_at >= first_at)
            .cloned()
            .collect();
        if overlapping.is_empty()
            || overlapping.iter().filter(|entry| entry.delta).count() >= self.max_deltas
        {
            return Ok(None);
        }
        let mut known = HashSet::new();
        for entry in &overlapping {
            // The store has lost it, or what makes it searchable: a delta beside it would leave it so.
            for id in [&entry.id, &entry.filter] {
                let id = ChunkId::from_slice(id);
                if !id.map_or(Ok(false), |id| self.packer.is_stored(&id.short()))? {
                    return Ok(None);
                }
            }
            let prints = self.fingerprints(entry)?;
            if prints.is_empty() {
                return Ok(None);
            }
            known.extend(prints);
        }
        Ok(Some(known))
    }

    fn segments_before(&self, key: &[u8]) -> Result<Vec<proto::SegmentEntry>, EngineError> {
        if !self.known.contains_key(key) {
            return Ok(Vec::new());
        }
        let bytes = self
            .packer
            .ledger
            .get(Space::Tree, key)?
            .ok_or(EngineError::UnlockNeeded)?;
        let tree = proto::ConversationTree::decode(bytes.as_slice())
            .map_err(|_| EngineError::UnlockNeeded)?;
        Ok(tree.segments)
    }

    /// What is in a stored segment: from the ledger, else by opening it. Empty when neither can be done: such a segment
    /// is kept whatever comes.
    fn fingerprints(
        &mut self,
        entry: &proto::SegmentEntry,
    ) -> Result<Vec<Fingerprint>, EngineError> {
        let Some(id) = ChunkId::from_slice(&entry.id) else {
            return Ok(Vec::new());
        };
        let short: ShortId = id.short();
        // A device that has joined knows of many segments only which filter they have.
        let known = self.packer.ledger.get(Space::Segment, &short)?;
        if let Some(prints) = known.as_ref().and_then(|value| value.get(32..))
            && !prints.is_empty()
        {
            return Ok(Fingerprint::decode_all(prints));
        }
        let Some(reader) = self.reader else {
            return Ok(Vec::new());
        };
        let repository = match &mut self.repository {
            Some(repository) => repository,
            empty => empty.insert(Repository::open(
                Arc::clone(self.store),
                Arc::clone(reader),
                None,
            )?),
        };
        let plaintext = repository.chunk(&id)?;
        let prints: Vec<Fingerprint> = frames::split(&plaintext)
            .map_while(Result::ok)
            .map(|record| Fingerprint::of(&self.packer.ids, record).0)
            .collect();
        let mut value = entry.filter.clone();
        value.extend_from_slice(&Fingerprint::encode_all(&prints));
        self.packer
            .remember(vec![(Space::Segment, short.to_vec(), Some(value))])?;
        Ok(prints)
    }
}

/// The order of a tree's segments.
pub(crate) fn put_in_order(segments: &mut Vec<proto::SegmentEntry>) {
    segments.sort_by(|a, b| {
        (a.first_at, a.last_at, &a.id)
            .cmp(&(b.first_at, b.last_at, &b.id))
            .then(a.added_at.cmp(&b.added_at))
    });
    segments.dedup_by(|later, earlier| later.id == earlier.id);
}

/// What the ledger keeps of a tree: no names.
pub(crate) fn ledger_change(key: &[u8], tree: &proto::ConversationTree) -> Change {
    let bare = proto::ConversationTree {
        conversation: Vec::new(),
        segments: tree.segments.clone(),
    };
    (Space::Tree, key.to_vec(), Some(bare.encode_to_vec()))
}

/// Stores the participants that are new or changed; all of them together when the source names all that were known.
pub(crate) fn write_participants(
    packer: &Packer<'_>,
    stream: &mut Stream,
    participants: impl Iterator<Item = Participant>,
    base: &Base,
    changes: &mut Vec<Change>,
) -> Result<(Vec<Vec<u8>>, u64), EngineError> {
    let (mut all, mut fresh) = (Vec::new(), Vec::new());
    let (mut count, mut known, mut new) = (0u64, 0u64, 0u64);
    for participant in participants {
        let record = participant.encode_to_vec();
        let key = packer.ids.keyed(
            purpose::FILE,
            format!("participant {}", participant.id).as_bytes(),
        );
        let print = packer.ids.keyed(purpose::CONTENT, &record)[..8].to_vec();
        count += 1;
        if let Some(before) = packer.ledger.get(Space::File, &key[..16])? {
            known += 1;
            if before != print {
                frames::push(&participant, &mut fresh);
            }
        } else {
            new += 1;
            frames::push(&participant, &mut fresh);
        }
        frames::push(&participant, &mut all);
        changes.push((Space::File, key[..16].to_vec(), Some(print)));
    }
    let (mut chunks, plaintext, total) =
        if known == base.state.participant_count && base.state.merged.is_empty() {
            (Vec::new(), all, count)
        } else {
            (
                base.state.participants.clone(),
                fresh,
                base.state.participant_count + new,
            )
        };
    for part in split_frames(&plaintext) {
        let id = packer.ids.chunk_id(part);
        if packer.claim(&id)? {
            let compressed = zstd::bulk::compress(part, 3).ok();
            packer.add(
                stream,
                id,
                ChunkKind::Participants,
                part,
                compressed.as_deref(),
            )?;
        }
        let id = id.0.to_vec();
        chunks.retain(|known| *known != id);
        chunks.push(id);
    }
    Ok((chunks, total))
}

/// Cuts framed records into parts of about a megabyte, between records.
fn split_frames(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let (mut start, mut rest) = (0, bytes);
    while let Ok(Some((_, after))) = frames::split_first(rest) {
        let at = bytes.len() - after.len();
        if at - start >= crate::format::PIECE_BYTES || after.is_empty() {
            parts.push(&bytes[start..at]);
            start = at;
        }
        rest = after;
    }
    parts
}
