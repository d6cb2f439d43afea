//! X-Wing key pairs, and values sealed to a public key. `docs/keyring.md`, section 2.4.

use rand_core::CryptoRng;
use x_wing::{
    CIPHERTEXT_SIZE, Ciphertext, Decapsulate, DecapsulationKey, Decapsulator,
    ENCAPSULATION_KEY_SIZE, Encapsulate, EncapsulationKey, KeyExport, KeyInit,
};
use zeroize::{Zeroize, Zeroizing};

use crate::committed::{self, Closed, Info, OVERHEAD_BYTES, Secret32};

/// Length of an X-Wing public key.
pub(crate) const PUBLIC_KEY_BYTES: usize = ENCAPSULATION_KEY_SIZE;

/// How many bytes a value sealed to a public key is longer than its plaintext.
pub(crate) const SEAL_OVERHEAD_BYTES: usize = CIPHERTEXT_SIZE + OVERHEAD_BYTES;

/// An X-Wing key pair. Its seed of 32 bytes is its whole private half.
///
/// The public half is computed once, which costs about a third of opening something.
#[derive(Debug)]
pub(crate) struct KeyPair {
    seed: Secret32,
    public: PublicKey,
}

impl KeyPair {
    pub(crate) fn new(seed: Secret32) -> Self {
        let public = private(&seed).encapsulation_key().clone();
        Self {
            seed,
            public: PublicKey(public),
        }
    }

    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(Secret32::generate(rng))
    }

    pub(crate) fn exposed(&self) -> &[u8; 32] {
        self.seed.exposed()
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Opens what [`PublicKey::seal`] made: `psk` and `info` must be the same.
    pub(crate) fn open(
        &self,
        psk: &[u8],
        info: &Info,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let (ciphertext, rest) = sealed
            .split_at_checked(CIPHERTEXT_SIZE)
            .ok_or(Closed::Damaged)?;
        let ciphertext = Ciphertext::try_from(ciphertext).map_err(|_| Closed::Damaged)?;
        let mut shared = private(&self.seed).decapsulate(&ciphertext);
        let ikm = joined(&shared, psk);
        shared.zeroize();
        committed::open(&[], &ikm, info, rest)
    }
}

/// Short-lived on purpose: it holds a copy of the seed, and wipes it.
fn private(seed: &Secret32) -> DecapsulationKey {
    DecapsulationKey::new(seed.exposed().into())
}

/// The public half. Public by name, and yet never in a store in the clear: see the crate's page.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(EncapsulationKey);

impl PublicKey {
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let key = Self(EncapsulationKey::try_from(bytes).ok()?);
        // One public key, one spelling.
        (key.to_bytes().as_slice() == bytes).then_some(key)
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// `X-Wing ciphertext ‖ committed seal`, with `ikm = shared secret ‖ psk`.
    pub(crate) fn seal(
        &self,
        rng: &mut impl CryptoRng,
        psk: &[u8],
        info: &Info,
        plaintext: &[u8],
    ) -> Vec<u8> {
        let (ciphertext, mut shared) = self.0.encapsulate_with_rng(rng);
        let ikm = joined(&shared, psk);
        shared.zeroize();
        let mut sealed = Vec::with_capacity(SEAL_OVERHEAD_BYTES + plaintext.len());
        sealed.extend_from_slice(&ciphertext);
        sealed.extend_from_slice(&committed::seal(&[], &ikm, info, plaintext));
        sealed
    }
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PublicKey(…)")
    }
}

fn joined(shared: &[u8], psk: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut ikm = Zeroizing::new(Vec::with_capacity(shared.len() + psk.len()));
    ikm.extend_from_slice(shared);
    ikm.extend_from_slice(psk);
    ikm
}

#[cfg(test)]
impl KeyPair {
    pub(crate) fn shared_for_test(&self, ciphertext: &[u8]) -> Vec<u8> {
        let ciphertext = Ciphertext::try_from(ciphertext).unwrap();
        private(&self.seed).decapsulate(&ciphertext).to_vec()
    }
}

#[cfg(test)]
impl PublicKey {
    pub(crate) fn encapsulate_for_test(&self, randomness: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (ciphertext, shared) = self
            .0
            .encapsulate_deterministic(randomness.try_into().unwrap());
        (ciphertext.to_vec(), shared.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestRng;

    #[test]
    fn a_sealed_value_opens_only_with_its_own_seed_psk_and_place() {
        let rng = &mut TestRng::new(1);
        let (mine, other) = (KeyPair::generate(rng), KeyPair::generate(rng));
        let info = Info::new("test");
        let sealed = mine.public().seal(rng, b"psk", &info, b"value");
        assert_eq!(
            mine.open(b"psk", &info, &sealed).unwrap().as_slice(),
            b"value"
        );
        assert!(other.open(b"psk", &info, &sealed).is_err());
        assert!(mine.open(b"", &info, &sealed).is_err());
        assert!(mine.open(b"psk", &Info::new("elsewhere"), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert!(mine.open(b"psk", &info, &bad).is_err(), "byte {at}");
        }
        for len in 0..sealed.len() {
            assert!(mine.open(b"psk", &info, &sealed[..len]).is_err());
        }
    }

    #[test]
    fn a_public_key_that_is_no_key_is_refused() {
        assert!(PublicKey::from_slice(&[0xff; PUBLIC_KEY_BYTES]).is_none());
        assert!(PublicKey::from_slice(&[0; PUBLIC_KEY_BYTES - 1]).is_none());
    }
}
