//! Uploads that are gone on with after a cut: what came lies in a file on this computer until all is there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use heirloom_vault_api::{AccountId, BlobInfo, Code, Fixed, UploadAt, UploadStart};
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedMutexGuard, watch};
use tokio::time::timeout;

use super::folder::{blocking, write};
use super::pieces::Pieces;
use super::{Blobs, ORPHAN, refused};
use crate::refusal::Refusal;
use crate::store::blob;
use crate::store::upload::{self, Upload};
use crate::vault::{Vault, random};

/// For what is still on its way when somebody newer asks.
const REST: Duration = Duration::from_millis(250);
/// For a turn, when nobody asks. What is not had in time is given up by the next sweep.
const PATIENCE: Duration = Duration::from_secs(2);

/// The folder of what came so far, and whose turn it is.
#[derive(Debug)]
pub(super) struct Uploads {
    folder: PathBuf,
    turns: Mutex<HashMap<[u8; 16], Arc<Turn>>>,
}

/// One request at a time works on an upload, and the newest goes first: a client that asks again has lost the
/// connection of its last request, which this side may not know yet.
#[derive(Debug, Default)]
struct Turn {
    newest: watch::Sender<u64>,
    work: Arc<tokio::sync::Mutex<()>>,
}

/// The right to work on an upload.
struct Held {
    _work: OwnedMutexGuard<()>,
    newest: watch::Receiver<u64>,
}

impl Uploads {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self {
            folder,
            turns: Mutex::default(),
        })
    }

    fn path(&self, object: &Fixed<16>) -> PathBuf {
        self.folder.join(super::file_name(object))
    }

    async fn turn(&self, object: &Fixed<16>) -> Held {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody waits for these any more.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1 || turn.work.try_lock().is_err());
            Arc::clone(turns.entry(*object.as_bytes()).or_default())
        };
        turn.newest.send_modify(|number| *number += 1);
        let newest = turn.newest.subscribe();
        let work = Arc::clone(&turn.work).lock_owned().await;
        Held {
            _work: work,
            newest,
        }
    }

    /// How much came so far. No file: nothing.
    async fn offset(&self, object: &Fixed<16>) -> Result<u64, Refusal> {
        let path = self.path(object);
        blocking(move || match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            found => Ok(found?.len()),
        })
        .await
    }

    pub(super) async fn forget(&self, object: &Fixed<16>) {
        // What stays is an orphan, and goes as one.
        let _ = tokio::fs::remove_file(self.path(object)).await;
    }

    /// Files that no upload leads to and that are older than a day.
    pub(super) async fn remove_orphans(&self, vault: &Vault) -> Result<(), Refusal> {
        let folder = self.folder.clone();
        let old = blocking(move || {
            let mut old = Vec::new();
            for entry in std::fs::read_dir(folder)? {
                let entry = entry?;
                let object = entry.file_name().to_str().and_then(super::object_of);
                let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
                old.extend(object.filter(|_| age > ORPHAN));
            }
            Ok(old)
        })
        .await?;
        for object in old {
            if !vault.run(move |sql| upload::is_known(sql, &object)).await? {
                self.forget(&object).await;
            }
        }
        Ok(())
    }
}

async fn find(vault: &Vault, account: AccountId, object: Fixed<16>) -> Result<Upload, Refusal> {
    let now = vault.now();
    let found = vault
        .run(move |sql| upload::find(sql, &account, &object, now))
        .await?;
    found.ok_or_else(|| Code::NotFound.into())
}

impl Blobs {
    /// Begins an upload, or finds the one that was begun with the same words. Its length counts from now on.
    pub(crate) async fn begin(
        &self,
        vault: &Vault,
        account: AccountId,
        start: UploadStart,
    ) -> Result<UploadAt, Refusal> {
        let UploadStart { name, size, sha256 } = start;
        let words = Upload {
            name,
            size,
            hash: sha256,
        };
        let (object, now) = (random(), vault.now());
        let begun = vault
            .run(move |sql| upload::begin(sql, &account, object, &words, now))
            .await?;
        let upload = begun.map_err(|why| refused(why, self.grace_ms))?;
        self.came(vault, account, upload).await
    }

    /// How much came so far. Whatever request of this upload is still at work is ended for it.
    pub(crate) async fn came(
        &self,
        vault: &Vault,
        account: AccountId,
        object: Fixed<16>,
    ) -> Result<UploadAt, Refusal> {
        let Upload { size, .. } = find(vault, account, object).await?;
        let held = self.uploads.turn(&object).await;
        let offset = self.uploads.offset(&object).await?;
        drop(held);
        Ok(UploadAt {
            upload: object,
            offset,
            size,
        })
    }

    /// Takes `length` bytes that begin at `offset`. What came before a cut is kept.
    pub(crate) async fn go_on(
        self: Arc<Self>,
        vault: Arc<Vault>,
        account: AccountId,
        object: Fixed<16>,
        (offset, length): (u64, u64),
        body: Body,
    ) -> Result<UploadAt, Refusal> {
        // A task of its own: the request dies with its connection, and what came is written down after that.
        let taken = tokio::spawn(async move {
            let held = self.uploads.turn(&object).await;
            // After its turn: an upload that was given up meanwhile has no quota, and must get no file.
            let Upload { size, .. } = self.find_in_turn(&vault, account, object).await?;
            let at = self.uploads.offset(&object).await?;
            if offset != at {
                return Err(Code::Conflict.into());
            }
            if length > size.saturating_sub(offset) {
                return Err(Code::TooLarge.into());
            }
            // After its turn: the request that it takes over from has given its own back.
            let _share = self.shares.take(account)?;
            let pieces = self.gathering.pieces(body, length);
            append(&self.uploads.path(&object), at, pieces, held).await?;
            Ok(UploadAt {
                upload: object,
                offset: at.saturating_add(length),
                size,
            })
        });
        taken.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Names an upload that is whole and has the hash that was stated. One that has another is given up.
    pub(crate) async fn finish(
        self: Arc<Self>,
        vault: Arc<Vault>,
        account: AccountId,
        object: Fixed<16>,
    ) -> Result<BlobInfo, Refusal> {
        // A task of its own, so that it is not left in the middle.
        let finished = tokio::spawn(async move {
            let held = self.uploads.turn(&object).await;
            let Upload { name, size, hash } = self.find_in_turn(&vault, account, object).await?;
            if self.uploads.offset(&object).await? != size {
                return Err(Code::Conflict.into());
            }
            let path = self.uploads.path(&object);
            let is_right = {
                let path = path.clone();
                blocking(move || make_durable(&path, &hash)).await?
            };
            if !is_right {
                self.end(&vault, account, object).await?;
                return Err(Code::NotWhole.into());
            }
            self.place.adopt(&object, &path).await?;
            let named = vault
                .run(move |sql| upload::finish(sql, &account, &object))
                .await?;
            drop(held);
            match named {
                Some(Ok(_)) => Ok(BlobInfo { name, size }),
                Some(Err(why)) => {
                    self.place.remove(&object, size).await?;
                    Err(refused(why, self.grace_ms))
                }
                // Given up, with its account perhaps, or named by another server that has it too.
                None => {
                    if !vault.run(move |sql| blob::is_named(sql, &object)).await? {
                        self.place.remove(&object, size).await?;
                    }
                    Err(Code::NotFound.into())
                }
            }
        });
        finished.await.map_err(|error| Refusal::internal(&error))?
    }

    /// The upload that is worked on. Where there is none any more, of whomever, its bytes go.
    async fn find_in_turn(
        &self,
        vault: &Vault,
        account: AccountId,
        object: Fixed<16>,
    ) -> Result<Upload, Refusal> {
        let found = find(vault, account, object).await;
        if matches!(&found, Err(refusal) if refusal.problem.code == Code::NotFound)
            && !vault.run(move |sql| upload::is_known(sql, &object)).await?
        {
            self.uploads.forget(&object).await;
        }
        found
    }

    /// Gives an upload up. Whatever request of it is still at work is ended for it.
    pub(crate) async fn give_up(
        self: Arc<Self>,
        vault: Arc<Vault>,
        account: AccountId,
        object: Fixed<16>,
    ) -> Result<(), Refusal> {
        // A task of its own, as `finish`.
        let ended = tokio::spawn(async move {
            let _held = self.uploads.turn(&object).await;
            self.end(&vault, account, object).await
        });
        ended.await.map_err(|error| Refusal::internal(&error))?
    }

    /// Gives an upload up for who has its turn.
    async fn end(
        &self,
        vault: &Vault,
        account: AccountId,
        object: Fixed<16>,
    ) -> Result<(), Refusal> {
        let cancelled = vault
            .run(move |sql| upload::cancel(sql, &account, &object))
            .await?;
        if !cancelled {
            return Err(Code::NotFound.into());
        }
        self.uploads.forget(&object).await;
        Ok(())
    }

    /// Gives up what was not finished within a day.
    pub(super) async fn sweep_uploads(&self, vault: &Vault, now: u64) -> Result<(), Refusal> {
        loop {
            let over = vault.run(move |sql| upload::over(sql, now)).await?;
            if over.is_empty() {
                return Ok(());
            }
            for (account, object) in over {
                // Somebody who still sends is heard out, and the sweep has more to do than to wait for that.
                let Ok(_held) = timeout(PATIENCE, self.uploads.turn(&object)).await else {
                    return Ok(());
                };
                match self.end(vault, account, object).await {
                    // Its owner was quicker.
                    Err(refusal) if refusal.problem.code == Code::NotFound => (),
                    ended => ended?,
                }
            }
        }
    }
}

/// Appends what comes, until all of it is there, the connection breaks, or somebody newer asks.
async fn append(path: &Path, at: u64, mut pieces: Pieces, mut held: Held) -> Result<(), Refusal> {
    let path = path.to_owned();
    let mut file = blocking(move || {
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(file)
    })
    .await?;
    loop {
        let piece = tokio::select! {
            piece = pieces.next() => piece?,
            _ = held.newest.changed() => {
                // What is already on this computer is taken all the same.
                while let Ok(Some(piece)) = timeout(REST, pieces.next()).await.unwrap_or(Ok(None)) {
                    file = write(file, piece).await?;
                }
                if let Some(piece) = pieces.rest() {
                    write(file, piece).await?;
                }
                return Err(Code::Conflict.into());
            }
        };
        let Some(piece) = piece else { break };
        file = write(file, piece).await?;
    }
    if pieces.is_whole() {
        Ok(())
    } else {
        Err(Code::CutShort.into())
    }
}

/// Whether the file has this hash; durable if so.
fn make_durable(path: &Path, hash: &Fixed<32>) -> io::Result<bool> {
    let mut file = match File::open(path) {
        // Nothing was sent, for there is nothing to send.
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::create_new(path)?,
        opened => opened?,
    };
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        let read = file.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        hasher.update(bytes);
    }
    if hasher.finalize()[..] != hash.as_bytes()[..] {
        return Ok(false);
    }
    file.sync_all()?;
    Ok(true)
}
