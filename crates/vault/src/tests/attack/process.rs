//! The server as a process of its own, with a clock in a file; and one that counts too late.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::db::sqlite::{Statements, add_functions};
use crate::db::{Database, DbError, Job, Outcome};
use crate::server::Server;
use crate::{Config, Isolation, Limits, Postgres};

const FOLDER: &str = "HEIRLOOM_ATTACK_FOLDER";

/// A clock in a file, which the test sets.
#[derive(Debug)]
struct InFile(PathBuf);

impl Clock for InFile {
    fn now_ms(&self) -> u64 {
        // Replaced by renaming: there is always a whole one.
        fs::read_to_string(&self.0).unwrap().parse().unwrap()
    }
}

pub(in crate::tests) fn set(clock: &Path, now: u64) {
    let next = clock.with_extension("next");
    fs::write(&next, now.to_string()).unwrap();
    fs::rename(next, clock).unwrap();
}

/// What must fail: it answers as soon as it knows what it would count, and counts a little later.
#[derive(Debug)]
struct CountsAfterwards {
    inner: Arc<dyn Database>,
    /// While this file is there.
    flag: PathBuf,
}

impl Database for CountsAfterwards {
    fn submit(&self, job: Job) {
        if !self.flag.exists() {
            return self.inner.submit(job);
        }
        let Job { work, shard, done } = job;
        let work = Arc::new(Mutex::new(work));
        let (again, inner) = (Arc::clone(&work), Arc::clone(&self.inner));
        let (looked, waits) = oneshot::channel();
        self.inner.submit(Job {
            work: Box::new(move |sql| {
                (work.lock().unwrap())(sql)?;
                Err(DbError::Impossible)
            }),
            shard,
            done: looked,
        });
        tokio::spawn(async move {
            let _ = waits.await;
            let _ = done.send(Outcome::Durable);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (counted, waits) = oneshot::channel();
            inner.submit(Job {
                work: Box::new(move |sql| (again.lock().unwrap())(sql)),
                shard,
                done: counted,
            });
            let _ = waits.await;
        });
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        self.inner.scrub()
    }
}

/// What must fail under the power-cut rig: commits that do not wait for the disk. The program cannot be told to.
#[derive(Debug)]
struct NotSynced(Mutex<mpsc::Sender<Job>>);

impl NotSynced {
    /// In the place of the real one, on the same file.
    fn instead_of(inner: Arc<dyn Database>, file: &Path) -> Self {
        drop(inner);
        let connection = rusqlite::Connection::open(file).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
            .unwrap();
        add_functions(&connection).unwrap();
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                let jobs: Vec<Job> = std::iter::once(first)
                    .chain(queue.try_iter().take(63))
                    .collect();
                connection.execute_batch("BEGIN IMMEDIATE").unwrap();
                let ran: Vec<_> = jobs
                    .into_iter()
                    .map(|Job { work, done, .. }| {
                        connection.execute_batch("SAVEPOINT job").unwrap();
                        let result = work(&mut Statements(&connection));
                        let end = if result.is_ok() {
                            "RELEASE job"
                        } else {
                            "ROLLBACK TO job; RELEASE job"
                        };
                        connection.execute_batch(end).unwrap();
                        (done, result)
                    })
                    .collect();
                connection.execute_batch("COMMIT").unwrap();
                for (done, result) in ran {
                    let _ = done.send(result.map_or_else(Outcome::Nothing, |()| Outcome::Durable));
                }
            }
        });
        Self(Mutex::new(jobs))
    }
}

impl Database for NotSynced {
    fn submit(&self, job: Job) {
        self.0.lock().unwrap().send(job).unwrap();
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        oneshot::channel().1
    }
}

/// Not a test: the server, as a process of its own, when a test below asks for it.
#[test]
fn server_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.join("data"));
    config.clock = Arc::new(InFile(folder.join("clock")));
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    config.account_requests_per_second = u64::from(u32::MAX);
    config.admin_socket = None;
    if folder.join("address").exists() {
        let mut postgres = Postgres::from_file(&folder.join("address")).unwrap();
        postgres.connections = 8;
        if folder.join("serializable").exists() {
            postgres.isolation = Isolation::Serializable;
        }
        config.database = Some(postgres);
    }
    let flag = folder.join("control");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let over = |inner| -> Arc<dyn Database> {
            if folder.join("normal").exists() {
                let file = folder.join("data/vault.sqlite");
                return Arc::new(NotSynced::instead_of(inner, &file));
            }
            Arc::new(CountsAfterwards { inner, flag })
        };
        let server = Server::bind_over(config, over).await.unwrap();
        println!("address {}", server.address());
        server.run(std::future::pending()).await.unwrap();
    });
}

const STARTS: u32 = 3;

/// A server that is killed when this is dropped.
pub(in crate::tests) struct Process {
    child: Child,
    pub(in crate::tests) address: SocketAddr,
}

impl Process {
    /// Starts again what ends at its start, as whatever supervises a server does: a database whose connections were just
    /// killed may not take the next ones in time.
    pub(in crate::tests) fn start(folder: &Path) -> Self {
        let started = (0..STARTS).find_map(|_| Self::try_start(folder));
        started.expect("the server starts")
    }

    fn try_start(folder: &Path) -> Option<Self> {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::attack::process::server_process"])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let at = line.find("address ")?;
            line[at + 8..].trim().parse().ok()
        });
        let Some(address) = address else {
            let _ = child.wait();
            return None;
        };
        Some(Self { child, address })
    }

    pub(in crate::tests) fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    /// Also where a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
