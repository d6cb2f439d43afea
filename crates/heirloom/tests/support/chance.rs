//! Chance that can be repeated: the seed is printed, `HEIRLOOM_SEED` sets it, `HEIRLOOM_LONG=1` asks for full counts.

use std::time::SystemTime;

/// Whether the full counts are asked for.
pub fn long() -> bool {
    std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1")
}

/// How often something random is tried.
pub fn times(sample: u64, full: u64) -> u64 {
    if long() { full } else { sample }
}

/// A generator (splitmix64): the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Begins with the seed of this run, which it prints.
    pub fn of_this_run(test: &str) -> Self {
        let seed = std::env::var("HEIRLOOM_SEED").map_or_else(
            |_| {
                SystemTime::UNIX_EPOCH
                    .elapsed()
                    .map_or(1, |now| now.as_secs())
            },
            |seed| seed.parse().expect("HEIRLOOM_SEED is a number"),
        );
        println!("{test}: HEIRLOOM_SEED={seed}");
        Self(seed)
    }

    /// Begins with a seed.
    pub fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end.max(1)
    }

    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(u64::try_from(end).unwrap())).unwrap()
    }

    /// True once in `of` times.
    pub fn once_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.index(all.len())]
    }

    /// Bytes that no compressor makes smaller.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend(self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes
    }
}
