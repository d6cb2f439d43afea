//! The wrapping key is changed while the vault answers, and while it is killed.

use heirloom_vault_api::{Code, Which};

use super::harness::{Engine, LOST_AFTER, LOST_BEFORE, NONE, World, code, on_every_engine, owner};
use crate::rotation::{Rotation, SETTLE_MS, Step};
use crate::store::operator;

/// Steps until there are no more.
async fn walk(rotation: &Rotation, world: &World, uptime_ms: u64) -> Step {
    loop {
        match rotation.step(&world.vault, uptime_ms).await.unwrap() {
            Step::More => (),
            step => return step,
        }
    }
}

async fn all_open(world: &World, records: &[(heirloom_vault_api::RecordName, String)]) {
    for (record, text) in records {
        world
            .login(*record, text, Which::Active, None)
            .await
            .unwrap();
    }
}

async fn every_password_opens_while_the_wrapping_key_changes_and_the_old_one_goes_last(
    engine: Engine,
) {
    let world = World::on(engine);
    let account = world.account().await;
    let mut records = Vec::new();
    for number in 0..3 {
        let text = format!("correct horse {number}");
        let (record, _) = world.enrol(account, &text).await;
        records.push((record, text));
    }
    // A pending version, too.
    let (first, _) = records[0];
    let (pending, _) = world
        .register(account, "staple", Some(first), (&owner(1), &owner(1)))
        .await
        .unwrap();
    let rotation = Rotation::default();
    assert_eq!(walk(&rotation, &world, 0).await, Step::Idle);
    world.vault.keys().rotate().unwrap();
    all_open(&world, &records).await;
    assert_eq!(walk(&rotation, &world, 0).await, Step::Waits);
    assert_eq!(rotation.progress().wrapped, 4);
    all_open(&world, &records).await;
    // A whole clean walk is not enough: something sealed before may still be on its way.
    assert_eq!(walk(&rotation, &world, SETTLE_MS - 1).await, Step::Waits);
    assert_eq!(world.vault.keys().wrapping_keys(), 2);
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Retired);
    assert_eq!(world.vault.keys().wrapping_keys(), 1);
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Idle);
    all_open(&world, &records).await;
    let world = world.restart(|_| ());
    all_open(&world, &records).await;
    world
        .login(first, "staple", Which::Pending, Some(account))
        .await
        .unwrap();
    world.activate(account, &pending, &owner(1)).await.unwrap();
    world
        .login(first, "staple", Which::Active, None)
        .await
        .unwrap();
}

async fn a_change_that_is_killed_at_any_write_goes_on_after_the_restart(engine: Engine) {
    let mut world = World::on(engine);
    let account = world.account().await;
    let mut records = Vec::new();
    for number in 0..2 {
        let text = format!("correct horse {number}");
        let (record, _) = world.enrol(account, &text).await;
        records.push((record, text));
    }
    world.vault.keys().rotate().unwrap();
    for fault in [LOST_BEFORE, LOST_AFTER, LOST_AFTER, LOST_BEFORE] {
        world.fault(fault);
        let rotation = Rotation::default();
        assert!(rotation.step(&world.vault, 0).await.is_err());
        world.fault(NONE);
        world = world.restart(|_| ());
        assert_eq!(world.vault.keys().wrapping_keys(), 2, "the old key stays");
        all_open(&world, &records).await;
        // One value further each time.
        let rotation = Rotation::default();
        rotation.step(&world.vault, 0).await.unwrap();
    }
    let rotation = Rotation::default();
    walk(&rotation, &world, 0).await;
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Retired);
    let world = world.restart(|_| ());
    all_open(&world, &records).await;
}

async fn what_was_sealed_before_and_stored_after_the_walk_keeps_the_old_key(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let read = world.vault.run(|sql| operator::sealed(sql, None));
    let before = read.await.unwrap().remove(0).sealed.unwrap();
    world.vault.keys().rotate().unwrap();
    let rotation = Rotation::default();
    walk(&rotation, &world, 0).await;
    // As a registration that was under way: its row comes now, sealed under the old key.
    let read = world.vault.run(|sql| operator::sealed(sql, None));
    let after = read.await.unwrap().remove(0).sealed.unwrap();
    assert_ne!(before, after);
    let column = operator::Column::Sealed;
    let late = world
        .vault
        .run(move |sql| operator::wrap(sql, &record, column, (&after, &before)));
    late.await.unwrap();
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Waits);
    assert_eq!(world.vault.keys().wrapping_keys(), 2);
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Retired);
    world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
}

async fn a_last_guess_can_be_proven_over_a_change_of_the_key_and_a_restart(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let opened = world.tenth(record, account).await;
    world.vault.keys().rotate().unwrap();
    let rotation = Rotation::default();
    walk(&rotation, &world, 0).await;
    assert_eq!(rotation.progress().wrapped, 2, "the record and its session");
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Retired);
    let world = world.restart(|_| ());
    world.vault.prove(opened.proof.clone()).await.unwrap();
    assert_eq!(world.status(record, account).await.guesses, 0);
}

async fn a_value_that_no_key_opens_keeps_the_old_key(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let world = world.restart(|rows| rows.sql("UPDATE vault_record SET sealed = log_hash"));
    world.vault.keys().rotate().unwrap();
    let rotation = Rotation::default();
    walk(&rotation, &world, 0).await;
    assert_eq!(walk(&rotation, &world, SETTLE_MS).await, Step::Waits);
    assert_eq!(rotation.progress().unreadable, 1);
    assert_eq!(world.vault.keys().wrapping_keys(), 2);
    // It was counted.
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::OutcomeUnknown);
}

on_every_engine!(
    every_password_opens_while_the_wrapping_key_changes_and_the_old_one_goes_last,
    a_change_that_is_killed_at_any_write_goes_on_after_the_restart,
    what_was_sealed_before_and_stored_after_the_walk_keeps_the_old_key,
    a_last_guess_can_be_proven_over_a_change_of_the_key_and_a_restart,
    a_value_that_no_key_opens_keeps_the_old_key,
);
