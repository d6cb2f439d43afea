//! A server whose database, or whose HSM, never answers: whoever looks at it hears so, in a bounded time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::oneshot;

use crate::Config;
use crate::blobs::Blobs;
use crate::db::{Database, Job};
use crate::http::operator::{self, Operator};
use crate::http::{self, App, Peer};
use crate::rollout::Rollout;
use crate::tests::harness::World;
use crate::vault::Vault;

/// Takes every question and answers none.
#[derive(Debug, Default)]
struct Hung {
    asked: AtomicUsize,
    jobs: Mutex<Vec<oneshot::Sender<crate::db::Outcome>>>,
}

impl Database for Hung {
    fn submit(&self, job: Job) {
        let Job { done, .. } = job;
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.jobs.lock().unwrap().push(done);
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        oneshot::channel().1
    }
}

/// The public routes and the operator's.
fn routes(world: &World, vault: Vault) -> [Router; 2] {
    let vault = Arc::new(vault.hasty());
    let data = world.folder.path().join("data");
    let config = Config::new("127.0.0.1:0".parse().unwrap(), data.clone());
    let blobs = Blobs::open(&data.join("blobs"), &config.objects, config.grace).unwrap();
    let blobs = Arc::new(blobs);
    let rollout = Arc::new(Rollout::open(None, data.join("rollout.seen"), &config.log));
    let operator = Operator {
        vault: Arc::clone(&vault),
        blobs: Arc::clone(&blobs),
        rollout: Arc::clone(&rollout),
        metrics: Arc::clone(vault.metrics()),
    };
    let app = App::new(vault, blobs, &config, config.listen, rollout);
    [http::router(app), operator::router(operator)]
}

async fn get(router: &Router, path: &str) -> (u16, String) {
    let mut request = Request::get(path).body(Body::empty()).unwrap();
    let peer = Peer("127.0.0.1".parse().unwrap());
    request.extensions_mut().insert(peer);
    let answer = TowerToHyperService::new(router.clone()).call(request).await;
    let (parts, body) = answer.unwrap().into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (parts.status.as_u16(), text)
}

#[tokio::test]
async fn a_server_whose_database_hangs_says_that_it_lives_and_is_not_ready() {
    let world = World::new();
    let hung = Arc::new(Hung::default());
    let vault = Vault::new(
        hung.clone(),
        Arc::clone(world.vault.keys()),
        world.clock.clone(),
        world.vault.standing(),
    );
    let [public, operator] = routes(&world, vault);
    for _ in 0..3 {
        assert_eq!(get(&public, "/healthz").await.0, 200);
        assert_eq!(get(&operator, "/healthz").await.0, 200);
        let (status, problem) = get(&public, "/readyz").await;
        assert_eq!(status, 503);
        assert!(problem.contains(r#""code":"unavailable""#), "{problem}");
        let (status, found) = get(&operator, "/readyz").await;
        assert_eq!(status, 503);
        assert!(
            found.contains(r#""database":false,"keys":true,"objects":true"#),
            "{found}"
        );
    }
    // One question of each kind is open, however often they are asked.
    assert_eq!(hung.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_whose_hsm_hangs_says_that_it_lives_and_is_not_ready() {
    let (world, hsm, ..) = super::world().await;
    let (is_hanging, free) = hsm.hang();
    let vault = Vault::new(
        world.database.clone(),
        hsm,
        world.clock.clone(),
        world.vault.standing(),
    );
    let [public, operator] = routes(&world, vault);
    for _ in 0..2 {
        let (status, found) = get(&operator, "/readyz").await;
        assert_eq!(status, 503);
        assert!(
            found.contains(r#""database":true,"keys":false,"objects":true"#),
            "{found}"
        );
        assert_eq!(get(&operator, "/healthz").await.0, 200);
        // Who needs no HSM is answered.
        assert_eq!(get(&public, "/readyz").await.0, 200);
        assert_eq!(get(&public, "/v1/vault").await.0, 200);
    }
    is_hanging.recv().unwrap();
    free.send(()).unwrap();
    // The question that hung has ended, and another one may be asked.
    for _ in 0..1000 {
        if get(&operator, "/readyz").await.0 == 200 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("it is never ready again");
}
