//! Two operations of one account at a time, statement by statement, as far as the database lets them: whatever is
//! read before it is changed is held before it is read.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use heirloom_vault_api::*;
use secrecy::SecretBox;

use super::harness::{Engine, World, on_every_engine};
use crate::accounts::Tenants;
use crate::db::{DbError, Row, Sql, Value};
use crate::refusal::Refusal;
use crate::store::account::{self, NewSignIn, NotInvited};
use crate::store::device::{self, Found, NewDevice};
use crate::store::record::{Record, State};
use crate::store::repeat::Once;
use crate::store::upload::Upload;
use crate::store::{blob, guess, log, operator, upload};
use crate::vault::random;

/// Longer than a statement takes, where nothing holds it.
const PATIENCE: Duration = Duration::from_millis(40);

/// Where the two wait for each other after every statement.
#[derive(Default)]
struct Meeting {
    done: Mutex<[usize; 2]>,
    changed: Condvar,
}

impl Meeting {
    fn meet(&self, who: usize) {
        let mut done = self.done.lock().unwrap();
        done[who] += 1;
        self.changed.notify_all();
        // The other one may be held by what this one holds.
        let _ = self
            .changed
            .wait_timeout_while(done, PATIENCE, |done| done[1 - who] < done[who]);
    }

    fn leave(&self, who: usize) {
        self.done.lock().unwrap()[who] = usize::MAX / 2;
        self.changed.notify_all();
    }
}

struct Step<'a> {
    sql: &'a mut dyn Sql,
    meeting: &'a Meeting,
    who: usize,
}

impl Sql for Step<'_> {
    fn query(&mut self, text: &'static str, values: &[Value]) -> Result<Vec<Row>, DbError> {
        let rows = self.sql.query(text, values)?;
        self.meeting.meet(self.who);
        Ok(rows)
    }

    fn barrier(&mut self) -> Result<(), DbError> {
        self.sql.barrier()
    }
}

async fn one<T: Send + 'static>(
    world: &World,
    meeting: &Arc<Meeting>,
    who: usize,
    work: impl Fn(&mut dyn Sql) -> Result<T, DbError> + Send + 'static,
) -> Result<T, Refusal> {
    let of_job = Arc::clone(meeting);
    let done = world.vault.run(move |sql| {
        let meeting = &*of_job;
        work(&mut Step { sql, meeting, who })
    });
    let done = done.await;
    meeting.leave(who);
    done
}

/// Runs both at a time. Both come to an end: what collides is tried again.
async fn race<A: Send + 'static, B: Send + 'static>(
    world: &World,
    first: impl Fn(&mut dyn Sql) -> Result<A, DbError> + Send + 'static,
    second: impl Fn(&mut dyn Sql) -> Result<B, DbError> + Send + 'static,
) -> (A, B) {
    let meeting = Arc::default();
    let (first, second) = tokio::join!(
        one(world, &meeting, 0, first),
        one(world, &meeting, 1, second)
    );
    (first.unwrap(), second.unwrap())
}

fn device(world: &World) -> NewDevice {
    NewDevice {
        token: Token(random()),
        device: random(),
        name: None,
        by: SignedInBy::Invitation,
        now: world.vault.now(),
    }
}

fn sign_in(world: &World, invite: Option<&Invite>) -> NewSignIn {
    NewSignIn {
        invite: invite.cloned(),
        new: Tenants::default().new_accounts(1000),
        device: device(world),
        first_is_free: true,
    }
}

async fn invited(world: &World, account: AccountId) -> Invite {
    let (invite, now) = (Invite(random()), world.vault.now());
    let given = invite.clone();
    let done = world
        .vault
        .run(move |sql| account::invite(sql, &given, Some(account), None, now));
    done.await.unwrap();
    invite
}

async fn usage(world: &World, account: AccountId) -> u64 {
    let used = world.vault.run(move |sql| account::usage(sql, &account));
    used.await.unwrap().0
}

async fn one_account_is_the_first(engine: Engine) {
    let world = World::on(engine);
    let (one, other) = (sign_in(&world, None), sign_in(&world, None));
    let (one, other) = race(
        &world,
        move |sql| account::sign_in(sql, &one),
        move |sql| account::sign_in(sql, &other),
    )
    .await;
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
}

async fn the_last_place_for_a_device_is_given_once(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let there = MAX_DEVICES - 2;
    let devices: Vec<_> = (0..there).map(|_| device(&world)).collect();
    let filled = world.vault.run(move |sql| {
        devices
            .iter()
            .try_for_each(|new| device::insert(sql, &account, new))
    });
    filled.await.unwrap();
    let (one, other) = (
        invited(&world, account).await,
        invited(&world, account).await,
    );
    let (one, other) = (sign_in(&world, Some(&one)), sign_in(&world, Some(&other)));
    let (one, other) = race(
        &world,
        move |sql| account::sign_in(sql, &one),
        move |sql| account::sign_in(sql, &other),
    )
    .await;
    let full = Err(Code::TooManyDevices);
    assert!((one == full) != (other == full), "{one:?} {other:?}");
}

async fn a_device_that_is_being_signed_out_leaves_no_invitation_behind(engine: Engine) {
    for by_itself in [false, true] {
        let world = World::on(engine);
        let account = world.account().await;
        let new = device(&world);
        let (token, same, id, now) = (
            new.token.duplicate(),
            new.token.duplicate(),
            new.device,
            new.now,
        );
        let added = world
            .vault
            .run(move |sql| device::insert(sql, &account, &new));
        added.await.unwrap();
        let (_, ended) = race(
            &world,
            move |sql| account::invite_by(sql, &token, &account, &Invite(random()), now),
            move |sql| {
                if by_itself {
                    return device::sign_out(sql, &same);
                }
                device::end(sql, &account, &id, now)
            },
        )
        .await;
        assert!(ended);
        let open = world
            .vault
            .run(|sql| sql.query("SELECT hash FROM vault_invite", &[]));
        assert!(open.await.unwrap().is_empty());
    }
}

async fn the_last_place_for_an_invitation_is_given_once(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let new = device(&world);
    let (token, same, now) = (new.token.duplicate(), new.token.duplicate(), new.now);
    let filled = world.vault.run(move |sql| {
        device::insert(sql, &account, &new)?;
        (0..49).try_for_each(|_| account::invite(sql, &Invite(random()), Some(account), None, now))
    });
    filled.await.unwrap();
    let (one, other) = race(
        &world,
        move |sql| account::invite_by(sql, &token, &account, &Invite(random()), now),
        move |sql| account::invite_by(sql, &same, &account, &Invite(random()), now),
    )
    .await;
    let full = Err(NotInvited::TooMany);
    assert!((one == full) != (other == full), "{one:?} {other:?}");
}

async fn a_last_guess_is_proven_or_destroyed_and_never_both(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    world.tenth(record, account).await;
    let found = world
        .vault
        .run(move |sql| Ok((Record::find(sql, &record)?, sql.query(SESSION, &[])?.len())));
    let (found, last) = found.await.unwrap();
    assert_eq!(last, 1);
    let found = found.unwrap();
    let session = world.vault.run(|sql| {
        sql.query(SESSION, &[])?
            .remove(0)
            .fixed()?
            .ok_or(DbError::Impossible)
    });
    let proven = guess::Proven {
        name: record,
        session: session.await.unwrap(),
        version: found.version,
        number: found.total,
        pending: false,
        now: found.deadline - 1,
    };
    let late = guess::Guess {
        name: record,
        account: Some(account),
        session: random(),
        now: found.deadline,
        standing: world.vault.standing(),
    };
    let (given_back, _) = race(
        &world,
        move |sql| guess::prove(sql, &proven),
        move |sql| guess::count(sql, &late),
    )
    .await;
    let after = world.vault.run(move |sql| Record::find(sql, &record));
    let after = after.await.unwrap().unwrap();
    assert_eq!(given_back.is_some(), after.state != State::Destroyed);
    assert_eq!(given_back.is_some(), after.sealed.is_some());
    let fault = world.vault.run(move |sql| log::verify(sql, &record));
    assert_eq!(fault.await.unwrap(), None);
}

const SESSION: &str = "SELECT session FROM vault_record WHERE state = 2";

async fn two_that_begin_the_same_upload_share_it(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let words = Upload {
        name: BlobName::try_from("packs/00".to_owned()).unwrap(),
        size: 100,
        hash: Fixed([1; 32]),
    };
    let (same, now) = (words.clone(), world.vault.now());
    let (one, other) = race(
        &world,
        move |sql| upload::begin(sql, &account, Fixed([1; 16]), &words, now),
        move |sql| upload::begin(sql, &account, Fixed([2; 16]), &same, now),
    )
    .await;
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(usage(&world, account).await, 100);
}

async fn an_object_that_two_bring_back_counts_once(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let name = BlobName::try_from("packs/00".to_owned()).unwrap();
    let (of_job, now) = (name.clone(), world.vault.now());
    let deleted = world.vault.run(move |sql| {
        let made = blob::create(sql, &account, &Fixed([1; 16]), &of_job, 100)?;
        Ok((made, blob::delete(sql, &account, &of_job, now)?))
    });
    assert_eq!(deleted.await.unwrap(), (Ok(()), true));
    let same = name.clone();
    let (one, other) = race(
        &world,
        move |sql| blob::restore(sql, &account, &name, 0),
        move |sql| blob::restore(sql, &account, &same, 0),
    )
    .await;
    let (back, there) = (Some(Ok(100)), Some(Err(blob::Refused::Exists)));
    assert!([(back, there), (there, back)].contains(&(one, other)));
    assert_eq!(usage(&world, account).await, 100);
}

async fn one_of_two_equal_requests_is_done_and_both_are_answered(engine: Engine) {
    let world = World::on(engine);
    let once = Arc::new(Once {
        name: [1; 32],
        request: [2; 32],
        seal: SecretBox::new(Box::new([3; 32])),
        nonce: [4; 12],
    });
    let (now, meeting) = (world.vault.now(), Arc::new(Meeting::default()));
    let ask = |who: usize| {
        let of_job = Arc::clone(&meeting);
        let done = world.vault.run_once(Some(Arc::clone(&once)), move |sql| {
            of_job.meet(who);
            account::invite(sql, &Invite(random()), None, None, now)?;
            Ok(Ok::<usize, Refusal>(who))
        });
        let meeting = Arc::clone(&meeting);
        async move {
            let done = done.await;
            meeting.leave(who);
            done.unwrap()
        }
    };
    let (first, second) = tokio::join!(ask(0), ask(1));
    assert_eq!(first, second);
    let rows = world
        .vault
        .run(|sql| sql.query("SELECT hash FROM vault_invite", &[]));
    assert_eq!(rows.await.unwrap().len(), 1);
}

async fn a_refused_request_may_come_again(engine: Engine) {
    let world = World::on(engine);
    let once = Arc::new(Once {
        name: [1; 32],
        request: [2; 32],
        seal: SecretBox::new(Box::new([3; 32])),
        nonce: [4; 12],
    });
    let refused = world.vault.run_once(Some(Arc::clone(&once)), |_| {
        Ok(Err::<u64, _>(Refusal::from(Code::Conflict)))
    });
    assert!(refused.await.is_err());
    for _ in 0..2 {
        let done = world
            .vault
            .run_once(Some(Arc::clone(&once)), |_| Ok(Ok::<u64, Refusal>(7)));
        assert_eq!(done.await.unwrap(), 7);
    }
}

async fn nobody_enters_an_account_while_it_is_deleted(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let invite = invited(&world, account).await;
    let new = sign_in(&world, Some(&invite));
    let (token, now) = (new.device.token.duplicate(), world.vault.now());
    let (_, deleted) = race(
        &world,
        move |sql| account::sign_in(sql, &new),
        move |sql| operator::delete(sql, &account, now),
    )
    .await;
    assert!(deleted);
    let found = world
        .vault
        .run(move |sql| device::by_token(sql, &token, now, u64::MAX));
    assert_eq!(found.await.unwrap(), Found::Unknown);
}

async fn an_account_is_deleted_while_its_password_is_guessed(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (now, meeting) = (world.vault.now(), Arc::default());
    let (guessed, deleted) = tokio::join!(
        world.spend(record, None),
        one(&world, &meeting, 0, move |sql| operator::delete(
            sql, &account, now
        ))
    );
    assert!(guessed.is_ok() && deleted.unwrap());
    let fault = world.vault.run(move |sql| log::verify(sql, &record));
    assert_eq!(fault.await.unwrap(), None);
}

on_every_engine!(
    one_account_is_the_first,
    the_last_place_for_a_device_is_given_once,
    a_device_that_is_being_signed_out_leaves_no_invitation_behind,
    the_last_place_for_an_invitation_is_given_once,
    a_last_guess_is_proven_or_destroyed_and_never_both,
    two_that_begin_the_same_upload_share_it,
    an_object_that_two_bring_back_counts_once,
    one_of_two_equal_requests_is_done_and_both_are_answered,
    a_refused_request_may_come_again,
    nobody_enters_an_account_while_it_is_deleted,
    an_account_is_deleted_while_its_password_is_guessed,
);
