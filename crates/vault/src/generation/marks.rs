//! The same for a database with several writers: how many commits each of them saw acknowledged.
//!
//! A counter of all commits would be one row that every transaction waits for. So each connection has a
//! row of its own in `vault_mark`, raised in the transaction that it counts; the file holds the least
//! that each of them must hold. A database from before any answered commit lacks at least that one.
//! One sector: a torn write fails its check, and counts as a restore.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};

use super::sync_folder;
use crate::metrics::Metrics;

const MAGIC: &[u8; 8] = b"HLWMARK4";
/// As the first release wrote it: without the generation.
const MAGIC_BEFORE: &[u8; 8] = b"HLWMARK2";
/// Connections at most, so that all fit into one sector.
pub(crate) const SLOTS: usize = 48;
const HEAD: usize = 8 + 16 + 16 + 8 + 2;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) database: [u8; 16],
    /// This server's name in `vault_mark`: several servers have a file each.
    pub(crate) server: [u8; 16],
    /// One more with each restore that was noticed: a copy from before one has a lower number, however many commits.
    pub(crate) generation: u64,
    /// Of each connection, the newest commit that was answered.
    pub(crate) slots: Vec<u64>,
}

impl Held {
    /// Whether a database of this id and generation that holds `found` of this server's slots is no older than what was
    /// answered.
    pub(crate) fn allows(
        &self,
        database: &[u8; 16],
        generation: u64,
        found: &[(u64, u64)],
    ) -> bool {
        let in_database = |slot: usize| {
            let of_slot = |entry: &&(u64, u64)| usize::try_from(entry.0) == Ok(slot);
            found.iter().find(of_slot).map_or(0, |entry| entry.1)
        };
        self.database == *database
            && generation >= self.generation
            && (self.slots.iter().enumerate()).all(|(slot, least)| in_database(slot) >= *least)
    }
}

/// The file, held by one process.
#[derive(Debug)]
pub(crate) struct Marks {
    file: File,
    state: Mutex<State>,
    written: Condvar,
    metrics: OnceLock<Arc<Metrics>>,
}

#[derive(Debug)]
struct State {
    held: Option<Held>,
    /// Numbers that were noted, and up to which of them the file has them.
    noted: u64,
    durable: u64,
    is_writing: bool,
}

impl Marks {
    /// Opens or makes the file. One that makes no sense counts as missing, and missing as a restore.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another server has this watermark"),
            TryLockError::Error(error) => error,
        })?;
        if is_new && let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        let mut bytes = Vec::new();
        (&file).take(1024).read_to_end(&mut bytes)?;
        Ok(Self {
            file,
            state: Mutex::new(State {
                held: parse(&bytes),
                noted: 0,
                durable: 0,
                is_writing: false,
            }),
            written: Condvar::new(),
            metrics: OnceLock::new(),
        })
    }

    /// Told where writes are counted.
    pub(crate) fn watch(&self, metrics: &Arc<Metrics>) {
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    /// What must be there. `None`: nothing is known.
    pub(crate) fn held(&self) -> Option<Held> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.held.clone()
    }

    /// Makes this the least that is allowed, whatever was before.
    pub(crate) fn raise(&self, held: Held) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        write(&self.file, &held)?;
        state.held = Some(held);
        Ok(())
    }

    /// After a commit on connection `slot`; returns when the file has it. Connections share a write.
    ///
    /// `false`: the database went back in time, for this connection saw a later commit before.
    pub(crate) fn advance(&self, slot: usize, sequence: u64) -> io::Result<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let place = state
            .held
            .as_mut()
            .and_then(|held| held.slots.get_mut(slot));
        let place = place.ok_or_else(|| io::Error::other("no database was opened"))?;
        if *place >= sequence {
            return Ok(false);
        }
        *place = sequence;
        state.noted += 1;
        let mine = state.noted;
        loop {
            if state.durable >= mine {
                return Ok(true);
            }
            if state.is_writing {
                let woken = self.written.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(held) = state.held.clone() else {
                return Err(io::Error::other("no database was opened"));
            };
            let until = state.noted;
            state.is_writing = true;
            drop(state);
            let wrote = write(&self.file, &held);
            state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.is_writing = false;
            if wrote.is_ok() {
                if let Some(metrics) = self.metrics.get() {
                    metrics.noted(until.saturating_sub(state.durable));
                }
                state.durable = state.durable.max(until);
            }
            self.written.notify_all();
            wrote?;
        }
    }
}

fn write(mut file: &File, held: &Held) -> io::Result<()> {
    let Held {
        database,
        server,
        generation,
        slots,
    } = held;
    let count = u16::try_from(slots.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(database);
    bytes.extend_from_slice(server);
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    for slot in slots {
        bytes.extend_from_slice(&slot.to_be_bytes());
    }
    let check = Sha256::digest(&bytes);
    bytes.extend_from_slice(check.get(..8).unwrap_or_default());
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&bytes)?;
    file.sync_data()
}

fn parse(bytes: &[u8]) -> Option<Held> {
    let (magic, rest) = bytes.split_first_chunk()?;
    let (database, rest) = rest.split_first_chunk()?;
    let (server, rest) = rest.split_first_chunk()?;
    let (generation, rest, head) = match magic {
        MAGIC => {
            let (generation, rest) = rest.split_first_chunk()?;
            (*generation, rest, HEAD)
        }
        MAGIC_BEFORE => ([0; 8], rest, HEAD - 8),
        _ => return None,
    };
    let (count, rest) = rest.split_first_chunk()?;
    let count = usize::from(u16::from_be_bytes(*count));
    let (slots, rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    let body = bytes.get(..head + slots.len())?;
    if count > SLOTS || rest.get(..8)? != Sha256::digest(body).get(..8)? {
        return None;
    }
    let number = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_be_bytes);
    Some(Held {
        database: *database,
        server: *server,
        generation: u64::from_be_bytes(generation),
        slots: slots.chunks(8).map(number).collect::<Option<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slots: &[u64]) -> Held {
        Held {
            database: [1; 16],
            server: [2; 16],
            generation: 3,
            slots: slots.to_vec(),
        }
    }

    #[test]
    fn a_database_that_lacks_one_answered_commit_of_one_connection_is_not_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let marks = Marks::open(&path).unwrap();
        assert_eq!(marks.held(), None, "a missing file counts as a restore");
        assert!(Marks::open(&path).is_err(), "two servers, one file");
        marks.raise(held(&[4, 9])).unwrap();
        assert!(marks.advance(0, 5).unwrap());
        assert!(!marks.advance(1, 9).unwrap(), "a number comes once");
        drop(marks);
        let found = Marks::open(&path).unwrap().held().unwrap();
        assert!(found.allows(&[1; 16], 3, &[(1, 9), (0, 5)]));
        assert!(found.allows(&[1; 16], 3, &[(0, 6), (1, 12), (7, 1)]));
        assert!(!found.allows(&[1; 16], 3, &[(0, 4), (1, 99)]));
        assert!(!found.allows(&[1; 16], 3, &[(0, 5)]));
        assert!(!found.allows(&[3; 16], 3, &[(0, 5), (1, 9)]));
        assert!(found.allows(&[1; 16], 4, &[(0, 5), (1, 9)]));
        assert!(
            !found.allows(&[1; 16], 2, &[(0, 5), (1, 99)]),
            "from before a restore"
        );
    }

    #[test]
    fn what_was_noted_is_in_the_file_when_the_call_returns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let marks = Marks::open(&path).unwrap();
        marks.raise(held(&[0; SLOTS])).unwrap();
        std::thread::scope(|scope| {
            for slot in 0..8 {
                let (marks, path) = (&marks, &path);
                scope.spawn(move || {
                    for sequence in 1..=20 {
                        assert!(marks.advance(slot, sequence).unwrap());
                        let read = std::fs::read(path).unwrap();
                        // A write of a neighbour may be under way: then the check fails, and a later look shows it.
                        if let Some(found) = parse(&read) {
                            assert!(found.slots[slot] >= sequence);
                        }
                    }
                });
            }
        });
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.len() <= 512);
        let found = parse(&bytes).unwrap();
        assert_eq!(found.slots[..9], [20, 20, 20, 20, 20, 20, 20, 20, 0]);
    }

    #[test]
    fn a_torn_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        Marks::open(&path).unwrap().raise(held(&[4, 9])).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            assert_eq!(parse(&torn), None, "{at}");
            assert_eq!(parse(&whole[..at]), None, "{at}");
        }
    }
}
