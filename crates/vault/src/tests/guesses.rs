use std::sync::Arc;

use heirloom_vault_api::{Code, Fixed, GuessStart, Proof, Which};

use super::person::Login;

use super::harness::{DAY, Engine, MINUTE, World, code, on_every_engine, password};
use crate::admin::Admin;
use crate::blobs::Blobs;
use crate::rollout::Rollout;
use crate::vault::rng;

pub(super) fn admin(world: &World) -> Admin {
    let folder = world.folder.path().join("blobs");
    let blobs = Blobs::open(&folder, &crate::Objects::Folder, std::time::Duration::ZERO).unwrap();
    let seen = world.folder.path().join("rollout.seen");
    Admin {
        vault: Arc::clone(&world.vault),
        blobs: Arc::new(blobs),
        rollout: Arc::new(Rollout::open(None, seen, &crate::Log::new(|_| ()))),
        rotation: Arc::default(),
    }
}

pub(super) async fn sweep(world: &World) {
    admin(world).sweep().await.unwrap();
}

async fn a_password_opens_again_and_again_and_gives_the_same_key(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, key) = world.enrol(account, "correct horse").await;
    for signed_in in [Some(account), None] {
        world.spend(record, None).await.unwrap();
        let (again, confirmed) = world
            .login(record, "correct horse", Which::Active, signed_in)
            .await
            .unwrap();
        assert_eq!(again.exposed(), key.exposed());
        assert_eq!(confirmed.failed, 1);
    }
}

async fn v1_strangers_stop_at_seven_and_the_owner_at_ten(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for guess in 1..=7 {
        world.wait(DAY);
        world
            .spend(record, None)
            .await
            .unwrap_or_else(|_| panic!("{guess}"));
    }
    world.wait(DAY);
    for _ in 0..3 {
        let refused = world.spend(record, None).await.unwrap_err();
        assert_eq!(code(refused), Code::LockedOut);
    }
    for guess in 8..=10 {
        world
            .spend(record, Some(account))
            .await
            .unwrap_or_else(|_| panic!("{guess}"));
        world.wait(DAY);
    }
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
    assert!(world.status(record, account).await.destroyed);
    // A stranger hears what they always hear.
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
}

async fn v1_never_more_than_ten_evaluations_for_64_attackers_at_once(engine: Engine) {
    let world = Arc::new(World::on(engine));
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut attackers = Vec::new();
    for _ in 0..64 {
        let world = Arc::clone(&world);
        attackers.push(tokio::spawn(async move {
            let mut answered = 0;
            for _ in 0..6 {
                // Each waits out every back-off, and is signed in.
                world.wait(DAY);
                answered += u32::from(world.spend(record, Some(account)).await.is_ok());
            }
            answered
        }));
    }
    let mut answered = 0;
    for attacker in attackers {
        answered += attacker.await.unwrap();
    }
    assert_eq!(answered, 10);
    let refused = world
        .login(record, "correct horse", Which::Active, Some(account))
        .await;
    assert_eq!(code(refused.unwrap_err()), Code::Destroyed);
}

async fn guesses_wait_from_the_fifth_on(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let waits = [0, 0, 0, 0, 1, 10, 60, 360, 1440, 1440];
    for (before, wait) in waits.iter().enumerate() {
        if *wait > 0 {
            world.wait(wait * MINUTE - 1);
            let refused = world.spend(record, Some(account)).await.unwrap_err();
            assert_eq!(code(refused), Code::Wait, "before guess {}", before + 1);
            world.wait(1);
        }
        world
            .spend(record, Some(account))
            .await
            .unwrap_or_else(|_| panic!("guess {}", before + 1));
    }
}

async fn a_clock_that_is_set_back_gives_no_guess_back(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for _ in 0..4 {
        world.spend(record, None).await.unwrap();
    }
    world
        .clock
        .0
        .fetch_sub(365 * DAY, std::sync::atomic::Ordering::SeqCst);
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::Wait);
    assert_eq!(world.status(record, account).await.guesses, 4);
}

async fn a_tenth_guess_that_is_right_saves_the_record_even_after_a_restart(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, key) = world.enrol(account, "correct horse").await;
    let opened = world.tenth(record, account).await;
    assert_eq!(opened.export_key.exposed(), key.exposed());
    let world = world.restart(|_| ());
    world.wait(2 * MINUTE - 1);
    let proved = world.vault.prove(opened.proof.clone()).await.unwrap();
    assert_eq!(opened.confirm(&proved).failed, 9);
    assert_eq!(world.status(record, account).await.guesses, 0);
    world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
}

async fn a_tenth_guess_that_is_proven_too_late_saves_nothing(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let opened = world.tenth(record, account).await;
    world.wait(2 * MINUTE);
    let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
}

async fn v4_a_proof_gives_back_once_and_only_for_its_own_session(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (login, start) = world.ke1(record, "correct horse");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login
        .finish(&password("correct horse"), &evaluated, &mut rng())
        .unwrap();
    world.vault.prove(opened.proof.clone()).await.unwrap();
    let other = world.spend(record, None).await.unwrap();
    // The same proof again, the same KE3 for another session, another KE3 for this one:
    let replays = [
        opened.proof.clone(),
        Proof {
            session: other.session,
            ke3: opened.proof.ke3,
        },
        Proof {
            session: Fixed([9; 16]),
            ke3: opened.proof.ke3,
        },
    ];
    for replay in replays {
        let refused = world.vault.prove(replay).await.unwrap_err();
        assert_eq!(code(refused), Code::NotProven);
    }
    assert_eq!(world.status(record, account).await.guesses, 1);
}

async fn v4_an_older_proof_after_a_newer_one_gives_nothing_back(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut opened = Vec::new();
    for _ in 0..2 {
        let (login, start) = world.ke1(record, "correct horse");
        let evaluated = world.vault.guess(start, None).await.unwrap();
        opened.push(
            login
                .finish(&password("correct horse"), &evaluated, &mut rng())
                .unwrap(),
        );
    }
    world.vault.prove(opened[1].proof.clone()).await.unwrap();
    world.spend(record, None).await.unwrap();
    let refused = world
        .vault
        .prove(opened[0].proof.clone())
        .await
        .unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    assert_eq!(world.status(record, account).await.guesses, 1);
}

async fn v4_a_proof_after_its_two_minutes_gives_nothing_back(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (login, start) = world.ke1(record, "correct horse");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login
        .finish(&password("correct horse"), &evaluated, &mut rng())
        .unwrap();
    world.wait(2 * MINUTE);
    let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    assert_eq!(world.status(record, account).await.guesses, 1);
}

async fn v9_strangers_can_delay_and_never_destroy(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut answered = 0;
    // Twenty times the owner comes back, twenty times strangers use up what they may.
    for _ in 0..20 {
        for _ in 0..12 {
            world.wait(2 * DAY);
            answered += u32::from(world.spend(record, None).await.is_ok());
        }
        world.wait(2 * DAY);
        world
            .login(record, "correct horse", Which::Active, Some(account))
            .await
            .expect("the owner always gets in");
    }
    // Their part of the record's life, and not one more.
    assert_eq!(answered, 90);
    assert_eq!(world.status(record, account).await.lifetime_left, 10);
}

async fn v1_a_record_ends_after_a_hundred_unproven_guesses_in_its_life(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut answered = 0;
    for _ in 0..11 {
        for _ in 0..9 {
            answered += u32::from(world.spend(record, Some(account)).await.is_ok());
            world.wait(2 * DAY);
        }
        world
            .login(record, "correct horse", Which::Active, Some(account))
            .await
            .unwrap();
    }
    assert_eq!(answered, 99);
    assert_eq!(world.status(record, account).await.lifetime_left, 1);
    world.spend(record, Some(account)).await.unwrap();
    world.wait(2 * DAY);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
}

async fn what_is_no_opaque_message_is_refused_and_does_not_count(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (_, start): (Login, GuessStart) = world.ke1(record, "x");
    for (suite, ke1, expected) in [
        (1, Fixed([0xFF; 96]), Code::BadRequest),
        (1, Fixed([0; 96]), Code::BadRequest),
        (0, start.ke1, Code::UnsupportedSuite),
        (2, start.ke1, Code::UnsupportedSuite),
    ] {
        let wrong = GuessStart {
            suite,
            ke1,
            ..start.clone()
        };
        let refused = world.vault.guess(wrong, None).await.unwrap_err();
        assert_eq!(code(refused), expected);
    }
    assert_eq!(world.status(record, account).await.guesses, 0);
}

on_every_engine!(
    a_password_opens_again_and_again_and_gives_the_same_key,
    v1_strangers_stop_at_seven_and_the_owner_at_ten,
    v1_never_more_than_ten_evaluations_for_64_attackers_at_once,
    guesses_wait_from_the_fifth_on,
    a_clock_that_is_set_back_gives_no_guess_back,
    a_tenth_guess_that_is_right_saves_the_record_even_after_a_restart,
    a_tenth_guess_that_is_proven_too_late_saves_nothing,
    v4_a_proof_gives_back_once_and_only_for_its_own_session,
    v4_an_older_proof_after_a_newer_one_gives_nothing_back,
    v4_a_proof_after_its_two_minutes_gives_nothing_back,
    v9_strangers_can_delay_and_never_destroy,
    v1_a_record_ends_after_a_hundred_unproven_guesses_in_its_life,
    what_is_no_opaque_message_is_refused_and_does_not_count,
);
