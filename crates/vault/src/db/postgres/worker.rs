//! One connection's thread: it takes operations, runs each or several in a transaction, and says what became of them.
//!
//! Operations that take one record's row each come by *lanes*: all of a shard by the same one, so that two transactions
//! of this server never wait for each other's rows, and what waits in a lane shares a transaction.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::connection::{Committed, Connection, Fault, Slot, Transaction};
use super::rounds;
use super::stand::{self, Found};
use super::{Shared, Task, Waiting, busy, went_back};
use crate::db::queue::{BATCH, COLLECT, Queue, Taking};
use crate::db::{DbError, Job, Outcome};

/// How often an operation runs again, at most.
const TRIES: u32 = 60;
/// Between two tries to reach a database that was not reached.
const PAUSE: Duration = Duration::from_millis(300);

/// Where a worker's tasks come from.
pub(super) enum Source {
    /// One at a time, with other workers.
    Common(Arc<Mutex<Receiver<Waiting>>>),
    /// Several at a time, alone.
    Lane(Arc<Queue<Waiting>>),
}

pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) slot: Slot,
    pub(super) runtime: Runtime,
    pub(super) connection: Option<Connection>,
    /// When the database was not reached.
    pub(super) lost: Option<Instant>,
}

/// One run of an operation, or of several.
enum Ran {
    Ended(Outcome),
    /// It had no effect, and may have one the next time.
    Again(DbError),
}

impl Worker {
    /// Works until nobody can ask any more.
    pub(super) fn run(&mut self, source: &Source) {
        match source {
            Source::Common(queue) => loop {
                let next = {
                    let queue = queue.lock();
                    queue.unwrap_or_else(PoisonError::into_inner).recv()
                };
                let Ok(waiting) = next else {
                    return;
                };
                self.one(waiting);
            },
            Source::Lane(queue) => {
                let taking = Taking(&**queue);
                let mut before = 1;
                loop {
                    let waiting = taking.0.take(before, BATCH, COLLECT);
                    if waiting.is_empty() {
                        return;
                    }
                    before = waiting.len();
                    self.several(waiting);
                }
            }
        }
    }

    fn one(&mut self, Waiting { task, since }: Waiting) {
        match task {
            Task::Run(job) => {
                let outcome = self.execute(&job, since);
                let _ = job.done.send(outcome);
            }
            Task::Scrub(done) => {
                let _ = done.send(self.scrub());
            }
        }
    }

    /// In one transaction, if all of it goes well. Where it does not, each by itself: then nobody's failure is another's.
    fn several(&mut self, mut waiting: Vec<Waiting>) {
        // Another server's groups take their rows in the same order.
        waiting.sort_by_key(Waiting::shard);
        let jobs: Vec<&Job> = waiting.iter().filter_map(Waiting::job).collect();
        let is_together = jobs.len() > 1 && jobs.len() == waiting.len();
        let together = if is_together && !self.shared.went_back.load(Ordering::SeqCst) {
            match self.attempt(&jobs) {
                Ran::Ended(outcome @ (Outcome::Durable | Outcome::Unknown)) => Some(outcome),
                Ran::Ended(Outcome::Nothing(_)) | Ran::Again(_) => None,
            }
        } else {
            None
        };
        for one in waiting {
            match (&together, one) {
                (
                    Some(outcome),
                    Waiting {
                        task: Task::Run(job),
                        ..
                    },
                ) => {
                    // Nobody may be waiting any more.
                    let _ = job.done.send(outcome.clone());
                }
                (_, one) => self.one(one),
            }
        }
    }

    fn execute(&mut self, job: &Job, since: Instant) -> Outcome {
        let until = since + self.shared.config.deadline * 2;
        let mut tries = 0;
        loop {
            if self.shared.went_back.load(Ordering::SeqCst) {
                return Outcome::Nothing(went_back());
            }
            if Instant::now() >= until {
                return Outcome::Nothing(busy());
            }
            let error = match self.attempt(&[job]) {
                Ran::Ended(outcome) => return outcome,
                Ran::Again(error) => error,
            };
            tries += 1;
            if tries >= TRIES {
                return Outcome::Nothing(error);
            }
            // Not in step with the others that collided: by the connection's number.
            let step = u64::try_from(self.slot.number % 7).unwrap_or(0) + 1;
            std::thread::sleep(Duration::from_micros(step * 200 * u64::from(tries.min(10))));
        }
    }

    fn attempt(&mut self, jobs: &[&Job]) -> Ran {
        if let Err(error) = self.connect() {
            return Ran::Again(error);
        }
        let Some(connection) = self.connection.as_mut() else {
            return Ran::Again(busy());
        };
        let mut transaction = Transaction {
            runtime: &self.runtime,
            connection,
            is_begun: false,
            wrote: false,
            fault: None,
            told: Vec::new(),
        };
        let (beside, after) = apart(jobs);
        let result = rounds::side_by_side(&mut transaction, &beside).and_then(|()| {
            let mut after = after.iter();
            after.try_for_each(|job| (job.work)(&mut transaction))
        });
        let Transaction {
            runtime,
            connection,
            is_begun,
            wrote,
            fault,
            told,
        } = transaction;
        if fault.is_some() || result.is_err() {
            if is_begun {
                runtime.block_on(connection.roll_back());
            }
            return match (fault, result) {
                (Some(fault @ (Fault::Collided | Fault::Lost(_))), _) => {
                    Ran::Again(fault.into_error())
                }
                (_, Err(error))
                | (Some(Fault::Refused(error) | Fault::Cancelled(error)), Ok(())) => {
                    Ran::Ended(Outcome::Nothing(error))
                }
                (None, Ok(())) => Ran::Ended(Outcome::Durable),
            };
        }
        if !is_begun {
            return Ran::Ended(Outcome::Durable);
        }
        let slot = wrote.then_some(self.slot);
        let begun = Instant::now();
        let committed = runtime.block_on(connection.commit(&told, slot));
        if let Some(metrics) = self.shared.metrics.get() {
            metrics.committed(jobs.len(), begun.elapsed());
        }
        match committed {
            Committed::Yes(None) => Ran::Ended(Outcome::Durable),
            Committed::Yes(Some(sequence)) => Ran::Ended(self.note(sequence)),
            Committed::No(Fault::Collided) => Ran::Again(Fault::Collided.into_error()),
            Committed::No(fault) => {
                runtime.block_on(connection.roll_back());
                Ran::Ended(Outcome::Nothing(fault.into_error()))
            }
            Committed::Unknown => Ran::Ended(Outcome::Unknown),
        }
    }

    /// Before anybody is answered: a copy of the database from before this commit is known as old from here on.
    fn note(&self, sequence: u64) -> Outcome {
        match self.shared.marks.advance(self.slot.number, sequence) {
            Ok(true) => Outcome::Durable,
            Ok(false) => {
                self.shared.went_back.store(true, Ordering::SeqCst);
                Outcome::Unknown
            }
            Err(_) => Outcome::Unknown,
        }
    }

    /// A connection to a database that has all that was answered.
    fn connect(&mut self) -> Result<(), DbError> {
        if self
            .connection
            .as_ref()
            .is_some_and(|open| !open.is_useless())
        {
            return Ok(());
        }
        self.connection = None;
        if let Some(when) = self.lost {
            std::thread::sleep(PAUSE.saturating_sub(when.elapsed()));
        }
        // What was answered by now must be there: another host may have taken over without it.
        let held = self.shared.marks.held();
        let Shared { config, tls, .. } = &*self.shared;
        let opened = self.runtime.block_on(async {
            let mut connection = Connection::open(config, tls).await?;
            let found = stand::found(&mut connection, &self.slot.server).await?;
            Ok((connection, found))
        });
        let (connection, found) = match opened {
            Ok(opened) => opened,
            Err(fault) => {
                self.lost = Some(Instant::now());
                return Err(Fault::into_error(fault));
            }
        };
        self.lost = None;
        let Found {
            database,
            generation,
            slots,
        } = found;
        // Another server may have noticed at its start what this one, which answered little, cannot: then what is known
        // here of the standing is not true any more.
        let is_same = generation == self.shared.generation;
        if !is_same || !held.is_some_and(|held| held.allows(&database, generation, &slots)) {
            self.shared.went_back.store(true, Ordering::SeqCst);
            return Err(went_back());
        }
        self.connection = Some(connection);
        Ok(())
    }

    fn scrub(&mut self) -> bool {
        if self.connect().is_err() {
            return false;
        }
        let Some(connection) = self.connection.as_mut() else {
            return false;
        };
        self.runtime.block_on(connection.batch(SCRUB)).is_ok()
    }
}

/// Those that may run side by side, one of a shard, and those that run after them: two of one record must not see each
/// other half done. Alone, an operation just runs.
fn apart<'a>(jobs: &[&'a Job]) -> (Vec<&'a Job>, Vec<&'a Job>) {
    if jobs.len() < 2 {
        return (Vec::new(), jobs.to_vec());
    }
    let mut shards = HashSet::new();
    let is_first = |job: &&Job| job.shard.is_some_and(|shard| shards.insert(shard));
    jobs.iter().copied().partition(is_first)
}

// Pages that changed, and no index: quick on a large table. The bytes leave the page when others need their
// place, and the write-ahead log when it is recycled: they are sealed (docs/vault.md, section 9).
const SCRUB: &str = "VACUUM (INDEX_CLEANUP OFF, TRUNCATE OFF, SKIP_LOCKED) vault_record";
