//! Stores through Apache OpenDAL: a folder now, clouds later.
//!
//! Two calls of a folder are our own: creating, because OpenDAL cannot make a file under its name only if there is none,
//! and both for their cost (docs/adr, "The folder store").

mod direct;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use opendal::blocking::Operator;
use opendal::options::ListOptions;
use opendal::{ErrorKind, services};

use super::{Listed, Put, Store, StoreError, is_valid_name};

/// Interrupted writes are swept when they are this old: a writer that is still at work is younger.
const UNFINISHED_AFTER: Duration = Duration::from_mins(10);

/// Where objects lie until they are whole.
const UNFINISHED: &str = "tmp";

static RUNTIME: LazyLock<std::io::Result<tokio::runtime::Runtime>> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
});

/// Opens the store at a folder or URL. `create`: make the folder when it is not there.
pub fn open(address: &str, create: bool) -> Result<Arc<dyn Store>, StoreError> {
    let bad = |why: &str| StoreError::BadAddress {
        address: address.to_owned(),
        why: why.to_owned(),
    };
    let folder = match address.split_once("://") {
        Some(("file", path)) => PathBuf::from(path),
        Some((scheme, _)) => {
            return Err(bad(&format!(
                "this version does not know {scheme}:// yet; give a folder"
            )));
        }
        None => PathBuf::from(address),
    };
    if address.is_empty() {
        return Err(bad("the address is empty"));
    }
    Ok(Arc::new(FolderStore::open(&folder, create)?))
}

/// A local folder.
#[derive(Debug)]
pub struct FolderStore {
    operator: Operator,
    root: PathBuf,
    sequence: AtomicU64,
}

impl FolderStore {
    /// Opens a folder; `create`: makes it when it is not there.
    pub fn open(root: &Path, create: bool) -> Result<Self, StoreError> {
        let failed = |error: &std::io::Error| from_io(&root.display().to_string(), error);
        if create {
            std::fs::create_dir_all(root).map_err(|error| failed(&error))?;
        }
        let root = root.canonicalize().map_err(|error| failed(&error))?;
        if !root.is_dir() {
            return Err(StoreError::BadAddress {
                address: root.display().to_string(),
                why: "it is not a folder".into(),
            });
        }
        let text = root.to_str().ok_or_else(|| StoreError::BadAddress {
            address: root.display().to_string(),
            why: "its name is not Unicode".into(),
        })?;
        let runtime = RUNTIME.as_ref().map_err(failed)?;
        let _guard = runtime.enter();
        let operator = opendal::Operator::new(services::Fs::default().root(text))
            .and_then(Operator::new)
            .map_err(|error| from_opendal(text, &error))?;
        Ok(Self {
            operator,
            root,
            sequence: AtomicU64::new(0),
        })
    }

    fn sync_folder(path: &Path) -> std::io::Result<()> {
        // Windows has no way to flush a folder, and needs none.
        if cfg!(unix) {
            std::fs::File::open(path)?.sync_all()
        } else {
            Ok(())
        }
    }

    /// Gives the finished file its name, unless there is one: a hard link is the only call that does both at once.
    fn publish(&self, unfinished: &str, name: &str) -> std::io::Result<Put> {
        let from = self.root.join(unfinished);
        let to = self.root.join(name);
        let folder = to.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(folder)?;
        let put = match std::fs::hard_link(&from, &to) {
            Ok(()) => Put::Created,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Put::AlreadyThere,
            // No hard links here (FAT, some network shares). Names are hashes of content, so that whoever
            // comes second writes the same bytes.
            Err(_) if to.exists() => Put::AlreadyThere,
            Err(_) => {
                std::fs::rename(&from, &to)?;
                Self::sync_folder(folder)?;
                return Ok(Put::Created);
            }
        };
        std::fs::remove_file(&from)?;
        Self::sync_folder(folder)?;
        Ok(put)
    }
}

impl Store for FolderStore {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::Denied {
                what: name.to_owned(),
            });
        }
        if self.root.join(name).exists() {
            return Ok(Put::AlreadyThere);
        }
        let number = self.sequence.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{UNFINISHED}/{}-{number}", std::process::id());
        let put = direct::write_durably(&self.root.join(&unfinished), bytes)
            .and_then(|()| self.publish(&unfinished, name))
            .map_err(|error| from_io(name, &error));
        if put.is_err() {
            // The first error is the one that counts; what stays is swept later.
            let _ = std::fs::remove_file(self.root.join(&unfinished));
        }
        put
    }

    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::NotFound {
                name: name.to_owned(),
            });
        }
        let bytes = self.get_range(name, 0, limit.saturating_add(1))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > limit) {
            return Err(StoreError::TooLarge {
                name: name.to_owned(),
            });
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::NotFound {
                name: name.to_owned(),
            });
        }
        let read = || {
            let file = std::fs::File::open(self.root.join(name))?;
            let metadata = file.metadata()?;
            if !metadata.is_file() {
                return Err(std::io::ErrorKind::NotFound.into());
            }
            let len = offset
                .saturating_add(len)
                .min(metadata.len())
                .saturating_sub(offset);
            let mut bytes =
                vec![0; usize::try_from(len).map_err(|_| std::io::ErrorKind::OutOfMemory)?];
            read_exact_at(&file, &mut bytes, offset)?;
            Ok(bytes)
        };
        read().map_err(|error: std::io::Error| from_io(name, &error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let options = ListOptions {
            recursive: true,
            ..ListOptions::default()
        };
        let entries = match self.operator.list_options(prefix, options) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(from_opendal(prefix, &error)),
        };
        let mut listed = Vec::new();
        for entry in entries {
            if entry.metadata().is_dir() || entry.path().starts_with(UNFINISHED) {
                continue;
            }
            let name = entry.path().to_owned();
            let bytes = match entry.metadata().content_length() {
                0 => self.stat(&name)?,
                bytes => bytes,
            };
            listed.push(Listed { name, bytes });
        }
        listed.sort();
        Ok(listed)
    }

    fn delete(&self, name: &str) -> Result<(), StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::Denied {
                what: name.to_owned(),
            });
        }
        self.operator
            .delete(name)
            .map_err(|error| from_opendal(name, &error))
    }

    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        if !is_valid_name(name) {
            return Err(StoreError::NotFound {
                name: name.to_owned(),
            });
        }
        let metadata = self
            .operator
            .stat(name)
            .map_err(|error| from_opendal(name, &error))?;
        if metadata.is_dir() {
            return Err(StoreError::NotFound {
                name: name.to_owned(),
            });
        }
        Ok(metadata.content_length())
    }

    fn sweep_unfinished(&self) -> Result<u64, StoreError> {
        let Ok(entries) = std::fs::read_dir(self.root.join(UNFINISHED)) else {
            return Ok(0);
        };
        let mut swept = 0;
        for entry in entries.flatten() {
            let age = entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .ok()
                .and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > UNFINISHED_AFTER)
                && std::fs::remove_file(entry.path()).is_ok()
            {
                swept += 1;
            }
        }
        Ok(swept)
    }
}

#[cfg(unix)]
fn read_exact_at(file: &std::fs::File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &std::fs::File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}

fn from_opendal(name: &str, error: &opendal::Error) -> StoreError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return from_io(name, io);
        }
        cause = inner.source();
    }
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NotFound {
            name: name.to_owned(),
        },
        ErrorKind::PermissionDenied => StoreError::Denied {
            what: name.to_owned(),
        },
        _ => StoreError::Failed {
            name: name.to_owned(),
            why: error.to_string(),
            temporary: error.is_temporary(),
        },
    }
}

fn from_io(name: &str, error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind as Io;
    match error.kind() {
        Io::NotFound => StoreError::NotFound {
            name: name.to_owned(),
        },
        Io::PermissionDenied | Io::ReadOnlyFilesystem => StoreError::Denied {
            what: name.to_owned(),
        },
        Io::StorageFull | Io::QuotaExceeded => StoreError::Full,
        kind => StoreError::Failed {
            name: name.to_owned(),
            why: error.to_string(),
            temporary: matches!(
                kind,
                Io::Interrupted | Io::TimedOut | Io::WouldBlock | Io::ConnectionReset
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    std::thread_local! {
        /// Folders of this test, which has a thread of its own: they go when it ends.
        static FOLDERS: RefCell<Vec<tempfile::TempDir>> = const { RefCell::new(Vec::new()) };
    }

    fn folder() -> FolderStore {
        let dir = tempfile::tempdir().unwrap();
        let store = FolderStore::open(dir.path(), true).unwrap();
        FOLDERS.with_borrow_mut(|folders| folders.push(dir));
        store
    }

    super::super::contract::store_contract!(super::tests::folder());

    #[test]
    fn names_never_leave_the_folder() {
        let store = folder();
        for name in ["../x", "a/../../x", "/etc/x", "a//b", "", "A", "a\0b"] {
            assert!(store.put_new(name, &[1]).is_err(), "{name}");
            assert!(store.get(name, 10).is_err(), "{name}");
        }
    }

    #[test]
    fn an_unfinished_write_is_not_listed_and_is_swept_when_old() {
        let store = folder();
        let left = store.root.join("tmp/1-0");
        std::fs::create_dir_all(left.parent().unwrap()).unwrap();
        std::fs::write(&left, b"half").unwrap();
        assert!(store.list("").unwrap().is_empty());
        assert_eq!(store.sweep_unfinished().unwrap(), 0);
        let old = SystemTime::now() - Duration::from_hours(1);
        std::fs::File::options()
            .write(true)
            .open(&left)
            .unwrap()
            .set_modified(old)
            .unwrap();
        assert_eq!(store.sweep_unfinished().unwrap(), 1);
        assert!(!left.exists());
    }
}
