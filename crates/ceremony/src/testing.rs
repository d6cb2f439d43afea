//! A random source for tests: `SHA-256(seed ‖ counter)`.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use sha2::{Digest as _, Sha256};

#[derive(Debug)]
pub(crate) struct Rng(u64, u64);

pub(crate) fn rng(seed: u64) -> Rng {
    Rng(seed, 0)
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, filled: &mut [u8]) -> Result<(), Infallible> {
        for part in filled.chunks_mut(32) {
            self.1 += 1;
            let block = Sha256::digest([self.0.to_le_bytes(), self.1.to_le_bytes()].concat());
            part.copy_from_slice(&block[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}
