//! Whether the new segments of a run say all that an older one says, so that it may go.

use std::collections::{BTreeSet, HashMap};

use crate::backup::segments::SealedSegment;
use crate::ids::ShortId;
use crate::proto;
use crate::segment::Fingerprint;

/// The new segments of a conversation, by the messages that they hold.
pub(super) struct Successors<'s> {
    segments: &'s [&'s SealedSegment],
    holder: HashMap<([u8; 8], [u8; 4]), usize>,
}

impl<'s> Successors<'s> {
    pub(super) fn of(segments: &'s [&'s SealedSegment]) -> Self {
        let prints = segments
            .iter()
            .enumerate()
            .flat_map(|(at, segment)| segment.fingerprints.iter().map(move |print| (print, at)));
        Self {
            segments,
            holder: prints.map(|(print, at)| (print.content(), at)).collect(),
        }
    }

    /// Whether every message of a segment stands in the new ones with the same content, and its media with them.
    ///
    /// A source that no longer has its media gives the same messages: then the old segment is all that leads to them. A
    /// medium that stood there twice must stand there twice again, since one of two messages may have lost it.
    pub(super) fn replace(&self, entry: &proto::SegmentEntry, prints: &[Fingerprint]) -> bool {
        let mut holders = BTreeSet::new();
        for print in prints {
            let Some(at) = self.holder.get(&print.content()) else {
                return false;
            };
            holders.insert(*at);
        }
        let mut left: HashMap<ShortId, u64> = HashMap::new();
        if !entry.contents.is_empty() {
            for id in holders
                .iter()
                .flat_map(|at| contents(&self.segments[*at].entry))
            {
                *left.entry(*id).or_default() += 1;
            }
        }
        // Of a segment of which nothing is known nobody can say that it is there again.
        !prints.is_empty()
            && contents(entry).iter().all(|id| match left.get_mut(id) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            })
    }
}

fn contents(entry: &proto::SegmentEntry) -> &[ShortId] {
    entry.contents.as_chunks::<16>().0
}
