//! A new computer that another one lets into the account and into the backup, with the real program and a real server.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/running.rs"]
mod running;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/serving.rs"]
mod serving;
#[path = "support/session.rs"]
mod session;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/tree.rs"]
mod tree;

use running::Running;
use serde_json::Value;
use serving::{ANY_PORT, Serving};
use session::{Ended, Session, sample};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const NEW_HOME: &str = "new-home";

/// A server with an account, and a backup in it.
fn scene() -> (Session, Serving) {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    let account = ["--account-file", "account.json"];
    done(session.run(&with(&["login", &serving.url], &account)));
    let sample = sample().display().to_string();
    let backup = ["backup", &sample, "--to", &serving.url];
    done(session.run(&with(&backup, &["--new-recovery-key-file", "key.txt"])));
    (session, serving)
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

fn events(ended: &Ended, kind: &str) -> Vec<Value> {
    let lines = ended.stdout.lines();
    let all = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).collect()
}

fn texts(events: &[Value], member: &str) -> Vec<String> {
    let text = |event: &Value| event[member].as_str().unwrap_or("-").to_owned();
    events.iter().map(text).collect()
}

/// The new computer that asks, and the old one that is about to let it in; both have shown the same words.
struct Both {
    new: Running,
    old: Running,
    words: String,
}

const LOGIN: [&str; 6] = [
    "--approve",
    "--device-name",
    "Phone",
    "--json",
    "--account-file",
    "new.json",
];

fn ask(session: &Session, url: &str) -> (Running, String) {
    let mut new = Running::start(session, NEW_HOME, &with(&["login", url], &LOGIN));
    let code = new.event("approval")["code"].as_str().unwrap().to_owned();
    (new, code)
}

fn begin(session: &Session, url: &str) -> Both {
    let (mut new, code) = ask(session, url);
    let approve = ["approve", url, "--code", &code, "--json", "--open-backup"];
    let mut old = Running::start(session, "home", &with(&approve, &KEY));
    let words = new.event("words")["words"].as_str().unwrap().to_owned();
    assert_eq!(old.event("words")["words"], words.as_str());
    Both { new, old, words }
}

impl Both {
    /// A person at each says yes, and both end.
    fn go_on(mut self) -> (Option<i32>, Option<i32>) {
        self.old.say(&self.words);
        self.old.event("waiting");
        self.new.say(&self.words);
        (self.new.code(), self.old.code())
    }
}

fn on_new(session: &mut Session, args: &[&str]) -> Ended {
    session.move_to(NEW_HOME);
    let ended = session.run(args);
    session.move_to("home");
    ended
}

/// Names of the ways in, and of the devices that are not revoked, as the laptop sees them.
fn seen(session: &Session, url: &str) -> (Vec<String>, Vec<String>) {
    let status = done(session.run(&with(&["protect", "status", url, "--json"], &KEY)));
    let mut devices = events(&status, "device");
    devices.retain(|device| device["revoked_at"].is_null());
    (
        texts(&events(&status, "way"), "name"),
        texts(&devices, "name"),
    )
}

#[test]
fn a_computer_that_was_let_in_restores_without_a_key_until_it_is_removed() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    assert_eq!(begin(&session, url).go_on(), (Some(0), Some(0)));

    // The new computer has no key, no password and no passkey.
    done(on_new(&mut session, &["restore", url, "--to", "out"]));
    done(session.run(&with(&["restore", url, "--to", "by-key"], &KEY)));
    let restored = tree::files(&session.path("out"));
    assert_eq!(restored, tree::files(&session.path("by-key")));
    assert!(!restored.is_empty());
    let sample = sample().display().to_string();
    done(on_new(&mut session, &["backup", &sample, "--to", url]));

    let status = done(session.run(&with(&["protect", "status", url, "--json"], &KEY)));
    let ways = events(&status, "way");
    assert_eq!(texts(&ways, "name"), ["Recovery key", "Phone"]);
    assert_eq!(texts(&ways, "method"), ["recovery_key", "device"]);
    assert!(
        ways[1]["last_proven_at"].is_string(),
        "it was tried at once"
    );
    let log = done(session.run(&with(&["protect", "log", url, "--json"], &KEY)));
    let log = events(&log, "event");
    let last = log.len() - 3;
    assert_eq!(
        texts(&log[last..], "what"),
        ["device_added", "way_added", "way_proven"]
    );
    assert_eq!(texts(&log[last..], "device"), ["Laptop", "Laptop", "Phone"]);

    let remove = ["protect", "remove", url, "Phone", "--yes"];
    let removed = done(session.run(&with(&remove, &KEY)));
    assert!(
        removed.stdout.starts_with(
            "Removed the device \"Phone\"; it opens nothing that is backed up from now on"
        ),
        "{removed:?}"
    );
    let left = (vec!["Recovery key".to_owned()], vec!["Laptop".to_owned()]);
    assert_eq!(seen(&session, url), left);
    let ended = on_new(&mut session, &["restore", url, "--to", "again"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended.stderr.starts_with(
            "error: this computer was let into the backup, and its way in was removed\nhint: this backup can be opened with the recovery key"
        ),
        "{ended:?}"
    );
    assert!(!session.path("again").exists());
    let ended = on_new(&mut session, &["backup", &sample, "--to", url]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: this computer was removed from the backup\n"),
        "{ended:?}"
    );
    // It may be let in again, as another device.
    assert_eq!(begin(&session, url).go_on(), (Some(0), Some(0)));
    done(on_new(&mut session, &["restore", url, "--to", "again"]));
}

#[test]
fn killed_at_any_moment_nothing_is_half_done_and_the_same_command_ends_it() {
    let (mut session, serving) = scene();
    let url = serving.url.as_str();
    let before = seen(&session, url);
    // The laptop ends when it has said yes and before it hears what the new computer needs.
    let mut both = begin(&session, url);
    both.old.say(&both.words);
    both.old.event("waiting");
    both.old.kill();
    both.new.say(&both.words);
    both.new.event("waiting");
    both.new.kill();
    assert_eq!(seen(&session, url), before);
    let ended = on_new(&mut session, &["restore", url, "--to", "out"]);
    assert_eq!(ended.code, 4, "{ended:?}");

    // Now the new computer ends as soon as it has asked; meanwhile somebody renamed a way in.
    let mut both = begin(&session, url);
    let rename = ["protect", "rename", url, "Recovery key", "In the safe"];
    done(session.run(&with(&rename, &KEY)));
    both.old.say(&both.words);
    both.old.event("waiting");
    both.new.say(&both.words);
    both.new.event("waiting");
    both.new.kill();
    assert_eq!(both.old.code(), Some(0));
    let expected = |list: [&str; 2]| list.map(str::to_owned).to_vec();
    let after = (
        expected(["In the safe", "Phone"]),
        expected(["Laptop", "Phone"]),
    );
    assert_eq!(seen(&session, url), after);
    // Nobody is asked: no other computer runs.
    let again = on_new(&mut session, &with(&["login", url], &LOGIN));
    assert_eq!(done(again).summary()["backup"], url);
    done(on_new(&mut session, &["restore", url, "--to", "out"]));
    let list = done(session.run(&["devices", url, "--json"]));
    assert_eq!(
        texts(&events(&list, "sign_in"), "name"),
        ["Laptop", "Phone"],
        "it signed in once"
    );
    assert_eq!(seen(&session, url), after, "and is one device");
}

#[test]
fn where_the_words_differ_on_either_computer_nobody_is_let_in() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    let before = seen(&session, url);
    // As when somebody in between said yes to the laptop.
    let mut both = begin(&session, url);
    both.old.say(&both.words);
    both.old.event("waiting");
    both.new.say("able about above absent absorb abstract");
    assert_eq!((both.new.code(), both.old.code()), (Some(4), Some(4)));
    let mut both = begin(&session, url);
    for _ in 0..2 {
        both.old.say("able about above absent absorb abstract");
        both.new.event("words");
        both.old.event("words");
    }
    both.old.say("able about above absent absorb abstract");
    assert_eq!((both.new.code(), both.old.code()), (Some(4), Some(4)));
    assert_eq!(seen(&session, url), before);
    assert!(!session.path("new.json").exists());
    let list = done(session.run(&["devices", url, "--json"]));
    assert_eq!(texts(&events(&list, "sign_in"), "name"), ["Laptop"]);
}

#[test]
fn what_would_be_refused_is_before_any_words() {
    let (session, serving) = scene();
    let url = serving.url.as_str();
    let (mut new, code) = ask(&session, url);
    let other = Session::new();
    other.first_backup();
    std::fs::copy(other.path("key.txt"), session.path("other.txt")).unwrap();
    let approve = ["approve", url, "--code", &code, "--open-backup"];
    let ended = session.run(&with(&approve, &["--recovery-key-file", "other.txt"]));
    assert_eq!(ended.code, 12, "{ended:?}");
    let ended = session.run(&approve);
    assert_eq!(ended.code, 4, "nobody can be asked for a key: {ended:?}");
    let elsewhere = format!("{url}/elsewhere");
    let ended = session.run(&["approve", &elsewhere, "--code", &code, "--open-backup"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    // The code was not spent by any of these, and alone it is a sign-in.
    let account = session.path("account.json");
    let approve = [
        "approve",
        url,
        "--code",
        &code,
        "--json",
        "--account-file",
        account.to_str().unwrap(),
    ];
    let mut old = Running::start(&session, "home", &approve);
    let words = new.event("words")["words"].as_str().unwrap().to_owned();
    old.event("words");
    old.say(&words);
    new.say(&words);
    assert_eq!((new.code(), old.code()), (Some(0), Some(0)));
    let mut session = session;
    let ended = on_new(&mut session, &["restore", url, "--to", "out"]);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended.stderr.starts_with(
            "error: this needs the recovery key, and nobody can be asked for it here\n"
        ),
        "{ended:?}"
    );
}
