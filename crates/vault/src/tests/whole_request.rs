//! V8 over HTTP, with the database in it: whatever is asked of a name, a stranger cannot tell whether somebody
//! registered it. Both are asked in turns, from the first guess to the lock.
//!
//! 12 rounds of 7 answers; with `HEIRLOOM_LONG=1` 1,429, that is 10,000 answers of each. Time is reported always, and
//! asserted in the long run alone: a busy machine says nothing about it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use heirloom_vault_api::*;
use tokio::runtime::Runtime;

use super::client::Client;
use super::cluster::Cluster;
use super::harness::{DAY, Engine, Hand, MINUTE, Rows, owner};
use super::person::{Enrolment, Login, password};
use crate::db::{self, Database};
use crate::server::Server;
use crate::vault::{random, rng};
use crate::{Config, Limits};

/// What is waited for before each guess, and what is heard.
const ROUND: [(u64, u16); 9] = [
    (0, 200),
    (0, 200),
    (0, 200),
    (0, 200),
    (0, 429),
    (MINUTE, 200),
    (10 * MINUTE, 200),
    (60 * MINUTE, 200),
    (DAY, 423),
];

/// A server in this process, over whose database and clock the test has a hand.
struct Served {
    address: SocketAddr,
    clock: Arc<Hand>,
    database: Arc<dyn Database>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

fn serve(engine: Engine) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), data.clone());
    let clock = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
    config.clock = clock.clone();
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    config.account_requests_per_second = u64::from(u32::MAX);
    config.admin_socket = None;
    config.database = Rows::on(engine, &data).address();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let kept = Arc::new(OnceLock::new());
    let keep = Arc::clone(&kept);
    let over = move |inner: Arc<dyn Database>| {
        keep.set(Arc::clone(&inner)).unwrap();
        inner
    };
    let server = runtime.block_on(Server::bind_over(config, over)).unwrap();
    let address = server.address();
    runtime.spawn(server.run(std::future::pending()));
    Served {
        address,
        clock,
        database: Arc::clone(kept.get().unwrap()),
        runtime,
        _folder: folder,
    }
}

/// Somebody's password.
fn enrol(served: &Served) -> RecordName {
    let mut rng = rng();
    let mut client = Client::new(served.address);
    let opened = client.post("/v1/accounts", &SignIn::by(None)).unwrap();
    let signed_in: SignedIn = opened.json();
    client.token = Some(signed_in.token);
    let (text, identity) = (password("correct horse"), client.identity());
    let (enrolment, start) = Enrolment::start(&text, None, &mut rng);
    let started = client.post("/v1/registrations", &start).unwrap().json();
    let (finish, record, _) = enrolment
        .finish(&text, &started, &identity, &owner(1), &owner(1), &mut rng)
        .unwrap();
    let finished = client.post("/v1/registrations/finish", &finish).unwrap();
    assert_eq!(finished.status, 201, "{finished:?}");
    let pinned = Pinned {
        record,
        identity,
        suite: suite::NEWEST,
    };
    let (login, start) = Login::start(&text, pinned, Which::Pending, &mut rng);
    let evaluated = client.post("/v1/guesses", &start).unwrap().json();
    let opened = login.finish(&text, &evaluated, &mut rng).unwrap();
    assert_eq!(
        client.post("/v1/proofs", &opened.proof).unwrap().status,
        200
    );
    let activate = Activate {
        record,
        version: 1,
        signature: owner(1).sign(&identity, &record, &OwnerAct::Activate { version: 1 }),
    };
    let activated = client.post("/v1/records/activate", &activate).unwrap();
    assert_eq!(activated.status, 200, "{activated:?}");
    record
}

/// What a stranger sees of an answer, but for its random bytes.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    headers: Vec<String>,
    length: usize,
    problem: Option<String>,
}

/// One connection that stays.
struct Line(BufReader<TcpStream>);

impl Line {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let time = Duration::from_mins(1);
        stream.set_read_timeout(Some(time)).unwrap();
        Self(BufReader::new(stream))
    }

    fn guess(&mut self, start: &GuessStart) -> (Seen, Duration) {
        let body = serde_json::to_vec(start).unwrap();
        let head = format!(
            "POST /v1/guesses HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        let begun = Instant::now();
        self.0.get_mut().write_all(&request).unwrap();
        let (mut headers, mut length) = (Vec::new(), 0);
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).unwrap();
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length: ") {
                length = text.parse().unwrap();
            }
            headers.push(line);
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let took = begun.elapsed();
        let status = headers
            .remove(0)
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        // They count time and all requests of this address.
        headers.retain(|line| !line.starts_with("date: ") && !line.starts_with("ratelimit: "));
        let problem = (status != 200).then(|| String::from_utf8(body).unwrap());
        let seen = Seen {
            status,
            headers,
            length,
            problem,
        };
        (seen, took)
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn told_apart(engine: Engine) {
    let is_long = std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1");
    let rounds = if is_long { 1429 } else { 12 };
    let served = serve(engine);
    let known = enrol(&served);
    let identity = Client::new(served.address).identity();
    let mut line = Line::new(served.address);
    // By what was heard, and whether the name was new: of known names, of unknown ones.
    let mut times: BTreeMap<&str, [Vec<Duration>; 2]> = BTreeMap::new();
    for round in 0..rounds {
        // As if it had just been proven; the other name is one that was never heard.
        let fresh = db::run(&*served.database, |sql| {
            sql.query(
                "UPDATE vault_record SET guesses = 0, not_before = 0, lifetime = 0 WHERE sealed IS NOT NULL",
                &[],
            )
        });
        served.runtime.block_on(fresh).unwrap();
        let names = [known, random()];
        let starts = names.map(|record| {
            let pinned = Pinned {
                record,
                identity,
                suite: suite::NEWEST,
            };
            Login::start(&password("wrong"), pinned, Which::Active, &mut rng()).1
        });
        for (number, (wait, status)) in ROUND.into_iter().enumerate() {
            served.clock.0.fetch_add(wait, Ordering::SeqCst);
            let kind = match (status, number) {
                (200, 0) => "first answers",
                (200, _) => "later answers",
                (429, _) => "waits",
                _ => "locks",
            };
            let mut heard = [None, None];
            for side in [round % 2, (round + 1) % 2] {
                let (seen, took) = line.guess(&starts[side]);
                assert_eq!(seen.status, status, "guess {number}: {seen:?}");
                heard[side] = Some(seen);
                times.entry(kind).or_default()[side].push(took);
            }
            assert_eq!(heard[0], heard[1], "guess {number}");
        }
        served.clock.0.fetch_add(DAY, Ordering::SeqCst);
    }
    for (kind, [known, unknown]) in &mut times {
        let count = known.len();
        let (known, unknown) = (median(known), median(unknown));
        println!(
            "V8 {engine:?}: {count} {kind} of each, medians: known {known:?}, unknown {unknown:?}"
        );
        if is_long && *kind == "later answers" {
            let apart = known.abs_diff(unknown);
            assert!(apart < known / 10, "{kind}: {known:?}, {unknown:?}");
        }
    }
}

#[test]
fn v8_whole_requests_of_known_and_unknown_names_are_alike_sqlite() {
    told_apart(Engine::Sqlite);
}

#[test]
fn v8_whole_requests_of_known_and_unknown_names_are_alike_postgres() {
    if Cluster::shared().is_some() {
        told_apart(Engine::Postgres);
    }
}
