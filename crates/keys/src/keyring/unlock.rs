//! Opening a keyring, and what an open one gives. `docs/keyring.md`, sections 4 and 9.

use secrecy::SecretBox;

use super::contents::{Contents, Device, Predecessor, Slot};
use super::layout::{KeyringError, LockedKeyring};
use crate::committed::{self, Closed};
use crate::device::{DeviceCredential, SlotClosed, WriterCredentials};
use crate::events::Event;
use crate::freshness::Seen;
use crate::ids::{DeviceId, KeyringHash, RepositoryId, SlotId};
use crate::prf::PrfOutput;
use crate::root::{ChunkIdKey, Epoch, ReaderPublic, WriterKey};
use crate::run::{self, RunKey, RunKeyError};
use crate::secret::WeakSecret;
use crate::slot::{Method, Place, SlotSecrets, UnlockSecret, open_root};
use crate::status::{self, DeviceInfo, SlotInfo, Status};

/// Why a keyring stayed locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No slot belongs to the secret at hand, nor to this device. Another way in may.
    #[error("no key slot matches")]
    NoMatchingSlot,
    /// There are recovery slots and the key opens none of them. Check the digits; a key that was
    /// mended has at least two wrong groups.
    #[error("this recovery key does not open this backup")]
    WrongRecoveryKey,
    /// The slot is the credential's, which gave another secret than before. Ask once more, then use
    /// another way in.
    #[error("the passkey or password gave another secret than when it was added")]
    WrongSecret,
    /// Bytes fail authentication. Never retry.
    #[error("the keyring is damaged")]
    Damaged,
    /// It was not made by somebody who could open this backup, or it is damaged. Never retry.
    #[error("the keyring was not made by an owner of this backup, or is damaged")]
    NotAuthentic,
    /// It belongs to another repository than this device does.
    #[error("the keyring belongs to another backup")]
    OtherRepository,
    /// It comes before the one that this device has seen: the store may have been rolled back.
    #[error("the keyring is number {number}, and this device has seen number {seen}")]
    Older {
        /// The number of this one.
        number: u64,
        /// The number that was seen.
        seen: u64,
    },
    /// It has the number of the one that this device has seen, and is another.
    #[error("there are two keyrings of number {number}")]
    Forked {
        /// Their number.
        number: u64,
    },
    /// This device has missed too much to refresh itself. Unlock with a way in.
    #[error("this device has been away for too long and needs an unlock")]
    UnlockNeeded,
}

/// Why a keyring does not follow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotASuccessor {
    /// It does not name the other as the one before it.
    #[error("the keyring does not follow the one that is known")]
    NotNext,
    /// It names it, without knowing its root.
    #[error("the keyring was not made by somebody who could open the one before it")]
    BadProof,
}

/// The whole way from what a passkey gave to an open keyring: what the command line waits for after
/// the fingerprint, and what the bench measures.
///
/// `object` is a keyring object's bytes; of the slots with `credential_id` the first counts.
pub fn open_with_passkey(
    object: &[u8],
    credential_id: &[u8],
    output: PrfOutput,
) -> Result<Unlocked, OpenWithPasskeyError> {
    let locked = LockedKeyring::parse(object)?;
    let passkey = locked
        .passkeys()
        .find(|passkey| passkey.credential_id == credential_id)
        .cloned()
        .ok_or(OpenError::NoMatchingSlot)?;
    Ok(locked.unlock(&UnlockSecret::passkey(passkey, output.try_into()?))?)
}

/// Why a passkey did not open a keyring object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenWithPasskeyError {
    /// The bytes are no keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The passkey gave zeros.
    #[error(transparent)]
    Weak(#[from] WeakSecret),
    /// It stayed locked.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Checks that `new` was made by somebody who knew the root of `old`.
pub fn verify_successor(old: &Unlocked, new: &LockedKeyring) -> Result<(), NotASuccessor> {
    let same_repository = old.place.repository == new.place.repository;
    let index = new.place.previous.iter().position(|hash| *hash == old.hash);
    let index = index
        .filter(|_| same_repository && new.place.number > old.place.number)
        .ok_or(NotASuccessor::NotNext)?;
    // After a merge the number follows the higher of two.
    if new.place.previous.len() == 1 && new.place.number != old.place.number + 1 {
        return Err(NotASuccessor::NotNext);
    }
    let key = old.contents.current().succession(&old.place.repository);
    if new.succession_is_right(index, &key) {
        Ok(())
    } else {
        Err(NotASuccessor::BadProof)
    }
}

/// Whether the log of `new` goes on from the log of `old`: begins with all of it, or holds all of it
/// where a fork was merged in between.
///
/// A log's own chain shows that nobody without a root touched it. A device of the owner's that has
/// one could chain another story anew; who has an earlier keyring open finds it out by this.
/// `docs/keyring.md`, section 9.1.
pub fn log_extends(old: &Unlocked, new: &Unlocked) -> bool {
    new.contents.events.extends(&old.contents.events)
}

impl LockedKeyring {
    /// Opens the keyring, and checks all of it.
    ///
    /// Says nothing about whether it is the newest: see [`Seen`].
    pub fn unlock(&self, secret: &UnlockSecret) -> Result<Unlocked, OpenError> {
        let open = |slot| {
            secret
                .open(&self.place.repository, slot)
                .map(|outcome| (slot, outcome))
        };
        let (slot, secrets) = self
            .slots
            .iter()
            .find_map(open)
            .ok_or_else(|| self.no_slot_for(secret))?;
        let secrets = secrets.map_err(|closed| match closed {
            Closed::OtherKey => OpenError::WrongSecret,
            Closed::Damaged => OpenError::Damaged,
        })?;
        self.unlock_slot(slot.id(), &secrets)
    }

    /// Refreshes what an unattended device holds, from a newer keyring and without any unlock.
    ///
    /// `held` is what it holds: the keyring shows that its maker knew the root behind it, and neither
    /// an older keyring nor another one of the same number is taken.
    pub fn open_device_slot(
        &self,
        credential: &DeviceCredential,
        held: &WriterCredentials,
    ) -> Result<WriterCredentials, OpenError> {
        let Place {
            repository,
            number,
            epoch: _,
            ref previous,
        } = self.place;
        let is_mine =
            held.repository == credential.repository() && held.device == credential.device();
        if repository != held.repository || !is_mine {
            return Err(OpenError::OtherRepository);
        }
        if number < held.keyring_number {
            return Err(OpenError::Older {
                number,
                seen: held.keyring_number,
            });
        }
        let forked_before =
            number == held.keyring_number + 1 && !previous.contains(&held.keyring_hash);
        if forked_before || (number == held.keyring_number && self.hash != held.keyring_hash) {
            return Err(OpenError::Forked { number });
        }
        let slot = self
            .devices
            .iter()
            .find(|slot| slot.device() == held.device)
            .ok_or(OpenError::NoMatchingSlot)?;
        slot.open(&self.place, self.hash, credential, held)
            .map_err(|closed| match closed {
                SlotClosed::NotAuthentic => OpenError::NotAuthentic,
                SlotClosed::Damaged => OpenError::Damaged,
                SlotClosed::TooOld => OpenError::UnlockNeeded,
            })
    }

    fn no_slot_for(&self, secret: &UnlockSecret) -> OpenError {
        let is_recovery = |method: &Method| matches!(method, Method::RecoveryKey);
        if is_recovery(secret.method()) && self.slots.iter().any(|slot| is_recovery(slot.method()))
        {
            OpenError::WrongRecoveryKey
        } else {
            OpenError::NoMatchingSlot
        }
    }

    fn unlock_slot(&self, opened: SlotId, secrets: &SlotSecrets) -> Result<Unlocked, OpenError> {
        let index = self
            .slots
            .iter()
            .position(|slot| slot.id() == opened)
            .ok_or(OpenError::NoMatchingSlot)?;
        let sealed_root = self.sealed_roots.get(index).ok_or(OpenError::Damaged)?;
        let root = open_root(&self.place, &opened, secrets, sealed_root)
            .map_err(|_| OpenError::NotAuthentic)?;
        let sealed = committed::open(
            &self.sealed_salt,
            root.exposed(),
            &self.sealed_info(),
            &self.sealed,
        )
        .map_err(|_| OpenError::NotAuthentic)?;
        let (contents, made_ms) =
            Contents::from_sealed(self, root, &sealed).ok_or(OpenError::NotAuthentic)?;
        let slot = contents.slots.get(index).ok_or(OpenError::NotAuthentic)?;
        let is_own = slot.key == *secrets.seed.public() && slot.auth_psk.same(&secrets.auth_psk);
        if !is_own || !self.is_succession_known(&contents) {
            return Err(OpenError::NotAuthentic);
        }
        let (place, hash) = (self.place.clone(), self.hash);
        Ok(Unlocked {
            place,
            hash,
            made_ms,
            contents,
            opened_with: Some(opened),
        })
    }

    /// Whether each succession MAC was made under a root that this keyring knows. Which of them was
    /// the predecessor's only [`verify_successor`] can tell.
    fn is_succession_known(&self, contents: &Contents) -> bool {
        (0..self.macs.len()).all(|index| {
            let mut keys = contents
                .epochs
                .iter()
                .map(|epoch| epoch.succession(&self.place.repository));
            keys.any(|key| self.succession_is_right(index, &key))
        })
    }
}

/// An open keyring. It can read everything, and make the next keyring.
#[derive(Debug)]
pub struct Unlocked {
    pub(super) place: Place,
    pub(super) hash: KeyringHash,
    pub(super) made_ms: i64,
    pub(super) contents: Contents,
    pub(super) opened_with: Option<SlotId>,
}

impl Unlocked {
    /// The repository.
    pub fn repository(&self) -> RepositoryId {
        self.place.repository
    }

    /// What to remember of it, here and at a witness.
    pub fn seen(&self) -> Seen {
        let events =
            u64::try_from(self.contents.events.entries().len()).expect("the log has a limit");
        Seen {
            number: self.place.number,
            hash: self.hash,
            events,
        }
    }

    /// When its maker says it was made, in UTC milliseconds.
    pub fn made_ms(&self) -> i64 {
        self.made_ms
    }

    /// The slot whose secret opened this keyring, or one before it in the same session; `None` for a
    /// repository that has only just been made.
    pub fn opened_with(&self) -> Option<SlotId> {
        self.opened_with
    }

    /// What an unattended backup on `device` needs; `None` when the device is unknown or revoked.
    pub fn writer_credentials(&self, device: &DeviceId) -> Option<WriterCredentials> {
        self.contents
            .active_devices()
            .find(|known| known.id == *device)?;
        let epoch = self.contents.current();
        Some(WriterCredentials {
            repository: self.place.repository,
            device: *device,
            epoch: epoch.number,
            reader_public: self.reader_public(),
            writer_key: epoch.writer(&self.place.repository, device),
            chunk_id_key: self.contents.chunk_id_key.duplicate(),
            keyring_number: self.place.number,
            keyring_hash: self.hash,
            removal_due_ms: self.contents.removal_due_ms,
        })
    }

    /// To whom run keys of the newest epoch are sealed.
    pub fn reader_public(&self) -> ReaderPublic {
        let epoch = self.contents.current();
        ReaderPublic {
            epoch: epoch.number,
            key: epoch.reader(&self.place.repository).public().clone(),
        }
    }

    /// Opens a sealed run key of any epoch.
    pub fn open_run_key(&self, sealed: &[u8]) -> Result<RunKey, RunKeyError> {
        run::open_run_key(&self.contents.epochs, &self.place.repository, sealed)
    }

    /// Seeds of the keys by which a vault knows the owner of this backup, the newest epoch's first. The
    /// older ones are for telling a vault that missed a rotation.
    pub fn vault_owner_seeds(&self) -> Vec<SecretBox<[u8; 32]>> {
        let seed = |epoch: &Epoch| {
            let seed = epoch.vault_owner(&self.place.repository);
            SecretBox::init_with_mut(|bytes: &mut [u8; 32]| bytes.copy_from_slice(seed.exposed()))
        };
        self.contents.epochs.iter().map(seed).collect()
    }

    /// Makes chunk ids; the same in every keyring of a repository.
    pub fn chunk_id_key(&self) -> &ChunkIdKey {
        &self.contents.chunk_id_key
    }

    /// `W_d` of `device` in the newest epoch.
    pub fn writer_key(&self, device: &DeviceId) -> WriterKey {
        self.contents
            .current()
            .writer(&self.place.repository, device)
    }

    /// The writer keys that `device` may have signed with in `epoch`: none when the epoch is unknown
    /// or the device had no part in it, two when a fork was merged.
    pub fn writer_keys(&self, device: &DeviceId, epoch: u32) -> Vec<WriterKey> {
        let had_part = |known: &Device| {
            known.id == *device
                && known
                    .revoked
                    .is_none_or(|(_, first_without)| epoch < first_without)
        };
        if !self.contents.devices.iter().any(had_part) {
            return Vec::new();
        }
        let same = self
            .contents
            .epochs
            .iter()
            .filter(|known| known.number == epoch);
        same.map(|known| known.writer(&self.place.repository, device))
            .collect()
    }

    /// What the owner is told first.
    ///
    /// A planned removal comes before all else; without one it is [`Status::of`] the ways in.
    pub fn status(&self, now_ms: i64) -> Status {
        match self.contents.removal_due_ms {
            Some(due_ms) => Status::Ending { due_ms },
            None => Status::of(&self.slots(), now_ms),
        }
    }

    /// When [`Status::CheckDue`] begins, in UTC milliseconds; `None` while two independent ways have
    /// not been proven. Each way's own is [`SlotInfo::next_check_ms`].
    pub fn next_check_ms(&self) -> Option<i64> {
        status::next_check_ms(&self.slots())
    }

    /// Every way in, with names and dates.
    pub fn slots(&self) -> Vec<SlotInfo> {
        self.contents.slots.iter().map(Slot::info).collect()
    }

    /// Every device that was ever enrolled.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        self.contents.devices.iter().map(Device::info).collect()
    }

    /// What happened, oldest first.
    pub fn events(&self) -> &[Event] {
        self.contents.events.entries()
    }

    /// The input for every passkey's `prf` extension.
    pub fn prf_input(&self) -> &[u8; 32] {
        &self.contents.prf_input
    }

    pub(super) fn predecessor(&self) -> Predecessor {
        let succession = self.contents.current().succession(&self.place.repository);
        Predecessor {
            hash: self.hash,
            number: self.place.number,
            succession,
        }
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(Unlocked: Clone, Copy, PartialEq, std::fmt::Display);
