//! Reading from the store in aligned blocks, and opening what was read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{IndexTable, PackPlace};
use crate::aead::AeadKey;
use crate::error::{Damage, EngineError};
use crate::format::header::{Header, Kind};
use crate::format::index::{Row, entry_aad};
use crate::format::object::{Codec, decompress};
use crate::format::{BLOCK_BYTES, MAX_CHUNK_BYTES, names};
use crate::ids::ChunkId;
use crate::keys::{IdKeys, Key, ReaderKeys, derive_object_keys, equal};
use crate::store::{Listed, Store, StoreError};

/// Bytes of spans that are kept for the chunks beside the one that was asked for.
const CACHE_BYTES: usize = 6 * 1024 * 1024;
/// Chunks of one pack that lie no farther apart are read together, up to this length.
const GAP_BYTES: u64 = 128 * 1024;
const SPAN_BYTES: u64 = 4 * 1024 * 1024;

struct Span {
    pack: u32,
    start: u64,
    bytes: Vec<u8>,
}

/// Reads, counts, and keeps what was read last.
pub(crate) struct Fetcher {
    store: Arc<dyn Store>,
    reads: AtomicU64,
    bytes: AtomicU64,
    spans: Mutex<Vec<Span>>,
    run_keys: Mutex<HashMap<Vec<u8>, Arc<Key>>>,
    pack_keys: Mutex<HashMap<u32, Arc<AeadKey>>>,
}

impl Fetcher {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            reads: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            spans: Mutex::default(),
            run_keys: Mutex::default(),
            pack_keys: Mutex::default(),
        }
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            self.reads.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    fn count(&self, bytes: usize) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        let listed = self.store.list(prefix)?;
        self.count(0);
        Ok(listed)
    }

    pub(crate) fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, EngineError> {
        let bytes = match self.store.get(name, limit) {
            Err(StoreError::NotFound { .. }) => {
                return Err(EngineError::damaged(name, Damage::Missing));
            }
            Err(StoreError::TooLarge { .. }) => {
                return Err(EngineError::damaged(name, Damage::TooLarge));
            }
            other => other?,
        };
        self.count(bytes.len());
        Ok(bytes)
    }

    pub(crate) fn range(
        &self,
        place: &PackPlace,
        start: u64,
        end: u64,
    ) -> Result<Vec<u8>, EngineError> {
        let name = names::pack(&place.hash);
        let bytes = match self.store.get_range(&name, start, end - start) {
            Err(StoreError::NotFound { .. }) => {
                return Err(EngineError::damaged(name, Damage::Missing));
            }
            other => other?,
        };
        self.count(bytes.len());
        if u64::try_from(bytes.len()).ok() != Some(end - start) {
            return Err(EngineError::damaged(name, Damage::WrongSize));
        }
        Ok(bytes)
    }

    /// A run key, opened once: one run's objects and packs share it, and opening it costs a decapsulation.
    pub(crate) fn run_key(
        &self,
        reader: &dyn ReaderKeys,
        sealed: &[u8],
        object: &str,
    ) -> Result<Arc<Key>, EngineError> {
        if let Some(key) = lock(&self.run_keys).get(sealed) {
            return Ok(Arc::clone(key));
        }
        let key = reader
            .open_run_key(sealed)
            .map_err(|_| EngineError::KeyMissing {
                object: object.to_owned(),
            })?;
        let key = Arc::new(key);
        lock(&self.run_keys).insert(sealed.to_vec(), Arc::clone(&key));
        Ok(key)
    }

    /// The key that opens a pack's entries.
    pub(crate) fn pack_key(
        &self,
        reader: &dyn ReaderKeys,
        index: &IndexTable,
        number: u32,
    ) -> Result<Arc<AeadKey>, EngineError> {
        if let Some(key) = lock(&self.pack_keys).get(&number) {
            return Ok(Arc::clone(key));
        }
        let place = index
            .pack(number)
            .map_err(|damage| EngineError::damaged("the index", damage))?;
        let name = names::pack(&place.hash);
        let run_key = self.run_key(reader, index.run_key(place), &name)?;
        let derived = derive_object_keys(
            &run_key,
            &place.salt,
            Kind::Pack.byte(),
            &reader.repository(),
        );
        if !equal(&derived.commitment, &place.commitment) {
            return Err(EngineError::damaged(name, Damage::Unauthentic));
        }
        let key = Arc::new(AeadKey::new(&derived.content));
        let mut keys = lock(&self.pack_keys);
        if keys.len() >= 256 {
            keys.clear();
        }
        keys.insert(number, Arc::clone(&key));
        Ok(key)
    }

    /// Reads the blocks of these chunks ahead, with as few reads as possible.
    pub(crate) fn read_ahead(&self, index: &IndexTable, rows: &[Row]) -> Result<(), EngineError> {
        let mut wanted: Vec<(u32, u64, u64)> = Vec::new();
        for row in rows {
            for (pack, offset, len) in Self::parts(index, row)? {
                let place = index
                    .pack(pack)
                    .map_err(|damage| EngineError::damaged("the index", damage))?;
                let (start, end) =
                    aligned(u64::from(offset), u64::from(len), u64::from(place.bytes));
                wanted.push((pack, start, end));
            }
        }
        wanted.sort_unstable();
        let mut spans: Vec<(u32, u64, u64)> = Vec::new();
        for (pack, start, end) in wanted {
            match spans.last_mut() {
                Some(last)
                    if last.0 == pack
                        && start <= last.2 + GAP_BYTES
                        && end.max(last.2) - last.1 <= SPAN_BYTES =>
                {
                    last.2 = last.2.max(end);
                }
                _ => spans.push((pack, start, end)),
            }
        }
        for (pack, start, end) in spans {
            if self.cached(pack, start, end - start).is_none() {
                self.load(index, pack, start, end)?;
            }
        }
        Ok(())
    }

    /// Reads and opens one chunk.
    pub(crate) fn chunk(
        &self,
        reader: &dyn ReaderKeys,
        ids: &IdKeys,
        index: &IndexTable,
        row: &Row,
        id: &ChunkId,
    ) -> Result<Vec<u8>, EngineError> {
        let mut sealed = Vec::with_capacity(
            usize::try_from(row.sealed_len)
                .unwrap_or(0)
                .min(MAX_CHUNK_BYTES),
        );
        for (pack, offset, len) in Self::parts(index, row)? {
            let (offset, len) = (u64::from(offset), u64::from(len));
            if let Some(bytes) = self.cached(pack, offset, len) {
                sealed.extend_from_slice(&bytes);
                continue;
            }
            let place = index
                .pack(pack)
                .map_err(|damage| EngineError::damaged("the index", damage))?;
            let (start, end) = aligned(offset, len, u64::from(place.bytes));
            self.load(index, pack, start, end)?;
            let bytes = self
                .cached(pack, offset, len)
                .ok_or_else(|| EngineError::damaged(names::pack(&place.hash), Damage::WrongSize))?;
            sealed.extend_from_slice(&bytes);
        }
        let name = || {
            index
                .pack(row.pack)
                .map(|place| names::pack(&place.hash))
                .unwrap_or_default()
        };
        let key = self.pack_key(reader, index, row.pack)?;
        open_entry(&key, ids, &reader.repository(), row, id, &mut sealed)
            .map_err(|damage| EngineError::damaged(name(), damage))
    }

    pub(crate) fn parts(
        index: &IndexTable,
        row: &Row,
    ) -> Result<Vec<(u32, u32, u32)>, EngineError> {
        if usize::try_from(row.sealed_len).map_or(true, |len| len > MAX_CHUNK_BYTES) {
            return Err(EngineError::damaged("the index", Damage::TooLarge));
        }
        index
            .parts(row, |place| header_len(index, place))
            .map_err(|damage| EngineError::damaged("the index", damage))
    }

    /// Drops what was kept of earlier reads.
    pub(crate) fn forget(&self) {
        *lock(&self.spans) = Vec::new();
    }

    fn cached(&self, pack: u32, offset: u64, len: u64) -> Option<Vec<u8>> {
        let spans = lock(&self.spans);
        spans.iter().find_map(|span| {
            if span.pack != pack {
                return None;
            }
            let at = usize::try_from(offset.checked_sub(span.start)?).ok()?;
            span.bytes
                .get(at..at.checked_add(usize::try_from(len).ok()?)?)
                .map(<[u8]>::to_vec)
        })
    }

    fn load(&self, index: &IndexTable, pack: u32, start: u64, end: u64) -> Result<(), EngineError> {
        let place = index
            .pack(pack)
            .map_err(|damage| EngineError::damaged("the index", damage))?;
        let bytes = self.range(place, start, end)?;
        let mut spans = lock(&self.spans);
        let mut kept: usize = spans.iter().map(|span| span.bytes.len()).sum();
        while kept + bytes.len() > CACHE_BYTES && !spans.is_empty() {
            kept -= spans.remove(0).bytes.len();
        }
        spans.push(Span { pack, start, bytes });
        Ok(())
    }
}

/// Where entries begin in a pack.
pub(crate) fn header_len(index: &IndexTable, place: &PackPlace) -> u32 {
    u32::try_from(Header::len(index.run_key(place))).unwrap_or(u32::MAX)
}

/// Opens an entry and proves that it is the chunk that was asked for.
pub(crate) fn open_entry(
    key: &AeadKey,
    ids: &IdKeys,
    repository: &[u8; 16],
    row: &Row,
    id: &ChunkId,
    sealed: &mut [u8],
) -> Result<Vec<u8>, Damage> {
    let codec = Codec::from_byte(row.codec).ok_or(Damage::Malformed)?;
    let raw_len = usize::try_from(row.raw_len).map_err(|_| Damage::TooLarge)?;
    if raw_len > MAX_CHUNK_BYTES {
        return Err(Damage::TooLarge);
    }
    let aad = entry_aad(repository, id, row.codec, row.kind, row.raw_len);
    let plain = key
        .open(u64::from(row.ordinal), &aad, sealed)
        .map_err(|_| Damage::Unauthentic)?;
    let raw = decompress(codec, plain, raw_len)?;
    if ids.chunk_id(&raw) != *id {
        return Err(Damage::IdMismatch);
    }
    Ok(raw)
}

pub(crate) fn aligned(offset: u64, len: u64, size: u64) -> (u64, u64) {
    let start = offset / BLOCK_BYTES * BLOCK_BYTES;
    let end = offset
        .saturating_add(len)
        .div_ceil(BLOCK_BYTES)
        .saturating_mul(BLOCK_BYTES)
        .min(size);
    (start, end.max(start))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
