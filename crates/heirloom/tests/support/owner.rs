//! An owner of a backup who changes its keyring from elsewhere: at another time, or with a passkey that no browser made.
#![expect(unreachable_pub, reason = "each test file uses its own part")]

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use heirloom_engine::keyrings;
use heirloom_engine::store::{self, Store};
use heirloom_keys::{
    Act, DeviceCredential, HighEntropySecret, LockedKeyring, Method, NewSlot, Passkey, PrfOutput,
    Provider, RecoveryEntry, RecoveryKey, Successor, UnlockSecret, Unlocked,
};
use rand_core::UnwrapErr;

use super::session::Session;

pub const DAY_MS: i64 = 86_400_000;

/// Another computer of the owner, with the recovery key of `key.txt`.
pub struct Owner {
    store: Arc<dyn Store>,
    device: DeviceCredential,
    /// The newest keyring, as this computer made it.
    pub keyring: Unlocked,
}

fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The recovery key that lies in a file of the session.
pub fn recovery_key(session: &Session, file: &str) -> UnlockSecret {
    let text = std::fs::read_to_string(session.path(file)).unwrap();
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    match RecoveryKey::parse(&digits) {
        RecoveryEntry::Exact(key) => UnlockSecret::recovery_key(&key),
        other => panic!("{other:?}"),
    }
}

/// The newest keyring in the session's store.
pub fn newest(session: &Session) -> LockedKeyring {
    let store = store::open(session.path("store").to_str().unwrap(), false).unwrap();
    let name = keyrings::list(&*store).unwrap().pop().unwrap().name;
    LockedKeyring::parse(&keyrings::load(&*store, &name).unwrap()).unwrap()
}

impl Owner {
    /// Joins the backup in the session's store.
    pub fn joins(session: &Session) -> Self {
        let store = store::open(session.path("store").to_str().unwrap(), false).unwrap();
        let unlocked = newest(session)
            .unlock(&recovery_key(session, "key.txt"))
            .unwrap();
        let (successor, device) = unlocked
            .add_device(&mut rng(), now_ms(), "Other computer")
            .unwrap();
        let keyring = publish(&*store, successor);
        Self {
            store,
            device,
            keyring,
        }
    }

    fn act(&self, now_ms: i64) -> Act {
        Act {
            device: self.device.device(),
            now_ms,
        }
    }

    /// Adds a passkey for a site that gives `output` for the backup's input.
    pub fn adds_passkey(&mut self, name: &str, rp_id: &str, provider: Provider, output: u8) {
        let method = Method::Passkey(Passkey {
            credential_id: name.as_bytes().to_vec(),
            rp_id: rp_id.into(),
            transports: vec!["internal".into()],
        });
        let secret = HighEntropySecret::try_from(PrfOutput::filled(|bytes| bytes.fill(output)));
        let slot = NewSlot {
            name,
            method,
            provider: Some(provider),
            secret: &secret.unwrap(),
        };
        let act = self.act(now_ms());
        let successor = self.keyring.add_slot(&mut rng(), act, slot).unwrap();
        self.keyring = publish(&*self.store, successor);
    }

    /// Opens the newest keyring with that passkey and records that it opened, at a time of its own.
    pub fn proves_passkey(
        &mut self,
        session: &Session,
        name: &str,
        rp_id: &str,
        output: u8,
        at_ms: i64,
    ) {
        let passkey = Passkey {
            credential_id: name.as_bytes().to_vec(),
            rp_id: rp_id.into(),
            transports: vec![],
        };
        let secret = HighEntropySecret::try_from(PrfOutput::filled(|bytes| bytes.fill(output)));
        let unlocked = newest(session)
            .unlock(&UnlockSecret::passkey(passkey, secret.unwrap()))
            .unwrap();
        let act = self.act(at_ms);
        self.keyring = publish(
            &*self.store,
            unlocked.record_proof(&mut rng(), act).unwrap(),
        );
    }

    /// Plans the removal of the backup as if it were another day.
    pub fn plans_removal(&mut self, at_ms: i64) {
        let act = self.act(at_ms);
        self.keyring = publish(
            &*self.store,
            self.keyring.plan_removal(&mut rng(), act).unwrap(),
        );
    }

    /// Changes the root key.
    pub fn rotates(&mut self) {
        let act = self.act(now_ms());
        self.keyring = publish(&*self.store, self.keyring.rotate(&mut rng(), act).unwrap());
    }
}

fn publish(store: &dyn Store, successor: Successor) -> Unlocked {
    let Successor { bytes, unlocked } = successor;
    keyrings::publish(store, unlocked.seen().number, &bytes).unwrap();
    unlocked
}

/// A provider that syncs.
pub fn synced(aaguid: u8) -> Provider {
    Provider {
        aaguid: [aaguid; 16],
        backup_eligible: true,
        backup_state: true,
    }
}

/// A provider that keeps it on one device.
pub fn bound(aaguid: u8) -> Provider {
    Provider {
        aaguid: [aaguid; 16],
        backup_eligible: false,
        backup_state: false,
    }
}
