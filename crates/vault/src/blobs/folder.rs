//! Objects as files with random names in one folder.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use heirloom_vault_api::{Code, Fixed};
use tokio::fs;
use tokio::task::{JoinHandle, spawn_blocking};

use super::buffers::{self, Buffers};
use super::pieces::Pieces;
use crate::generation::sync_folder;
use crate::refusal::Refusal;

/// A folder of objects.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// Two for each download.
    buffers: Buffers,
}

pub(super) fn io_refusal(error: &io::Error) -> Refusal {
    match error.kind() {
        // Not the account's quota: the operator's disk.
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Refusal::internal(&"no space is left for objects")
        }
        kind => Refusal::internal(&kind),
    }
}

/// Runs blocking work.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    spawn_blocking(work)
        .await
        .map_err(|error| Refusal::internal(&error))?
        .map_err(|error| io_refusal(&error))
}

impl Folder {
    /// Opens or makes the folder; what a crash left half-written goes.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        empty(&root.join("part"))?;
        for first in 0..=u8::MAX {
            std::fs::create_dir_all(root.join(format!("{first:02x}")))?;
        }
        sync_folder(&root)?;
        Ok(Self {
            root,
            buffers: Buffers::default(),
        })
    }

    /// Whether it is there.
    pub(super) async fn check(&self) -> Result<(), Refusal> {
        let found = fs::metadata(&self.root).await;
        found.map(drop).map_err(|error| io_refusal(&error))
    }

    /// Where an object's bytes lie.
    fn path(&self, object: &Fixed<16>) -> PathBuf {
        let name = super::file_name(object);
        self.root.join(name.get(..2).unwrap_or("00")).join(&name)
    }

    /// Takes a whole body and makes it durable under the object's name. Half an object leaves nothing.
    pub(super) async fn store(&self, object: &Fixed<16>, body: Pieces) -> Result<(), Refusal> {
        let part = self.root.join("part").join(object.to_text());
        let stored = match receive_durably(&part, body).await {
            Ok(()) => self.adopt(object, &part).await,
            Err(refusal) => Err(refusal),
        };
        if stored.is_err() {
            let _ = fs::remove_file(&part).await;
        }
        stored
    }

    /// Gives a whole and durable file its object's name.
    pub(super) async fn adopt(&self, object: &Fixed<16>, file: &Path) -> Result<(), Refusal> {
        let (path, file) = (self.path(object), file.to_owned());
        blocking(move || {
            std::fs::rename(&file, &path)?;
            path.parent().map_or(Ok(()), sync_folder)
        })
        .await
    }

    /// The bytes from `first` on, as they are read.
    pub(super) async fn read(
        &self,
        object: &Fixed<16>,
        first: u64,
        length: u64,
    ) -> Result<Body, Refusal> {
        let path = self.path(object);
        let file = blocking(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(first))?;
            Ok(file)
        })
        .await?;
        Ok(body(file, length, self.buffers.clone()))
    }

    /// Removes an object; none is no error.
    pub(super) async fn remove(&self, object: &Fixed<16>) -> Result<(), Refusal> {
        match fs::remove_file(self.path(object)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_refusal(&error)),
            _ => Ok(()),
        }
    }

    /// Objects of one of the 256 folders that are older than `age`.
    pub(super) async fn old(&self, first: u8, age: Duration) -> Result<Vec<Fixed<16>>, Refusal> {
        let this = self.clone();
        blocking(move || {
            let mut old = Vec::new();
            for entry in std::fs::read_dir(this.root.join(format!("{first:02x}")))? {
                let entry = entry?;
                let name = entry.file_name();
                let object = name.to_str().and_then(super::object_of);
                // Not a name that we gave: not ours to remove.
                let Some(object) = object.filter(|object| this.path(object) == entry.path()) else {
                    continue;
                };
                let modified = entry.metadata()?.modified()?;
                if modified.elapsed().unwrap_or_default() > age {
                    old.push(object);
                }
            }
            Ok(old)
        })
        .await
    }
}

/// Makes an empty folder, and empties one that a crash left.
pub(super) fn empty(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    std::fs::create_dir_all(folder)
}

async fn receive_durably(part: &Path, pieces: Pieces) -> Result<(), Refusal> {
    let file = receive(part, pieces).await?;
    blocking(move || file.sync_all()).await
}

/// Writes a whole body to a new file, which a crash may lose.
pub(super) async fn receive(part: &Path, mut pieces: Pieces) -> Result<File, Refusal> {
    let path = part.to_owned();
    let mut file = blocking(move || File::create_new(path)).await?;
    while let Some(piece) = pieces.next().await? {
        file = write(file, piece).await?;
    }
    if !pieces.is_whole() {
        return Err(Code::CutShort.into());
    }
    Ok(file)
}

/// Writes a piece behind what is there.
pub(super) async fn write(mut file: File, piece: Vec<Bytes>) -> Result<File, Refusal> {
    blocking(move || {
        for bytes in &piece {
            file.write_all(bytes)?;
        }
        Ok(file)
    })
    .await
}

struct Reading {
    next: JoinHandle<io::Result<(File, Bytes)>>,
    left: u64,
}

fn read_next(mut file: File, left: u64, buffers: Buffers) -> JoinHandle<io::Result<(File, Bytes)>> {
    spawn_blocking(move || {
        let most = usize::try_from(left).map_or(buffers::BYTES, |left| left.min(buffers::BYTES));
        let piece = buffers.read(&mut file, most)?;
        Ok((file, piece))
    })
}

/// A part of a file; the next piece is read while the one before is sent.
fn body(file: File, length: u64, buffers: Buffers) -> Body {
    let reading = (length > 0).then(|| Reading {
        next: read_next(file, length, buffers.clone()),
        left: length,
    });
    Body::from_stream(stream::try_unfold(reading, move |reading| {
        let buffers = buffers.clone();
        async move {
            let Some(Reading { next, left }) = reading else {
                return Ok::<_, io::Error>(None);
            };
            let (file, piece) = next.await.map_err(io::Error::other)??;
            let left = left.saturating_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX));
            let reading = (left > 0).then(|| Reading {
                next: read_next(file, left, buffers),
                left,
            });
            Ok(Some((piece, reading)))
        }
    }))
}
