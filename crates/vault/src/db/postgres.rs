//! PostgreSQL: several connections, each with a thread and one transaction at a time.
//!
//! Transactions of different records run beside each other; the server shares the flushes of their
//! commits. An operation that was undone for another's sake runs again, whole. One whose commit may or may
//! not have happened never does. Operations that take one record's row share a transaction with others that wait.

pub(crate) mod address;
mod connection;
mod rounds;
mod stand;
mod tls;
mod worker;

use std::fmt;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use rand_core::CryptoRng;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use address::{Isolation, Postgres as Config};
use connection::{Connection, Fault, Slot};
use tls::Tls;
use worker::{Source, Worker};

use super::queue::{Kind, Queue};
use super::sqlite::OpenError;
use super::{Database, DbError, Job, Outcome};
use crate::generation::Standing;
use crate::generation::marks::Marks;
use crate::metrics::Metrics;

/// Jobs that may wait; beyond, they are refused.
const QUEUE: usize = 4096;
/// Of eight connections one is a lane's, and one of fewer; the others take what has no lane. A lane is a core's worth of
/// the database, and its operations share commits: the more of them, the fewer share one.
const LANES: usize = 8;

/// The scaled database.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// `Some` until it is dropped.
    jobs: Option<SyncSender<Waiting>>,
    /// For operations that take one record's row, by its shard.
    lanes: Vec<Arc<Queue<Waiting>>>,
    workers: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// A task, and since when it waits.
struct Waiting {
    task: Task,
    since: Instant,
}

impl Waiting {
    fn new(task: Task) -> Self {
        Self {
            task,
            since: Instant::now(),
        }
    }

    fn job(&self) -> Option<&Job> {
        match &self.task {
            Task::Run(job) => Some(job),
            Task::Scrub(_) => None,
        }
    }

    fn shard(&self) -> Option<u32> {
        self.job()?.shard
    }
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waiting")
    }
}

impl Kind for Waiting {
    fn is_alone(&self) -> bool {
        false
    }
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
        for lane in &self.lanes {
            lane.close();
        }
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
    /// Of the database, as it was found at the start.
    generation: u64,
    /// The database lacks what was answered: nothing is done with it until a start finds out.
    went_back: AtomicBool,
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
            generation: stood.standing.generation,
            went_back: AtomicBool::new(false),
            metrics: OnceLock::new(),
        });
        let common = Arc::new(Mutex::new(queue));
        // Where transactions may collide, the more one does the more often it does.
        let lanes = match config.isolation {
            Isolation::ReadCommitted => config.slots().div_ceil(LANES).min(config.slots() - 1),
            Isolation::Serializable => 0,
        };
        let lanes: Vec<_> = (0..lanes).map(|_| Arc::new(Queue::new())).collect();
        let mut workers = Vec::new();
        for number in 0..config.slots() {
            let source = match lanes.get(number) {
                Some(lane) => Source::Lane(Arc::clone(lane)),
                None => Source::Common(Arc::clone(&common)),
            };
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
                .spawn(move || worker.run(&source))?;
            workers.push(thread);
        }
        Ok(Opened {
            database: Arc::new(Self {
                jobs: Some(jobs),
                lanes,
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
        let lane = job.shard.and_then(|shard| {
            let shard = usize::try_from(shard).ok()?;
            self.lanes.get(shard.checked_rem(self.lanes.len())?)
        });
        let waiting = Waiting::new(Task::Run(job));
        let refused = match (lane, &self.jobs) {
            (Some(lane), _) => lane.put(waiting).err(),
            (None, Some(jobs)) => jobs.try_send(waiting).err().map(|error| match error {
                TrySendError::Full(waiting) | TrySendError::Disconnected(waiting) => waiting,
            }),
            (None, None) => Some(waiting),
        };
        if let Some(Waiting {
            task: Task::Run(job),
            ..
        }) = refused
        {
            // Nobody may be waiting any more.
            let _ = job.done.send(Outcome::Nothing(busy()));
        }
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        let (done, waits) = oneshot::channel();
        // A full queue drops `done`: the next sweep tries again.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.try_send(Waiting::new(Task::Scrub(done)));
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
