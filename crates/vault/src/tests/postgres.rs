//! What only a database on another machine does: it is not reached, it does not answer, it goes back.

use std::sync::Arc;
use std::time::Duration;

use heirloom_vault_api::{Code, Which};

use super::cluster::Cluster;
use super::harness::{Engine, Rows, World, code};
use crate::db::postgres::Postgres;
use crate::db::postgres::address::Postgres as Address;
use crate::db::{self, DbError, Sql, StoreError, schema};
use crate::vault::rng;

fn shared() -> bool {
    Cluster::shared().is_some()
}

fn server(world: &World) -> (&'static Cluster, String) {
    let Rows::Server {
        cluster, schema, ..
    } = &world.rows
    else {
        unreachable!()
    };
    (cluster, schema.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v3_a_commit_that_no_copy_confirmed_counts_and_is_not_answered() {
    // Its settings are changed: one of its own.
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let world = World::of(Rows::Server {
        schema: cluster.schema(),
        cluster,
        isolation: crate::Isolation::ReadCommitted,
        deadline: Duration::from_secs(3),
    });
    let world = Arc::new(world);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (_, schema) = server(&world);
    let wait_for_copies = |names: &str| {
        cluster.sql(
            "public",
            &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"),
        );
        cluster.sql("public", "SELECT pg_reload_conf()");
        let asked = || cluster.sql("public", "SHOW synchronous_standby_names");
        while asked() != names {
            std::thread::sleep(Duration::from_millis(10));
        }
        // Sessions read it between two statements.
        std::thread::sleep(Duration::from_millis(100));
    };
    let guesses = || cluster.sql(&schema, "SELECT guesses FROM vault_record");
    wait_for_copies("nobody");
    // Somebody cancels the wait: the server then says "committed", and warns.
    let canceller = std::thread::spawn(move || {
        let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        for _ in 0..1000 {
            if cluster.sql("public", cancel) != "0" {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    });
    let refused = world.spend(record, None).await.unwrap_err();
    assert!(canceller.join().unwrap());
    assert_eq!(code(refused), Code::OutcomeUnknown);
    assert_eq!(guesses(), "1");
    // Nobody cancels: the vault does not wait for ever.
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::OutcomeUnknown);
    // V10: what only reads is not answered either, for a primary that was deposed would answer with the past.
    let read = heirloom_vault_api::StatusRead { record };
    let refused = world.vault.status(read, account).await.unwrap_err();
    assert!([Code::OutcomeUnknown, Code::Unavailable].contains(&code(refused)));
    wait_for_copies("");
    let status = world.status(record, account).await;
    assert_eq!(status.guesses, 2, "both counted");
    world
        .login(record, "correct horse", Which::Active, None)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_cut_between_operations_is_made_again() {
    if !shared() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (cluster, schema) = server(&world);
    for guesses in 1..=3 {
        cut(cluster, &schema);
        world.spend(record, None).await.unwrap();
        assert_eq!(world.status(record, account).await.guesses, guesses);
    }
}

/// Cuts the connections of one schema's vault alone: other tests run beside it.
fn cut(cluster: &Cluster, schema: &str) {
    cluster.sql(
        "public",
        &format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vault-{schema}'"
        ),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v6_a_database_that_goes_back_under_a_running_server_is_not_used_any_more() {
    if !shared() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (cluster, schema) = server(&world);
    let copy = world.rows.copy();
    world.spend(record, None).await.unwrap();
    // As when a copy that lacks an answered commit takes over: connections break, and rows are older.
    world.rows.put_back(&copy);
    cut(cluster, &schema);
    for _ in 0..2 {
        let refused = world.spend(record, None).await.unwrap_err();
        assert_eq!(code(refused), Code::Unavailable);
    }
    assert_eq!(
        cluster.sql(&schema, "SELECT guesses FROM vault_record"),
        "0"
    );
    let world = world.restart(|_| ());
    assert!(!world.vault.standing().is_accepted());
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::LockedOut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_somebody_holds_is_not_waited_for_for_ever_and_nothing_counts() {
    if !shared() {
        return;
    }
    let mut rows = Rows::on(Engine::Postgres, std::path::Path::new(""));
    if let Rows::Server { deadline, .. } = &mut rows {
        *deadline = Duration::from_secs(2);
    }
    let world = World::of(rows);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let (cluster, schema) = server(&world);
    let held = std::thread::spawn({
        let schema = schema.clone();
        move || {
            cluster.sql(
                &schema,
                "BEGIN; LOCK TABLE vault_record; SELECT pg_sleep(4); COMMIT",
            )
        }
    });
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' \
         AND relation = to_regclass('vault_record')";
    while cluster.sql(&schema, locked) == "0" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = world.spend(record, None).await.unwrap_err();
    assert_eq!(code(refused), Code::Unavailable);
    held.join().unwrap();
    assert_eq!(world.status(record, account).await.guesses, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_over_one_database_count_together() {
    if !shared() {
        return;
    }
    let one = World::on(Engine::Postgres);
    let account = one.account().await;
    let (record, _) = one.enrol(account, "correct horse").await;
    // The second has a watermark of its own: it is new, and asks the operator first.
    let two = one.beside();
    assert!(!two.vault.standing().is_accepted());
    let generation = two.vault.run(crate::store::sweep::accept).await.unwrap();
    two.vault.accepted(generation);
    let mut answered = 0;
    for _ in 0..10 {
        answered += u32::from(one.spend(record, None).await.is_ok());
        answered += u32::from(two.spend(record, None).await.is_ok());
        one.wait(super::harness::DAY);
        two.wait(super::harness::DAY);
    }
    assert_eq!(answered, 7);
}

fn tables(sql: &mut dyn Sql) -> Result<usize, DbError> {
    let all =
        "SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'vault%'";
    Ok(sql.query(all, &[])?.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_with_a_folder_each_are_told_that_objects_are_not_shared() {
    if !shared() {
        return;
    }
    let one = World::on(Engine::Postgres);
    one.account().await;
    let lines = Arc::new(std::sync::Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    let address = "127.0.0.1:0".parse().unwrap();
    let mut config = crate::Config::new(address, one.folder.path().to_owned());
    config.log = crate::Log::new(move |line| written.lock().unwrap().push(line.to_owned()));
    let warned = async |world: &World, config: &crate::Config| {
        let admin = super::guesses::admin(world);
        crate::upkeep::warn_of_others(admin, config.clone()).await;
        std::mem::take(&mut *lines.lock().unwrap())
    };
    assert_eq!(warned(&one, &config).await, Vec::<String>::new());
    let two = one.beside();
    two.account().await;
    for world in [&one, &two] {
        let lines = warned(world, &config).await;
        assert!(
            matches!(&lines[..], [line] if line.contains("--objects-s3-file")),
            "{lines:?}"
        );
    }
    config.objects = crate::Objects::S3 {
        file: one.folder.path().join("s3.toml"),
    };
    assert_eq!(warned(&two, &config).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_layout_becomes_the_newest_and_a_later_one_is_not_opened() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if engine != Engine::Sqlite && !shared() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let rows = Rows::on(engine, folder.path());
        let dialect = if engine == Engine::Sqlite {
            schema::Dialect::Sqlite
        } else {
            schema::Dialect::Postgres
        };
        let name = if engine == Engine::Sqlite {
            "x'11111111111111111111111111111111'"
        } else {
            "'\\x11111111111111111111111111111111'"
        };
        // As the first release left it, with an account and a sign-in.
        rows.sql(&schema::first(dialect));
        rows.sql(&format!(
            "INSERT INTO vault_meta VALUES (1, 1, {name}, 0, 1, 1)"
        ));
        rows.sql(&format!(
            "INSERT INTO vault_account VALUES ({name}, 5, 0, 100)"
        ));
        rows.sql(&format!(
            "INSERT INTO vault_blob VALUES ({name}, {name}, {name}, 30, 7)"
        ));
        let watermark = folder.path().join("watermark");
        let (database, standing) = rows.open(&watermark).unwrap();
        // It has no watermark: it could be a copy.
        assert!(!standing.is_accepted());
        let count = db::run(&*database, |sql| {
            let layout = sql
                .query("SELECT layout FROM vault_meta", &[])?
                .remove(0)
                .u64()?;
            let marks = sql.query("SELECT slot FROM vault_mark", &[])?.len();
            let quota = sql
                .query("SELECT quota_bytes FROM vault_account", &[])?
                .remove(0)
                .u64()?;
            let deleted = sql
                .query("SELECT deleted_bytes FROM vault_account", &[])?
                .remove(0)
                .u64()?;
            Ok((layout, marks, quota, deleted))
        });
        let (layout, _, quota, deleted) = count.await.unwrap();
        assert_eq!((layout, quota, deleted), (schema::newest(), 100, 30));
        if engine == Engine::Postgres {
            assert!(db::run(&*database, tables).await.unwrap() > 8);
        }
        drop(database);
        // Once more: nothing is left to do.
        let mut tries = 0;
        let opened = loop {
            match rows.open(&watermark) {
                Err(_) if tries < 200 => std::thread::sleep(Duration::from_millis(10)),
                other => break other,
            }
            tries += 1;
        };
        drop(opened.unwrap());
        let mut tries = 0;
        while rows.try_sql("UPDATE vault_meta SET layout = 99").is_err() {
            std::thread::sleep(Duration::from_millis(10));
            tries += 1;
            assert!(tries < 200);
        }
        let opened = rows.open(&watermark);
        assert!(matches!(opened, Err(crate::OpenError::Layout(99))));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_statement_undoes_its_operation_even_if_nobody_minds() {
    if !shared() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let account = world.account().await;
    let (record, _) = world.enrol(account, "correct horse").await;
    let done = db::run(&*world.database, |sql| {
        sql.query("UPDATE vault_record SET failed = 3", &[])?;
        let _ = sql.query("UPDATE vault_record SET guesses = 11", &[]);
        Ok(())
    });
    assert!(matches!(done.await, Err(StoreError::Failed(_))));
    let found = world
        .vault
        .run(move |sql| crate::store::record::Record::find(sql, &record))
        .await
        .unwrap();
    assert_eq!(found.unwrap().failed, 0);
}

#[test]
fn a_database_that_is_not_there_is_said_to_be_so() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("host={} user=x dbname=x", folder.path().display());
    let mut address = Address::new(&address).unwrap();
    address.deadline = Duration::from_millis(500);
    let opened = Postgres::open(&address, &folder.path().join("watermark"), &mut rng());
    assert!(matches!(opened, Err(crate::OpenError::Server(_))));
}

#[test]
fn v10_a_host_whose_commits_no_copy_confirms_is_left_for_the_next() {
    let (Some(deposed), Some(next)) = (Cluster::start(), Cluster::shared()) else {
        return;
    };
    let schema = next.schema();
    deposed.sql("public", &format!("CREATE SCHEMA {schema}"));
    let wait = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    deposed.sql("public", wait);
    deposed.sql("public", "SELECT pg_reload_conf()");
    while deposed.sql("public", "SHOW synchronous_standby_names") != "nobody" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let folder = tempfile::tempdir().unwrap();
    let open = |hosts: &str| {
        let address =
            format!("host={hosts} user=heirloom dbname=postgres options='-c search_path={schema}'");
        let mut address = Address::new(&address).unwrap();
        address.connections = 1;
        address.deadline = Duration::from_secs(2);
        Postgres::open(&address, &folder.path().join("watermark"), &mut rng())
    };
    // It takes connections, and says that it takes writes.
    let (deposed, next) = (deposed.folder.display(), next.folder.display());
    let alone = open(&deposed.to_string());
    assert!(matches!(alone, Err(crate::OpenError::Server(_))));
    let opened = open(&format!("{deposed},{next}")).unwrap();
    assert!(!opened.holds_records);
    let tables = "SELECT count(*) FROM vault_meta";
    assert_eq!(Cluster::shared().unwrap().sql(&schema, tables), "1");
}
