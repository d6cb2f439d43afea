//! Notices a database that was put back: a copy of yesterday must not give yesterday's guesses again.
//!
//! A file of 32 bytes beside the database, but not in its backups, holds the database's id and how many
//! commits it had. It is written after each commit and before anybody is answered, so that it never is
//! ahead of an undamaged database, and never behind an answer.

pub(crate) mod marks;

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

const MAGIC: &[u8; 8] = b"HLWMARK1";
const BYTES: usize = 8 + 16 + 8 + 8;

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
    held: Option<([u8; 16], u64)>,
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

    /// Whether a database of this id with so many commits is no older than what was answered.
    pub(crate) fn allows(&self, database: &[u8; 16], sequence: u64) -> bool {
        self.held
            .is_some_and(|(held, least)| held == *database && sequence >= least)
    }

    /// Makes this the least that is allowed, whatever was before.
    pub(crate) fn raise(&mut self, database: &[u8; 16], sequence: u64) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(database);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(check.get(..8).unwrap_or_default());
        // One sector, in place: a torn write fails its check, and counts as a restore.
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.held = Some((*database, sequence));
        Ok(())
    }

    /// After a commit of the same database.
    pub(crate) fn advance(&mut self, sequence: u64) -> io::Result<()> {
        let (database, _) = self
            .held
            .ok_or_else(|| io::Error::other("no database was opened"))?;
        self.raise(&database, sequence)
    }
}

fn parse(bytes: &[u8]) -> Option<([u8; 16], u64)> {
    let (body, check) = bytes.split_at_checked(BYTES - 8)?;
    let fields = body.strip_prefix(MAGIC)?;
    if Sha256::digest(body).get(..8) != Some(check) {
        return None;
    }
    let (database, sequence) = fields.split_at_checked(16)?;
    Some((
        database.try_into().ok()?,
        u64::from_be_bytes(sequence.try_into().ok()?),
    ))
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

    #[test]
    fn an_older_or_another_database_is_not_allowed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        let mut mark = Watermark::open(&path).unwrap();
        assert!(
            !mark.allows(&[1; 16], 0),
            "a missing file counts as a restore"
        );
        mark.raise(&[1; 16], 5).unwrap();
        mark.advance(7).unwrap();
        let mark = Watermark::open(&path).unwrap();
        assert!(mark.allows(&[1; 16], 7));
        assert!(mark.allows(&[1; 16], 8));
        assert!(!mark.allows(&[1; 16], 6));
        assert!(!mark.allows(&[2; 16], 8));
    }

    #[test]
    fn a_torn_file_counts_as_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("watermark");
        Watermark::open(&path).unwrap().raise(&[1; 16], 5).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut torn = whole.clone();
            torn[at] ^= 1;
            std::fs::write(&path, &torn).unwrap();
            assert!(!Watermark::open(&path).unwrap().allows(&[1; 16], 5), "{at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert!(!Watermark::open(&path).unwrap().allows(&[1; 16], 5), "{at}");
        }
    }
}
