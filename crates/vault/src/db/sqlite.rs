//! SQLite: one writer thread, several operations to a commit, answers only after it.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, params};
use tokio::sync::oneshot;

use super::schema;
use super::{Database, DbError, Job, Outcome, Row, Sql, Value};
use crate::generation::{Standing, Watermark};
use crate::metrics::Metrics;

/// At most so many operations to a commit …
const BATCH: usize = 64;
/// … and no longer a wait for more of them.
const COLLECT: Duration = Duration::from_millis(2);
/// Jobs that may wait; beyond, they are refused.
const QUEUE: usize = 4096;

/// Why the database cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// SQLite says no; another process may have it open.
    #[error("the vault's database cannot be opened: {0}")]
    Engine(#[from] rusqlite::Error),
    /// Written by another version.
    #[error("the vault's database has layout {0}, which this version does not know")]
    Layout(u64),
    /// It fails its own checks.
    #[error("the vault's database is damaged: {0}")]
    Damaged(String),
    /// PostgreSQL is not reached, or says no.
    #[error("the vault's database cannot be used: {0}")]
    Server(String),
    /// The file beside it cannot be read or written.
    #[error("the file that notices a restored database cannot be used: {0}")]
    Watermark(#[from] std::io::Error),
}

/// The embedded database.
#[derive(Debug)]
pub(crate) struct Sqlite {
    /// `Some` until it is dropped.
    jobs: Option<SyncSender<Task>>,
    writer: Option<JoinHandle<()>>,
    metrics: Watched,
}

/// Where transactions are counted, once somebody said where.
type Watched = Arc<OnceLock<Arc<Metrics>>>;

impl Drop for Sqlite {
    /// Commits what waits and closes the file, so that the next process can open it.
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing to commit any more.
            let _ = writer.join();
        }
    }
}

enum Task {
    Run(Job),
    /// Empties the write-ahead log, in which destroyed keys still lie.
    Scrub(oneshot::Sender<bool>),
}

impl Sqlite {
    /// Opens or makes the database at `path`, and compares it with the watermark, which lies elsewhere.
    pub(crate) fn open(
        path: &Path,
        mut watermark: Watermark,
        rng: &mut impl CryptoRng,
    ) -> Result<(Arc<Self>, Standing), OpenError> {
        let mut connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE
                | OpenFlags::SQLITE_OPEN_CREATE
                | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        prepare(&connection)?;
        let standing = stand(&mut connection, &mut watermark, rng)?;
        let (jobs, queue) = sync_channel(QUEUE);
        let metrics = Watched::default();
        let watched = Arc::clone(&metrics);
        let writer = std::thread::Builder::new()
            .name("heirloom-vault-writer".to_owned())
            .spawn(move || write(&mut connection, &mut watermark, &queue, &watched))?;
        let opened = Self {
            jobs: Some(jobs),
            writer: Some(writer),
            metrics,
        };
        Ok((Arc::new(opened), standing))
    }
}

impl Database for Sqlite {
    fn watch(&self, metrics: &Arc<Metrics>) {
        // A second vault over the same database counts with the first.
        let _ = self.metrics.set(Arc::clone(metrics));
    }

    fn submit(&self, job: Job) {
        let Some(jobs) = &self.jobs else {
            return;
        };
        if let Err(error) = jobs.try_send(Task::Run(job)) {
            use std::sync::mpsc::TrySendError::{Disconnected, Full};
            let (Full(Task::Run(job)) | Disconnected(Task::Run(job))) = error else {
                return;
            };
            let busy = DbError::Engine("too many operations wait".to_owned());
            // Nobody may be waiting any more.
            let _ = job.done.send(Outcome::Nothing(busy));
        }
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        let (done, waits) = oneshot::channel();
        // A full queue drops `done`: the next sweep tries again.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(Task::Scrub(done));
        }
        waits
    }
}

fn prepare(connection: &Connection) -> Result<(), OpenError> {
    // `NORMAL` lost up to 999 acknowledged counts in 28 of 60 power cuts; `FULL` none in 460.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA ignore_check_constraints = OFF;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;",
    )?;
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if synchronous != 2 || journal != "wal" {
        return Err(OpenError::Damaged(
            "it cannot be written durably".to_owned(),
        ));
    }
    Ok(())
}

/// Makes the tables or checks them; notices a database that is older than the watermark.
fn stand(
    connection: &mut Connection,
    watermark: &mut Watermark,
    rng: &mut impl CryptoRng,
) -> Result<Standing, OpenError> {
    let transaction = connection.transaction()?;
    let is_there: bool = transaction.query_row(
        "SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'vault_meta'",
        [],
        |row| row.get(0),
    )?;
    if !is_there {
        let mut database = [0; 16];
        rng.fill_bytes(&mut database);
        for layout in schema::after(0, "BLOB") {
            transaction.execute_batch(&layout)?;
        }
        transaction.execute(
            "INSERT INTO vault_meta VALUES (1, $1, $2, 0, 1, 1)",
            params![
                i64::try_from(schema::newest()).unwrap_or(i64::MAX),
                database
            ],
        )?;
    }
    let (layout, database, sequence): (i64, Vec<u8>, i64) = transaction.query_row(
        "SELECT layout, database, sequence FROM vault_meta WHERE id = 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let layout = u64::try_from(layout).unwrap_or(u64::MAX);
    if layout == 0 || layout > schema::newest() {
        return Err(OpenError::Layout(layout));
    }
    for next in schema::after(layout, "BLOB") {
        transaction.execute_batch(&next)?;
    }
    transaction.execute(
        "UPDATE vault_meta SET layout = $1 WHERE id = 1 AND layout < $1",
        params![i64::try_from(schema::newest()).unwrap_or(i64::MAX)],
    )?;
    let damaged = || OpenError::Damaged("vault_meta".to_owned());
    let database: [u8; 16] = database.try_into().map_err(|_| damaged())?;
    let sequence = u64::try_from(sequence).map_err(|_| damaged())?;
    // A database that came from elsewhere passes the same checks as one that we wrote (V6), and every
    // record in it stands as if strangers had used up their guesses.
    if is_there && !watermark.allows(&database, sequence) {
        let verdict: String =
            transaction.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(OpenError::Damaged(verdict));
        }
        transaction.execute(
            "UPDATE vault_meta SET generation = generation + 1 WHERE id = 1",
            [],
        )?;
    }
    let (generation, accepted): (i64, i64) = transaction.query_row(
        "SELECT generation, accepted FROM vault_meta WHERE id = 1",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    transaction.commit()?;
    watermark.raise(&database, sequence)?;
    Ok(Standing {
        generation: u64::try_from(generation).map_err(|_| damaged())?,
        accepted: u64::try_from(accepted).map_err(|_| damaged())?,
    })
}

fn write(
    connection: &mut Connection,
    watermark: &mut Watermark,
    queue: &Receiver<Task>,
    watched: &Watched,
) {
    while let Ok(first) = queue.recv() {
        let mut scrub = None;
        let mut jobs = Vec::new();
        match first {
            Task::Run(job) => jobs.push(job),
            Task::Scrub(done) => scrub = Some(done),
        }
        let until = Instant::now() + COLLECT;
        while scrub.is_none() && jobs.len() < BATCH {
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Task::Run(job)) => jobs.push(job),
                Ok(Task::Scrub(done)) => scrub = Some(done),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        if !jobs.is_empty() {
            let (begun, operations) = (Instant::now(), jobs.len());
            commit(connection, watermark, jobs);
            if let Some(metrics) = watched.get() {
                metrics.committed(operations, begun.elapsed());
            }
        }
        if let Some(done) = scrub {
            let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            });
            let _ = done.send(busy.is_ok_and(|busy| busy == 0));
        }
    }
}

/// One transaction for all of `jobs`, each within a savepoint of its own.
fn commit(connection: &mut Connection, watermark: &mut Watermark, jobs: Vec<Job>) {
    let mut ran: Vec<(oneshot::Sender<Outcome>, Result<(), DbError>)> = Vec::new();
    let changed = match batch(connection, jobs, &mut ran) {
        Ok(sequence) => sequence,
        Err(Failure::Before(error)) => {
            let text = error.to_string();
            for (done, _) in ran {
                let _ = done.send(Outcome::Nothing(DbError::Engine(text.clone())));
            }
            return;
        }
        Err(Failure::AtCommit) => {
            for (done, result) in ran {
                let _ = done.send(result.map_or_else(Outcome::Nothing, |()| Outcome::Unknown));
            }
            return;
        }
    };
    // Before anybody is answered: a copy of the database from before this commit is known as old from here on.
    let noted = changed.is_none_or(|sequence| watermark.advance(sequence).is_ok());
    for (done, result) in ran {
        let outcome = match result {
            Err(error) => Outcome::Nothing(error),
            Ok(()) if noted => Outcome::Durable,
            Ok(()) => Outcome::Unknown,
        };
        let _ = done.send(outcome);
    }
}

enum Failure {
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

/// Gives the new sequence, or `None` when nothing changed.
fn batch(
    connection: &mut Connection,
    jobs: Vec<Job>,
    ran: &mut Vec<(oneshot::Sender<Outcome>, Result<(), DbError>)>,
) -> Result<Option<u64>, Failure> {
    let mut jobs = jobs.into_iter();
    let begun = connection.execute_batch("BEGIN IMMEDIATE");
    if let Err(error) = begun {
        ran.extend(jobs.map(|job| (job.done, Ok(()))));
        return Err(error.into());
    }
    let before = connection.total_changes();
    let mut failed = None;
    for job in jobs.by_ref() {
        let Job { work, done } = job;
        let result = connection
            .execute_batch("SAVEPOINT job")
            .map_err(|error| refused(&error))
            .and_then(|()| work(&mut Statements(connection)));
        let end = if result.is_ok() {
            "RELEASE job"
        } else {
            "ROLLBACK TO job; RELEASE job"
        };
        ran.push((done, result));
        if let Err(error) = connection.execute_batch(end) {
            failed = Some(error);
            break;
        }
    }
    ran.extend(jobs.map(|job| (job.done, Ok(()))));
    if let Some(error) = failed {
        let _ = connection.execute_batch("ROLLBACK");
        return Err(error.into());
    }
    let sequence = if connection.total_changes() == before {
        None
    } else {
        let next = connection.query_row(
            "UPDATE vault_meta SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence",
            [],
            |row| row.get::<_, i64>(0),
        );
        match next {
            Ok(next) => Some(u64::try_from(next).unwrap_or(u64::MAX)),
            Err(error) => {
                let _ = connection.execute_batch("ROLLBACK");
                return Err(error.into());
            }
        }
    };
    if connection.execute_batch("COMMIT").is_err() {
        let _ = connection.execute_batch("ROLLBACK");
        return Err(Failure::AtCommit);
    }
    Ok(sequence)
}

/// Statements on a connection, within whatever transaction it is in.
pub(crate) struct Statements<'a>(pub(crate) &'a Connection);

impl Sql for Statements<'_> {
    fn query(&mut self, text: &'static str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        let mut statement = self
            .0
            .prepare_cached(text)
            .map_err(|error| refused(&error))?;
        for (index, value) in values.iter().enumerate() {
            // SQLite numbers `$1` by its first use: by name it is the one that PostgreSQL means.
            let index = statement
                .parameter_index(&format!("${}", index + 1))
                .map_err(|error| refused(&error))?
                .ok_or(DbError::Impossible)?;
            match value {
                Value::Null => statement.raw_bind_parameter(index, rusqlite::types::Null),
                Value::Int(number) => statement.raw_bind_parameter(index, number),
                Value::Bytes(bytes) => statement.raw_bind_parameter(index, bytes),
            }
            .map_err(|error| refused(&error))?;
        }
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(|error| refused(&error))? {
            let mut values = Vec::with_capacity(columns);
            for column in 0..columns {
                let value = row.get_ref(column).map_err(|error| refused(&error))?;
                values.push(match value {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => Value::Int(number),
                    ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
                    ValueRef::Real(_) | ValueRef::Text(_) => return Err(DbError::Impossible),
                });
            }
            found.push(Row::new(values));
        }
        Ok(found)
    }

    /// One writer with the file locked: there is no other copy.
    fn barrier(&mut self) -> Result<(), DbError> {
        Ok(())
    }
}

fn refused(error: &rusqlite::Error) -> DbError {
    DbError::Engine(error.to_string())
}
