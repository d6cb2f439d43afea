//! The root key of an epoch, and the keys that come from it. `docs/keyring.md`, section 3.

use rand_core::CryptoRng;

use crate::committed::{self, Info, Secret32};
use crate::ids::{DeviceId, RepositoryId};
use crate::kem::{KeyPair, PublicKey};

/// The key-encryption key of one epoch. It wraps keys, never content.
///
/// Neither `Clone` nor `Serialize`: a root key leaves memory only inside a key slot, or inside the
/// sealed part of a later keyring.
#[derive(Debug)]
pub(crate) struct RootKey(Secret32);

impl RootKey {
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret32::generate(rng))
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        Secret32::from_slice(bytes).map(Self)
    }

    pub(crate) fn exposed(&self) -> &[u8; 32] {
        self.0.exposed()
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0.same(&other.0)
    }
}

/// One root and the number of its epoch. After a merge two epochs can share a number.
#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u32,
    pub(crate) root: RootKey,
}

impl Epoch {
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            number: self.number,
            root: self.root.duplicate(),
        }
    }

    /// `HKDF-SHA256("", root, "heirloom/v1/reader", repository, epoch)` is the seed of an X-Wing key pair.
    pub(crate) fn reader(&self, repository: &RepositoryId) -> KeyPair {
        KeyPair::new(self.derive("heirloom/v1/reader", repository, &[]))
    }

    /// `HKDF-SHA256("", root, "heirloom/v1/writer", repository, epoch, device)`.
    pub(crate) fn writer(&self, repository: &RepositoryId, device: &DeviceId) -> WriterKey {
        WriterKey(self.derive("heirloom/v1/writer", repository, &[device.as_bytes()]))
    }

    /// `HKDF-SHA256("", root, "heirloom/v1/succession-key", repository, epoch)`.
    pub(crate) fn succession(&self, repository: &RepositoryId) -> Secret32 {
        self.derive("heirloom/v1/succession-key", repository, &[])
    }

    /// `HKDF-SHA256("", root, "heirloom/v1/vault-owner", repository, epoch)` is the seed of an Ed25519 key.
    pub(crate) fn vault_owner(&self, repository: &RepositoryId) -> Secret32 {
        self.derive("heirloom/v1/vault-owner", repository, &[])
    }

    fn derive(&self, label: &str, repository: &RepositoryId, more: &[&[u8]]) -> Secret32 {
        let info = Info::new(label)
            .field(repository.as_bytes())
            .u32(self.number);
        let info = more.iter().fold(info, |info, field| info.field(field));
        committed::derive(&[], self.root.exposed(), &info)
    }
}

/// `W_d`: shows that a device of this repository wrote something. It opens nothing.
#[derive(Debug)]
pub struct WriterKey(pub(crate) Secret32);

impl WriterKey {
    /// The 32 bytes, for the HMAC in an index, a snapshot or a head; never to be stored but in a
    /// device's own file.
    pub fn expose_secret(&self) -> &[u8; 32] {
        self.0.exposed()
    }

    /// `HKDF-SHA256("", W_d, "heirloom/v1/device-proof-key", repository, device)`.
    pub(crate) fn proof_key(&self, repository: &RepositoryId, device: &DeviceId) -> Secret32 {
        let info = Info::new("heirloom/v1/device-proof-key")
            .field(repository.as_bytes())
            .field(device.as_bytes());
        committed::derive(&[], self.0.exposed(), &info)
    }
}

/// Makes chunk ids out of plaintext. Made once for a repository, and never rotated.
#[derive(Debug)]
pub struct ChunkIdKey(pub(crate) Secret32);

impl ChunkIdKey {
    /// The 32 bytes, for keyed BLAKE3; never to be stored but in a device's own file.
    pub fn expose_secret(&self) -> &[u8; 32] {
        self.0.exposed()
    }

    pub(crate) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

/// To whom a run key is sealed: the reader of one epoch.
///
/// Holding it lets a device add to a backup and read nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderPublic {
    pub(crate) epoch: u32,
    pub(crate) key: PublicKey,
}

impl ReaderPublic {
    /// The epoch whose readers can open what is sealed to this key.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(RootKey: Clone, Copy, PartialEq, std::fmt::Display);
#[cfg(test)]
static_assertions::assert_not_impl_any!(WriterKey: Clone, Copy, PartialEq, std::fmt::Display);
#[cfg(test)]
static_assertions::assert_not_impl_any!(ChunkIdKey: Clone, Copy, PartialEq, std::fmt::Display);
