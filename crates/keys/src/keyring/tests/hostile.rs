//! A store, or a device of the owner's own that has turned, against a client that knows better.

use super::*;
use crate::proto;
use crate::{EventKind, Freshness, log_extends, verify_successor};

fn parts(bytes: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let header = usize::try_from(u32::from_be_bytes(bytes[10..14].try_into().unwrap())).unwrap();
    let (clear, rest) = bytes.split_at(14 + header);
    let (sealed, macs) = rest.split_at(rest.len() - 32);
    (clear, sealed, macs)
}

#[test]
fn parts_of_two_keyrings_of_one_backup_make_no_third() {
    let mut owner = Owner::new(100);
    owner.go(Unlocked::record_seen);
    let one = owner.bytes.clone();
    owner.go(Unlocked::record_seen);
    let two = owner.bytes.clone();
    let (one, two) = (parts(&one), parts(&two));
    let mut refused = 0;
    for mix in 0..8_u8 {
        let from = |bit: u8| if mix & bit == 0 { one } else { two };
        let bytes = [from(1).0, from(2).1, from(4).2].concat();
        let is_open =
            LockedKeyring::parse(&bytes).is_ok_and(|locked| locked.unlock(&owner.secret()).is_ok());
        assert_eq!(is_open, mix == 0 || mix == 7, "mix {mix}");
        refused += u32::from(!is_open);
    }
    assert_eq!(refused, 6);
}

/// The keyring's bytes with other device slots.
fn with_devices(bytes: &[u8], change: impl FnOnce(&mut Vec<proto::DeviceSlot>)) -> LockedKeyring {
    let (clear, sealed, macs) = parts(bytes);
    let mut header: proto::Header = proto::decode(&clear[14..]).unwrap();
    change(&mut header.devices);
    let header = proto::encode(&header);
    let len = u32::try_from(header.len()).unwrap().to_be_bytes();
    let bytes = [&clear[..10], &len, &header, sealed, macs].concat();
    LockedKeyring::parse(&bytes).unwrap()
}

fn devices(bytes: &[u8]) -> Vec<proto::DeviceSlot> {
    let header: proto::Header = proto::decode(&parts(bytes).0[14..]).unwrap();
    header.devices
}

#[test]
fn a_store_cannot_keep_a_planned_removal_from_a_device_that_reads_the_newest_keyring() {
    let mut owner = Owner::new(101);
    let device = owner.credential.device();
    let held = owner.unlocked.writer_credentials(&device).unwrap();
    let before = devices(&owner.bytes);
    owner.go(Unlocked::plan_removal);
    let old_slot = with_devices(&owner.bytes, |slots| *slots = before.clone());
    let old_sealed = with_devices(&owner.bytes, |slots| {
        slots[0].sealed.clone_from(&before[0].sealed);
    });
    let old_proofs = with_devices(&owner.bytes, |slots| {
        slots[0].proofs.clone_from(&before[0].proofs);
    });
    let cut = with_devices(&owner.bytes, |slots| slots[0].sealed.truncate(2448));
    for (what, forged) in [
        ("slot", old_slot),
        ("sealed", old_sealed),
        ("proofs", old_proofs),
        ("an early slot's length", cut),
    ] {
        let outcome = forged.open_device_slot(&owner.credential, &held);
        assert_eq!(outcome.unwrap_err(), OpenError::NotAuthentic, "{what}");
    }
    let dropped = with_devices(&owner.bytes, Vec::clear);
    let outcome = dropped.open_device_slot(&owner.credential, &held);
    assert_eq!(outcome.unwrap_err(), OpenError::NoMatchingSlot);
    // Once it has seen the plan, the keyring before it is an older one.
    let told = owner
        .locked()
        .open_device_slot(&owner.credential, &held)
        .unwrap();
    let first = Owner::new(101).locked();
    let outcome = first.open_device_slot(&owner.credential, &told);
    assert_eq!(
        outcome.unwrap_err(),
        OpenError::Older { number: 1, seen: 2 }
    );
}

#[test]
fn two_devices_slots_cannot_be_swapped() {
    let mut owner = Owner::new(102);
    let (next, tablet) = owner
        .change(|unlocked, rng, _| unlocked.add_device(rng, NOW, "tablet"))
        .unwrap();
    owner.take(next);
    let held = [owner.credential.device(), tablet.device()]
        .map(|device| owner.unlocked.writer_credentials(&device).unwrap());
    owner.go(Unlocked::record_seen);
    let swapped = with_devices(&owner.bytes, |slots| {
        let (one, two) = slots.split_at_mut(1);
        std::mem::swap(&mut one[0].sealed, &mut two[0].sealed);
        std::mem::swap(&mut one[0].proofs, &mut two[0].proofs);
    });
    for (credential, held) in [&owner.credential, &tablet].into_iter().zip(&held) {
        let outcome = swapped.open_device_slot(credential, held);
        assert_eq!(outcome.unwrap_err(), OpenError::NotAuthentic);
    }
    // In another order they open, and the keyring does not.
    let reversed = with_devices(&owner.bytes, |slots| slots.reverse());
    assert!(reversed.open_device_slot(&tablet, &held[1]).is_ok());
    assert_eq!(
        reversed.unlock(&owner.secret()).unwrap_err(),
        OpenError::NotAuthentic
    );
}

/// A device that can unlock tells another story: a keyring in order, whose log is not what it was.
fn rewritten(owner: &mut Owner, change: impl FnOnce(&mut Vec<crate::Event>)) -> Successor {
    let mut contents = owner.unlocked.contents.duplicate();
    let mut events = contents.events.entries().to_vec();
    change(&mut events);
    contents.events = crate::events::EventLog::default();
    for event in events {
        contents.happen(crate::events::Happening {
            time_ms: event.time_ms,
            device: event.device,
            kind: event.kind,
            subject: event.subject,
        });
    }
    let device = owner.credential.device();
    contents.happen(crate::events::Happening {
        time_ms: NOW + 9,
        device,
        kind: EventKind::Seen,
        subject: device.as_bytes().to_vec(),
    });
    let before = [owner.unlocked.predecessor()];
    let made = contents.publish(&mut owner.rng, NOW + 9, &before, None);
    made.unwrap()
}

#[test]
fn a_device_that_rewrites_the_log_is_found_by_who_has_the_earlier_one() {
    type Rewrite = fn(&mut Vec<crate::Event>);
    let rewrites: [(&str, Rewrite); 6] = [
        ("dropped", |events| drop(events.remove(2))),
        ("dropped at the end", |events| drop(events.pop())),
        ("reordered", |events| events.swap(2, 3)),
        ("added between", |events| {
            events.insert(2, events[0].clone());
        }),
        ("another time", |events| events[3].time_ms += 1),
        ("all", Vec::clear),
    ];
    for (what, rewrite) in rewrites {
        let mut owner = Owner::new(103);
        owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
        owner.prove_recovery();
        owner.unlocked = open(&owner.bytes, &owner.secret()).unwrap();
        let Successor { bytes, unlocked: _ } = rewritten(&mut owner, rewrite);
        let locked = LockedKeyring::parse(&bytes).unwrap();
        let opened = locked.unlock(&owner.secret()).unwrap();
        assert_eq!(verify_successor(&owner.unlocked, &locked), Ok(()), "{what}");
        assert!(!log_extends(&owner.unlocked, &opened), "{what}");
    }
    let mut owner = Owner::new(103);
    owner.go(Unlocked::record_seen);
    let honest = rewritten(&mut owner, |_| ());
    assert!(log_extends(&owner.unlocked, &honest.unlocked));
    assert!(!log_extends(&honest.unlocked, &owner.unlocked));
}

#[test]
fn each_side_of_a_merged_fork_finds_its_own_log_in_it() {
    let mut owner = Owner::new(104);
    let left = owner.change(Unlocked::rotate).unwrap().unlocked;
    let mut act = owner.act();
    act.now_ms += 5;
    let right = owner.unlocked.rotate(&mut owner.rng, act).unwrap().unlocked;
    let merged = owner
        .change(|_, rng, act| left.merge_fork(&right, rng, act))
        .unwrap();
    for side in [&left, &right, &owner.unlocked] {
        assert!(log_extends(side, &merged.unlocked));
    }
    assert!(!log_extends(&left, &right));
}

#[test]
fn a_whole_store_that_was_rolled_back_is_older_however_much_of_it_there_is() {
    let mut owner = Owner::new(105);
    let mut all = vec![owner.locked()];
    for _ in 0..4 {
        owner.go(Unlocked::rotate);
        all.push(owner.locked());
    }
    let seen = owner.unlocked.seen();
    for count in 1..all.len() {
        let newest = &all[count - 1];
        assert_eq!(
            seen.compare_through(newest, &all[..count]),
            Freshness::Older
        );
    }
    // And with one in the middle missing it is not known to follow.
    let first = Owner::new(105).unlocked.seen();
    assert_eq!(first.compare_through(&all[4], &all), Freshness::Newer);
    all.remove(2);
    assert_eq!(first.compare_through(&all[3], &all), Freshness::Forked);
}
