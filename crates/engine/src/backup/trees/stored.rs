//! A conversation as it is stored, seen from a run that read only what changed.

use std::collections::HashMap;

use super::{Trees, put_in_order};
use crate::backup::scan::ScannedConversation;
use crate::backup::segments::SealedSegment;
use crate::error::EngineError;
use crate::packer::Stream;
use crate::proto;
use crate::segment::Fingerprint;

/// What a run adds to a conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Added {
    /// Messages that it did not have.
    pub(crate) messages: u64,
    /// Their attachments, …
    pub(crate) attachments: u64,
    /// … and how many of these are not absent.
    pub(crate) present: u64,
}

/// Whether a message is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// As it is now.
    Same,
    /// As it was.
    OtherVersion,
    /// Not at all.
    New,
    /// Neither ledger nor store can tell.
    Unknown,
}

/// The segments of one conversation, and the fingerprints of those that were looked at.
pub(crate) struct StoredConversation {
    segments: Vec<proto::SegmentEntry>,
    /// Where the segments that are no deltas begin: each begins a stretch of the conversation.
    stretches: Vec<i64>,
    /// The end of the last of them.
    whole_until: i64,
    /// By place in `segments`, sorted.
    prints: HashMap<usize, Vec<Fingerprint>>,
}

impl StoredConversation {
    pub(crate) fn load(trees: &Trees<'_, '_>, key: &[u8]) -> Result<Self, EngineError> {
        let segments = trees.segments_before(key)?;
        let whole = || segments.iter().filter(|entry| !entry.delta);
        let mut stretches: Vec<i64> = whole().map(|entry| entry.first_at).collect();
        stretches.sort_unstable();
        Ok(Self {
            whole_until: whole().map(|entry| entry.last_at).max().unwrap_or(i64::MIN),
            stretches,
            segments,
            prints: HashMap::new(),
        })
    }

    /// Looks at the segments that overlap its time first. The id alone tells versions apart from new messages, wherever
    /// they stand.
    pub(crate) fn standing(
        &mut self,
        trees: &mut Trees<'_, '_>,
        sent_at: i64,
        print: &Fingerprint,
    ) -> Result<Standing, EngineError> {
        let mut standing = Standing::New;
        let mut unknown = false;
        for near in [true, false] {
            for at in 0..self.segments.len() {
                let entry = &self.segments[at];
                if (entry.first_at <= sent_at && sent_at <= entry.last_at) != near {
                    continue;
                }
                // Another one may say of this message what is needed: a device that has joined never learns of some.
                let Some(prints) = self.prints(trees, at)? else {
                    unknown = true;
                    continue;
                };
                let from = prints.partition_point(|known| known.id < print.id);
                for known in prints[from..]
                    .iter()
                    .take_while(|known| known.id == print.id)
                {
                    if near && known == print {
                        return Ok(Standing::Same);
                    }
                    standing = Standing::OtherVersion;
                }
            }
            let latest = self.segments.iter().map(|entry| entry.last_at).max();
            if standing == Standing::OtherVersion
                || unknown
                || latest.is_none_or(|latest| sent_at > latest)
            {
                break;
            }
        }
        Ok(if unknown && standing == Standing::New {
            Standing::Unknown
        } else {
            standing
        })
    }

    fn prints(
        &mut self,
        trees: &mut Trees<'_, '_>,
        at: usize,
    ) -> Result<Option<&[Fingerprint]>, EngineError> {
        if !self.prints.contains_key(&at) {
            let mut prints = trees.fingerprints(&self.segments[at])?;
            prints.sort_unstable();
            self.prints.insert(at, prints);
        }
        // No segment is without messages: nothing is known of this one.
        let known = self.prints.get(&at).filter(|prints| !prints.is_empty());
        Ok(known.map(Vec::as_slice))
    }

    /// Which stretch a time lies in: from the beginning of a whole segment to that of the next.
    pub(crate) fn stretch_of(&self, sent_at: i64) -> usize {
        self.stretches.partition_point(|first| *first <= sent_at)
    }

    /// How many deltas lie in a stretch.
    pub(crate) fn deltas_in(&self, stretch: usize) -> usize {
        let from = stretch
            .checked_sub(1)
            .and_then(|at| self.stretches.get(at))
            .copied()
            .unwrap_or(i64::MIN);
        let until = self.stretches.get(stretch).copied().unwrap_or(i64::MAX);
        self.segments
            .iter()
            .filter(|entry| entry.delta && entry.first_at < until && entry.last_at >= from)
            .count()
    }

    /// Whether a time is later than everything that is stored in whole segments.
    pub(crate) fn is_beyond(&self, sent_at: i64) -> bool {
        sent_at > self.whole_until
    }
}

impl Trees<'_, '_> {
    /// Writes the tree of a conversation of which only what changed was read: what was there stays, `segments` are added.
    pub(crate) fn extend(
        &mut self,
        number: u32,
        conversation: &ScannedConversation,
        segments: &[SealedSegment],
        added: Added,
        stream: &mut Stream,
    ) -> Result<(), EngineError> {
        self.numbers.insert(number);
        let mut entries = self.segments_before(&conversation.key)?;
        entries.extend(segments.iter().map(|segment| segment.entry.clone()));
        put_in_order(&mut entries);
        let before = self.known.get(conversation.key.as_slice());
        let (messages, attachments) =
            before.map_or((0, 0), |entry| (entry.messages, entry.attachments));
        self.new.conversations += u64::from(before.is_none());
        self.new.messages += added.messages;
        self.new.attachments += added.present;
        let counts = (messages + added.messages, attachments + added.attachments);
        self.store_record(conversation, entries, counts, stream)
    }
}
