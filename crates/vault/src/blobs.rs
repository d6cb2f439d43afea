//! The folder of objects: files with random names, so that it tells nothing about accounts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::Body;
use heirloom_vault_api::{AccountId, BlobInfo, BlobName, Code, Fixed, Problem};
use http_body_util::BodyExt as _;
use tokio::fs;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Semaphore;

use crate::generation::sync_folder;
use crate::refusal::Refusal;
use crate::store::{account, blob};
use crate::vault::{Vault, random};

/// Uploads at a time; what comes beyond waits.
const UPLOADS: usize = 64;
/// For the next bytes of an upload.
const IDLE: Duration = Duration::from_secs(30);

/// How old a file without a name must be before it goes.
const ORPHAN: Duration = Duration::from_hours(24);

/// Objects in a folder.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    grace_ms: u64,
    uploads: Semaphore,
}

fn io_refusal(error: &io::Error) -> Refusal {
    Refusal::internal(&error.kind())
}

impl Blobs {
    /// Opens or makes the folder; what a crash left half-written goes.
    pub(crate) fn open(folder: PathBuf, grace: Duration) -> io::Result<Self> {
        let part = folder.join("part");
        match std::fs::remove_dir_all(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        std::fs::create_dir_all(&part)?;
        for first in 0..=u8::MAX {
            std::fs::create_dir_all(folder.join(format!("{first:02x}")))?;
        }
        sync_folder(&folder)?;
        Ok(Self {
            folder,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            uploads: Semaphore::new(UPLOADS),
        })
    }

    /// Whether the place of objects is there.
    pub(crate) async fn is_reachable(&self) -> bool {
        fs::metadata(&self.folder).await.is_ok()
    }

    /// Where an object's bytes lie.
    pub(crate) fn path(&self, object: &Fixed<16>) -> PathBuf {
        let number = u128::from_be_bytes(*object.as_bytes());
        let name = format!("{number:032x}");
        self.folder.join(name.get(..2).unwrap_or("00")).join(&name)
    }

    /// Takes an object of exactly `size` bytes, if none of this name is there and the quota allows it.
    pub(crate) async fn create(
        &self,
        vault: &Vault,
        account: AccountId,
        name: BlobName,
        size: u64,
        body: Body,
    ) -> Result<(), Refusal> {
        let wanted = name.clone();
        // Early, so that no byte is sent in vain; decided again when it is there.
        let (exists, (used, quota)) = vault
            .run(move |sql| {
                let exists = blob::find(sql, &account, &wanted)?.is_some();
                Ok((exists, account::usage(sql, &account)?))
            })
            .await?;
        if exists {
            return Err(Code::Conflict.into());
        }
        if used.saturating_add(size) > quota {
            return Err(Problem::from(Code::QuotaExceeded).quota(used, quota).into());
        }
        let _place = self
            .uploads
            .acquire()
            .await
            .map_err(|error| Refusal::internal(&error))?;
        let object = random();
        let part = self.folder.join("part").join(object.to_text());
        let received = receive(&part, size, body).await;
        let stored = match received {
            Ok(()) => self.keep(&part, &object).await,
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = stored {
            let _ = fs::remove_file(&part).await;
            return Err(refusal);
        }
        let created = vault
            .run(move |sql| blob::create(sql, &account, &object, &name, size))
            .await;
        // An unknown outcome keeps the file: the name may point to it.
        match created? {
            Ok(()) => Ok(()),
            Err(refused) => {
                let _ = fs::remove_file(self.path(&object)).await;
                Err(match refused {
                    blob::Refused::Exists => Code::Conflict.into(),
                    blob::Refused::Quota { used, quota } => {
                        Problem::from(Code::QuotaExceeded).quota(used, quota).into()
                    }
                })
            }
        }
    }

    async fn keep(&self, part: &Path, object: &Fixed<16>) -> Result<(), Refusal> {
        let path = self.path(object);
        fs::rename(part, &path)
            .await
            .map_err(|error| io_refusal(&error))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let synced = tokio::task::spawn_blocking(move || sync_folder(&folder)).await;
        synced
            .map_err(|error| Refusal::internal(&error))?
            .map_err(|error| io_refusal(&error))
    }

    /// An object's file, opened, and its length.
    pub(crate) async fn open_object(
        &self,
        vault: &Vault,
        account: AccountId,
        name: BlobName,
    ) -> Result<(fs::File, u64), Refusal> {
        let found = vault
            .run(move |sql| blob::find(sql, &account, &name))
            .await?;
        let (object, size) = found.ok_or(Code::NotFound)?;
        let file = fs::File::open(self.path(&object))
            .await
            .map_err(|error| io_refusal(&error))?;
        Ok((file, size))
    }

    /// Names in order.
    pub(crate) async fn list(
        vault: &Vault,
        account: AccountId,
        prefix: String,
        after: String,
    ) -> Result<(Vec<BlobInfo>, bool), Refusal> {
        vault
            .run(move |sql| blob::list(sql, &account, &prefix, &after))
            .await
    }

    /// Takes the name away now, the bytes after the grace.
    pub(crate) async fn delete(
        vault: &Vault,
        account: AccountId,
        name: BlobName,
    ) -> Result<(), Refusal> {
        let now = vault.now();
        let deleted = vault
            .run(move |sql| blob::delete(sql, &account, &name, now))
            .await?;
        if deleted {
            return Ok(());
        }
        Err(Code::NotFound.into())
    }

    /// Removes files that no name leads to: a crash left them between their last byte and their name.
    ///
    /// Only old ones, for a young one may be about to be named.
    pub(crate) async fn remove_orphans(&self, vault: &Vault) -> Result<(), Refusal> {
        let io = |error: io::Error| io_refusal(&error);
        for first in 0..=u8::MAX {
            let folder = self.folder.join(format!("{first:02x}"));
            let mut entries = fs::read_dir(folder).await.map_err(io)?;
            while let Some(entry) = entries.next_entry().await.map_err(io)? {
                let age = entry.metadata().await.map_err(io)?.modified();
                let age = age.map_err(io)?.elapsed().unwrap_or_default();
                let name = entry.file_name();
                let number = name
                    .to_str()
                    .and_then(|name| u128::from_str_radix(name, 16).ok());
                let Some(number) = number.filter(|_| age > ORPHAN) else {
                    continue;
                };
                let object = Fixed(number.to_be_bytes());
                // Not a name that we gave: not ours to remove.
                if self.path(&object) != entry.path() {
                    continue;
                }
                if !vault.run(move |sql| blob::is_named(sql, &object)).await? {
                    fs::remove_file(entry.path()).await.map_err(io)?;
                }
            }
        }
        Ok(())
    }

    /// Frees what is deleted for longer than the grace.
    pub(crate) async fn sweep(&self, vault: &Vault, now: u64) -> Result<(), Refusal> {
        let before = now.saturating_sub(self.grace_ms);
        for (account, object) in vault.run(move |sql| blob::over(sql, before)).await? {
            match fs::remove_file(self.path(&object)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_refusal(&error));
                }
                _ => (),
            }
            vault
                .run(move |sql| blob::gone(sql, &account, &object, before))
                .await?;
        }
        Ok(())
    }
}

/// Writes exactly `size` bytes and makes them durable.
async fn receive(part: &Path, size: u64, mut body: Body) -> Result<(), Refusal> {
    let io = |error: io::Error| io_refusal(&error);
    let mut file = fs::File::create_new(part).await.map_err(io)?;
    let mut received = 0_u64;
    loop {
        let frame = tokio::time::timeout(IDLE, body.frame())
            .await
            .map_err(|_| Code::BadRequest)?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|_| Code::BadRequest)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        received = received.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if received > size {
            return Err(Code::TooLarge.into());
        }
        file.write_all(&data).await.map_err(io)?;
    }
    if received != size {
        return Err(Code::BadRequest.into());
    }
    file.sync_all().await.map_err(io)
}
