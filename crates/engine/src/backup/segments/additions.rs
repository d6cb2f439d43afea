//! The second pass of a run that read only what changed: what is new goes beside what is stored, as deltas.

use std::collections::{BTreeMap, BTreeSet};

use heirloom_archive::Kind;

use super::{Feeder, ScannedConversation, SortKey, Sorted, Trees};
use crate::backup::trees::{Added, MAX_DELTAS, Standing, StoredConversation};
use crate::error::EngineError;
use crate::ids::ShortId;
use crate::segment::{EncodedMessage, Fingerprint, MIN_MESSAGES, Segment, Segmenter};

/// New messages that are held at once; with more, one pass over everything costs less memory.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// A message that is not stored as it is now.
struct Fresh {
    /// The stretch of the conversation that it belongs to.
    stretch: usize,
    /// Whether it is later than all that is stored whole.
    beyond: bool,
    sent_at: i64,
    record: Vec<u8>,
    attachments: u32,
    present: u32,
    contents: Vec<ShortId>,
    fingerprint: Fingerprint,
    boundary: u64,
}

/// What is new in one conversation.
#[derive(Default)]
struct Gathered {
    fresh: Vec<Fresh>,
    added: Added,
}

/// Stores what is new. `false`, with nothing stored, when it is time to read everything and store it whole again: deltas
/// must not pile up, since every reader pays for them.
pub(super) fn feed(
    feeder: &mut Feeder<'_, '_>,
    sorted: &mut Sorted,
    conversations: &[ScannedConversation],
    trees: &mut Trees<'_, '_>,
) -> Result<bool, EngineError> {
    let Some(mut gathered) = gather(feeder, sorted, conversations, trees)? else {
        return Ok(false);
    };
    let mut waiting: BTreeMap<u32, u32> = BTreeMap::new();
    let mut added = BTreeMap::new();
    for (number, _) in (0u32..).zip(conversations) {
        let Gathered { fresh, added: more } = gathered.remove(&number).unwrap_or_default();
        added.insert(number, more);
        let mut count = 0;
        for (segment, delta) in cut(&fresh) {
            count += feeder.submit(number, count, segment, delta)?;
        }
        waiting.insert(number, count);
    }
    feeder.added = Some(added);
    feeder.jobs = None;
    feeder.collect(true, &mut waiting, conversations, trees)?;
    Ok(true)
}

fn gather(
    feeder: &mut Feeder<'_, '_>,
    sorted: &mut Sorted,
    conversations: &[ScannedConversation],
    trees: &mut Trees<'_, '_>,
) -> Result<Option<BTreeMap<u32, Gathered>>, EngineError> {
    let mut gathered: BTreeMap<u32, Gathered> = BTreeMap::new();
    let mut current: Option<(u32, StoredConversation)> = None;
    let mut before: Option<(SortKey, Vec<u8>)> = None;
    let mut held = 0;
    let mut record = Vec::new();
    while let Some((key, body)) = sorted.next(None)? {
        if feeder.packer.progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let (number, stored) = match &mut current {
            Some((number, stored)) if *number == key.conversation => (*number, stored),
            _ => {
                let known = &conversations[usize::try_from(key.conversation).expect("fits")];
                let stored = StoredConversation::load(trees, &known.key)?;
                before = None;
                let (number, stored) = current.insert((key.conversation, stored));
                (*number, stored)
            }
        };
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
            continue;
        }
        let (attachments, present, contents) = feeder.encode(&body, &mut record);
        let (fingerprint, boundary) = Fingerprint::of(&feeder.packer.ids, &record);
        feeder
            .packer
            .progress
            .advance(crate::progress::Phase::SealingMessages, 1, 0);
        let new = match stored.standing(trees, key.sent_at, &fingerprint)? {
            Standing::Same => {
                before = Some((key, body));
                continue;
            }
            Standing::Unknown => return Ok(None),
            Standing::OtherVersion => false,
            Standing::New => true,
        };
        let stretch = stored.stretch_of(key.sent_at);
        held += record.len() + contents.len() * size_of::<ShortId>() + size_of::<Fresh>();
        if held > MOST_BYTES || stored.deltas_in(stretch) >= MAX_DELTAS {
            return Ok(None);
        }
        let Gathered { fresh, added } = gathered.entry(number).or_default();
        if new {
            added.messages += 1;
            added.attachments += u64::from(attachments);
            added.present += u64::from(present);
        }
        fresh.push(Fresh {
            stretch,
            beyond: stored.is_beyond(key.sent_at),
            sent_at: key.sent_at,
            record: record.clone(),
            attachments,
            present,
            contents,
            fingerprint,
            boundary,
        });
        before = Some((key, body));
    }
    Ok(Some(gathered))
}

/// Segments of what is new, none of which reaches over a stretch; each with whether it is a delta.
fn cut(fresh: &[Fresh]) -> Vec<(Segment, bool)> {
    let mut segments = Vec::new();
    let mut beyond = BTreeSet::new();
    let mut segmenter = Segmenter::default();
    let mut stretch = None;
    let mut finished = |segment: Option<Segment>, beyond: &mut BTreeSet<bool>| {
        if let Some(segment) = segment {
            let alone = !beyond.contains(&false);
            segments.push((segment.messages, segment, alone));
            beyond.clear();
        }
    };
    for message in fresh {
        if stretch.is_some_and(|stretch| stretch != message.stretch) {
            finished(segmenter.finish(), &mut beyond);
        }
        stretch = Some(message.stretch);
        beyond.insert(message.beyond);
        let Fresh {
            stretch: _,
            beyond: _,
            sent_at,
            record,
            attachments,
            present,
            contents,
            fingerprint,
            boundary,
        } = message;
        let full = segmenter.push(&EncodedMessage {
            sent_at: *sent_at,
            record,
            attachments: *attachments,
            present: *present,
            contents,
            fingerprint: *fingerprint,
            boundary: *boundary,
        });
        finished(full, &mut beyond);
    }
    finished(segmenter.finish(), &mut beyond);
    // A segment as large as any other, behind all others, is one like any other.
    segments
        .into_iter()
        .map(|(messages, segment, alone)| (segment, !(alone && messages >= MIN_MESSAGES)))
        .collect()
}
