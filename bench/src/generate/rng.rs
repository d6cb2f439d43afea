//! The one source of chance: equal seeds give equal folders on every machine.

/// xoshiro256** of Blackman and Vigna, seeded through SplitMix64.
#[derive(Debug)]
pub(crate) struct Rng([u64; 4]);

impl Rng {
    /// The generator of one seed.
    pub(crate) fn new(mut seed: u64) -> Self {
        Self([(); 4].map(|()| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let out = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        out
    }

    /// A number below `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(n);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit number")
    }

    /// A number from `low` up to, but not including, `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    /// True `times` times in `of`.
    pub(crate) fn chance(&mut self, times: u64, of: u64) -> bool {
        self.below(of) < times
    }

    /// An index below `len`.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).expect("a length fits 64 bits")))
            .expect("below a length")
    }

    /// One of `items`, which are not empty.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.index(items.len())]
    }

    /// A whole number with mean `mean`, falling off by halves: the length of a run.
    pub(crate) fn run(&mut self, mean: u64) -> u64 {
        let mut n = 1;
        while n < mean * 12 && !self.chance(1, mean) {
            n += 1;
        }
        n
    }

    /// Fills `out` with bytes that no compressor can shrink.
    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        let mut words = out.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
        let tail = words.into_remainder();
        let len = tail.len();
        tail.copy_from_slice(&self.next().to_le_bytes()[..len]);
    }

    /// `2 * bytes` upper-case hex digits, as in the ids of WhatsApp's messages.
    pub(crate) fn hex(&mut self, bytes: usize) -> String {
        const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
        let mut out = String::with_capacity(2 * bytes);
        while out.len() < 2 * bytes {
            let mut word = self.next();
            for _ in 0..16.min(2 * bytes - out.len()) {
                let nibble = usize::try_from(word & 15).expect("four bits");
                out.push(char::from(DIGITS[nibble]));
                word >>= 4;
            }
        }
        out
    }
}

/// Picks indices by weight.
#[derive(Debug)]
pub(crate) struct Weighted(Vec<u64>);

impl Weighted {
    /// From the weights of the items.
    pub(crate) fn new(weights: impl IntoIterator<Item = u64>) -> Self {
        let mut sum = 0;
        Self(
            weights
                .into_iter()
                .map(|w| {
                    sum += w;
                    sum
                })
                .collect(),
        )
    }

    /// Zipf's law: the item at rank `r` is as frequent as 1/(r + shift).
    pub(crate) fn zipf(items: usize, shift: u64) -> Self {
        let items = u64::try_from(items).expect("a length fits 64 bits");
        Self::new((1..=items).map(|rank| 1_000_000_000 / (rank + shift)))
    }

    /// One index.
    pub(crate) fn pick(&self, rng: &mut Rng) -> usize {
        let at = rng.below(self.0.last().copied().unwrap_or(0));
        self.0.partition_point(|&sum| sum <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_others_do_not() {
        let first: Vec<u64> = {
            let mut r = Rng::new(1);
            (0..8).map(|_| r.next()).collect()
        };
        let again: Vec<u64> = {
            let mut r = Rng::new(1);
            (0..8).map(|_| r.next()).collect()
        };
        let other: Vec<u64> = {
            let mut r = Rng::new(2);
            (0..8).map(|_| r.next()).collect()
        };
        assert_eq!(first, again);
        assert_ne!(first, other);
    }

    #[test]
    fn weights_are_followed() {
        let weights = Weighted::new([1, 0, 9]);
        let mut rng = Rng::new(3);
        let mut counts = [0_u32; 3];
        for _ in 0..10_000 {
            counts[weights.pick(&mut rng)] += 1;
        }
        assert_eq!(counts[1], 0);
        assert!((800..1_200).contains(&counts[0]), "{counts:?}");
    }

    #[test]
    fn an_id_has_as_many_digits_as_asked_for() {
        assert_eq!(Rng::new(4).hex(16).len(), 32);
        assert_eq!(Rng::new(4).hex(3).len(), 6);
    }
}
