//! Cuts the messages of one conversation into segments, at boundaries that depend on the content alone.

use heirloom_archive::{Message, Presence, frames};
use prost::Message as _;

use crate::ids::{ChunkId, ShortId};
use crate::keys::{IdKeys, purpose};
use crate::proto;

/// No segment is cut before it has so many messages …
pub(crate) const MIN_MESSAGES: u32 = 48;
/// … and every one is when it has so many, …
const MAX_MESSAGES: u32 = 640;
/// … or so many bytes.
const MAX_BYTES: usize = 192 * 1024;
/// One message in so many ends a segment.
const ONE_IN: u32 = 160;

/// What identifies a message (8 bytes), its content (4) and all else that is said of it (4), keyed. Stays on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fingerprint {
    pub(crate) id: [u8; 8],
    pub(crate) content: [u8; 4],
    /// Reactions, receipts, and where attachments lie: what changes without the message becoming another one.
    pub(crate) rest: [u8; 4],
}

pub(crate) const FINGERPRINT_BYTES: usize = 16;

impl Fingerprint {
    /// The fingerprint of an encoded message, and a keyed hash of its id for [`EncodedMessage::boundary`].
    pub(crate) fn of(keys: &IdKeys, record: &[u8]) -> (Self, u64) {
        let (content, rest) = record.split_at(content_of(record).len());
        let hash = keys.keyed(purpose::MESSAGE, id_of(record));
        let four = |bytes: &[u8]| {
            let hash = keys.local(bytes).to_le_bytes();
            hash[..4].try_into().expect("4 bytes")
        };
        let fingerprint = Self {
            id: hash[..8].try_into().expect("8 bytes"),
            content: four(content),
            // Most messages have no more to say, and hashing is paid for each.
            rest: if rest.is_empty() { [0; 4] } else { four(rest) },
        };
        let boundary = u64::from_le_bytes(hash[8..16].try_into().expect("8 bytes"));
        (fingerprint, boundary)
    }

    /// What must be equal for one segment to stand for another.
    pub(crate) fn content(&self) -> ([u8; 8], [u8; 4]) {
        (self.id, self.content)
    }

    pub(crate) fn encode_all(all: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(all.len() * FINGERPRINT_BYTES);
        for Self { id, content, rest } in all {
            bytes.extend_from_slice(id);
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(rest);
        }
        bytes
    }

    pub(crate) fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes
            .as_chunks::<FINGERPRINT_BYTES>()
            .0
            .iter()
            .map(|bytes| Self {
                id: bytes[..8].try_into().expect("8 bytes"),
                content: bytes[8..12].try_into().expect("4 bytes"),
                rest: bytes[12..].try_into().expect("4 bytes"),
            })
            .collect()
    }
}

/// Messages of one conversation that are sealed together.
#[derive(Debug, Default)]
pub(crate) struct Segment {
    /// Framed `Message` records.
    pub(crate) plaintext: Vec<u8>,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) messages: u32,
    pub(crate) attachments: u32,
    /// Chunks that its attachments need.
    pub(crate) contents: Vec<ShortId>,
    pub(crate) fingerprints: Vec<Fingerprint>,
    /// Which messages have attachments, and how many.
    pub(crate) attachments_at: Vec<(u32, u32)>,
}

impl Segment {
    /// A segment of only the messages at these places, which must rise; `None` when what they need cannot be told from
    /// their records alone (very large media).
    pub(crate) fn only(&self, places: &[usize]) -> Option<Self> {
        let mut part = Self::default();
        let mut places = places.iter().copied().peekable();
        let records = frames::split(&self.plaintext).map_while(Result::ok);
        for (at, (record, fingerprint)) in records.zip(&self.fingerprints).enumerate() {
            if places.next_if_eq(&at).is_none() {
                continue;
            }
            let message: Message = frames::decode(record).ok()?;
            if part.messages == 0 {
                part.first_at = message.sent_at;
            }
            part.last_at = message.sent_at;
            let mut present = 0;
            for attachment in &message.attachments {
                let content = proto::Content::decode(attachment.content.as_slice()).ok()?;
                if !content.lists.is_empty() {
                    return None;
                }
                let pieces = content.pieces.as_chunks::<32>().0;
                part.contents
                    .extend(pieces.iter().map(|id| ChunkId(*id).short()));
                present += u32::from(attachment.presence() == Presence::Present);
            }
            if present > 0 {
                part.attachments_at.push((part.messages, present));
            }
            part.messages += 1;
            part.attachments += u32::try_from(message.attachments.len()).ok()?;
            part.fingerprints.push(*fingerprint);
            frames::push(&message, &mut part.plaintext);
        }
        Some(part)
    }
}

/// Takes one conversation's messages in order and gives segments.
#[derive(Debug, Default)]
pub(crate) struct Segmenter {
    segment: Segment,
}

/// One message, ready to be stored.
pub(crate) struct EncodedMessage<'a> {
    pub(crate) sent_at: i64,
    pub(crate) record: &'a [u8],
    pub(crate) attachments: u32,
    /// How many of the attachments are not absent.
    pub(crate) present: u32,
    pub(crate) contents: &'a [ShortId],
    pub(crate) fingerprint: Fingerprint,
    /// A keyed hash of the id: senders choose ids, and must not choose boundaries.
    pub(crate) boundary: u64,
}

impl Segmenter {
    /// Takes the next message; returns the segment that it ends.
    pub(crate) fn push(&mut self, message: &EncodedMessage<'_>) -> Option<Segment> {
        let too_large = !self.segment.plaintext.is_empty()
            && self.segment.plaintext.len() + message.record.len() > MAX_BYTES;
        let before = if too_large { self.finish() } else { None };
        let segment = &mut self.segment;
        if segment.messages == 0 {
            segment.first_at = message.sent_at;
        }
        segment.last_at = message.sent_at;
        if message.present > 0 {
            segment
                .attachments_at
                .push((segment.messages, message.present));
        }
        segment.messages += 1;
        segment.attachments += message.attachments;
        segment.contents.extend_from_slice(message.contents);
        segment.fingerprints.push(message.fingerprint);
        prost::encoding::encode_varint(
            u64::try_from(message.record.len()).expect("fits"),
            &mut segment.plaintext,
        );
        segment.plaintext.extend_from_slice(message.record);
        let cut = segment.messages >= MAX_MESSAGES
            || segment.messages >= MIN_MESSAGES
                && message.boundary.is_multiple_of(u64::from(ONE_IN));
        // A segment that a large message ended already: the message after it waits for its own boundary.
        if before.is_some() {
            before
        } else if cut {
            self.finish()
        } else {
            None
        }
    }

    /// Ends the conversation.
    pub(crate) fn finish(&mut self) -> Option<Segment> {
        if self.segment.messages == 0 {
            return None;
        }
        Some(std::mem::take(&mut self.segment))
    }
}

/// The bytes of a record's id: the first field of a message.
pub(crate) fn id_of(record: &[u8]) -> &[u8] {
    let mut rest = record;
    if rest.first() != Some(&0x0a) {
        return &[];
    }
    rest = &rest[1..];
    match frames::split_first(rest) {
        Ok(Some((id, _))) => id,
        _ => &[],
    }
}

/// How much of a record is its content: all before the first of reactions, receipts and attachments' whereabouts.
pub(crate) fn content_of(record: &[u8]) -> &[u8] {
    let mut rest = record;
    loop {
        let at = record.len() - rest.len();
        let mut peek = rest;
        let Ok(key) = prost::encoding::decode_varint(&mut peek) else {
            return record;
        };
        if key >> 3 >= 30 {
            return &record[..at];
        }
        let Some(next) = skip(key & 7, peek) else {
            return record;
        };
        if next.is_empty() {
            return record;
        }
        rest = next;
    }
}

fn skip(wire_type: u64, mut bytes: &[u8]) -> Option<&[u8]> {
    match wire_type {
        0 => prost::encoding::decode_varint(&mut bytes)
            .ok()
            .map(|_| bytes),
        1 => bytes.get(8..),
        5 => bytes.get(4..),
        2 => {
            let len = usize::try_from(prost::encoding::decode_varint(&mut bytes).ok()?).ok()?;
            bytes.get(len..)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use heirloom_archive::Reaction;
    use secrecy::SecretBox;

    use super::*;

    fn keys() -> IdKeys {
        IdKeys::new(&SecretBox::new(Box::new([5; 32])))
    }

    fn cut(ids: &[u32]) -> Vec<Segment> {
        let keys = keys();
        let mut segmenter = Segmenter::default();
        let mut segments = Vec::new();
        for n in ids {
            let record = Message {
                id: format!("id{n}"),
                text: "hello".into(),
                ..Message::default()
            }
            .encode_to_vec();
            let (fingerprint, boundary) = Fingerprint::of(&keys, &record);
            let message = EncodedMessage {
                sent_at: i64::from(*n),
                record: &record,
                attachments: 0,
                present: 0,
                contents: &[],
                fingerprint,
                boundary,
            };
            segments.extend(segmenter.push(&message));
        }
        segments.extend(segmenter.finish());
        segments
    }

    #[test]
    fn an_insertion_touches_few_segments() {
        let ids: Vec<u32> = (0..20_000).collect();
        let before = cut(&ids);
        let mut ids = ids;
        ids.insert(9_000, 77_777);
        let after = cut(&ids);
        let known: std::collections::HashSet<_> =
            before.iter().map(|s| s.plaintext.clone()).collect();
        let new = after
            .iter()
            .filter(|s| !known.contains(&s.plaintext))
            .count();
        assert!(new <= 4, "{new} of {} segments changed", after.len());
        assert!(before.len() > 60 && before.len() < 200);
    }

    #[test]
    fn segments_joined_are_the_messages_again() {
        let segments = cut(&(0..5_000).collect::<Vec<_>>());
        let total: u32 = segments.iter().map(|s| s.messages).sum();
        assert_eq!(total, 5_000);
        let ids: Vec<String> = segments
            .iter()
            .flat_map(|s| frames::decode_all::<Message>(&s.plaintext).unwrap())
            .map(|m| m.id)
            .collect();
        assert_eq!(
            ids,
            (0..5_000).map(|n| format!("id{n}")).collect::<Vec<_>>()
        );
        assert!(segments.iter().all(|s| s.messages <= MAX_MESSAGES));
    }

    #[test]
    fn reactions_do_not_change_what_a_message_is() {
        let keys = keys();
        let plain = Message {
            id: "a".into(),
            text: "b".into(),
            received_at: 5,
            ..Message::default()
        };
        let mut loved = plain.clone();
        loved.reactions.push(Reaction {
            emoji: "❤".into(),
            ..Reaction::default()
        });
        let print = |m: &Message| {
            let record = m.encode_to_vec();
            Fingerprint::of(&keys, &record).0
        };
        assert_eq!(print(&plain).content(), print(&loved).content());
        assert_ne!(print(&plain), print(&loved));
        let edited = Message {
            text: "c".into(),
            ..plain.clone()
        };
        assert_ne!(print(&plain).content(), print(&edited).content());
        assert_eq!(id_of(&plain.encode_to_vec()), b"a");
    }
}
