//! The ledger as a SQLite file in the home of the program.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};

use super::{Change, Each, Ledger, Space};
use crate::error::EngineError;

/// A ledger in one file.
#[derive(Debug)]
pub struct SqliteLedger {
    connection: Mutex<Connection>,
}

/// The version of the table's layout. Another one is thrown away and rebuilt.
const LAYOUT: i64 = 3;

const TABLES: [(Space, &str); 6] = [
    (Space::Chunk, "chunk"),
    (Space::Pack, "pack"),
    (Space::Segment, "segment"),
    (Space::Tree, "tree"),
    (Space::File, "file"),
    (Space::State, "state"),
];

impl SqliteLedger {
    /// Opens or makes the file. One that is not a ledger, or of another layout, is replaced by an empty one; one that
    /// cannot be opened now, because the disk is full, say, stays as it is.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        let error = match Self::try_open(path) {
            Ok(ledger) => return Ok(ledger),
            Err(error) => error,
        };
        if !is_useless(&error) {
            return Err(failed(&error));
        }
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            match std::fs::remove_file(Path::new(&name)) {
                Ok(()) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(EngineError::Local {
                        path: path.display().to_string(),
                        source,
                    });
                }
            }
        }
        Self::try_open(path).map_err(|error| failed(&error))
    }

    fn try_open(path: &Path) -> Result<Self, rusqlite::Error> {
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-2048; PRAGMA mmap_size=0; PRAGMA wal_autocheckpoint=8192;",
        )?;
        let layout: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if layout != LAYOUT && layout != 0 {
            return Err(rusqlite::Error::InvalidQuery);
        }
        for (space, table) in TABLES {
            // What is remembered of segments is long: it lies in the order in which it came, and keys beside it.
            let kind = if space == Space::Segment {
                ""
            } else {
                "WITHOUT ROWID"
            };
            connection.execute_batch(&format!(
                "CREATE TABLE IF NOT EXISTS {table}(key BLOB PRIMARY KEY, value BLOB NOT NULL) {kind}"
            ))?;
        }
        if layout != LAYOUT {
            connection.execute_batch(&format!("PRAGMA user_version={LAYOUT}"))?;
        }
        Ok(Self {
            connection: Mutex::new(connection),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what was opened is no ledger of this layout.
fn is_useless(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::InvalidQuery => true,
        _ => matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
        ),
    }
}

fn table(space: Space) -> &'static str {
    TABLES
        .iter()
        .find(|(of, _)| *of == space)
        .map_or("state", |(_, table)| table)
}

fn failed(error: &rusqlite::Error) -> EngineError {
    EngineError::Ledger(error.to_string())
}

impl Ledger for SqliteLedger {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        let connection = self.lock();
        connection
            .prepare_cached(&format!(
                "SELECT value FROM {} WHERE key = ?1",
                table(space)
            ))
            .and_then(|mut statement| {
                statement
                    .query_row(params![key], |row| row.get(0))
                    .optional()
            })
            .map_err(|error| failed(&error))
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let mut connection = self.lock();
        let mut write = || {
            let transaction = connection.transaction()?;
            for (space, key, value) in &changes {
                let table = table(*space);
                match value {
                    Some(value) => transaction
                        .prepare_cached(&format!(
                            "INSERT OR REPLACE INTO {table}(key, value) VALUES(?1, ?2)"
                        ))?
                        .execute(params![key, value])?,
                    None => transaction
                        .prepare_cached(&format!("DELETE FROM {table} WHERE key = ?1"))?
                        .execute(params![key])?,
                };
            }
            transaction.commit()
        };
        write().map_err(|error| failed(&error))
    }

    fn apply_durably(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let set = |level: &str| {
            self.lock()
                .execute_batch(&format!("PRAGMA synchronous={level}"))
                .map_err(|error| failed(&error))
        };
        set("FULL")?;
        let applied = self.apply(changes);
        set("NORMAL")?;
        applied
    }

    fn each(&self, space: Space, visit: &mut Each<'_>) -> Result<(), EngineError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare(&format!(
                "SELECT key, value FROM {} ORDER BY key",
                table(space)
            ))
            .map_err(|error| failed(&error))?;
        let mut rows = statement.query([]).map_err(|error| failed(&error))?;
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            let key: Vec<u8> = row.get(0).map_err(|error| failed(&error))?;
            let value: Vec<u8> = row.get(1).map_err(|error| failed(&error))?;
            visit(&key, &value)?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), EngineError> {
        let connection = self.lock();
        for (_, table) in TABLES {
            connection
                .execute_batch(&format!("DELETE FROM {table}"))
                .map_err(|error| failed(&error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_and_a_foreign_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        ledger
            .apply(vec![(Space::Chunk, b"k".to_vec(), Some(b"v".to_vec()))])
            .unwrap();
        drop(ledger);
        let ledger = SqliteLedger::open(&path).unwrap();
        assert_eq!(
            ledger.get(Space::Chunk, b"k").unwrap().as_deref(),
            Some(&b"v"[..])
        );
        assert_eq!(ledger.get(Space::Pack, b"k").unwrap(), None);
        drop(ledger);
        std::fs::write(
            &path,
            b"not a database at all, but long enough to be looked at",
        )
        .unwrap();
        for end in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(dir.path().join(format!("ledger.db{end}")));
        }
        let ledger = SqliteLedger::open(&path).unwrap();
        assert_eq!(ledger.get(Space::Chunk, b"k").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_opened_now_is_not_thrown_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let ledger = SqliteLedger::open(&path).unwrap();
        let kept = (Space::Chunk, b"k".to_vec(), Some(b"v".to_vec()));
        ledger.apply(vec![kept]).unwrap();
        assert!(SqliteLedger::open(&path).is_err(), "another run has it");
        drop(ledger);
        let ledger = SqliteLedger::open(&path).unwrap();
        assert!(ledger.get(Space::Chunk, b"k").unwrap().is_some());
    }
}
