//! Media: read, cut into pieces, sealed where they were read to. Workers share one queue.

mod results;

pub(crate) use results::{Results, Stored};

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use heirloom_archive::{MediaFile, MediaStore, Stamp, frames};
use prost::Message as _;

use crate::error::EngineError;
use crate::format::PIECE_BYTES;
use crate::format::index::ChunkKind;
use crate::ids::{ChunkId, ShortId};
use crate::keys::purpose;
use crate::ledger::{Change, Space};
use crate::packer::{Packer, Stream};
use crate::progress::Phase;
use crate::proto;

/// Names a medium of this source in the ledger and among the results.
pub(crate) type MediaKey = [u8; 16];

/// Pieces up to this many stand in the attachment itself.
const INLINE_PIECES: usize = 64;
/// Media waiting at most; the order among them is that of keyed hashes, which tells nothing.
const WAITING: usize = 256;
/// Places that are free before the reader is woken.
const ROOM: usize = 32;
/// A file changed so shortly ago may change again within the same tick of its clock.
const RACY_NS: i64 = 2_000_000_000;

/// Files of which the ledger is told at once.
const REMEMBER: usize = 128;

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<MediaKey, String>,
    seen: HashSet<MediaKey>,
    results: Results,
    remembered: Vec<Change>,
    /// Framed records of the files that were read.
    files: Vec<u8>,
    closed: bool,
    failed: Option<EngineError>,
}

/// What there is when all workers are done.
pub(crate) struct Done {
    pub(crate) results: Results,
    /// Framed `KnownFile` records of the files that were read.
    pub(crate) files: Vec<u8>,
}

/// The media of one run.
pub(crate) struct Media<'a, 'p> {
    packer: &'a Packer<'p>,
    files: &'a dyn MediaStore,
    queue: Mutex<Queue>,
    /// A medium waits, or none will come, or a worker has failed.
    more: Condvar,
    /// There is room in the queue again, or a worker has failed.
    room: Condvar,
    inline: Option<Mutex<Option<Stream>>>,
    now_ns: i64,
    /// Read files even if they are known by size and time.
    force: bool,
}

impl<'a, 'p> Media<'a, 'p> {
    /// `workers`: 0 = media are stored as soon as they are named.
    pub(crate) fn new(
        packer: &'a Packer<'p>,
        files: &'a dyn MediaStore,
        workers: usize,
        now_ns: i64,
        force: bool,
    ) -> Self {
        let inline = (workers == 0).then(|| Mutex::new(Some(packer.stream())));
        Self {
            packer,
            files,
            queue: Mutex::default(),
            more: Condvar::new(),
            room: Condvar::new(),
            inline,
            now_ns,
            force,
        }
    }

    pub(crate) fn key(&self, path: &str) -> MediaKey {
        let hash = self.packer.ids.keyed(purpose::FILE, path.as_bytes());
        hash[..16].try_into().expect("16 bytes")
    }

    /// Asks for a medium to be stored; waits while too many are waiting. Fails when a worker has failed.
    pub(crate) fn want(&self, path: &str) -> Result<(), Stopped> {
        let key = self.key(path);
        let mut queue = self.lock();
        if !queue.seen.insert(key) {
            return Ok(());
        }
        if let Some(stream) = &self.inline {
            drop(queue);
            let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            let stored = stream.as_mut().map(|stream| self.store(stream, key, path));
            return match stored {
                Some(Err(error)) => Err(self.fail(error)),
                Some(Ok(())) | None => Ok(()),
            };
        }
        while queue.waiting.len() >= WAITING && queue.failed.is_none() {
            queue = self
                .room
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if queue.failed.is_some() {
            return Err(Stopped);
        }
        queue.waiting.insert(key, path.to_owned());
        drop(queue);
        self.more.notify_one();
        Ok(())
    }

    /// No more will be wanted.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.more.notify_all();
    }

    /// A worker: stores media until the queue is closed and empty.
    pub(crate) fn work(&self) {
        let mut stream = self.packer.stream();
        loop {
            let next = {
                let mut queue = self.lock();
                loop {
                    if queue.failed.is_some() {
                        return;
                    }
                    if let Some(next) = queue.waiting.pop_first() {
                        // Only the reader waits for room, and not at every place that becomes free.
                        if queue.waiting.len() == WAITING - ROOM {
                            self.room.notify_one();
                        }
                        break Some(next);
                    }
                    if queue.closed {
                        break None;
                    }
                    queue = self
                        .more
                        .wait(queue)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            };
            let done = match next {
                Some((key, path)) => self.store(&mut stream, key, &path),
                None => match self.packer.finish(stream) {
                    Ok(()) => return,
                    Err(error) => {
                        self.fail(error);
                        return;
                    }
                },
            };
            if let Err(error) = done {
                self.fail(error);
                return;
            }
        }
    }

    /// The results, when all workers are done. The ledger knows what was read.
    pub(crate) fn finish(self) -> Result<Done, EngineError> {
        if let Some(stream) = self
            .inline
            .and_then(|stream| stream.into_inner().unwrap_or_else(PoisonError::into_inner))
        {
            self.packer.finish(stream)?;
        }
        let Queue {
            results,
            remembered,
            files,
            failed,
            ..
        } = self
            .queue
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        self.packer.remember(remembered)?;
        match failed {
            Some(error) => Err(error),
            None => Ok(Done { results, files }),
        }
    }

    fn fail(&self, error: EngineError) -> Stopped {
        self.lock().failed.get_or_insert(error);
        self.more.notify_all();
        self.room.notify_all();
        Stopped
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self, stream: &mut Stream, key: MediaKey, path: &str) -> Result<(), EngineError> {
        if self.packer.progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let stamp = self.files.stamp(path).ok().flatten();
        if let Some(stamp) = stamp
            && !self.force
            && let Some(stored) = self.remembered(key, &stamp)?
        {
            let bytes = if let Stored::Content { bytes, .. } = &stored {
                *bytes
            } else {
                0
            };
            self.packer.progress.advance(Phase::StoringMedia, 1, bytes);
            self.lock().results.insert(key, &stored);
            return Ok(());
        }
        let stored = match self.files.open(path) {
            Ok(MediaFile::File(file)) => match File::open(file) {
                Ok(mut file) => self.store_pieces(stream, &mut file)?,
                Err(error) => unreadable(&error),
            },
            Ok(MediaFile::Stream(mut reader)) => self.store_pieces(stream, &mut reader)?,
            Err(error) => unreadable(&error),
        };
        self.lock().results.insert(key, &stored);
        let (Stored::Content { content, .. }, Some(stamp)) = (&stored, stamp) else {
            return Ok(());
        };
        if stamp.modified_ns >= self.now_ns - RACY_NS {
            return Ok(());
        }
        let is_told = self.is_told(key, &stamp, content)?;
        let mut queue = self.lock();
        if !is_told {
            let file = proto::KnownFile {
                key: key.to_vec(),
                modified_ns: stamp.modified_ns,
                content: content.clone(),
            };
            frames::push(&file, &mut queue.files);
        }
        queue.remembered.push(known_file(key, &stamp, content));
        if queue.remembered.len() < REMEMBER {
            return Ok(());
        }
        let full = std::mem::take(&mut queue.remembered);
        drop(queue);
        self.packer.remember(full)
    }

    /// Whether an earlier run read the same: its note stands.
    fn is_told(&self, key: MediaKey, stamp: &Stamp, content: &[u8]) -> Result<bool, EngineError> {
        let known = self.packer.ledger.get(Space::File, &key)?;
        Ok(known.is_some_and(|value| {
            value
                .split_first_chunk::<STAMP_BYTES>()
                .is_some_and(|(known, told)| {
                    modified_of(known) == stamp.modified_ns && told == content
                })
        }))
    }

    /// What is known of a file that has not changed, if all its chunks are stored.
    fn remembered(&self, key: MediaKey, stamp: &Stamp) -> Result<Option<Stored>, EngineError> {
        let Some(value) = self.packer.ledger.get(Space::File, &key)? else {
            return Ok(None);
        };
        let Some((known, encoded)) = value.split_first_chunk::<STAMP_BYTES>() else {
            return Ok(None);
        };
        let exact = *known == encode_stamp(stamp);
        let told = stamp.modified_ns != 0 && *known == encode_stamp(&noted(stamp));
        if !exact && !told {
            return Ok(None);
        }
        let Ok(content) = proto::Content::decode(encoded) else {
            return Ok(None);
        };
        if !content.lists.is_empty() || content.bytes != stamp.len {
            // Long lists lie in the store; reading the file again is simpler than keeping them here.
            return Ok(None);
        }
        let chunks: Vec<ShortId> = short_ids(&content.pieces);
        for chunk in &chunks {
            if !self.packer.is_stored(chunk)? {
                return Ok(None);
            }
        }
        if !exact {
            // From now on this device knows more of the file than the backup told.
            let change = known_file(key, stamp, encoded);
            self.lock().remembered.push(change);
        }
        Ok(Some(Stored::Content {
            content: encoded.to_vec(),
            bytes: content.bytes,
            chunks,
        }))
    }

    fn store_pieces(
        &self,
        stream: &mut Stream,
        reader: &mut dyn Read,
    ) -> Result<Stored, EngineError> {
        let mut pieces: Vec<u8> = Vec::new();
        let mut bytes = 0u64;
        loop {
            let mut ended = false;
            let mut empty = false;
            let piece = self
                .packer
                .add_in_place(stream, ChunkKind::Piece, |buffer| {
                    let at = buffer.len();
                    read_up_to(reader, buffer, PIECE_BYTES)?;
                    let read = buffer.len() - at;
                    ended = read < PIECE_BYTES;
                    empty = read == 0;
                    if empty {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    } else {
                        Ok(())
                    }
                })?;
            match piece {
                Ok((id, len)) => {
                    pieces.extend_from_slice(&id.0);
                    let len = u64::try_from(len).expect("fits");
                    bytes += len;
                    self.packer.progress.advance(Phase::StoringMedia, 0, len);
                }
                Err(_) if empty => {}
                Err(error) => return Ok(unreadable(&error)),
            }
            if ended {
                break;
            }
            if self.packer.progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
        }
        self.packer.progress.advance(Phase::StoringMedia, 1, 0);
        let mut chunks = short_ids(&pieces);
        let content = if pieces.len() <= INLINE_PIECES * 32 {
            proto::Content {
                bytes,
                pieces,
                lists: Vec::new(),
            }
        } else {
            let mut lists = Vec::new();
            for part in pieces.chunks(PIECE_BYTES) {
                let id: ChunkId = self.packer.ids.chunk_id(part);
                if self.packer.claim(&id)? {
                    self.packer
                        .add(stream, id, ChunkKind::PieceList, part, None)?;
                }
                lists.extend_from_slice(&id.0);
            }
            chunks.extend(short_ids(&lists));
            proto::Content {
                bytes,
                pieces: Vec::new(),
                lists,
            }
        };
        Ok(Stored::Content {
            content: content.encode_to_vec(),
            bytes,
            chunks,
        })
    }
}

/// The queue takes no more: a worker has failed, and its error stands in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped;

fn short_ids(ids: &[u8]) -> Vec<ShortId> {
    ids.as_chunks::<32>()
        .0
        .iter()
        .map(|id| ChunkId(*id).short())
        .collect()
}

fn read_up_to(reader: &mut dyn Read, buffer: &mut Vec<u8>, limit: usize) -> io::Result<()> {
    // The room is there already: bytes go straight to their place in the pack.
    buffer.reserve(limit);
    reader
        .take(u64::try_from(limit).unwrap_or(u64::MAX))
        .read_to_end(buffer)
        .map(|_| ())
}

fn unreadable(error: &io::Error) -> Stored {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Stored::Unreadable {
            reason: "no permission to read the file",
            readable: true,
        },
        io::ErrorKind::NotFound => Stored::Unreadable {
            reason: "the file went away while it was being read",
            readable: false,
        },
        io::ErrorKind::InvalidData => Stored::Unreadable {
            reason: "the file is damaged in its archive",
            readable: false,
        },
        _ => Stored::Unreadable {
            reason: "the file could not be read",
            readable: true,
        },
    }
}

/// Bytes of a stamp in the ledger.
pub(crate) const STAMP_BYTES: usize = 32;

/// What the ledger keeps of a file.
pub(crate) fn known_file(key: MediaKey, stamp: &Stamp, content: &[u8]) -> Change {
    let mut value = encode_stamp(stamp).to_vec();
    value.extend_from_slice(content);
    (Space::File, key.to_vec(), Some(value))
}

/// What the backup tells of a file: another computer gives it another inode, and a copy another time of its own.
pub(crate) fn noted(stamp: &Stamp) -> Stamp {
    let Stamp {
        len,
        modified_ns,
        changed_ns: _,
        inode: _,
    } = *stamp;
    Stamp {
        len,
        modified_ns,
        changed_ns: 0,
        inode: 0,
    }
}

/// The time of change in an encoded stamp.
pub(crate) fn modified_of(stamp: &[u8; STAMP_BYTES]) -> i64 {
    i64::from_le_bytes(stamp[8..16].try_into().expect("8 bytes"))
}

fn encode_stamp(stamp: &Stamp) -> [u8; STAMP_BYTES] {
    let Stamp {
        len,
        modified_ns,
        changed_ns,
        inode,
    } = stamp;
    let mut bytes = [0; STAMP_BYTES];
    bytes[..8].copy_from_slice(&len.to_le_bytes());
    bytes[8..16].copy_from_slice(&modified_ns.to_le_bytes());
    bytes[16..24].copy_from_slice(&changed_ns.to_le_bytes());
    bytes[24..].copy_from_slice(&inode.to_le_bytes());
    bytes
}
