//! One thread commits, several operations at a time; another notes commits in the watermark, and answers.

use std::sync::mpsc::{Receiver, SyncSender, TryRecvError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Statements, Task, Watched, refused};
use crate::db::{DbError, Job, Outcome};
use crate::generation::Watermark;

/// At most so many operations to a commit …
const BATCH: usize = 64;
/// … and no longer a wait for as many as the one before had.
const COLLECT: Duration = Duration::from_millis(2);

/// Commits what waits, until nobody can ask any more.
pub(super) fn write(
    connection: &mut Connection,
    queue: &Receiver<Task>,
    committed: &SyncSender<Committed>,
    watched: &Watched,
) {
    let mut usual = 1;
    while let Ok(first) = queue.recv() {
        let mut scrub = None;
        let mut jobs = Vec::new();
        match first {
            Task::Run(job) => jobs.push(job),
            Task::Scrub(done) => scrub = Some(done),
        }
        let until = Instant::now() + COLLECT;
        while scrub.is_none() && jobs.len() < BATCH {
            match next(queue, jobs.len() < usual, until) {
                Some(Task::Run(job)) => jobs.push(job),
                Some(Task::Scrub(done)) => scrub = Some(done),
                None => break,
            }
        }
        if !jobs.is_empty() {
            usual = jobs.len();
            let begun = Instant::now();
            let done = commit(connection, jobs);
            if let Some(metrics) = watched.get() {
                metrics.committed(usual, begun.elapsed());
            }
            if committed.send(done).is_err() {
                return;
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

/// What waits, or comes in time where a wait is worth it: whoever asks alone never waits for others.
fn next(queue: &Receiver<Task>, is_worth_it: bool, until: Instant) -> Option<Task> {
    match queue.try_recv() {
        Ok(task) => Some(task),
        Err(TryRecvError::Empty) if is_worth_it => {
            let left = until.saturating_duration_since(Instant::now());
            queue.recv_timeout(left).ok()
        }
        Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
    }
}

type Ran = Vec<(oneshot::Sender<Outcome>, Result<(), DbError>)>;

/// A transaction that is over, and whom to tell.
pub(super) struct Committed {
    ran: Ran,
    /// The new sequence, or `None` when nothing changed.
    done: Result<Option<u64>, Failure>,
}

/// One transaction for all of `jobs`, each within a savepoint of its own.
fn commit(connection: &mut Connection, jobs: Vec<Job>) -> Committed {
    let mut ran = Vec::with_capacity(jobs.len());
    let done = batch(connection, jobs, &mut ran);
    Committed { ran, done }
}

/// Notes commits, several at once where they wait, and answers.
pub(super) fn note(watermark: &mut Watermark, committed: &Receiver<Committed>, watched: &Watched) {
    while let Ok(first) = committed.recv() {
        let all: Vec<Committed> = std::iter::once(first)
            .chain(std::iter::from_fn(|| committed.try_recv().ok()))
            .collect();
        let sequences = all
            .iter()
            .filter_map(|one| one.done.as_ref().ok().copied().flatten());
        let commits = u64::try_from(sequences.clone().count()).unwrap_or(u64::MAX);
        // Before anybody is answered: a copy of the database from before these commits is known as old from here on.
        let noted = sequences
            .max()
            .is_none_or(|sequence| watermark.advance(sequence).is_ok());
        if let Some(metrics) = watched.get().filter(|_| commits > 0) {
            metrics.noted(commits);
        }
        for Committed { ran, done } in all {
            tell(ran, done, noted);
        }
    }
}

/// Nobody may be waiting any more.
fn tell(ran: Ran, done: Result<Option<u64>, Failure>, noted: bool) {
    let failed = match &done {
        Err(Failure::Before(error)) => Some(refused(error)),
        Ok(_) | Err(Failure::AtCommit) => None,
    };
    let is_known = done.is_ok_and(|changed| changed.is_none() || noted);
    for (waits, result) in ran {
        let outcome = match (&failed, result) {
            (Some(error), _) => Outcome::Nothing(error.clone()),
            (None, Err(error)) => Outcome::Nothing(error),
            (None, Ok(())) if is_known => Outcome::Durable,
            (None, Ok(())) => Outcome::Unknown,
        };
        let _ = waits.send(outcome);
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
    ran: &mut Ran,
) -> Result<Option<u64>, Failure> {
    let mut jobs = jobs.into_iter();
    let begun = step(connection, "BEGIN IMMEDIATE");
    if let Err(error) = begun {
        ran.extend(jobs.map(|job| (job.done, Ok(()))));
        return Err(error.into());
    }
    let before = connection.total_changes();
    let mut failed = None;
    for job in jobs.by_ref() {
        let Job { work, done } = job;
        let result = step(connection, "SAVEPOINT job")
            .map_err(|error| refused(&error))
            .and_then(|()| work(&mut Statements(connection)));
        let end = match &result {
            Ok(()) => Ok(()),
            Err(_) => step(connection, "ROLLBACK TO job"),
        };
        ran.push((done, result));
        if let Err(error) = end.and_then(|()| step(connection, "RELEASE job")) {
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
        let next = connection
            .prepare_cached(
                "UPDATE vault_meta SET sequence = sequence + 1 WHERE id = 1 RETURNING sequence",
            )
            .and_then(|mut next| next.query_row([], |row| row.get::<_, i64>(0)));
        match next {
            Ok(next) => Some(u64::try_from(next).unwrap_or(u64::MAX)),
            Err(error) => {
                let _ = connection.execute_batch("ROLLBACK");
                return Err(error.into());
            }
        }
    };
    if step(connection, "COMMIT").is_err() {
        let _ = connection.execute_batch("ROLLBACK");
        return Err(Failure::AtCommit);
    }
    Ok(sequence)
}

/// A statement without values or rows, prepared once.
fn step(connection: &Connection, text: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(text)?.execute([]).map(drop)
}
