//! A keyring opens for its owners and for nobody else, whatever is done to its bytes.

mod admission;
mod change;
mod device;
mod forge;
mod hostile;
mod life;
mod passkey;
mod vectors;
mod walk;

use super::*;
use crate::ids::SlotId;
use crate::prf::PrfOutput;
use crate::secret::HighEntropySecret;
use crate::slot::{Passkey, UnlockSecret};
use crate::status::{Provider, Status};
use crate::testing::TestRng;

pub(super) const NOW: i64 = 1_790_000_000_000;

/// A repository with one recovery key and one device, as its owner would hold it.
pub(super) struct Owner {
    pub(super) rng: TestRng,
    pub(super) recovery: RecoveryKey,
    pub(super) bytes: Vec<u8>,
    pub(super) unlocked: Unlocked,
    pub(super) credential: DeviceCredential,
}

impl Owner {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = TestRng::new(seed);
        let recovery = RecoveryKey::generate(&mut rng);
        let params = CreateParams {
            device_name: "laptop",
            recovery: &recovery,
            recovery_name: "in the safe",
        };
        let (bytes, unlocked, credential) = Keyring::create(&mut rng, NOW, &params).unwrap();
        Self {
            rng,
            recovery,
            bytes,
            unlocked,
            credential,
        }
    }

    pub(super) fn act(&self) -> Act {
        Act {
            device: self.credential.device(),
            now_ms: NOW + 1,
        }
    }

    pub(super) fn secret(&self) -> UnlockSecret {
        UnlockSecret::recovery_key(&self.recovery)
    }

    /// Goes on with what a change gave.
    pub(super) fn take(&mut self, successor: Successor) {
        let Successor { bytes, unlocked } = successor;
        (self.bytes, self.unlocked) = (bytes, unlocked);
    }

    pub(super) fn locked(&self) -> LockedKeyring {
        LockedKeyring::parse(&self.bytes).unwrap()
    }
}

pub(super) fn passkey(id: u8) -> Passkey {
    Passkey {
        credential_id: vec![id; 16],
        rp_id: "chat.example".into(),
        transports: vec!["internal".into()],
    }
}

pub(super) fn prf(id: u8) -> HighEntropySecret {
    PrfOutput::filled(|bytes| bytes.fill(id))
        .try_into()
        .unwrap()
}

pub(super) fn passkey_slot(id: u8, secret: &HighEntropySecret) -> NewSlot<'_> {
    let provider = Some(Provider {
        aaguid: [id; 16],
        backup_eligible: true,
        backup_state: true,
    });
    NewSlot {
        name: "phone",
        method: Method::Passkey(passkey(id)),
        provider,
        secret,
    }
}

pub(super) fn open(bytes: &[u8], secret: &UnlockSecret) -> Result<Unlocked, OpenError> {
    LockedKeyring::parse(bytes).unwrap().unlock(secret)
}

#[test]
fn what_was_made_opens_with_its_recovery_key_and_says_the_same() {
    let owner = Owner::new(1);
    let opened = open(&owner.bytes, &owner.secret()).unwrap();
    assert_eq!(opened.seen(), owner.unlocked.seen());
    assert_eq!(opened.slots(), owner.unlocked.slots());
    assert_eq!(opened.devices(), owner.unlocked.devices());
    assert_eq!(opened.events(), owner.unlocked.events());
    assert_eq!(opened.reader_public(), owner.unlocked.reader_public());
    assert_eq!(
        opened.chunk_id_key().expose_secret(),
        owner.unlocked.chunk_id_key().expose_secret()
    );
    assert_eq!(opened.slots()[0].name, "in the safe");
    assert_eq!(
        (opened.made_ms(), opened.opened_with()),
        (NOW, Some(opened.slots()[0].id))
    );
}

#[test]
fn what_the_systems_random_source_makes_opens() {
    let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
    let recovery = RecoveryKey::generate(rng);
    let params = CreateParams {
        device_name: "laptop",
        recovery: &recovery,
        recovery_name: "",
    };
    let (bytes, unlocked, _) = Keyring::create(rng, NOW, &params).unwrap();
    let opened = open(&bytes, &UnlockSecret::recovery_key(&recovery)).unwrap();
    assert_eq!(opened.seen(), unlocked.seen());
    let (other, ..) = Keyring::create(rng, NOW, &params).unwrap();
    assert_ne!(
        LockedKeyring::parse(&other).unwrap().repository(),
        unlocked.repository()
    );
}

#[test]
fn another_recovery_key_opens_nothing() {
    let owner = Owner::new(2);
    let other = UnlockSecret::recovery_key(&RecoveryKey::generate(&mut TestRng::new(99)));
    assert_eq!(
        open(&owner.bytes, &other).unwrap_err(),
        OpenError::WrongRecoveryKey
    );
}

#[test]
fn foreign_slots_are_skipped() {
    let mut owner = Owner::new(3);
    let secret = UnlockSecret::passkey(passkey(1), prf(1));
    assert_eq!(
        open(&owner.bytes, &secret).unwrap_err(),
        OpenError::NoMatchingSlot
    );
    for id in [1, 2] {
        owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(id, &prf(id))));
    }
    assert!(open(&owner.bytes, &owner.secret()).is_ok());
    assert!(open(&owner.bytes, &UnlockSecret::passkey(passkey(2), prf(2))).is_ok());
    // Ours, and another secret than before.
    assert_eq!(
        open(&owner.bytes, &UnlockSecret::passkey(passkey(2), prf(1))).unwrap_err(),
        OpenError::WrongSecret
    );
}

#[test]
fn two_wrong_groups_open_nothing_even_where_they_look_mended() {
    let owner = Owner::new(4);
    let groups = owner.recovery.expose_groups();
    let text = secrecy::ExposeSecret::expose_secret(&groups).replace(' ', "");
    let digits: [u16; 16] =
        std::array::from_fn(|at| u16::from_str_radix(&text[at * 4..at * 4 + 4], 16).unwrap());
    let mut looked_mended = 0;
    for difference in 1..=u16::MAX {
        let mut typed = digits;
        typed[2] ^= 0x1111;
        typed[9] ^= difference;
        let typed = typed.map(|group| format!("{group:04x}")).concat();
        match RecoveryKey::parse(&typed) {
            crate::RecoveryEntry::TooManyWrong => {}
            crate::RecoveryEntry::MendedCandidate { key, .. } => {
                looked_mended += 1;
                assert!(open(&owner.bytes, &UnlockSecret::recovery_key(&key)).is_err());
            }
            other => panic!("{other:?}"),
        }
    }
    assert!((1..100).contains(&looked_mended), "{looked_mended}");
}

#[test]
fn a_mended_key_opens_its_slot() {
    let owner = Owner::new(5);
    let groups = owner.recovery.expose_groups();
    let text = secrecy::ExposeSecret::expose_secret(&groups);
    let typed = format!("{}ffff", &text[..text.len() - 4]);
    let crate::RecoveryEntry::MendedCandidate { group: 16, key } = RecoveryKey::parse(&typed)
    else {
        panic!()
    };
    assert!(open(&owner.bytes, &UnlockSecret::recovery_key(&key)).is_ok());
}

#[test]
fn debug_shows_no_secret() {
    let owner = Owner::new(6);
    let shown = format!(
        "{:?} {:?} {:?}",
        owner.unlocked,
        owner.credential,
        owner.secret()
    );
    let root = owner.unlocked.contents.current().root.exposed();
    assert!(shown.contains("REDACTED"));
    assert!(!shown.contains(&format!("{:?}", &root[..4]).replace(['[', ']'], "")));
}

#[test]
fn a_run_key_opens_with_the_keyring_of_its_own_repository_only() {
    let (mut owner, other) = (Owner::new(7), Owner::new(8));
    let run_key = crate::RunKey::generate(&mut owner.rng);
    let sealed = crate::seal_run_key(
        &owner.unlocked.reader_public(),
        &run_key,
        &mut owner.rng,
        &owner.unlocked.repository(),
    );
    assert_eq!(
        owner
            .unlocked
            .open_run_key(&sealed)
            .unwrap()
            .expose_secret(),
        run_key.expose_secret()
    );
    assert_eq!(
        other.unlocked.open_run_key(&sealed).unwrap_err(),
        crate::RunKeyError::Damaged
    );
    for at in 0..sealed.len() {
        let mut bad = sealed;
        bad[at] ^= 4;
        assert!(owner.unlocked.open_run_key(&bad).is_err(), "byte {at}");
    }
    assert!(
        owner
            .unlocked
            .open_run_key(&sealed[..sealed.len() - 1])
            .is_err()
    );
    assert!(owner.unlocked.open_run_key(&[]).is_err());
}

#[test]
fn a_repository_is_protected_once_two_ways_were_proven() {
    let mut owner = Owner::new(9);
    assert_eq!(
        owner.unlocked.status(NOW),
        Status::AlmostProtected { proven: 0 }
    );
    // Making a key proves nothing.
    assert_eq!(
        owner.change(Unlocked::record_proof).unwrap_err(),
        ChangeError::NothingProven
    );
    owner.unlocked = open(&owner.bytes, &owner.secret()).unwrap();
    owner.go(Unlocked::record_proof);
    assert_eq!(
        owner.unlocked.status(NOW),
        Status::AlmostProtected { proven: 1 }
    );
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    owner.unlocked = open(&owner.bytes, &UnlockSecret::passkey(passkey(1), prf(1))).unwrap();
    owner.go(Unlocked::record_proof);
    assert_eq!(
        open(&owner.bytes, &owner.secret()).unwrap().status(NOW),
        Status::Protected
    );
    let years = 2 * 365 * 24 * 3600 * 1000;
    assert_eq!(owner.unlocked.status(NOW + years), Status::CheckDue);
}

impl Owner {
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Unlocked, &mut TestRng, Act) -> T,
    ) -> T {
        let act = self.act();
        change(&self.unlocked, &mut self.rng, act)
    }

    /// Makes a change and goes on with what it gave.
    pub(super) fn go(
        &mut self,
        change: impl FnOnce(&Unlocked, &mut TestRng, Act) -> Result<Successor, ChangeError>,
    ) {
        let successor = self.change(change).unwrap();
        self.take(successor);
    }

    /// Proves a way in as its owner would: opens what was stored, and records it.
    pub(super) fn prove(&mut self, secret: &UnlockSecret) {
        self.unlocked = open(&self.bytes, secret).unwrap();
        self.go(Unlocked::record_proof);
    }

    pub(super) fn prove_recovery(&mut self) {
        self.prove(&self.secret());
    }

    pub(super) fn slot(&self, index: usize) -> SlotId {
        self.unlocked.slots()[index].id
    }
}
