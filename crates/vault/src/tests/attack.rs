//! The guess limit under attack: 64 clients at once against a real server process that is killed at random
//! instants while its clock is set forth and back. What counts is what clients received.
//!
//! The server is this program, run again as [`server_process`]. Ten kills, 500 with `HEIRLOOM_LONG=1`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use heirloom_vault_api::*;
use tokio::sync::oneshot;

use super::client::Client;
use super::cluster::Cluster;
use super::harness::{DAY, Engine, Rows, owner};
use super::person::{Enrolment, Login, password};
use crate::clock::Clock;
use crate::db::{Database, DbError, Job, Outcome};
use crate::server::Server;
use crate::vault::rng;
use crate::{Config, Isolation, Limits, Postgres};

const FOLDER: &str = "HEIRLOOM_ATTACK_FOLDER";
const CLIENTS: usize = 64;

/// A clock in a file, which the test sets.
#[derive(Debug)]
struct InFile(PathBuf);

impl Clock for InFile {
    fn now_ms(&self) -> u64 {
        // Replaced by renaming: there is always a whole one.
        fs::read_to_string(&self.0).unwrap().parse().unwrap()
    }
}

fn set(clock: &Path, now: u64) {
    let next = clock.with_extension("next");
    fs::write(&next, now.to_string()).unwrap();
    fs::rename(next, clock).unwrap();
}

/// What must fail: it answers as soon as it knows what it would count, and counts a little later.
#[derive(Debug)]
struct CountsAfterwards {
    inner: Arc<dyn Database>,
    /// While this file is there.
    flag: PathBuf,
}

impl Database for CountsAfterwards {
    fn submit(&self, job: Job) {
        if !self.flag.exists() {
            return self.inner.submit(job);
        }
        let Job { work, done } = job;
        let work = Arc::new(std::sync::Mutex::new(work));
        let (again, inner) = (Arc::clone(&work), Arc::clone(&self.inner));
        let (looked, waits) = oneshot::channel();
        self.inner.submit(Job {
            work: Box::new(move |sql| {
                (work.lock().unwrap())(sql)?;
                Err(DbError::Impossible)
            }),
            done: looked,
        });
        tokio::spawn(async move {
            let _ = waits.await;
            let _ = done.send(Outcome::Durable);
            tokio::time::sleep(Duration::from_millis(50)).await;
            let (counted, waits) = oneshot::channel();
            inner.submit(Job {
                work: Box::new(move |sql| (again.lock().unwrap())(sql)),
                done: counted,
            });
            let _ = waits.await;
        });
    }

    fn scrub(&self) -> oneshot::Receiver<bool> {
        self.inner.scrub()
    }
}

/// Not a test: the server, as a process of its own, when a test below asks for it.
#[test]
fn server_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.join("data"));
    config.clock = Arc::new(InFile(folder.join("clock")));
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    config.account_requests_per_second = u64::from(u32::MAX);
    config.admin_socket = None;
    if folder.join("address").exists() {
        let mut postgres = Postgres::from_file(&folder.join("address")).unwrap();
        postgres.connections = 8;
        if folder.join("serializable").exists() {
            postgres.isolation = Isolation::Serializable;
        }
        config.database = Some(postgres);
    }
    let flag = folder.join("control");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let over = |inner| -> Arc<dyn Database> { Arc::new(CountsAfterwards { inner, flag }) };
        let server = Server::bind_over(config, over).await.unwrap();
        println!("address {}", server.address());
        server.run(std::future::pending()).await.unwrap();
    });
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::attack::server_process"])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .find_map(|line| {
                let line = line.ok()?;
                let at = line.find("address ")?;
                line[at + 8..].trim().parse().ok()
            })
            .expect("the server starts");
        Self { child, address }
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Process {
    /// Also where a test fails.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

const RIGHT: &str = "correct horse";

/// The owner, who does one thing after the other.
struct Owner {
    client: Client,
    record: RecordName,
    version: u32,
}

impl Owner {
    fn register(&mut self, record: Option<RecordName>) -> Option<()> {
        let mut rng = rng();
        let identity = self.client.identity();
        let text = password(RIGHT);
        let (enrolment, start) = Enrolment::start(&text, record, &mut rng);
        let started = self.client.post("/v1/registrations", &start).ok()?;
        if started.status != 200 {
            return None;
        }
        let (finish, record, _) = enrolment
            .finish(
                &text,
                &started.json(),
                &identity,
                &owner(1),
                &owner(1),
                &mut rng,
            )
            .unwrap();
        let finished = self.client.post("/v1/registrations/finish", &finish).ok()?;
        if finished.status != 201 {
            return None;
        }
        let Registered { record: _, version } = finished.json();
        self.record = record;
        self.login(Which::Pending).ok()?;
        let act = OwnerAct::Activate { version };
        let activate = Activate {
            record,
            version,
            signature: owner(1).sign(&identity, &record, &act),
        };
        let activated = self.client.post("/v1/records/activate", &activate).ok()?;
        self.version = version;
        (activated.status == 200).then_some(())
    }

    fn login(&self, which: Which) -> Result<Confirmed, Code> {
        let mut rng = rng();
        let pinned = Pinned {
            record: self.record,
            identity: self.client.identity(),
            suite: suite::NEWEST,
        };
        let text = password(RIGHT);
        let (login, start) = Login::start(&text, pinned, which, &mut rng);
        let answer = self.client.post("/v1/guesses", &start);
        let answer = answer.map_err(|_| Code::Unavailable)?;
        if answer.status != 200 {
            return Err(answer.problem().code);
        }
        let opened = login.finish(&text, &answer.json(), &mut rng).unwrap();
        let proved = self.client.post("/v1/proofs", &opened.proof);
        let proved = proved.map_err(|_| Code::Unavailable)?;
        if proved.status != 200 {
            return Err(proved.problem().code);
        }
        Ok(opened.confirm(&proved.json()))
    }
}

/// One of the 64: guesses until the server is gone; breaks off after sending, now and then.
fn attack(
    client: &Client,
    pinned: Pinned,
    mut dice: Dice,
    answered: &AtomicU32,
    over: &AtomicBool,
) {
    let mut rng = rng();
    let text = password("wrong");
    while !over.load(Ordering::SeqCst) {
        let which = if dice.roll(4) == 0 {
            Which::Pending
        } else {
            Which::Active
        };
        let (_, start) = Login::start(&text, pinned, which, &mut rng);
        let mut client = client.clone();
        if which == Which::Active && dice.roll(3) == 0 {
            client.token = None;
        }
        if dice.roll(5) == 0 {
            // Sends half of it, or all of it, and goes.
            let body = serde_json::to_vec(&start).unwrap();
            let head = format!(
                "POST /v1/guesses HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let bytes = [head.as_bytes(), &body].concat();
            let most = u64::try_from(bytes.len()).unwrap();
            let sent = if dice.roll(2) == 0 {
                most
            } else {
                dice.roll(most)
            };
            if let Ok(mut stream) = TcpStream::connect(client.address) {
                let _ = stream.write_all(&bytes[..usize::try_from(sent).unwrap()]);
            }
            continue;
        }
        match client.post("/v1/guesses", &start) {
            Ok(answer) if answer.status == 200 => {
                let _: Evaluated = answer.json();
                answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(_) => (),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// What an attack came to.
#[derive(Debug, Default)]
struct Came {
    kills: u32,
    proofs: u32,
    destroyed: u32,
    registered: u32,
    /// The most evaluations that were answered between two proven successes.
    most: u32,
    /// The most of one record's life.
    most_in_life: u32,
}

/// Writes down where the servers find their rows.
fn tell_rows(engine: Engine, folder: &Path) {
    if let Rows::Server {
        cluster,
        schema,
        isolation,
        deadline: _,
    } = Rows::on(engine, folder)
    {
        fs::write(folder.join("address"), cluster.address(&schema)).unwrap();
        if isolation == Isolation::Serializable {
            fs::write(folder.join("serializable"), "").unwrap();
        }
    }
}

/// Somebody with an account and a password, from a server that is gone again.
fn first_owner(folder: &Path) -> Owner {
    let process = Process::start(folder);
    let mut client = Client::new(process.address);
    let signed_in: SignedIn = client
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap()
        .json();
    client.token = Some(signed_in.token);
    let mut owner = Owner {
        client,
        record: Fixed([0; 16]),
        version: 0,
    };
    owner.register(None).unwrap();
    process.kill();
    owner
}

fn run(engine: Engine, kills: u32, is_control: bool, seed: u64) -> Came {
    println!("HEIRLOOM_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let clock = folder.join("clock");
    let mut now = 1_700_000_000_000;
    set(&clock, now);
    tell_rows(engine, folder);
    let mut owner = first_owner(folder);

    let mut dice = Dice(seed);
    let mut came = Came::default();
    let (mut since_proof, mut in_life) = (0, 0);
    for round in 0..kills {
        now += 2 * DAY;
        set(&clock, now);
        let process = Process::start(folder);
        owner.client.address = process.address;
        if is_control {
            fs::write(folder.join("control"), "").unwrap();
        }
        let (answered, over) = (AtomicU32::new(0), AtomicBool::new(false));
        let pinned = Pinned {
            record: owner.record,
            identity: owner.client.identity(),
            suite: suite::NEWEST,
        };
        // Shorter and longer lives; a control is given time to fail on a slow machine.
        let rest = dice.roll(150_000) + if is_control { 400_000 } else { 0 };
        let steps = dice.roll(6);
        let dices: Vec<_> = (0..CLIENTS).map(|_| Dice(dice.roll(u64::MAX))).collect();
        let turns: Vec<_> = (0..steps).map(|_| (dice.roll(4), dice.roll(DAY))).collect();
        let registers = !is_control && round % 4 == 1;
        let client = owner.client.clone();
        std::thread::scope(|scope| {
            let (answered, over, client) = (&answered, &over, &client);
            for dice in dices {
                scope.spawn(move || attack(client, pinned, dice, answered, over));
            }
            if registers && owner.register(Some(pinned.record)).is_some() {
                came.registered += 1;
            }
            // The clock goes on by days, so that back-off lets guesses through, and sometimes back.
            for (way, by) in turns {
                now = if way == 0 { now - by } else { now + DAY };
                set(&clock, now);
                std::thread::sleep(Duration::from_micros(rest / (steps + 1)));
            }
            std::thread::sleep(Duration::from_micros(rest / (steps + 1)));
            process.kill();
            over.store(true, Ordering::SeqCst);
        });
        came.kills += 1;
        let answered = answered.load(Ordering::SeqCst);
        since_proof += answered;
        in_life += answered;
        came.most = came.most.max(since_proof);
        came.most_in_life = came.most_in_life.max(in_life);
        if is_control {
            continue;
        }
        assert!(since_proof <= 10, "{since_proof} evaluations were answered");
        assert!(in_life <= 100, "{in_life} in the record's life");
        // Now and then the owner comes back, when every wait is over.
        if dice.roll(3) == 0 || round + 1 == kills {
            now += 2 * DAY;
            set(&clock, now);
            let process = Process::start(folder);
            owner.client.address = process.address;
            match owner.login(Which::Active) {
                Ok(confirmed) => {
                    // Nothing that was answered is missing from the count.
                    assert!(
                        confirmed.failed >= since_proof,
                        "{confirmed:?} {since_proof}"
                    );
                    came.proofs += 1;
                }
                Err(code) => {
                    assert_eq!(code, Code::Destroyed);
                    // For good: the right password, a new version, time.
                    now += 30 * DAY;
                    set(&clock, now);
                    assert_eq!(owner.login(Which::Active).unwrap_err(), Code::Destroyed);
                    assert!(owner.register(Some(owner.record)).is_none());
                    came.destroyed += 1;
                    in_life = 0;
                    owner.register(None).unwrap();
                }
            }
            since_proof = 0;
            process.kill();
        }
    }
    println!("{engine:?}: {came:?}");
    came
}

fn seed() -> u64 {
    std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap())
}

fn kills() -> u32 {
    let is_long = std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1");
    if is_long { 500 } else { 10 }
}

#[test]
fn v1_v2_64_attackers_and_kills_never_get_more_than_ten_sqlite() {
    let came = run(Engine::Sqlite, kills(), false, seed());
    assert!(came.proofs + came.destroyed > 0);
}

#[test]
fn v1_v2_64_attackers_and_kills_never_get_more_than_ten_postgres() {
    if Cluster::shared().is_some() {
        let came = run(Engine::Postgres, kills(), false, seed());
        assert!(came.proofs + came.destroyed > 0);
    }
}

#[test]
fn v1_v2_64_attackers_and_kills_never_get_more_than_ten_serializable() {
    if Cluster::shared().is_some() {
        let came = run(Engine::Serializable, kills().div_ceil(3), false, seed());
        assert!(came.proofs + came.destroyed > 0);
    }
}

/// The control: the same attack finds a server that counts after it answered.
#[test]
fn the_attack_finds_a_server_that_counts_after_it_answered() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if engine == Engine::Sqlite || Cluster::shared().is_some() {
            let found =
                (0..20).any(|try_| run(engine, 1, true, seed().wrapping_add(try_)).most > 10);
            assert!(found, "{engine:?}");
        }
    }
}
