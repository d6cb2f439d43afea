//! V1 and V2 over HTTP: a server that is killed with SIGKILL at any instant never answers more than the
//! limit. What counts is what clients received.
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::client::Client;
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault::{Clock, Config, Limits, Server};
use heirloom_vault_api::*;
use secrecy::SecretBox;

const FOLDER: &str = "HEIRLOOM_KILL_FOLDER";
const TIME: &str = "HEIRLOOM_KILL_TIME";

#[derive(Debug)]
struct From(u64);

impl Clock for From {
    fn now_ms(&self) -> u64 {
        self.0
    }
}

/// Not a test: the server, as a process of its own, when the test below asks for it.
#[test]
fn server_process() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let time = std::env::var(TIME).unwrap().parse().unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.into());
    config.clock = Arc::new(From(time));
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = Server::bind(config).await.unwrap();
        println!("address {}", server.address());
        server.run(std::future::pending()).await.unwrap();
    });
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    /// Starts a server whose clock stands at `time`.
    fn start(folder: &std::path::Path, time: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "kill::server_process",
                "--nocapture",
                "--test-threads=1",
            ])
            .env(FOLDER, folder)
            .env(TIME, time.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
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

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

const DAY: u64 = 24 * 3600 * 1000;

fn enrol(client: &Client) -> RecordName {
    let mut rng = UnwrapErr(SysRng);
    let identity = client.identity();
    let text = Password::new("correct horse".to_owned().into()).unwrap();
    let owner = OwnerKey::new(SecretBox::new(Box::new([1; 32])));
    let (enrolment, start) = Enrolment::start(&text, None, &mut rng).unwrap();
    let started: RegistrationStarted = client.post("/v1/registrations", &start).unwrap().json();
    let (finish, record, _) = enrolment
        .finish(&text, &started, &identity, &owner, &owner, &mut rng)
        .unwrap();
    let finished = client.post("/v1/registrations/finish", &finish).unwrap();
    assert_eq!(finished.status, 201, "{finished:?}");
    login(client, record, Which::Pending).unwrap();
    let act = OwnerAct::Activate { version: 1 };
    let activate = Activate {
        record,
        version: 1,
        signature: owner.sign(&identity, &record, &act),
    };
    let activated = client.post("/v1/records/activate", &activate).unwrap();
    assert_eq!(activated.status, 200, "{activated:?}");
    record
}

fn login(client: &Client, record: RecordName, which: Which) -> Result<Confirmed, Code> {
    let mut rng = UnwrapErr(SysRng);
    let pinned = Pinned {
        record,
        identity: client.identity(),
        suite: suite::NEWEST,
    };
    let text = Password::new("correct horse".to_owned().into()).unwrap();
    let (login, start) = Login::start(&text, pinned, which, &mut rng).unwrap();
    let answer = client.post("/v1/guesses", &start).unwrap();
    if answer.status != 200 {
        return Err(answer.problem().code);
    }
    let opened = login.finish(&text, &answer.json(), &mut rng).unwrap();
    let proved = client.post("/v1/proofs", &opened.proof).unwrap();
    Ok(opened.confirm(&proved.json()).unwrap())
}

/// Kills, from the environment; a sample without it.
fn kills() -> u32 {
    std::env::var("HEIRLOOM_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(25)
}

#[test]
fn v1_v2_a_server_that_is_killed_at_any_instant_never_answers_more_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let mut time = 1_700_000_000_000;
    let process = Process::start(folder.path(), time);
    let mut owner = Client::new(process.address);
    let signed_in: SignedIn = owner
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap()
        .json();
    owner.token = Some(signed_in.token.clone());
    let mut record = enrol(&owner);
    process.kill();

    let seed = std::env::var("HEIRLOOM_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(1_u64);
    println!("seed {seed}");
    let mut state = seed;
    let mut dice = move || {
        // SplitMix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    let answered = Arc::new(AtomicU32::new(0));
    let (mut proofs, mut destroyed, mut most) = (0, 0, 0);
    for _ in 0..kills() {
        // Each process sees a day later, so that back-off lets one guess through and the race is about counting.
        time += 2 * DAY;
        let process = Process::start(folder.path(), time);
        let mut client = Client::new(process.address);
        client.token = Some(signed_in.token.clone());
        let over = Arc::new(AtomicU64::new(0));
        let attackers: Vec<_> = (0..8)
            .map(|_| {
                let (client, answered, over) =
                    (client.clone(), Arc::clone(&answered), Arc::clone(&over));
                let identity = client.identity();
                std::thread::spawn(move || {
                    let mut rng = UnwrapErr(SysRng);
                    let pinned = Pinned {
                        record,
                        identity,
                        suite: suite::NEWEST,
                    };
                    let text = Password::new("wrong".to_owned().into()).unwrap();
                    while over.load(Ordering::SeqCst) == 0 {
                        let (_, start) =
                            Login::start(&text, pinned, Which::Active, &mut rng).unwrap();
                        match client.post("/v1/guesses", &start) {
                            Ok(answer) if answer.status == 200 => {
                                answered.fetch_add(1, Ordering::SeqCst);
                            }
                            Ok(_) => (),
                            Err(_) => return,
                        }
                    }
                })
            })
            .collect();
        std::thread::sleep(Duration::from_micros(dice() % 40_000));
        process.kill();
        over.store(1, Ordering::SeqCst);
        for attacker in attackers {
            attacker.join().unwrap();
        }
        let so_far = answered.load(Ordering::SeqCst);
        most = most.max(so_far);
        assert!(so_far <= 10, "{so_far} evaluations were answered");
        // Now and then the owner comes back.
        if dice() % 6 == 0 {
            time += 2 * DAY;
            let process = Process::start(folder.path(), time);
            client.address = process.address;
            match login(&client, record, Which::Active) {
                Ok(confirmed) => {
                    // Nothing that was answered is missing from the count.
                    assert!(
                        confirmed.failed >= so_far,
                        "{} < {so_far}",
                        confirmed.failed
                    );
                    proofs += 1;
                }
                Err(code) => {
                    assert_eq!(code, Code::Destroyed);
                    destroyed += 1;
                    record = enrol(&client);
                }
            }
            answered.store(0, Ordering::SeqCst);
            process.kill();
        }
    }
    println!(
        "{} kills: {proofs} proofs, {destroyed} records destroyed, at most {most} answered",
        kills()
    );
}
