use std::time::Instant;

use heirloom_vault_api::{Code, Fixed, LoginError, RecordName, Which};

use super::harness::{DAY, Engine, World, code, on_every_engine, password};
use crate::db::Value;
use crate::store::record::{key, keyed};
use crate::vault::{random, rng};

async fn v8_a_name_that_nobody_registered_locks_as_any_other(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (known, _) = world.enrol(account, "correct horse").await;
    world
        .login(known, "correct horse", Which::Active, None)
        .await
        .unwrap();
    let unknown = random();
    for _ in 0..40 {
        let mut answers = Vec::new();
        for name in [known, unknown] {
            answers.push(match world.spend(name, None).await {
                Ok(_) => (None, None),
                Err(refusal) => (Some(refusal.problem.code), refusal.problem.retry_after_s),
            });
        }
        assert_eq!(answers[0], answers[1]);
        world.wait(DAY / 7);
    }
    let refused = world.spend(unknown, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
}

async fn v8_a_fake_evaluates_the_same_request_to_the_same_element_also_after_a_restart(
    engine: Engine,
) {
    let world = World::on(engine);
    let unknown = random();
    let (_, start) = world.ke1(unknown, "x");
    let first = world.vault.guess(start.clone(), None).await.unwrap();
    let again = world.vault.guess(start.clone(), None).await.unwrap();
    let world = world.restart(|_| ());
    let later = world.vault.guess(start, None).await.unwrap();
    // KE2 begins with the evaluated element; nonces and masks follow.
    for other in [&again, &later] {
        assert_eq!(first.ke2.as_bytes()[..32], other.ke2.as_bytes()[..32]);
        assert_ne!(first.ke2.as_bytes()[32..], other.ke2.as_bytes()[32..]);
    }
}

async fn v8_a_fake_opens_with_no_password(engine: Engine) {
    let world = World::on(engine);
    let (login, start) = world.ke1(random(), "anything");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login.finish(&password("anything"), &evaluated, &mut rng());
    assert_eq!(opened.unwrap_err(), LoginError::WrongPassword);
}

/// Reported, not asserted: a busy machine says nothing about time.
#[tokio::test]
async fn v8_time_of_known_and_unknown_names_interleaved() {
    let rounds = std::env::var("HEIRLOOM_V8_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200);
    let world = World::new();
    let account = world.account().await;
    let mut times = [Vec::new(), Vec::new()];
    let (known, _) = world.enrol(account, "correct horse").await;
    for round in 0..rounds {
        // Fresh counters on both sides: the known one is proven, the unknown one is new.
        if round % 3 == 0 {
            world.wait(DAY);
            world
                .vault
                .run(move |sql| {
                    sql.query(
                        "UPDATE vault_record SET guesses = 0, not_before = 0, lifetime = 0",
                        &[],
                    )
                })
                .await
                .unwrap();
        }
        for side in [round % 2, (round + 1) % 2] {
            let name = if side == 0 { known } else { random() };
            let (_, start) = world.ke1(name, "wrong");
            let begun = Instant::now();
            world.vault.guess(start, None).await.unwrap();
            times[side].push(begun.elapsed());
        }
    }
    for side in &mut times {
        side.sort_unstable();
    }
    let median = |side: &[std::time::Duration]| side[side.len() / 2];
    println!(
        "V8: median of {rounds} interleaved guesses: known {:?}, unknown {:?}",
        median(&times[0]),
        median(&times[1])
    );
    assert_eq!(times[0].len(), times[1].len());
}

/// Rows of names that nobody registered, one after the other, each with an entry in its log.
pub(super) async fn shadows(world: &World, numbers: std::ops::Range<u64>) {
    const ROW: &str = "INSERT INTO vault_record (shard, name, state, guesses, failed, total, lifetime, proved, \
         not_before, deadline, generation, touched, newest, version, pending_version, pending_proved, log_length, \
         log_hash) VALUES ($1, $2, 1, 0, 0, 0, 0, 0, 0, 0, 1, $3, 0, 0, 0, 0, 1, $4)";
    const ENTRY: &str = "INSERT INTO vault_log (shard, name, sequence, kind, version, time_ms) \
         VALUES ($1, $2, 1, 1, 0, 0)";
    let made = world.vault.run(move |sql| {
        for number in numbers.clone() {
            // In many shards.
            let spread = u128::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
            let name: RecordName = Fixed(spread.to_be_bytes());
            sql.query(
                ROW,
                &keyed(&name, [number.into(), Value::from([0u8; 32].as_slice())]),
            )?;
            sql.query(ENTRY, &key(&name))?;
        }
        Ok(())
    });
    made.await.unwrap();
}

/// How many rows and log entries there are, and which row is the oldest.
async fn left(world: &World) -> (usize, usize, u64) {
    let left = world.vault.run(|sql| {
        let mut rows = sql.query("SELECT touched FROM vault_record ORDER BY touched", &[])?;
        let entries = sql.query("SELECT name FROM vault_log", &[])?.len();
        let count = rows.len();
        Ok((count, entries, rows.remove(0).u64()?))
    });
    left.await.unwrap()
}

async fn rows_that_are_too_many_go_by_the_thousand_and_are_not_counted_every_time(engine: Engine) {
    let world = World::on(engine);
    let admin = super::guesses::admin(&world);
    shadows(&world, 0..1203).await;
    admin.drop_unknown(3).await.unwrap();
    assert_eq!(left(&world).await, (3, 3, 1200));
    // What came since is counted at the sixth time.
    shadows(&world, 2000..2010).await;
    for _ in 0..5 {
        admin.drop_unknown(3).await.unwrap();
        assert_eq!(left(&world).await, (13, 13, 1200));
    }
    admin.drop_unknown(3).await.unwrap();
    assert_eq!(left(&world).await, (3, 3, 2007));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sweep_does_not_drop_without_an_end_and_the_next_goes_on() {
    let world = World::new();
    let admin = super::guesses::admin(&world);
    shadows(&world, 0..10_502).await;
    admin.drop_unknown(2).await.unwrap();
    assert_eq!(left(&world).await, (502, 502, 10_000));
    admin.drop_unknown(2).await.unwrap();
    assert_eq!(left(&world).await, (2, 2, 10_500));
}

on_every_engine!(
    rows_that_are_too_many_go_by_the_thousand_and_are_not_counted_every_time,
    v8_a_name_that_nobody_registered_locks_as_any_other,
    v8_a_fake_evaluates_the_same_request_to_the_same_element_also_after_a_restart,
    v8_a_fake_opens_with_no_password,
);
