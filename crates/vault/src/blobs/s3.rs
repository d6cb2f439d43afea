//! Objects on S3-compatible storage, in pieces.
//!
//! An object lies in pieces of 8 MiB, each written whole under a random name that is never given again. So there is
//! no multi-part upload that a crash could leave behind, and writing a piece twice is writing it once. What is there
//! at all is the database's to say.
//!
//! A body is taken whole into a file on this computer before its first byte goes to the storage: a sender who is slow
//! holds a file, and none of the few places in which a piece is in memory.

mod settings;
mod transport;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use heirloom_vault_api::Fixed;
use opendal::{Buffer, ErrorKind, FuturesBytesStream, HttpTransporter, OperationContext, Operator};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;

use self::settings::Settings;
use self::transport::Transport;
use super::folder::{blocking, empty, receive};
use super::pieces::Pieces;
use crate::refusal::Refusal;

/// What one name of the storage holds at most. Fixed: it is part of where bytes are found.
const PIECE: u64 = 8 << 20;
/// Pieces in memory, on their way from this computer to the storage, at a time.
const WRITES: usize = 16;
/// How often a read is begun that breaks off without a single byte; each of them is asked for patiently already.
const READS: u32 = 2;

pub use self::settings::ObjectsFileError;

/// A bucket, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct S3 {
    operator: Operator,
    writes: std::sync::Arc<Semaphore>,
    /// Bodies that come in.
    part: PathBuf,
}

/// The operator reads it: what went wrong, without names of objects.
fn refusal(error: &opendal::Error) -> Refusal {
    Refusal::internal(&format!("the object storage answered: {}", error.kind()))
}

fn piece_name(object: &Fixed<16>, number: u64) -> String {
    let name = super::file_name(object);
    format!("{}/{name}.{number}", name.get(..2).unwrap_or("00"))
}

/// Which object a piece belongs to, if it is a name that we gave.
fn object_of(path: &str) -> Option<Fixed<16>> {
    let (_, file) = path.rsplit_once('/')?;
    let (object, number) = file.split_once('.')?;
    let object = super::object_of(object)?;
    let number = number.parse().ok()?;
    (piece_name(&object, number) == path).then_some(object)
}

impl S3 {
    /// Reads the file of settings; asks nobody yet. What a crash left in `part` goes.
    pub(super) fn open(file: &Path, part: PathBuf) -> Result<Self, ObjectsFileError> {
        let settings = Settings::read(file)?;
        empty(&part)?;
        let service = opendal::services::S3::default()
            .root(&settings.prefix)
            .bucket(&settings.bucket)
            .endpoint(&settings.endpoint)
            .region(&settings.region)
            .access_key_id(&settings.access_key_id)
            .secret_access_key(settings.secret_access_key.expose_secret())
            // Torn writes are the storage's to find.
            .checksum_algorithm("md5")
            // Nothing of the machine's own: neither its environment nor its cloud's sign-in.
            .disable_config_load()
            .disable_ec2_metadata();
        let context =
            OperationContext::new().with_http_transport(HttpTransporter::new(Transport::new(
                settings.is_plain(),
                Duration::from_secs(settings.timeout_s.max(1)),
            )));
        let operator = Operator::new(service)
            .map_err(|error| ObjectsFileError::Refused(error.to_string()))?
            .with_context(context);
        Ok(Self {
            operator,
            writes: std::sync::Arc::new(Semaphore::new(WRITES)),
            part,
        })
    }

    /// Whether the storage answers and lets us in.
    pub(super) async fn check(&self) -> Result<(), Refusal> {
        let check = self.operator.list_with("00/").limit(1).await;
        check.map(drop).map_err(|error| refusal(&error))
    }

    /// Takes a whole body of `size` bytes. Half an object leaves nothing, or orphans where the storage is gone.
    pub(super) async fn store(
        &self,
        object: &Fixed<16>,
        size: u64,
        body: Pieces,
    ) -> Result<(), Refusal> {
        let part = self.part.join(super::file_name(object));
        let stored = match receive(&part, body).await {
            Ok(_) => {
                let adopted = self.adopt(object, &part).await;
                if adopted.is_err() {
                    let _ = self.remove(object, size).await;
                }
                adopted
            }
            Err(refusal) => Err(refusal),
        };
        if stored.is_err() {
            let _ = tokio::fs::remove_file(&part).await;
        }
        stored
    }

    async fn write(&self, object: &Fixed<16>, number: u64, bytes: Buffer) -> Result<(), Refusal> {
        let name = piece_name(object, number);
        let written = self.operator.write(&name, bytes).await;
        written.map(drop).map_err(|error| refusal(&error))
    }

    /// Stores what lies whole in a file, which then goes.
    pub(super) async fn adopt(&self, object: &Fixed<16>, file: &Path) -> Result<(), Refusal> {
        let path = file.to_owned();
        let mut source = blocking(move || std::fs::File::open(path)).await?;
        for number in 0.. {
            // For as long as a piece is in memory, and no longer: a short object does not wait for a long one.
            let _place = self
                .writes
                .acquire()
                .await
                .map_err(|error| Refusal::internal(&error))?;
            let (bytes, back) = blocking(move || {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::Read::take(&mut source, PIECE), &mut bytes)?;
                Ok((bytes, source))
            })
            .await?;
            source = back;
            if bytes.is_empty() {
                break;
            }
            self.write(object, number, Buffer::from(bytes)).await?;
        }
        let _ = tokio::fs::remove_file(file).await;
        Ok(())
    }

    /// The bytes from `first` on. A read that breaks off is gone on with.
    pub(super) async fn read(
        &self,
        object: &Fixed<16>,
        first: u64,
        length: u64,
    ) -> Result<Body, Refusal> {
        let mut reading = Reading {
            s3: self.clone(),
            object: *object,
            at: first,
            end: first.saturating_add(length),
            stream: None,
            left: READS,
        };
        // The first bytes before the answer's head: what is gone is said in words.
        let begun = reading.next().await;
        let begun = begun.map_err(|error| refusal(&error))?;
        let first = stream::iter(begun.map(Ok));
        let rest = stream::try_unfold(reading, async |mut reading| {
            let next = reading.next().await;
            let next = next.map_err(|error| io::Error::other(error.kind().to_string()))?;
            Ok::<_, io::Error>(next.map(|bytes| (bytes, reading)))
        });
        Ok(Body::from_stream(first.chain(rest)))
    }

    /// Removes an object; none is no error.
    pub(super) async fn remove(&self, object: &Fixed<16>, size: u64) -> Result<(), Refusal> {
        for number in 0..size.div_ceil(PIECE) {
            let removed = self.operator.delete(&piece_name(object, number)).await;
            removed.map_err(|error| refusal(&error))?;
        }
        Ok(())
    }

    /// Objects whose names begin with these eight bits and all of whose pieces are older than `age`.
    pub(super) async fn old(&self, first: u8, age: Duration) -> Result<Vec<Fixed<16>>, Refusal> {
        let failed = |error: opendal::Error| refusal(&error);
        let before = SystemTime::now().checked_sub(age);
        let (mut old, mut young) = (BTreeSet::new(), BTreeSet::new());
        let folder = format!("{first:02x}/");
        let mut found = self.operator.lister(&folder).await.map_err(failed)?;
        while let Some(entry) = found.try_next().await.map_err(failed)? {
            let Some(object) = object_of(entry.path()) else {
                continue;
            };
            let modified = entry.metadata().last_modified().map(SystemTime::from);
            let is_old = modified.zip(before).is_some_and(|(at, before)| at < before);
            if is_old { &mut old } else { &mut young }.insert(*object.as_bytes());
        }
        Ok(old.difference(&young).copied().map(Fixed).collect())
    }

    /// Removes every piece of an object whose length is not known.
    pub(super) async fn remove_all(&self, object: &Fixed<16>) -> Result<(), Refusal> {
        let failed = |error: opendal::Error| refusal(&error);
        let name = super::file_name(object);
        let prefix = format!("{}/{name}.", name.get(..2).unwrap_or("00"));
        for entry in self.operator.list(&prefix).await.map_err(failed)? {
            if object_of(entry.path()) == Some(*object) {
                self.operator.delete(entry.path()).await.map_err(failed)?;
            }
        }
        Ok(())
    }
}

/// Bytes of an object, piece after piece.
struct Reading {
    s3: S3,
    object: Fixed<16>,
    at: u64,
    end: u64,
    /// Of the piece that `at` lies in.
    stream: Option<FuturesBytesStream>,
    /// How often it may still break off.
    left: u32,
}

impl Reading {
    async fn next(&mut self) -> opendal::Result<Option<Bytes>> {
        while self.at < self.end {
            let came = match self.stream.as_mut() {
                Some(stream) => stream.next().await,
                None => match self.open().await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(error) => Some(Err(io::Error::other(error))),
                },
            };
            match came {
                Some(Ok(bytes)) if !bytes.is_empty() => {
                    self.at = self
                        .at
                        .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                    self.left = READS;
                    if self.at.is_multiple_of(PIECE) {
                        self.stream = None;
                    }
                    return Ok(Some(bytes));
                }
                Some(Ok(_)) => (),
                broken => {
                    self.stream = None;
                    let why = broken.and_then(Result::err).map_or_else(
                        || opendal::Error::new(ErrorKind::Unexpected, "a piece is too short"),
                        |error| {
                            error
                                .downcast()
                                .unwrap_or_else(|error: io::Error| unexpected(&error))
                        },
                    );
                    self.left = self.left.saturating_sub(1);
                    if self.left == 0 || why.kind() == ErrorKind::NotFound {
                        return Err(why);
                    }
                }
            }
        }
        Ok(None)
    }

    async fn open(&self) -> opendal::Result<FuturesBytesStream> {
        let (number, first) = (self.at / PIECE, self.at % PIECE);
        let last = PIECE.min(first + (self.end - self.at));
        let name = piece_name(&self.object, number);
        let reader = self.s3.operator.reader(&name).await?;
        reader.into_bytes_stream(first..last).await
    }
}

fn unexpected(error: &io::Error) -> opendal::Error {
    opendal::Error::new(ErrorKind::Unexpected, error.to_string())
}
