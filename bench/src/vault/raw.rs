//! The limit: OPAQUE's server step and one durable commit, with nothing around them.

use std::path::Path;
use std::sync::mpsc;
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

use super::client::cheap;

type Setup = ServerSetup<suite::V1>;
type Registered = ServerRegistration<suite::V1>;

/// What one step of the server takes.
pub(super) struct Step {
    setup: Setup,
    record: Registered,
    request: CredentialRequest<suite::V1>,
    proof: Vec<u8>,
}

impl Step {
    pub(super) fn new() -> Result<Self> {
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
        let client = client.state;
        let upload = client
            .finish(&mut random, b"x", server.message, parameters)
            .map_err(wrong)?;
        let record = Registered::finish(upload.message);
        let login = ClientLogin::<suite::V1>::start(&mut random, b"x").map_err(wrong)?;
        Ok(Self {
            setup,
            record,
            request: login.message,
            proof: vec![7; 64],
        })
    }

    /// Evaluates, and looks at a proof: a wrong one costs what a right one does.
    pub(super) fn take(&self) -> Result<()> {
        let wrong = |error: opaque_ke::errors::ProtocolError| anyhow!("{error:?}");
        let mut random = UnwrapErr(SysRng);
        let started = ServerLogin::start(
            &mut OpaqueRng(&mut random),
            &self.setup,
            Some(self.record.clone()),
            self.request.clone(),
            b"name",
            ServerLoginParameters::default(),
        )
        .map_err(wrong)?;
        let proof = CredentialFinalization::deserialize(&self.proof).map_err(wrong)?;
        let refused = started
            .state
            .finish(proof, ServerLoginParameters::default());
        if refused.is_ok() {
            return Err(anyhow!("a wrong proof was accepted"));
        }
        Ok(())
    }
}

/// Steps and commits a second with `clients` at a time: the commits of all are shared, up to 64 at once.
pub(super) fn run(folder: &Path, clients: usize, time: Duration) -> Result<f64> {
    let step = Step::new()?;
    let database = Connection::open(folder.join("raw.sqlite"))?;
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
         CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, guesses INTEGER, pad BLOB); DELETE FROM t;",
    )?;
    for id in 0..clients {
        let id = i64::try_from(id)?;
        database.execute("INSERT INTO t VALUES (?1, 0, zeroblob(400))", [id])?;
    }
    let (commits, queue) = mpsc::channel::<(i64, mpsc::Sender<()>)>();
    let writer = std::thread::spawn(move || -> Result<()> {
        while let Ok(first) = queue.recv() {
            let mut all = vec![first];
            while all.len() < 64
                && let Ok(next) = queue.try_recv()
            {
                all.push(next);
            }
            database.execute_batch("BEGIN IMMEDIATE")?;
            for (id, _) in &all {
                database
                    .prepare_cached("UPDATE t SET guesses = guesses + 1 WHERE id = ?1")?
                    .execute([id])?;
            }
            database.execute_batch("COMMIT")?;
            for (_, done) in all {
                let _ = done.send(());
            }
        }
        Ok(())
    });
    let begun = Instant::now();
    let done: Result<u32> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..clients)
            .map(|id| {
                let (step, commits) = (&step, commits.clone());
                scope.spawn(move || -> Result<u32> {
                    let (done, waits) = mpsc::channel();
                    let id = i64::try_from(id)?;
                    let mut steps = 0;
                    while begun.elapsed() < time {
                        commits.send((id, done.clone())).context("the writer")?;
                        waits.recv()?;
                        step.take()?;
                        steps += 1;
                    }
                    Ok(steps)
                })
            })
            .collect();
        let mut all = 0;
        for thread in threads {
            all += thread.join().map_err(|_| anyhow!("a thread"))??;
        }
        Ok(all)
    });
    let took = begun.elapsed().as_secs_f64();
    drop(commits);
    writer.join().map_err(|_| anyhow!("the writer"))??;
    Ok(f64::from(done?) / took)
}
