//! A wrapping key in an HSM that fails when a test says so.

mod hung;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heirloom_vault_api::{AccountId, Code, RecordName, VaultIdentity, Which, suite};
use opaque_ke::ServerSetup;
use zeroize::Zeroizing;

use super::harness::{DAY, Enrolment, World, code, owner, password};
use crate::db::Database;
use crate::keys::{Custody, KeyFile, KeysError, Place, RotateError, ServerKeys};
use crate::rotation::{Rotation, Step};
use crate::vault::{ASKING, Vault, random, rng};

/// A key file that says it is an HSM.
#[derive(Debug)]
struct Hsm {
    file: KeyFile,
    /// So many calls are answered; the session is lost then.
    answers: AtomicU32,
    calls: AtomicU32,
    hangs: Mutex<Option<Hang>>,
}

#[derive(Debug)]
struct Hang {
    hangs: Sender<()>,
    until: Receiver<()>,
}

const ALWAYS: u32 = u32::MAX;

impl Hsm {
    /// The next call hangs: it says so, and goes on when it is told to.
    fn hang(&self) -> (Receiver<()>, Sender<()>) {
        let (hangs, is_hanging) = channel();
        let (free, until) = channel();
        *self.hangs.lock().unwrap() = Some(Hang { hangs, until });
        (is_hanging, free)
    }

    fn call(&self) -> Result<(), KeysError> {
        if let Some(Hang { hangs, until }) = self.hangs.lock().unwrap().take() {
            hangs.send(()).unwrap();
            until
                .recv_timeout(Duration::from_secs(20))
                .map_err(|_| KeysError)?;
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let left = self.answers.load(Ordering::SeqCst);
        if left == 0 {
            return Err(KeysError);
        }
        if left != ALWAYS {
            self.answers.store(left - 1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl ServerKeys for Hsm {
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError> {
        self.call()?;
        self.file.seal(place, plain)
    }

    fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        self.call()?;
        self.file.open(place, sealed)
    }

    fn probe(&self) -> Result<(), KeysError> {
        self.call()
    }

    fn is_newest(&self, place: &Place<'_>, sealed: &[u8]) -> bool {
        self.file.is_newest(place, sealed)
    }

    fn wrapping_keys(&self) -> usize {
        let _ = self.call();
        self.file.wrapping_keys()
    }

    fn rotate(&self) -> Result<(), RotateError> {
        self.file.rotate()
    }

    fn retire(&self) -> Result<(), RotateError> {
        self.file.retire()
    }

    fn custody(&self) -> Custody {
        Custody::Hsm
    }

    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]> {
        self.file.fake_material(record)
    }

    fn subject(&self, tenant: &str, subject: &str) -> [u8; 32] {
        self.file.subject(tenant, subject)
    }

    fn setup(&self) -> &ServerSetup<suite::V1> {
        self.file.setup()
    }

    fn identity(&self) -> &VaultIdentity {
        self.file.identity()
    }
}

/// A world with one record, whose keys are in an HSM from now on.
async fn world() -> (World, Arc<Hsm>, AccountId, RecordName) {
    let mut world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let hsm = Arc::new(Hsm {
        file: KeyFile::open_or_create(&world.folder.path().join("keys"), &mut rng()).unwrap(),
        answers: AtomicU32::new(ALWAYS),
        calls: AtomicU32::new(0),
        hangs: Mutex::new(None),
    });
    let (database, keys): (Arc<dyn Database>, Arc<dyn ServerKeys>) =
        (world.database.clone(), hsm.clone());
    let standing = world.vault.standing();
    let vault = Vault::new(database, keys, world.clock.clone(), standing);
    world.vault = Arc::new(vault);
    (world, hsm, account, record)
}

#[tokio::test]
async fn while_an_hsm_is_gone_no_guess_counts_at_any_name() {
    let (world, hsm, account, record) = world().await;
    hsm.answers.store(0, Ordering::SeqCst);
    for name in [record, random()] {
        let refused = world.spend(name, None).await.unwrap_err();
        assert_eq!(code(refused), Code::Unavailable);
    }
    hsm.answers.store(ALWAYS, Ordering::SeqCst);
    assert_eq!(world.status(record, account).await.guesses, 0);
    world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
}

#[tokio::test]
async fn v3_an_hsm_that_goes_after_the_count_is_never_as_if_nothing_had_happened() {
    let (world, hsm, account, record) = world().await;
    for name in [record, random()] {
        hsm.answers.store(1, Ordering::SeqCst);
        let refused = world.spend(name, None).await.unwrap_err();
        assert_eq!(code(refused), Code::OutcomeUnknown);
    }
    assert_eq!(world.status(record, account).await.guesses, 1);
    // The same of the last guess's session, which has to be sealed.
    hsm.answers.store(ALWAYS, Ordering::SeqCst);
    for _ in 0..8 {
        world.wait(DAY);
        world.spend(record, Some(account)).await.unwrap();
    }
    world.wait(DAY);
    hsm.answers.store(2, Ordering::SeqCst);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::OutcomeUnknown);
    assert_eq!(world.status(record, account).await.guesses, 10);
}

#[tokio::test]
async fn v8_known_and_unknown_names_ask_an_hsm_as_often() {
    let (world, hsm, _, record) = world().await;
    let mut calls = Vec::new();
    for name in [record, random()] {
        let before = hsm.calls.load(Ordering::SeqCst);
        world.spend(name, None).await.unwrap();
        calls.push(hsm.calls.load(Ordering::SeqCst) - before);
    }
    assert_eq!(calls, [2, 2]);
}

async fn hanging(is_hanging: &Receiver<()>) {
    while is_hanging.try_recv().is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// One thread for all: who held it up while the HSM hangs would hold up this test, too.
#[tokio::test]
async fn an_hsm_that_hangs_holds_up_who_asks_it_and_nobody_else() {
    let (world, hsm, account, record) = world().await;
    let (is_hanging, free) = hsm.hang();
    let (_, start) = world.ke1(record, "wrong");
    let vault = Arc::clone(&world.vault);
    let guess = tokio::spawn(async move { vault.guess(start, None).await });
    hanging(&is_hanging).await;
    assert_eq!(world.status(record, account).await.guesses, 0);
    free.send(()).unwrap();
    guess.await.unwrap().unwrap();
    assert_eq!(world.status(record, account).await.guesses, 1);
}

#[tokio::test]
async fn an_hsm_that_hangs_while_it_seals_a_new_password_holds_up_nobody_else() {
    let (world, hsm, account, record) = world().await;
    let (enrolment, start) = Enrolment::start(&password("new"), None, &mut rng());
    let started = world.vault.start_registration(start, account, None).await;
    let identity = world.identity();
    let owner = owner(1);
    let (finish, name, _) = enrolment
        .finish(
            &password("new"),
            &started.unwrap(),
            &identity,
            &owner,
            &owner,
            &mut rng(),
        )
        .unwrap();
    let (is_hanging, free) = hsm.hang();
    let vault = Arc::clone(&world.vault);
    let finished =
        tokio::spawn(async move { vault.finish_registration(finish, account, None).await });
    hanging(&is_hanging).await;
    assert_eq!(world.status(record, account).await.guesses, 0);
    free.send(()).unwrap();
    assert_eq!(finished.await.unwrap().unwrap().record, name);
}

#[tokio::test]
async fn an_hsm_that_hangs_holds_up_neither_the_change_of_keys_nor_who_asks_for_them() {
    let (world, hsm, account, record) = world().await;
    let (is_hanging, free) = hsm.hang();
    let vault = Arc::clone(&world.vault);
    let rotation = Arc::new(Rotation::default());
    let step = tokio::spawn(async move { rotation.step(&vault, 0).await });
    hanging(&is_hanging).await;
    assert_eq!(world.status(record, account).await.guesses, 0);
    free.send(()).unwrap();
    assert_eq!(step.await.unwrap().unwrap(), Step::Idle);
}

/// Threads that wait for an HSM are those that read objects: it may not have them all.
#[test]
fn however_many_wait_for_an_hsm_there_are_threads_for_others() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(ASKING + 1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (world, ..) = world().await;
        let (free, until) = channel::<()>();
        let until = Arc::new(Mutex::new(until));
        let ask = || {
            let (vault, until) = (Arc::clone(&world.vault), Arc::clone(&until));
            tokio::spawn(async move {
                let wait = move |_: &dyn ServerKeys| {
                    let _ = until.lock().unwrap().recv();
                    Ok(())
                };
                vault.with_keys(wait).await
            })
        };
        let asked: Vec<_> = (0..ASKING + 8).map(|_| ask()).collect();
        tokio::task::yield_now().await;
        assert_eq!(tokio::task::spawn_blocking(|| 7).await.unwrap(), 7);
        drop(free);
        for one in asked {
            one.await.unwrap().unwrap();
        }
    });
}
