//! The search for bytes that no name leads to goes on beside everything else.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::Config;
use crate::db::{Database, DbError, Job, Outcome, Row, Sql, Value};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_mins(1);

/// A database that never says whether an object has a name.
#[derive(Debug)]
struct Silent {
    inner: Arc<dyn Database>,
    asked: Mutex<Vec<oneshot::Sender<Outcome>>>,
}

/// What an operation asks first.
struct First(&'static str);

impl Sql for First {
    fn query(&mut self, text: &'static str, _: &[Value]) -> Result<Vec<Row>, DbError> {
        self.0 = text;
        Err(DbError::Impossible)
    }

    fn barrier(&mut self) -> Result<(), DbError> {
        Ok(())
    }
}

impl Database for Silent {
    fn submit(&self, job: Job) {
        let mut first = First("");
        let _ = (job.work)(&mut first);
        if first.0.contains("FROM vault_blob WHERE object") {
            self.asked.lock().unwrap().push(job.done);
        } else {
            self.inner.submit(job);
        }
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        self.inner.scrub()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_ends_while_it_searches_for_bytes_without_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), data.clone());
    config.admin_socket = None;
    let kept = Arc::new(OnceLock::new());
    let keep = Arc::clone(&kept);
    let over = move |inner: Arc<dyn Database>| -> Arc<dyn Database> {
        let silent = Arc::new(Silent {
            inner,
            asked: Mutex::default(),
        });
        keep.set(Arc::clone(&silent)).unwrap();
        silent
    };
    let server = Server::bind_over(config, over).await.unwrap();
    let orphan = data.join("blobs/ab").join(format!("ab{:030x}", 1));
    let old = std::time::SystemTime::now() - Duration::from_hours(25);
    let file = std::fs::File::create(&orphan).unwrap();
    file.set_modified(old).unwrap();
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async move {
        let _ = ended.await;
    }));
    let is_asked = async {
        while kept.get().unwrap().asked.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, is_asked).await.expect("it searches");
    drop(end);
    let ran = timeout(PATIENCE, running).await.expect("it ends");
    ran.unwrap().unwrap();
    assert!(orphan.exists(), "nobody said that it has no name");
}
