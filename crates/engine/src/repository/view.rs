//! A readable view: the conversations of a snapshot, or of the newest snapshots of all lineages together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::Arc;

use heirloom_archive::history::{ConversationSummary, ListedConversation, Visit};
use heirloom_archive::{
    Attachment, Conversation, Edit, History, HistoryError, Message, MessageQuery, Participant,
    Presence, frames,
};
use prost::Message as _;

use super::{LoadedSnapshot, Repository};
use crate::error::{Damage, EngineError};
use crate::format::PIECE_BYTES;
use crate::ids::{ChunkId, ObjectHash};
use crate::proto;

/// Which snapshot to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Selection {
    /// The newest of every lineage, together.
    #[default]
    Newest,
    /// The one whose hash begins so.
    Snapshot(String),
}

/// Called with each segment and its plaintext; may stop.
type VisitSegment<'a> =
    dyn FnMut(&proto::SegmentEntry, Vec<u8>) -> Result<ControlFlow<()>, EngineError> + 'a;

/// Segments that are read ahead at once.
const READ_AHEAD: usize = 24;

/// A view of a repository.
#[derive(Debug)]
pub struct View {
    repository: Arc<Repository>,
    snapshots: Vec<LoadedSnapshot>,
    conversations: BTreeMap<Vec<u8>, ViewConversation>,
}

/// A conversation: its entry, and its trees in all snapshots of the view.
#[derive(Debug, Clone)]
pub(crate) struct ViewConversation {
    pub(crate) entry: proto::ConversationEntry,
    pub(crate) trees: Vec<proto::ConversationEntry>,
}

impl ViewConversation {
    fn listed(&self) -> ListedConversation {
        let filled = || self.trees.iter().filter(|tree| tree.messages > 0);
        let first = filled().map(|tree| tree.first_at).min();
        let last = filled().map(|tree| tree.last_at).max();
        ListedConversation {
            id: self.entry.id.clone(),
            app: self.entry.app.clone(),
            title: self.entry.title.clone(),
            messages: self.entry.messages,
            span: first.zip(last),
        }
    }
}

impl View {
    pub(crate) fn open(
        repository: Arc<Repository>,
        selection: &Selection,
    ) -> Result<Self, EngineError> {
        let snapshots = match selection {
            Selection::Newest => repository.snapshots.clone(),
            Selection::Snapshot(prefix) => {
                let infos = repository.snapshots()?;
                let mut found = infos
                    .iter()
                    .filter(|info| !prefix.is_empty() && info.hash.starts_with(prefix.as_str()));
                let info = found.next().ok_or_else(|| EngineError::NotFound {
                    what: format!("there is no snapshot {prefix}"),
                })?;
                if found.next().is_some() {
                    return Err(EngineError::NotFound {
                        what: format!("several snapshots begin with {prefix}"),
                    });
                }
                let hash = ObjectHash::from_hex(&info.hash).ok_or(EngineError::NoBackup)?;
                vec![repository.load_snapshot(&hash)?]
            }
        };
        let mut conversations: BTreeMap<Vec<u8>, ViewConversation> = BTreeMap::new();
        let mut ordered: Vec<&LoadedSnapshot> = snapshots.iter().collect();
        ordered.sort_by_key(|snapshot| snapshot.message.created_at);
        for snapshot in ordered {
            for entry in &snapshot.message.conversations {
                let known =
                    conversations
                        .entry(entry.key.clone())
                        .or_insert_with(|| ViewConversation {
                            entry: entry.clone(),
                            trees: Vec::new(),
                        });
                if !known.trees.iter().any(|tree| tree.tree == entry.tree) {
                    known.trees.push(entry.clone());
                }
                if entry.messages >= known.entry.messages {
                    known.entry = entry.clone();
                }
            }
        }
        Ok(Self {
            repository,
            snapshots,
            conversations,
        })
    }

    /// Store reads and bytes so far.
    pub fn reads(&self) -> (u64, u64) {
        self.repository.reads()
    }

    /// The repository beneath.
    pub fn repository(&self) -> &Arc<Repository> {
        &self.repository
    }

    /// The newest moment at which a snapshot of this view was made, milliseconds UTC.
    pub fn created_at(&self) -> i64 {
        self.snapshots
            .iter()
            .map(|snapshot| snapshot.message.created_at)
            .max()
            .unwrap_or(0)
    }

    /// The hashes of its snapshots.
    pub(crate) fn snapshots(&self) -> impl Iterator<Item = ObjectHash> {
        self.snapshots.iter().map(|snapshot| snapshot.hash)
    }

    /// Reads the trees of these conversations with as few reads as possible.
    pub(crate) fn read_trees_ahead(
        &self,
        conversations: &[&ViewConversation],
    ) -> Result<(), EngineError> {
        let rows: Vec<_> = conversations
            .iter()
            .flat_map(|conversation| &conversation.trees)
            .filter_map(|entry| ChunkId::from_slice(&entry.tree))
            .filter_map(|id| self.repository.index.row(&id.short()).copied())
            .collect();
        self.repository
            .fetcher
            .read_ahead(&self.repository.index, &rows)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &ViewConversation> {
        self.conversations.values()
    }

    pub(crate) fn by_id(&self, id: &str) -> Result<&ViewConversation, EngineError> {
        self.conversations
            .values()
            .find(|conversation| conversation.entry.id == id)
            .ok_or_else(|| EngineError::NotFound {
                what: "there is no such conversation".into(),
            })
    }

    /// The conversation's record and all its segments, in order.
    pub(crate) fn tree(
        &self,
        conversation: &ViewConversation,
    ) -> Result<(Conversation, Vec<proto::SegmentEntry>), EngineError> {
        let mut segments = Vec::new();
        let mut record = Vec::new();
        for entry in &conversation.trees {
            let tree = self.repository.tree(entry)?;
            segments.extend(tree.segments);
            record = tree.conversation;
        }
        crate::backup::put_in_order(&mut segments);
        let record = Conversation::decode(record.as_slice())
            .map_err(|_| EngineError::damaged("a conversation's tree", Damage::Malformed))?;
        Ok((record, segments))
    }

    /// Opens segments one after the other, reading ahead.
    pub(crate) fn for_each_segment(
        &self,
        segments: &[proto::SegmentEntry],
        visit: &mut VisitSegment<'_>,
    ) -> Result<(), EngineError> {
        for batch in segments.chunks(READ_AHEAD) {
            let mut opened = Vec::with_capacity(batch.len());
            for entry in batch {
                let id = ChunkId::from_slice(&entry.id).ok_or_else(|| {
                    EngineError::damaged("a conversation's tree", Damage::Malformed)
                })?;
                opened.push((entry, id));
            }
            let rows: Vec<_> = opened
                .iter()
                .filter_map(|(_, id)| self.repository.index.row(&id.short()).copied())
                .collect();
            self.repository
                .fetcher
                .read_ahead(&self.repository.index, &rows)?;
            for (entry, id) in opened {
                if visit(entry, self.repository.chunk(&id)?)?.is_break() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The messages of segments in (time, id, author) order, versions of one message joined, with bounded memory: only
    /// segments whose times overlap are open together.
    pub(crate) fn for_each_message(
        &self,
        segments: &[proto::SegmentEntry],
        visit: &mut dyn FnMut(Message) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), EngineError> {
        let mut merge = Merge::default();
        let mut stopped = false;
        self.for_each_segment(segments, &mut |entry, plaintext| {
            // All that lies before this segment's beginning is complete.
            if merge.give_before(Some(entry.first_at), visit)?.is_break() {
                stopped = true;
                return Ok(ControlFlow::Break(()));
            }
            let messages = frames::decode_all::<Message>(&plaintext)
                .map_err(|_| EngineError::damaged("a segment", Damage::Malformed))?;
            merge.add(messages, entry.added_at);
            Ok(ControlFlow::Continue(()))
        })?;
        if !stopped {
            let _ = merge.give_before(None, visit)?;
        }
        Ok(())
    }

    /// The last messages of a query, of the segments from `start` on and those that overlap them in time.
    fn tail(
        &self,
        segments: &[proto::SegmentEntry],
        start: usize,
        last: usize,
        query: &MessageQuery,
    ) -> Result<VecDeque<Message>, EngineError> {
        let from = segments[start..]
            .iter()
            .map(|segment| segment.first_at)
            .min();
        let needed: Vec<_> = segments
            .iter()
            .enumerate()
            .filter(|(at, segment)| {
                *at >= start || from.is_some_and(|from| segment.last_at >= from)
            })
            .map(|(_, segment)| segment.clone())
            .collect();
        let mut tail: VecDeque<Message> = VecDeque::new();
        self.for_each_message(&needed, &mut |message| {
            if query.covers(message.sent_at) {
                if tail.len() == last {
                    tail.pop_front();
                }
                tail.push_back(message);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(tail)
    }

    /// Opens the pieces of an attachment one after the other.
    pub(crate) fn pieces(&self, content: &[u8]) -> Result<(u64, Vec<ChunkId>), EngineError> {
        let damaged = || EngineError::damaged("an attachment", Damage::Malformed);
        let content = proto::Content::decode(content).map_err(|_| damaged())?;
        let mut ids = content.pieces;
        for list in content.lists.as_chunks::<32>().0 {
            ids.extend(self.repository.chunk(&ChunkId(*list))?);
        }
        let (ids, rest) = ids.as_chunks::<32>();
        let wanted = content
            .bytes
            .div_ceil(u64::try_from(PIECE_BYTES).unwrap_or(u64::MAX));
        if !rest.is_empty() || u64::try_from(ids.len()).ok() != Some(wanted) {
            return Err(damaged());
        }
        Ok((content.bytes, ids.iter().map(|id| ChunkId(*id)).collect()))
    }
}

/// A message with when its segment was added.
type Version = (Message, i64);

#[derive(Default)]
struct Merge {
    heap: BinaryHeap<Reverse<Place>>,
    open: Vec<VecDeque<Version>>,
    group: Vec<Version>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    sent_at: i64,
    id: String,
    author: String,
    queue: usize,
}

impl Place {
    fn of(message: &Message, queue: usize) -> Reverse<Self> {
        Reverse(Self {
            sent_at: message.sent_at,
            id: message.id.clone(),
            author: message.author.clone(),
            queue,
        })
    }
}

impl Merge {
    fn add(&mut self, messages: Vec<Message>, added_at: i64) {
        let queue: VecDeque<Version> = messages
            .into_iter()
            .map(|message| (message, added_at))
            .collect();
        let Some((first, _)) = queue.front() else {
            return;
        };
        let at = self
            .open
            .iter()
            .position(VecDeque::is_empty)
            .unwrap_or(self.open.len());
        self.heap.push(Place::of(first, at));
        if at == self.open.len() {
            self.open.push(queue);
        } else {
            self.open[at] = queue;
        }
    }

    /// Gives all messages before a time, or all there are.
    fn give_before(
        &mut self,
        limit: Option<i64>,
        visit: &mut dyn FnMut(Message) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<ControlFlow<()>, EngineError> {
        while let Some(Reverse(place)) = self.heap.peek() {
            if limit.is_some_and(|limit| place.sent_at >= limit) {
                return Ok(ControlFlow::Continue(()));
            }
            let queue = place.queue;
            self.heap.pop();
            let Some(version) = self.open[queue].pop_front() else {
                continue;
            };
            if let Some((next, _)) = self.open[queue].front() {
                self.heap.push(Place::of(next, queue));
            }
            let same = self.group.last().is_some_and(|(known, _)| {
                known.sent_at == version.0.sent_at && known.id == version.0.id
            });
            if !same && self.give_group(visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.group.push(version);
        }
        if limit.is_none() {
            return self.give_group(visit);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Gives the messages of one time and id, author by author: segments do not order authors.
    fn give_group(
        &mut self,
        visit: &mut dyn FnMut(Message) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<ControlFlow<()>, EngineError> {
        self.group.sort_by(|(a, _), (b, _)| a.author.cmp(&b.author));
        while let Some((first, _)) = self.group.first() {
            let versions = self
                .group
                .iter()
                .take_while(|(message, _)| message.author == first.author)
                .count();
            let rest = self.group.split_off(versions);
            if let Some(message) = join(std::mem::replace(&mut self.group, rest))
                && visit(message)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Joins the versions of one message: the newest counts, one with its media before one without; texts of older ones
/// stay as edits.
fn join(mut versions: Vec<Version>) -> Option<Message> {
    let complete = |message: &Message| {
        message
            .attachments
            .iter()
            .all(|attachment| attachment.presence() == Presence::Present)
    };
    versions.sort_by_key(|(message, added_at)| (complete(message), *added_at));
    let (mut newest, _) = versions.pop()?;
    for (older, _) in versions {
        let known = older.text == newest.text
            || older.text.is_empty()
            || newest
                .edits
                .iter()
                .any(|edit| edit.before_known && edit.before == older.text);
        if !known {
            newest.edits.push(Edit {
                at: 0,
                before: older.text,
                before_known: true,
            });
        }
    }
    Some(newest)
}

impl History for View {
    /// Needs no more than the snapshots, so that it takes as long after years of runs as after the first one.
    fn list(&mut self) -> Result<Vec<ListedConversation>, HistoryError> {
        let mut listed: Vec<ListedConversation> = self
            .conversations
            .values()
            .map(ViewConversation::listed)
            .collect();
        listed.sort_by(|a, b| {
            b.span
                .map(|span| span.1)
                .cmp(&a.span.map(|span| span.1))
                .then_with(|| a.id.cmp(&b.id))
        });
        Ok(listed)
    }

    fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError> {
        // Kind and participants stand in the trees, which are read side by side.
        let all: Vec<&ViewConversation> = self.conversations.values().collect();
        self.read_trees_ahead(&all)?;
        let mut summaries = Vec::with_capacity(self.conversations.len());
        for conversation in self.conversations.values() {
            let (record, segments) = self.tree(conversation)?;
            let first = segments.iter().map(|segment| segment.first_at).min();
            let last = segments.iter().map(|segment| segment.last_at).max();
            summaries.push(ConversationSummary {
                conversation: record,
                messages: conversation.entry.messages,
                span: first.zip(last),
            });
        }
        summaries.sort_by(|a, b| {
            b.span
                .map(|span| span.1)
                .cmp(&a.span.map(|span| span.1))
                .then_with(|| a.conversation.id.cmp(&b.conversation.id))
        });
        Ok(summaries)
    }

    fn participants(&mut self) -> Result<Vec<Participant>, HistoryError> {
        let mut all: BTreeMap<String, Participant> = BTreeMap::new();
        let mut ordered: Vec<&LoadedSnapshot> = self.snapshots.iter().collect();
        ordered.sort_by_key(|snapshot| snapshot.message.created_at);
        for snapshot in ordered {
            for chunk in &snapshot.message.participants {
                let damaged = || EngineError::damaged("the participants", Damage::Malformed);
                let id = ChunkId::from_slice(chunk).ok_or_else(damaged)?;
                let plaintext = self.repository.chunk(&id)?;
                for participant in
                    frames::decode_all::<Participant>(&plaintext).map_err(|_| damaged())?
                {
                    all.insert(participant.id.clone(), participant);
                }
            }
        }
        Ok(all.into_values().collect())
    }

    fn messages(
        &mut self,
        conversation: &str,
        query: MessageQuery,
        visit: &mut Visit<'_>,
    ) -> Result<(), HistoryError> {
        let (_, mut segments) = self.tree(self.by_id(conversation)?)?;
        segments.retain(|segment| {
            query.from.is_none_or(|from| segment.last_at >= from)
                && query.until.is_none_or(|until| segment.first_at < until)
        });
        let Some(last) = query.last else {
            let mut outcome = Ok(());
            self.for_each_message(&segments, &mut |message| {
                if !query.covers(message.sent_at) {
                    return Ok(ControlFlow::Continue(()));
                }
                match visit(message) {
                    Ok(flow) => Ok(flow),
                    Err(error) => {
                        outcome = Err(error);
                        Ok(ControlFlow::Break(()))
                    }
                }
            })?;
            return outcome;
        };
        // Only as many segments from the end as are needed, and those that overlap them in time. They may hold versions of
        // one message, or messages outside the time asked for: then twice as many are looked at.
        let (mut start, mut wanted) = (segments.len(), last);
        let tail = loop {
            let mut enough = 0usize;
            for segment in &segments[start..] {
                enough = enough.saturating_add(count_of(segment));
            }
            while start > 0 && enough < wanted {
                start -= 1;
                enough = enough.saturating_add(count_of(&segments[start]));
            }
            let tail = self.tail(&segments, start, last, &query)?;
            if tail.len() >= last || start == 0 {
                break tail;
            }
            wanted = enough.saturating_mul(2);
        };
        for message in tail {
            if visit(message)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        attachment: &Attachment,
    ) -> Result<Option<Box<dyn Read + '_>>, HistoryError> {
        if attachment.presence() != Presence::Present {
            return Ok(None);
        }
        let (_, pieces) = self.pieces(&attachment.content)?;
        Ok(Some(Box::new(PieceReader {
            repository: &self.repository,
            pieces: pieces.into(),
            piece: Vec::new(),
            at: 0,
        })))
    }
}

fn count_of(segment: &proto::SegmentEntry) -> usize {
    usize::try_from(segment.messages).unwrap_or(usize::MAX)
}

struct PieceReader<'a> {
    repository: &'a Repository,
    pieces: VecDeque<ChunkId>,
    piece: Vec<u8>,
    at: usize,
}

impl Read for PieceReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            let Some(next) = self.pieces.pop_front() else {
                return Ok(0);
            };
            self.piece = self.repository.chunk(&next).map_err(io::Error::other)?;
            self.at = 0;
        }
        let some = (self.piece.len() - self.at).min(out.len());
        out[..some].copy_from_slice(&self.piece[self.at..self.at + some]);
        self.at += some;
        Ok(some)
    }
}
