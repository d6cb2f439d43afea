//! The clear header that begins every sealed object and every pack.

use super::VERSION;
use crate::error::Damage;

/// What an object is. Packs do not say what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Pack = 1,
    Index = 2,
    Snapshot = 3,
    Head = 4,
}

impl Kind {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Pack => 1,
            Self::Index => 2,
            Self::Snapshot => 3,
            Self::Head => 4,
        }
    }
}

const MAGIC: &[u8; 8] = b"heirloom";

/// The longest sealed run key that a reader accepts.
pub(crate) const MAX_RUN_KEY_BYTES: usize = 8192;

/// The header's length without the sealed run key.
const FIXED: usize = 8 + 1 + 1 + 2 + 16 + 32 + 32;

/// The clear header.
///
/// | offset | bytes | what |
/// | --- | --- | --- |
/// | 0 | 8 | `heirloom` |
/// | 8 | 1 | version, 1 |
/// | 9 | 1 | kind |
/// | 10 | 2 | length of the sealed run key, little-endian |
/// | 12 | 16 | repository |
/// | 28 | 32 | salt |
/// | 60 | 32 | key commitment |
/// | 92 | n | sealed run key |
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) repository: [u8; 16],
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) sealed_run_key: Vec<u8>,
}

/// Why a header was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderError {
    Newer(u8),
    Damaged(Damage),
}

impl Header {
    pub(crate) fn len(sealed_run_key: &[u8]) -> usize {
        FIXED + sealed_run_key.len()
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.push(self.kind.byte());
        let len = u16::try_from(self.sealed_run_key.len()).expect("a sealed run key is short");
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&self.repository);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.commitment);
        out.extend_from_slice(&self.sealed_run_key);
    }

    /// Parses the header; returns it and its length.
    pub(crate) fn parse(bytes: &[u8], kind: Kind) -> Result<(Self, usize), HeaderError> {
        let damaged = |damage| HeaderError::Damaged(damage);
        if bytes.get(..8) != Some(MAGIC) {
            return Err(damaged(Damage::Foreign));
        }
        if bytes.len() < FIXED {
            return Err(damaged(Damage::Malformed));
        }
        match bytes[8] {
            VERSION => {}
            version if version > VERSION => return Err(HeaderError::Newer(version)),
            _ => return Err(damaged(Damage::Malformed)),
        }
        if bytes[9] != kind.byte() {
            return Err(damaged(Damage::WrongKind));
        }
        let key_len = usize::from(u16::from_le_bytes([bytes[10], bytes[11]]));
        if key_len > MAX_RUN_KEY_BYTES {
            return Err(damaged(Damage::TooLarge));
        }
        let array = |at: usize| -> [u8; 32] { bytes[at..at + 32].try_into().expect("32 bytes") };
        let sealed_run_key = bytes
            .get(FIXED..FIXED + key_len)
            .ok_or(damaged(Damage::Malformed))?
            .to_vec();
        let header = Self {
            kind,
            repository: bytes[12..28].try_into().expect("16 bytes"),
            salt: array(28),
            commitment: array(60),
            sealed_run_key,
        };
        Ok((header, FIXED + key_len))
    }
}
