//! The state of one backup on this computer.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::atomic;
use crate::exit::Exit;
use crate::failure::Failure;

/// The folder that holds what this computer knows of one backup.
#[derive(Debug, Clone)]
pub(crate) struct RepositoryState {
    id: [u8; 16],
    folder: PathBuf,
}

/// The newest state of the store that this computer has seen. Going back behind it is a rollback.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Seen {
    /// The newest keyring.
    pub(crate) keyring_number: u64,
    /// Its hash, hexadecimal.
    pub(crate) keyring_hash: String,
    /// Events in its log.
    pub(crate) events: u64,
    /// The newest head of each lineage.
    pub(crate) heads: Vec<SeenHead>,
}

/// A head that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SeenHead {
    /// Its lineage, hexadecimal.
    pub(crate) lineage: String,
    /// Its number.
    pub(crate) sequence: u64,
    /// Its hash, hexadecimal.
    pub(crate) hash: String,
}

/// What is remembered for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Notes {
    /// Where the backup lies, the newest last.
    pub(crate) stores: Vec<String>,
    /// When a drill last succeeded, milliseconds UTC.
    pub(crate) verified_ms: Option<i64>,
    /// When all or part of the data was last checked, milliseconds UTC.
    pub(crate) checked_ms: Option<i64>,
    /// When a run from here last ended well, milliseconds UTC.
    pub(crate) backed_up_ms: Option<i64>,
    /// Whether its removal from the store has begun here: what is gone then was not taken by anybody else.
    pub(crate) removing: bool,
}

/// Held while a run changes the state; released when it ends, however it ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

impl RepositoryState {
    pub(super) fn new(id: [u8; 16], folder: PathBuf) -> Self {
        Self { id, folder }
    }

    /// The backup's id.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The engine's table.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.folder.join("ledger.db")
    }

    /// Takes the lock, or says that another run has it.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        let path = self.folder.join("lock");
        let file = atomic::private(File::options().create(true).truncate(false).write(true))
            .open(&path)
            .map_err(|error| Failure::file("write", &path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(Failure::new(
                Exit::Busy,
                "another run on this computer is at work on this backup",
            )
            .hint("wait until it has ended and run this again")),
            Err(TryLockError::Error(error)) => Err(Failure::file("lock", &path, &error)),
        }
    }

    /// Whether the lock is free, for `doctor`.
    pub(crate) fn is_locked(&self) -> bool {
        matches!(
            File::open(self.folder.join("lock")).map(|file| file.try_lock()),
            Ok(Err(TryLockError::WouldBlock))
        )
    }

    /// Reads a credential; `None` when this computer has none.
    pub(crate) fn credential(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
        let path = self.folder.join(name);
        if path.exists() {
            crate::secrets::read(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Writes a credential, for this user alone.
    pub(crate) fn set_credential(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let path = self.folder.join(name);
        atomic::replace_private(&path, bytes).map_err(|error| Failure::file("write", &path, &error))
    }

    /// Removes a credential that is worth nothing any more.
    pub(crate) fn forget_credential(&self, name: &str) -> Result<(), Failure> {
        let path = self.folder.join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file("remove", &path, &error))
            }
            _ => Ok(()),
        }
    }

    /// What was seen last; `None` when nothing was.
    pub(crate) fn seen(&self) -> Result<Option<Seen>, Failure> {
        self.read_json("seen.json")
    }

    /// Remembers what was seen. Call only with what was authenticated and is not older.
    pub(crate) fn set_seen(&self, seen: &Seen) -> Result<(), Failure> {
        self.write_json("seen.json", seen)
    }

    /// What is remembered for people.
    pub(crate) fn notes(&self) -> Result<Notes, Failure> {
        Ok(self.read_json("notes.json")?.unwrap_or_default())
    }

    /// Changes what is remembered for people.
    pub(crate) fn note(&self, change: impl FnOnce(&mut Notes)) -> Result<(), Failure> {
        let mut notes = self.notes()?;
        change(&mut notes);
        self.write_json("notes.json", &notes)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let path = self.folder.join(name);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("read", &path, &error)),
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            // Starting afresh in silence would forget what guards against a rollback.
            Failure::new(Exit::Failed, format!("{} is damaged", path.display()))
                .hint("move it away; what this computer has seen of the backup is then forgotten")
        })
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), Failure> {
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
        atomic::replace_private(&path, &bytes)
            .map_err(|error| Failure::file("write", &path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn state() -> (tempfile::TempDir, RepositoryState) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        let state = home.repository([7; 16], true).unwrap().unwrap();
        (folder, state)
    }

    #[test]
    fn a_second_run_is_told_to_wait() {
        let (_folder, state) = state();
        let lock = state.lock().unwrap();
        assert_eq!(state.lock().unwrap_err().exit, Exit::Busy);
        assert!(state.is_locked());
        drop(lock);
        assert!(!state.is_locked());
        state.lock().unwrap();
    }

    #[test]
    fn what_was_seen_is_read_again() {
        let (_folder, state) = state();
        assert_eq!(state.seen().unwrap(), None);
        let seen = Seen {
            keyring_number: 3,
            keyring_hash: "ab".into(),
            events: 5,
            heads: vec![SeenHead {
                lineage: "aa".into(),
                sequence: 2,
                hash: "bb".into(),
            }],
        };
        state.set_seen(&seen).unwrap();
        assert_eq!(state.seen().unwrap(), Some(seen));
    }

    #[test]
    fn a_damaged_record_of_what_was_seen_is_not_forgotten_in_silence() {
        let (_folder, state) = state();
        std::fs::write(state.folder().join("seen.json"), b"{").unwrap();
        assert!(
            state
                .seen()
                .unwrap_err()
                .message
                .ends_with("seen.json is damaged")
        );
    }

    #[test]
    fn a_home_lists_the_backups_it_knows() {
        let (folder, state) = state();
        std::fs::create_dir(folder.path().join("repositories/other")).unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        assert_eq!(
            home.all()
                .iter()
                .map(RepositoryState::id)
                .collect::<Vec<_>>(),
            [state.id()]
        );
        assert!(home.repository([8; 16], false).unwrap().is_none());
    }
}
