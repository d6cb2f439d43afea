//! A vault over a real database, with a clock that a test moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use heirloom_vault_api::*;
use secrecy::SecretBox;
use tokio::sync::oneshot;

use super::cluster::Cluster;
pub(super) use super::person::{Enrolment, ExportKey, Login, password};
use crate::accounts::Tenants;
use crate::clock::Clock;
use crate::db::postgres::Postgres;
use crate::db::postgres::address::{Isolation, Postgres as Address};
use crate::db::sqlite::{OpenError, Sqlite};
use crate::db::{Database, DbError, Job, Outcome};
use crate::generation::{Standing, Watermark};
use crate::keys::{KeyFile, ServerKeys};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn};
use crate::store::device::NewDevice;
use crate::vault::{Vault, random, rng};

pub(super) const MINUTE: u64 = 60_000;
pub(super) const DAY: u64 = 24 * 60 * MINUTE;

#[derive(Debug)]
pub(super) struct Hand(pub(super) AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What a database says that lost its connection at the worst moment.
#[derive(Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn Database>,
    fault: AtomicU8,
}

pub(super) const NONE: u8 = 0;
pub(super) const LOST_AFTER: u8 = 1;
pub(super) const LOST_BEFORE: u8 = 2;
/// The next operation succeeds, and the one after it is lost.
pub(super) const LOST_NEXT_BUT_ONE: u8 = 3;
/// Nothing happens, and that is known.
pub(super) const REFUSED: u8 = 4;

impl Database for Faulty {
    fn submit(&self, job: Job) {
        let fault = self.fault.load(Ordering::SeqCst);
        if fault == LOST_NEXT_BUT_ONE {
            self.fault.store(LOST_AFTER, Ordering::SeqCst);
        }
        if fault == NONE || fault == LOST_NEXT_BUT_ONE {
            return self.inner.submit(job);
        }
        let Job { work, shard, done } = job;
        if fault == REFUSED {
            let error = DbError::Engine("busy".to_owned());
            let _ = done.send(Outcome::Nothing(error));
            return;
        }
        if fault == LOST_BEFORE {
            let _ = done.send(Outcome::Unknown);
            return;
        }
        let (inner, waits) = oneshot::channel();
        self.inner.submit(Job {
            work,
            shard,
            done: inner,
        });
        tokio::spawn(async move {
            let _ = waits.await;
            let _ = done.send(Outcome::Unknown);
        });
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        self.inner.scrub()
    }
}

/// Which database, and how its transactions see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
    Serializable,
}

/// Runs each rule on every engine: `rule::sqlite`, `rule::postgres`, `rule::serializable`.
macro_rules! on_every_engine {
    ($($rule:ident),* $(,)?) => { $(
        mod $rule {
            use crate::tests::harness::Engine;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::$rule(Engine::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if crate::tests::cluster::Cluster::shared().is_some() {
                    super::$rule(Engine::Postgres).await;
                }
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn serializable() {
                if crate::tests::cluster::Cluster::shared().is_some() {
                    super::$rule(Engine::Serializable).await;
                }
            }
        }
    )* };
}
pub(super) use on_every_engine;

/// Where a world's rows lie.
#[derive(Clone, Debug)]
pub(super) enum Rows {
    File(PathBuf),
    Server {
        cluster: &'static Cluster,
        schema: String,
        isolation: Isolation,
        deadline: Duration,
    },
}

/// Rows as they were.
pub(super) enum Copied {
    Files(tempfile::TempDir),
    Schema(String),
}

const FILES: [&str; 2] = ["vault.sqlite", "vault.sqlite-wal"];

impl Rows {
    pub(super) fn on(engine: Engine, folder: &Path) -> Self {
        let isolation = match engine {
            Engine::Sqlite => return Self::File(folder.join("vault.sqlite")),
            Engine::Postgres => Isolation::ReadCommitted,
            Engine::Serializable => Isolation::Serializable,
        };
        let cluster = Cluster::shared().expect("asked before");
        Self::Server {
            cluster,
            schema: cluster.schema(),
            isolation,
            deadline: Duration::from_secs(20),
        }
    }

    /// How the vault is told of them.
    pub(super) fn address(&self) -> Option<Address> {
        let Self::Server {
            cluster,
            schema,
            isolation,
            deadline,
        } = self
        else {
            return None;
        };
        let mut address = Address::new(&cluster.address(schema)).unwrap();
        address.isolation = *isolation;
        address.connections = 3;
        address.deadline = *deadline;
        Some(address)
    }

    pub(super) fn open(
        &self,
        watermark: &Path,
    ) -> Result<(Arc<dyn Database>, Standing), OpenError> {
        if let Some(address) = self.address() {
            let opened = Postgres::open(&address, watermark, &mut rng())?;
            return Ok((opened.database, opened.standing));
        }
        let Self::File(path) = self else {
            unreachable!()
        };
        let mark = Watermark::open(watermark)?;
        let (database, standing) = Sqlite::open(path, mark, &mut rng())?;
        Ok((database, standing))
    }

    /// Statements on rows that no vault has open.
    pub(super) fn try_sql(&self, text: &str) -> Result<(), String> {
        match self {
            Self::File(path) => rusqlite::Connection::open(path)
                .and_then(|database| database.execute_batch(text))
                .map_err(|error| error.to_string()),
            Self::Server {
                cluster, schema, ..
            } => cluster.try_sql(schema, text).map(drop),
        }
    }

    pub(super) fn sql(&self, text: &str) {
        self.try_sql(text)
            .unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    /// A copy, as a backup has it.
    pub(super) fn copy(&self) -> Copied {
        match self {
            Self::File(path) => {
                let to = tempfile::tempdir().unwrap();
                for name in FILES {
                    let _ = std::fs::copy(path.with_file_name(name), to.path().join(name));
                }
                Copied::Files(to)
            }
            Self::Server {
                cluster, schema, ..
            } => {
                let to = cluster.schema();
                cluster.sql(
                    schema,
                    &each(
                        &format!("CREATE TABLE {to}.%1$I AS SELECT * FROM {schema}.%1$I"),
                        schema,
                    ),
                );
                Copied::Schema(to)
            }
        }
    }

    /// Puts a copy back.
    pub(super) fn put_back(&self, copied: &Copied) {
        match (self, copied) {
            (Self::File(path), Copied::Files(from)) => {
                for name in FILES {
                    let _ = std::fs::remove_file(path.with_file_name(name));
                    let _ = std::fs::copy(from.path().join(name), path.with_file_name(name));
                }
            }
            (
                Self::Server {
                    cluster, schema, ..
                },
                Copied::Schema(from),
            ) => {
                cluster.sql(schema, &each(&format!(
                    "DELETE FROM {schema}.%1$I; INSERT INTO {schema}.%1$I SELECT * FROM {from}.%1$I"
                ), schema));
            }
            _ => panic!("a copy of another engine"),
        }
    }
}

/// One statement for every table of a schema.
fn each(statement: &str, schema: &str) -> String {
    format!(
        "DO $do$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = '{schema}' \
         LOOP EXECUTE format($f${statement}$f$, t); END LOOP; END $do$"
    )
}

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) rows: Rows,
    pub(super) clock: Arc<Hand>,
    pub(super) vault: Arc<Vault>,
    pub(super) database: Arc<Faulty>,
}

pub(super) fn owner(seed: u8) -> OwnerKey {
    OwnerKey::new(SecretBox::new(Box::new([seed; 32])))
}

pub(super) fn code(refusal: Refusal) -> Code {
    let Refusal { problem, line: _ } = refusal;
    problem.code
}

fn open(folder: &Path, rows: &Rows, clock: &Arc<Hand>) -> (Arc<Vault>, Arc<Faulty>) {
    let keys = KeyFile::open_or_create(&folder.join("keys"), &mut rng()).unwrap();
    // The vault before lets go of the file a moment after it was dropped.
    let mut tries = 0;
    let (inner, standing) = loop {
        match rows.open(&folder.join("watermark")) {
            Ok(opened) => break opened,
            Err(error) if tries > 200 => panic!("{error}"),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
        tries += 1;
    };
    let database = Arc::new(Faulty {
        inner,
        fault: AtomicU8::new(NONE),
    });
    let keys: Arc<dyn ServerKeys> = Arc::new(keys);
    let (served, time): (Arc<dyn Database>, Arc<dyn Clock>) = (database.clone(), clock.clone());
    let vault = Vault::new(served, keys, time, standing);
    (Arc::new(vault), database)
}

impl World {
    /// On the engine that needs nothing.
    pub(super) fn new() -> Self {
        Self::on(Engine::Sqlite)
    }

    pub(super) fn on(engine: Engine) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows::on(engine, folder.path());
        Self::made(folder, rows)
    }

    /// Over these rows.
    pub(super) fn of(rows: Rows) -> Self {
        Self::made(tempfile::tempdir().unwrap(), rows)
    }

    /// Another server over the same rows, with the same keys.
    pub(super) fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(self.folder.path().join("keys"), folder.path().join("keys")).unwrap();
        Self::made(folder, self.rows.clone())
    }

    fn made(folder: tempfile::TempDir, rows: Rows) -> Self {
        let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        let (vault, database) = open(folder.path(), &rows, &clock);
        Self {
            folder,
            rows,
            clock,
            vault,
            database,
        }
    }

    /// Ends the process, as far as a test can; its folder goes when the caller drops it.
    pub(super) fn end(self) -> tempfile::TempDir {
        let Self {
            folder,
            rows,
            clock: _,
            vault,
            database,
        } = self;
        drop((vault, database));
        if let Rows::File(path) = &rows {
            wait_until_closed(path);
        }
        folder
    }

    /// Ends the process and starts another; `between` may touch the rows.
    pub(super) fn restart(self, between: impl FnOnce(&Rows)) -> Self {
        let (rows, clock) = (self.rows.clone(), Arc::clone(&self.clock));
        let folder = self.end();
        between(&rows);
        let (vault, database) = open(folder.path(), &rows, &clock);
        Self {
            folder,
            rows,
            clock,
            vault,
            database,
        }
    }

    pub(super) fn fault(&self, fault: u8) {
        self.database.fault.store(fault, Ordering::SeqCst);
    }

    pub(super) fn wait(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) fn identity(&self) -> Identity {
        Identity::new(&self.vault.info().identity).unwrap()
    }

    pub(super) fn pinned(&self, record: RecordName) -> Pinned {
        Pinned {
            record,
            identity: self.identity(),
            suite: suite::NEWEST,
        }
    }

    pub(super) async fn account(&self) -> AccountId {
        let invite = Invite(random());
        let given = invite.clone();
        let now = self.vault.now();
        self.vault
            .run(move |sql| account::invite(sql, &given, None, None, now))
            .await
            .unwrap();
        let new = NewSignIn {
            invite: Some(invite),
            new: Tenants::default().new_accounts(1000),
            device: NewDevice {
                token: Token(random()),
                device: random(),
                name: None,
                by: SignedInBy::Invitation,
                now,
            },
            first_is_free: false,
        };
        let signed_in = self.vault.run(move |sql| account::sign_in(sql, &new));
        signed_in.await.unwrap().unwrap()
    }

    /// A pending version.
    pub(super) async fn register(
        &self,
        account: AccountId,
        text: &str,
        record: Option<RecordName>,
        (now, next): (&OwnerKey, &OwnerKey),
    ) -> Result<(Registered, ExportKey), Refusal> {
        let (enrolment, start) = Enrolment::start(&password(text), record, &mut rng());
        let started = self.vault.start_registration(start, account, None).await?;
        let identity = self.identity();
        let (finish, _, key) = enrolment
            .finish(&password(text), &started, &identity, now, next, &mut rng())
            .unwrap();
        let registered = self
            .vault
            .finish_registration(finish, account, None)
            .await?;
        Ok((registered, key))
    }

    pub(super) async fn activate(
        &self,
        account: AccountId,
        registered: &Registered,
        owner: &OwnerKey,
    ) -> Result<Activated, Refusal> {
        let Registered { record, version } = registered;
        let act = OwnerAct::Activate { version: *version };
        let signature = owner.sign(&self.identity(), record, &act);
        let activate = Activate {
            record: *record,
            version: *version,
            signature,
        };
        self.vault.activate(activate, account).await
    }

    /// A record with a password in force; its owner key has the seed 1.
    pub(super) async fn enrol(&self, account: AccountId, text: &str) -> (RecordName, ExportKey) {
        let (registered, key) = self
            .register(account, text, None, (&owner(1), &owner(1)))
            .await
            .unwrap();
        self.login(registered.record, text, Which::Pending, Some(account))
            .await
            .unwrap();
        self.activate(account, &registered, &owner(1))
            .await
            .unwrap();
        (registered.record, key)
    }

    pub(super) fn ke1(&self, record: RecordName, text: &str) -> (Login, GuessStart) {
        Login::start(
            &password(text),
            self.pinned(record),
            Which::Active,
            &mut rng(),
        )
    }

    /// Nine wrong guesses of the owner, each after its wait, and the wait before the tenth.
    pub(super) async fn spend_nine(&self, record: RecordName, account: AccountId) {
        for _ in 0..9 {
            self.spend(record, Some(account)).await.unwrap();
            self.wait(DAY);
        }
    }

    /// The tenth guess, after nine wrong ones: it is right, and not proven yet.
    pub(super) async fn tenth(
        &self,
        record: RecordName,
        account: AccountId,
    ) -> super::person::Opened {
        self.spend_nine(record, account).await;
        let (login, start) = self.ke1(record, "correct horse");
        let evaluated = self.vault.guess(start, Some(account)).await.unwrap();
        login
            .finish(&password("correct horse"), &evaluated, &mut rng())
            .unwrap()
    }

    /// One guess whose proof never comes.
    pub(super) async fn spend(
        &self,
        record: RecordName,
        account: Option<AccountId>,
    ) -> Result<Evaluated, Refusal> {
        let (_, start) = self.ke1(record, "wrong");
        self.vault.guess(start, account).await
    }

    /// A whole unlock.
    pub(super) async fn login(
        &self,
        record: RecordName,
        text: &str,
        which: Which,
        account: Option<AccountId>,
    ) -> Result<(ExportKey, Confirmed), Refusal> {
        let pinned = self.pinned(record);
        let (login, start) = Login::start(&password(text), pinned, which, &mut rng());
        let evaluated = self.vault.guess(start, account).await?;
        let opened = login
            .finish(&password(text), &evaluated, &mut rng())
            .expect("the right password opens");
        let proved = self.vault.prove(opened.proof.clone()).await?;
        let confirmed = opened.confirm(&proved);
        Ok((opened.export_key, confirmed))
    }

    pub(super) async fn status(&self, record: RecordName, account: AccountId) -> RecordStatus {
        self.vault
            .status(StatusRead { record }, account)
            .await
            .unwrap()
    }

    /// Every file of the database.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                path.file_name()
                    .unwrap()
                    .to_string_lossy()
                    .starts_with("vault.sqlite")
            })
            .collect()
    }
}

fn wait_until_closed(path: &std::path::Path) {
    for _ in 0..500 {
        // With an exclusive lock held by the writer, not even a read succeeds.
        let opened = rusqlite::Connection::open(path).unwrap();
        let read = opened.query_row("SELECT count(*) FROM vault_meta", [], |_| Ok(()));
        if read.is_ok() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the database stays open");
}
