//! A device that may add to a backup and read nothing. `docs/keyring.md`, section 5.

use rand_core::CryptoRng;
use secrecy::SecretSlice;
use zeroize::Zeroizing;

use crate::committed::{self, Info, Secret32};
use crate::ids::{DeviceId, KeyringHash, RepositoryId};
use crate::kem::{KeyPair, PUBLIC_KEY_BYTES, PublicKey, SEAL_OVERHEAD_BYTES};
use crate::proto;
use crate::root::{ChunkIdKey, Epoch, ReaderPublic, WriterKey};
use crate::slot::Place;

/// How far back a device may have slept and still refresh itself without an unlock.
pub(crate) const MAX_PROOFS: usize = 64;

const CONTENTS_BYTES: usize = 32 + 32 + PUBLIC_KEY_BYTES + 8;
const SEALED_BYTES: usize = CONTENTS_BYTES + SEAL_OVERHEAD_BYTES;
/// As it was before a removal could be planned: without the time at its end.
const EARLY_SEALED_BYTES: usize = SEALED_BYTES - 8;
const CREDENTIAL_MAGIC: &[u8; 10] = b"HLDEVICE\x00\x01";
const WRITER_MAGIC: &[u8; 10] = b"HLWRITER\x00\x02";
/// As it was before a removal could be planned: without the time at its end.
const EARLY_WRITER_MAGIC: &[u8; 10] = b"HLWRITER\x00\x01";
const CREDENTIAL_BYTES: usize = 10 + 16 + 16 + 32;
const WRITER_BYTES: usize = 10 + 16 + 16 + 4 + 8 + 32 + 32 + 32 + PUBLIC_KEY_BYTES + 8;

/// The bytes are not what this crate wrote, or a newer version wrote them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this device's key file is damaged or of another version")]
pub struct BadDeviceFile;

/// A device's own key pair, which opens its device slot in every later keyring.
///
/// It belongs in a file that only its owner can read, and in no backup.
#[derive(Debug)]
pub struct DeviceCredential {
    repository: RepositoryId,
    device: DeviceId,
    seed: KeyPair,
}

impl DeviceCredential {
    /// Makes the keys of a device that is to be enrolled.
    pub fn generate(rng: &mut impl CryptoRng, repository: RepositoryId) -> Self {
        Self {
            repository,
            device: DeviceId::generate(rng),
            seed: KeyPair::generate(rng),
        }
    }

    /// The repository it belongs to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The device's id.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.seed.public().clone()
    }

    /// All of it, for the device's own file of mode 0600.
    pub fn expose_bytes(&self) -> SecretSlice<u8> {
        let mut bytes = Vec::with_capacity(CREDENTIAL_BYTES);
        bytes.extend_from_slice(CREDENTIAL_MAGIC);
        bytes.extend_from_slice(self.repository.as_bytes());
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(self.seed.exposed());
        SecretSlice::from(bytes)
    }

    /// Reads what [`Self::expose_bytes`] gave; the caller wipes `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadDeviceFile> {
        let read = || {
            let mut rest = bytes.strip_prefix(CREDENTIAL_MAGIC)?;
            let credential = Self {
                repository: RepositoryId::from_bytes(take(&mut rest)?),
                device: DeviceId::from_bytes(take(&mut rest)?),
                seed: KeyPair::new(take_secret(&mut rest)?),
            };
            rest.is_empty().then_some(credential)
        };
        read().ok_or(BadDeviceFile)
    }
}

/// All that an unattended backup needs: it can add, and cannot read what is there.
///
/// `keyring_number` and `keyring_hash` say from which keyring it comes; a keyring that is older, or
/// another of that number, never replaces it.
#[derive(Debug)]
#[non_exhaustive]
pub struct WriterCredentials {
    /// The repository it writes into.
    pub repository: RepositoryId,
    /// The device that writes.
    pub device: DeviceId,
    /// The epoch that it writes in.
    pub epoch: u32,
    /// To whom run keys are sealed.
    pub reader_public: ReaderPublic,
    /// `W_d`, for the HMAC in index, snapshot and head.
    pub writer_key: WriterKey,
    /// Makes chunk ids.
    pub chunk_id_key: ChunkIdKey,
    /// The newest keyring this device has seen.
    pub keyring_number: u64,
    /// Its hash.
    pub keyring_hash: KeyringHash,
    /// When that keyring says that the whole backup is to be removed, in UTC milliseconds: nothing
    /// is to be added to it while this is set.
    pub removal_due_ms: Option<i64>,
}

impl WriterCredentials {
    /// All of it, for the device's own file of mode 0600.
    pub fn expose_bytes(&self) -> SecretSlice<u8> {
        let mut bytes = Vec::with_capacity(WRITER_BYTES);
        bytes.extend_from_slice(WRITER_MAGIC);
        bytes.extend_from_slice(self.repository.as_bytes());
        bytes.extend_from_slice(self.device.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.keyring_number.to_be_bytes());
        bytes.extend_from_slice(self.keyring_hash.as_bytes());
        bytes.extend_from_slice(self.writer_key.expose_secret());
        bytes.extend_from_slice(self.chunk_id_key.expose_secret());
        bytes.extend_from_slice(&self.reader_public.key.to_bytes());
        bytes.extend_from_slice(&due_bytes(self.removal_due_ms));
        SecretSlice::from(bytes)
    }

    /// Reads what [`Self::expose_bytes`] gave; the caller wipes `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadDeviceFile> {
        let read = || {
            let (mut rest, removal_due_ms) = match bytes.strip_prefix(WRITER_MAGIC) {
                Some(rest) => split_due(rest)?,
                None => (bytes.strip_prefix(EARLY_WRITER_MAGIC)?, None),
            };
            let (repository, device) = (take(&mut rest)?, take(&mut rest)?);
            let epoch = u32::from_be_bytes(take(&mut rest)?);
            Some(Self {
                repository: RepositoryId::from_bytes(repository),
                device: DeviceId::from_bytes(device),
                epoch,
                keyring_number: u64::from_be_bytes(take(&mut rest)?),
                keyring_hash: KeyringHash::from_bytes(take(&mut rest)?),
                writer_key: WriterKey(take_secret(&mut rest)?),
                chunk_id_key: ChunkIdKey(take_secret(&mut rest)?),
                reader_public: ReaderPublic {
                    epoch,
                    key: PublicKey::from_slice(rest)?,
                },
                removal_due_ms,
            })
        };
        read().ok_or(BadDeviceFile)
    }
}

pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

/// 8 bytes, signed and big-endian; 0 while nothing is planned.
fn due_bytes(removal_due_ms: Option<i64>) -> [u8; 8] {
    removal_due_ms.unwrap_or(0).to_be_bytes()
}

/// Takes what [`due_bytes`] gave from the end.
fn split_due(bytes: &[u8]) -> Option<(&[u8], Option<i64>)> {
    let (rest, due) = bytes.split_last_chunk()?;
    match i64::from_be_bytes(*due) {
        0 => Some((rest, None)),
        due => (due > 0).then_some((rest, Some(due))),
    }
}

pub(crate) fn take_secret(rest: &mut &[u8]) -> Option<Secret32> {
    let (head, tail) = rest.split_at_checked(32)?;
    *rest = tail;
    Secret32::from_slice(head)
}

/// A device slot as it lies in the clear.
#[derive(Clone, Debug)]
pub(crate) struct DeviceSlot {
    device: DeviceId,
    sealed: Vec<u8>,
    proofs: Vec<(u32, [u8; 32])>,
}

/// What devices are told.
pub(crate) struct Told<'a> {
    /// The newest, and those before it: who knows of one of them believes the slot.
    pub(crate) epochs: &'a [Epoch],
    /// The reader of the newest.
    pub(crate) reader: &'a PublicKey,
    pub(crate) chunk_id_key: &'a ChunkIdKey,
    pub(crate) removal_due_ms: Option<i64>,
}

/// Why a device slot did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotClosed {
    /// No proof is made with the writer key that the device holds.
    NotAuthentic,
    /// None of the proofs is for the device's epoch: it slept through too many rotations.
    TooOld,
    /// The proof is right and the rest is not.
    Damaged,
}

impl DeviceSlot {
    pub(crate) fn device(&self) -> DeviceId {
        self.device
    }

    /// Seals what `device` may know.
    pub(crate) fn seal(
        rng: &mut impl CryptoRng,
        place: &Place,
        device: DeviceId,
        key: &PublicKey,
        told: &Told<'_>,
    ) -> Self {
        let Told {
            epochs,
            reader,
            chunk_id_key,
            removal_due_ms,
        } = *told;
        let repository = &place.repository;
        let current = epochs.first().expect("a keyring has a root");
        let mut contents = Zeroizing::new(Vec::with_capacity(CONTENTS_BYTES));
        contents.extend_from_slice(current.writer(repository, &device).expose_secret());
        contents.extend_from_slice(chunk_id_key.expose_secret());
        contents.extend_from_slice(&reader.to_bytes());
        contents.extend_from_slice(&due_bytes(removal_due_ms));
        let sealed = key.seal(rng, &[], &contents_info(place, &device), &contents);
        let message = proof_message(place, &device, &sealed);
        let proof = |epoch: &Epoch| {
            let key = epoch
                .writer(repository, &device)
                .proof_key(repository, &device);
            (epoch.number, committed::mac(&key, &message))
        };
        let proofs = epochs.iter().take(MAX_PROOFS).map(proof).collect();
        Self {
            device,
            sealed,
            proofs,
        }
    }

    /// Opens it for a device that holds its own key and the writer key of some earlier epoch.
    ///
    /// Without the writer key anyone who learned the device's public key could hand the device a
    /// reader key of their own.
    pub(crate) fn open(
        &self,
        place: &Place,
        hash: KeyringHash,
        credential: &DeviceCredential,
        held: &WriterCredentials,
    ) -> Result<WriterCredentials, SlotClosed> {
        let message = proof_message(place, &self.device, &self.sealed);
        let key = held.writer_key.proof_key(&place.repository, &self.device);
        let mut same_epoch = self
            .proofs
            .iter()
            .filter(|(epoch, _)| *epoch == held.epoch)
            .peekable();
        if same_epoch.peek().is_none() {
            return Err(SlotClosed::TooOld);
        }
        if !same_epoch.any(|(_, mac)| committed::mac_is_right(&key, &message, mac)) {
            return Err(SlotClosed::NotAuthentic);
        }
        let contents = credential
            .seed
            .open(&[], &contents_info(place, &self.device), &self.sealed)
            .map_err(|_| SlotClosed::Damaged)?;
        let read = || {
            let (mut rest, removal_due_ms) = if self.sealed.len() == EARLY_SEALED_BYTES {
                (contents.as_slice(), None)
            } else {
                split_due(&contents)?
            };
            Some(WriterCredentials {
                repository: place.repository,
                device: self.device,
                epoch: place.epoch,
                writer_key: WriterKey(take_secret(&mut rest)?),
                chunk_id_key: ChunkIdKey(take_secret(&mut rest)?),
                reader_public: ReaderPublic {
                    epoch: place.epoch,
                    key: PublicKey::from_slice(rest)?,
                },
                keyring_number: place.number,
                keyring_hash: hash,
                removal_due_ms,
            })
        };
        read().ok_or(SlotClosed::Damaged)
    }

    pub(crate) fn to_proto(&self) -> proto::DeviceSlot {
        let proof = |(epoch, mac): &(u32, [u8; 32])| proto::DeviceProof {
            epoch: *epoch,
            mac: mac.to_vec(),
        };
        proto::DeviceSlot {
            device: self.device.as_bytes().to_vec(),
            sealed: self.sealed.clone(),
            proofs: self.proofs.iter().map(proof).collect(),
        }
    }

    pub(crate) fn from_proto(slot: proto::DeviceSlot) -> Option<Self> {
        let proto::DeviceSlot {
            device,
            sealed,
            proofs,
        } = slot;
        if ![SEALED_BYTES, EARLY_SEALED_BYTES].contains(&sealed.len()) || proofs.len() > MAX_PROOFS
        {
            return None;
        }
        let proof = |proof: proto::DeviceProof| {
            let proto::DeviceProof { epoch, mac } = proof;
            Some((epoch, mac.try_into().ok()?))
        };
        Some(Self {
            device: DeviceId::from_slice(&device)?,
            sealed,
            proofs: proofs.into_iter().map(proof).collect::<Option<_>>()?,
        })
    }
}

fn contents_info(place: &Place, device: &DeviceId) -> Info {
    placed("heirloom/v1/device-slot", place, device)
}

fn proof_message(place: &Place, device: &DeviceId, sealed: &[u8]) -> Info {
    placed("heirloom/v1/device-proof", place, device).field(&committed::sha256(sealed))
}

fn placed(label: &str, place: &Place, device: &DeviceId) -> Info {
    Info::new(label)
        .field(place.repository.as_bytes())
        .field(device.as_bytes())
        .u64(place.number)
        .u32(place.epoch)
        .field(&place.previous_bytes())
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(DeviceCredential: Clone, Copy, PartialEq, std::fmt::Display);
#[cfg(test)]
static_assertions::assert_not_impl_any!(WriterCredentials: Clone, Copy, PartialEq, std::fmt::Display);
