//! V5: what is destroyed leaves the disk, whoever destroyed it.

use std::path::PathBuf;

use heirloom_vault_api::{Code, RecordName, Which};

use super::guesses::sweep;
use super::harness::{DAY, World, code, owner};
use crate::store::record::Record;

/// A part of what a record's password lies under, as it is on the disk. A value of which some is overwritten is not gone.
async fn sealed(world: &World, record: RecordName) -> Vec<u8> {
    let found = world.vault.run(move |sql| Record::find(sql, &record));
    let sealed = found.await.unwrap().unwrap().sealed.unwrap();
    sealed[20..84].to_vec()
}

/// The database's files that hold it.
fn holders(world: &World, part: &[u8]) -> Vec<PathBuf> {
    let mut files = world.files();
    files.retain(|path| {
        let bytes = std::fs::read(path).unwrap();
        bytes.windows(part.len()).any(|window| window == part)
    });
    files
}

#[tokio::test]
async fn v5_a_record_that_the_sweeper_destroyed_is_in_no_file() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let part = sealed(&world, record).await;
    assert!(!holders(&world, &part).is_empty());
    for _ in 0..10 {
        world.spend(record, Some(account)).await.unwrap();
        world.wait(DAY);
    }
    sweep(&world).await;
    assert!(holders(&world, &part).is_empty());
    assert!(world.status(record, account).await.destroyed);
    // No way in brings it back, not even the owner's.
    let pair = (&owner(1), &owner(1));
    let refused = world.register(account, "another", Some(record), pair).await;
    assert_eq!(code(refused.unwrap_err()), Code::Destroyed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v5_a_key_that_the_last_guess_destroyed_is_in_no_file() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    sweep(&world).await;
    let part = sealed(&world, record).await;
    assert_eq!(
        holders(&world, &part),
        [world.folder.path().join("vault.sqlite")]
    );
    for _ in 0..10 {
        world.wait(DAY);
        world.spend(record, Some(account)).await.unwrap();
    }
    world.wait(DAY);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
    assert!(!holders(&world, &part).is_empty(), "gone too early");
    sweep(&world).await;
    assert!(holders(&world, &part).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v5_a_password_that_was_replaced_is_in_no_file() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    sweep(&world).await;
    let part = sealed(&world, record).await;
    let pair = (&owner(1), &owner(1));
    let registered = world
        .register(account, "new password", Some(record), pair)
        .await;
    let (registered, _) = registered.unwrap();
    let proven = world.login(record, "new password", Which::Pending, Some(account));
    proven.await.unwrap();
    sweep(&world).await;
    world
        .activate(account, &registered, &owner(1))
        .await
        .unwrap();
    assert!(!holders(&world, &part).is_empty(), "gone too early");
    sweep(&world).await;
    assert!(holders(&world, &part).is_empty());
}
