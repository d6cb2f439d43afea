//! The limit: OPAQUE's server half and the durable commits of an unlock, with nothing around them.
//!
//! An unlock is two commits (the guess is counted before it is evaluated; the proof gives it back) and both steps of the
//! server, from the messages' bytes to the answer's. Here as many threads as there are clients do just that, in one
//! process: no HTTP, no JSON, no sign-in, no sessions, no log, no signature, no sealed record.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault_api::{OpaqueRng, suite};
use opaque_ke::{
    ClientLogin, ClientRegistration, ClientRegistrationFinishParameters, CredentialFinalization,
    CredentialRequest, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::machine;
use crate::opaque::cheap;

type Setup = ServerSetup<suite::V1>;
type Registered = ServerRegistration<suite::V1>;

/// Of PostgreSQL, as many as a vault has.
const CONNECTIONS: usize = 16;
/// Commits that share a flush.
const GROUP: usize = 64;

/// The parts, alone, as a process of their own.
#[derive(Debug, clap::Args)]
pub(crate) struct Raw {
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    database_url_file: Option<PathBuf>,
    #[arg(long)]
    clients: usize,
    #[arg(long)]
    milliseconds: u64,
}

/// What they came to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Parts {
    /// Unlocks' worth.
    pub(super) done: f64,
    /// Seconds on the wall.
    pub(super) took: f64,
    /// Seconds of the processor, without those of a database elsewhere.
    pub(super) cpu: f64,
}

/// Runs the parts on a core.
pub(super) fn run(
    core: Option<u32>,
    folder: &Path,
    database: Option<&Path>,
    clients: usize,
    time: Duration,
) -> Result<Parts> {
    let mut command = machine::on(core, std::env::current_exe()?);
    command.arg("vault-parts").arg("--folder").arg(folder);
    command.args(["--clients", &clients.to_string()]);
    command.args(["--milliseconds", &time.as_millis().to_string()]);
    if let Some(file) = database {
        command.arg("--database-url-file").arg(file);
    }
    let done = command.stderr(Stdio::inherit()).output()?;
    serde_json::from_slice(&done.stdout).context("the parts alone")
}

/// Both steps of the server.
struct Step {
    setup: Setup,
    record: Vec<u8>,
    request: Vec<u8>,
}

impl Step {
    fn new() -> Result<Self> {
        let wrong = |error: opaque_ke::errors::ProtocolError| anyhow!("{error:?}");
        let mut random = UnwrapErr(SysRng);
        let mut random = OpaqueRng(&mut random);
        let setup = Setup::new(&mut random);
        let client = ClientRegistration::<suite::V1>::start(&mut random, b"x").map_err(wrong)?;
        let server = Registered::start(&setup, client.message, b"name").map_err(wrong)?;
        let ksf = cheap()?;
        let parameters = ClientRegistrationFinishParameters {
            ksf: Some(&ksf),
            ..ClientRegistrationFinishParameters::default()
        };
        let upload = client
            .state
            .finish(&mut random, b"x", server.message, parameters)
            .map_err(wrong)?;
        let login = ClientLogin::<suite::V1>::start(&mut random, b"x").map_err(wrong)?;
        Ok(Self {
            setup,
            record: Registered::finish(upload.message).serialize().to_vec(),
            request: login.message.serialize().to_vec(),
        })
    }

    /// KE1 and the record in, KE2 out.
    fn start(&self) -> Result<ServerLogin<suite::V1>> {
        let wrong = |error: opaque_ke::errors::ProtocolError| anyhow!("{error:?}");
        let started = ServerLogin::start(
            &mut OpaqueRng(&mut UnwrapErr(SysRng)),
            &self.setup,
            Some(Registered::deserialize(&self.record).map_err(wrong)?),
            CredentialRequest::deserialize(&self.request).map_err(wrong)?,
            b"name",
            ServerLoginParameters::default(),
        )
        .map_err(wrong)?;
        anyhow::ensure!(started.message.serialize().len() == 320, "KE2");
        Ok(started.state)
    }

    /// Looks at a KE3. A wrong one costs what a right one does.
    fn finish(started: ServerLogin<suite::V1>) -> Result<()> {
        let proof =
            CredentialFinalization::deserialize(&[7; 64]).map_err(|error| anyhow!("{error:?}"))?;
        let finished = started.finish(proof, ServerLoginParameters::default());
        anyhow::ensure!(finished.is_err(), "a wrong proof was accepted");
        Ok(())
    }
}

/// Makes a change durable, for one client.
trait Commit: Send {
    /// Counts, or gives back.
    fn commit(&mut self, count: bool) -> Result<()>;
}

/// The inner half of [`run`].
#[expect(clippy::print_stdout, reason = "its parent reads it")]
pub(crate) fn alone(raw: &Raw) -> Result<()> {
    let Raw {
        folder,
        database_url_file,
        clients,
        milliseconds,
    } = raw;
    let commits = match database_url_file {
        None => sqlite(folder, *clients)?,
        Some(file) => postgres(file, *clients)?,
    };
    let step = Step::new()?;
    let time = Duration::from_millis(*milliseconds);
    let before = machine::seconds(std::process::id())?;
    let begun = Instant::now();
    let done = std::thread::scope(|scope| -> Result<u32> {
        let mut threads = Vec::new();
        for mut commits in commits {
            let step = &step;
            threads.push(scope.spawn(move || -> Result<u32> {
                let mut done = 0;
                while begun.elapsed() < time {
                    commits.commit(true)?;
                    let started = step.start()?;
                    Step::finish(started)?;
                    commits.commit(false)?;
                    done += 1;
                }
                Ok(done)
            }));
        }
        let mut all = 0;
        for thread in threads {
            all += thread.join().ok().context("a thread")??;
        }
        Ok(all)
    })?;
    let parts = Parts {
        done: f64::from(done),
        took: begun.elapsed().as_secs_f64(),
        cpu: machine::seconds(std::process::id())? - before,
    };
    println!("{}", serde_json::to_string(&parts)?);
    Ok(())
}

/// One writer, that takes what waits.
struct Grouped {
    id: i64,
    commits: mpsc::Sender<(i64, bool, mpsc::Sender<()>)>,
    done: mpsc::Sender<()>,
    waits: mpsc::Receiver<()>,
}

impl Commit for Grouped {
    fn commit(&mut self, count: bool) -> Result<()> {
        let job = (self.id, count, self.done.clone());
        self.commits.send(job).ok().context("the writer")?;
        Ok(self.waits.recv()?)
    }
}

const COUNT: &str = "UPDATE t SET guesses = guesses + 1 WHERE id = $1";
const GIVE_BACK: &str = "UPDATE t SET guesses = 0 WHERE id = $1";

fn sqlite(folder: &Path, clients: usize) -> Result<Vec<Box<dyn Commit>>> {
    let database = Connection::open(folder.join("parts.sqlite"))?;
    database.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, guesses INTEGER, pad BLOB); DELETE FROM t;",
    )?;
    for id in 0..clients {
        let id = i64::try_from(id)?;
        database.execute("INSERT INTO t VALUES (?1, 0, zeroblob(400))", [id])?;
    }
    let (commits, queue) = mpsc::channel::<(i64, bool, mpsc::Sender<()>)>();
    // It ends with the process.
    std::thread::spawn(move || -> Result<()> {
        while let Ok(first) = queue.recv() {
            let mut all = vec![first];
            while all.len() < GROUP
                && let Ok(next) = queue.try_recv()
            {
                all.push(next);
            }
            database.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            for (id, count, _) in &all {
                let text = if *count { COUNT } else { GIVE_BACK };
                database.prepare_cached(text)?.execute([id])?;
            }
            database.prepare_cached("COMMIT")?.execute([])?;
            for (_, _, done) in all {
                let _ = done.send(());
            }
        }
        Ok(())
    });
    let mut all: Vec<Box<dyn Commit>> = Vec::new();
    for id in 0..clients {
        let (done, waits) = mpsc::channel();
        all.push(Box::new(Grouped {
            id: i64::try_from(id)?,
            commits: commits.clone(),
            done,
            waits,
        }));
    }
    Ok(all)
}

/// A connection that several clients share.
struct Connected {
    runtime: tokio::runtime::Runtime,
    client: tokio_postgres::Client,
    count: tokio_postgres::Statement,
    give_back: tokio_postgres::Statement,
}

struct Shared {
    id: i64,
    connection: Arc<Mutex<Connected>>,
}

impl Commit for Shared {
    fn commit(&mut self, count: bool) -> Result<()> {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Connected {
            runtime,
            client,
            count: counting,
            give_back,
        } = &*connection;
        let statement = if count { counting } else { give_back };
        // One statement is a transaction.
        let changed = runtime.block_on(client.execute(statement, &[&self.id]))?;
        anyhow::ensure!(changed == 1, "the row");
        Ok(())
    }
}

fn postgres(file: &Path, clients: usize) -> Result<Vec<Box<dyn Commit>>> {
    let address = std::fs::read_to_string(file)?;
    let mut connections = Vec::new();
    for number in 0..clients.min(CONNECTIONS) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connected = runtime.block_on(async {
            let (client, connection) =
                tokio_postgres::connect(address.trim(), tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            if number == 0 {
                client
                    .batch_execute(
                        "CREATE TABLE IF NOT EXISTS t (id bigint PRIMARY KEY, guesses bigint, pad bytea); DELETE FROM t",
                    )
                    .await?;
                for id in 0..clients {
                    let id = i64::try_from(id).unwrap_or_default();
                    let row = "INSERT INTO t VALUES ($1, 0, decode(repeat('00', 400), 'hex'))";
                    client.execute(row, &[&id]).await?;
                }
            }
            let count = client.prepare(COUNT).await?;
            let give_back = client.prepare(GIVE_BACK).await?;
            Ok::<_, tokio_postgres::Error>((client, count, give_back))
        });
        let (client, count, give_back) = connected?;
        connections.push(Arc::new(Mutex::new(Connected {
            runtime,
            client,
            count,
            give_back,
        })));
    }
    let mut all: Vec<Box<dyn Commit>> = Vec::new();
    for (id, connection) in (0..clients).zip(connections.iter().cycle()) {
        all.push(Box::new(Shared {
            id: i64::try_from(id)?,
            connection: Arc::clone(connection),
        }));
    }
    Ok(all)
}
