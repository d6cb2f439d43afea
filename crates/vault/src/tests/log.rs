use heirloom_vault_api::{LogKind, LogRead, Which, log_start};

use super::harness::{Engine, World, on_every_engine};
use crate::store::log::{self, LogFault};

async fn v11_the_owner_sees_every_guess_and_what_else_happened(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    world.spend(record, None).await.unwrap();
    world.spend(record, Some(account)).await.unwrap();
    let (_, confirmed) = world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
    assert_eq!(confirmed.failed, 2);
    let read = LogRead { record, from: 0 };
    let page = world.vault.log(read, account).await.unwrap();
    let kinds: Vec<_> = page.entries.iter().map(|entry| entry.kind).collect();
    assert_eq!(
        kinds,
        [
            LogKind::Registered,
            LogKind::OwnersGuess,
            LogKind::PendingProved,
            LogKind::Activated,
            LogKind::Guess,
            LogKind::OwnersGuess,
            LogKind::Guess,
            LogKind::Proved,
        ]
    );
    // A client that remembers length and hash can check what it is told.
    let hash = page
        .entries
        .iter()
        .fold(log_start(&record), |hash, entry| entry.hash(&hash));
    assert_eq!(hash, confirmed.log_hash);
    assert_eq!(confirmed.log_length, 8);
}

async fn v11_removing_or_altering_an_entry_is_found(engine: Engine) {
    let mut world = World::on(engine);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    for _ in 0..3 {
        world.spend(record, None).await.unwrap();
    }
    let fault = |world: &World| {
        let vault = std::sync::Arc::clone(&world.vault);
        async move {
            vault
                .run(move |sql| log::verify(sql, &record))
                .await
                .unwrap()
        }
    };
    assert_eq!(fault(&world).await, None);
    let forgeries = [
        (
            "DELETE FROM vault_log WHERE sequence = 5",
            Some(LogFault::Missing(5)),
        ),
        (
            "DELETE FROM vault_log WHERE sequence = 7",
            Some(LogFault::Missing(7)),
        ),
        (
            "UPDATE vault_log SET kind = 4 WHERE sequence = 6",
            Some(LogFault::Altered),
        ),
        (
            "UPDATE vault_log SET time_ms = time_ms + 1 WHERE sequence = 6",
            Some(LogFault::Altered),
        ),
        (
            "UPDATE vault_log SET version = 9 WHERE sequence = 6",
            Some(LogFault::Altered),
        ),
        (
            "INSERT INTO vault_log SELECT shard, name, 8, 4, version, time_ms FROM vault_log WHERE sequence = 7",
            Some(LogFault::Missing(9)),
        ),
    ];
    for (forgery, expected) in forgeries {
        let mut kept = None;
        world = world.restart(|rows| {
            kept = Some(rows.copy());
            rows.sql(forgery);
        });
        let found = fault(&world).await;
        assert_eq!(found, expected, "{forgery}");
        world = world.restart(|rows| rows.put_back(kept.as_ref().unwrap()));
    }
}

on_every_engine!(
    v11_the_owner_sees_every_guess_and_what_else_happened,
    v11_removing_or_altering_an_entry_is_found,
);
