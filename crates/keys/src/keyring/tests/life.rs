//! Renaming, proving again, removing what is left over, and the end of a backup.

use super::*;
use crate::{EventKind, REMOVAL_DELAY_MS};

fn passkey_at<'a>(
    id: u8,
    rp_id: &str,
    backup_eligible: bool,
    secret: &'a HighEntropySecret,
) -> NewSlot<'a> {
    let passkey = Passkey {
        rp_id: rp_id.into(),
        ..passkey(id)
    };
    NewSlot {
        method: Method::Passkey(passkey),
        provider: Some(Provider {
            aaguid: [id; 16],
            backup_eligible,
            backup_state: backup_eligible,
        }),
        ..passkey_slot(id, secret)
    }
}

fn last_kind(owner: &Owner) -> EventKind {
    owner.unlocked.events().last().unwrap().kind
}

#[test]
fn a_way_in_and_a_device_can_be_renamed() {
    let mut owner = Owner::new(80);
    let (slot, device) = (owner.slot(0), owner.credential.device());
    owner.go(|unlocked, rng, act| unlocked.rename_slot(rng, act, &slot, "in the drawer"));
    assert_eq!(last_kind(&owner), EventKind::SlotRenamed);
    owner.go(|unlocked, rng, act| unlocked.rename_device(rng, act, &device, "old laptop"));
    assert_eq!(last_kind(&owner), EventKind::DeviceRenamed);
    let opened = open(&owner.bytes, &owner.secret()).unwrap();
    assert_eq!(opened.slots()[0].name, "in the drawer");
    assert_eq!(opened.devices()[0].name, "old laptop");
    // A name is no new epoch.
    assert_eq!(opened.reader_public().epoch(), 1);
}

#[test]
fn what_is_not_there_or_too_long_is_not_renamed() {
    let mut owner = Owner::new(81);
    let slot = owner.slot(0);
    let long = "x".repeat(257);
    let mut rename = |slot: SlotId, name: &str| {
        let outcome =
            owner.change(|unlocked, rng, act| unlocked.rename_slot(rng, act, &slot, name));
        outcome.unwrap_err()
    };
    let unknown = SlotId::from_bytes([9; 16]);
    assert_eq!(rename(unknown, "a"), ChangeError::UnknownSlot);
    assert_eq!(rename(slot, &long), ChangeError::NameTooLong { limit: 256 });
    let nobody = crate::DeviceId::from_bytes([9; 16]);
    let outcome = owner.change(|unlocked, rng, act| unlocked.rename_device(rng, act, &nobody, "a"));
    assert_eq!(outcome.unwrap_err(), ChangeError::UnknownDevice);
}

#[test]
fn each_proof_makes_the_next_check_come_later() {
    let mut owner = Owner::new(82);
    let day = 24 * 60 * 60 * 1000;
    let mut steps = Vec::new();
    for _ in 0..5 {
        owner.prove_recovery();
        let slot = &owner.unlocked.slots()[0];
        steps.push((
            slot.proofs,
            (slot.next_check_ms().unwrap() - slot.last_proven_ms.unwrap()) / day,
        ));
    }
    assert_eq!(steps, [(1, 14), (2, 30), (3, 91), (4, 183), (5, 183)]);
    assert_eq!(owner.unlocked.next_check_ms(), None);
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    owner.prove(&UnlockSecret::passkey(passkey(1), prf(1)));
    let due = owner.unlocked.next_check_ms().unwrap();
    assert_eq!(due, NOW + 1 + 14 * day);
    assert_eq!(owner.unlocked.status(due), Status::Protected);
    assert_eq!(owner.unlocked.status(due + 1), Status::CheckDue);
}

#[test]
fn a_count_of_proofs_does_not_run_over() {
    let mut owner = Owner::new(83);
    owner.prove_recovery();
    owner.unlocked.contents.slots[0].proofs = u32::MAX;
    owner.go(Unlocked::record_proof);
    assert_eq!(
        open(&owner.bytes, &owner.secret()).unwrap().slots()[0].proofs,
        u32::MAX
    );
}

#[test]
fn a_way_in_is_removed_only_when_another_one_was_proven() {
    let mut owner = Owner::new(84);
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    let (paper, phone) = (owner.slot(0), owner.slot(1));
    let remove = |owner: &mut Owner, slot: SlotId| {
        let outcome = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &slot));
        outcome.map(drop)
    };
    for slot in [paper, phone] {
        assert_eq!(remove(&mut owner, slot), Err(ChangeError::LastProvenWay));
    }
    owner.prove_recovery();
    assert_eq!(remove(&mut owner, paper), Err(ChangeError::LastProvenWay));
    assert_eq!(remove(&mut owner, phone), Ok(()));
    let words = ChangeError::LastProvenWay.to_string();
    assert!(words.contains("unlock with one of them first"), "{words}");
}

#[test]
fn a_passkey_for_trying_out_or_of_one_device_is_never_all_that_remains() {
    for (id, rp_id, is_synced) in [(1, "localhost", true), (2, "chat.example", false)] {
        let mut owner = Owner::new(85);
        let secret = prf(id);
        owner.go(|unlocked, rng, act| {
            unlocked.add_slot(rng, act, passkey_at(id, rp_id, is_synced, &secret))
        });
        let here = Passkey {
            rp_id: rp_id.into(),
            ..passkey(id)
        };
        owner.prove(&UnlockSecret::passkey(here, prf(id)));
        assert_eq!(
            owner.unlocked.status(NOW),
            Status::AlmostProtected { proven: 1 }
        );
        let paper = owner.slot(0);
        let outcome = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &paper));
        assert_eq!(outcome.unwrap_err(), ChangeError::OnlyExtraWays);
        owner.prove_recovery();
        assert_eq!(owner.unlocked.status(NOW), Status::Protected);
    }
}

#[test]
fn two_removals_at_once_do_not_leave_only_an_extra_way() {
    let mut owner = Owner::new(86);
    let (here, other) = (prf(1), prf(2));
    owner.go(|unlocked, rng, act| {
        unlocked.add_slot(rng, act, passkey_at(1, "localhost", true, &here))
    });
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(2, &other)));
    let at_home = Passkey {
        rp_id: "localhost".into(),
        ..passkey(1)
    };
    owner.prove(&UnlockSecret::passkey(at_home, prf(1)));
    owner.prove(&UnlockSecret::passkey(passkey(2), prf(2)));
    owner.prove_recovery();
    let (paper, synced) = (owner.slot(0), owner.slot(2));
    let mut without = |slot| {
        let made = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &slot));
        made.unwrap().unlocked
    };
    let (left, right) = (without(paper), without(synced));
    let outcome = owner.change(|_, rng, act| left.merge_fork(&right, rng, act));
    assert_eq!(outcome.unwrap_err(), ChangeError::OnlyExtraWays);
}

#[test]
fn a_planned_removal_is_told_to_owner_and_devices_and_can_be_undone() {
    let mut owner = Owner::new(87);
    let device = owner.credential.device();
    let before = owner.unlocked.writer_credentials(&device).unwrap();
    assert_eq!(
        (owner.unlocked.removal_due_ms(), before.removal_due_ms),
        (None, None)
    );
    let outcome = owner.change(Unlocked::cancel_removal);
    assert_eq!(outcome.unwrap_err(), ChangeError::NoRemovalPlanned);

    owner.go(Unlocked::plan_removal);
    let due_ms = NOW + 1 + REMOVAL_DELAY_MS;
    let opened = open(&owner.bytes, &owner.secret()).unwrap();
    assert_eq!(opened.removal_due_ms(), Some(due_ms));
    assert_eq!(opened.status(NOW), Status::Ending { due_ms });
    assert_eq!(last_kind(&owner), EventKind::RemovalPlanned);
    let told = owner
        .locked()
        .open_device_slot(&owner.credential, &before)
        .unwrap();
    assert_eq!(told.removal_due_ms, Some(due_ms));
    let stored = told.expose_bytes_for_test();
    let read = crate::WriterCredentials::from_bytes(&stored).unwrap();
    assert_eq!(read.removal_due_ms, Some(due_ms));
    let outcome = owner.change(Unlocked::plan_removal);
    assert_eq!(outcome.unwrap_err(), ChangeError::RemovalPlanned);

    owner.go(Unlocked::cancel_removal);
    let told = owner
        .locked()
        .open_device_slot(&owner.credential, &told)
        .unwrap();
    assert_eq!(
        (told.removal_due_ms, owner.unlocked.removal_due_ms()),
        (None, None)
    );
    assert_eq!(last_kind(&owner), EventKind::RemovalCancelled);
}

#[test]
fn a_planned_removal_does_not_show_in_the_length_of_anything() {
    let mut owner = Owner::new(88);
    let clear_bytes = |owner: &Owner| {
        let bytes = owner.bytes[10..14].try_into().unwrap();
        u32::from_be_bytes(bytes)
    };
    owner.go(Unlocked::record_seen);
    let before = clear_bytes(&owner);
    owner.go(Unlocked::plan_removal);
    assert_eq!(clear_bytes(&owner), before);
}

#[test]
fn a_removal_is_cancelled_by_either_side_of_a_fork_and_the_later_plan_counts() {
    let mut owner = Owner::new(89);
    owner.prove_recovery();
    owner.go(Unlocked::plan_removal);
    let first_due = owner.unlocked.removal_due_ms();
    let cancelled = owner.change(Unlocked::cancel_removal).unwrap().unlocked;
    let kept = owner.change(Unlocked::rotate).unwrap().unlocked;
    let both = [(&cancelled, &kept), (&kept, &cancelled)];
    for (a, b) in both {
        let merged = owner
            .change(|_, rng, act| a.merge_fork(b, rng, act))
            .unwrap();
        assert_eq!(merged.unlocked.removal_due_ms(), None);
    }
    let mut later = Act {
        now_ms: NOW + 9,
        ..owner.act()
    };
    let fresh = cancelled
        .plan_removal(&mut owner.rng, later)
        .unwrap()
        .unlocked;
    later.now_ms += 1;
    let other = cancelled.rotate(&mut owner.rng, later).unwrap().unlocked;
    let merged = owner
        .change(|_, rng, act| other.merge_fork(&fresh, rng, act))
        .unwrap();
    assert_eq!(merged.unlocked.removal_due_ms(), fresh.removal_due_ms());
    assert_ne!(fresh.removal_due_ms(), first_due);
}

#[test]
fn after_a_merge_a_new_name_stays_whichever_side_gave_it() {
    let mut owner = Owner::new(90);
    owner.prove_recovery();
    let (slot, device) = (owner.slot(0), owner.credential.device());
    let named = owner.change(|unlocked, rng, act| unlocked.rename_slot(rng, act, &slot, "left"));
    let mut left = named.unwrap().unlocked;
    let act = owner.act();
    left = left
        .rename_device(&mut owner.rng, act, &device, "left laptop")
        .unwrap()
        .unlocked;
    let right = owner.change(Unlocked::rotate).unwrap().unlocked;
    for (a, b) in [(&left, &right), (&right, &left)] {
        let merged = owner
            .change(|_, rng, act| a.merge_fork(b, rng, act))
            .unwrap()
            .unlocked;
        assert_eq!(merged.slots()[0].name, "left");
        assert_eq!(merged.devices()[0].name, "left laptop");
    }
    let mut act = owner.act();
    act.now_ms += 1;
    let named = owner
        .unlocked
        .rename_slot(&mut owner.rng, act, &slot, "right");
    let right = named.unwrap().unlocked;
    let merged = owner
        .change(|_, rng, act| left.merge_fork(&right, rng, act))
        .unwrap();
    assert_eq!(merged.unlocked.slots()[0].name, "left");
}

#[test]
fn no_change_makes_a_keyring_that_is_too_long_to_be_read() {
    let mut owner = Owner::new(91);
    let device = owner.credential.device();
    let mut contents = owner.unlocked.contents.duplicate();
    for at in 0..32_760_i64 {
        contents.happen(crate::events::Happening {
            time_ms: NOW + at,
            device,
            kind: EventKind::SlotProven,
            subject: vec![1; 32],
        });
    }
    owner.unlocked.contents = contents;
    let refusal = owner.change(Unlocked::rotate).map(drop).unwrap_err();
    let limit = 4 * 1024 * 1024;
    assert_eq!(
        refusal,
        ChangeError::TooMany {
            what: "bytes",
            limit
        }
    );
}
