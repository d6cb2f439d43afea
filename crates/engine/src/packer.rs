//! Fills packs, stores them, and keeps the ledger told of what is stored.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use prost::Message as _;
use rand_core::CryptoRng;

use crate::error::EngineError;
use crate::format::index::{ChunkKind, ROW_BYTES, Row};
use crate::format::names;
use crate::format::object::Codec;
use crate::format::pack::{FinishedPack, PackBuilder};
use crate::ids::{ChunkId, ObjectHash, ShortId};
use crate::keys::{IdKeys, WriterKeys};
use crate::ledger::{Change, Ledger, Space};
use crate::progress::Progress;
use crate::proto;
use crate::store::Store;

/// What the ledger remembers of a pack.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct PackRecord {
    /// The index object that lists it; empty as long as none does.
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) index: Vec<u8>,
    #[prost(uint32, tag = "2")]
    pub(crate) bytes: u32,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) commitment: Vec<u8>,
    #[prost(uint32, tag = "5")]
    pub(crate) payload_end: u32,
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) next: Vec<u8>,
    #[prost(bytes = "vec", tag = "7")]
    pub(crate) sealed_run_key: Vec<u8>,
    /// Index rows with pack number 0.
    #[prost(bytes = "vec", tag = "8")]
    pub(crate) rows: Vec<u8>,
}

/// What all streams of one run share.
pub(crate) struct Packer<'a> {
    pub(crate) keys: &'a WriterKeys,
    pub(crate) ids: IdKeys,
    pub(crate) store: &'a dyn Store,
    pub(crate) ledger: &'a dyn Ledger,
    pub(crate) progress: &'a dyn Progress,
    /// Count, but store nothing.
    dry_run: bool,
    salts: Mutex<Salts<'a>>,
    /// Chunks that are in a pack which is not stored yet.
    in_flight: Mutex<HashSet<ShortId>>,
    stored_bytes: AtomicU64,
    packs: Mutex<Vec<proto::ObjectRef>>,
}

struct Salts<'a> {
    rng: &'a mut (dyn CryptoRng + Send),
    counter: u64,
}

/// One stream of entries, cut into packs.
pub(crate) struct Stream {
    builder: PackBuilder,
    /// The pack and row of an entry that has begun in a stored pack and is not whole yet.
    open: Option<OpenEntry>,
}

struct OpenEntry {
    packs: Vec<ObjectHash>,
    row: Row,
}

impl<'a> Packer<'a> {
    pub(crate) fn new(
        keys: &'a WriterKeys,
        store: &'a dyn Store,
        ledger: &'a dyn Ledger,
        rng: &'a mut (dyn CryptoRng + Send),
        progress: &'a dyn Progress,
        dry_run: bool,
    ) -> Self {
        Self {
            ids: IdKeys::new(&keys.chunk_id_key),
            keys,
            store,
            ledger,
            progress,
            dry_run,
            salts: Mutex::new(Salts { rng, counter: 0 }),
            in_flight: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
            packs: Mutex::default(),
        }
    }

    pub(crate) fn stream(&self) -> Stream {
        Stream {
            builder: PackBuilder::new(self.keys, self.salt(), Vec::new()),
            open: None,
        }
    }

    /// A salt from the RNG, hedged: should the RNG repeat itself, device, run and counter still differ.
    pub(crate) fn salt(&self) -> [u8; 32] {
        let mut salts = lock(&self.salts);
        let mut random = [0; 32];
        salts.rng.fill_bytes(&mut random);
        salts.counter += 1;
        let mut hasher = blake3::Hasher::new_keyed(&random);
        hasher
            .update(&self.keys.device)
            .update(&self.keys.sealed_run_key)
            .update(&salts.counter.to_le_bytes());
        *hasher.finalize().as_bytes()
    }

    /// Fills bytes from the RNG.
    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        lock(&self.salts).rng.fill_bytes(&mut bytes);
        bytes
    }

    /// Runs `seal` with the RNG.
    pub(crate) fn with_rng<T>(&self, seal: impl FnOnce(&mut dyn CryptoRng) -> T) -> T {
        let mut salts = lock(&self.salts);
        let mut rng: &mut (dyn CryptoRng + Send) = salts.rng;
        seal(&mut rng)
    }

    /// Whether a chunk is stored, or on its way. If not, the caller must add it: it counts as on its way now.
    pub(crate) fn claim(&self, id: &ChunkId) -> Result<bool, EngineError> {
        let short = id.short();
        if self.is_stored(&short)? {
            return Ok(false);
        }
        Ok(lock(&self.in_flight).insert(short))
    }

    pub(crate) fn is_stored(&self, id: &ShortId) -> Result<bool, EngineError> {
        Ok(self.ledger.get(Space::Chunk, id)?.is_some())
    }

    /// Adds a chunk that was claimed, with compression where it pays.
    pub(crate) fn add(
        &self,
        stream: &mut Stream,
        id: ChunkId,
        kind: ChunkKind,
        raw: &[u8],
        compressed: Option<&[u8]>,
    ) -> Result<(), EngineError> {
        let (codec, body) = match compressed {
            Some(body) if body.len() < raw.len() => (Codec::Zstd, body),
            _ => (Codec::Stored, raw),
        };
        self.add_encoded(stream, id, kind, codec, body, raw.len())
    }

    /// Adds a chunk that was claimed, as it is to be stored.
    pub(crate) fn add_encoded(
        &self,
        stream: &mut Stream,
        id: ChunkId,
        kind: ChunkKind,
        codec: Codec,
        body: &[u8],
        raw_len: usize,
    ) -> Result<(), EngineError> {
        let at = stream.builder.buffer().len();
        stream.builder.buffer().extend_from_slice(body);
        stream
            .builder
            .seal_tail(at, id, kind, codec, raw_len, &self.keys.repository);
        self.store_if_full(stream)
    }

    /// Adds a chunk whose plaintext `fill` puts into the pack itself, unless it is known. Returns its id and length.
    pub(crate) fn add_in_place(
        &self,
        stream: &mut Stream,
        kind: ChunkKind,
        fill: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>,
    ) -> Result<std::io::Result<(ChunkId, usize)>, EngineError> {
        let buffer = stream.builder.buffer();
        let at = buffer.len();
        if let Err(error) = fill(buffer) {
            buffer.truncate(at);
            return Ok(Err(error));
        }
        let len = buffer.len() - at;
        let id = self.ids.chunk_id(&buffer[at..]);
        if self.claim(&id)? {
            stream
                .builder
                .seal_tail(at, id, kind, Codec::Stored, len, &self.keys.repository);
            self.store_if_full(stream)?;
        } else {
            stream.builder.buffer().truncate(at);
        }
        Ok(Ok((id, len)))
    }

    fn store_if_full(&self, stream: &mut Stream) -> Result<(), EngineError> {
        while stream.builder.is_full() {
            let (pack, carried) = stream.builder.finish_full();
            let hash = pack.hash;
            let recycled = self.store_pack(&mut stream.open, pack)?;
            stream.builder =
                PackBuilder::going_on(self.keys, self.salt(), recycled, hash, &carried);
        }
        Ok(())
    }

    /// Stores what is left in a stream.
    pub(crate) fn finish(&self, stream: Stream) -> Result<(), EngineError> {
        let Stream {
            mut builder,
            mut open,
        } = stream;
        if !builder.is_empty() {
            self.store_pack(&mut open, builder.finish_last())?;
        }
        Ok(())
    }

    /// Stores a pack; gives its buffer back for the next one.
    fn store_pack(
        &self,
        open: &mut Option<OpenEntry>,
        pack: FinishedPack,
    ) -> Result<Vec<u8>, EngineError> {
        if self.progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let len = u64::try_from(pack.bytes().len()).unwrap_or(u64::MAX);
        let bytes_narrow = u32::try_from(pack.bytes().len()).expect("a pack is small");
        self.stored_bytes.fetch_add(len, Ordering::Relaxed);
        if self.dry_run {
            return Ok(pack.buffer);
        }
        self.store.put_new(&names::pack(&pack.hash), pack.bytes())?;
        let FinishedPack {
            hash,
            buffer,
            base: _,
            salt,
            commitment,
            directory,
            goes_on,
        } = pack;
        lock(&self.packs).push(proto::ObjectRef {
            hash: hash.0.to_vec(),
            bytes: len,
        });

        let mut rows: Vec<Row> = (0u32..)
            .zip(&directory.entries)
            .map(|(ordinal, entry)| Row {
                id: entry.id.short(),
                pack: 0,
                offset: entry.offset,
                sealed_len: entry.sealed_len,
                raw_len: entry.raw_len,
                ordinal,
                codec: entry.codec,
                kind: entry.kind,
            })
            .collect();
        let begun = if goes_on { rows.pop() } else { None };
        let mut record = PackRecord {
            bytes: bytes_narrow,
            salt: salt.to_vec(),
            commitment: commitment.to_vec(),
            payload_end: directory.payload_end,
            sealed_run_key: self.keys.sealed_run_key.clone(),
            ..PackRecord::default()
        };
        let mut changes: Vec<Change> = Vec::with_capacity(rows.len() + 4);
        for row in &rows {
            row.write(&mut record.rows);
            changes.push((Space::Chunk, row.id.to_vec(), Some(hash.0[..16].to_vec())));
        }
        changes.push((Space::Pack, hash.0.to_vec(), Some(record.encode_to_vec())));

        self.ledger.apply(changes)?;

        let still_open = goes_on && directory.entries.is_empty();
        if let Some(entry) = open {
            entry.packs.push(hash);
        }
        if !still_open && let Some(entry) = open.take() {
            self.close_entry(&entry)?;
        }
        if let Some(row) = begun {
            *open = Some(OpenEntry {
                packs: vec![hash],
                row,
            });
        }
        let mut in_flight = lock(&self.in_flight);
        for row in &rows {
            in_flight.remove(&row.id);
        }
        Ok(buffer)
    }

    fn close_entry(&self, entry: &OpenEntry) -> Result<(), EngineError> {
        let mut changes: Vec<Change> = Vec::new();
        for pair in entry.packs.windows(2) {
            let value = self
                .ledger
                .get(Space::Pack, &pair[0].0)?
                .unwrap_or_default();
            let mut record = PackRecord::decode(value.as_slice())
                .map_err(|error| EngineError::Ledger(error.to_string()))?;
            record.next = pair[1].0.to_vec();
            if pair[0] == entry.packs[0] {
                entry.row.write(&mut record.rows);
            }
            changes.push((
                Space::Pack,
                pair[0].0.to_vec(),
                Some(record.encode_to_vec()),
            ));
        }
        changes.push((
            Space::Chunk,
            entry.row.id.to_vec(),
            Some(entry.packs[0].0[..16].to_vec()),
        ));
        self.ledger.apply(changes)?;
        lock(&self.in_flight).remove(&entry.row.id);
        Ok(())
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Tells the ledger something that costs nothing if the run ends here.
    pub(crate) fn remember(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        if self.dry_run {
            Ok(())
        } else {
            self.ledger.apply(changes)
        }
    }

    pub(crate) fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    /// Counts an object that was stored besides packs.
    pub(crate) fn count_stored(&self, bytes: usize) {
        self.stored_bytes
            .fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The packs that this run has stored so far.
    pub(crate) fn packs(&self) -> Vec<proto::ObjectRef> {
        let mut packs = lock(&self.packs).clone();
        packs.sort_by(|a, b| a.hash.cmp(&b.hash));
        packs
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rows of a record.
pub(crate) fn rows_of(record: &PackRecord) -> impl Iterator<Item = Row> {
    record
        .rows
        .as_chunks::<ROW_BYTES>()
        .0
        .iter()
        .filter_map(Row::parse)
}
