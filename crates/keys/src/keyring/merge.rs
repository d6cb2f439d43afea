//! Merging two keyrings that follow the same one. `docs/keyring.md`, section 6.5.

use rand_core::CryptoRng;

use super::Successor;
use super::change::{Act, ChangeError};
use super::contents::{Contents, Device, Slot};
use super::removal::merged_removal;
use super::unlock::Unlocked;
use crate::events::{Event, EventKind};
use crate::root::Epoch;
use crate::slot::Method;

impl Unlocked {
    /// Merges a fork that its owner has opened on both sides, and rotates.
    ///
    /// A way in that either side removed is gone, a device that either side revoked is revoked, and
    /// the roots of both sides are kept, so that what either side backed up can be read.
    pub fn merge_fork(
        &self,
        other: &Self,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        let (mine, theirs) = (&self.contents, &other.contents);
        let same_key = mine.chunk_id_key.0.same(&theirs.chunk_id_key.0);
        if mine.repository != theirs.repository || mine.prf_input != theirs.prf_input || !same_key {
            return Err(ChangeError::NotTogether);
        }
        if self.comes_before(other) || other.comes_before(self) {
            return Err(ChangeError::NotAFork);
        }
        let mut next = mine.duplicate();
        next.retired.extend(&theirs.retired);
        next.slots = merged_slots(mine, theirs)?;
        next.slots.retain(|slot| {
            slot.public
                .method()
                .retirement(&mine.repository)
                .is_none_or(|hash| !next.retired.contains(&hash))
        });
        next.devices = merged_devices(mine, theirs)?;
        // What a device keeps for itself goes with the device.
        let active: Vec<_> = next.active_devices().map(|device| device.id).collect();
        next.slots.retain(|slot| match slot.public.method() {
            Method::Device(device) => active.contains(device),
            Method::RecoveryKey | Method::Passkey(_) | Method::Password(_) => true,
        });
        next.removal_due_ms = merged_removal(mine, theirs);
        // Where either side had a proven way in, the owner is not left with none.
        if let (outcome @ Err(_), true) = (
            next.check_proven_way(),
            mine.check_proven_way().is_ok() || theirs.check_proven_way().is_ok(),
        ) {
            outcome?;
        }
        next.epochs = merged_epochs(mine, theirs);
        next.active_devices()
            .find(|device| device.id == act.device)
            .ok_or(ChangeError::UnknownDevice)?;
        next.begin_epoch(rng)?;
        next.events
            .append_divergent(&mine.repository, &theirs.events, &theirs.epochs);
        next.happen(act.happening(EventKind::Merged, other.hash.as_bytes()));
        next.publish(
            rng,
            act.now_ms,
            &[self.predecessor(), other.predecessor()],
            self.opened_with,
        )
    }

    /// Every change adds an event, so a keyring that knows all events and roots of another came later;
    /// also one that came to know them by a merge.
    fn comes_before(&self, other: &Self) -> bool {
        let (mine, theirs) = (&self.contents, &other.contents);
        let is_known = |epoch: &Epoch| theirs.epochs.iter().any(|known| is_same(known, epoch));
        mine.events.only_here(&theirs.events).is_empty() && mine.epochs.iter().all(is_known)
    }
}

fn merged_slots(mine: &Contents, theirs: &Contents) -> Result<Vec<Slot>, ChangeError> {
    let mut slots = Vec::new();
    for slot in &mine.slots {
        let twin = theirs
            .slots
            .iter()
            .find(|other| other.public.id() == slot.public.id());
        match twin {
            Some(twin) => {
                let mut merged = merged_slot(slot, twin)?;
                if is_renamed_by(
                    theirs,
                    mine,
                    EventKind::SlotRenamed,
                    slot.public.id().as_bytes(),
                ) {
                    merged.name.clone_from(&twin.name);
                }
                slots.push(merged);
            }
            None if was_removed(theirs, slot) => {}
            None => slots.push(slot.duplicate()),
        }
    }
    for slot in &theirs.slots {
        let known = |other: &Slot| {
            other.public.id() == slot.public.id()
                || other
                    .public
                    .method()
                    .is_same_credential(slot.public.method())
        };
        if !slots.iter().any(known) && !was_removed(mine, slot) {
            slots.push(slot.duplicate());
        }
    }
    Ok(slots)
}

/// A slot keeps its id and its keys for ever; the later dates count.
fn merged_slot(mine: &Slot, theirs: &Slot) -> Result<Slot, ChangeError> {
    let same = mine.public == theirs.public
        && mine.key == theirs.key
        && mine.auth_psk.same(&theirs.auth_psk);
    if !same {
        return Err(ChangeError::NotTogether);
    }
    let mut slot = mine.duplicate();
    slot.last_used_ms = mine.last_used_ms.max(theirs.last_used_ms);
    slot.last_proven_ms = mine.last_proven_ms.max(theirs.last_proven_ms);
    slot.proofs = mine.proofs.max(theirs.proofs);
    Ok(slot)
}

/// Whether `side` has given `subject` another name since the two parted, and `other` has not.
fn is_renamed_by(side: &Contents, other: &Contents, kind: EventKind, subject: &[u8]) -> bool {
    let renamed = |a: &Contents, b: &Contents| {
        let events = a.events.only_here(&b.events);
        events
            .iter()
            .any(|event| event.kind == kind && event.subject == subject)
    };
    renamed(side, other) && !renamed(other, side)
}

fn was_removed(side: &Contents, slot: &Slot) -> bool {
    let removed = |event: &Event| {
        event.kind == EventKind::SlotRemoved && event.subject == slot.public.id().as_bytes()
    };
    side.events.entries().iter().any(removed)
}

fn merged_devices(mine: &Contents, theirs: &Contents) -> Result<Vec<Device>, ChangeError> {
    let mut devices = mine.devices.clone();
    for device in &theirs.devices {
        let Some(twin) = devices.iter_mut().find(|known| known.id == device.id) else {
            devices.push(device.clone());
            continue;
        };
        if twin.key != device.key {
            return Err(ChangeError::NotTogether);
        }
        if is_renamed_by(theirs, mine, EventKind::DeviceRenamed, device.id.as_bytes()) {
            twin.name.clone_from(&device.name);
        }
        twin.seen_number = twin.seen_number.max(device.seen_number);
        // Where both sides revoked it, the earlier epoch is the one from which nothing counts.
        twin.revoked = match (twin.revoked, device.revoked) {
            (Some(a), Some(b)) => Some(if a.1 <= b.1 { a } else { b }),
            (a, b) => a.or(b),
        };
    }
    Ok(devices)
}

fn is_same(a: &Epoch, b: &Epoch) -> bool {
    a.number == b.number && a.root.same(&b.root)
}

/// All roots of both sides, newest first; a root that both know stands once.
fn merged_epochs(mine: &Contents, theirs: &Contents) -> Vec<Epoch> {
    let mut epochs: Vec<_> = mine.epochs.iter().map(Epoch::duplicate).collect();
    for epoch in &theirs.epochs {
        if !epochs.iter().any(|known| is_same(known, epoch)) {
            epochs.push(epoch.duplicate());
        }
    }
    epochs.sort_by_key(|epoch| std::cmp::Reverse(epoch.number));
    epochs
}
