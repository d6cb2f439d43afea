//! The one way in which this crate derives, seals and authenticates. `docs/keyring.md`, section 2.
//!
//! Every sealed value has a key of its own that is used once, so the nonce is zero; every ciphertext
//! is preceded by a commitment to its key, which is compared before anything is opened (an AES-GCM
//! ciphertext alone can be made to open under two keys).

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes256Gcm, Tag};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Names the algorithms; part of every derivation, so that no other suite can share a key.
pub(crate) const SUITE: &[u8] = b"X-Wing HKDF-SHA256 AES-256-GCM";

/// How many bytes a sealed value is longer than its plaintext: commitment and tag.
pub(crate) const OVERHEAD_BYTES: usize = COMMITMENT_BYTES + TAG_BYTES;

const COMMITMENT_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const KEY_BYTES: usize = 32;

/// 32 secret bytes: boxed, wiped on drop, redacted in `Debug`, never `Clone`.
#[derive(Debug, Default)]
pub(crate) struct Secret32(SecretBox<[u8; 32]>);

impl Secret32 {
    pub(crate) fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        let mut secret = Self::default();
        fill(secret.0.expose_secret_mut());
        secret
    }

    pub(crate) fn generate(rng: &mut impl rand_core::CryptoRng) -> Self {
        Self::filled(|bytes| rng.fill_bytes(bytes))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 32] = bytes.try_into().ok()?;
        Some(Self::filled(|secret| secret.copy_from_slice(bytes)))
    }

    pub(crate) fn exposed(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }

    /// A second copy, asked for by name: the next keyring carries the same secret.
    pub(crate) fn duplicate(&self) -> Self {
        Self::filled(|secret| secret.copy_from_slice(self.exposed()))
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.exposed().ct_eq(other.exposed()).into()
    }
}

/// Fields joined so that no two lists of fields give the same bytes: each is preceded by its length
/// as four bytes, big-endian. The label and the suite come first.
#[derive(Clone, Debug)]
pub(crate) struct Info(Vec<u8>);

impl Info {
    pub(crate) fn new(label: &str) -> Self {
        Self(Vec::with_capacity(256))
            .field(label.as_bytes())
            .field(SUITE)
    }

    pub(crate) fn field(mut self, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len()).expect("fields are far shorter than 4 GiB");
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(crate) fn u32(self, number: u32) -> Self {
        self.field(&number.to_be_bytes())
    }

    pub(crate) fn u64(self, number: u64) -> Self {
        self.field(&number.to_be_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// `HKDF-SHA256(salt, ikm, info)`, 32 bytes.
pub(crate) fn derive(salt: &[u8], ikm: &[u8], info: &Info) -> Secret32 {
    Secret32::filled(|out| hkdf_sha256(salt, ikm, info.as_bytes(), out))
}

/// `HMAC-SHA256(key, message)`.
pub(crate) fn mac(key: &Secret32, message: &Info) -> [u8; 32] {
    hmac_sha256(key.exposed(), message.as_bytes())
}

pub(crate) fn mac_is_right(key: &Secret32, message: &Info, given: &[u8]) -> bool {
    mac(key, message).ct_eq(given).into()
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Why a committed value stayed closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The commitment is not this key's: another key, or another place.
    OtherKey,
    /// The key is right and the ciphertext is not.
    Damaged,
}

/// `commitment ‖ AES-256-GCM(key, nonce 0, aad = info, plaintext)`, where
/// `key ‖ commitment = HKDF-SHA256(salt, ikm, info)`.
///
/// `salt` and `ikm` together must be fresh: the key is for this plaintext alone.
pub(crate) fn seal(salt: &[u8], ikm: &[u8], info: &Info, plaintext: &[u8]) -> Vec<u8> {
    let keys = expand(salt, ikm, info);
    let (key, commitment) = keys.split_at(KEY_BYTES);
    let mut sealed = Vec::with_capacity(plaintext.len() + OVERHEAD_BYTES);
    sealed.extend_from_slice(commitment);
    sealed.extend_from_slice(plaintext);
    let tag = aead_seal(
        key,
        &[0; 12],
        info.as_bytes(),
        &mut sealed[COMMITMENT_BYTES..],
    );
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal`] made.
pub(crate) fn open(
    salt: &[u8],
    ikm: &[u8],
    info: &Info,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Closed> {
    if sealed.len() < OVERHEAD_BYTES {
        return Err(Closed::Damaged);
    }
    let keys = expand(salt, ikm, info);
    let (key, commitment) = keys.split_at(KEY_BYTES);
    let (given, rest) = sealed.split_at(COMMITMENT_BYTES);
    if !bool::from(commitment.ct_eq(given)) {
        return Err(Closed::OtherKey);
    }
    let (ciphertext, tag) = rest.split_at(rest.len() - TAG_BYTES);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    aead_open(key, &[0; 12], info.as_bytes(), &mut plaintext, tag)?;
    Ok(plaintext)
}

fn expand(salt: &[u8], ikm: &[u8], info: &Info) -> Zeroizing<[u8; KEY_BYTES + COMMITMENT_BYTES]> {
    let mut keys = Zeroizing::new([0; KEY_BYTES + COMMITMENT_BYTES]);
    hkdf_sha256(salt, ikm, info.as_bytes(), keys.as_mut_slice());
    keys
}

fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[u8], out: &mut [u8]) {
    Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand(info, out)
        .expect("at most 64 bytes are asked for, a valid HKDF-SHA256 length");
}

pub(crate) fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key)
        .expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn aead_seal(key: &[u8], nonce: &[u8; 12], aad: &[u8], in_place: &mut [u8]) -> Tag {
    Aes256Gcm::new_from_slice(key)
        .expect("the key is 32 bytes")
        .encrypt_inout_detached(nonce.into(), aad, in_place.into())
        .expect("keyrings are far shorter than the limit of AES-GCM")
}

fn aead_open(
    key: &[u8],
    nonce: &[u8; 12],
    aad: &[u8],
    in_place: &mut [u8],
    tag: &[u8],
) -> Result<(), Closed> {
    let tag = Tag::try_from(tag).map_err(|_| Closed::Damaged)?;
    Aes256Gcm::new_from_slice(key)
        .expect("the key is 32 bytes")
        .decrypt_inout_detached(nonce.into(), aad, in_place.into(), &tag)
        .map_err(|_| Closed::Damaged)
}

#[cfg(test)]
mod tests;
