//! The removal itself: what is to be done at which time, and in which order, so that a run that is cut off anywhere
//! can be run again.

use heirloom_engine::keyrings;
use heirloom_engine::store::{Store, StoreError};
use heirloom_keys::Unlocked;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::RepositoryState;

/// Everything but the keyrings. Heads first: without them no reader takes up a backup that is half gone.
const FOLDERS: [&str; 6] = ["heads/", "snapshots/", "index/", "packs/", "prune/", "tmp/"];

/// What `protect off` has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Plan the removal.
    Plan,
    /// It is planned and not due.
    Wait {
        /// When it is.
        due_ms: i64,
    },
    /// It is due.
    Remove,
    /// Take the plan back.
    Undo,
    /// There is no plan to take back.
    NothingToUndo,
}

/// Decides by the plan and the time.
pub(super) fn step(due_ms: Option<i64>, now_ms: i64, undo: bool) -> Step {
    match (due_ms, undo) {
        (None, false) => Step::Plan,
        (None, true) => Step::NothingToUndo,
        (Some(_), true) => Step::Undo,
        (Some(due_ms), false) if now_ms < due_ms => Step::Wait { due_ms },
        (Some(_), false) => Step::Remove,
    }
}

/// What the mark says to whoever finds it.
const MARK: &[u8] = b"The removal of this backup has begun: `heirloom protect off`. What is left here is removed too.\n";

/// The object that lies in a store while its backup is being removed: `docs/format.md`, section 2. It has the repository's
/// id in its name, so that one that is left behind says nothing of a later backup.
pub(super) fn mark(keyring: &Unlocked) -> String {
    format!("removal/{}", hex::encode(keyring.repository().as_bytes()))
}

/// Tells every computer that the removal begins, before anything is gone; refused where it was taken back meanwhile.
///
/// Marking first and looking then, while [`has_begun`] is asked after the plan was taken back: one of the two sees the other.
pub(super) fn begin(store: &dyn Store, keyring: &Unlocked) -> Result<(), Failure> {
    let mark = mark(keyring);
    store.put_new(&mark, MARK)?;
    let newest = keyrings::list(store)?.pop().map(|newest| newest.number);
    if newest.is_some_and(|newest| newest > keyring.seen().number) {
        store.delete(&mark)?;
        return Err(Failure::new(
            Exit::Failed,
            "the ways in were changed meanwhile, by another computer or another run on this one; nothing was removed",
        )
        .hint("run it again"));
    }
    Ok(())
}

/// Whether a computer has begun to remove the backup.
pub(super) fn has_begun(store: &dyn Store, keyring: &Unlocked) -> Result<bool, Failure> {
    match store.stat(&mark(keyring)) {
        Ok(_) => return Ok(true),
        Err(StoreError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // The mark goes just before the newest keyring, which nobody else leaves alone.
    Ok(keyring.seen().number > 1 && keyrings::list(store)?.len() == 1)
}

/// How far a removal came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Removed {
    /// Objects that were removed in this run.
    pub(super) objects: u64,
    /// Whether nothing is left; else it was interrupted.
    pub(super) ended: bool,
}

/// Removes all objects of a backup, the newest keyring last: it holds the plan, and until it is gone the way in that
/// began the removal can go on with it. The mark goes just before it, so that nothing is left behind. Objects that are no
/// part of a backup stay.
pub(super) fn remove_objects(
    store: &dyn Store,
    mark: &str,
    is_interrupted: &dyn Fn() -> bool,
) -> Result<Removed, Failure> {
    let mut objects = 0;
    let mut delete = |name: &str| -> Result<bool, StoreError> {
        if is_interrupted() {
            return Ok(false);
        }
        match store.delete(name) {
            Ok(()) => objects += 1,
            // Another run, or another computer, was quicker.
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(true)
    };
    let mut ended = true;
    'all: for folder in FOLDERS {
        for listed in store.list(folder)? {
            if !delete(&listed.name)? {
                ended = false;
                break 'all;
            }
        }
    }
    if ended {
        let mut keyrings = keyrings::list(store)?;
        let newest = keyrings.pop();
        let older = keyrings.into_iter().map(|keyring| keyring.name);
        let newest = newest.map(|keyring| keyring.name);
        for name in older.chain([mark.to_owned()]).chain(newest) {
            if !delete(&name)? {
                ended = false;
                break;
            }
        }
    }
    Ok(Removed { objects, ended })
}

/// Forgets a backup that is gone from its store.
pub(super) fn forget(state: &RepositoryState) -> Result<(), Failure> {
    std::fs::remove_dir_all(state.folder())
        .map_err(|error| Failure::file("remove", state.folder(), &error))
}

/// Ends a removal that was cut off after the last keyring was gone. Whether there was one.
pub(crate) fn finish_forgetting(state: &RepositoryState) -> Result<bool, Failure> {
    if !state.notes()?.removing {
        return Ok(false);
    }
    forget(state).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use heirloom_engine::store::faulty::FaultyStore;
    use heirloom_engine::store::memory::MemoryStore;
    use heirloom_keys::{
        Act, CreateParams, Keyring, LockedKeyring, REMOVAL_DELAY_MS, RecoveryKey, UnlockSecret,
    };

    const DAY: i64 = 86_400_000;
    const MARKED: &str = "removal/00";

    #[test]
    fn nothing_is_removed_before_it_is_due() {
        let due = Some(30 * DAY);
        assert_eq!(
            step(due, 30 * DAY - 1, false),
            Step::Wait { due_ms: 30 * DAY }
        );
        assert_eq!(step(due, 30 * DAY, false), Step::Remove);
        assert_eq!(step(due, i64::MIN, false), Step::Wait { due_ms: 30 * DAY });
    }

    #[test]
    fn a_plan_can_be_taken_back_and_only_a_plan() {
        assert_eq!(step(Some(30 * DAY), 3 * DAY, true), Step::Undo);
        assert_eq!(step(None, 3 * DAY, true), Step::NothingToUndo);
        assert_eq!(step(None, 3 * DAY, false), Step::Plan);
    }

    /// A store as a backup leaves it, with a removal planned in the newest of three keyrings.
    fn scene() -> (Arc<dyn Store>, RecoveryKey) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut rng = crate::keys::rng();
        let recovery = RecoveryKey::generate(&mut rng);
        let params = CreateParams {
            device_name: "a",
            recovery: &recovery,
            recovery_name: "key",
        };
        let (bytes, first, device) = Keyring::create(&mut rng, 1, &params).unwrap();
        keyrings::publish(&*store, 1, &bytes).unwrap();
        let act = Act {
            device: device.device(),
            now_ms: DAY,
        };
        let second = first.rotate(&mut rng, act).unwrap();
        keyrings::publish(&*store, 2, &second.bytes).unwrap();
        let third = second.unlocked.plan_removal(&mut rng, act).unwrap();
        keyrings::publish(&*store, 3, &third.bytes).unwrap();
        for name in [
            "heads/aa/1-b",
            "snapshots/c",
            "index/d",
            "packs/ab/e",
            "packs/ab/f",
            "prune/a",
        ] {
            store.put_new(name, b"x").unwrap();
        }
        store.put_new("notes-of-mine.txt", b"x").unwrap();
        (store, recovery)
    }

    fn names(store: &dyn Store) -> Vec<String> {
        let mut names: Vec<_> = store
            .list("")
            .unwrap()
            .into_iter()
            .map(|one| one.name)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_of_the_backup_goes_and_nothing_else() {
        let (store, _) = scene();
        let removed = remove_objects(&*store, MARKED, &|| false).unwrap();
        assert_eq!(
            removed,
            Removed {
                objects: 10,
                ended: true
            }
        );
        assert_eq!(names(&*store), ["notes-of-mine.txt"]);
    }

    #[test]
    fn a_removal_that_is_killed_anywhere_goes_on_with_the_same_key() {
        for writes in 0..10 {
            let (store, recovery) = scene();
            let faulty = FaultyStore::stopping_after(store.clone(), writes);
            assert!(
                remove_objects(&faulty, MARKED, &|| false).is_err(),
                "{writes}"
            );
            // As long as anything is left, the newest keyring is, and says that it is due.
            let newest = keyrings::list(&*store)
                .unwrap()
                .pop()
                .expect("the newest keyring goes last");
            let locked =
                LockedKeyring::parse(&keyrings::load(&*store, &newest.name).unwrap()).unwrap();
            let unlocked = locked
                .unlock(&UnlockSecret::recovery_key(&recovery))
                .unwrap();
            let now = DAY + REMOVAL_DELAY_MS;
            assert_eq!(
                step(unlocked.removal_due_ms(), now, false),
                Step::Remove,
                "{writes}"
            );
            assert!(remove_objects(&*store, MARKED, &|| false).unwrap().ended);
            assert_eq!(names(&*store), ["notes-of-mine.txt"], "{writes}");
        }
    }

    fn newest(store: &dyn Store, recovery: &RecoveryKey) -> Unlocked {
        let newest = keyrings::list(store).unwrap().pop().unwrap();
        let locked = LockedKeyring::parse(&keyrings::load(store, &newest.name).unwrap()).unwrap();
        locked
            .unlock(&UnlockSecret::recovery_key(recovery))
            .unwrap()
    }

    #[test]
    fn every_computer_can_see_that_a_removal_has_begun_and_afterwards_nothing_is_left_of_that() {
        let (store, recovery) = scene();
        let keyring = newest(&*store, &recovery);
        assert!(!has_begun(&*store, &keyring).unwrap());
        begin(&*store, &keyring).unwrap();
        begin(&*store, &keyring).unwrap();
        let before = names(&*store).len();
        let faulty = FaultyStore::stopping_after(store.clone(), 8);
        assert!(remove_objects(&faulty, &mark(&keyring), &|| false).is_err());
        assert!(names(&*store).len() < before);
        assert!(has_begun(&*store, &keyring).unwrap());
        assert!(
            remove_objects(&*store, &mark(&keyring), &|| false)
                .unwrap()
                .ended
        );
        assert_eq!(names(&*store), ["notes-of-mine.txt"]);
    }

    #[test]
    fn a_removal_that_was_taken_back_while_somebody_was_asked_does_not_begin() {
        let (store, recovery) = scene();
        let keyring = newest(&*store, &recovery);
        let before = names(&*store);
        let (successor, _) = keyring
            .add_device(&mut crate::keys::rng(), 2 * DAY, "b")
            .unwrap();
        keyrings::publish(&*store, 4, &successor.bytes).unwrap();
        let refused = begin(&*store, &keyring).unwrap_err();
        assert!(
            refused.message.ends_with("nothing was removed"),
            "{refused:?}"
        );
        assert!(!has_begun(&*store, &keyring).unwrap());
        assert_eq!(names(&*store).len(), before.len() + 1);
    }

    #[test]
    fn heads_go_first_and_keyrings_last() {
        let (store, _) = scene();
        let faulty = FaultyStore::stopping_after(store.clone(), 1);
        assert!(remove_objects(&faulty, MARKED, &|| false).is_err());
        assert!(store.list("heads/").unwrap().is_empty());
        assert_eq!(store.list("packs/").unwrap().len(), 2);
        assert_eq!(store.list("keyring/").unwrap().len(), 3);
    }

    #[test]
    fn ctrl_c_ends_it_between_two_objects() {
        let (store, _) = scene();
        let removed = remove_objects(&*store, MARKED, &|| true).unwrap();
        assert_eq!(
            removed,
            Removed {
                objects: 0,
                ended: false
            }
        );
        assert_eq!(names(&*store).len(), 10);
    }
}
