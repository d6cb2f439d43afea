//! The second look: a run that took an hour reads the newest keyring again before it publishes what it stored.

use std::sync::{Arc, Mutex, PoisonError};

use heirloom_engine::keyrings;
use heirloom_engine::store::{Listed, Put, Store, StoreError};
use heirloom_keys::LockedKeyring;

use crate::device::Device;
use crate::failure::Failure;
use crate::home::RepositoryState;

/// A store that takes a head only while this computer is still a device of the backup.
#[derive(Debug)]
pub(crate) struct Guard {
    store: Arc<dyn Store>,
    state: RepositoryState,
    /// The keyring that the run began with.
    number: u64,
    /// What the second look found: a store's error has no room for a failure's code and hint.
    refusal: Mutex<Option<Failure>>,
}

impl Guard {
    pub(crate) fn new(store: Arc<dyn Store>, state: RepositoryState, number: u64) -> Self {
        Self {
            store,
            state,
            number,
            refusal: Mutex::new(None),
        }
    }

    /// Why the second look let nothing be published, where it did: the words and the code of the first look.
    pub(crate) fn refusal(&self) -> Option<Failure> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Refuses when a newer keyring has come that this computer is no part of.
    fn look_again(&self) -> Result<(), Failure> {
        let Some(newest) = keyrings::list(&*self.store)?
            .pop()
            .filter(|name| name.number > self.number)
        else {
            return Ok(());
        };
        let newest = LockedKeyring::parse(&keyrings::load(&*self.store, &newest.name)?)?;
        match Device::load(&self.state)? {
            Some(mut device) => {
                device.refresh(&newest)?;
                device.refuse_ending()
            }
            None => Ok(()),
        }
    }
}

impl Store for Guard {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if name.starts_with("heads/")
            && let Err(failure) = self.look_again()
        {
            let what = failure.message.clone();
            *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
            return Err(StoreError::Denied { what });
        }
        self.store.put_new(name, bytes)
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get(name, limit)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.store.get_range(name, offset, len)
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.store.list(prefix)
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name)
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.store.stat(name)
    }

    fn sweep_unfinished(&self) -> Result<u64, StoreError> {
        self.store.sweep_unfinished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;
    use crate::home::Home;
    use crate::keys;
    use heirloom_engine::store::memory::MemoryStore;
    use heirloom_keys::{Act, CreateParams, Keyring, RecoveryKey, Successor, Unlocked};

    fn publish(store: &dyn Store, successor: Successor) -> Unlocked {
        let Successor { bytes, unlocked } = successor;
        keyrings::publish(store, unlocked.seen().number, &bytes).unwrap();
        unlocked
    }

    #[test]
    fn a_computer_that_was_removed_while_it_ran_publishes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut rng = keys::rng();
        let recovery = RecoveryKey::generate(&mut rng);
        let params = CreateParams {
            device_name: "a",
            recovery: &recovery,
            recovery_name: "key",
        };
        let (bytes, first, credential) = Keyring::create(&mut rng, 1, &params).unwrap();
        keyrings::publish(&*store, 1, &bytes).unwrap();
        let removed = credential.device();
        let state = home
            .repository(*first.repository().as_bytes(), true)
            .unwrap()
            .unwrap();
        Device::enrol(state.clone(), credential, &first).unwrap();

        let guard = Guard::new(store.clone(), state, 1);
        guard.put_new("heads/aa/1", &[1]).unwrap();
        let (successor, other) = first.add_device(&mut rng, 2, "b").unwrap();
        let second = publish(&*store, successor);
        guard.put_new("heads/aa/2", &[2]).unwrap();
        let act = Act {
            device: other.device(),
            now_ms: 3,
        };
        publish(
            &*store,
            second.revoke_device(&mut rng, act, &removed).unwrap(),
        );
        guard.put_new("heads/aa/3", &[3]).unwrap_err();
        let refusal = guard.refusal().unwrap();
        assert_eq!(
            (refusal.exit, refusal.message.as_str()),
            (
                Exit::NeedsUnlock,
                "this computer was removed from the backup"
            )
        );
        assert!(refusal.hint.is_some(), "{refusal:?}");
        assert!(guard.refusal().is_none());
        guard.put_new("packs/aa/bb", &[4]).unwrap();
        assert_eq!(store.list("heads/").unwrap().len(), 2);
    }

    #[test]
    fn a_keyring_that_went_wrong_meanwhile_is_damage_as_at_the_first_look() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let state = home.repository([7; 16], true).unwrap().unwrap();
        let guard = Guard::new(store.clone(), state, 1);
        keyrings::publish(&*store, 2, b"no keyring").unwrap();
        guard.put_new("heads/aa/1", &[1]).unwrap_err();
        assert_eq!(guard.refusal().unwrap().exit, Exit::Damage);
    }

    #[test]
    fn a_backup_that_was_turned_off_meanwhile_gets_no_head() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut rng = keys::rng();
        let recovery = RecoveryKey::generate(&mut rng);
        let params = CreateParams {
            device_name: "a",
            recovery: &recovery,
            recovery_name: "key",
        };
        let (bytes, first, credential) = Keyring::create(&mut rng, 1, &params).unwrap();
        keyrings::publish(&*store, 1, &bytes).unwrap();
        let state = home
            .repository(*first.repository().as_bytes(), true)
            .unwrap()
            .unwrap();
        Device::enrol(state.clone(), credential, &first).unwrap();
        let guard = Guard::new(store.clone(), state, 1);
        let (successor, other) = first.add_device(&mut rng, 2, "b").unwrap();
        let second = publish(&*store, successor);
        guard.put_new("heads/aa/1", &[1]).unwrap();
        let act = Act {
            device: other.device(),
            now_ms: 3,
        };
        publish(&*store, second.plan_removal(&mut rng, act).unwrap());
        guard.put_new("heads/aa/2", &[2]).unwrap_err();
        let refusal = guard.refusal().unwrap();
        assert_eq!(
            (refusal.exit, refusal.message.as_str()),
            (
                Exit::Failed,
                "this backup was turned off and is to be removed from 1970-01-31 on; nothing is added to it"
            )
        );
        assert!(refusal.hint.unwrap().ends_with("--undo`"));
    }
}
