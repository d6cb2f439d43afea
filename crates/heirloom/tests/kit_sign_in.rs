//! A recovery kit that holds a sign-in: enough, with its key, for a new computer; and without the key for nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/serving.rs"]
mod serving;
#[expect(dead_code, reason = "this file needs a part of what others share")]
#[path = "support/session.rs"]
mod session;

use serde_json::Value;
use serving::{ANY_PORT, Serving, secret_file};
use session::{Ended, Session, sample};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const KIT: [&str; 4] = ["--kit-file", "kit.txt", "--account-file", "new.json"];

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [args, more].concat()
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

/// A server with an account and a backup, and the sign-in of a kit.
fn scene() -> (Session, Serving, String) {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    let url = serving.url.clone();
    done(session.run(&["login", &url, "--account-file", "account.json"]));
    let sample = sample().display().to_string();
    let backup = ["backup", &sample, "--to", &url];
    done(session.run(&with(&backup, &["--new-recovery-key-file", "key.txt"])));
    let kit = done(session.run(&with(&["kit", &url, "--with-sign-in"], &KEY)));
    let code: String = kit
        .stdout
        .lines()
        .skip_while(|line| *line != "SIGN-IN")
        .filter(|line| line.split_whitespace().count() == 4 && line.trim().len() == 22)
        .collect();
    (session, serving, code)
}

/// Names and ids of who is signed in.
fn signed_in(session: &Session, url: &str) -> Vec<(String, String)> {
    let account = session.path("account.json");
    let args = [
        "devices",
        url,
        "--json",
        "--account-file",
        account.to_str().unwrap(),
    ];
    let list = done(session.run(&args));
    let events = list
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |event: &Value, member: &str| event[member].as_str().unwrap().to_owned();
    events
        .filter(|event| event["type"] == "sign_in")
        .map(|event| (text(&event, "name"), text(&event, "id")))
        .collect()
}

#[test]
fn a_new_computer_with_nothing_but_the_kit_gets_everything_back_and_without_its_key_nothing() {
    let (mut session, serving, code) = scene();
    let url = serving.url.as_str();
    secret_file(
        &session,
        "kit.txt",
        &format!("# typed from the kit\n{code}\n"),
    );
    session.move_to("new-home");
    done(session.run(&with(&["login", url], &KIT)));
    for args in [
        vec!["restore", url, "--to", "out"],
        vec!["snapshots", url],
        vec!["protect", "status", url],
    ] {
        let ended = session.run(&args);
        assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{ended:?}");
        assert!(
            ended.stderr.starts_with(
                "error: this needs the recovery key, and nobody can be asked for it here\n"
            ),
            "{ended:?}"
        );
    }
    assert!(!session.path("out").exists());
    done(session.run(&with(&["restore", url, "--to", "out"], &KEY)));

    // The kit's own sign-in is listed apart from the computer that used it, and ended apart.
    session.move_to("home");
    let list = signed_in(&session, url);
    let names: Vec<_> = list.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Laptop", "Recovery kit", "Laptop"]);
    done(session.run(&["devices", url, "--remove", &list[1].1]));
    session.move_to("third-home");
    let again = with(
        &["login", url, "--kit-file", "kit.txt"],
        &["--account-file", "third.json"],
    );
    let ended = session.run(&again);
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: the kit's sign-in was ended by another device\n"),
        "{ended:?}"
    );
    assert!(!session.path("third.json").exists());
}

#[test]
fn a_wrong_letter_or_another_server_is_told_before_anything_is_sent() {
    let (session, serving, code) = scene();
    let url = serving.url.as_str();
    let other = if code.trim().starts_with('Z') {
        "Y"
    } else {
        "Z"
    };
    let wrong = code.trim().replacen(&code.trim()[..1], other, 1);
    let cut = &code.trim()[..20];
    let elsewhere = "http://localhost:1";
    for (text, server, said) in [
        (
            wrong.as_str(),
            url,
            format!("error: a letter is wrong, or this is no sign-in to {url}\n"),
        ),
        (
            code.as_str(),
            elsewhere,
            format!("error: a letter is wrong, or this is no sign-in to {elsewhere}\n"),
        ),
        (
            cut,
            url,
            "error: a sign-in has 80 letters and digits, and this has ".to_owned(),
        ),
        (
            "?",
            url,
            "error: this holds a character that no sign-in has\n".to_owned(),
        ),
    ] {
        secret_file(&session, "kit.txt", text);
        let ended = session.run(&with(&["login", server], &KIT));
        assert_eq!(ended.code, 12, "{ended:?}");
        assert!(ended.stderr.starts_with(&said), "{ended:?}");
    }
    assert!(!session.path("new.json").exists());
    assert_eq!(signed_in(&session, url).len(), 2, "the laptop and its kit");
}

#[test]
fn a_kit_holds_a_sign_in_only_where_it_is_wanted_and_there_is_a_server() {
    let (session, serving, _) = scene();
    let url = serving.url.as_str();
    let plain = done(session.run(&with(&["kit", url], &KEY)));
    assert!(!plain.stdout.contains("SIGN-IN"), "{plain:?}");
    let pdf = ["kit", url, "--with-sign-in", "--to", "kit.pdf", "--json"];
    done(session.run(&with(&pdf, &KEY)));
    assert!(
        std::fs::read(session.path("kit.pdf"))
            .unwrap()
            .starts_with(b"%PDF-")
    );
    let folder = Session::new();
    folder.first_backup();
    let ended = folder.run(&with(&["kit", "store", "--with-sign-in"], &KEY));
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: this backup lies on no server, and needs no sign-in\n"),
        "{ended:?}"
    );
}
