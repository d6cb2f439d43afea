//! Computers, secrets and a store, with the model of each keyring beside it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use rand_core::Rng;

use super::model::{DeviceNo, Kind, State, Way, WayNo};
use crate::keyring::tests::*;
use crate::{CredRandom, DeviceWay, ExportKey, Password, RunKey, WriterCredentials, prf_salt};

/// A keyring in the store.
pub(super) struct Node {
    pub(super) state: State,
    pub(super) parents: Vec<usize>,
    /// Itself and all that came before it.
    pub(super) line: BTreeSet<usize>,
    pub(super) bytes: Vec<u8>,
}

/// A slot that was once made.
pub(super) struct Slot {
    pub(super) kind: Kind,
    pub(super) credential: u64,
    pub(super) id: SlotId,
}

/// A computer with what it holds between its runs.
pub(super) struct Computer {
    pub(super) credential: DeviceCredential,
    /// What it would open the backup with, once it is let in.
    pub(super) way: DeviceWay,
    pub(super) held: WriterCredentials,
    /// The newest keyring that it remembers.
    pub(super) node: usize,
    /// The highest number of a keyring that it made, even if it was killed before it remembered it.
    pub(super) made: u64,
}

/// A run that was backed up.
pub(super) struct Run {
    pub(super) epoch: usize,
    pub(super) key: RunKey,
    pub(super) sealed: Vec<u8>,
}

pub(super) struct World {
    pub(super) rng: TestRng,
    pub(super) now_ms: i64,
    pub(super) nodes: Vec<Node>,
    pub(super) locked: Vec<LockedKeyring>,
    pub(super) slots: Vec<Slot>,
    pub(super) computers: Vec<Computer>,
    pub(super) runs: Vec<Run>,
    pub(super) credentials: u64,
    pub(super) epochs: usize,
    /// How many ways in there may be at once.
    pub(super) room: usize,
    prf_input: [u8; 32],
    opened: RefCell<HashMap<(usize, u64), Rc<Unlocked>>>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = TestRng::new(seed);
        let recovery = paper(0);
        let params = CreateParams {
            device_name: "laptop",
            recovery: &recovery,
            recovery_name: "0",
        };
        let (bytes, unlocked, credential) = Keyring::create(&mut rng, NOW, &params).unwrap();
        let way = Way {
            kind: Kind::Paper,
            credential: 0,
            name: "0".into(),
            proofs: 0,
            proven_ms: None,
        };
        let slot = Slot {
            kind: Kind::Paper,
            credential: 0,
            id: unlocked.slots()[0].id,
        };
        let held = unlocked.writer_credentials(&credential.device()).unwrap();
        let way_of_its_own = DeviceWay::generate(&mut rng, &credential);
        Self {
            rng,
            now_ms: NOW,
            locked: vec![LockedKeyring::parse(&bytes).unwrap()],
            nodes: vec![Node {
                state: State::first(NOW, way, "laptop"),
                parents: vec![],
                line: [0].into(),
                bytes,
            }],
            slots: vec![slot],
            computers: vec![Computer {
                credential,
                way: way_of_its_own,
                held,
                node: 0,
                made: 1,
            }],
            runs: vec![],
            credentials: 1,
            epochs: 1,
            room: 2 + usize::try_from(seed % 4).unwrap(),
            prf_input: *unlocked.prf_input(),
            opened: RefCell::default(),
        }
    }

    /// A number below `limit`.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.rng.next_u64() % u64::try_from(limit).unwrap()).unwrap()
    }

    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        match from.len() {
            0 => None,
            len => Some(from[self.below(len)]),
        }
    }

    pub(super) fn secret(&self, kind: Kind, credential: u64) -> UnlockSecret {
        if let Kind::Device(no) = kind {
            return self.computers[no].way.unlock_secret();
        }
        match method(kind, credential) {
            Method::RecoveryKey => UnlockSecret::recovery_key(&paper(credential)),
            Method::Passkey(passkey) => {
                UnlockSecret::passkey(passkey, self.entropy(kind, credential))
            }
            Method::Password(password) => {
                UnlockSecret::password(password, self.entropy(kind, credential))
            }
            Method::Device(_) => unreachable!("its secret is the computer's"),
        }
    }

    /// What the owner's authenticator, password or paper gives.
    pub(super) fn entropy(&self, kind: Kind, credential: u64) -> HighEntropySecret {
        let seeded = |bytes: &mut [u8]| TestRng::new(1 << 32 | credential).fill_bytes(bytes);
        match kind {
            Kind::Paper => (&paper(credential)).into(),
            Kind::Password => {
                let mut bytes = vec![0; 64];
                seeded(&mut bytes);
                ExportKey::new(bytes).unwrap().try_into().unwrap()
            }
            Kind::Passkey(..) => {
                let key = CredRandom::filled(|bytes| seeded(bytes));
                let output = key.output(&prf_salt(&self.prf_input));
                output.try_into().unwrap()
            }
            Kind::Device(_) => unreachable!("its slot is made by the computer"),
        }
    }

    /// Opens a keyring with a way's secret; what was opened before is what it was, so that a walk spends
    /// its time on new keyrings.
    pub(super) fn unlock(&self, node: usize, way: WayNo) -> Result<Rc<Unlocked>, OpenError> {
        let slot = &self.slots[way];
        let known = self.opened.borrow().get(&(node, slot.credential)).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let secret = self.secret(slot.kind, slot.credential);
        let opened = Rc::new(self.locked[node].unlock(&secret)?);
        let mut all = self.opened.borrow_mut();
        all.insert((node, slot.credential), Rc::clone(&opened));
        Ok(opened)
    }

    pub(super) fn was_opened(&self, node: usize, way: WayNo) -> bool {
        let key = (node, self.slots[way].credential);
        self.opened.borrow().contains_key(&key)
    }

    /// The slot that opens `node` when the secret of `way` is used.
    pub(super) fn opens(&self, node: usize, way: WayNo) -> Option<WayNo> {
        let credential = self.slots[way].credential;
        let ways = &self.nodes[node].state.ways;
        let mut same = ways
            .iter()
            .filter(|(_, known)| known.credential == credential);
        same.next().map(|(no, _)| *no)
    }

    /// The keyrings that none follows.
    pub(super) fn tips(&self) -> Vec<usize> {
        let mut is_tip = vec![true; self.nodes.len()];
        for parent in self.nodes.iter().flat_map(|node| &node.parents) {
            is_tip[*parent] = false;
        }
        (0..is_tip.len()).filter(|node| is_tip[*node]).collect()
    }

    /// Whether `earlier` lies on the way to `node`, or is it.
    pub(super) fn leads_to(&self, earlier: usize, node: usize) -> bool {
        self.nodes[node].line.contains(&earlier)
    }

    pub(super) fn device_no(&self, id: &crate::DeviceId) -> DeviceNo {
        let is_it = |known: &Computer| known.credential.device() == *id;
        self.computers.iter().position(is_it).unwrap()
    }

    pub(super) fn act(&self, device: DeviceNo) -> Act {
        Act {
            device: self.computers[device].credential.device(),
            now_ms: self.now_ms,
        }
    }
}

/// The recovery key that is credential number `credential`.
pub(super) fn paper(credential: u64) -> RecoveryKey {
    RecoveryKey::generate(&mut TestRng::new(1 << 33 | credential))
}

pub(super) fn method(kind: Kind, credential: u64) -> Method {
    let id = credential.to_be_bytes().to_vec();
    match kind {
        Kind::Paper => Method::RecoveryKey,
        Kind::Password => Method::Password(Password {
            record_id: id,
            server: "vault.example".into(),
            opaque_suite: 1,
        }),
        Kind::Passkey(_, _, is_localhost) => Method::Passkey(Passkey {
            credential_id: id,
            rp_id: if is_localhost {
                "localhost"
            } else {
                "chat.example"
            }
            .into(),
            transports: vec![],
        }),
        Kind::Device(_) => unreachable!("its slot is made by the computer"),
    }
}

/// The number of a computer's own secret, which it has for ever.
pub(super) fn own_credential(device: DeviceNo) -> u64 {
    1 << 40 | u64::try_from(device).unwrap()
}

pub(super) fn provider(kind: Kind) -> Option<Provider> {
    match kind {
        Kind::Passkey(aaguid, backup_eligible, _) => Some(Provider {
            aaguid: [aaguid; 16],
            backup_eligible,
            backup_state: backup_eligible,
        }),
        Kind::Paper | Kind::Password | Kind::Device(_) => None,
    }
}

/// How often each kind of step, refusal and notice occurred.
#[derive(Default)]
pub(super) struct Counts(pub(super) BTreeMap<String, u32>);

impl Counts {
    pub(super) fn and(mut self, other: Self) -> Self {
        for (what, count) in other.0 {
            *self.0.entry(what).or_default() += count;
        }
        self
    }

    pub(super) fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }
}
