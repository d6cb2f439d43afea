//! Other programs' `SQLite` files: opened without a trace, their tables probed, their values mended.

mod schema;
mod values;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use heirloom_archive::SourceError;
use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tempfile::TempDir;

pub(crate) use schema::{Schema, Table};
pub(crate) use values::{Cells, Values};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// No message, and nothing beside one, is larger.
const VALUE_MAX_BYTES: i32 = 64 << 20;

/// A database of another program, open for reading only.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) connection: Connection,
    pub(crate) schema: Schema,
    /// The file that is read: the original, or a copy where a journal had to be merged in.
    pub(crate) path: PathBuf,
    name: String,
    _copy: Option<TempDir>,
}

impl Database {
    /// Opens the file at `path` and never writes beside it.
    ///
    /// A `-wal` or `-journal` with content belongs to the database; then both are copied to a private place and
    /// merged there.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        let at = |source| SourceError::Io {
            path: path.display().to_string(),
            source,
        };
        let mut magic = [0; 16];
        let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
        match read {
            Ok(()) if &magic == MAGIC => {}
            Ok(()) => return Err(damaged(&name, "it is not an SQLite database")),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(damaged(&name, "it is too short for a database"));
            }
            Err(error) => return Err(at(error)),
        }
        let copy = copy_with_journal(path).map_err(at)?;
        let file = copy
            .as_ref()
            .map_or_else(|| path.to_owned(), |(_, copied)| copied.clone());
        let connection = if copy.is_some() {
            Connection::open_with_flags(
                &file,
                OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
            )
        } else {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_URI
                | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            Connection::open_with_flags(immutable_uri(path), flags)
        };
        let failed = |error| failure(&name, error);
        let connection = connection.map_err(failed)?;
        if copy.is_some() {
            // Reads the journal into the copy, which is a plain file from here on.
            connection
                .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode=DELETE")
                .map_err(failed)?;
        }
        harden(&connection).map_err(failed)?;
        let schema = Schema::probe(&connection).map_err(failed)?;
        Ok(Self {
            connection,
            schema,
            path: file,
            name,
            _copy: copy.map(|(dir, _)| dir),
        })
    }

    /// What went wrong, in words about this file.
    pub(crate) fn failure(&self, error: rusqlite::Error) -> SourceError {
        failure(&self.name, error)
    }
}

/// What a database of a stranger may do: nothing but give its rows, in little memory.
fn harden(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_MAX_BYTES)?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.execute_batch(
        "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-2048; PRAGMA temp_store=FILE;
         PRAGMA query_only=ON",
    )
}

fn failure(name: &str, error: rusqlite::Error) -> SourceError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::DiskFull,
        ) => SourceError::Io {
            path: name.to_owned(),
            source: io::Error::other(error),
        },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(name, "its pages are not what they were")
        }
        _ => damaged(name, &error.to_string()),
    }
}

fn damaged(name: &str, why: &str) -> SourceError {
    SourceError::Damaged {
        file: name.to_owned(),
        why: why.to_owned(),
    }
}

/// A private copy of database and journal, where there is a journal with content.
fn copy_with_journal(path: &Path) -> io::Result<Option<(TempDir, PathBuf)>> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let journals: Vec<(&str, PathBuf)> = ["-wal", "-journal"]
        .into_iter()
        .map(|suffix| (suffix, beside(suffix)))
        .filter(|(_, journal)| {
            fs::metadata(journal).is_ok_and(|found| found.is_file() && found.len() > 0)
        })
        .collect();
    if journals.is_empty() {
        return Ok(None);
    }
    let dir = tempfile::Builder::new().prefix("heirloom-").tempdir()?;
    let copied = dir.path().join("copy.db");
    copy_plain(path, &copied)?;
    for (suffix, journal) in journals {
        copy_plain(&journal, &dir.path().join(format!("copy.db{suffix}")))?;
    }
    Ok(Some((dir, copied)))
}

/// Copies the content and nothing else: a read-only original gives a writable copy.
fn copy_plain(from: &Path, to: &Path) -> io::Result<()> {
    io::copy(&mut File::open(from)?, &mut File::create_new(to)?).map(|_| ())
}

/// `file:…?immutable=1`: no locks, no journal, nothing written beside the file.
fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    #[cfg(unix)]
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    #[cfg(not(unix))]
    let (text, bytes);
    #[cfg(not(unix))]
    {
        text = format!("/{}", path.display()).replace('\\', "/");
        bytes = text.as_bytes();
    }
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/-_.~".contains(byte) {
            uri.push(char::from(*byte));
        } else {
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests;
