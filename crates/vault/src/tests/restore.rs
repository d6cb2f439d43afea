use heirloom_vault_api::{Code, Which};

use super::guesses::admin;
use super::harness::{DAY, Engine, World, code, on_every_engine};
use crate::store::sweep;

async fn v6_putting_an_old_database_back_gives_no_guess_back(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut backup = None;
    // A stopped server's files, then ten more guesses, then the files again.
    let world = world.restart(|rows| backup = Some(rows.copy()));
    assert!(
        world.vault.standing().is_accepted(),
        "a restart is no restore"
    );
    for _ in 0..7 {
        world.spend(record, None).await.unwrap();
        world.wait(DAY);
    }
    let world = world.restart(|rows| rows.put_back(backup.as_ref().unwrap()));
    assert!(!world.vault.standing().is_accepted());
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
    // Names that nobody registered look the same.
    let unknown = crate::vault::random();
    let refused = world.spend(unknown, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
    // To whoever is signed in and not their owner, too.
    let other = world.account().await;
    for name in [record, unknown] {
        let refused = world.spend(name, Some(other)).await.unwrap_err();
        assert_eq!(code(refused), Code::LockedOut);
    }
    // The owner has the last three, and no more.
    for _ in 0..3 {
        world.spend(record, Some(account)).await.unwrap();
        world.wait(DAY);
    }
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
}

async fn v6_a_second_copy_that_is_newer_than_the_first_is_noticed_too(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (mut older, mut newer) = (None, None);
    let world = world.restart(|rows| older = Some(rows.copy()));
    for _ in 0..2 {
        world.spend(record, None).await.unwrap();
    }
    let world = world.restart(|rows| newer = Some(rows.copy()));
    for _ in 0..3 {
        world.spend(record, None).await.unwrap();
        world.wait(DAY);
    }
    let world = world.restart(|rows| rows.put_back(older.as_ref().unwrap()));
    assert!(!world.vault.standing().is_accepted());
    let generation = world.vault.standing().generation;
    // It lacks less than the first one, and yet guesses that were answered.
    let world = world.restart(|rows| rows.put_back(newer.as_ref().unwrap()));
    assert!(!world.vault.standing().is_accepted());
    assert!(world.vault.standing().generation > generation);
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
}

async fn v6_a_proof_after_a_restore_gives_all_guesses_back(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for _ in 0..7 {
        world.spend(record, None).await.unwrap();
        world.wait(DAY);
    }
    let watermark = world.folder.path().join("watermark");
    let world = world.restart(|_| std::fs::remove_file(watermark).unwrap());
    world
        .login(record, "correct horse", Which::Active, Some(account))
        .await
        .unwrap();
    // One typo is one guess, and not one more than strangers had used up.
    world.spend(record, Some(account)).await.unwrap();
    assert_eq!(world.status(record, account).await.guesses, 1);
}

async fn v6_even_one_guess_that_was_answered_shows_that_a_database_is_old(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let mut backup = None;
    let world = world.restart(|rows| backup = Some(rows.copy()));
    world.spend(record, None).await.unwrap();
    let world = world.restart(|rows| rows.put_back(backup.as_ref().unwrap()));
    assert!(!world.vault.standing().is_accepted());
    // It stays so until the operator accepts it …
    let world = world.restart(|_| ());
    assert!(!world.vault.standing().is_accepted());
    // … and a proven password is an owner's word.
    world
        .login(record, "correct horse", Which::Active, Some(account))
        .await
        .unwrap();
    let generation = world.vault.run(sweep::accept).await.unwrap();
    world.vault.accepted(generation);
    world.spend(record, None).await.unwrap();
    let world = world.restart(|_| ());
    assert!(world.vault.standing().is_accepted());
}

async fn v6_a_server_that_nobody_asks_notices_it_too(engine: Engine) {
    let world = World::on(engine);
    let world = world.restart(|_| ());
    let mut backup = None;
    let world = world.restart(|rows| backup = Some(rows.copy()));
    // Nothing but what time makes due.
    admin(&world).sweep().await.unwrap();
    let world = world.restart(|rows| rows.put_back(backup.as_ref().unwrap()));
    assert!(!world.vault.standing().is_accepted());
}

async fn v6_a_watermark_that_is_missing_counts_as_a_restore(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    world.enrol(account, "correct horse").await;
    let watermark = world.folder.path().join("watermark");
    let world = world.restart(|_| std::fs::remove_file(watermark).unwrap());
    assert!(!world.vault.standing().is_accepted());
}

async fn v6_rows_that_break_the_rules_cannot_be_loaded(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let world = world.restart(|rows| {
        for wrong in [
            "UPDATE vault_record SET guesses = -1",
            "UPDATE vault_record SET guesses = 11",
            "UPDATE vault_record SET guesses = 10",
            "UPDATE vault_record SET lifetime = -1",
            "UPDATE vault_record SET lifetime = 101",
            "UPDATE vault_record SET state = 0",
            "UPDATE vault_record SET state = 4",
            "UPDATE vault_record SET state = 3",
            "UPDATE vault_record SET state = 2, deadline = 0",
            "UPDATE vault_record SET account = NULL",
            "UPDATE vault_record SET owner = NULL",
            "UPDATE vault_record SET proved = total + 1",
            "UPDATE vault_record SET version = newest + 1",
            "UPDATE vault_record SET name = substr(name, 1, 1)",
            "UPDATE vault_meta SET accepted = generation + 1",
        ] {
            assert!(rows.try_sql(wrong).is_err(), "{wrong}");
        }
        rows.sql("UPDATE vault_record SET guesses = 3");
    });
    assert_eq!(world.status(record, account).await.guesses, 3);
}

async fn v6_a_restored_database_that_breaks_its_checks_is_not_opened(engine: Engine) {
    let breaks = match engine {
        Engine::Sqlite => {
            "PRAGMA ignore_check_constraints = ON; UPDATE vault_record SET guesses = -5"
        }
        // As a dump that was loaded without its rules, or with a rule that was not held against the rows.
        Engine::Postgres => "ALTER TABLE vault_record DROP CONSTRAINT vault_record_guesses_check",
        Engine::Serializable => {
            "ALTER TABLE vault_record DROP CONSTRAINT vault_record_guesses_check; \
             UPDATE vault_record SET guesses = -5; ALTER TABLE vault_record \
             ADD CONSTRAINT vault_record_guesses_check CHECK (guesses BETWEEN 0 AND 10) NOT VALID"
        }
    };
    let world = World::on(engine);
    let account = world.account().await;
    world.enrol(account, "correct horse").await;
    let (rows, elsewhere) = (world.rows.clone(), tempfile::tempdir().unwrap());
    let _folder = world.end();
    rows.sql(breaks);
    // With a watermark of another place, as after a move.
    let opened = rows.open(&elsewhere.path().join("watermark"));
    assert!(matches!(opened, Err(crate::OpenError::Damaged(_))));
}

on_every_engine!(
    v6_putting_an_old_database_back_gives_no_guess_back,
    v6_a_second_copy_that_is_newer_than_the_first_is_noticed_too,
    v6_a_proof_after_a_restore_gives_all_guesses_back,
    v6_even_one_guess_that_was_answered_shows_that_a_database_is_old,
    v6_a_server_that_nobody_asks_notices_it_too,
    v6_a_watermark_that_is_missing_counts_as_a_restore,
    v6_rows_that_break_the_rules_cannot_be_loaded,
    v6_a_restored_database_that_breaks_its_checks_is_not_opened,
);
