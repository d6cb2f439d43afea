//! Operations of one record each share a transaction of PostgreSQL with others that wait, and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tokio::sync::oneshot;

use super::cluster::Cluster;
use super::harness::{Engine, World};
use crate::db::{self, Database as _, DbError, Job, Outcome, Sql};

const TRANSACTION: &str = "SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)";
const COUNT: &str = "UPDATE vault_meta SET sequence = sequence + 1 WHERE id = 1";
const ECHO: &str = "SELECT CAST($1 AS bigint)";
const COUNTED: &str = "SELECT sequence FROM vault_meta WHERE id = 1";

fn submit(
    world: &World,
    shard: u32,
    work: impl Fn(&mut dyn Sql) -> Result<(), DbError> + Send + 'static,
) -> oneshot::Receiver<Outcome> {
    let (done, waits) = oneshot::channel();
    world.database.submit(Job {
        work: Box::new(work),
        shard: Some(shard),
        done,
    });
    waits
}

/// One that keeps its lane until the sender is dropped; it runs when this returns.
fn keep(world: &World, shard: u32) -> (mpsc::Sender<()>, oneshot::Receiver<Outcome>) {
    let (go, gone) = mpsc::channel::<()>();
    let (begins, begun) = mpsc::channel();
    let gone = Mutex::new(gone);
    let kept = submit(world, shard, move |_| {
        let _ = begins.send(());
        let _ = gone.lock().unwrap().recv();
        Ok(())
    });
    begun.recv().unwrap();
    (go, kept)
}

/// All of one record.
const OF_ONE: [u32; 6] = [8; 6];
/// Of as many records, in one lane.
const OF_SIX: [u32; 6] = [16, 32, 48, 64, 80, 96];

/// Six that wait in a lane, the one at `refused` failing after it changed something; the transaction of each of them,
/// how often one of them ran, and how many had an effect.
async fn six(shards: [u32; 6], refused: Option<usize>) -> Option<(Vec<u64>, u64, u64)> {
    Cluster::shared()?;
    let world = World::on(Engine::Postgres);
    let before = counted(&world).await;
    let (go, kept) = keep(&world, 8);
    let runs = Arc::new(AtomicU64::new(0));
    let transactions = Arc::new(Mutex::new([0; 6]));
    let waits: Vec<_> = (0..6)
        .map(|number| {
            let (runs, transactions) = (Arc::clone(&runs), Arc::clone(&transactions));
            submit(&world, shards[number], move |sql| {
                runs.fetch_add(1, Ordering::SeqCst);
                transactions.lock().unwrap()[number] =
                    sql.query(TRANSACTION, &[])?.remove(0).u64()?;
                sql.query(COUNT, &[])?;
                if refused == Some(number) {
                    return Err(DbError::Impossible);
                }
                Ok(())
            })
        })
        .collect();
    drop(go);
    assert!(matches!(kept.await, Ok(Outcome::Durable)));
    for (number, one) in waits.into_iter().enumerate() {
        let outcome = one.await.unwrap();
        if refused == Some(number) {
            assert!(matches!(outcome, Outcome::Nothing(DbError::Impossible)));
        } else {
            assert!(matches!(outcome, Outcome::Durable));
        }
    }
    let mut transactions = transactions.lock().unwrap().to_vec();
    transactions.dedup();
    let counted = counted(&world).await - before;
    Some((transactions, runs.load(Ordering::SeqCst), counted))
}

async fn counted(world: &World) -> u64 {
    let read = move |sql: &mut dyn Sql| sql.query(COUNTED, &[])?.remove(0).u64();
    db::run(&*world.database, read).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_lane_shares_one_transaction() {
    let Some((transactions, runs, counted)) = six(OF_ONE, None).await else {
        return;
    };
    // One beside nobody, which asks twice, and then the five after it.
    assert_eq!((transactions.len(), runs, counted), (1, 8, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_of_different_records_ask_side_by_side() {
    let Some((transactions, runs, counted)) = six(OF_SIX, None).await else {
        return;
    };
    assert_eq!((transactions.len(), runs, counted), (1, 18, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_one_record_the_second_sees_all_that_the_first_did() {
    if Cluster::shared().is_none() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let (go, kept) = keep(&world, 8);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut waits = Vec::new();
    for shard in [16, 32, 32] {
        let seen = Arc::clone(&seen);
        waits.push(submit(&world, shard, move |sql| {
            let before = sql.query(COUNTED, &[])?.remove(0).u64()?;
            if shard == 32 {
                sql.query(COUNT, &[])?;
                seen.lock().unwrap().push(before);
            }
            Ok(())
        }));
    }
    drop(go);
    assert!(matches!(kept.await, Ok(Outcome::Durable)));
    for one in waits {
        assert!(matches!(one.await, Ok(Outcome::Durable)));
    }
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0] + 1, seen[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_asks_something_else_each_time_is_never_answered_what_it_asked_before() {
    if Cluster::shared().is_none() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let before = counted(&world).await;
    let (go, kept) = keep(&world, 8);
    let runs = AtomicU64::new(0);
    let fickle = submit(&world, 16, move |sql| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        let answer = sql.query(ECHO, &[run.into()])?.remove(0).u64()?;
        assert_eq!(answer, run);
        sql.query(COUNT, &[]).map(drop)
    });
    let steady = submit(&world, 32, |sql| sql.query(COUNT, &[]).map(drop));
    drop(go);
    assert!(matches!(kept.await, Ok(Outcome::Durable)));
    assert!(matches!(fickle.await, Ok(Outcome::Durable)));
    assert!(matches!(steady.await, Ok(Outcome::Durable)));
    assert_eq!(counted(&world).await - before, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_refused_is_undone_alone_and_the_others_count_once() {
    for refused in [0, 3, 5] {
        let Some((transactions, runs, counted)) = six(OF_SIX, Some(refused)).await else {
            return;
        };
        // Two questions of each, and the last run up to the one that fails; then each by itself.
        let together = 12 + u64::try_from(refused).unwrap() + 1;
        assert_eq!(
            (transactions.len(), runs, counted),
            (6, together + 6, 5),
            "{refused}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_that_is_kept_keeps_nobody_who_has_none() {
    if Cluster::shared().is_none() {
        return;
    }
    let world = World::on(Engine::Postgres);
    let (go, kept) = keep(&world, 8);
    counted(&world).await;
    drop(go);
    assert!(matches!(kept.await, Ok(Outcome::Durable)));
}
