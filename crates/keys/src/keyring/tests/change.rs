//! Adding, removing, rotating, merging; and what each keyring says about the one before it.

use super::*;
use crate::{
    Event, EventKind, Freshness, NotASuccessor, RunKey, Seen, seal_run_key, verify_successor,
};

fn kinds(unlocked: &Unlocked) -> Vec<EventKind> {
    unlocked
        .events()
        .iter()
        .map(|event: &Event| event.kind)
        .collect()
}

fn run(owner: &mut Owner) -> (Vec<u8>, RunKey) {
    let key = RunKey::generate(&mut owner.rng);
    let sealed = seal_run_key(
        &owner.unlocked.reader_public(),
        &key,
        &mut owner.rng,
        &owner.unlocked.repository(),
    );
    (sealed.to_vec(), key)
}

#[track_caller]
fn assert_reads(unlocked: &Unlocked, (sealed, key): &(Vec<u8>, RunKey)) {
    assert_eq!(
        unlocked.open_run_key(sealed).unwrap().expose_secret(),
        key.expose_secret()
    );
}

#[test]
fn a_rotation_keeps_old_epochs_readable_and_old_keyrings_read_nothing_new() {
    let mut owner = Owner::new(60);
    let old_bytes = owner.bytes.clone();
    let before = run(&mut owner);
    owner.go(Unlocked::rotate);
    let after = run(&mut owner);
    let unlocked = open(&owner.bytes, &owner.secret()).unwrap();
    assert_reads(&unlocked, &before);
    assert_reads(&unlocked, &after);
    let old = open(&old_bytes, &owner.secret()).unwrap();
    assert_reads(&old, &before);
    assert_eq!(
        old.open_run_key(&after.0).unwrap_err(),
        crate::RunKeyError::UnknownEpoch { epoch: 2 }
    );
}

#[test]
fn a_removed_way_does_not_open_the_new_keyring_and_still_opens_the_old() {
    let mut owner = Owner::new(61);
    owner.prove_recovery();
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    let (old, slot) = (owner.bytes.clone(), owner.slot(1));
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &slot));
    let secret = UnlockSecret::passkey(passkey(1), prf(1));
    assert_eq!(
        open(&owner.bytes, &secret).unwrap_err(),
        OpenError::NoMatchingSlot
    );
    let old = open(&old, &secret).unwrap();
    let after = run(&mut owner);
    assert!(old.open_run_key(&after.0).is_err());
    assert!(kinds(&owner.unlocked).ends_with(&[EventKind::SlotAdded, EventKind::SlotRemoved]));
}

#[test]
fn the_last_way_in_stays() {
    let mut owner = Owner::new(62);
    let slot = owner.slot(0);
    let outcome = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &slot));
    assert_eq!(outcome.unwrap_err(), ChangeError::LastWayIn);
    let unknown = SlotId::from_bytes([9; 16]);
    let outcome = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &unknown));
    assert_eq!(outcome.unwrap_err(), ChangeError::UnknownSlot);
}

#[test]
fn a_removed_passkey_never_comes_back_and_one_passkey_has_one_slot() {
    let mut owner = Owner::new(63);
    owner.prove_recovery();
    let secret = prf(1);
    let add = |unlocked: &Unlocked, rng: &mut TestRng, act| {
        unlocked.add_slot(rng, act, passkey_slot(1, &secret))
    };
    owner.go(add);
    assert_eq!(owner.change(add).unwrap_err(), ChangeError::AlreadyEnrolled);
    let slot = owner.slot(1);
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &slot));
    owner.unlocked = open(&owner.bytes, &owner.secret()).unwrap();
    assert_eq!(owner.change(add).unwrap_err(), ChangeError::Retired);
}

#[test]
fn a_way_in_that_is_badly_described_is_refused() {
    let mut owner = Owner::new(64);
    let secret = prf(1);
    let mut refuse = |slot: NewSlot<'_>| {
        owner
            .change(|unlocked, rng, act| unlocked.add_slot(rng, act, slot))
            .unwrap_err()
    };
    let long = "x".repeat(257);
    assert_eq!(
        refuse(NewSlot {
            name: &long,
            ..passkey_slot(1, &secret)
        }),
        ChangeError::NameTooLong { limit: 256 }
    );
    assert_eq!(
        refuse(NewSlot {
            provider: None,
            ..passkey_slot(1, &secret)
        }),
        ChangeError::BadMethod
    );
    assert_eq!(
        refuse(NewSlot {
            method: Method::RecoveryKey,
            ..passkey_slot(1, &secret)
        }),
        ChangeError::BadMethod
    );
    let method = Method::Passkey(Passkey {
        credential_id: vec![],
        ..passkey(1)
    });
    assert_eq!(
        refuse(NewSlot {
            method,
            ..passkey_slot(1, &secret)
        }),
        ChangeError::BadMethod
    );
    let method = Method::Passkey(Passkey {
        credential_id: vec![0; 1024],
        ..passkey(1)
    });
    assert_eq!(
        refuse(NewSlot {
            method,
            ..passkey_slot(1, &secret)
        }),
        ChangeError::BadMethod
    );
}

#[test]
fn a_keyring_has_room_for_so_many_ways_in_and_no_more() {
    let mut owner = Owner::new(65);
    for id in 1..32 {
        owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(id, &prf(id))));
    }
    assert_eq!(
        open(&owner.bytes, &owner.secret()).unwrap().slots().len(),
        32
    );
    let outcome =
        owner.change(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(99, &prf(99))));
    assert_eq!(
        outcome.unwrap_err(),
        ChangeError::TooMany {
            what: "ways in",
            limit: 32
        }
    );
}

#[test]
fn a_password_slot_is_bound_to_its_record_and_server() {
    let mut owner = Owner::new(66);
    let export = || {
        crate::ExportKey::new(vec![5; 64])
            .unwrap()
            .try_into()
            .unwrap()
    };
    let password = crate::Password {
        record_id: vec![1; 16],
        server: "vault.example".into(),
        opaque_suite: 1,
    };
    let slot_secret = export();
    let method = Method::Password(password.clone());
    owner.go(|unlocked, rng, act| {
        unlocked.add_slot(
            rng,
            act,
            NewSlot {
                name: "password",
                method,
                provider: None,
                secret: &slot_secret,
            },
        )
    });
    assert!(
        open(
            &owner.bytes,
            &UnlockSecret::password(password.clone(), export())
        )
        .is_ok()
    );
    let elsewhere = crate::Password {
        server: "other.example".into(),
        ..password
    };
    assert_eq!(
        open(&owner.bytes, &UnlockSecret::password(elsewhere, export())).unwrap_err(),
        OpenError::NoMatchingSlot
    );
}

#[test]
fn a_password_names_its_record_its_vault_and_its_version() {
    let record = crate::PasswordRecord {
        name: [1; 16],
        vault: [2; 32],
        version: 7,
    };
    let mut password = crate::Password {
        record_id: record.to_bytes(),
        server: "https://vault.example".into(),
        opaque_suite: 1,
    };
    assert_eq!(password.record(), Some(record));
    password.record_id.push(0);
    assert_eq!(password.record(), None);
    password.record_id.truncate(51);
    assert_eq!(password.record(), None);
}

#[test]
fn a_rotation_makes_another_owner_at_the_vault_and_the_keyring_still_knows_the_one_before() {
    use secrecy::ExposeSecret;
    let seeds = |owner: &Owner| -> Vec<[u8; 32]> {
        let unlocked = open(&owner.bytes, &owner.secret()).unwrap();
        let seeds = unlocked.vault_owner_seeds();
        seeds.iter().map(|seed| *seed.expose_secret()).collect()
    };
    let mut owner = Owner::new(68);
    let before = seeds(&owner);
    owner.go(Unlocked::rotate);
    let after = seeds(&owner);
    assert_eq!((before.len(), after.len()), (1, 2));
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[0]);
}

#[test]
fn each_keyring_follows_the_one_before_it_and_no_other() {
    let mut owner = Owner::new(67);
    let mut chain = vec![open(&owner.bytes, &owner.secret()).unwrap()];
    for _ in 0..3 {
        owner.go(Unlocked::rotate);
        let locked = owner.locked();
        assert_eq!(
            locked.previous_hash(),
            Some(chain.last().unwrap().seen().hash)
        );
        assert_eq!(verify_successor(chain.last().unwrap(), &locked), Ok(()));
        for earlier in &chain[..chain.len() - 1] {
            assert_eq!(
                verify_successor(earlier, &locked),
                Err(NotASuccessor::NotNext)
            );
        }
        chain.push(open(&owner.bytes, &owner.secret()).unwrap());
    }
    assert_eq!(
        verify_successor(&Owner::new(68).unlocked, &owner.locked()),
        Err(NotASuccessor::NotNext)
    );
}

#[test]
fn a_keyring_that_was_rolled_back_or_forked_is_found() {
    let mut owner = Owner::new(69);
    let first = owner.locked();
    let seen_first = owner.unlocked.seen();
    let fork = owner.change(Unlocked::rotate).unwrap();
    owner.go(Unlocked::rotate);
    let second = owner.locked();
    let seen: Seen = owner.unlocked.seen();
    assert_eq!((seen.number, seen.events), (2, 4));
    assert_eq!(seen.compare(&second), Freshness::Same);
    assert_eq!(seen.compare(&first), Freshness::Older);
    assert_eq!(
        seen.compare(&LockedKeyring::parse(&fork.bytes).unwrap()),
        Freshness::Forked
    );
    assert_eq!(seen_first.compare(&second), Freshness::Newer);
    // A longer line that leaves out what was seen.
    let act = owner.act();
    let third =
        LockedKeyring::parse(&fork.unlocked.rotate(&mut owner.rng, act).unwrap().bytes).unwrap();
    assert_eq!(seen.compare(&third), Freshness::Forked);
    let fork_locked = LockedKeyring::parse(&fork.bytes).unwrap();
    assert_eq!(
        seen_first.compare_through(&third, std::slice::from_ref(&fork_locked)),
        Freshness::Newer
    );
    assert_eq!(
        seen_first.compare_through(&third, &[second]),
        Freshness::Forked
    );
    assert_eq!(
        seen.compare_through(&third, &[fork_locked]),
        Freshness::Forked
    );
}

/// Two keyrings that follow the same one, each with its own change.
fn fork(owner: &mut Owner) -> (Successor, Successor) {
    owner.prove_recovery();
    for id in 1..=3 {
        owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(id, &prf(id))));
    }
    let (one, two) = (owner.slot(1), owner.slot(2));
    let left = owner
        .change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &one))
        .unwrap();
    let right = owner
        .change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &two))
        .unwrap();
    let act = owner.act();
    let right = right
        .unlocked
        .add_slot(&mut owner.rng, act, passkey_slot(4, &prf(4)))
        .unwrap();
    (left, right)
}

#[test]
fn a_merged_fork_keeps_what_neither_side_removed_and_reads_both() {
    let mut owner = Owner::new(70);
    let (left, right) = fork(&mut owner);
    owner.unlocked = open(&left.bytes, &owner.secret()).unwrap();
    let of_left = run(&mut owner);
    owner.unlocked = open(&right.bytes, &owner.secret()).unwrap();
    let of_right = run(&mut owner);
    let left = open(&left.bytes, &owner.secret()).unwrap();
    owner.go(|right, rng, act| left.merge_fork(right, rng, act));
    let merged = open(&owner.bytes, &owner.secret()).unwrap();
    let opens = |id| open(&owner.bytes, &UnlockSecret::passkey(passkey(id), prf(id))).is_ok();
    assert_eq!([1, 2, 3, 4].map(opens), [false, false, true, true]);
    // Both sides were in an epoch 2 of their own.
    assert_reads(&merged, &of_left);
    assert_reads(&merged, &of_right);
    assert_eq!(merged.reader_public().epoch(), 3);
    let right = open(&right.bytes, &owner.secret()).unwrap();
    let locked = owner.locked();
    assert_eq!(
        locked.previous_hashes(),
        [left.seen().hash, right.seen().hash]
    );
    assert_eq!(
        (
            verify_successor(&left, &locked),
            verify_successor(&right, &locked)
        ),
        (Ok(()), Ok(()))
    );
    let tail = [
        EventKind::SlotRemoved,
        EventKind::SlotRemoved,
        EventKind::SlotAdded,
        EventKind::Merged,
    ];
    assert!(kinds(&merged).ends_with(&tail), "{:?}", kinds(&merged));
    // A device of either side follows.
    for side in [&left, &right] {
        let held = side.writer_credentials(&owner.credential.device()).unwrap();
        assert_eq!(
            locked
                .open_device_slot(&owner.credential, &held)
                .unwrap()
                .epoch,
            3
        );
    }
}

#[test]
fn a_fork_that_would_leave_no_way_in_is_not_merged() {
    let mut owner = Owner::new(71);
    owner.prove_recovery();
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    owner.prove(&UnlockSecret::passkey(passkey(1), prf(1)));
    let (one, two) = (owner.slot(0), owner.slot(1));
    let left = owner
        .change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &one))
        .unwrap()
        .unlocked;
    let right = owner
        .change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &two))
        .unwrap()
        .unlocked;
    let outcome = owner.change(|_, rng, act| left.merge_fork(&right, rng, act));
    assert_eq!(outcome.unwrap_err(), ChangeError::LastWayIn);
}

#[test]
fn what_is_no_fork_is_not_merged() {
    let mut owner = Owner::new(72);
    let first = open(&owner.bytes, &owner.secret()).unwrap();
    owner.go(Unlocked::rotate);
    let second = open(&owner.bytes, &owner.secret()).unwrap();
    let stranger = Owner::new(73).unlocked;
    let mut merge = |a: &Unlocked, b: &Unlocked| {
        owner
            .change(|_, rng, act| a.merge_fork(b, rng, act))
            .unwrap_err()
    };
    assert_eq!(merge(&first, &second), ChangeError::NotAFork);
    assert_eq!(merge(&second, &first), ChangeError::NotAFork);
    assert_eq!(merge(&second, &second), ChangeError::NotAFork);
    assert_eq!(merge(&second, &stranger), ChangeError::NotTogether);
}

#[test]
fn a_merged_fork_is_not_merged_again() {
    let mut owner = Owner::new(74);
    let (left, right) = fork(&mut owner);
    let merged = owner
        .change(|_, rng, act| left.unlocked.merge_fork(&right.unlocked, rng, act))
        .unwrap()
        .unlocked;
    for side in [&left.unlocked, &right.unlocked] {
        let outcome = owner.change(|_, rng, act| merged.merge_fork(side, rng, act));
        assert_eq!(outcome.unwrap_err(), ChangeError::NotAFork);
    }
}

#[test]
fn a_device_that_is_not_enrolled_changes_nothing() {
    let owner = Owner::new(75);
    let act = Act {
        device: crate::DeviceId::from_bytes([1; 16]),
        now_ms: NOW,
    };
    let rng = &mut TestRng::new(1);
    assert_eq!(
        owner.unlocked.rotate(rng, act).unwrap_err(),
        ChangeError::UnknownDevice
    );
    assert_eq!(
        owner.unlocked.record_seen(rng, act).unwrap_err(),
        ChangeError::UnknownDevice
    );
}

#[test]
fn it_is_shown_which_devices_have_seen_a_removal() {
    let mut owner = Owner::new(76);
    let (next, tablet) = owner
        .change(|unlocked, rng, _| unlocked.add_device(rng, NOW, "tablet"))
        .unwrap();
    owner.take(next);
    owner.go(Unlocked::rotate);
    let seen = |owner: &Owner| {
        owner
            .unlocked
            .devices()
            .iter()
            .map(|device| device.seen_number)
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&owner), [3, 2]);
    let act = Act {
        device: tablet.device(),
        now_ms: NOW,
    };
    let next = owner.unlocked.record_seen(&mut owner.rng, act).unwrap();
    owner.take(next);
    assert_eq!(seen(&owner), [3, 4]);
}
