//! Sealed objects: index, snapshot, head. One message each, under a key of its own.

use std::cell::RefCell;
use std::sync::Arc;

use rand_core::CryptoRng;

use super::header::{Header, HeaderError, Kind};
use super::padding::padme;
use crate::aead::{AeadKey, TAG_BYTES};
use crate::error::{Damage, EngineError};
use crate::keys::{Key, WriterKeys, derive_object_keys, equal};

/// Compression of a plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Stored,
    Zstd,
}

impl Codec {
    pub(crate) const fn byte(self) -> u8 {
        match self {
            Self::Stored => 0,
            Self::Zstd => 1,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Stored),
            1 => Some(Self::Zstd),
            _ => None,
        }
    }
}

const ZSTD_LEVEL: i32 = 3;

/// Seals a message: header ‖ AES-256-GCM(codec ‖ raw length ‖ stored length ‖ body ‖ zeros).
pub(crate) fn seal(
    kind: Kind,
    message: &[u8],
    keys: &WriterKeys,
    rng: &mut dyn CryptoRng,
) -> Vec<u8> {
    let mut salt = [0; 32];
    rng.fill_bytes(&mut salt);
    let derived = derive_object_keys(&keys.run_key, &salt, kind.byte(), &keys.repository);
    let header = Header {
        kind,
        repository: keys.repository,
        salt,
        commitment: derived.commitment,
        sealed_run_key: keys.sealed_run_key.clone(),
    };
    let compressed = zstd::bulk::compress(message, ZSTD_LEVEL).unwrap_or_default();
    let (codec, body) = if !compressed.is_empty() && compressed.len() < message.len() {
        (Codec::Zstd, compressed.as_slice())
    } else {
        (Codec::Stored, message)
    };
    let mut object = Vec::new();
    header.write(&mut object);
    let header_len = object.len();
    object.push(codec.byte());
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len())
            .expect("messages are far below 4 GiB")
            .to_le_bytes()
    };
    object.extend_from_slice(&length(message));
    object.extend_from_slice(&length(body));
    object.extend_from_slice(body);
    object.resize(padme(object.len() + TAG_BYTES) - TAG_BYTES, 0);
    let (aad, content) = object.split_at_mut(header_len);
    let tag = AeadKey::new(&derived.content).seal(0, aad, content);
    object.extend_from_slice(&tag);
    object
}

/// Opens an object that [`seal`] made; gives the message, and the sealed run key that says in which epoch it was
/// written. `name` is for the error; `run_key` opens a sealed run key.
pub(crate) fn open(
    kind: Kind,
    mut object: Vec<u8>,
    name: &str,
    repository: [u8; 16],
    run_key: impl FnOnce(&[u8]) -> Result<Arc<Key>, EngineError>,
) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let damaged = |damage| EngineError::damaged(name, damage);
    let (header, header_len) =
        Header::parse(&object, kind).map_err(|error| header_error(error, name))?;
    if header.repository != repository {
        return Err(damaged(Damage::OtherRepository));
    }
    let run_key = run_key(&header.sealed_run_key)?;
    let derived = derive_object_keys(&run_key, &header.salt, kind.byte(), &header.repository);
    if !equal(&derived.commitment, &header.commitment) {
        return Err(damaged(Damage::Unauthentic));
    }
    let (aad, sealed) = object.split_at_mut(header_len);
    let plain = AeadKey::new(&derived.content)
        .open(0, aad, sealed)
        .map_err(|_| damaged(Damage::Unauthentic))?;
    let malformed = || damaged(Damage::Malformed);
    let word = |at: usize| -> Result<usize, EngineError> {
        let bytes: [u8; 4] = plain
            .get(at..at + 4)
            .ok_or_else(malformed)?
            .try_into()
            .map_err(|_| malformed())?;
        usize::try_from(u32::from_le_bytes(bytes)).map_err(|_| malformed())
    };
    let codec = plain
        .first()
        .copied()
        .and_then(Codec::from_byte)
        .ok_or_else(malformed)?;
    let (raw_len, body_len) = (word(1)?, word(5)?);
    let body = plain
        .get(9..)
        .and_then(|rest| rest.get(..body_len))
        .ok_or_else(malformed)?;
    if plain[9 + body_len..].iter().any(|byte| *byte != 0) {
        return Err(malformed());
    }
    let message = decompress(codec, body, raw_len).map_err(damaged)?;
    Ok((message, header.sealed_run_key))
}

thread_local! {
    /// One for each thread: making one costs as much as decompressing a segment.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Undoes a codec; never makes more than `raw_len` bytes.
pub(crate) fn decompress(codec: Codec, body: &[u8], raw_len: usize) -> Result<Vec<u8>, Damage> {
    let raw = match codec {
        Codec::Stored => body.to_vec(),
        // A hostile length must not make us reserve: zstd states its own, which we bound by ours.
        Codec::Zstd if raw_len > super::MAX_CHUNK_BYTES * 8 => return Err(Damage::TooLarge),
        Codec::Zstd => DECOMPRESSOR.with_borrow_mut(|known| -> Result<_, Damage> {
            let decompressor = match known {
                Some(decompressor) => decompressor,
                none => {
                    none.insert(zstd::bulk::Decompressor::new().map_err(|_| Damage::Malformed)?)
                }
            };
            decompressor
                .decompress(body, raw_len)
                .map_err(|_| Damage::Malformed)
        })?,
    };
    if raw.len() == raw_len {
        Ok(raw)
    } else {
        Err(Damage::Malformed)
    }
}

pub(crate) fn header_error(error: HeaderError, name: &str) -> EngineError {
    match error {
        HeaderError::Newer(version) => EngineError::NewerVersion {
            object: name.to_owned(),
            version,
        },
        HeaderError::Damaged(damage) => EngineError::damaged(name, damage),
    }
}
