//! What became of each medium of a run, packed: there may be very many, and all are kept until the messages are cut.

use std::collections::HashMap;

use prost::Message as _;

use super::{MediaKey, short_ids};
use crate::ids::ShortId;
use crate::proto;

/// Bytes that are held together: large enough to cost nothing, small enough never to be moved.
const BLOCK_BYTES: usize = 64 * 1024;

/// What became of a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stored {
    /// Where it lies, and the chunks that it needs.
    Content {
        content: Vec<u8>,
        bytes: u64,
        chunks: Vec<ShortId>,
    },
    /// It could not be read: a stable reason, and whether a person could have had it.
    Unreadable {
        reason: &'static str,
        readable: bool,
    },
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// The content, and behind it the chunks that the content does not name itself.
    Held {
        block: u32,
        at: u32,
        content: u32,
        chunks: u32,
    },
    Unreadable {
        reason: &'static str,
        readable: bool,
    },
}

/// What became of all media of a run.
#[derive(Debug, Default)]
pub(crate) struct Results {
    places: HashMap<MediaKey, Place>,
    blocks: Vec<Vec<u8>>,
}

impl Results {
    pub(crate) fn insert(&mut self, key: MediaKey, stored: &Stored) {
        let place = match stored {
            Stored::Content {
                content,
                bytes: _,
                chunks,
            } => self.hold(content, chunks),
            Stored::Unreadable { reason, readable } => Place::Unreadable {
                reason,
                readable: *readable,
            },
        };
        self.places.insert(key, place);
    }

    fn hold(&mut self, content: &[u8], chunks: &[ShortId]) -> Place {
        // Pieces that stand in the content need not be said again.
        let named = proto::Content::decode(content)
            .is_ok_and(|content| content.lists.is_empty() && short_ids(&content.pieces) == chunks);
        let chunks = if named { &[] } else { chunks };
        let needed = content.len() + size_of_val(chunks);
        let full = self
            .blocks
            .last()
            .is_none_or(|block| block.len() + needed > block.capacity());
        if full {
            self.blocks
                .push(Vec::with_capacity(needed.max(BLOCK_BYTES)));
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let narrow = |size: usize| u32::try_from(size).expect("contents are limited");
        let at = narrow(block.len());
        block.extend_from_slice(content);
        block.extend_from_slice(chunks.as_flattened());
        Place::Held {
            block: narrow(number),
            at,
            content: narrow(content.len()),
            chunks: narrow(chunks.len()),
        }
    }

    pub(crate) fn get(&self, key: &MediaKey) -> Option<Stored> {
        let (block, at, content, chunks) = match *self.places.get(key)? {
            Place::Held {
                block,
                at,
                content,
                chunks,
            } => (block, at, content, chunks),
            Place::Unreadable { reason, readable } => {
                return Some(Stored::Unreadable { reason, readable });
            }
        };
        let wide = |number: u32| usize::try_from(number).expect("fits");
        let (content, rest) = self
            .blocks
            .get(wide(block))?
            .get(wide(at)..)?
            .split_at(wide(content));
        let decoded = proto::Content::decode(content).ok()?;
        let chunks = if chunks == 0 {
            short_ids(&decoded.pieces)
        } else {
            rest.as_chunks::<16>().0[..wide(chunks)].to_vec()
        };
        Some(Stored::Content {
            content: content.to_vec(),
            bytes: decoded.bytes,
            chunks,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_comes_out_again() {
        let mut results = Results::default();
        let mut expected = Vec::new();
        for n in 0..3000u32 {
            let mut key = [0; 16];
            key[..4].copy_from_slice(&n.to_le_bytes());
            let pieces: Vec<u8> = (0..n % 5)
                .flat_map(|piece| [piece.to_le_bytes()[0]; 32])
                .collect();
            let listed = n % 7 == 0;
            let content = proto::Content {
                bytes: u64::from(n),
                lists: if listed { vec![9; 32] } else { Vec::new() },
                pieces: if listed { Vec::new() } else { pieces.clone() },
            };
            let chunks = if listed {
                vec![[n.to_le_bytes()[0]; 16]; 3]
            } else {
                short_ids(&pieces)
            };
            let stored = if n % 11 == 0 {
                Stored::Unreadable {
                    reason: "gone",
                    readable: n % 2 == 0,
                }
            } else {
                Stored::Content {
                    content: content.encode_to_vec(),
                    bytes: u64::from(n),
                    chunks,
                }
            };
            results.insert(key, &stored);
            expected.push((key, stored));
        }
        for (key, stored) in &expected {
            assert_eq!(results.get(key).as_ref(), Some(stored));
        }
        assert_eq!(results.get(&[255; 16]), None);
        assert!(results.blocks.len() < 12, "{} blocks", results.blocks.len());
    }
}
