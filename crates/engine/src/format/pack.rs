//! Packs: sealed entries one after the other, cut to one exact size, with a sealed directory at the end.
//!
//! ```text
//! header │ rest of the entry that began in the pack before │ entries … │ padding │ sealed directory │ its length (4)
//! ```
//! The last entry of a full pack may go on in the next one, so that full packs have no slack.

use secrecy::ExposeSecret as _;

use super::header::{Header, Kind};
use super::index::{ChunkKind, entry_aad};
use super::object::Codec;
use super::padding::padme;
use super::{MAX_CHUNK_BYTES, PACK_BYTES};
use crate::aead::{AeadKey, TAG_BYTES};
use crate::error::Damage;
use crate::ids::{ChunkId, ObjectHash};
use crate::keys::{ObjectKeys, WriterKeys, derive_object_keys};

/// An entry of a directory.
///
/// | offset | bytes | what |
/// | --- | --- | --- |
/// | 0 | 32 | chunk id |
/// | 32 | 4 | offset in the pack |
/// | 36 | 4 | sealed length |
/// | 40 | 4 | plaintext length |
/// | 44 | 1 | codec |
/// | 45 | 1 | kind |
/// | 46 | 2 | 0 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    pub(crate) id: ChunkId,
    pub(crate) offset: u32,
    pub(crate) sealed_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) codec: u8,
    pub(crate) kind: u8,
}

/// What a pack says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    /// The pack whose last entry goes on at the beginning of this one, and how many bytes of it.
    pub(crate) continues: Option<(ObjectHash, u32)>,
    pub(crate) payload_end: u32,
    pub(crate) entries: Vec<DirectoryEntry>,
}

/// What disks demand of addresses.
const ALIGNMENT: usize = 4096;
const ENTRY_BYTES: usize = 48;
const PREFIX_BYTES: usize = 32 + 4 + 4 + 4;
const DIRECTORY_STEP: usize = 1024;
/// The nonce of the directory, which no entry reaches.
const DIRECTORY_NONCE: u64 = u64::MAX;

fn directory_len(entries: usize) -> usize {
    (PREFIX_BYTES + entries * ENTRY_BYTES).next_multiple_of(DIRECTORY_STEP) + TAG_BYTES
}

fn narrow(value: usize) -> u32 {
    u32::try_from(value).expect("a pack is smaller than 4 GiB")
}

impl Directory {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(directory_len(self.entries.len()));
        let (before, rest) = self.continues.unwrap_or((ObjectHash([0; 32]), 0));
        bytes.extend_from_slice(&before.0);
        bytes.extend_from_slice(&rest.to_le_bytes());
        bytes.extend_from_slice(&self.payload_end.to_le_bytes());
        bytes.extend_from_slice(&narrow(self.entries.len()).to_le_bytes());
        for DirectoryEntry {
            id,
            offset,
            sealed_len,
            raw_len,
            codec,
            kind,
        } in &self.entries
        {
            bytes.extend_from_slice(&id.0);
            for number in [offset, sealed_len, raw_len] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&[*codec, *kind, 0, 0]);
        }
        bytes.resize(bytes.len().next_multiple_of(DIRECTORY_STEP), 0);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let number = |at: usize| -> Result<u32, Damage> {
            let bytes = bytes.get(at..at + 4).ok_or(Damage::Malformed)?;
            Ok(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
        };
        let before = bytes
            .get(..32)
            .and_then(ObjectHash::from_slice)
            .ok_or(Damage::Malformed)?;
        let (rest, payload_end, count) = (number(32)?, number(36)?, number(40)?);
        let count = usize::try_from(count).map_err(|_| Damage::Malformed)?;
        let table = bytes.get(PREFIX_BYTES..).ok_or(Damage::Malformed)?;
        let end = count.checked_mul(ENTRY_BYTES).ok_or(Damage::Malformed)?;
        let (table, zeros) = table.split_at_checked(end).ok_or(Damage::Malformed)?;
        if zeros.iter().any(|byte| *byte != 0) {
            return Err(Damage::Malformed);
        }
        let entries = table
            .as_chunks::<ENTRY_BYTES>()
            .0
            .iter()
            .map(|entry| {
                let number =
                    |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().expect("4 bytes"));
                if entry[46..] != [0, 0] {
                    return Err(Damage::Malformed);
                }
                Ok(DirectoryEntry {
                    id: ChunkId(entry[..32].try_into().expect("32 bytes")),
                    offset: number(32),
                    sealed_len: number(36),
                    raw_len: number(40),
                    codec: entry[44],
                    kind: entry[45],
                })
            })
            .collect::<Result<_, _>>()?;
        let continues = (rest != 0).then_some((before, rest));
        Ok(Self {
            continues,
            payload_end,
            entries,
        })
    }
}

/// A pack that is whole and sealed.
pub(crate) struct FinishedPack {
    pub(crate) hash: ObjectHash,
    pub(crate) buffer: Vec<u8>,
    /// Where the pack begins in the buffer.
    pub(crate) base: usize,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) directory: Directory,
    /// Whether its last entry goes on in the next pack of the stream.
    pub(crate) goes_on: bool,
}

impl FinishedPack {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.base..]
    }
}

/// Fills one pack after the other.
pub(crate) struct PackBuilder {
    buffer: Vec<u8>,
    /// Where the pack begins in the buffer: at an address that disks like, so that it can be written from there.
    base: usize,
    header_len: usize,
    derived: ObjectKeys,
    aead: AeadKey,
    salt: [u8; 32],
    entries: Vec<DirectoryEntry>,
    continues: Option<(ObjectHash, u32)>,
    hasher: blake3::Hasher,
    hashed: usize,
}

impl PackBuilder {
    /// Begins a pack; `salt` must be fresh and random. `recycled` is a buffer of an earlier pack, or empty.
    pub(crate) fn new(keys: &WriterKeys, salt: [u8; 32], recycled: Vec<u8>) -> Self {
        let derived = derive_object_keys(&keys.run_key, &salt, Kind::Pack.byte(), &keys.repository);
        let header = Header {
            kind: Kind::Pack,
            repository: keys.repository,
            salt,
            commitment: derived.commitment,
            sealed_run_key: keys.sealed_run_key.clone(),
        };
        let mut buffer = recycled;
        buffer.clear();
        // Address space only: memory is taken as it is filled.
        buffer.reserve_exact(ALIGNMENT + PACK_BYTES + super::PIECE_BYTES + TAG_BYTES);
        let base = buffer.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        buffer.resize(base, 0);
        header.write(&mut buffer);
        let header_len = buffer.len() - base;
        let aead = AeadKey::new(&derived.content);
        let hasher = blake3::Hasher::new();
        Self {
            buffer,
            base,
            header_len,
            derived,
            aead,
            salt,
            entries: Vec::new(),
            continues: None,
            hasher,
            hashed: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.continues.is_none()
    }

    /// Where the next entry's plaintext may be put, so that it need not be copied: behind what is there.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Bytes of the pack so far.
    fn len(&self) -> usize {
        self.buffer.len() - self.base
    }

    /// Seals what was put behind the buffer's former length `at` as an entry.
    pub(crate) fn seal_tail(
        &mut self,
        at: usize,
        id: ChunkId,
        kind: ChunkKind,
        codec: Codec,
        raw_len: usize,
        repository: &[u8; 16],
    ) {
        let sealed = self.buffer.len() - at;
        debug_assert!(sealed <= MAX_CHUNK_BYTES, "chunks are cut smaller");
        let raw_len = narrow(raw_len);
        let aad = entry_aad(repository, &id, codec.byte(), kind.byte(), raw_len);
        let ordinal = u64::try_from(self.entries.len()).expect("entries fit in memory");
        let tag = self.aead.seal(ordinal, &aad, &mut self.buffer[at..]);
        self.buffer.extend_from_slice(&tag);
        self.entries.push(DirectoryEntry {
            id,
            offset: narrow(at - self.base),
            sealed_len: narrow(sealed + TAG_BYTES),
            raw_len,
            codec: codec.byte(),
            kind: kind.byte(),
        });
        self.hash_up_to(self.len().min(self.capacity()));
    }

    /// Whether another entry would not fit: then [`Self::finish_full`].
    pub(crate) fn is_full(&self) -> bool {
        self.len() + directory_len(self.entries.len() + 1) + 4 >= PACK_BYTES
    }

    /// Finishes a full pack; gives also what goes beyond its exact size, for [`Self::going_on`]. This builder is empty
    /// then and of no more use: its buffer went with the pack.
    pub(crate) fn finish_full(&mut self) -> (FinishedPack, Vec<u8>) {
        let end = self.capacity();
        let carried = if self.len() > end {
            self.buffer.split_off(self.base + end)
        } else {
            Vec::new()
        };
        (self.finish(PACK_BYTES, !carried.is_empty()), carried)
    }

    /// Begins the pack after a full one with what was carried over from it.
    pub(crate) fn going_on(
        keys: &WriterKeys,
        salt: [u8; 32],
        recycled: Vec<u8>,
        before: ObjectHash,
        carried: &[u8],
    ) -> Self {
        let mut next = Self::new(keys, salt, recycled);
        if !carried.is_empty() {
            next.continues = Some((before, narrow(carried.len())));
            next.buffer().extend_from_slice(carried);
            next.hash_up_to(next.len().min(next.capacity()));
        }
        next
    }

    /// Finishes the last pack of a stream, padded to a size class.
    pub(crate) fn finish_last(&mut self) -> FinishedPack {
        let total = self.len() + directory_len(self.entries.len()) + 4;
        let total = padme(total).min(PACK_BYTES);
        self.finish(total, false)
    }

    /// Where a full pack's payload ends.
    fn capacity(&self) -> usize {
        PACK_BYTES - 4 - directory_len(self.entries.len())
    }

    fn hash_up_to(&mut self, end: usize) {
        // Hashing each entry right after sealing it finds it in the cache. A pack that is not full yet ends behind
        // all that is in it, so that nothing hashed here is ever carried over.
        self.hasher
            .update(&self.buffer[self.base + self.hashed..self.base + end]);
        self.hashed = end;
    }

    fn finish(&mut self, total: usize, goes_on: bool) -> FinishedPack {
        let payload_end = self.len();
        let end = total - 4 - directory_len(self.entries.len());
        self.buffer.resize(self.base + end, 0);
        let mut padding =
            blake3::Hasher::new_keyed(self.derived.padding.expose_secret()).finalize_xof();
        padding.fill(&mut self.buffer[self.base + payload_end..]);
        let directory = Directory {
            continues: self.continues,
            payload_end: narrow(payload_end),
            entries: std::mem::take(&mut self.entries),
        };
        let mut sealed = directory.encode();
        let aad = &self.buffer[self.base..self.base + self.header_len];
        let tag = AeadKey::new(&self.derived.directory).seal(DIRECTORY_NONCE, aad, &mut sealed);
        sealed.extend_from_slice(&tag);
        self.buffer.extend_from_slice(&sealed);
        self.buffer
            .extend_from_slice(&narrow(sealed.len()).to_le_bytes());
        self.hasher.update(&self.buffer[self.base + self.hashed..]);
        FinishedPack {
            hash: ObjectHash(*self.hasher.finalize().as_bytes()),
            buffer: std::mem::take(&mut self.buffer),
            base: self.base,
            salt: self.salt,
            commitment: self.derived.commitment,
            directory,
            goes_on,
        }
    }
}

/// Opens the directory of a whole pack.
pub(crate) fn open_directory(
    pack: &[u8],
    header_len: usize,
    derived: &ObjectKeys,
) -> Result<Directory, Damage> {
    let (body, len) = pack.split_last_chunk::<4>().ok_or(Damage::Malformed)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| Damage::Malformed)?;
    let at = body
        .len()
        .checked_sub(len)
        .filter(|at| *at >= header_len)
        .ok_or(Damage::Malformed)?;
    let mut sealed = body[at..].to_vec();
    let plain = AeadKey::new(&derived.directory)
        .open(DIRECTORY_NONCE, &pack[..header_len], &mut sealed)
        .map_err(|_| Damage::Unauthentic)?;
    Directory::decode(plain)
}

#[cfg(test)]
mod tests;
