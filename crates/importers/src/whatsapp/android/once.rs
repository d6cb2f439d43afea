//! Ids that are used twice.

/// A cache line each.
type Block = [u64; 8];
const BLOCKS: u64 = 1 << 17;
/// Where a doubt costs little, a quarter of that stays in the processor's own memory.
const BLOCKS_FEW: u64 = 1 << 15;
/// Doubts that are looked into; behind that many, a doubt counts as a fact.
const LOOKUPS_MAX: u32 = 2_000;
/// The same where an index finds them.
const LOOKUPS_MAX_INDEXED: u32 = 500_000;
/// Ids that the small filter takes before it doubts too often.
const FEW: i64 = 2_000_000;

/// Remembers in 8 MiB, whatever their number, which ids were seen: a blocked Bloom filter.
///
/// Its "maybe" (one in millions, up to a few million messages) is a question to the database.
#[derive(Debug)]
pub(super) struct Once {
    blocks: Vec<Block>,
    count: u64,
    lookups_left: u32,
}

impl Once {
    /// For about so many ids; `indexed`: whether the database finds an id without reading a table.
    pub(super) fn new(ids: i64, indexed: bool) -> Self {
        let count = if indexed && ids < FEW {
            BLOCKS_FEW
        } else {
            BLOCKS
        };
        let lookups_left = if indexed {
            LOOKUPS_MAX_INDEXED
        } else {
            LOOKUPS_MAX
        };
        Self {
            blocks: vec![[0; 8]; usize::try_from(count).unwrap_or(1)],
            count,
            lookups_left,
        }
    }

    /// Notes an id; whether it may have been in this conversation before, of whatever author.
    pub(super) fn maybe_seen(&mut self, conversation: u32, id: &str) -> bool {
        let hash = hash(conversation, id.as_bytes());
        let place = usize::try_from(hash % self.count).unwrap_or(0);
        let Some(block) = self.blocks.get_mut(place) else {
            return true;
        };
        // One bit in each word: the words do not wait for one another.
        let bits = hash.wrapping_mul(MIX) >> 16;
        let mut missing = 0;
        for (word, shift) in block.iter_mut().zip((0u32..).step_by(6)) {
            let bit = 1 << (bits >> shift & 63);
            missing |= bit & !*word;
            *word |= bit;
        }
        missing == 0
    }

    /// Whether one more doubt may be looked into: a hostile file must not cost a scan for each of its rows.
    pub(super) fn may_look_up(&mut self) -> bool {
        let may = self.lookups_left > 0;
        self.lookups_left = self.lookups_left.saturating_sub(1);
        may
    }
}

const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A quick hash: whoever makes its values collide gets lookups, of which there are few.
fn hash(conversation: u32, id: &[u8]) -> u64 {
    let mut state = u64::from(conversation).wrapping_add(MIX)
        ^ u64::try_from(id.len()).unwrap_or(0).rotate_left(32);
    for chunk in id.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state.rotate_left(23) ^ u64::from_le_bytes(word)).wrapping_mul(MIX);
        state ^= state >> 29;
    }
    state = (state ^ state >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    state ^ state >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_always_known_and_a_doubt_is_rare() {
        let mut once = Once::new(300_000, false);
        let id = |n: u32| format!("3EB0{n:012X}");
        let doubts = (0..300_000)
            .filter(|n| once.maybe_seen(n % 50, &id(*n)))
            .count();
        assert!(doubts <= 1, "{doubts} doubts in 300,000");
        assert!(
            (0..300_000)
                .step_by(997)
                .all(|n| once.maybe_seen(n % 50, &id(n)))
        );
        assert!(!once.maybe_seen(1, &id(0)));
    }
}
