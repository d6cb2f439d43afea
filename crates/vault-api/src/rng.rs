//! A random source of today for the crates that `opaque-ke` 4.0 sits on.

use opaque_ke::rand::{CryptoRng as OldCryptoRng, Error, RngCore};
use rand_core::CryptoRng;

/// Lends a `rand_core` 0.10 generator to `opaque-ke`, which asks for one of 0.6.
#[derive(Debug)]
pub struct OpaqueRng<'a, R: CryptoRng>(pub &'a mut R);

impl<R: CryptoRng> RngCore for OpaqueRng<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill_bytes(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.0.fill_bytes(dest);
        Ok(())
    }
}

impl<R: CryptoRng> OldCryptoRng for OpaqueRng<'_, R> {}
