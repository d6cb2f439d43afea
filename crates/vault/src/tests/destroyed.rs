//! V5: what is destroyed leaves the disk, whoever destroyed it.

use heirloom_vault_api::{AccountId, Code, RecordName, Which};

use super::guesses::sweep;
use super::harness::{DAY, World, code, owner};
use crate::store::record::Record;

/// The value under which a record's password lies, as it is on the disk.
async fn sealed(world: &World, account: AccountId, record: RecordName) -> Vec<u8> {
    let found = world
        .vault
        .run(move |sql| Record::of_owner(sql, &record, &account))
        .await
        .unwrap();
    found.unwrap().sealed.unwrap()
}

/// The database's files that hold it.
fn holders(world: &World, value: &[u8]) -> Vec<String> {
    let files = std::fs::read_dir(world.folder.path()).unwrap();
    let mut holders: Vec<String> = files
        .map(|file| file.unwrap())
        .filter(|file| file.file_type().unwrap().is_file())
        .filter(|file| {
            let bytes = std::fs::read(file.path()).unwrap();
            bytes.windows(value.len()).any(|window| window == value)
        })
        .map(|file| file.file_name().into_string().unwrap())
        .collect();
    holders.sort();
    holders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v5_a_key_that_the_last_guess_destroyed_is_in_no_file() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    sweep(&world).await;
    let value = sealed(&world, account, record).await;
    assert_eq!(holders(&world, &value), ["vault.sqlite"]);
    for _ in 0..10 {
        world.wait(DAY);
        world.spend(record, Some(account)).await.unwrap();
    }
    world.wait(DAY);
    let refused = world.spend(record, Some(account)).await.unwrap_err();
    assert_eq!(code(refused), Code::Destroyed);
    assert_ne!(holders(&world, &value), [""; 0], "it is gone too early");
    sweep(&world).await;
    assert_eq!(holders(&world, &value), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v5_a_password_that_was_replaced_is_in_no_file() {
    let world = World::new();
    let account = world.account().await;
    let (record, _) = world.enrol(account, "old password").await;
    sweep(&world).await;
    let value = sealed(&world, account, record).await;
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
    assert_ne!(holders(&world, &value), [""; 0], "it is gone too early");
    sweep(&world).await;
    assert_eq!(holders(&world, &value), [""; 0]);
}
