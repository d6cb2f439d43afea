use heirloom_vault_api::{Code, Fixed, Which};

use super::harness::{
    Engine, LOST_AFTER, LOST_BEFORE, LOST_NEXT_BUT_ONE, MINUTE, NONE, REFUSED, World, code,
    on_every_engine, password,
};
use crate::vault::rng;

async fn v3_a_guess_whose_commit_is_unknown_counts_and_is_not_answered(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for expected in [(LOST_AFTER, 1), (LOST_BEFORE, 1), (LOST_AFTER, 2)] {
        let (fault, guesses) = expected;
        world.fault(fault);
        let refused = world.spend(record, None).await.unwrap_err();
        assert_eq!(code(refused), Code::OutcomeUnknown);
        world.fault(NONE);
        assert_eq!(world.status(record, account).await.guesses, guesses);
    }
}

async fn v3_a_last_guess_whose_session_may_not_be_kept_is_not_answered(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    world.spend_nine(record, account).await;
    world.fault(LOST_NEXT_BUT_ONE);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::OutcomeUnknown);
    world.fault(NONE);
    let status = world.status(record, account).await;
    assert_eq!((status.guesses, status.left), (10, 0));
}

async fn v3_a_proof_whose_commit_is_lost_gives_nothing_back_that_was_not_given(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (login, start) = world.ke1(record, "correct horse");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login
        .finish(&password("correct horse"), &evaluated, &mut rng())
        .unwrap();
    world.fault(LOST_BEFORE);
    let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
    assert_eq!(code(refused), Code::OutcomeUnknown);
    world.fault(NONE);
    assert_eq!(world.status(record, account).await.guesses, 1);
    // The session is spent: the next unlock gives all back.
    let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
    assert_eq!(world.status(record, account).await.guesses, 0);
}

async fn a_right_proof_is_good_again_where_the_database_refused_it_and_no_longer_than_before(
    engine: Engine,
) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for (wait, guesses) in [(MINUTE, 0), (2 * MINUTE, 1)] {
        let (login, start) = world.ke1(record, "correct horse");
        let evaluated = world.vault.guess(start, None).await.unwrap();
        let opened = login
            .finish(&password("correct horse"), &evaluated, &mut rng())
            .unwrap();
        world.fault(REFUSED);
        for _ in 0..2 {
            let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
            assert_eq!(code(refused), Code::Unavailable);
        }
        world.fault(NONE);
        assert_eq!(world.status(record, account).await.guesses, 1);
        world.wait(wait);
        let proved = world.vault.prove(opened.proof.clone()).await;
        assert_eq!(proved.is_ok(), guesses == 0);
        assert_eq!(world.status(record, account).await.guesses, guesses);
        // Once it was heard it is spent.
        let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
        assert_eq!(code(refused), Code::NotProven);
    }
}

async fn a_wrong_proof_has_no_second_try_because_the_database_is_busy(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (login, start) = world.ke1(record, "correct horse");
    let evaluated = world.vault.guess(start, None).await.unwrap();
    let opened = login
        .finish(&password("correct horse"), &evaluated, &mut rng())
        .unwrap();
    world.fault(REFUSED);
    let mut wrong = opened.proof.clone();
    wrong.ke3 = Fixed([7; 64]);
    let refused = world.vault.prove(wrong).await.unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    world.fault(NONE);
    let refused = world.vault.prove(opened.proof.clone()).await.unwrap_err();
    assert_eq!(code(refused), Code::NotProven);
    assert_eq!(world.status(record, account).await.guesses, 1);
}

on_every_engine!(
    a_right_proof_is_good_again_where_the_database_refused_it_and_no_longer_than_before,
    a_wrong_proof_has_no_second_try_because_the_database_is_busy,
    v3_a_guess_whose_commit_is_unknown_counts_and_is_not_answered,
    v3_a_last_guess_whose_session_may_not_be_kept_is_not_answered,
    v3_a_proof_whose_commit_is_lost_gives_nothing_back_that_was_not_given,
);
