//! Stable bucketing as flagd does it, so that two servers, and flagd itself, agree.

/// The most that all weights may be together (flagd: a positive 32-bit number).
pub(crate) const MAX_WEIGHT: u64 = 0x7FFF_FFFF;

/// Which bucket a key falls into: `(MurmurHash3-x86-32(key, seed 0) × total) >> 32`, then the first whose
/// cumulative weight lies beyond that. `None` where all weights are 0 or too much.
pub(crate) fn pick(key: &str, weights: &[u64]) -> Option<usize> {
    let total = weights
        .iter()
        .try_fold(0_u64, |sum, weight| sum.checked_add(*weight))?;
    if total == 0 || total > MAX_WEIGHT {
        return None;
    }
    let point = (u64::from(murmur3(key.as_bytes())) * total) >> 32;
    let mut end = 0;
    weights.iter().position(|weight| {
        end += weight;
        point < end
    })
}

/// `MurmurHash3`, x86, 32 bits, seed 0 (Appleby).
pub(crate) fn murmur3(bytes: &[u8]) -> u32 {
    let scramble = |word: u32| {
        word.wrapping_mul(0xcc9e_2d51)
            .rotate_left(15)
            .wrapping_mul(0x1b87_3593)
    };
    let (words, tail) = bytes.as_chunks::<4>();
    let mut hash = words.iter().fold(0_u32, |hash, word| {
        (hash ^ scramble(u32::from_le_bytes(*word)))
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xe654_6b64)
    });
    let last = tail
        .iter()
        .rev()
        .fold(0_u32, |word, byte| word << 8 | u32::from(*byte));
    hash ^= scramble(last);
    // Keys are far shorter than 4 GiB.
    hash ^= u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    // SMHasher's and flagd's published values (flagd-testbed, targeting.feature: hash edge cases).
    #[test]
    fn murmur3_gives_the_published_values() {
        for (key, hash) in [
            ("", 0),
            ("a", 0x3c25_69b2),
            ("abc", 0xb3dd_93fa),
            ("abcd", 0x43ed_676a),
            ("hello", 0x248b_fa47),
            ("hello, world", 0x149b_bb7f),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
            ("ejOoVL", 0),
            ("bY9fO-", 1),
            ("SI7p-", 0x7fff_ffff),
            ("6LvT0", 0x8000_0000),
            ("ceQdGm", 0xffff_ffff),
        ] {
            assert_eq!(murmur3(key.as_bytes()), hash, "{key}");
        }
    }

    #[test]
    fn the_ends_of_the_hash_fall_into_the_outermost_buckets() {
        assert_eq!(pick("ejOoVL", &[50, 50]), Some(0));
        assert_eq!(pick("SI7p-", &[50, 50]), Some(0));
        assert_eq!(pick("6LvT0", &[50, 50]), Some(1));
        assert_eq!(pick("ceQdGm", &[50, 50]), Some(1));
        assert_eq!(pick("ceQdGm", &[MAX_WEIGHT]), Some(0));
        assert_eq!(pick("ceQdGm", &[0, 1, 0]), Some(1));
    }

    #[test]
    fn weights_of_nothing_or_of_too_much_pick_none() {
        assert_eq!(pick("a", &[]), None);
        assert_eq!(pick("a", &[0, 0]), None);
        assert_eq!(pick("a", &[MAX_WEIGHT, 1]), None);
        assert_eq!(pick("a", &[u64::MAX, u64::MAX]), None);
    }
}
