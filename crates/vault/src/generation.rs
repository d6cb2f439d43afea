//! Notices a database that was put back: a copy of yesterday must not give yesterday's guesses again.
//!
//! A file of 48 bytes beside the database, but not in its backups, holds the database's id, how many commits it had,
//! and how many restores were noticed. It is written after each commit and before anybody is answered, so that it never
//! is ahead of an undamaged database, and never behind an answer. Commits alone would not do: a second copy, put in the
//! place of one that was noticed, may have more of them and be from before.

pub(crate) mod marks;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"HLWMARK3";
const BYTES: usize = 8 + 16 + 8 + 8 + 8;
/// As the first release wrote it: without the restores.
const MAGIC_BEFORE: &[u8; 8] = b"HLWMARK1";
const BYTES_BEFORE: usize = 8 + 16 + 8 + 8;

/// Which restores happened, and which of them the operator accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    /// One more with each restore.
    pub(crate) generation: u64,
    /// Up to which one records stand as they are.
    pub(crate) accepted: u64,
}

impl Standing {
    pub(crate) fn is_accepted(self) -> bool {
        self.accepted == self.generation
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct Watermark {
    file: File,
    held: Option<Mark>,
}

/// What the file holds, and what a database is held against it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) database: [u8; 16],
    /// Commits.
    pub(crate) sequence: u64,
    /// One more with each restore that was noticed.
    pub(crate) generation: u64,
}

impl Watermark {
    /// Opens or makes the file. One that makes no sense counts as missing, and missing as a restore.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if is_new && let Some(folder) = path.parent() {
            sync_folder(folder)?;
        }
        let mut bytes = Vec::with_capacity(BYTES);
        (&file).take(64).read_to_end(&mut bytes)?;
        Ok(Self {
            held: parse(&bytes),
            file,
        })
    }

    /// Whether a database that says this of itself is no older than what was answered.
    pub(crate) fn allows(&self, found: &Mark) -> bool {
        self.held.is_some_and(|least| {
            least.database == found.database
                && found.sequence >= least.sequence
                && found.generation >= least.generation
        })
    }

    /// The newest generation that was ever seen; no database of before has the next one.
    pub(crate) fn generation(&self) -> u64 {
        self.held.map_or(0, |held| held.generation)
    }

    /// Makes this the least that is allowed, whatever was before.
    pub(crate) fn raise(&mut self, mark: Mark) -> io::Result<()> {
        let Mark {
            database,
            sequence,
            generation,
        } = mark;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&database);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&generation.to_be_bytes());
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(check.get(..8).unwrap_or_default());
        // One sector, in place: a torn write fails its check, and counts as a restore.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.held = Some(mark);
        Ok(())
    }

    /// After a commit of the same database.
    pub(crate) fn advance(&mut self, sequence: u64) -> io::Result<()> {
        let held = self
            .held
            .ok_or_else(|| io::Error::other("no database was opened"))?;
        self.raise(Mark { sequence, ..held })
    }
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let length = match bytes.split_first_chunk()?.0 {
        MAGIC => BYTES,
        MAGIC_BEFORE => BYTES_BEFORE,
        _ => return None,
    };
    if bytes.len() != length {
        return None;
    }
    let (body, check) = bytes.split_at_checked(length - 8)?;
    if Sha256::digest(body).get(..8) != Some(check) {
        return None;
    }
    let (database, rest) = body.get(MAGIC.len()..)?.split_first_chunk()?;
    let (sequence, rest) = rest.split_first_chunk()?;
    let generation = rest.first_chunk().copied().unwrap_or_default();
    Some(Mark {
        database: *database,
        sequence: u64::from_be_bytes(*sequence),
        generation: u64::from_be_bytes(generation),
    })
}

/// Makes names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        PathBuf::from(".")
    } else {
        folder.to_owned()
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(database: u8, sequence: u64, generation: u64) -> Mark {
        Mark {
            database: [database; 16],
            sequence,
            generation,
        }
    }

    #[test]
    fn an_older_or_another_database_is_not_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let mut file = Watermark::open(&path).unwrap();
        assert!(
            !file.allows(&mark(1, 0, 0)),
            "a missing file counts as a restore"
        );
        file.raise(mark(1, 5, 3)).unwrap();
        file.advance(7).unwrap();
        let file = Watermark::open(&path).unwrap();
        assert!(file.allows(&mark(1, 7, 3)));
        assert!(file.allows(&mark(1, 8, 4)));
        assert!(!file.allows(&mark(1, 6, 3)));
        assert!(!file.allows(&mark(2, 8, 3)));
        assert!(!file.allows(&mark(1, 8, 2)), "from before a restore");
        assert_eq!(file.generation(), 3);
    }

    #[test]
    fn a_file_of_the_first_release_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let mut bytes = [&MAGIC_BEFORE[..], &[1; 16], &5_u64.to_be_bytes()].concat();
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check[..8]);
        std::fs::write(&path, &bytes).unwrap();
        let mut file = Watermark::open(&path).unwrap();
        assert!(file.allows(&mark(1, 5, 1)));
        assert!(!file.allows(&mark(1, 4, 1)));
        file.raise(mark(1, 5, 2)).unwrap();
        assert!(Watermark::open(&path).unwrap().allows(&mark(1, 5, 2)));
    }

    #[test]
    fn a_torn_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let found = mark(1, 5, 1);
        Watermark::open(&path).unwrap().raise(found).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert!(!Watermark::open(&path).unwrap().allows(&found), "{at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(!Watermark::open(&path).unwrap().allows(&found), "{at}");
        }
    }
}
