//! Index rows: where a chunk lies.

use crate::ids::{ChunkId, ShortId};

/// Bytes of a row.
pub(crate) const ROW_BYTES: usize = 40;

/// What a chunk is. Needed by `check` and `prune`, not for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind {
    Segment,
    Filter,
    Tree,
    Participants,
    Piece,
    PieceList,
    Note,
}

impl ChunkKind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Segment => 1,
            Self::Filter => 2,
            Self::Tree => 3,
            Self::Participants => 4,
            Self::Piece => 5,
            Self::PieceList => 6,
            Self::Note => 7,
        }
    }
}

/// Where a chunk lies.
///
/// | offset | bytes | what |
/// | --- | --- | --- |
/// | 0 | 16 | first half of the chunk id |
/// | 16 | 4 | which pack of the index, little-endian like all numbers |
/// | 20 | 4 | offset in the pack |
/// | 24 | 4 | sealed length, tag included |
/// | 28 | 4 | plaintext length |
/// | 32 | 4 | number of the entry in its pack: the nonce |
/// | 36 | 1 | codec |
/// | 37 | 1 | kind |
/// | 38 | 2 | 0 |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: ShortId,
    pub(crate) pack: u32,
    pub(crate) offset: u32,
    pub(crate) sealed_len: u32,
    pub(crate) raw_len: u32,
    pub(crate) ordinal: u32,
    pub(crate) codec: u8,
    pub(crate) kind: u8,
}

impl Row {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self {
            id,
            pack,
            offset,
            sealed_len,
            raw_len,
            ordinal,
            codec,
            kind,
        } = self;
        out.extend_from_slice(id);
        for number in [pack, offset, sealed_len, raw_len, ordinal] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&[*codec, *kind, 0, 0]);
    }

    pub(crate) fn parse(bytes: &[u8; ROW_BYTES]) -> Option<Self> {
        let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        if bytes[38..] != [0, 0] {
            return None;
        }
        Some(Self {
            id: bytes[..16].try_into().expect("16 bytes"),
            pack: number(16),
            offset: number(20),
            sealed_len: number(24),
            raw_len: number(28),
            ordinal: number(32),
            codec: bytes[36],
            kind: bytes[37],
        })
    }
}

/// Splits rows; `None` when the bytes are not rows in strictly rising id order.
pub(crate) fn parse_rows(bytes: &[u8]) -> Option<Vec<Row>> {
    let (rows, rest) = bytes.as_chunks::<ROW_BYTES>();
    if !rest.is_empty() {
        return None;
    }
    let rows: Option<Vec<Row>> = rows.iter().map(Row::parse).collect();
    rows.filter(|rows| rows.is_sorted_by(|a, b| a.id < b.id))
}

/// The associated data of an entry in a pack: it binds the entry to its backup, its id and its lengths.
pub(crate) fn entry_aad(
    repository: &[u8; 16],
    id: &ChunkId,
    codec: u8,
    kind: u8,
    raw_len: u32,
) -> [u8; 64] {
    let mut aad = [0; 64];
    aad[..8].copy_from_slice(b"hl/entry");
    aad[8] = super::VERSION;
    aad[9] = codec;
    aad[10] = kind;
    aad[12..16].copy_from_slice(&raw_len.to_le_bytes());
    aad[16..32].copy_from_slice(repository);
    aad[32..].copy_from_slice(&id.0);
    aad
}
