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
    /// It hangs up at every request of which this is a part.
    cut: Option<(&'static str, Moment)>,
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
    let (to, moment, cut) = {
        let mut plan = plan.lock().unwrap();
        let number = plan.seen.len();
        plan.seen.push(head.lines().next().unwrap().to_owned());
        let is_here = plan.stop_at.filter(|(at, _)| *at <= number);
        let cut = plan.cut.filter(|(part, _)| head.contains(part));
        let cut = cut.map(|(_, moment)| moment);
        (plan.to.clone(), is_here.map(|(_, moment)| moment), cut)
    };
    if cut == Some(Moment::Before) {
        return Ok(());
    }
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
    if cut.is_some() {
        return Ok(());
    }
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

/// Signed in through a line that can be cut, with a backup in a folder and its password `old.txt`.
fn scene() -> (Session, Line, Serving) {
    let session = Session::new();
    secret_file(&session, "old.txt", "teapot glacier violin\n");
    secret_file(&session, "new.txt", "lantern pickle orchard\n");
    secret_file(&session, "third.txt", "walnut harbour trombone\n");
    let line = Line::start();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    line.plan.lock().unwrap().to = serving.address();
    done(&session, &with(&["login", &line.url], &[&ACCOUNT]));
    let sample = sample().display().to_string();
    let backup = ["backup", &sample, "--to", "store"];
    done(
        &session,
        &with(&backup, &[&["--new-recovery-key-file", "key.txt"]]),
    );
    add_password(&session, &line, "store", "old.txt");
    (session, line, serving)
}

fn add_password(session: &Session, line: &Line, store: &str, file: &str) {
    let add = ["protect", "add", "password", store, "--server", &line.url];
    done(
        session,
        &with(&add, &[&["--password-file", file], &KEY, &ACCOUNT]),
    );
}

impl Line {
    fn cut(&self, at: Option<(&'static str, Moment)>) {
        self.plan.lock().unwrap().cut = at;
    }
}

/// What `protect status` says of the whole and of each password.
fn status(session: &Session) -> (serde_json::Value, Vec<serde_json::Value>) {
    let ended = session.run(&with(
        &["protect", "status", "store", "--json"],
        &[&KEY, &ACCOUNT],
    ));
    assert_eq!(ended.code, 0, "{ended:?}");
    let ways = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["method"] == "password")
        .collect();
    (ended.summary(), ways)
}

fn change_to(file: &str) -> Vec<&str> {
    let change = ["protect", "change", "password", "store"];
    with(&change, &[&["--new-password-file", file], &KEY, &ACCOUNT])
}

#[test]
fn a_change_that_was_cut_off_is_ended_by_any_password_and_spends_no_guess_of_the_one_in_force() {
    let (session, line, serving) = scene();
    // Not begun, and done without a word of it: the old one, then the new one is in force.
    for (moment, in_force) in [(Moment::Before, "old.txt"), (Moment::After, "new.txt")] {
        line.cut(Some(("records/activate", moment)));
        let cut = session.run(&change_to("new.txt"));
        assert_eq!(cut.code, 1, "{moment:?}: {cut:?}");
        let (summary, ways) = status(&session);
        let known: Vec<_> = ways.iter().map(|way| &way["in_force"]).collect();
        assert_eq!(known, [in_force == "old.txt", in_force == "new.txt"]);
        assert_eq!(summary["proven"], 2, "{summary}");
        // The right one opens also where nobody says that it was the right one.
        line.cut(Some(("/v1/proofs", Moment::After)));
        assert!(opens(&session, in_force), "{moment:?}");
        line.cut(None);
        assert!(opens(&session, in_force), "{moment:?}");
        // It is another one than the change began with.
        done(&session, &change_to("third.txt"));
        let (_, ways) = status(&session);
        assert_eq!(ways.len(), 1, "{ways:?}");
        assert_eq!(ways[0]["guesses_left"], 10);
        assert!(opens(&session, "third.txt"));
        for gone in ["old.txt", "new.txt"] {
            assert!(!opens(&session, gone), "{gone}");
        }
        assert!(opens(&session, "third.txt"));
        done(&session, &change_to("old.txt"));
    }
    let same = with(&change_to("old.txt"), &[&["--password-file", "old.txt"]]);
    let same = session.run(&same);
    assert_eq!(same.code, 2, "{same:?}");
    assert!(same.stderr.contains("the new password is the old one"));
    serving.stop();
}

#[test]
fn a_password_that_was_never_put_in_force_does_not_count() {
    let (session, line, serving) = scene();
    let remove = ["protect", "remove", "store", "Password", "--yes"];
    done(&session, &with(&remove, &[&KEY, &ACCOUNT]));
    line.cut(Some(("records/activate", Moment::Before)));
    let add = ["protect", "add", "password", "store", "--server", &line.url];
    let file = ["--password-file", "old.txt"];
    let cut = session.run(&with(&add, &[&file, &KEY, &ACCOUNT]));
    assert_eq!(cut.code, 1, "{cut:?}");
    line.cut(None);
    let (summary, ways) = status(&session);
    assert_eq!(ways[0]["in_force"], false, "{ways:?}");
    assert_eq!(summary["status"], "almost_protected", "{summary}");
    // Another one takes its place all the same.
    done(&session, &change_to("new.txt"));
    let (summary, _) = status(&session);
    assert_eq!(summary["status"], "protected", "{summary}");
    assert!(opens(&session, "new.txt"));
    serving.stop();
}

#[test]
fn a_password_stays_until_its_server_has_forgotten_it() {
    let (session, line, serving) = scene();
    tree::copy(&session.path("store"), &session.path("copy"));
    let remove = ["protect", "remove", "store", "Password", "--yes"];
    let remove = with(&remove, &[&KEY, &ACCOUNT]);
    line.cut(Some(("records/forget", Moment::Before)));
    let refused = session.run(&remove);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.stderr.contains("nothing was removed"),
        "{refused:?}"
    );
    assert!(opens(&session, "old.txt"));
    // Forgotten, and nobody heard of it: it is removed all the same.
    line.cut(Some(("records/forget", Moment::After)));
    assert_eq!(session.run(&remove).code, 1);
    line.cut(None);
    done(&session, &remove);
    let mut session = session;
    session.move_to("new");
    let old = ["snapshots", "copy", "--password-file", "old.txt"];
    assert_ne!(session.run(&with(&old, &[&ACCOUNT])).code, 0);
    session.move_to("home");
    // One whose server is gone for good goes when that is said.
    add_password(&session, &line, "store", "old.txt");
    line.cut(Some(("records/forget", Moment::Before)));
    let anyway = session.run(&with(&remove, &[&["--without-server"]]));
    assert_eq!(anyway.code, 0, "{anyway:?}");
    assert!(anyway.stderr.contains("still opens with it"), "{anyway:?}");
    serving.stop();
}

#[test]
fn two_passwords_of_two_computers_both_open_and_change_after_their_keyrings_were_joined() {
    let (mut session, line, serving) = scene();
    let remove = ["protect", "remove", "store", "Password", "--yes"];
    done(&session, &with(&remove, &[&KEY, &ACCOUNT]));
    session.move_to("second");
    let sample = sample().display().to_string();
    done(
        &session,
        &with(&["backup", &sample, "--to", "store", "--join"], &[&KEY]),
    );
    tree::copy(&session.path("store"), &session.path("elsewhere"));
    add_password(&session, &line, "elsewhere", "new.txt");
    session.move_to("home");
    add_password(&session, &line, "store", "old.txt");
    // One has two versions by now, the other one.
    done(&session, &change_to("third.txt"));
    let folders = [session.path("store"), session.path("elsewhere")];
    let keyrings = |store: &str| {
        let folder = folders
            .iter()
            .find(|folder| folder.ends_with(store))
            .unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.join("keyring"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let more = keyrings("store").len() - keyrings("elsewhere").len();
    session.move_to("second");
    for _ in 0..more {
        done(
            &session,
            &with(&["protect", "rotate", "elsewhere"], &[&KEY, &ACCOUNT]),
        );
    }
    for name in keyrings("elsewhere") {
        let from = session.path("elsewhere").join("keyring").join(&name);
        let _ = fs::copy(from, session.path("store").join("keyring").join(&name));
    }
    done(
        &session,
        &with(&["protect", "rotate", "store"], &[&KEY, &ACCOUNT]),
    );
    let (_, ways) = status(&session);
    assert_eq!(ways.len(), 2, "{ways:?}");
    let numbers: Vec<_> = ways.iter().map(|way| way["number"].to_string()).collect();
    let asked = session.run(&with(
        &["snapshots", "store", "--password-file", "third.txt"],
        &[&ACCOUNT],
    ));
    assert_eq!(asked.code, 4, "{asked:?}");
    assert!(asked.stderr.contains("--password-number N"), "{asked:?}");
    let open = |file: &str, number: &str| {
        let args = ["snapshots", "store", "--password-file", file];
        session
            .run(&with(&args, &[&["--password-number", number], &ACCOUNT]))
            .code
    };
    let of_third = numbers
        .iter()
        .position(|number| open("third.txt", number) == 0)
        .unwrap();
    let of_new = &numbers[1 - of_third];
    assert_eq!(open("new.txt", of_new), 0);
    let change = with(&change_to("old.txt"), &[&["--password-number", of_new]]);
    done(&session, &change);
    let (_, ways) = status(&session);
    let opened = ways
        .iter()
        .filter(|way| open("old.txt", &way["number"].to_string()) == 0)
        .count();
    assert_eq!((ways.len(), opened), (2, 1));
    serving.stop();
}

#[test]
fn the_end_of_one_sign_in_leaves_the_other_one_of_this_computer() {
    let (session, _line, serving) = scene();
    let url = serving.url.clone();
    for name in ["a.json", "b.json"] {
        let invited = session.run(&["admin", "--data", "server", "invite"]);
        let mut login = vec!["login", &url, "--account-file", name];
        login.extend(["--invite", invited.stdout.trim()]);
        let ended = session.run(&login);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let file = fs::read_to_string(session.path("b.json")).unwrap();
    let remembered = || -> Vec<_> {
        fs::read_dir(session.path("home/accounts"))
            .unwrap()
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect()
    };
    // Whichever of the two this computer remembers, the other one is ended.
    let other = if remembered().contains(&file) {
        "a.json"
    } else {
        "b.json"
    };
    let before = remembered();
    done(&session, &["logout", &url, "--account-file", other]);
    assert!(!session.path(other).exists());
    assert_eq!(remembered(), before);
    serving.stop();
}

#[test]
fn the_data_of_a_configuration_lies_beside_it() {
    let session = Session::new();
    fs::create_dir(session.path("conf")).unwrap();
    fs::write(session.path("conf/serve.toml"), "data = \"kept\"\n").unwrap();
    let mut child = session
        .command()
        .args([
            "serve",
            "--json",
            "--listen",
            ANY_PORT,
            "--config",
            "conf/serve.toml",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["type"], "listening");
    assert!(session.path("conf/kept").is_dir(), "{line}");
    assert!(!session.path("kept").exists());
}

#[test]
fn arguments_that_are_missing_are_named_in_json_too() {
    let session = Session::new();
    let ended = session.run(&["restore", "--json"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    let event: serde_json::Value = serde_json::from_str(ended.stderr.trim()).unwrap();
    let message = event["message"].as_str().unwrap();
    assert!(
        message.contains("<STORE>") && message.contains("--to <DIR>"),
        "{message}"
    );
}

#[test]
fn a_change_that_is_killed_at_any_request_leaves_one_of_the_two_that_opens() {
    let (session, line, serving) = scene();
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
