//! An external sort: messages come in any order, and leave by conversation and time, in bounded memory.
//!
//! What does not fit in memory is spooled to a temporary file, sealed under a key that only this run holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand_core::CryptoRng;
use secrecy::{ExposeSecretMut as _, SecretBox};

use crate::aead::{AeadKey, TAG_BYTES};
use crate::error::EngineError;

/// Bytes of records held in memory.
const ARENA_BYTES: usize = 6 * 1024 * 1024;
/// Plaintext bytes of a block of the spool.
const BLOCK: usize = 32 * 1024;

/// Where a record stands among the others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey {
    /// Orders conversations without telling anything about them.
    pub(crate) rank: u64,
    pub(crate) conversation: u32,
    pub(crate) sent_at: i64,
    pub(crate) id: Vec<u8>,
    /// Keeps equal ids in the order in which they came.
    pub(crate) number: u64,
}

struct Place {
    rank: u64,
    conversation: u32,
    sent_at: i64,
    number: u64,
    at: u32,
    id_len: u32,
    len: u32,
}

/// Takes records.
pub(crate) struct Sorter {
    arena: Vec<u8>,
    places: Vec<Place>,
    spool: Spool,
    runs: Vec<Run>,
    taken: u64,
}

struct Run {
    first_block: u64,
    bytes: u64,
}

impl Sorter {
    pub(crate) fn new(rng: &mut dyn CryptoRng) -> Self {
        Self {
            arena: Vec::new(),
            places: Vec::new(),
            spool: Spool::new(rng),
            runs: Vec::new(),
            taken: 0,
        }
    }

    /// Takes a record. `id` orders records of one time.
    pub(crate) fn push(
        &mut self,
        rank: u64,
        conversation: u32,
        sent_at: i64,
        id: &[u8],
        body: &[u8],
    ) -> Result<(), EngineError> {
        if self.arena.len() + id.len() + body.len() > ARENA_BYTES && !self.places.is_empty() {
            self.spill()?;
        }
        if self.arena.capacity() == 0 {
            // Address space only: memory is taken as it is filled. Growing by doubling would take a third more.
            self.arena.reserve_exact(ARENA_BYTES);
        }
        let narrow = |len: usize| u32::try_from(len).expect("records are limited");
        let at = narrow(self.arena.len());
        self.arena.extend_from_slice(id);
        self.arena.extend_from_slice(body);
        self.places.push(Place {
            rank,
            conversation,
            sent_at,
            number: self.taken,
            at,
            id_len: narrow(id.len()),
            len: narrow(id.len() + body.len()),
        });
        self.taken += 1;
        Ok(())
    }

    fn sort(&mut self) {
        let arena = &self.arena;
        let id = |place: &Place| {
            let at = usize::try_from(place.at).expect("fits");
            &arena[at..at + usize::try_from(place.id_len).expect("fits")]
        };
        self.places.sort_unstable_by(|a, b| {
            (a.rank, a.conversation, a.sent_at)
                .cmp(&(b.rank, b.conversation, b.sent_at))
                .then_with(|| id(a).cmp(id(b)))
                .then_with(|| a.number.cmp(&b.number))
        });
    }

    fn spill(&mut self) -> Result<(), EngineError> {
        self.sort();
        let first_block = self.spool.begin();
        let mut bytes = 0;
        for place in &self.places {
            let record = encode(place, &self.arena);
            bytes += u64::try_from(record.1.len() + record.0.len()).expect("fits");
            self.spool.write(&record.0)?;
            self.spool.write(record.1)?;
        }
        self.spool.flush()?;
        self.runs.push(Run { first_block, bytes });
        self.arena.clear();
        self.places.clear();
        Ok(())
    }

    /// Ends the input; what follows comes out in order.
    pub(crate) fn finish(mut self) -> Result<Sorted, EngineError> {
        if !self.places.is_empty() {
            self.spill()?;
        }
        self.arena = Vec::new();
        self.places = Vec::new();
        let mut sorted = Sorted {
            spool: self.spool,
            runs: Vec::new(),
            heap: BinaryHeap::new(),
            taken: self.taken,
            spare: Vec::new(),
        };
        for run in self.runs {
            sorted.runs.push(RunReader {
                next_block: run.first_block,
                left: run.bytes,
                buffer: Vec::new(),
                at: 0,
                body: Vec::new(),
            });
        }
        for index in 0..sorted.runs.len() {
            sorted.refill(index)?;
        }
        Ok(sorted)
    }
}

const FIXED: usize = 8 + 4 + 8 + 8 + 4 + 4;

fn encode<'a>(place: &Place, arena: &'a [u8]) -> ([u8; FIXED], &'a [u8]) {
    let mut head = [0; FIXED];
    head[..8].copy_from_slice(&place.rank.to_le_bytes());
    head[8..12].copy_from_slice(&place.conversation.to_le_bytes());
    head[12..20].copy_from_slice(&place.sent_at.to_le_bytes());
    head[20..28].copy_from_slice(&place.number.to_le_bytes());
    head[28..32].copy_from_slice(&place.id_len.to_le_bytes());
    head[32..36].copy_from_slice(&place.len.to_le_bytes());
    let at = usize::try_from(place.at).expect("fits");
    (
        head,
        &arena[at..at + usize::try_from(place.len).expect("fits")],
    )
}

struct RunReader {
    next_block: u64,
    left: u64,
    buffer: Vec<u8>,
    at: usize,
    body: Vec<u8>,
}

/// Gives records in order.
pub(crate) struct Sorted {
    spool: Spool,
    runs: Vec<RunReader>,
    heap: BinaryHeap<Reverse<(SortKey, usize)>>,
    taken: u64,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
}

impl Sorted {
    /// How many records there are.
    pub(crate) fn len(&self) -> u64 {
        self.taken
    }

    /// The next record: its key and body.
    pub(crate) fn next(
        &mut self,
        spare: Option<(SortKey, Vec<u8>)>,
    ) -> Result<Option<(SortKey, Vec<u8>)>, EngineError> {
        if let Some((key, body)) = spare {
            self.spare.extend([key.id, body]);
        }
        let Some(Reverse((key, run))) = self.heap.pop() else {
            return Ok(None);
        };
        let body = std::mem::take(&mut self.runs[run].body);
        self.refill(run)?;
        Ok(Some((key, body)))
    }

    fn refill(&mut self, index: usize) -> Result<(), EngineError> {
        let run = &mut self.runs[index];
        if run.left == 0 {
            return Ok(());
        }
        let mut head = [0; FIXED];
        take(&mut self.spool, run, &mut head)?;
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("8 bytes"));
        let (id_len, len) = (
            usize::try_from(word(28)).expect("fits"),
            usize::try_from(word(32)).expect("fits"),
        );
        let mut id = self.spare.pop().unwrap_or_default();
        id.resize(id_len, 0);
        take(&mut self.spool, run, &mut id)?;
        let mut body = self.spare.pop().unwrap_or_default();
        body.resize(len - id_len, 0);
        take(&mut self.spool, run, &mut body)?;
        run.body = body;
        let key = SortKey {
            rank: long(0),
            conversation: word(8),
            sent_at: i64::from_le_bytes(head[12..20].try_into().expect("8 bytes")),
            id,
            number: long(20),
        };
        self.heap.push(Reverse((key, index)));
        Ok(())
    }
}

fn take(spool: &mut Spool, run: &mut RunReader, out: &mut [u8]) -> Result<(), EngineError> {
    let mut filled = 0;
    while filled < out.len() {
        if run.at == run.buffer.len() {
            spool.read(run.next_block, &mut run.buffer)?;
            run.next_block += 1;
            run.at = 0;
        }
        let some = (run.buffer.len() - run.at).min(out.len() - filled);
        out[filled..filled + some].copy_from_slice(&run.buffer[run.at..run.at + some]);
        run.at += some;
        filled += some;
    }
    run.left -= u64::try_from(out.len()).expect("fits");
    Ok(())
}

/// Sealed blocks of one size, in a temporary file or, without files, in memory.
struct Spool {
    key: AeadKey,
    block: Vec<u8>,
    blocks: u64,
    place: Backing,
}

#[cfg(feature = "native")]
type Backing = Option<std::fs::File>;
#[cfg(not(feature = "native"))]
type Backing = Vec<u8>;

const SEALED: usize = 4 + BLOCK + TAG_BYTES;

impl Spool {
    fn new(rng: &mut dyn CryptoRng) -> Self {
        let mut key = SecretBox::new(Box::new([0; 32]));
        rng.fill_bytes(key.expose_secret_mut());
        Self {
            key: AeadKey::new(&key),
            block: Vec::with_capacity(SEALED),
            blocks: 0,
            place: Backing::default(),
        }
    }

    /// The number of the block that the next run begins with.
    fn begin(&self) -> u64 {
        self.blocks
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), EngineError> {
        while !bytes.is_empty() {
            let room = BLOCK - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == BLOCK {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        if self.block.is_empty() {
            return Ok(());
        }
        let used = u32::try_from(self.block.len())
            .expect("a block is small")
            .to_le_bytes();
        self.block.resize(BLOCK, 0);
        self.block.extend_from_slice(&used);
        let tag = self.key.seal(self.blocks, b"spool", &mut self.block);
        self.block.extend_from_slice(&tag);
        self.append()?;
        self.blocks += 1;
        self.block.clear();
        Ok(())
    }

    #[cfg(feature = "native")]
    fn append(&mut self) -> Result<(), EngineError> {
        use std::io::Write as _;
        let written = match &mut self.place {
            Some(file) => file.write_all(&self.block),
            None => {
                tempfile::tempfile().and_then(|file| self.place.insert(file).write_all(&self.block))
            }
        };
        written.map_err(spool_failed)
    }

    #[cfg(not(feature = "native"))]
    fn append(&mut self) -> Result<(), EngineError> {
        self.place.extend_from_slice(&self.block);
        Ok(())
    }

    fn read(&mut self, block: u64, out: &mut Vec<u8>) -> Result<(), EngineError> {
        out.resize(SEALED, 0);
        self.fetch(block, out)?;
        let len = self
            .key
            .open(block, b"spool", out)
            .map(|plain| plain[BLOCK..].try_into().map_or(0, u32::from_le_bytes))
            .map_err(|_| spool_failed(std::io::Error::other("the temporary file was changed")))?;
        out.truncate(usize::try_from(len).expect("a block is small"));
        Ok(())
    }

    #[cfg(feature = "native")]
    fn fetch(&mut self, block: u64, out: &mut [u8]) -> Result<(), EngineError> {
        use std::io::{Read as _, Seek as _, SeekFrom};
        let at = block * u64::try_from(SEALED).expect("fits");
        let file = self
            .place
            .as_mut()
            .ok_or_else(|| spool_failed(std::io::Error::other("no temporary file")))?;
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(out))
            .map_err(spool_failed)
    }

    #[cfg(not(feature = "native"))]
    fn fetch(&mut self, block: u64, out: &mut [u8]) -> Result<(), EngineError> {
        let at = usize::try_from(block).expect("fits") * SEALED;
        out.copy_from_slice(&self.place[at..at + SEALED]);
        Ok(())
    }
}

fn spool_failed(source: std::io::Error) -> EngineError {
    EngineError::Local {
        path: "the temporary file of this run".into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use getrandom::SysRng;
    use proptest::prelude::*;
    use rand_core::UnwrapErr;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn records_leave_in_order_whatever_they_came_in(
            records in proptest::collection::vec((0u32..5, -50i64..50, ".{0,6}", 0usize..200_000), 0..120)
        ) {
            let mut sorter = Sorter::new(&mut UnwrapErr(SysRng));
            let mut expected = Vec::new();
            for (number, (conversation, at, id, len)) in (0u64..).zip(&records) {
                let body = vec![id.len().to_le_bytes()[0]; *len];
                sorter.push(u64::from(*conversation % 2), *conversation, *at, id.as_bytes(), &body).unwrap();
                expected.push((SortKey { rank: u64::from(*conversation % 2), conversation: *conversation, sent_at: *at, id: id.as_bytes().to_vec(), number }, body));
            }
            expected.sort();
            let mut sorted = sorter.finish().unwrap();
            for one in expected {
                prop_assert_eq!(sorted.next(None).unwrap(), Some(one));
            }
            prop_assert_eq!(sorted.next(None).unwrap(), None);
        }
    }
}
