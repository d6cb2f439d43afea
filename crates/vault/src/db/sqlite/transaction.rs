//! Several operations in one transaction.

use rusqlite::Connection;

use super::Statements;
use crate::db::{DbError, Job};

pub(super) enum Failure {
    /// Nothing was committed.
    Before(rusqlite::Error),
    /// Who knows.
    AtCommit,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Before(error)
    }
}

/// The new sequence, or `None` when nothing changed.
pub(super) type Done = Result<Option<u64>, Failure>;

/// Runs `jobs` in one transaction; says of each whether it was refused, as far as it came.
///
/// Where one is refused everything is undone, and all run once more, each within a savepoint of its own. That is
/// rare, and savepoints at the first try would cost each operation two statements and a copy of the pages that it
/// changes.
pub(super) fn run(connection: &Connection, jobs: &[Job]) -> (Vec<Result<(), DbError>>, Done) {
    let mut results = Vec::with_capacity(jobs.len());
    let mut is_refused = false;
    let done = transaction(connection, || {
        for job in jobs {
            let result = (job.work)(&mut Statements(connection));
            is_refused |= result.is_err();
            if is_refused {
                return Ok(End::Undo);
            }
            results.push(result);
        }
        Ok(End::Keep)
    });
    if !is_refused {
        return (results, done);
    }
    results.clear();
    let done = transaction(connection, || {
        for job in jobs {
            step(connection, "SAVEPOINT job")?;
            let result = (job.work)(&mut Statements(connection));
            if result.is_err() {
                step(connection, "ROLLBACK TO job")?;
            }
            results.push(result);
            step(connection, "RELEASE job")?;
        }
        Ok(End::Keep)
    });
    (results, done)
}

/// How a transaction's work ended.
enum End {
    Keep,
    Undo,
}

/// What `work` does, committed with the next sequence if it changed something.
fn transaction(connection: &Connection, work: impl FnOnce() -> rusqlite::Result<End>) -> Done {
    step(connection, "BEGIN IMMEDIATE")?;
    let before = connection.total_changes();
    let sequence = match work() {
        Ok(End::Keep) if connection.total_changes() == before => Ok(None),
        Ok(End::Keep) => next_sequence(connection).map(Some),
        Ok(End::Undo) => {
            undo(connection);
            return Ok(None);
        }
        Err(error) => Err(error),
    };
    match sequence {
        Err(error) => {
            undo(connection);
            Err(Failure::Before(error))
        }
        Ok(_) if step(connection, "COMMIT").is_err() => {
            undo(connection);
            Err(Failure::AtCommit)
        }
        Ok(sequence) => Ok(sequence),
    }
}

/// The engine may have undone it already.
fn undo(connection: &Connection) {
    let _ = connection.execute_batch("ROLLBACK");
}

fn next_sequence(connection: &Connection) -> rusqlite::Result<u64> {
    let mut next = connection.prepare_cached(
        "UPDATE vault_meta SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence",
    )?;
    let sequence: i64 = next.query_row([], |row| row.get(0))?;
    Ok(u64::try_from(sequence).unwrap_or(u64::MAX))
}

/// A statement without values or rows, prepared once.
fn step(connection: &Connection, text: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute([]).map(drop)
}
