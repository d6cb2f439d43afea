//! What a store, or somebody who was shut out, can do to a keyring's bytes.

use super::*;
use crate::committed::{Closed, Info, sha256};
use crate::ids::KeyringHash;
use crate::kem::KeyPair;
use crate::keyring::contents::{Predecessor, Slot};
use crate::proto;
use crate::root::{Epoch, RootKey};
use crate::{NotASuccessor, verify_successor};

/// A keyring with two ways in and some history.
fn lived_in(seed: u64) -> Owner {
    let mut owner = Owner::new(seed);
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    owner.go(Unlocked::rotate);
    owner
}

#[test]
fn any_flipped_bit_is_refused() {
    let owner = lived_in(20);
    let secret = owner.secret();
    for at in 0..owner.bytes.len() {
        let mut bad = owner.bytes.clone();
        bad[at] ^= 1 << (at % 8);
        let opened = LockedKeyring::parse(&bad).map(|keyring| keyring.unlock(&secret).is_ok());
        assert!(!opened.unwrap_or(false), "byte {at} of {}", bad.len());
    }
}

#[test]
fn any_missing_or_added_end_is_refused() {
    let owner = Owner::new(21);
    let secret = owner.secret();
    let is_open = |bytes: &[u8]| {
        LockedKeyring::parse(bytes).is_ok_and(|keyring| keyring.unlock(&secret).is_ok())
    };
    assert!(is_open(&owner.bytes));
    assert!((0..owner.bytes.len()).all(|len| !is_open(&owner.bytes[..len])));
    assert!(!is_open(&[owner.bytes.as_slice(), &[0]].concat()));
}

#[test]
fn a_newer_version_is_named_and_not_guessed_at() {
    let mut bytes = Owner::new(22).bytes;
    bytes[9] = 2;
    assert_eq!(
        LockedKeyring::parse(&bytes).unwrap_err(),
        KeyringError::TooNew { version: 2 }
    );
    assert_eq!(
        LockedKeyring::parse(&bytes[..10]).unwrap_err(),
        KeyringError::TooNew { version: 2 }
    );
    bytes[9] = 0;
    assert!(matches!(
        LockedKeyring::parse(&bytes),
        Err(KeyringError::Malformed { .. })
    ));
    assert_eq!(
        LockedKeyring::parse(b"PK\x03\x04").unwrap_err(),
        KeyringError::NotAKeyring
    );
    assert_eq!(
        LockedKeyring::parse(b"").unwrap_err(),
        KeyringError::NotAKeyring
    );
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let mut bytes = Owner::new(23).bytes;
    bytes[10..14].copy_from_slice(&u32::MAX.to_be_bytes());
    assert!(matches!(
        LockedKeyring::parse(&bytes),
        Err(KeyringError::Malformed { .. })
    ));
    let huge = [&Owner::new(23).bytes[..10], &vec![0; 17 << 20]].concat();
    assert!(matches!(
        LockedKeyring::parse(&huge),
        Err(KeyringError::TooLarge { .. })
    ));
}

/// Puts another header before the sealed part and the MACs.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut proto::Header)) -> Vec<u8> {
    let len = usize::try_from(u32::from_be_bytes(bytes[10..14].try_into().unwrap())).unwrap();
    let mut header: proto::Header = proto::decode(&bytes[14..14 + len]).unwrap();
    change(&mut header);
    let header = proto::encode(&header);
    let len_bytes = u32::try_from(header.len()).unwrap().to_be_bytes();
    [&bytes[..10], &len_bytes, &header, &bytes[14 + len..]].concat()
}

type Change<'a> = Box<dyn FnOnce(&mut proto::Header) + 'a>;

#[test]
fn slots_that_were_swapped_dropped_added_or_reordered_are_found() {
    let owner = lived_in(24);
    let other = lived_in(25);
    let (secret, foreign) = (owner.secret(), other.locked());
    let changes: [(&str, Change<'_>); 9] = [
        ("dropped", Box::new(|header| drop(header.slots.pop()))),
        ("reordered", Box::new(|header| header.slots.reverse())),
        (
            "added",
            Box::new(|header| {
                header
                    .slots
                    .push(foreign.slots[0].to_proto(foreign.sealed_roots[0].clone()));
            }),
        ),
        (
            "replaced",
            Box::new(|header| {
                header.slots[1] = foreign.slots[1].to_proto(foreign.sealed_roots[1].clone());
            }),
        ),
        (
            "roots swapped",
            Box::new(|header| {
                let root = header.slots[0].sealed_root.clone();
                header.slots[0].sealed_root =
                    std::mem::replace(&mut header.slots[1].sealed_root, root);
            }),
        ),
        (
            "transports",
            Box::new(|header| header.slots[1].passkey.as_mut().unwrap().transports.clear()),
        ),
        ("device dropped", Box::new(|header| header.devices.clear())),
        (
            "PRF input",
            Box::new(|header| header.prf_input = vec![7; 32]),
        ),
        ("number", Box::new(|header| header.number += 1)),
    ];
    assert!(open(&with_header(&owner.bytes, |_| ()), &secret).is_ok());
    for (what, change) in changes {
        assert_eq!(
            open(&with_header(&owner.bytes, change), &secret).unwrap_err(),
            OpenError::NotAuthentic,
            "{what}"
        );
    }
    let twice = with_header(&owner.bytes, |header| {
        let slot = &header.slots[0];
        header.slots.push(proto::PublicSlot {
            id: slot.id.clone(),
            ..slot.clone()
        });
    });
    assert!(LockedKeyring::parse(&twice).is_err());
}

#[test]
fn bytes_that_are_not_canonical_are_refused() {
    let owner = Owner::new(26);
    let len = usize::try_from(u32::from_be_bytes(owner.bytes[10..14].try_into().unwrap())).unwrap();
    let header = &owner.bytes[14..14 + len];
    // An unknown field, and a default that is written out.
    for more in [&[0x78, 0x01][..], &[0x7a, 0x00], &[0x20, 0x01]] {
        let header = [header, more].concat();
        let len_bytes = u32::try_from(header.len()).unwrap().to_be_bytes();
        let bytes = [
            &owner.bytes[..10],
            &len_bytes,
            &header,
            &owner.bytes[14 + len..],
        ]
        .concat();
        assert_eq!(
            LockedKeyring::parse(&bytes).unwrap_err(),
            KeyringError::Malformed { what: "header" }
        );
    }
}

/// Who knows every public byte, and no secret: their best keyring number n+1.
fn forged(owner: &Owner, replace: impl Fn(&mut Slot)) -> Vec<u8> {
    let rng = &mut TestRng::new(666);
    let mut contents = owner.unlocked.contents.duplicate();
    contents.epochs = vec![Epoch {
        number: contents.current().number,
        root: RootKey::generate(rng),
    }];
    contents.events = crate::events::EventLog::default();
    contents.slots.iter_mut().for_each(replace);
    let before = owner.unlocked.predecessor();
    let succession = contents.current().succession(&contents.repository);
    let previous = Predecessor {
        hash: before.hash,
        number: before.number,
        succession,
    };
    contents.publish(rng, NOW, &[previous], None).unwrap().bytes
}

#[test]
fn a_store_that_knows_every_public_byte_cannot_make_a_keyring_that_opens() {
    let owner = lived_in(27);
    let stranger = |slot: &mut Slot| {
        let rng = &mut TestRng::new(667);
        slot.key = KeyPair::generate(rng).public().clone();
        slot.auth_psk = Secret32::generate(rng);
    };
    let only_key = |slot: &mut Slot| slot.auth_psk = Secret32::generate(&mut TestRng::new(668));
    let only_psk =
        |slot: &mut Slot| slot.key = KeyPair::generate(&mut TestRng::new(669)).public().clone();
    for bytes in [
        forged(&owner, stranger),
        forged(&owner, only_key),
        forged(&owner, only_psk),
    ] {
        assert_eq!(
            open(&bytes, &owner.secret()).unwrap_err(),
            OpenError::NotAuthentic
        );
        let secret = UnlockSecret::passkey(passkey(1), prf(1));
        assert_eq!(open(&bytes, &secret).unwrap_err(), OpenError::NotAuthentic);
    }
    // The same with both would open: so it is these two secrets that refuse it.
    assert!(open(&forged(&owner, |_| ()), &owner.secret()).is_ok());
}

#[test]
fn who_was_shut_out_cannot_follow_a_keyring_that_they_cannot_open() {
    let mut owner = lived_in(28);
    owner.prove_recovery();
    // They knew everything of this one.
    let known = owner.unlocked.contents.duplicate();
    let passkey_slot = owner.slot(1);
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &passkey_slot));
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
    assert_eq!(
        verify_successor(&owner.unlocked, &forged).unwrap_err(),
        NotASuccessor::BadProof
    );
}

#[test]
fn a_wrong_succession_mac_is_refused_at_the_unlock_too() {
    let owner = lived_in(29);
    let mut bytes = owner.bytes.clone();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        open(&bytes, &owner.secret()).unwrap_err(),
        OpenError::NotAuthentic
    );
}

#[test]
fn events_that_were_dropped_added_moved_or_altered_are_found() {
    let owner = lived_in(30);
    let (locked, contents) = (owner.locked(), &owner.unlocked.contents);
    let events = contents.events.to_proto();
    let is_read = |events: Vec<proto::Event>| {
        crate::events::EventLog::from_proto(events, &contents.repository, &contents.epochs)
            .is_some()
    };
    assert!(is_read(events.clone()) && locked.number() == 3 && events.len() == 5);
    for index in 0..events.len() {
        // The newest alone can be cut off: that is what `Seen::events` and the hash are for.
        if index + 1 < events.len() {
            let mut dropped = events.clone();
            dropped.remove(index);
            assert!(!is_read(dropped));
            let mut swapped = events.clone();
            swapped.swap(index, index + 1);
            assert!(!is_read(swapped));
        }
        let mut doubled = events.clone();
        doubled.insert(index, events[index].clone());
        assert!(!is_read(doubled));
        let alter: [fn(&mut proto::Event); 8] = [
            |event| event.seq += 1,
            |event| event.time_ms += 1,
            |event| event.device[0] ^= 1,
            |event| event.epoch ^= 3,
            |event| event.kind = event.kind % 13 + 1,
            |event| event.subject.push(0),
            |event| event.previous[0] ^= 1,
            |event| event.mac[31] ^= 1,
        ];
        for alter in alter {
            let mut altered = events.clone();
            alter(&mut altered[index]);
            assert!(!is_read(altered));
        }
    }
}

#[test]
fn a_sealed_part_that_contradicts_the_clear_part_is_refused() {
    let owner = lived_in(31);
    let locked = owner.locked();
    let contents = &owner.unlocked.contents;
    let sealed = contents.opened_sealed(&locked).unwrap();
    let is_read = |change: &dyn Fn(&mut proto::Sealed)| {
        let mut message: proto::Sealed = proto::decode(&sealed).unwrap();
        change(&mut message);
        Contents::from_sealed(
            &locked,
            contents.current().root.duplicate(),
            &proto::encode(&message),
        )
        .is_some()
    };
    assert!(is_read(&|_| ()));
    assert!(!is_read(&|message| drop(message.slots.pop())));
    assert!(!is_read(&|message| message.slots.reverse()));
    assert!(!is_read(&|message| message.slots[0].name = "x".repeat(257)));
    assert!(!is_read(&|message| message.slots[0].aaguid = vec![0; 16]));
    assert!(!is_read(&|message| message.slots[1].aaguid.clear()));
    assert!(!is_read(&|message| message.devices.clear()));
    assert!(!is_read(&|message| message.devices[0].revoked_ms = Some(1)));
    assert!(!is_read(&|message| message.devices[0].revoked_epoch = 1));
    assert!(!is_read(&|message| message.older[0].number = 2));
    assert!(!is_read(&|message| message.older[0].root.clear()));
    assert!(!is_read(&|message| message.older.clear()));
    assert!(!is_read(&|message| message.witness.push(0)));
    assert!(!is_read(&|message| message.retired.push(vec![0; 31])));
    assert!(!is_read(
        &|message| message.retired = vec![vec![1; 32], vec![0; 32]]
    ));
    assert!(!is_read(&|message| message.chunk_id_key.clear()));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn any_change_to_an_opened_sealed_part_is_answered(at: proptest::sample::Index, with: u8, cut: proptest::sample::Index) {
        // Only who knows the root can get here; it must not panic all the same.
        let owner = lived_in(33);
        let (locked, contents) = (owner.locked(), &owner.unlocked.contents);
        let mut sealed = contents.opened_sealed(&locked).unwrap().to_vec();
        let at = at.index(sealed.len());
        sealed[at] = with;
        let root = || contents.current().root.duplicate();
        let _ = Contents::from_sealed(&locked, root(), &sealed);
        sealed.truncate(cut.index(sealed.len()));
        let _ = Contents::from_sealed(&locked, root(), &sealed);
    }

    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>, keep in 0..20_usize) {
        let start = &Owner::new(34).bytes[..keep];
        if let Ok(keyring) = LockedKeyring::parse(&[start, &bytes].concat()) {
            let _ = keyring.unlock(&Owner::new(34).secret());
        }
    }
}

impl Contents {
    fn opened_sealed(&self, locked: &LockedKeyring) -> Result<zeroize::Zeroizing<Vec<u8>>, Closed> {
        let info: Info = locked.sealed_info();
        crate::committed::open(
            &locked.sealed_salt,
            self.current().root.exposed(),
            &info,
            &locked.sealed,
        )
    }
}

#[test]
fn a_keyring_is_named_by_the_hash_of_all_its_bytes() {
    let owner = Owner::new(32);
    assert_eq!(
        owner.locked().hash(),
        KeyringHash::from_bytes(sha256(&owner.bytes))
    );
}
