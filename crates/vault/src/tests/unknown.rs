use std::time::Instant;

use heirloom_vault_api::{Code, LoginError, Which};

use super::harness::{DAY, Engine, World, code, on_every_engine, password};
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

on_every_engine!(
    v8_a_name_that_nobody_registered_locks_as_any_other,
    v8_a_fake_evaluates_the_same_request_to_the_same_element_also_after_a_restart,
    v8_a_fake_opens_with_no_password,
);
