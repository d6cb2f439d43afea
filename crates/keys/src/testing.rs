//! A random source that repeats itself. Only in tests: no release build contains it.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

use crate::committed::sha256;

/// SHA-256 of (seed, block number), block after block. `docs/keyring.md`, section 10.
pub(crate) struct TestRng {
    seed: u64,
    block: u64,
    left: Vec<u8>,
}

impl TestRng {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            block: 0,
            left: Vec::new(),
        }
    }
}

impl TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for byte in out {
            if self.left.is_empty() {
                let mut block = self.seed.to_be_bytes().to_vec();
                block.extend_from_slice(&self.block.to_be_bytes());
                self.left = sha256(&block).to_vec();
                self.block += 1;
            }
            *byte = self.left.remove(0);
        }
        Ok(())
    }
}

impl TryCryptoRng for TestRng {}
