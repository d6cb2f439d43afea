//! Notes: what a device remembers of its source, kept in the backup too, so that a device without a ledger need not read
//! everything again.
//!
//! They save reading, nothing else: a note that is damaged or missing is left aside.

use heirloom_archive::{Stamp, frames};
use prost::Message as _;

use super::media::{self, MediaKey};
use super::state::{LineageState, NoteState};
use crate::error::EngineError;
use crate::format::PIECE_BYTES;
use crate::format::index::ChunkKind;
use crate::ids::ChunkId;
use crate::ledger::{Change, Space};
use crate::packer::{Packer, Stream};
use crate::proto;
use crate::repository::{LoadedSnapshot, Repository};

/// Chunks of the note of files at most; then it is written anew, as one.
const FILE_CHUNKS: usize = 32;
/// A mark is stored again when so many times its length was stored since: so it costs one byte in a hundred. An older one
/// serves as well, and makes more be read.
const MARK_SHARE: u64 = 100;
/// What notes are compressed with.
const ZSTD_LEVEL: i32 = 1;

/// Stores what is new of the notes; gives those of the next snapshot.
///
/// `files` are framed records of the files that this run has read. Without a mark the one before is dropped: what was left
/// out must be said again, whoever reads next.
pub(crate) fn write(
    packer: &Packer<'_>,
    stream: &mut Stream,
    state: &LineageState,
    files: &[u8],
    source_key: &[u8; 32],
    mark: Option<&[u8]>,
) -> Result<Vec<NoteState>, EngineError> {
    if packer.is_dry_run() {
        return Ok(Vec::new());
    }
    let stored = state.stored.saturating_add(packer.stored_bytes());
    let mut notes = Vec::new();
    let mut known_mark = None;
    let mut chunks: Vec<Vec<u8>> = Vec::new();
    for known in &state.notes {
        let Some(note) = &known.note else { continue };
        if note.source.is_empty() {
            chunks.extend(note.chunks.iter().cloned());
        } else if note.source == source_key {
            known_mark = Some(known.clone());
        } else {
            notes.push(known.clone());
        }
    }
    if chunks.is_empty() || (!files.is_empty() && chunks.len() >= FILE_CHUNKS) {
        // Also what a run has read that was killed before it could tell.
        chunks = add(packer, stream, &all_files(packer)?)?;
    } else {
        chunks.extend(add(packer, stream, files)?);
    }
    let note = |source: &[u8], chunks: Vec<Vec<u8>>, stored: u64| NoteState {
        note: Some(proto::Note {
            source: source.to_vec(),
            chunks,
        }),
        stored,
    };
    if !chunks.is_empty() {
        notes.push(note(&[], chunks, stored));
    }
    if let Some(mark) = mark {
        let len = u64::try_from(mark.len()).unwrap_or(u64::MAX);
        let fresh = known_mark
            .filter(|known| stored.saturating_sub(known.stored) < len.saturating_mul(MARK_SHARE));
        notes.push(match fresh {
            Some(known) => known,
            None => note(source_key, add(packer, stream, mark)?, stored),
        });
    }
    // One state has one snapshot.
    notes.sort_by(|a, b| source_of(a).cmp(source_of(b)));
    Ok(notes)
}

fn source_of(state: &NoteState) -> &[u8] {
    state
        .note
        .as_ref()
        .map(|note| note.source.as_slice())
        .unwrap_or_default()
}

/// Stores bytes as chunks, unless they are stored.
fn add(
    packer: &Packer<'_>,
    stream: &mut Stream,
    bytes: &[u8],
) -> Result<Vec<Vec<u8>>, EngineError> {
    let mut chunks = Vec::new();
    for part in bytes.chunks(PIECE_BYTES) {
        let id = packer.ids.chunk_id(part);
        if packer.claim(&id)? {
            let compressed = zstd::bulk::compress(part, ZSTD_LEVEL).ok();
            packer.add(stream, id, ChunkKind::Note, part, compressed.as_deref())?;
        }
        chunks.push(id.0.to_vec());
    }
    Ok(chunks)
}

/// Framed records of all files that the ledger knows.
fn all_files(packer: &Packer<'_>) -> Result<Vec<u8>, EngineError> {
    let mut files = Vec::new();
    packer.ledger.each(Space::File, &mut |key, value| {
        // Fingerprints of people lie there, too, and are shorter.
        if let Some((stamp, content)) = value.split_first_chunk() {
            let file = proto::KnownFile {
                key: key.to_vec(),
                modified_ns: media::modified_of(stamp),
                content: content.to_vec(),
            };
            frames::push(&file, &mut files);
        }
        Ok(())
    })?;
    Ok(files)
}

/// Takes over the notes of snapshots, which must stand in ascending order of time: of two marks of one source the later
/// counts, files are joined.
pub(crate) fn take_over(
    packer: &Packer<'_>,
    repository: &Repository,
    snapshots: &[&LoadedSnapshot],
    state: &mut LineageState,
) -> Result<(), EngineError> {
    let mut files: Vec<Vec<u8>> = Vec::new();
    for snapshot in snapshots {
        for note in &snapshot.message.notes {
            let Some(bytes) = read(repository, note) else {
                continue;
            };
            if note.source.is_empty() {
                let mut changes = Vec::new();
                for record in frames::split(&bytes).map_while(Result::ok) {
                    changes.extend(file_of(record));
                }
                packer.ledger.apply(changes)?;
                let fresh = note.chunks.iter().filter(|chunk| !files.contains(chunk));
                files.extend(fresh.cloned().collect::<Vec<_>>());
            } else if let Ok(source_key) = note.source.as_slice().try_into() {
                let change = super::mark::change(packer, &source_key, Some(bytes))?;
                packer.ledger.apply(vec![change])?;
                state.notes.retain(|known| source_of(known) != note.source);
                state.notes.push(NoteState {
                    note: Some(note.clone()),
                    stored: 0,
                });
            }
        }
    }
    if !files.is_empty() {
        state.notes.push(NoteState {
            note: Some(proto::Note {
                source: Vec::new(),
                chunks: files,
            }),
            stored: 0,
        });
    }
    Ok(())
}

/// A note's bytes; `None` when it cannot be read: then its source is read instead.
fn read(repository: &Repository, note: &proto::Note) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for chunk in &note.chunks {
        bytes.extend(repository.chunk(&ChunkId::from_slice(chunk)?).ok()?);
    }
    Some(bytes)
}

/// What the ledger keeps of a file that a note tells of.
fn file_of(record: &[u8]) -> Option<Change> {
    let proto::KnownFile {
        key,
        modified_ns,
        content,
    } = proto::KnownFile::decode(record).ok()?;
    let key: MediaKey = key.try_into().ok()?;
    let decoded = proto::Content::decode(content.as_slice()).ok()?;
    let stamp = Stamp {
        len: decoded.bytes,
        modified_ns,
        changed_ns: 0,
        inode: 0,
    };
    Some(media::known_file(key, &stamp, &content))
}
