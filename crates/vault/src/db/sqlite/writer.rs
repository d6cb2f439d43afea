//! One thread commits, several operations at a time; another notes commits in the watermark, and answers.

use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::transaction::{self, Failure};
use super::{Task, Watched, refused};
use crate::db::queue::{BATCH, COLLECT, Queue, Taking};
use crate::db::{DbError, Job, Outcome};
use crate::generation::Watermark;

/// Commits what waits, until nobody can ask any more.
pub(super) fn write(
    connection: &Connection,
    queue: &Queue<Task>,
    committed: &SyncSender<Committed>,
    watched: &Watched,
) {
    let taking = Taking(queue);
    let mut before = 1;
    loop {
        let tasks = taking.0.take(before, BATCH, COLLECT);
        if tasks.is_empty() {
            return;
        }
        let mut scrub = None;
        let mut jobs = Vec::with_capacity(tasks.len());
        for task in tasks {
            match task {
                Task::Run(job) => jobs.push(job),
                Task::Scrub(done) => scrub = Some(done),
            }
        }
        if !jobs.is_empty() {
            before = jobs.len();
            let begun = Instant::now();
            let done = commit(connection, jobs);
            if let Some(metrics) = watched.get() {
                metrics.committed(before, begun.elapsed());
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

type Ran = Vec<(oneshot::Sender<Outcome>, Result<(), DbError>)>;

/// A transaction that is over, and whom to tell.
pub(super) struct Committed {
    ran: Ran,
    done: transaction::Done,
}

fn commit(connection: &Connection, jobs: Vec<Job>) -> Committed {
    let (results, done) = transaction::run(connection, &jobs);
    // Those behind an operation at which the whole transaction failed never ran.
    let results = results.into_iter().chain(std::iter::repeat_with(|| Ok(())));
    let waits = jobs.into_iter().map(|job| job.done);
    let ran = waits.zip(results).collect();
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
fn tell(ran: Ran, done: transaction::Done, noted: bool) {
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
