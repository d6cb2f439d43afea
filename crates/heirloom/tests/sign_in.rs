//! Devices of an account, and letting a new computer in from one that is signed in, with the real program.

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
#[path = "support/running.rs"]
mod running;
#[expect(dead_code, reason = "this file needs a part of what others share")]
#[path = "support/session.rs"]
mod session;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use running::Running;
use serde_json::Value;
use session::{Ended, Session};

const ACCOUNT: [&str; 2] = ["--account-file", "account.json"];

fn scene() -> (Session, Running, String) {
    let session = Session::new();
    let args = [
        "serve",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--data",
        "server",
    ];
    let mut serving = Running::start(&session, "home-of-the-server", &args);
    let url = serving.event("listening")["url"]
        .as_str()
        .unwrap()
        .to_owned();
    let login = session.run(&[
        "login",
        &url,
        "--device-name",
        "Laptop",
        ACCOUNT[0],
        ACCOUNT[1],
    ]);
    assert_eq!(login.code, 0, "{login:?}");
    (session, serving, url)
}

fn events(ended: &Ended, kind: &str) -> Vec<Value> {
    let lines = ended.stdout.lines();
    let all = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).collect()
}

/// A new computer asks, this one approves; each is told the words that `told` makes of the other's.
fn approval(
    session: &Session,
    url: &str,
    tries: usize,
    told: impl Fn(&str) -> String,
) -> (Option<i32>, Option<i32>) {
    let file = ["--account-file", "new.json"];
    let args = [
        "login",
        url,
        "--approve",
        "--device-name",
        "Phone",
        "--json",
        file[0],
        file[1],
    ];
    let mut new = Running::start(session, "new-home", &args);
    let code = new.event("approval")["code"].as_str().unwrap().to_owned();
    let home = "home";
    let account = session.path("account.json");
    let account = account.to_str().unwrap();
    let args = [
        "approve", url, "--code", &code, "--json", ACCOUNT[0], account,
    ];
    let mut old = Running::start(session, home, &args);
    for _ in 0..tries {
        let words =
            |running: &mut Running| running.event("words")["words"].as_str().unwrap().to_owned();
        let (of_new, of_old) = (words(&mut new), words(&mut old));
        assert_eq!(of_new, of_old);
        assert_eq!(of_new.split(' ').count(), 6);
        old.say(&told(&of_new));
        new.say(&of_old);
    }
    (new.code(), old.code())
}

#[test]
fn a_new_computer_is_let_in_by_words_seen_in_the_list_and_signed_out_from_afar() {
    let (session, _serving, url) = scene();
    let codes = approval(&session, &url, 1, str::to_owned);
    assert_eq!(codes, (Some(0), Some(0)));
    let list = session.run(&["devices", &url, "--json"]);
    let sign_ins = events(&list, "sign_in");
    let names: Vec<_> = sign_ins
        .iter()
        .map(|event| event["name"].as_str())
        .collect();
    assert_eq!(names, [Some("Laptop"), Some("Phone")]);
    let id = sign_ins[1]["id"].as_str().unwrap();
    let own = sign_ins[0]["id"].as_str().unwrap();
    let ended = session.run(&["devices", &url, "--remove", own]);
    assert_eq!(ended.code, 2);
    assert!(
        ended
            .stderr
            .starts_with("error: this is the device you are using\n"),
        "{ended:?}"
    );
    let ended = session.run(&["devices", &url, "--remove", id]);
    assert_eq!(
        ended.stdout,
        "Signed out. It hears of it with its next request\n"
    );
    let ended = session.run(&["devices", &url, "--account-file", "new.json"]);
    assert_eq!(ended.code, 4);
    assert!(
        ended.stderr.starts_with(&format!(
            "error: another device signed this computer out of {url}\n"
        )),
        "{ended:?}"
    );
    let ended = session.run(&["logout", &url, ACCOUNT[0], ACCOUNT[1]]);
    assert_eq!(
        (ended.code, ended.stdout),
        (0, format!("Signed out of {url}\n"))
    );
    assert!(!session.path("account.json").exists());
    let ended = session.run(&["devices", &url]);
    assert_eq!(ended.code, 4);
    assert!(
        ended
            .stderr
            .starts_with("error: this computer is not signed in to "),
        "{ended:?}"
    );
}

#[test]
fn other_words_three_times_let_nobody_in() {
    let (session, _serving, url) = scene();
    let codes = approval(&session, &url, 3, |_| {
        "able about above absent absorb abstract".into()
    });
    assert_eq!(codes, (Some(4), Some(4)));
    assert!(!session.path("new.json").exists());
    let list = session.run(&["devices", &url, "--json"]);
    assert_eq!(events(&list, "sign_in").len(), 1);
    let ended = session.run(&["approve", &url, "--code", "BCDF-GHJK"]);
    assert_eq!(ended.code, 4);
    assert!(
        ended
            .stderr
            .starts_with("error: no computer is waiting with this code\n"),
        "{ended:?}"
    );
}

/// The status of the answer to a JSON request.
fn posted(url: &str, path: &str, body: &str) -> u16 {
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_answer_that_the_relay_made_up_signs_no_computer_in_and_leaves_nothing() {
    let (session, _serving, url) = scene();
    let args = [
        "login",
        &url,
        "--passkey",
        "--via",
        "qr",
        "--device-name",
        "Box",
        "--json",
        "--account-file",
        "new.json",
    ];
    let mut new = Running::start(&session, "new-home", &args);
    let shown = new.event("scan_qr");
    assert_eq!(shown["code"].as_str().unwrap().len(), 9);
    let link = shown["link"].as_str().unwrap();
    let relayed = link.split_once("/ceremony#2.").unwrap().1;
    let relayed = relayed.split_once('.').unwrap().0;
    let answer = serde_json::json!({
        "session": relayed,
        "number": 1,
        "answer": {"suite": 25722, "encapsulated": "A".repeat(1494), "sealed": "A".repeat(5483)},
    });
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        match posted(&url, "/v1/handovers/answer", &answer.to_string()) {
            200 => break,
            // The program has asked nothing yet.
            409 if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            status => panic!("{status}"),
        }
    }
    assert_eq!(new.code(), Some(4));
    assert!(!session.path("new.json").exists());
    assert!(!session.path("new-home/accounts").exists());
    let list = session.run(&["devices", &url, "--json"]);
    assert_eq!(events(&list, "sign_in").len(), 1);
    let gone = posted(&url, "/v1/handovers/answer", &answer.to_string());
    assert_eq!(gone, 404, "the server was told that nobody waits");
    // Only a passkey is asked for elsewhere.
    let ended = session.run(&["login", &url, "--via", "qr", "--account-file", "new.json"]);
    assert_eq!(ended.code, 2, "{ended:?}");
}
