//! Objects: names and quotas in the database, bytes under random names that tell nothing about accounts.

mod buffers;
mod folder;
mod pieces;
mod s3;
mod shares;
mod upload;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use heirloom_vault_api::{AccountId, BlobInfo, BlobName, Code, Fixed, Problem};

use self::folder::Folder;
use self::pieces::{Gathering, Pieces};
pub use self::s3::ObjectsFileError;
use self::s3::S3;
use self::shares::Shares;
use self::upload::Uploads;
use crate::config::Objects;
use crate::refusal::Refusal;
use crate::store::blob;
use crate::vault::{Vault, random};

/// Uploads of one account at a time: each has a connection and a file. A computer has three.
const OF_ACCOUNT: usize = 8;
/// The same where they go on from here, and there are few places for pieces that do.
const OF_ACCOUNT_ON_S3: usize = 4;

/// How old bytes without a name must be before they go.
const ORPHAN: Duration = Duration::from_hours(24);

/// For a storage that is asked whether it is there.
const REACH: Duration = Duration::from_secs(5);

/// Why objects cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Storage(#[from] ObjectsFileError),
}

/// The file's name of an object.
fn file_name(object: &Fixed<16>) -> String {
    format!("{:032x}", u128::from_be_bytes(*object.as_bytes()))
}

/// The object of a file's name, if it is one that we give.
fn object_of(name: &str) -> Option<Fixed<16>> {
    let number = u128::from_str_radix(name, 16).ok()?;
    let object = Fixed(number.to_be_bytes());
    (file_name(&object) == name).then_some(object)
}

/// `grace_ms`: how long what was deleted takes room.
fn refused(why: blob::Refused, grace_ms: u64) -> Refusal {
    match why {
        blob::Refused::Exists => Code::Conflict.into(),
        blob::Refused::Quota { used, quota } => {
            Problem::from(Code::QuotaExceeded).quota(used, quota).into()
        }
        // Without the figures: what is used is less than the quota.
        blob::Refused::Deleted => {
            let days = grace_ms.div_ceil(24 * 3600 * 1000);
            let mut problem = Problem::from(Code::QuotaExceeded);
            problem.title = format!(
                "deleted objects are kept for {days} days and take room until then: with them it is more than \
                 twice the quota"
            );
            problem.into()
        }
        blob::Refused::TooMany => Problem::from(Code::TooManyRequests).retry_after(60).into(),
    }
}

/// Where bytes lie.
#[derive(Debug)]
enum Place {
    Folder(Folder),
    S3(S3),
}

impl Place {
    async fn store(&self, object: &Fixed<16>, size: u64, body: Pieces) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => folder.store(object, body).await,
            Self::S3(s3) => s3.store(object, size, body).await,
        }
    }

    /// Takes what lies whole in a file, which then is gone.
    async fn adopt(&self, object: &Fixed<16>, file: &Path) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => folder.adopt(object, file).await,
            Self::S3(s3) => s3.adopt(object, file).await,
        }
    }

    async fn read(&self, object: &Fixed<16>, first: u64, length: u64) -> Result<Body, Refusal> {
        match self {
            Self::Folder(folder) => folder.read(object, first, length).await,
            Self::S3(s3) => s3.read(object, first, length).await,
        }
    }

    async fn remove(&self, object: &Fixed<16>, size: u64) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => folder.remove(object).await,
            Self::S3(s3) => s3.remove(object, size).await,
        }
    }

    async fn remove_all(&self, object: &Fixed<16>) -> Result<(), Refusal> {
        match self {
            Self::Folder(folder) => folder.remove(object).await,
            Self::S3(s3) => s3.remove_all(object).await,
        }
    }

    async fn old(&self, first: u8, age: Duration) -> Result<Vec<Fixed<16>>, Refusal> {
        match self {
            Self::Folder(folder) => folder.old(first, age).await,
            Self::S3(s3) => s3.old(first, age).await,
        }
    }
}

/// Objects.
#[derive(Debug)]
pub(crate) struct Blobs {
    place: Place,
    uploads: Uploads,
    grace_ms: u64,
    gathering: Gathering,
    shares: Shares,
}

impl Blobs {
    /// Opens or makes the folder, or reads where the storage is.
    pub(crate) fn open(
        folder: &Path,
        objects: &Objects,
        grace: Duration,
    ) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder)?;
        let place = match objects {
            Objects::Folder => Place::Folder(Folder::open(folder.to_owned())?),
            Objects::S3 { file } => Place::S3(S3::open(file, folder.join("part"))?),
        };
        let of_account = match place {
            Place::Folder(_) => OF_ACCOUNT,
            Place::S3(_) => OF_ACCOUNT_ON_S3,
        };
        Ok(Self {
            place,
            uploads: Uploads::open(folder.join("uploads"))?,
            grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            gathering: Gathering::default(),
            shares: Shares::new(of_account),
        })
    }

    /// Whether objects can be had.
    pub(crate) async fn check(&self) -> Result<(), Refusal> {
        match &self.place {
            Place::Folder(folder) => folder.check().await,
            Place::S3(s3) => s3.check().await,
        }
    }

    /// Whether the place of objects is there.
    pub(crate) async fn is_reachable(&self) -> bool {
        let checked = tokio::time::timeout(REACH, self.check()).await;
        checked.is_ok_and(|checked| checked.is_ok())
    }

    /// Takes an object of exactly `size` bytes, if none of this name is there and the quota allows it.
    pub(crate) async fn create(
        self: Arc<Self>,
        vault: Arc<Vault>,
        account: AccountId,
        name: BlobName,
        size: u64,
        body: Body,
    ) -> Result<(), Refusal> {
        let share = self.shares.take(account)?;
        let wanted = name.clone();
        // Early, so that no byte is sent in vain; decided again when it is there.
        let room = vault
            .run(move |sql| match blob::find(sql, &account, &wanted)? {
                Some(_) => Ok(Err(blob::Refused::Exists)),
                None => blob::room(sql, &account, size),
            })
            .await?;
        room.map_err(|why| refused(why, self.grace_ms))?;
        // A task of its own: the request dies with its connection, and half an object is cleared away after that.
        let created = tokio::spawn(async move {
            let _share = share;
            let object = random();
            let pieces = self.gathering.pieces(body, size);
            self.place.store(&object, size, pieces).await?;
            let created = vault
                .run(move |sql| blob::create(sql, &account, &object, &name, size))
                .await;
            // An unknown outcome keeps the bytes: the name may point to them.
            if let Err(why) = created? {
                self.place.remove(&object, size).await?;
                return Err(refused(why, self.grace_ms));
            }
            Ok(())
        });
        created.await.map_err(|error| Refusal::internal(&error))?
    }

    /// `length` of its bytes, from `first` on.
    pub(crate) async fn read(
        &self,
        object: &Fixed<16>,
        first: u64,
        length: u64,
    ) -> Result<Body, Refusal> {
        self.place.read(object, first, length).await
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

    /// Gives a deleted object its name back, as long as the grace lasts.
    pub(crate) async fn restore(
        &self,
        vault: &Vault,
        account: AccountId,
        name: BlobName,
    ) -> Result<BlobInfo, Refusal> {
        let before = vault.now().saturating_sub(self.grace_ms);
        let wanted = name.clone();
        let restored = vault
            .run(move |sql| blob::restore(sql, &account, &wanted, before))
            .await?;
        let size = restored
            .ok_or(Code::NotFound)?
            .map_err(|why| refused(why, self.grace_ms))?;
        Ok(BlobInfo { name, size })
    }

    /// Removes bytes that no name leads to: a crash left them between their last byte and their name.
    ///
    /// Only old ones, for young ones may be about to be named. None as long as the database may be an old copy: the
    /// names of what came after it are only missing in it.
    pub(crate) async fn remove_orphans(&self, vault: &Vault) -> Result<(), Refusal> {
        if !vault.standing().is_accepted() {
            return Ok(());
        }
        for first in 0..=u8::MAX {
            for object in self.place.old(first, ORPHAN).await? {
                if !vault.run(move |sql| blob::is_named(sql, &object)).await? {
                    self.place.remove_all(&object).await?;
                }
            }
        }
        self.uploads.remove_orphans(vault).await
    }

    /// Frees what is deleted for longer than the grace, and gives up what nobody finished. Neither as long as the
    /// database may be an old copy: what it calls deleted may have been brought back since.
    pub(crate) async fn sweep(&self, vault: &Vault, now: u64) -> Result<(), Refusal> {
        if !vault.standing().is_accepted() {
            return Ok(());
        }
        self.sweep_uploads(vault, now).await?;
        let before = now.saturating_sub(self.grace_ms);
        let mut swept = Ok(());
        loop {
            let over = vault.run(move |sql| blob::over(sql, before)).await?;
            if over.is_empty() {
                return swept;
            }
            for (account, object) in over {
                // The name first: from here on nobody can bring it back, and what stays is an orphan.
                let gone = vault
                    .run(move |sql| blob::gone(sql, &account, &object, before))
                    .await?;
                if let Some(size) = gone
                    && let Err(refusal) = self.place.remove(&object, size).await
                {
                    swept = Err(refusal);
                }
            }
        }
    }
}
