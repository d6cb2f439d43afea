//! AES-256-GCM (SP 800-38D) that streams: tag and text are two passes over the same ciphertext.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher};
use ctr::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;

const BLOCK_BYTES: usize = 16;

/// What one key and one IV give: the check of a ciphertext and its text.
pub(super) struct Gcm {
    hash: GHash,
    mask: [u8; BLOCK_BYTES],
    stream: Ctr32BE<Aes256>,
}

impl Gcm {
    /// Begins with an IV of any length: 12 bytes are used as they are, others are hashed.
    pub(super) fn new(key: &[u8; 32], iv: &[u8]) -> Self {
        let cipher = Aes256::new(key.into());
        let mut hash_key = aes::Block::default();
        cipher.encrypt_block(&mut hash_key);
        let hash = GHash::new(&hash_key);
        let mut first = [0; BLOCK_BYTES];
        if iv.len() == 12 {
            first[..12].copy_from_slice(iv);
            first[15] = 1;
        } else {
            let mut over_iv = hash.clone();
            over_iv.update_padded(iv);
            over_iv.update(&[lengths(0, iv.len())]);
            first.copy_from_slice(&over_iv.finalize());
        }
        let mut mask = aes::Block::from(first);
        cipher.encrypt_block(&mut mask);
        // "inc32": the text begins one block after the one that masks the tag.
        let mut counter = [0; 4];
        counter.copy_from_slice(&first[12..]);
        first[12..].copy_from_slice(&u32::from_be_bytes(counter).wrapping_add(1).to_be_bytes());
        Self {
            hash,
            mask: mask.into(),
            stream: Ctr32BE::new(key.into(), &first.into()),
        }
    }

    /// Begins a check over `aad` and the ciphertext that follows.
    pub(super) fn check(&self, aad: &[u8]) -> Check {
        let mut hash = self.hash.clone();
        hash.update_padded(aad);
        Check {
            hash,
            mask: self.mask,
            aad_bytes: aad.len(),
            rest: [0; BLOCK_BYTES],
            rest_bytes: 0,
            bytes: 0,
        }
    }

    /// The key stream, from its beginning.
    pub(super) fn into_stream(self) -> Ctr32BE<Aes256> {
        self.stream
    }
}

/// The tag of a ciphertext that comes in pieces.
#[derive(Clone)]
pub(super) struct Check {
    hash: GHash,
    mask: [u8; BLOCK_BYTES],
    aad_bytes: usize,
    rest: [u8; BLOCK_BYTES],
    rest_bytes: usize,
    bytes: usize,
}

impl Check {
    /// Takes the next bytes of ciphertext.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += bytes.len();
        if self.rest_bytes > 0 {
            let taken = bytes.len().min(BLOCK_BYTES - self.rest_bytes);
            self.rest[self.rest_bytes..self.rest_bytes + taken].copy_from_slice(&bytes[..taken]);
            self.rest_bytes += taken;
            bytes = &bytes[taken..];
            if self.rest_bytes < BLOCK_BYTES {
                return;
            }
            self.hash.update_padded(&self.rest);
            self.rest_bytes = 0;
        }
        let whole = bytes.len() - bytes.len() % BLOCK_BYTES;
        self.hash.update_padded(&bytes[..whole]);
        self.rest_bytes = bytes.len() - whole;
        self.rest[..self.rest_bytes].copy_from_slice(&bytes[whole..]);
    }

    /// Whether `tag` is that of all that was taken. Takes the same time wherever they differ.
    pub(super) fn fits(mut self, tag: &[u8]) -> bool {
        self.hash.update_padded(&self.rest[..self.rest_bytes]);
        self.hash.update(&[lengths(self.aad_bytes, self.bytes)]);
        let mut expected = self.hash.finalize();
        for (byte, mask) in expected.iter_mut().zip(self.mask) {
            *byte ^= mask;
        }
        expected.as_slice().ct_eq(tag).into()
    }
}

/// Decrypts in place; `false` at the end of the key stream (64 GiB).
pub(super) fn apply(stream: &mut Ctr32BE<Aes256>, bytes: &mut [u8]) -> bool {
    stream.try_apply_keystream(bytes).is_ok()
}

fn lengths(first: usize, second: usize) -> ghash::Block {
    let bits = |bytes: usize| {
        u64::try_from(bytes)
            .unwrap_or(u64::MAX)
            .wrapping_mul(8)
            .to_be_bytes()
    };
    let mut block = ghash::Block::default();
    block[..8].copy_from_slice(&bits(first));
    block[8..].copy_from_slice(&bits(second));
    block
}

#[cfg(test)]
mod tests;
