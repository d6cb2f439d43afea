use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::oneshot;

use super::*;
use crate::db::run;
use crate::vault::rng;

fn opened(folder: &Path) -> Arc<Sqlite> {
    let watermark = Watermark::open(&folder.join("watermark")).unwrap();
    let path = folder.join("vault.sqlite");
    Sqlite::open(&path, watermark, &mut rng()).unwrap().0
}

/// What the watermark holds, as the next start would read it.
fn noted(folder: &Path) -> u64 {
    let bytes = std::fs::read(folder.join("watermark")).unwrap();
    u64::from_be_bytes(bytes[24..32].try_into().unwrap())
}

const TOUCH: &str = "UPDATE vault_meta SET accepted = accepted WHERE id = 1 RETURNING sequence";

fn touch(sql: &mut dyn Sql) -> Result<u64, DbError> {
    sql.query(TOUCH, &[])?.remove(0).u64()
}

/// The number of lines whose name this is.
fn number(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value: f64 = line.unwrap().trim().parse().unwrap();
    format!("{value:.0}").parse().unwrap()
}

#[tokio::test]
async fn whoever_is_answered_finds_the_commit_in_the_watermark() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path());
    let mut asked = Vec::new();
    for _ in 0..200 {
        let (database, path) = (Arc::clone(&database), folder.path().to_owned());
        asked.push(tokio::spawn(async move {
            let before = run(&*database, touch).await.unwrap();
            assert!(noted(&path) > before);
        }));
    }
    for one in asked {
        one.await.unwrap();
    }
}

#[tokio::test]
async fn operations_that_wait_share_a_commit_and_a_lone_one_has_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path());
    let metrics = Metrics::new();
    database.watch(&metrics);
    let count = |name: &str| number(&metrics.text(), name);
    for _ in 0..3 {
        run(&*database, touch).await.unwrap();
    }
    assert_eq!(count("heirloom_vault_commit_group_sum "), 3);
    assert_eq!(count("heirloom_vault_commits_total "), 3);
    // The writer is kept until all of them wait.
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let mut waits = vec![submit(&database, move |_| {
        let _ = gone.lock().unwrap().recv();
        Ok(())
    })];
    for _ in 0..100 {
        waits.push(submit(&database, |sql| touch(sql).map(drop)));
    }
    // It may run again.
    drop(go);
    for one in waits {
        assert!(matches!(one.await, Ok(Outcome::Durable)));
    }
    assert_eq!(count("heirloom_vault_commit_group_sum "), 104);
    // The one that kept the writer, at most 64, and the rest: fewer where it took some of them along.
    let commits = count("heirloom_vault_commits_total ");
    assert!((5..=6).contains(&commits), "{commits}");
    drop(database);
    // The one that kept the writer changed nothing: alone, it was no commit to note.
    let noted = noted(folder.path());
    assert!(
        (commits - 1..=commits).contains(&noted),
        "{noted} {commits}"
    );
}

fn submit(
    database: &Arc<Sqlite>,
    work: impl Fn(&mut dyn Sql) -> Result<(), DbError> + Send + 'static,
) -> oneshot::Receiver<Outcome> {
    let (done, waits) = oneshot::channel();
    let work = Box::new(work);
    database.submit(Job {
        work,
        shard: None,
        done,
    });
    waits
}

#[tokio::test]
async fn one_that_fails_is_undone_alone() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path());
    let (go, gone) = std::sync::mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let first = submit(&database, move |_| {
        let _ = gone.lock().unwrap().recv();
        Ok(())
    });
    let accept = "UPDATE vault_meta SET generation = generation + 1 WHERE id = 1";
    let wrong = submit(&database, move |sql| {
        sql.query(accept, &[])?;
        Err(DbError::Impossible)
    });
    let right = submit(&database, move |sql| sql.query(accept, &[]).map(drop));
    // It may run again.
    drop(go);
    assert!(matches!(first.await, Ok(Outcome::Durable)));
    assert!(matches!(
        wrong.await,
        Ok(Outcome::Nothing(DbError::Impossible))
    ));
    assert!(matches!(right.await, Ok(Outcome::Durable)));
    let read = "SELECT generation FROM vault_meta WHERE id = 1";
    let generation = run(&*database, move |sql| sql.query(read, &[])?.remove(0).u64());
    assert_eq!(generation.await.unwrap(), 2);
}

#[tokio::test]
async fn where_one_is_refused_the_others_of_its_commit_run_twice_and_count_once() {
    for refused in [None, Some(0), Some(3), Some(4)] {
        let folder = tempfile::tempdir().unwrap();
        let database = opened(folder.path());
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = std::sync::mpsc::channel();
        let gone = std::sync::Mutex::new(gone);
        let first = submit(&database, move |_| {
            let _ = begins.send(());
            let _ = gone.lock().unwrap().recv();
            Ok(())
        });
        // Alone: what is asked from here on waits for one commit together.
        begun.recv().unwrap();
        let count = "UPDATE vault_meta SET generation = generation + 1 WHERE id = 1";
        let runs = Arc::new(AtomicU64::new(0));
        let waits: Vec<_> = (0..5)
            .map(|number| {
                let runs = Arc::clone(&runs);
                submit(&database, move |sql| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    sql.query(count, &[])?;
                    if refused == Some(number) {
                        return Err(DbError::Impossible);
                    }
                    Ok(())
                })
            })
            .collect();
        drop(go);
        assert!(matches!(first.await, Ok(Outcome::Durable)));
        for (number, one) in waits.into_iter().enumerate() {
            let outcome = one.await.unwrap();
            if refused == Some(number) {
                assert!(matches!(outcome, Outcome::Nothing(DbError::Impossible)));
            } else {
                assert!(matches!(outcome, Outcome::Durable));
            }
        }
        let read = "SELECT generation FROM vault_meta WHERE id = 1";
        let generation = run(&*database, move |sql| sql.query(read, &[])?.remove(0).u64());
        let kept = if refused.is_some() { 5 } else { 6 };
        assert_eq!(generation.await.unwrap(), kept);
        let ran = runs.load(Ordering::SeqCst);
        let again = refused.map_or(0, |at| at + 1);
        assert_eq!(ran, 5 + u64::try_from(again).unwrap());
    }
}

#[tokio::test]
async fn nobody_waits_for_a_writer_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path());
    let gone = submit(&database, |_| panic!("on purpose"));
    let waits: Vec<_> = (0..3)
        .map(|_| submit(&database, |sql| touch(sql).map(drop)))
        .collect();
    assert!(gone.await.is_err());
    for one in waits {
        assert!(!matches!(one.await, Ok(Outcome::Durable)));
    }
    let refused = submit(&database, |sql| touch(sql).map(drop)).await;
    assert!(matches!(refused, Err(_) | Ok(Outcome::Nothing(_))));
}

#[tokio::test]
async fn a_statement_gets_as_many_values_as_it_names() {
    let folder = tempfile::tempdir().unwrap();
    let database = opened(folder.path());
    let text = "SELECT $2 - $1 - $1";
    for (values, is_right) in [
        (vec![3, 10], true),
        (vec![3], false),
        (vec![3, 10, 1], false),
    ] {
        let asked = run(&*database, move |sql| {
            let values: Vec<Value> = values.iter().map(|value| Value::Int(*value)).collect();
            sql.query(text, &values)?.remove(0).u64()
        });
        assert_eq!(asked.await.ok(), is_right.then_some(4));
    }
}
