//! A device that holds only what it needs to write.

use super::*;
use crate::device::{DeviceSlot, MAX_PROOFS, Told};
use crate::keyring::contents::Predecessor;
use crate::root::{ChunkIdKey, Epoch, RootKey};
use crate::slot::Place;
use crate::{RunKey, WriterCredentials, seal_run_key};

fn held(owner: &Owner) -> WriterCredentials {
    owner
        .unlocked
        .writer_credentials(&owner.credential.device())
        .unwrap()
}

#[test]
fn a_device_follows_a_rotation_without_an_unlock() {
    let mut owner = Owner::new(40);
    let before = held(&owner);
    owner.go(Unlocked::rotate);
    let after = owner
        .locked()
        .open_device_slot(&owner.credential, &before)
        .unwrap();
    assert_eq!(
        (after.epoch, after.keyring_number, after.keyring_hash),
        (2, 2, owner.locked().hash())
    );
    assert_ne!(
        after.writer_key.expose_secret(),
        before.writer_key.expose_secret()
    );
    assert_eq!(
        after.chunk_id_key.expose_secret(),
        before.chunk_id_key.expose_secret()
    );
    assert_eq!(
        after.expose_bytes_for_test(),
        held(&owner).expose_bytes_for_test()
    );
    // What it seals now, the owner reads; it holds nothing to read it itself.
    let key = RunKey::generate(&mut owner.rng);
    let sealed = seal_run_key(
        &after.reader_public,
        &key,
        &mut owner.rng,
        &after.repository,
    );
    assert_eq!(
        owner
            .unlocked
            .open_run_key(&sealed)
            .unwrap()
            .expose_secret(),
        key.expose_secret()
    );
}

#[test]
fn a_device_that_slept_through_many_rotations_follows_and_through_too_many_asks_for_an_unlock() {
    let mut owner = Owner::new(41);
    let before = held(&owner);
    for _ in 1..MAX_PROOFS {
        owner.go(Unlocked::rotate);
    }
    assert!(
        owner
            .locked()
            .open_device_slot(&owner.credential, &before)
            .is_ok()
    );
    owner.go(Unlocked::rotate);
    assert_eq!(
        owner
            .locked()
            .open_device_slot(&owner.credential, &before)
            .unwrap_err(),
        OpenError::UnlockNeeded
    );
}

#[test]
fn an_older_keyring_is_not_taken() {
    let mut owner = Owner::new(42);
    let first = owner.locked();
    owner.go(Unlocked::record_seen);
    let outcome = first.open_device_slot(&owner.credential, &held(&owner));
    assert_eq!(
        outcome.unwrap_err(),
        OpenError::Older { number: 1, seen: 2 }
    );
}

#[test]
fn another_keyring_of_the_same_number_is_not_taken() {
    let mut owner = Owner::new(43);
    let other = owner.change(Unlocked::rotate).unwrap();
    owner.go(Unlocked::rotate);
    let fork = LockedKeyring::parse(&other.bytes).unwrap();
    assert_eq!(
        fork.open_device_slot(&owner.credential, &held(&owner))
            .unwrap_err(),
        OpenError::Forked { number: 2 }
    );
    // Nor what follows it.
    let after = other
        .unlocked
        .rotate(
            &mut owner.rng,
            Act {
                device: owner.credential.device(),
                now_ms: NOW,
            },
        )
        .unwrap();
    let after = LockedKeyring::parse(&after.bytes).unwrap();
    assert_eq!(
        after
            .open_device_slot(&owner.credential, &held(&owner))
            .unwrap_err(),
        OpenError::Forked { number: 3 }
    );
}

#[test]
fn a_revoked_device_finds_no_slot_and_the_others_do() {
    let mut owner = Owner::new(44);
    let (next, tablet) = owner
        .change(|unlocked, rng, _| unlocked.add_device(rng, NOW, "tablet"))
        .unwrap();
    owner.take(next);
    let (laptop_held, tablet_held) = (
        held(&owner),
        owner.unlocked.writer_credentials(&tablet.device()).unwrap(),
    );
    owner.go(|unlocked, rng, act| unlocked.revoke_device(rng, act, &tablet.device()));
    let keyring = owner.locked();
    assert_eq!(
        keyring.open_device_slot(&tablet, &tablet_held).unwrap_err(),
        OpenError::NoMatchingSlot
    );
    assert!(
        keyring
            .open_device_slot(&owner.credential, &laptop_held)
            .is_ok()
    );
    assert!(
        owner
            .unlocked
            .writer_credentials(&tablet.device())
            .is_none()
    );
    // What it wrote before still counts, what it writes after does not.
    assert_eq!(owner.unlocked.writer_keys(&tablet.device(), 1).len(), 1);
    assert!(owner.unlocked.writer_keys(&tablet.device(), 2).is_empty());
    assert_eq!(owner.unlocked.devices()[1].revoked_epoch, Some(2));
    let by_tablet = Act {
        device: tablet.device(),
        now_ms: NOW,
    };
    assert_eq!(
        owner
            .unlocked
            .rotate(&mut owner.rng, by_tablet)
            .unwrap_err(),
        ChangeError::UnknownDevice
    );
}

#[test]
fn a_slot_opens_only_with_its_own_device_key() {
    let mut owner = Owner::new(45);
    let (next, tablet) = owner
        .change(|unlocked, rng, _| unlocked.add_device(rng, NOW, "tablet"))
        .unwrap();
    owner.take(next);
    let tablet_held = owner.unlocked.writer_credentials(&tablet.device()).unwrap();
    let outcome = owner
        .locked()
        .open_device_slot(&owner.credential, &tablet_held);
    assert_eq!(outcome.unwrap_err(), OpenError::OtherRepository);
    let stranger = Owner::new(46);
    let outcome = owner
        .locked()
        .open_device_slot(&stranger.credential, &held(&stranger));
    assert_eq!(outcome.unwrap_err(), OpenError::OtherRepository);
}

/// A device slot that hands out a reader key of the forger's own.
fn forged_slot(owner: &Owner, place: &Place, epochs: &[Epoch]) -> LockedKeyring {
    let rng = &mut TestRng::new(666);
    let chunk_id_key = ChunkIdKey(Secret32::generate(rng));
    let slot = DeviceSlot::seal(
        rng,
        place,
        owner.credential.device(),
        &owner.credential.public(),
        &Told {
            epochs,
            reader: epochs[0].reader(&place.repository).public(),
            chunk_id_key: &chunk_id_key,
            removal_due_ms: None,
        },
    );
    let mut keyring = owner.locked();
    keyring.place = place.clone();
    keyring.devices = vec![slot];
    keyring
}

#[test]
fn who_knows_a_devices_public_key_and_no_root_cannot_hand_it_a_reader_key() {
    let owner = Owner::new(47);
    let place = Place {
        number: 2,
        previous: vec![owner.locked().hash()],
        ..owner.unlocked.place.clone()
    };
    let own = [Epoch {
        number: 1,
        root: RootKey::generate(&mut TestRng::new(1)),
    }];
    let keyring = forged_slot(&owner, &place, &own);
    assert_eq!(
        keyring
            .open_device_slot(&owner.credential, &held(&owner))
            .unwrap_err(),
        OpenError::NotAuthentic
    );
    // With the root it would be taken: so it is the root that is asked for.
    let keyring = forged_slot(&owner, &place, &owner.unlocked.contents.epochs);
    assert!(
        keyring
            .open_device_slot(&owner.credential, &held(&owner))
            .is_ok()
    );
}

#[test]
fn once_a_device_has_seen_a_removal_who_was_removed_cannot_reach_it() {
    let mut owner = Owner::new(48);
    owner.prove_recovery();
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    let known = owner.unlocked.contents.duplicate();
    let removed = owner.slot(1);
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &removed));
    let seen = held(&owner);
    let before = owner.unlocked.predecessor();
    let succession = known.current().succession(&known.repository);
    let previous = Predecessor {
        hash: before.hash,
        number: before.number,
        succession,
    };
    let bytes = known
        .publish(&mut TestRng::new(1), NOW, &[previous], None)
        .unwrap()
        .bytes;
    let forged = LockedKeyring::parse(&bytes).unwrap();
    // It proves only epochs before the one the device is in.
    assert_eq!(
        forged
            .open_device_slot(&owner.credential, &seen)
            .unwrap_err(),
        OpenError::UnlockNeeded
    );
}

#[test]
fn every_flipped_byte_of_a_device_slot_is_refused() {
    let mut owner = Owner::new(49);
    let before = held(&owner);
    owner.go(Unlocked::rotate);
    let keyring = owner.locked();
    let slot = keyring.devices[0].to_proto();
    for at in 0..slot.sealed.len() {
        let mut bad = slot.clone();
        bad.sealed[at] ^= 1;
        let mut keyring = keyring.clone();
        keyring.devices = vec![DeviceSlot::from_proto(bad).unwrap()];
        assert_eq!(
            keyring
                .open_device_slot(&owner.credential, &before)
                .unwrap_err(),
            OpenError::NotAuthentic
        );
    }
}

#[test]
fn what_a_device_stores_is_read_back_and_damage_is_found() {
    let owner = Owner::new(50);
    let bytes = secrecy::ExposeSecret::expose_secret(&owner.credential.expose_bytes()).to_vec();
    let read = DeviceCredential::from_bytes(&bytes).unwrap();
    assert_eq!(
        (read.device(), read.repository()),
        (owner.credential.device(), owner.unlocked.repository())
    );
    assert!(read.public() == owner.credential.public());
    assert!((0..bytes.len()).all(|len| DeviceCredential::from_bytes(&bytes[..len]).is_err()));
    assert!(DeviceCredential::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());

    let bytes = held(&owner).expose_bytes_for_test();
    assert_eq!(
        WriterCredentials::from_bytes(&bytes)
            .unwrap()
            .expose_bytes_for_test(),
        bytes
    );
    assert!((0..bytes.len()).all(|len| WriterCredentials::from_bytes(&bytes[..len]).is_err()));
    assert!(WriterCredentials::from_bytes(&[bytes.as_slice(), &[0]].concat()).is_err());
    assert!(WriterCredentials::from_bytes(&[b"HLWRITER\x00\x03", &bytes[10..]].concat()).is_err());
}

impl WriterCredentials {
    pub(super) fn expose_bytes_for_test(&self) -> Vec<u8> {
        secrecy::ExposeSecret::expose_secret(&self.expose_bytes()).to_vec()
    }
}
