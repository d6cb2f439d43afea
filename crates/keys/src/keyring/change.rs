//! Changing a keyring: each change gives a whole new keyring. `docs/keyring.md`, section 6.

use rand_core::CryptoRng;

use super::Successor;
use super::contents::{Contents, Device, MAX_NAME_BYTES, Slot};
use super::unlock::Unlocked;
use crate::admission::Admission;
use crate::device::DeviceCredential;
use crate::events::{EventKind, Happening};
use crate::ids::{DeviceId, SlotId};
use crate::root::{Epoch, RootKey};
use crate::secret::HighEntropySecret;
use crate::slot::{KeySlot, Method};
use crate::status::Provider;

/// Why a keyring was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such way in.
    #[error("there is no such way in")]
    UnknownSlot,
    /// There is no such device, or it has been revoked.
    #[error("there is no such device, or it was revoked")]
    UnknownDevice,
    /// Nobody could open the backup afterwards. Add another way in first.
    #[error("this is the last way in; add another first")]
    LastWayIn,
    /// None of the ways in that would remain has been proven by a real unlock. Unlock with one of
    /// them and record the proof first.
    #[error("no other way in has been tried yet; unlock with one of them first")]
    LastProvenWay,
    /// What has been proven of the ways in that would remain are passkeys which exist on one device
    /// only, or only for trying out. Prove another way in first.
    #[error("what would remain is only good as an extra way in; try another one first")]
    OnlyExtraWays,
    /// The removal of the backup is planned already.
    #[error("the backup is already to be removed")]
    RemovalPlanned,
    /// No removal of the backup is planned.
    #[error("the backup is not to be removed")]
    NoRemovalPlanned,
    /// The passkey or password already has a slot.
    #[error("this is already a way in")]
    AlreadyEnrolled,
    /// The passkey was removed before, and whoever had it could have kept its secret.
    #[error("this passkey was removed before; make a new one")]
    Retired,
    /// No unlock happened: make one with the way in that is to be proven.
    #[error("nothing was unlocked with a way in that the keyring still has")]
    NothingProven,
    /// A name is too long.
    #[error("the name is longer than {limit} bytes")]
    NameTooLong {
        /// The limit.
        limit: usize,
    },
    /// A credential id, relying party id or server name is empty or too long, or a passkey came
    /// without its provider, or another method with one.
    #[error("the way in is not described as it must be")]
    BadMethod,
    /// The keyring would be larger than any reader accepts.
    #[error("a keyring holds no more than {limit} {what}")]
    TooMany {
        /// What there would be too many of.
        what: &'static str,
        /// How many there may be.
        limit: usize,
    },
    /// One of the two comes before the other, or they are the same.
    #[error("the two keyrings are no fork")]
    NotAFork,
    /// What a device asks for is another backup.
    #[error("the device asks for another backup")]
    OtherRepository,
    /// The two belong to different repositories, or contradict each other where they cannot differ.
    #[error("the two keyrings do not belong together")]
    NotTogether,
}

/// Who changes something, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act {
    /// The device at which it happens; it has to be enrolled.
    pub device: DeviceId,
    /// The time, in UTC milliseconds.
    pub now_ms: i64,
}

/// A way in that is to be added.
#[derive(Debug)]
pub struct NewSlot<'a> {
    /// What the owner calls it.
    pub name: &'a str,
    /// How it is opened.
    pub method: Method,
    /// What is known of the provider: for a passkey, and only for one.
    pub provider: Option<Provider>,
    /// What opens it; a passkey's from an authentication, never from its registration.
    pub secret: &'a HighEntropySecret,
}

impl Unlocked {
    /// Adds a way in. It counts towards protection once it has been proven.
    pub fn add_slot(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        slot: NewSlot<'_>,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        let id = next.enrol(rng, act.now_ms, slot)?;
        next.happen(act.happening(EventKind::SlotAdded, id.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Removes a way in and rotates at once: what it opened before it still opens, nothing later.
    ///
    /// Refuses unless one of the ways that remain has been proven ([`Self::record_proof`]) and is more
    /// than an extra one. That one of them was tried *now* is the caller's to see to:
    /// [`Self::opened_with`] says which slot opened this keyring, and it must not be `slot`.
    pub fn remove_slot(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        slot: &SlotId,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        let index = next
            .slots
            .iter()
            .position(|known| known.public.id() == *slot)
            .ok_or(ChangeError::UnknownSlot)?;
        let removed = next.slots.remove(index);
        next.retired
            .extend(removed.public.method().retirement(&next.repository));
        next.check_proven_way()?;
        next.begin_epoch(rng)?;
        next.happen(act.happening(EventKind::SlotRemoved, slot.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Records that the way in which opened this keyring works.
    pub fn record_proof(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        let opened_with = self.opened_with.ok_or(ChangeError::NothingProven)?;
        let mut slots = next.slots.iter_mut();
        let slot = slots
            .find(|slot| slot.public.id() == opened_with)
            .ok_or(ChangeError::NothingProven)?;
        slot.last_proven_ms = Some(act.now_ms);
        slot.last_used_ms = Some(act.now_ms);
        slot.proofs = slot.proofs.saturating_add(1);
        next.happen(act.happening(EventKind::SlotProven, opened_with.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Gives a way in another name.
    pub fn rename_slot(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        slot: &SlotId,
        name: &str,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        let mut slots = next.slots.iter_mut();
        let renamed = slots
            .find(|known| known.public.id() == *slot)
            .ok_or(ChangeError::UnknownSlot)?;
        renamed.name = checked_name(name)?;
        next.happen(act.happening(EventKind::SlotRenamed, slot.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Gives a device another name, revoked or not.
    pub fn rename_device(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        device: &DeviceId,
        name: &str,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        let mut devices = next.devices.iter_mut();
        let renamed = devices
            .find(|known| known.id == *device)
            .ok_or(ChangeError::UnknownDevice)?;
        renamed.name = checked_name(name)?;
        next.happen(act.happening(EventKind::DeviceRenamed, device.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Begins a new epoch; every way in and every device gets it, none has to be at hand.
    pub fn rotate(&self, rng: &mut impl CryptoRng, act: Act) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        next.begin_epoch(rng)?;
        next.happen(act.happening(EventKind::Rotated, &[]));
        self.publish(next, rng, act)
    }

    /// Enrols the device that this runs on.
    pub fn add_device(
        &self,
        rng: &mut impl CryptoRng,
        now_ms: i64,
        name: &str,
    ) -> Result<(Successor, DeviceCredential), ChangeError> {
        let credential = DeviceCredential::generate(rng, self.place.repository);
        let act = Act {
            device: credential.device(),
            now_ms,
        };
        let mut next = self.contents.duplicate();
        next.devices.push(Device {
            id: act.device,
            name: checked_name(name)?,
            key: credential.public(),
            added_ms: now_ms,
            seen_number: self.place.number,
            revoked: None,
        });
        next.happen(act.happening(EventKind::DeviceAdded, act.device.as_bytes()));
        Ok((self.publish(next, rng, act)?, credential))
    }

    /// Revokes a device, with the way in of its own where it has one, and rotates at once. It takes
    /// effect at each other device when that has seen the new keyring.
    pub fn revoke_device(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        device: &DeviceId,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        next.begin_epoch(rng)?;
        let epoch = next.current().number;
        let mut devices = next
            .devices
            .iter_mut()
            .filter(|known| known.revoked.is_none());
        let revoked = devices
            .find(|known| known.id == *device)
            .ok_or(ChangeError::UnknownDevice)?;
        revoked.revoked = Some((act.now_ms, epoch));
        let own = Method::Device(*device);
        let (gone, stay) = std::mem::take(&mut next.slots)
            .into_iter()
            .partition(|slot: &Slot| *slot.public.method() == own);
        next.slots = stay;
        for slot in gone {
            next.happen(act.happening(EventKind::SlotRemoved, slot.public.id().as_bytes()));
        }
        next.happen(act.happening(EventKind::DeviceRevoked, device.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Lets in a device that is elsewhere, with a way in of its own: what it told of itself must have
    /// come from it and from nobody else. `docs/keyring.md`, section 5.1.
    ///
    /// A device that is enrolled already, with the same key, is given the way in alone.
    pub fn admit(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
        name: &str,
        admission: &Admission,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        if admission.repository != next.repository {
            return Err(ChangeError::OtherRepository);
        }
        let device = admission.device;
        let known = next.devices.iter().find(|known| known.id == device);
        match known {
            Some(known) if known.revoked.is_some() || known.key != admission.device_key => {
                return Err(ChangeError::UnknownDevice);
            }
            Some(_) => {}
            None => {
                next.devices.push(Device {
                    id: device,
                    name: checked_name(name)?,
                    key: admission.device_key.clone(),
                    added_ms: act.now_ms,
                    seen_number: 0,
                    revoked: None,
                });
                next.happen(act.happening(EventKind::DeviceAdded, device.as_bytes()));
            }
        }
        let is_known = |slot: &Slot| {
            slot.public.id() == admission.slot.id()
                || slot
                    .public
                    .method()
                    .is_same_credential(admission.slot.method())
        };
        if next.slots.iter().any(is_known) {
            return Err(ChangeError::AlreadyEnrolled);
        }
        next.slots.push(Slot {
            public: admission.slot.clone(),
            key: admission.slot_key.clone(),
            auth_psk: admission.auth_psk.duplicate(),
            name: checked_name(name)?,
            created_ms: act.now_ms,
            last_used_ms: None,
            last_proven_ms: None,
            proofs: 0,
            provider: None,
        });
        let slot = admission.slot.id();
        next.happen(act.happening(EventKind::SlotAdded, slot.as_bytes()));
        self.publish(next, rng, act)
    }

    /// Records that the acting device has seen this keyring, where nothing else is to be changed.
    pub fn record_seen(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        next.happen(act.happening(EventKind::Seen, act.device.as_bytes()));
        self.publish(next, rng, act)
    }

    /// A copy to change, for a device that may.
    pub(super) fn next(&self, act: Act) -> Result<Contents, ChangeError> {
        self.contents
            .active_devices()
            .find(|device| device.id == act.device)
            .ok_or(ChangeError::UnknownDevice)?;
        Ok(self.contents.duplicate())
    }

    pub(super) fn publish(
        &self,
        next: Contents,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        next.publish(rng, act.now_ms, &[self.predecessor()], self.opened_with)
    }
}

impl Act {
    pub(super) fn happening(self, kind: EventKind, subject: &[u8]) -> Happening {
        Happening {
            time_ms: self.now_ms,
            device: self.device,
            kind,
            subject: subject.to_vec(),
        }
    }
}

impl Contents {
    /// Puts a new root before all others.
    pub(super) fn begin_epoch(&mut self, rng: &mut impl CryptoRng) -> Result<(), ChangeError> {
        let too_many = ChangeError::TooMany {
            what: "epochs",
            limit: usize::MAX,
        };
        let number = self.current().number.checked_add(1).ok_or(too_many)?;
        self.epochs.insert(
            0,
            Epoch {
                number,
                root: RootKey::generate(rng),
            },
        );
        Ok(())
    }

    /// Whether one of the ways in has been proven and may be the only one.
    pub(super) fn check_proven_way(&self) -> Result<(), ChangeError> {
        let mut proven = self
            .slots
            .iter()
            .map(Slot::info)
            .filter(|slot| slot.last_proven_ms.is_some())
            .peekable();
        if self.slots.is_empty() {
            Err(ChangeError::LastWayIn)
        } else if proven.peek().is_none() {
            Err(ChangeError::LastProvenWay)
        } else if proven.all(|slot| slot.is_extra()) {
            Err(ChangeError::OnlyExtraWays)
        } else {
            Ok(())
        }
    }

    /// Makes a slot and puts it behind the others.
    pub(super) fn enrol(
        &mut self,
        rng: &mut impl CryptoRng,
        now_ms: i64,
        slot: NewSlot<'_>,
    ) -> Result<SlotId, ChangeError> {
        let NewSlot {
            name,
            method,
            provider,
            secret,
        } = slot;
        if !method.is_within_limits() || matches!(method, Method::Passkey(_)) != provider.is_some()
        {
            return Err(ChangeError::BadMethod);
        }
        if self
            .slots
            .iter()
            .any(|known| known.public.method().is_same_credential(&method))
        {
            return Err(ChangeError::AlreadyEnrolled);
        }
        if method
            .retirement(&self.repository)
            .is_some_and(|hash| self.retired.contains(&hash))
        {
            return Err(ChangeError::Retired);
        }
        let name = checked_name(name)?;
        let (public, secrets) = KeySlot::generate(rng, &self.repository, method, secret);
        let id = public.id();
        self.slots.push(Slot {
            public,
            key: secrets.seed.public().clone(),
            auth_psk: secrets.auth_psk,
            name,
            created_ms: now_ms,
            last_used_ms: None,
            last_proven_ms: None,
            proofs: 0,
            provider,
        });
        Ok(id)
    }
}

pub(super) fn checked_name(name: &str) -> Result<String, ChangeError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(ChangeError::NameTooLong {
            limit: MAX_NAME_BYTES,
        });
    }
    Ok(name.to_owned())
}
