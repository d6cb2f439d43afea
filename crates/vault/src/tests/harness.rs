//! A vault over a real database, with a clock that a test moves.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use heirloom_vault_api::*;
use secrecy::SecretBox;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::db::sqlite::Sqlite;
use crate::db::{Database, Job, Outcome};
use crate::generation::Watermark;
use crate::keys::{KeyFile, ServerKeys};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn};
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
    inner: Arc<Sqlite>,
    fault: AtomicU8,
}

pub(super) const NONE: u8 = 0;
pub(super) const LOST_AFTER: u8 = 1;
pub(super) const LOST_BEFORE: u8 = 2;
/// The next operation succeeds, and the one after it is lost.
pub(super) const LOST_NEXT_BUT_ONE: u8 = 3;

impl Database for Faulty {
    fn submit(&self, job: Job) {
        let fault = self.fault.load(Ordering::SeqCst);
        if fault == LOST_NEXT_BUT_ONE {
            self.fault.store(LOST_AFTER, Ordering::SeqCst);
        }
        if fault == NONE || fault == LOST_NEXT_BUT_ONE {
            return self.inner.submit(job);
        }
        let Job { work, done } = job;
        if fault == LOST_BEFORE {
            let _ = done.send(Outcome::Unknown);
            return;
        }
        let (inner, waits) = oneshot::channel();
        self.inner.submit(Job { work, done: inner });
        tokio::spawn(async move {
            let _ = waits.await;
            let _ = done.send(Outcome::Unknown);
        });
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        self.inner.scrub()
    }
}

pub(super) struct World {
    pub(super) folder: tempfile::TempDir,
    pub(super) clock: Arc<Hand>,
    pub(super) vault: Arc<Vault>,
    pub(super) database: Arc<Faulty>,
}

pub(super) fn owner(seed: u8) -> OwnerKey {
    OwnerKey::new(SecretBox::new(Box::new([seed; 32])))
}

pub(super) fn password(text: &str) -> Password {
    Password::new(text.to_owned().into()).unwrap()
}

pub(super) fn code(refusal: Refusal) -> Code {
    let Refusal { problem, line: _ } = refusal;
    problem.code
}

fn open(folder: &std::path::Path, clock: &Arc<Hand>) -> (Arc<Vault>, Arc<Faulty>) {
    let keys = KeyFile::open_or_create(&folder.join("keys"), &mut rng()).unwrap();
    let watermark = Watermark::open(&folder.join("watermark")).unwrap();
    let path = folder.join("vault.sqlite");
    // The vault before lets go of the file a moment after it was dropped.
    let mut tries = 0;
    let (inner, standing) = loop {
        let mark = Watermark::open(&folder.join("watermark")).unwrap();
        match Sqlite::open(&path, mark, &mut rng()) {
            Ok(opened) => break opened,
            Err(error) if tries > 200 => panic!("{error}"),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
        tries += 1;
    };
    drop(watermark);
    let database = Arc::new(Faulty {
        inner,
        fault: AtomicU8::new(NONE),
    });
    let keys: Arc<dyn ServerKeys> = Arc::new(keys);
    let (rows, time): (Arc<dyn Database>, Arc<dyn Clock>) = (database.clone(), clock.clone());
    let vault = Vault::new(rows, keys, time, standing);
    (Arc::new(vault), database)
}

impl World {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
        let (vault, database) = open(folder.path(), &clock);
        Self {
            folder,
            clock,
            vault,
            database,
        }
    }

    /// Ends the process, as far as a test can, and starts another; `between` may touch the files.
    pub(super) fn restart(self, between: impl FnOnce(&std::path::Path)) -> Self {
        let Self {
            folder,
            clock,
            vault,
            database,
        } = self;
        drop((vault, database));
        wait_until_closed(&folder.path().join("vault.sqlite"));
        between(folder.path());
        let (vault, database) = open(folder.path(), &clock);
        Self {
            folder,
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
            .run(move |sql| account::invite(sql, &given, None, now))
            .await
            .unwrap();
        let new = NewSignIn {
            invite: Some(invite),
            account: random(),
            token: Token(random()),
            quota_bytes: 1000,
            first_is_free: false,
            now,
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
        let (enrolment, start) = Enrolment::start(&password(text), record, &mut rng()).unwrap();
        let started = self.vault.start_registration(start, account).await?;
        let identity = self.identity();
        let (finish, _, key) = enrolment
            .finish(&password(text), &started, &identity, now, next, &mut rng())
            .unwrap();
        let registered = self.vault.finish_registration(finish, account).await?;
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
        let (login, start) = Login::start(&password(text), pinned, which, &mut rng()).unwrap();
        let evaluated = self.vault.guess(start, account).await?;
        let opened = login
            .finish(&password(text), &evaluated, &mut rng())
            .expect("the right password opens");
        let proved = self.vault.prove(opened.proof.clone()).await?;
        let confirmed = opened.confirm(&proved).unwrap();
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
