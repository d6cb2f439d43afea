//! Changing a password, killed at every request to the server: one of the two always opens.
#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(unreachable_pub, reason = "shared with other files of tests")]
#[path = "support/serving.rs"]
mod serving;
#[expect(dead_code, reason = "this file needs a part of what others share")]
#[path = "support/session.rs"]
mod session;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/tree.rs"]
mod tree;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use serving::{ANY_PORT, Serving, secret_file};
use session::{Session, sample};

const ACCOUNT: [&str; 2] = ["--account-file", "account.json"];
const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

/// What the line does to one request of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// It never arrives.
    Before,
    /// It arrives, is done, and its answer never comes back.
    After,
}

#[derive(Default)]
struct Plan {
    to: String,
    seen: Vec<String>,
    stop_at: Option<(usize, Moment)>,
}

/// A line to the server, whose requests are counted; at one of them it says so and answers no more.
struct Line {
    url: String,
    plan: Arc<Mutex<Plan>>,
    stopped: mpsc::Receiver<()>,
}

impl Line {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let plan = Arc::new(Mutex::new(Plan::default()));
        let (stop, stopped) = mpsc::channel();
        let shared = plan.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (plan, stop) = (shared.clone(), stop.clone());
                std::thread::spawn(move || {
                    let _ = serve(&client, &plan, &stop);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { url, plan, stopped }
    }
}

fn serve(client: &TcpStream, plan: &Mutex<Plan>, stop: &mpsc::Sender<()>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let (to, moment) = {
        let mut plan = plan.lock().unwrap();
        let number = plan.seen.len();
        plan.seen.push(head.lines().next().unwrap().to_owned());
        let is_here = plan.stop_at.filter(|(at, _)| *at <= number);
        (plan.to.clone(), is_here.map(|(_, moment)| moment))
    };
    if moment == Some(Moment::Before) {
        let _ = stop.send(());
        std::thread::sleep(Duration::from_secs(20));
        return Ok(());
    }
    let mut server = TcpStream::connect(to)?;
    server.write_all(
        head.replacen("\r\n", "\r\nConnection: close\r\n", 1)
            .as_bytes(),
    )?;
    server.write_all(&body)?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    if moment.is_some() {
        let _ = stop.send(());
        std::thread::sleep(Duration::from_secs(20));
        return Ok(());
    }
    (&*client).write_all(&answer)?;
    // The answer says that the connection ends.
    Ok(())
}

fn with<'a>(args: &[&'a str], more: &[&[&'a str]]) -> Vec<&'a str> {
    [args, &more.concat()].concat()
}

fn done(session: &Session, args: &[&str]) {
    let ended = session.run(args);
    assert_eq!(ended.code, 0, "{args:?} {ended:?}");
}

const PLACES: [&str; 3] = ["server", "store", "home"];

fn keep(session: &Session) {
    for place in PLACES {
        tree::copy(
            &session.path(place),
            &session.path(&format!("kept-{place}")),
        );
    }
}

fn put_back(session: &Session) {
    for place in PLACES {
        fs::remove_dir_all(session.path(place)).unwrap();
        tree::copy(
            &session.path(&format!("kept-{place}")),
            &session.path(place),
        );
    }
}

/// Changes the password from where it began, kills that at a request, and gives the server.
fn killed_at(
    session: &Session,
    line: &Line,
    change: &[&str],
    (number, step): (usize, &str),
    moment: Moment,
) -> Serving {
    put_back(session);
    let serving = Serving::start(session, "server", ANY_PORT, &[]);
    {
        let mut plan = line.plan.lock().unwrap();
        plan.to = serving.address();
        plan.seen.clear();
        plan.stop_at = Some((number, moment));
    }
    let mut program = session
        .command()
        .args(change)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    line.stopped
        .recv_timeout(Duration::from_mins(2))
        .unwrap_or_else(|error| panic!("{step} was never asked: {error}"));
    program.kill().unwrap();
    program.wait().unwrap();
    line.plan.lock().unwrap().stop_at = None;
    serving
}

fn opens(session: &Session, file: &str) -> bool {
    let args = ["snapshots", "store", "--password-file", file];
    session.run(&with(&args, &[&ACCOUNT])).code == 0
}

/// Two ways in have one record at the server then, which goes with the last of them.
fn new_outlives_old(session: &Session) {
    let remove = ["protect", "remove", "store", "Password", "--yes"];
    let unlock = ["--password-file", "new.txt"];
    done(session, &with(&remove, &[&unlock, &ACCOUNT]));
    assert!(
        opens(session, "new.txt"),
        "the new one went with the old one"
    );
}

#[test]
fn a_change_that_is_killed_at_any_request_leaves_one_of_the_two_that_opens() {
    let session = Session::new();
    secret_file(&session, "old.txt", "teapot glacier violin\n");
    secret_file(&session, "new.txt", "lantern pickle orchard\n");
    let line = Line::start();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    line.plan.lock().unwrap().to = serving.address();
    let url = line.url.as_str();
    done(&session, &with(&["login", url], &[&ACCOUNT]));
    let sample = sample().display().to_string();
    done(
        &session,
        &[
            "backup",
            &sample,
            "--to",
            "store",
            "--new-recovery-key-file",
            "key.txt",
        ],
    );
    let add = [
        "protect",
        "add",
        "password",
        "store",
        "--server",
        url,
        "--password-file",
        "old.txt",
    ];
    done(&session, &with(&add, &[&KEY, &ACCOUNT]));
    serving.stop();
    keep(&session);

    let change = with(
        &[
            "protect",
            "change",
            "password",
            "store",
            "--new-password-file",
            "new.txt",
        ],
        &[&KEY, &ACCOUNT],
    );
    // Once without a kill, to know its requests.
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    {
        let mut plan = line.plan.lock().unwrap();
        plan.to = serving.address();
        plan.seen.clear();
    }
    done(&session, &change);
    let steps = std::mem::take(&mut line.plan.lock().unwrap().seen);
    serving.stop();
    let posts: Vec<_> = steps
        .iter()
        .filter(|step| step.starts_with("POST"))
        .collect();
    for step in [
        "registrations ",
        "registrations/finish",
        "guesses",
        "proofs",
        "activate",
        "owner",
    ] {
        assert!(
            posts.iter().any(|post| post.contains(step)),
            "{step}: {steps:?}"
        );
    }

    let (mut old, mut new) = (0, 0);
    for (number, step) in steps.iter().enumerate() {
        // Killed before a request is killed after the answer to the one before: only where something is written is it
        // tried by itself.
        let moments: &[Moment] = if step.contains("activate") || step.contains("owner") {
            &[Moment::Before, Moment::After]
        } else {
            &[Moment::After]
        };
        for moment in moments {
            let serving = killed_at(&session, &line, &change, (number, step), *moment);
            if opens(&session, "old.txt") {
                old += 1;
            } else {
                assert!(
                    opens(&session, "new.txt"),
                    "neither opens after {moment:?} {step}"
                );
                new += 1;
            }
            if step.contains("activate") && *moment == Moment::After {
                new_outlives_old(&session);
            }
            serving.stop();
        }
    }
    println!(
        "{} requests; {old} times the old one opened, {new} times the new one",
        steps.len()
    );
    // From the activation on it is the new one: both were seen, or nothing was killed in time.
    assert!(old > 0 && new > 0, "{old} {new}");
}
