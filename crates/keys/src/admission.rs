//! A new device that an owner lets in: what it makes for itself, and what it asks of the owner.
//! `docs/keyring.md`, section 5.1.
//!
//! The device makes all of its secrets, so that nobody else ever has them, and asks with public keys and
//! what seals to them. The owner's device puts these into the keyring: [`Unlocked::admit`](crate::Unlocked::admit).

use rand_core::CryptoRng;
use secrecy::SecretSlice;

use crate::committed::Secret32;
use crate::device::{BadDeviceFile, DeviceCredential, take, take_secret};
use crate::ids::{DeviceId, RepositoryId};
use crate::kem::{PUBLIC_KEY_BYTES, PublicKey};
use crate::secret::HighEntropySecret;
use crate::slot::{KeySlot, Method, SLOT_BYTES, UnlockSecret};

const WAY_MAGIC: &[u8; 10] = b"HLDEVWAY\x00\x01";
const ADMISSION_MAGIC: &[u8; 10] = b"HLADMISS\x00\x01";
const WAY_BYTES: usize = 10 + 16 + 16 + 32;
const ADMISSION_BYTES: usize = 10 + 16 + 16 + PUBLIC_KEY_BYTES + SLOT_BYTES + PUBLIC_KEY_BYTES + 32;

/// What a device keeps to open a backup by itself. Whoever has it reads everything, until the device is
/// revoked.
///
/// It belongs in a file that only its owner can read, and in no backup.
#[derive(Debug)]
pub struct DeviceWay {
    repository: RepositoryId,
    device: DeviceId,
    secret: Secret32,
}

/// What a new device asks an owner for. `auth_psk` is secret: it travels sealed, to that owner alone.
#[derive(Debug)]
pub struct Admission {
    pub(crate) repository: RepositoryId,
    pub(crate) device: DeviceId,
    pub(crate) device_key: PublicKey,
    pub(crate) slot: KeySlot,
    pub(crate) slot_key: PublicKey,
    pub(crate) auth_psk: Secret32,
}

/// What claims to be a device's request is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no device's request, or one of another version")]
pub struct BadAdmission;

impl DeviceWay {
    /// Makes a secret for the device of `credential`.
    pub fn generate(rng: &mut impl CryptoRng, credential: &DeviceCredential) -> Self {
        Self {
            repository: credential.repository(),
            device: credential.device(),
            secret: Secret32::generate(rng),
        }
    }

    /// The repository that it opens once the device was let in.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The device that keeps it.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// What unlocks the device's own slot.
    pub fn unlock_secret(&self) -> UnlockSecret {
        UnlockSecret::device(self.device, HighEntropySecret::of_device(&self.secret))
    }

    /// Asks for a slot that this secret opens; a second request is for another slot with the same secret.
    /// `None` when `credential` is another device's.
    pub fn ask(
        &self,
        rng: &mut impl CryptoRng,
        credential: &DeviceCredential,
    ) -> Option<Admission> {
        if (credential.repository(), credential.device()) != (self.repository, self.device) {
            return None;
        }
        let secret = HighEntropySecret::of_device(&self.secret);
        let method = Method::Device(self.device);
        let (slot, secrets) = KeySlot::generate(rng, &self.repository, method, &secret);
        Some(Admission {
            repository: self.repository,
            device: self.device,
            device_key: credential.public(),
            slot,
            slot_key: secrets.seed.public().clone(),
            auth_psk: secrets.auth_psk,
        })
    }

    /// All of it, for the device's own file of mode 0600.
    pub fn expose_bytes(&self) -> SecretSlice<u8> {
        let mut bytes = Vec::with_capacity(WAY_BYTES);
        bytes.extend_from_slice(WAY_MAGIC);
        bytes.extend_from_slice(self.repository.as_bytes());
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(self.secret.exposed());
        SecretSlice::from(bytes)
    }

    /// Reads what [`Self::expose_bytes`] gave; the caller wipes `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadDeviceFile> {
        let read = || {
            let mut rest = bytes.strip_prefix(WAY_MAGIC)?;
            let way = Self {
                repository: RepositoryId::from_bytes(take(&mut rest)?),
                device: DeviceId::from_bytes(take(&mut rest)?),
                secret: take_secret(&mut rest)?,
            };
            // A secret of zeros is what a file gives that was never written to its end.
            let is_whole = rest.is_empty() && way.secret.exposed().iter().any(|byte| *byte != 0);
            is_whole.then_some(way)
        };
        read().ok_or(BadDeviceFile)
    }
}

impl Admission {
    /// The repository that the device wants to open.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The device that asks.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// `HLADMISS 00 01` ‖ repository 16 ‖ device 16 ‖ device public key 1216 ‖ slot id 16 ‖ salt 32 ‖ wrapped 112
    /// ‖ slot public key 1216 ‖ `auth_psk` 32, to be sealed to the owner's device.
    pub fn expose_bytes(&self) -> SecretSlice<u8> {
        let Self {
            repository,
            device,
            device_key,
            slot,
            slot_key,
            auth_psk,
        } = self;
        let mut bytes = Vec::with_capacity(ADMISSION_BYTES);
        bytes.extend_from_slice(ADMISSION_MAGIC);
        bytes.extend_from_slice(repository.as_bytes());
        bytes.extend_from_slice(device.as_bytes());
        bytes.extend_from_slice(&device_key.to_bytes());
        bytes.extend_from_slice(&slot.to_bytes());
        bytes.extend_from_slice(&slot_key.to_bytes());
        bytes.extend_from_slice(auth_psk.exposed());
        SecretSlice::from(bytes)
    }

    /// Reads what [`Self::expose_bytes`] gave; the caller wipes `bytes`.
    ///
    /// Says nothing about who made it: what carried it has to.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadAdmission> {
        let read = || {
            let mut rest = bytes.strip_prefix(ADMISSION_MAGIC)?;
            let repository = RepositoryId::from_bytes(take(&mut rest)?);
            let device = DeviceId::from_bytes(take(&mut rest)?);
            let admission = Self {
                repository,
                device,
                device_key: take_key(&mut rest)?,
                slot: KeySlot::from_bytes(Method::Device(device), &take(&mut rest)?),
                slot_key: take_key(&mut rest)?,
                auth_psk: take_secret(&mut rest)?,
            };
            rest.is_empty().then_some(admission)
        };
        read().ok_or(BadAdmission)
    }
}

fn take_key(rest: &mut &[u8]) -> Option<PublicKey> {
    PublicKey::from_slice(&take::<PUBLIC_KEY_BYTES>(rest)?)
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(DeviceWay: Clone, Copy, PartialEq, std::fmt::Display);
#[cfg(test)]
static_assertions::assert_not_impl_any!(Admission: Clone, Copy, PartialEq, std::fmt::Display);
