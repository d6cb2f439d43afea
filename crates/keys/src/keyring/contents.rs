//! What lies in a keyring once it is open, to and from its sealed part. `docs/keyring.md`, section 6.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::Successor;
use super::change::ChangeError;
use super::layout::{
    Draft, LockedKeyring, MAX_ACTIVE_DEVICES, MAX_KEYRING_BYTES, MAX_NUMBER, MAX_SLOTS,
};
use super::unlock::Unlocked;
use crate::committed::{self, Secret32};
use crate::device::{DeviceSlot, Told};
use crate::events::{EventLog, Happening};
use crate::ids::{DeviceId, KeyringHash, RepositoryId, SlotId};
use crate::kem::PublicKey;
use crate::proto;
use crate::root::{ChunkIdKey, Epoch, RootKey};
use crate::slot::{KeySlot, Method, Place, seal_root};
use crate::status::{DeviceInfo, Provider, SlotInfo};

pub(super) const MAX_NAME_BYTES: usize = 256;
const MAX_DEVICES: usize = 256;
const MAX_OLDER_EPOCHS: usize = 4096;
const MAX_EVENTS: usize = 32_768;
const MAX_RETIRED: usize = 1024;

/// One way in, with what lies only in the sealed part.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) public: KeySlot,
    pub(super) key: PublicKey,
    pub(super) auth_psk: Secret32,
    pub(super) name: String,
    pub(super) created_ms: i64,
    pub(super) last_used_ms: Option<i64>,
    pub(super) last_proven_ms: Option<i64>,
    /// How many proofs were recorded; saturates.
    pub(super) proofs: u32,
    pub(super) provider: Option<Provider>,
}

/// One device, revoked or not.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: DeviceId,
    pub(super) name: String,
    pub(super) key: PublicKey,
    pub(super) added_ms: i64,
    pub(super) seen_number: u64,
    /// When, and the first epoch without it.
    pub(super) revoked: Option<(i64, u32)>,
}

/// All that one keyring says.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) repository: RepositoryId,
    pub(super) prf_input: [u8; 32],
    /// Newest first; never empty.
    pub(super) epochs: Vec<Epoch>,
    pub(super) chunk_id_key: ChunkIdKey,
    pub(super) slots: Vec<Slot>,
    pub(super) devices: Vec<Device>,
    pub(super) events: EventLog,
    pub(super) retired: BTreeSet<[u8; 32]>,
    /// When the whole backup is to be removed; never 0.
    pub(super) removal_due_ms: Option<i64>,
}

/// The keyring that a new one follows.
pub(super) struct Predecessor {
    pub(super) hash: KeyringHash,
    pub(super) number: u64,
    pub(super) succession: Secret32,
}

impl Slot {
    pub(super) fn duplicate(&self) -> Self {
        Self {
            public: self.public.clone(),
            key: self.key.clone(),
            auth_psk: self.auth_psk.duplicate(),
            name: self.name.clone(),
            created_ms: self.created_ms,
            last_used_ms: self.last_used_ms,
            last_proven_ms: self.last_proven_ms,
            proofs: self.proofs,
            provider: self.provider,
        }
    }

    pub(super) fn info(&self) -> SlotInfo {
        SlotInfo {
            id: self.public.id(),
            method: self.public.method().clone(),
            name: self.name.clone(),
            created_ms: self.created_ms,
            last_used_ms: self.last_used_ms,
            last_proven_ms: self.last_proven_ms,
            proofs: self.proofs,
            provider: self.provider,
        }
    }

    fn to_proto(&self) -> proto::PrivateSlot {
        proto::PrivateSlot {
            id: self.public.id().as_bytes().to_vec(),
            public_key: self.key.to_bytes(),
            auth_psk: self.auth_psk.exposed().to_vec(),
            name: self.name.clone(),
            created_ms: self.created_ms,
            last_used_ms: self.last_used_ms,
            last_proven_ms: self.last_proven_ms,
            aaguid: self
                .provider
                .map_or_else(Vec::new, |provider| provider.aaguid.to_vec()),
            backup_eligible: self
                .provider
                .is_some_and(|provider| provider.backup_eligible),
            backup_state: self.provider.is_some_and(|provider| provider.backup_state),
            proofs: self.proofs,
        }
    }

    fn from_proto(slot: &mut proto::PrivateSlot, public: &KeySlot) -> Option<Self> {
        let proto::PrivateSlot {
            id,
            public_key,
            auth_psk,
            name,
            created_ms,
            last_used_ms,
            last_proven_ms,
            aaguid,
            backup_eligible,
            backup_state,
            proofs,
        } = slot;
        let is_passkey = matches!(public.method(), Method::Passkey(_));
        let provider = match (
            is_passkey,
            aaguid.as_slice(),
            *backup_eligible,
            *backup_state,
        ) {
            (false, [], false, false) => None,
            (true, aaguid, backup_eligible, backup_state) => Some(Provider {
                aaguid: aaguid.try_into().ok()?,
                backup_eligible,
                backup_state,
            }),
            _ => return None,
        };
        // A keyring from before proofs were counted has the date alone.
        let proofs = match (*last_proven_ms, *proofs) {
            (None, 0) => 0,
            (None, _) => return None,
            (Some(_), proofs) => proofs.max(1),
        };
        let fits = SlotId::from_slice(id)? == public.id() && name.len() <= MAX_NAME_BYTES;
        fits.then_some(Self {
            public: public.clone(),
            key: PublicKey::from_slice(public_key)?,
            auth_psk: Secret32::from_slice(auth_psk)?,
            name: std::mem::take(name),
            created_ms: *created_ms,
            last_used_ms: *last_used_ms,
            last_proven_ms: *last_proven_ms,
            proofs,
            provider,
        })
    }
}

impl Device {
    pub(super) fn info(&self) -> DeviceInfo {
        DeviceInfo {
            id: self.id,
            name: self.name.clone(),
            added_ms: self.added_ms,
            seen_number: self.seen_number,
            revoked_ms: self.revoked.map(|(at_ms, _)| at_ms),
            revoked_epoch: self.revoked.map(|(_, epoch)| epoch),
        }
    }

    fn to_proto(&self) -> proto::Device {
        proto::Device {
            id: self.id.as_bytes().to_vec(),
            name: self.name.clone(),
            public_key: self.key.to_bytes(),
            added_ms: self.added_ms,
            seen_number: self.seen_number,
            revoked_ms: self.revoked.map(|(at_ms, _)| at_ms),
            revoked_epoch: self.revoked.map_or(0, |(_, epoch)| epoch),
        }
    }

    fn from_proto(device: proto::Device) -> Option<Self> {
        let proto::Device {
            id,
            name,
            public_key,
            added_ms,
            seen_number,
            revoked_ms,
            revoked_epoch,
        } = device;
        let revoked = match (revoked_ms, revoked_epoch) {
            (None, 0) => None,
            (None, _) | (Some(_), 0) => return None,
            (Some(at_ms), epoch) => Some((at_ms, epoch)),
        };
        let key = PublicKey::from_slice(&public_key)?;
        let id = DeviceId::from_slice(&id)?;
        (name.len() <= MAX_NAME_BYTES).then_some(Self {
            id,
            name,
            key,
            added_ms,
            seen_number,
            revoked,
        })
    }
}

impl Contents {
    pub(super) fn current(&self) -> &Epoch {
        self.epochs.first().expect("a keyring has a root")
    }

    pub(super) fn active_devices(&self) -> impl Iterator<Item = &Device> {
        self.devices
            .iter()
            .filter(|device| device.revoked.is_none())
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let epoch = self.epochs.first().expect("a keyring has a root");
        self.events.append(&self.repository, epoch, happening);
    }

    pub(super) fn duplicate(&self) -> Self {
        Self {
            repository: self.repository,
            prf_input: self.prf_input,
            epochs: self.epochs.iter().map(Epoch::duplicate).collect(),
            chunk_id_key: self.chunk_id_key.duplicate(),
            slots: self.slots.iter().map(Slot::duplicate).collect(),
            devices: self.devices.clone(),
            events: self.events.clone(),
            retired: self.retired.clone(),
            removal_due_ms: self.removal_due_ms,
        }
    }

    /// Seals everything anew as the keyring that follows `previous`: the root to every slot's public
    /// key and what a writer needs to every device's, none of which has to be at hand.
    pub(super) fn publish(
        mut self,
        rng: &mut impl CryptoRng,
        made_ms: i64,
        previous: &[Predecessor],
        opened_with: Option<SlotId>,
    ) -> Result<Successor, ChangeError> {
        self.check_limits()?;
        let number = previous
            .iter()
            .map(|previous| previous.number)
            .max()
            .unwrap_or(0)
            + 1;
        if number > MAX_NUMBER {
            return Err(ChangeError::TooMany {
                what: "keyrings",
                limit: usize::MAX,
            });
        }
        if let Some(event) = self.events.entries().last() {
            let by = event.device;
            self.devices
                .iter_mut()
                .filter(|device| device.id == by)
                .for_each(|device| device.seen_number = number);
        }
        let place = Place {
            repository: self.repository,
            number,
            epoch: self.current().number,
            previous: previous.iter().map(|previous| previous.hash).collect(),
        };
        let seal_slot = |rng: &mut _, slot: &Slot| {
            let root = &self.current().root;
            slot.public.to_proto(seal_root(
                rng,
                &place,
                &slot.public.id(),
                &slot.key,
                &slot.auth_psk,
                root,
            ))
        };
        let slots = self.slots.iter().map(|slot| seal_slot(rng, slot)).collect();
        let reader = self.current().reader(&self.repository);
        let told = Told {
            epochs: &self.epochs,
            reader: reader.public(),
            chunk_id_key: &self.chunk_id_key,
            removal_due_ms: self.removal_due_ms,
        };
        let seal_device = |rng: &mut _, device: &Device| {
            DeviceSlot::seal(rng, &place, device.id, &device.key, &told).to_proto()
        };
        let devices = self
            .active_devices()
            .map(|device| seal_device(rng, device))
            .collect();
        let mut sealed_salt = [0; 32];
        rng.fill_bytes(&mut sealed_salt);
        let own = [self.current().succession(&self.repository)];
        let others: Vec<_> = previous
            .iter()
            .map(|previous| previous.succession.duplicate())
            .collect();
        let succession = if others.is_empty() {
            own.as_slice()
        } else {
            &others
        };
        let draft = Draft {
            place: &place,
            prf_input: self.prf_input,
            sealed_salt,
            slots,
            devices,
            succession,
        };
        let bytes = draft.write(|salt, info| {
            committed::seal(
                salt,
                self.current().root.exposed(),
                info,
                &self.to_sealed(made_ms),
            )
        });
        if bytes.len() > MAX_KEYRING_BYTES {
            return Err(ChangeError::TooMany {
                what: "bytes",
                limit: MAX_KEYRING_BYTES,
            });
        }
        let hash = KeyringHash::of(&bytes);
        Ok(Successor {
            bytes,
            unlocked: Unlocked {
                place,
                hash,
                made_ms,
                contents: self,
                opened_with,
            },
        })
    }

    fn check_limits(&self) -> Result<(), ChangeError> {
        for (what, count, limit) in [
            ("ways in", self.slots.len(), MAX_SLOTS),
            ("devices", self.devices.len(), MAX_DEVICES),
            ("devices", self.active_devices().count(), MAX_ACTIVE_DEVICES),
            ("epochs", self.epochs.len(), MAX_OLDER_EPOCHS + 1),
            ("events", self.events.entries().len(), MAX_EVENTS),
            ("removed passkeys", self.retired.len(), MAX_RETIRED),
        ] {
            if count > limit {
                return Err(ChangeError::TooMany { what, limit });
            }
        }
        if self.slots.is_empty() {
            Err(ChangeError::LastWayIn)
        } else {
            Ok(())
        }
    }

    fn to_sealed(&self, made_ms: i64) -> Zeroizing<Vec<u8>> {
        let older = |epoch: &Epoch| proto::OlderEpoch {
            number: epoch.number,
            root: epoch.root.exposed().to_vec(),
        };
        proto::encode(&proto::Sealed {
            older: self.epochs[1..].iter().map(older).collect(),
            chunk_id_key: self.chunk_id_key.expose_secret().to_vec(),
            slots: self.slots.iter().map(Slot::to_proto).collect(),
            devices: self.devices.iter().map(Device::to_proto).collect(),
            events: self.events.to_proto(),
            retired: self.retired.iter().map(|hash| hash.to_vec()).collect(),
            witness: Vec::new(),
            made_ms,
            removal_due_ms: self.removal_due_ms.unwrap_or(0),
        })
    }

    /// Reads the sealed part of `keyring`; also gives when it was made. `None` when it says something
    /// that no keyring says, or that its clear part contradicts.
    pub(super) fn from_sealed(
        keyring: &LockedKeyring,
        root: RootKey,
        sealed: &[u8],
    ) -> Option<(Self, i64)> {
        let mut message: proto::Sealed = proto::decode(sealed)?;
        let proto::Sealed {
            older,
            chunk_id_key,
            slots,
            devices,
            events,
            retired,
            witness,
            made_ms,
            removal_due_ms,
        } = &mut message;
        let Place {
            repository,
            number: _,
            epoch,
            previous: _,
        } = keyring.place;
        if !witness.is_empty()
            || *removal_due_ms < 0
            || older.len() > MAX_OLDER_EPOCHS
            || devices.len() > MAX_DEVICES
            || events.len() > MAX_EVENTS
            || retired.len() > MAX_RETIRED
            || slots.len() != keyring.slots.len()
        {
            return None;
        }
        let mut epochs = vec![Epoch {
            number: epoch,
            root,
        }];
        for older in older.iter() {
            let before = epochs.last().map_or(epoch, |last| last.number);
            // After a merge two epochs share a number; never with the newest.
            let in_order = older.number >= 1 && older.number <= before && older.number < epoch;
            epochs.push(Epoch {
                number: older.number,
                root: RootKey::from_slice(&older.root).filter(|_| in_order)?,
            });
        }
        let slots = slots
            .iter_mut()
            .zip(&keyring.slots)
            .map(|(slot, public)| Slot::from_proto(slot, public));
        let contents = Self {
            repository,
            prf_input: keyring.prf_input,
            chunk_id_key: ChunkIdKey(Secret32::from_slice(chunk_id_key)?),
            slots: slots.collect::<Option<_>>()?,
            devices: std::mem::take(devices)
                .into_iter()
                .map(Device::from_proto)
                .collect::<Option<_>>()?,
            events: EventLog::from_proto(std::mem::take(events), &repository, &epochs)?,
            retired: retired
                .iter()
                .map(|hash| hash.as_slice().try_into().ok())
                .collect::<Option<_>>()?,
            epochs,
            removal_due_ms: Some(*removal_due_ms).filter(|due| *due != 0),
        };
        let ids: BTreeSet<_> = contents.devices.iter().map(|device| device.id).collect();
        let agrees = ids.len() == contents.devices.len()
            && contents
                .active_devices()
                .map(|device| device.id)
                .eq(keyring.devices())
            && contents
                .retired
                .iter()
                .map(<[u8; 32]>::as_slice)
                .eq(retired.iter().map(Vec::as_slice));
        agrees.then_some((contents, *made_ms))
    }
}
