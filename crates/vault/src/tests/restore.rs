use std::path::Path;

use heirloom_vault_api::{Code, Which};
use rusqlite::Connection;

use super::harness::{DAY, World, code};
use crate::store::sweep;

fn copy(from: &Path, to: &Path) {
    for name in ["vault.sqlite", "vault.sqlite-wal"] {
        let _ = std::fs::remove_file(to.join(name));
        let _ = std::fs::copy(from.join(name), to.join(name));
    }
}

#[tokio::test]
async fn v6_putting_an_old_database_back_gives_no_guess_back() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let backup = tempfile::tempdir().unwrap();
    // A stopped server's files, then ten more guesses, then the files again.
    let world = world.restart(|folder| copy(folder, backup.path()));
    assert!(
        world.vault.standing().is_accepted(),
        "a restart is no restore"
    );
    for _ in 0..7 {
        world.spend(record, None).await.unwrap();
        world.wait(DAY);
    }
    let world = world.restart(|folder| copy(backup.path(), folder));
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

#[tokio::test]
async fn v6_even_one_guess_that_was_answered_shows_that_a_database_is_old() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let backup = tempfile::tempdir().unwrap();
    let world = world.restart(|folder| copy(folder, backup.path()));
    world.spend(record, None).await.unwrap();
    let world = world.restart(|folder| copy(backup.path(), folder));
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

#[tokio::test]
async fn v6_a_watermark_that_is_missing_counts_as_a_restore() {
    let world = World::new();
    let account = world.account().await;
    world.enrol(account, "correct horse").await;
    let world = world.restart(|folder| std::fs::remove_file(folder.join("watermark")).unwrap());
    assert!(!world.vault.standing().is_accepted());
}

#[tokio::test]
async fn v6_rows_that_break_the_rules_cannot_be_loaded() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let world = world.restart(|folder| {
        let database = Connection::open(folder.join("vault.sqlite")).unwrap();
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
            "UPDATE vault_record SET name = x'00'",
            "UPDATE vault_meta SET accepted = generation + 1",
        ] {
            assert!(database.execute_batch(wrong).is_err(), "{wrong}");
        }
        database
            .execute_batch("UPDATE vault_record SET guesses = 3")
            .unwrap();
    });
    assert_eq!(world.status(record, account).await.guesses, 3);
}

#[tokio::test]
async fn v6_a_restored_database_that_breaks_its_checks_is_not_opened() {
    let world = World::new();
    let account = world.account().await;
    world.enrol(account, "correct horse").await;
    let folder = tempfile::tempdir().unwrap();
    let world = world.restart(|from| {
        copy(from, folder.path());
        let database = Connection::open(folder.path().join("vault.sqlite")).unwrap();
        database
            .execute_batch(
                "PRAGMA ignore_check_constraints = ON; UPDATE vault_record SET guesses = -5",
            )
            .unwrap();
    });
    drop(world);
    let watermark = crate::generation::Watermark::open(&folder.path().join("watermark")).unwrap();
    let opened = crate::db::sqlite::Sqlite::open(
        &folder.path().join("vault.sqlite"),
        watermark,
        &mut crate::vault::rng(),
    );
    assert!(matches!(opened, Err(crate::OpenError::Damaged(_))));
}
