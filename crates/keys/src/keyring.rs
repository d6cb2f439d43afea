//! The keyring: every way in, and what they lead to. `docs/keyring.md`, sections 1 to 6.

mod change;
mod contents;
mod layout;
mod merge;
mod removal;
mod unlock;

use rand_core::CryptoRng;

pub use self::change::{Act, ChangeError, NewSlot};
pub use self::layout::{KeyringError, LockedKeyring};
pub use self::removal::REMOVAL_DELAY_MS;
pub use self::unlock::{
    NotASuccessor, OpenError, OpenWithPasskeyError, Unlocked, log_extends, open_with_passkey,
    verify_successor,
};

use self::contents::{Contents, Device};
use crate::committed::Secret32;
use crate::device::DeviceCredential;
use crate::events::{EventKind, EventLog, Happening};
use crate::ids::RepositoryId;
use crate::recovery::RecoveryKey;
use crate::root::{ChunkIdKey, Epoch, RootKey};
use crate::slot::Method;

/// A keyring object's bytes, and the same keyring opened.
///
/// Nothing is replaced: the bytes are a new object beside those before it, so that a crash before or
/// after storing them loses nothing. Go on with `unlocked` only once `bytes` are stored.
#[derive(Debug)]
#[must_use = "a change counts only once its bytes are stored"]
pub struct Successor {
    /// The whole object.
    pub bytes: Vec<u8>,
    /// What it opens to.
    pub unlocked: Unlocked,
}

/// With what a repository's first keyring begins.
#[derive(Debug)]
pub struct CreateParams<'a> {
    /// What the owner calls this device.
    pub device_name: &'a str,
    /// The first way in.
    pub recovery: &'a RecoveryKey,
    /// What the owner calls it.
    pub recovery_name: &'a str,
}

/// The first keyring of a repository.
#[derive(Debug)]
#[non_exhaustive]
pub struct Keyring;

impl Keyring {
    /// Makes a repository's first keyring, with one recovery key and one device.
    ///
    /// The recovery key is not proven by this: parse the stored bytes again, unlock them with what
    /// the owner has, and [`Unlocked::record_proof`].
    pub fn create(
        rng: &mut impl CryptoRng,
        now_ms: i64,
        params: &CreateParams<'_>,
    ) -> Result<(Vec<u8>, Unlocked, DeviceCredential), ChangeError> {
        let CreateParams {
            device_name,
            recovery,
            recovery_name,
        } = params;
        let repository = RepositoryId::generate(rng);
        let mut prf_input = [0; 32];
        rng.fill_bytes(&mut prf_input);
        let mut contents = Contents {
            repository,
            prf_input,
            epochs: vec![Epoch {
                number: 1,
                root: RootKey::generate(rng),
            }],
            chunk_id_key: ChunkIdKey(Secret32::generate(rng)),
            slots: Vec::new(),
            devices: Vec::new(),
            events: EventLog::default(),
            retired: std::collections::BTreeSet::new(),
            removal_due_ms: None,
        };
        let credential = DeviceCredential::generate(rng, repository);
        let device = credential.device();
        contents.devices.push(Device {
            id: device,
            name: change::checked_name(device_name)?,
            key: credential.public(),
            added_ms: now_ms,
            seen_number: 1,
            revoked: None,
        });
        let slot = NewSlot {
            name: recovery_name,
            method: Method::RecoveryKey,
            provider: None,
            secret: &(*recovery).into(),
        };
        let slot = contents.enrol(rng, now_ms, slot)?;
        for (kind, subject) in [
            (EventKind::Created, Vec::new()),
            (EventKind::DeviceAdded, device.as_bytes().to_vec()),
            (EventKind::SlotAdded, slot.as_bytes().to_vec()),
        ] {
            contents.happen(Happening {
                time_ms: now_ms,
                device,
                kind,
                subject,
            });
        }
        let Successor { bytes, unlocked } = contents.publish(rng, now_ms, &[], None)?;
        Ok((bytes, unlocked, credential))
    }
}

#[cfg(test)]
mod tests;
