//! A device that was let in with a way in of its own: the vectors of `testdata/vectors/keys/device.json`, and who is refused.

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::vectors::{assert_file, hex, read, unhex};
use super::*;
use crate::proto;
use crate::{Admission, DeviceId, DeviceWay, EventKind};

/// A device of its own, which asks an owner.
struct New {
    credential: DeviceCredential,
    way: DeviceWay,
}

impl New {
    fn of(owner: &mut Owner) -> Self {
        let credential = DeviceCredential::generate(&mut owner.rng, owner.unlocked.repository());
        let way = DeviceWay::generate(&mut owner.rng, &credential);
        Self { credential, way }
    }

    fn ask(&self, owner: &mut Owner) -> Admission {
        self.way.ask(&mut owner.rng, &self.credential).unwrap()
    }

    /// Asks, and is let in.
    fn enter(&self, owner: &mut Owner) {
        let admission = self.ask(owner);
        owner.go(|unlocked, rng, act| unlocked.admit(rng, act, "phone", &admission));
    }
}

fn let_in(seed: u64) -> (Owner, New) {
    let mut owner = Owner::new(seed);
    owner.prove_recovery();
    let new = New::of(&mut owner);
    new.enter(&mut owner);
    (owner, new)
}

fn happened(owner: &Owner) -> Vec<EventKind> {
    let events = owner.unlocked.events();
    events.iter().map(|event| event.kind).collect()
}

#[test]
fn who_is_let_in_opens_the_backup_adds_to_it_and_is_in_the_log() {
    let (owner, new) = let_in(300);
    let opened = open(&owner.bytes, &new.way.unlock_secret()).unwrap();
    assert_eq!(opened.seen(), owner.unlocked.seen());
    assert_eq!(opened.slots()[1].name, "phone");
    assert_eq!(opened.opened_with(), Some(opened.slots()[1].id));
    let device = new.credential.device();
    assert_eq!(opened.slots()[1].method, Method::Device(device));
    assert_eq!(opened.devices()[1].seen_number, 0, "it has not told yet");
    assert!(opened.writer_credentials(&device).is_some());
    let last = [EventKind::DeviceAdded, EventKind::SlotAdded];
    assert!(happened(&owner).ends_with(&last));
    assert!(
        owner
            .unlocked
            .events()
            .iter()
            .all(|event| event.device == owner.credential.device()),
        "an owner did it"
    );
    // It proves its way as any other is proven, and changes what there is.
    let mut rng = TestRng::new(1);
    let act = Act {
        device,
        now_ms: NOW + 2,
    };
    let proven = opened.record_proof(&mut rng, act).unwrap();
    assert_eq!(proven.unlocked.status(NOW + 2), Status::Protected);
    assert_eq!(proven.unlocked.devices()[1].seen_number, 4);
}

#[test]
fn a_rotation_reaches_it_and_another_devices_secret_opens_nothing() {
    let (mut owner, new) = let_in(301);
    owner.go(Unlocked::rotate);
    open(&owner.bytes, &new.way.unlock_secret()).unwrap();
    let other = New::of(&mut owner);
    let refused = open(&owner.bytes, &other.way.unlock_secret());
    assert_eq!(refused.unwrap_err(), OpenError::NoMatchingSlot);
    // The same device with another secret: as when its file was put back from an old copy.
    let again = DeviceWay::generate(&mut owner.rng, &new.credential);
    let refused = open(&owner.bytes, &again.unlock_secret());
    assert_eq!(refused.unwrap_err(), OpenError::WrongSecret);
}

#[test]
fn a_revoked_device_loses_its_way_in_the_same_keyring() {
    let (mut owner, new) = let_in(302);
    let before = owner.bytes.clone();
    let device = new.credential.device();
    owner.go(|unlocked, rng, act| unlocked.revoke_device(rng, act, &device));
    let refused = open(&owner.bytes, &new.way.unlock_secret());
    assert_eq!(refused.unwrap_err(), OpenError::NoMatchingSlot);
    assert_eq!(owner.unlocked.slots().len(), 1);
    assert!(owner.unlocked.writer_credentials(&device).is_none());
    let last = [EventKind::SlotRemoved, EventKind::DeviceRevoked];
    assert!(happened(&owner).ends_with(&last));
    assert_eq!(owner.unlocked.reader_public().epoch, 2);
    // As with any way in: what lay there before opens to who kept it.
    open(&before, &new.way.unlock_secret()).unwrap();
    // It does not come back under its old name and key.
    let admission = new.ask(&mut owner);
    let refused = owner.change(|unlocked, rng, act| unlocked.admit(rng, act, "phone", &admission));
    assert_eq!(refused.unwrap_err(), ChangeError::UnknownDevice);
}

#[test]
fn a_device_that_is_revoked_is_revoked_also_while_no_way_was_proven() {
    let mut owner = Owner::new(303);
    let new = New::of(&mut owner);
    new.enter(&mut owner);
    let device = new.credential.device();
    owner.go(|unlocked, rng, act| unlocked.revoke_device(rng, act, &device));
    assert_eq!(owner.unlocked.slots().len(), 1);
}

#[test]
fn its_way_goes_without_the_device_and_never_as_the_last_but_it() {
    let (mut owner, new) = let_in(304);
    let (paper, own) = (owner.slot(0), owner.slot(1));
    owner.prove(&new.way.unlock_secret());
    let refused = owner.change(|unlocked, rng, act| unlocked.remove_slot(rng, act, &paper));
    assert_eq!(refused.unwrap_err(), ChangeError::OnlyExtraWays);
    owner.prove_recovery();
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &own));
    let device = new.credential.device();
    assert!(owner.unlocked.writer_credentials(&device).is_some());
    let refused = open(&owner.bytes, &new.way.unlock_secret());
    assert_eq!(refused.unwrap_err(), OpenError::NoMatchingSlot);
    // A device that is enrolled is given a way alone.
    new.enter(&mut owner);
    assert_eq!(owner.unlocked.devices().len(), 2);
    open(&owner.bytes, &new.way.unlock_secret()).unwrap();
}

#[test]
fn who_asks_twice_for_another_backup_or_as_another_device_is_refused() {
    let (mut owner, new) = let_in(305);
    let again = new.ask(&mut owner);
    let mut stranger = Owner::new(306);
    let elsewhere = New::of(&mut stranger).ask(&mut stranger);
    let device = new.credential.device();
    let mut claimed = New::of(&mut owner).ask(&mut owner);
    (claimed.device, claimed.slot) = (device, again.slot.clone());
    for (admission, expected) in [
        (again, ChangeError::AlreadyEnrolled),
        (elsewhere, ChangeError::OtherRepository),
        (claimed, ChangeError::UnknownDevice),
    ] {
        let refused = owner.change(|unlocked, rng, act| unlocked.admit(rng, act, "x", &admission));
        assert_eq!(refused.unwrap_err(), expected);
    }
    assert!(new.way.ask(&mut owner.rng, &stranger.credential).is_none());
}

#[test]
fn both_sides_of_a_fork_may_have_let_it_in_and_either_may_have_revoked_it() {
    let mut owner = Owner::new(307);
    owner.prove_recovery();
    let new = New::of(&mut owner);
    let (one, two) = (new.ask(&mut owner), new.ask(&mut owner));
    let other = owner
        .change(|unlocked, rng, act| unlocked.admit(rng, act, "phone", &one))
        .unwrap();
    owner.go(|unlocked, rng, act| unlocked.admit(rng, act, "phone", &two));
    let before = owner.unlocked.seen();
    owner.go(|unlocked, rng, act| unlocked.merge_fork(&other.unlocked, rng, act));
    assert_eq!(owner.unlocked.seen().number, before.number + 1);
    assert_eq!(owner.unlocked.slots().len(), 2, "one of the two stays");
    open(&owner.bytes, &new.way.unlock_secret()).unwrap();

    // One side revokes the device while the other gives it a way again.
    let (device, own) = (new.credential.device(), owner.slot(1));
    owner.go(|unlocked, rng, act| unlocked.remove_slot(rng, act, &own));
    let revoked = owner
        .change(|unlocked, rng, act| unlocked.revoke_device(rng, act, &device))
        .unwrap();
    new.enter(&mut owner);
    owner.go(|unlocked, rng, act| unlocked.merge_fork(&revoked.unlocked, rng, act));
    assert_eq!(owner.unlocked.slots().len(), 1);
    let refused = open(&owner.bytes, &new.way.unlock_secret());
    assert_eq!(refused.unwrap_err(), OpenError::NoMatchingSlot);
}

#[test]
fn a_slot_of_no_enrolled_device_or_with_more_than_its_device_is_no_keyring() {
    let (owner, _) = let_in(308);
    let header = |change: &dyn Fn(&mut proto::PublicSlot)| {
        let len =
            usize::try_from(u32::from_be_bytes(owner.bytes[10..14].try_into().unwrap())).unwrap();
        let mut header: proto::Header = proto::decode(&owner.bytes[14..14 + len]).unwrap();
        change(&mut header.slots[1]);
        let header = proto::encode(&header);
        let size = u32::try_from(header.len()).unwrap().to_be_bytes();
        let bytes = [&owner.bytes[..10], &size, &header, &owner.bytes[14 + len..]].concat();
        LockedKeyring::parse(&bytes)
    };
    header(&|_| ()).unwrap();
    let malformed = KeyringError::Malformed { what: "header" };
    let changes: [&dyn Fn(&mut proto::PublicSlot); 5] = [
        &|slot| slot.device = vec![9; 16],
        &|slot| slot.device.clear(),
        &|slot| slot.device.truncate(15),
        &|slot| slot.method = 1,
        &|slot| slot.method = 5,
    ];
    for change in changes {
        assert_eq!(header(change).unwrap_err(), malformed);
    }
}

#[test]
fn files_and_requests_are_read_whole_or_not_at_all() {
    let (mut owner, new) = let_in(309);
    let way = new.way.expose_bytes();
    let read = DeviceWay::from_bytes(way.expose_secret()).unwrap();
    assert_eq!(read.device(), new.credential.device());
    open(&owner.bytes, &read.unlock_secret()).unwrap();
    let other = New::of(&mut owner);
    let asked = other.ask(&mut owner).expose_bytes();
    let admission = Admission::from_bytes(asked.expose_secret()).unwrap();
    assert_eq!(
        admission.expose_bytes().expose_secret(),
        asked.expose_secret()
    );
    owner.go(|unlocked, rng, act| unlocked.admit(rng, act, "tablet", &admission));
    open(&owner.bytes, &other.way.unlock_secret()).unwrap();
    let (way, asked) = (way.expose_secret(), asked.expose_secret());
    assert!((0..way.len()).all(|len| DeviceWay::from_bytes(&way[..len]).is_err()));
    assert!((0..asked.len()).all(|len| Admission::from_bytes(&asked[..len]).is_err()));
    for bytes in [way, asked] {
        let longer = [bytes, &[0]].concat();
        assert!(DeviceWay::from_bytes(&longer).is_err() && Admission::from_bytes(&longer).is_err());
    }
    let empty = [&way[..42], &[0; 32]].concat();
    assert!(DeviceWay::from_bytes(&empty).is_err(), "a secret of zeros");
    let shown = format!("{read:?}{admission:?}");
    assert!(!shown.contains(&hex(&way[42..46])), "{shown}");
}

/// Normative: a keyring that a device opens with the secret in its file.
#[test]
fn the_vectors_are_what_is_made_now() {
    let mut owner = Owner::new(0x6465_7669_6365);
    owner.prove_recovery();
    let new = New::of(&mut owner);
    let admission = new.ask(&mut owner);
    let asked = hex(admission.expose_bytes().expose_secret());
    owner.go(|unlocked, rng, act| unlocked.admit(rng, act, "phone", &admission));
    owner.go(Unlocked::rotate);
    let made = json!({
        "bytes": hex(&owner.bytes),
        "repository": hex(owner.unlocked.repository().as_bytes()),
        "device": hex(new.credential.device().as_bytes()),
        "credential": hex(new.credential.expose_bytes().expose_secret()),
        "way": hex(new.way.expose_bytes().expose_secret()),
        "admission": asked,
        "root": hex(owner.unlocked.contents.current().root.exposed()),
    });
    assert_file("device.json", &made);
}

#[test]
fn the_vectors_open_as_anyone_would() {
    let vector: Value = read("device.json");
    let way = DeviceWay::from_bytes(&unhex(&vector["way"])).unwrap();
    let opened = open(&unhex(&vector["bytes"]), &way.unlock_secret()).unwrap();
    assert_eq!(
        opened.contents.current().root.exposed().as_slice(),
        unhex(&vector["root"])
    );
    let id = DeviceId::from_slice(&unhex(&vector["device"])).unwrap();
    assert_eq!(opened.slots()[1].method, Method::Device(id));
}
