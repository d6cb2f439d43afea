use std::collections::BTreeSet;

use heirloom_vault_api::{LogKind, LogRead, Which, log_start};

use super::harness::{Engine, World, on_every_engine};
use crate::db::schema;
use crate::store::log::{self, LogFault};
use crate::store::operator;

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

async fn every_log_is_walked_once_page_after_page(engine: Engine) {
    let world = World::on(engine);
    super::unknown::shadows(&world, 0..130).await;
    let admin = super::guesses::admin(&world);
    let verdict = admin.verify().await.unwrap();
    // None of them has the hash that its one entry makes.
    let wrong: BTreeSet<_> = verdict.wrong.iter().map(|name| *name.as_bytes()).collect();
    assert_eq!((verdict.logs, wrong.len()), (130, 130));
}

async fn every_lock_is_listed_once_page_after_page(engine: Engine) {
    let world = World::on(engine);
    let account = world.account().await;
    super::unknown::shadows(&world, 0..410).await;
    // Whose they are is all that a lock of a name that nobody registered lacks.
    let lock = world.vault.run(move |sql| {
        let all = "UPDATE vault_record SET account = $1, guesses = 9";
        sql.query(all, &[account.into()]).map(drop)
    });
    lock.await.unwrap();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = world
            .vault
            .run(move |sql| operator::locked(sql, after.as_ref(), 0))
            .await
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.name);
        found.extend(page.iter().map(|lock| *lock.name.as_bytes()));
    }
    let names: BTreeSet<_> = found.iter().copied().collect();
    assert_eq!((found.len(), names.len()), (410, 410));
}

#[test]
fn a_page_of_records_begins_where_the_one_before_ended_and_sorts_nothing() {
    let database = rusqlite::Connection::open_in_memory().unwrap();
    for layout in schema::after(0, schema::Dialect::Sqlite) {
        database.execute_batch(&layout).unwrap();
    }
    for page in [crate::admin::NAMES, operator::LOCKED] {
        let mut plan = database
            .prepare(&format!("EXPLAIN QUERY PLAN {page}"))
            .unwrap();
        for number in 1..=plan.parameter_count() {
            plan.raw_bind_parameter(number, 1).unwrap();
        }
        let mut rows = plan.raw_query();
        let mut steps = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            steps.push(row.get::<_, String>(3).unwrap());
        }
        assert!(
            matches!(&steps[..], [only] if only.starts_with("SEARCH") && only.contains("(shard,name)>")),
            "{steps:?}"
        );
    }
}

on_every_engine!(
    every_log_is_walked_once_page_after_page,
    every_lock_is_listed_once_page_after_page,
    v11_the_owner_sees_every_guess_and_what_else_happened,
    v11_removing_or_altering_an_entry_is_found,
);
