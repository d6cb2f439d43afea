//! Media: read, cut into pieces, sealed where they were read to. Workers share one queue.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use heirloom_archive::{MediaFile, MediaStore, Stamp};
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
/// A file changed so shortly ago may change again within the same tick of its clock.
const RACY_NS: i64 = 2_000_000_000;

/// What became of a medium.
#[derive(Debug, Clone)]
pub(crate) enum Stored {
    /// Where it lies, and the chunks that it needs.
    Content {
        content: Vec<u8>,
        bytes: u64,
        chunks: Vec<ShortId>,
    },
    /// It could not be read: a stable reason, and whether a person could have had it.
    Unreadable {
        reason: &'static str,
        readable: bool,
    },
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<MediaKey, String>,
    seen: HashSet<MediaKey>,
    results: HashMap<MediaKey, Stored>,
    remembered: Vec<Change>,
    closed: bool,
    failed: Option<EngineError>,
}

/// The media of one run.
pub(crate) struct Media<'a, 'p> {
    packer: &'a Packer<'p>,
    files: &'a dyn MediaStore,
    queue: Mutex<Queue>,
    changed: Condvar,
    inline: Option<Mutex<Option<Stream>>>,
    now_ns: i64,
}

impl<'a, 'p> Media<'a, 'p> {
    /// `workers`: 0 = media are stored as soon as they are named.
    pub(crate) fn new(
        packer: &'a Packer<'p>,
        files: &'a dyn MediaStore,
        workers: usize,
        now_ns: i64,
    ) -> Self {
        let inline = (workers == 0).then(|| Mutex::new(Some(packer.stream())));
        Self {
            packer,
            files,
            queue: Mutex::default(),
            changed: Condvar::new(),
            inline,
            now_ns,
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
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if queue.failed.is_some() {
            return Err(Stopped);
        }
        queue.waiting.insert(key, path.to_owned());
        self.changed.notify_all();
        Ok(())
    }

    /// No more will be wanted.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
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
                        self.changed.notify_all();
                        break Some(next);
                    }
                    if queue.closed {
                        break None;
                    }
                    queue = self
                        .changed
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

    /// The results, when all workers are done; what the ledger is to remember comes with them.
    pub(crate) fn finish(self) -> Result<(HashMap<MediaKey, Stored>, Vec<Change>), EngineError> {
        if let Some(stream) = self
            .inline
            .and_then(|stream| stream.into_inner().unwrap_or_else(PoisonError::into_inner))
        {
            self.packer.finish(stream)?;
        }
        let queue = self
            .queue
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match queue.failed {
            Some(error) => Err(error),
            None => Ok((queue.results, queue.remembered)),
        }
    }

    fn fail(&self, error: EngineError) -> Stopped {
        self.lock().failed.get_or_insert(error);
        self.changed.notify_all();
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
            && let Some(stored) = self.remembered(key, &stamp)?
        {
            let bytes = if let Stored::Content { bytes, .. } = &stored {
                *bytes
            } else {
                0
            };
            self.packer.progress.advance(Phase::StoringMedia, 1, bytes);
            self.lock().results.insert(key, stored);
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
        let mut queue = self.lock();
        if let (Stored::Content { content, .. }, Some(stamp)) = (&stored, stamp)
            && stamp.modified_ns < self.now_ns - RACY_NS
        {
            let mut value = encode_stamp(&stamp).to_vec();
            value.extend_from_slice(content);
            queue
                .remembered
                .push((Space::File, key.to_vec(), Some(value)));
        }
        queue.results.insert(key, stored);
        Ok(())
    }

    /// What is known of a file that has not changed, if all its chunks are stored.
    fn remembered(&self, key: MediaKey, stamp: &Stamp) -> Result<Option<Stored>, EngineError> {
        let Some(value) = self.packer.ledger.get(Space::File, &key)? else {
            return Ok(None);
        };
        let Some(encoded) = value.strip_prefix(encode_stamp(stamp).as_slice()) else {
            return Ok(None);
        };
        let Ok(content) = proto::Content::decode(encoded) else {
            return Ok(None);
        };
        if !content.lists.is_empty() {
            // Long lists lie in the store; reading the file again is simpler than keeping them here.
            return Ok(None);
        }
        let chunks: Vec<ShortId> = short_ids(&content.pieces);
        for chunk in &chunks {
            if !self.packer.is_stored(chunk)? {
                return Ok(None);
            }
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

fn encode_stamp(stamp: &Stamp) -> [u8; 32] {
    let Stamp {
        len,
        modified_ns,
        changed_ns,
        inode,
    } = stamp;
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&len.to_le_bytes());
    bytes[8..16].copy_from_slice(&modified_ns.to_le_bytes());
    bytes[16..24].copy_from_slice(&changed_ns.to_le_bytes());
    bytes[24..].copy_from_slice(&inode.to_le_bytes());
    bytes
}
