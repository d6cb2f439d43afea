//! PostgreSQL: several connections, each with a thread and one operation at a time.
//!
//! Transactions of different records run beside each other; the server shares the flushes of their
//! commits. An operation that was undone for another's sake runs again, whole. One whose commit may or may
//! not have happened never does.

pub(crate) mod address;
mod connection;
mod stand;
mod tls;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use address::Postgres as Config;
use connection::{Committed, Connection, Fault, Slot, Transaction};
use tls::Tls;

use super::sqlite::OpenError;
use super::{Database, DbError, Job, Outcome};
use crate::generation::Standing;
use crate::generation::marks::Marks;
use crate::metrics::Metrics;

/// Jobs that may wait; beyond, they are refused.
const QUEUE: usize = 4096;
/// How often an operation runs again, at most.
const TRIES: u32 = 60;
/// Between two tries to reach a database that was not reached.
const PAUSE: Duration = Duration::from_millis(300);

/// The scaled database.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// `Some` until it is dropped.
    jobs: Option<SyncSender<(Task, Instant)>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

enum Task {
    Run(Job),
    /// Takes what destroyed rows left out of the table.
    Scrub(oneshot::Sender<bool>),
}

impl Drop for Postgres {
    /// Ends what waits and closes the connections.
    fn drop(&mut self) {
        drop(self.jobs.take());
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing to end any more.
            let _ = worker.join();
        }
    }
}

/// What the workers share.
struct Shared {
    config: Config,
    tls: Tls,
    marks: Marks,
    /// The database lacks what was answered: nothing is done with it until a start finds out.
    went_back: AtomicBool,
    queue: Mutex<Receiver<(Task, Instant)>>,
    /// Where transactions are counted, once somebody said where.
    metrics: OnceLock<Arc<Metrics>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// A database that was opened.
pub(crate) struct Opened {
    pub(crate) database: Arc<Postgres>,
    pub(crate) standing: Standing,
    /// Whether it holds records: then it is useless without the keys that sealed them.
    pub(crate) holds_records: bool,
}

impl Postgres {
    /// Connects, makes or migrates the tables, and compares them with the watermark. Blocks.
    pub(crate) fn open(
        config: &Config,
        watermark: &Path,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, OpenError> {
        let (mut database, mut server) = ([0; 16], [0; 16]);
        rng.fill_bytes(&mut database);
        rng.fill_bytes(&mut server);
        // On a thread without a runtime: this one may have one.
        std::thread::scope(|scope| {
            let opened = scope.spawn(|| Self::open_here(config, watermark, (database, server)));
            opened.join().unwrap_or_else(|_| {
                let text = "the thread that opens it ended".to_owned();
                Err(OpenError::Server(text))
            })
        })
    }

    fn open_here(
        config: &Config,
        watermark: &Path,
        fresh: ([u8; 16], [u8; 16]),
    ) -> Result<Opened, OpenError> {
        let marks = Marks::open(watermark)?;
        let tls = Tls::new(config.address.roots.as_deref()).map_err(OpenError::Server)?;
        let runtime = runtime()?;
        let server = |fault: Fault| OpenError::Server(fault.into_error().to_string());
        let mut connection = runtime
            .block_on(Connection::open(config, &tls))
            .map_err(server)?;
        let stood = stand::stand(&runtime, &mut connection, &marks, fresh, config.slots())?;
        drop(connection);
        drop(runtime);
        let (jobs, queue) = sync_channel(QUEUE);
        let shared = Arc::new(Shared {
            config: config.clone(),
            tls,
            marks,
            went_back: AtomicBool::new(false),
            queue: Mutex::new(queue),
            metrics: OnceLock::new(),
        });
        let mut workers = Vec::new();
        for number in 0..config.slots() {
            let slot = Slot {
                server: stood.server,
                number,
            };
            let mut worker = Worker {
                shared: Arc::clone(&shared),
                slot,
                runtime: self::runtime()?,
                connection: None,
                lost: None,
            };
            let thread = std::thread::Builder::new()
                .name(format!("heirloom-vault-db-{number}"))
                .spawn(move || worker.run())?;
            workers.push(thread);
        }
        Ok(Opened {
            database: Arc::new(Self {
                jobs: Some(jobs),
                workers,
                shared,
            }),
            standing: stood.standing,
            holds_records: stood.holds_records,
        })
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

impl Database for Postgres {
    fn watch(&self, metrics: &Arc<Metrics>) {
        // A second vault over the same database counts with the first.
        let _ = self.shared.metrics.set(Arc::clone(metrics));
        self.shared.marks.watch(metrics);
    }

    fn submit(&self, job: Job) {
        let Some(jobs) = &self.jobs else {
            return;
        };
        if let Err(error) = jobs.try_send((Task::Run(job), Instant::now())) {
            let (TrySendError::Full((Task::Run(job), _))
            | TrySendError::Disconnected((Task::Run(job), _))) = error
            else {
                return;
            };
            // Nobody may be waiting any more.
            let _ = job.done.send(Outcome::Nothing(busy()));
        }
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        let (done, waits) = oneshot::channel();
        // A full queue drops `done`: the next sweep tries again.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send((Task::Scrub(done), Instant::now()));
        }
        waits
    }
}

fn busy() -> DbError {
    DbError::Engine("too many operations wait".to_owned())
}

fn went_back() -> DbError {
    let text = "the database lacks what was answered: it was put back; start the server again";
    DbError::Engine(text.to_owned())
}

struct Worker {
    shared: Arc<Shared>,
    slot: Slot,
    runtime: Runtime,
    connection: Option<Connection>,
    /// When the database was not reached.
    lost: Option<Instant>,
}

/// One run of an operation.
enum Ran {
    Ended(Outcome),
    /// It had no effect, and may have one the next time.
    Again(DbError),
}

impl Worker {
    fn run(&mut self) {
        loop {
            let queue = Arc::clone(&self.shared);
            let next = {
                let queue = queue.queue.lock();
                queue.unwrap_or_else(PoisonError::into_inner).recv()
            };
            let Ok((task, since)) = next else {
                return;
            };
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
            let error = match self.attempt(job) {
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

    fn attempt(&mut self, job: &Job) -> Ran {
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
        let result = (job.work)(&mut transaction);
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
            // One operation, always: flushes are what transactions share here.
            metrics.committed(1, begun.elapsed());
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
        if !held.is_some_and(|held| held.allows(&found.database, &found.slots)) {
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

// Pages that changed, and no index: quick on a large table. The bytes leave the page when others need their
// place, and the write-ahead log when it is recycled: they are sealed (docs/vault.md, section 9).
const SCRUB: &str = "VACUUM (INDEX_CLEANUP OFF, TRUNCATE OFF, SKIP_LOCKED) vault_record";
