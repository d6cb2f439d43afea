//! Whole sessions with passkeys: added, proven, used on a new computer, refused, removed. The browser's part is taken by
//! passkeys in software: `cargo test -p heirloom --features software-authenticator --test passkeys`.

#![cfg(feature = "software-authenticator")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails, or says so"
)]

#[path = "support/browser.rs"]
mod browser;
#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/chance.rs"]
mod chance;
#[expect(
    clippy::panic,
    reason = "a run without any output has to be seen whole"
)]
#[path = "support/session.rs"]
mod session;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chance::Chance;
use serde_json::Value;
use session::{Ended, Session, sample};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const PASSKEY: [&str; 1] = ["--passkey"];

fn with<'a>(args: &[&'a str], way: &[&'a str]) -> Vec<&'a str> {
    [args, way].concat()
}

/// What a person reads, without the path of the opening file.
fn words(ended: &Ended) -> String {
    let lines = ended.stderr.lines();
    let shown = lines.filter(|line| !line.contains("/browser/open-"));
    let mut words = shown.collect::<Vec<_>>().join("\n");
    words.push('\n');
    words
}

fn add_passkey(session: &Session, wallet: &str) -> Ended {
    let ended = browser::run(
        session,
        &with(&["protect", "add", "passkey", "store"], &KEY),
        wallet,
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

fn status(session: &Session) -> (Value, Vec<Value>) {
    let ended = session.run(&with(&["protect", "status", "store", "--json"], &KEY));
    assert_eq!(ended.code, 0, "{ended:?}");
    let lines = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let ways = lines
        .filter(|event: &Value| event["type"] == "way")
        .collect();
    (ended.summary(), ways)
}

/// Every file below a folder with its bytes.
fn everything(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_first_backup_with_both_ways_is_protected_and_comes_back_by_either() {
    let mut session = Session::new();
    let source = sample().display().to_string();
    let args = [
        "backup",
        &source,
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
        "--new-passkey",
    ];
    let ended = browser::run(&session, &args, "wallet");
    assert_eq!(ended.code, 0, "{ended:?}");
    for said in [
        "The recovery key opens the new backup ✓\nNext, your browser asks where to save the passkey.",
        "Open this file in a browser on this computer, within 5 minutes:\n",
        "Now the passkey opens your backup: confirm once more\nPasskey saved. It was tested: it opens your backup\n",
        "warning: this passkey works in browsers on computers, not on a phone",
        "\nProtected\n",
    ] {
        assert!(words(&ended).contains(said), "{said}: {ended:?}");
    }
    let (summary, ways) = status(&session);
    assert_eq!(
        (summary["status"].as_str(), ways.len()),
        (Some("protected"), 2)
    );
    assert_eq!(ways[1]["rp_id"], "localhost");

    // A new computer that has nothing but the store, and the same synced passkeys.
    session.move_to("new");
    let by_passkey = browser::run(
        &session,
        &with(&["restore", "store", "--to", "out"], &PASSKEY),
        "wallet",
    );
    assert_eq!(by_passkey.code, 0, "{by_passkey:?}");
    assert!(
        by_passkey
            .stderr
            .starts_with("Next, your browser asks for your fingerprint, face or screen lock.\n"),
        "{by_passkey:?}"
    );
    session.move_to("newer");
    assert_eq!(
        session
            .run(&with(&["restore", "store", "--to", "key-out"], &KEY))
            .code,
        0
    );
    let restored = everything(&session.path("out"));
    assert!(restored.len() > 1);
    assert_eq!(restored, everything(&session.path("key-out")), "byte-equal");
    // The opening file is gone.
    assert!(everything(&session.path("new/browser")).is_empty());
}

#[test]
fn a_passkey_is_added_tried_and_says_what_is_left_to_do() {
    let session = Session::new();
    session.first_backup();
    let ended = add_passkey(&session, "wallet");
    assert!(
        ended
            .stdout
            .starts_with("\"Passkey\" was added, and opens the backup · Protected · keyring "),
        "{ended:?}"
    );
    let (_, ways) = status(&session);
    assert_eq!(
        (ways[1]["name"].as_str(), ways[1]["check_due"].as_bool()),
        (Some("Passkey"), Some(false))
    );
    assert!(ways[1]["last_proven_at"].is_string());
    let checked = browser::run(
        &session,
        &with(&["protect", "check", "store"], &PASSKEY),
        "wallet",
    );
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        checked
            .stdout
            .starts_with("\"Passkey\" opens the backup · Protected"),
        "{checked:?}"
    );
    assert!(
        checked.stderr.contains("Its next check is due on 20"),
        "{checked:?}"
    );
    let log = session.run(&with(&["protect", "log", "store"], &KEY));
    assert_eq!(log.stdout.matches("way proven").count(), 3, "{log:?}");
}

#[test]
fn the_passkey_lets_a_recovery_key_in_and_the_lost_one_out() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let added = browser::run(
        &session,
        &with(
            &[
                "protect",
                "add",
                "recovery-key",
                "store",
                "--new-key-file",
                "second.txt",
            ],
            &PASSKEY,
        ),
        "wallet",
    );
    assert_eq!(added.code, 0, "{added:?}");
    let removed = browser::run(
        &session,
        &with(
            &["protect", "remove", "store", "Recovery key", "--yes"],
            &PASSKEY,
        ),
        "wallet",
    );
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(session.run(&with(&["snapshots", "store"], &KEY)).code, 12);
    assert_eq!(
        session
            .run(&["snapshots", "store", "--recovery-key-file", "second.txt"])
            .code,
        0
    );
}

#[test]
fn a_passkey_of_this_computer_is_never_the_only_way_left() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let before = everything(&session.path("store"));
    let ended = browser::run(
        &session,
        &with(
            &["protect", "remove", "store", "Recovery key", "--yes"],
            &PASSKEY,
        ),
        "wallet",
    );
    assert_eq!(ended.code, 1);
    assert!(
        ended.stderr.ends_with("error: what would remain is only good as an extra way in; try another one first\nhint: a passkey of this computer's own page, or of one device, is good beside another way in, not alone; to have a recovery key: `heirloom protect add recovery-key STORE`\n"),
        "{ended:?}"
    );
    assert_eq!(everything(&session.path("store")), before);
}

#[test]
fn no_second_passkey_is_made_in_the_same_place() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let before = everything(&session.path("store"));
    let again = browser::run(
        &session,
        &with(&["protect", "add", "passkey", "store"], &KEY),
        "wallet",
    );
    assert_eq!(again.code, 4);
    assert!(
        again.stderr.ends_with("error: there is a passkey for this backup already\nhint: choose a different password manager, a phone, or a security key\n"),
        "{again:?}"
    );
    assert_eq!(everything(&session.path("store")), before);
    add_passkey(&session, "another-wallet");
    assert_eq!(status(&session).1[2]["name"], "Passkey 2");
}

#[test]
fn a_deleted_passkey_and_a_cancelled_dialog_have_one_message_and_the_recovery_key_works() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let before = everything(&session.path("store"));
    let ended = browser::run(
        &session,
        &with(&["snapshots", "store"], &PASSKEY),
        "empty-wallet",
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""));
    assert!(
        ended.stderr.ends_with("error: that didn't work\nhint: if you cancelled, try again; if the passkey is no longer in your password manager, use another way: the recovery key (`--recovery-key-file FILE`)\n"),
        "{ended:?}"
    );
    assert_eq!(
        everything(&session.path("store")),
        before,
        "nothing is made in answer to it"
    );
    assert_eq!(session.run(&with(&["snapshots", "store"], &KEY)).code, 0);
}

#[test]
fn a_passkey_that_gives_another_answer_is_not_called_the_wrong_one() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let mut wallet: Value =
        serde_json::from_slice(&fs::read(session.path("wallet")).unwrap()).unwrap();
    let secret = wallet["passkeys"][0]["hmac_secret"]
        .as_str()
        .unwrap()
        .to_owned();
    wallet["passkeys"][0]["hmac_secret"] = secret.chars().rev().collect::<String>().into();
    // The last character of 32 bytes in base64 has spare bits: begin with one that has none.
    let fixed = format!("A{}A", &secret[1..secret.len() - 1]);
    wallet["passkeys"][0]["hmac_secret"] = fixed.into();
    fs::write(session.path("faulty"), wallet.to_string()).unwrap();
    let ended = browser::run(&session, &with(&["snapshots", "store"], &PASSKEY), "faulty");
    assert_eq!(ended.code, 12, "{ended:?}");
    assert!(
        ended.stderr.ends_with("error: the passkey answered, and what it gave does not open this backup: this device's system has a known fault, or it is another passkey than the one that was added\nhint: update the system and the browser and try again (iPhones before iOS 18.4 have such a fault), or use another way: the recovery key (`--recovery-key-file FILE`)\n"),
        "{ended:?}"
    );
}

#[test]
fn a_removed_passkey_opens_nothing_and_is_not_asked_for() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    let removed = session.run(&with(
        &["protect", "remove", "store", "Passkey", "--yes"],
        &KEY,
    ));
    assert_eq!(removed.code, 0, "{removed:?}");
    let ended = session.run(&with(&["snapshots", "store"], &PASSKEY));
    assert_eq!(ended.code, 4);
    assert_eq!(
        ended.stderr,
        "error: no passkey that opens [FOLDER]/store can be used here\nhint: what opens it from here: the recovery key (`--recovery-key-file FILE`)\n"
    );
    // The same provider may make another one.
    add_passkey(&session, "wallet");
}

#[test]
fn a_first_backup_whose_passkey_fails_has_its_recovery_key_and_goes_on_without() {
    let session = Session::new();
    let source = sample().display().to_string();
    let args = [
        "backup",
        &source,
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
        "--new-passkey",
    ];
    // A page that is never opened ends with the person's Ctrl-C.
    let (child, file, said) = browser::start(&session, &args);
    let file = file.unwrap();
    assert!(file.exists());
    // The person had the time to read where it is.
    std::thread::sleep(Duration::from_millis(300));
    let interrupted = Instant::now();
    let signalled = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .unwrap();
    assert!(signalled.success());
    let ended = browser::finish(&session, child, said);
    assert!(
        interrupted.elapsed() < Duration::from_mins(2),
        "Ctrl-C ends a wait for a person, which is five minutes, at once"
    );
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(!file.exists(), "what opens the page is not left behind");
    assert!(
        !session.path("store/packs").exists(),
        "no data before the ways in are ready"
    );
    let again = session.run(&["backup", &source, "--to", "store"]);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(session.run(&with(&["snapshots", "store"], &KEY)).code, 0);
    assert_eq!(add_passkey(&session, "wallet").code, 0);
}

#[test]
fn an_addition_that_was_killed_anywhere_leaves_a_backup_that_opens() {
    let mut chance = Chance::of_this_run("an_addition_that_was_killed_anywhere");
    let probe = Session::new();
    probe.first_backup();
    let begun = Instant::now();
    add_passkey(&probe, "wallet");
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for round in 0..8 {
        let session = Session::new();
        session.first_backup();
        let (mut child, file, said) = browser::start(
            &session,
            &with(&["protect", "add", "passkey", "store"], &KEY),
        );
        heirloom_ceremony::software::open(&session.path("wallet"), &file.unwrap()).unwrap();
        std::thread::sleep(Duration::from_micros(chance.below(whole)));
        let _ = child.kill();
        browser::finish(&session, child, said);
        let (summary, ways) = status(&session);
        let proven = ways
            .get(1)
            .is_some_and(|way| way["last_proven_at"].is_string());
        assert_eq!(
            summary["status"] == "protected",
            proven,
            "round {round}: {ways:?}"
        );
        if ways.len() == 2 && !proven {
            let checked = browser::run(
                &session,
                &with(&["protect", "check", "store"], &PASSKEY),
                "wallet",
            );
            assert_eq!(
                checked.code, 0,
                "what was added and not tried can be tried later: {checked:?}"
            );
        }
        let source = sample().display().to_string();
        assert_eq!(
            session
                .run(&["backup", &source, "--to", "store", "--force"])
                .code,
            0
        );
    }
}

#[test]
fn with_json_the_file_to_open_is_an_event_and_the_summary_is_last() {
    let session = Session::new();
    session.first_backup();
    let ended = browser::run(
        &session,
        &with(&["protect", "add", "passkey", "store", "--json"], &KEY),
        "wallet",
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    let first: Value = serde_json::from_str(ended.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(first["type"], "open_in_browser");
    assert!(
        first["path"].as_str().unwrap().contains("/browser/open-"),
        "{first}"
    );
    assert_eq!(ended.summary()["status"], "protected");
}

#[cfg(unix)]
#[test]
fn the_browser_is_given_a_path_and_no_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let session = Session::new();
    session.first_backup();
    let script = session.path("browser.sh");
    fs::write(
        &script,
        "#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$(dirname \"$0\")/arguments\"\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let command = format!("{} --new-window", script.display());
    let mut child = session
        .command()
        .args(with(&["protect", "add", "passkey", "store"], &KEY))
        .args(["--browser", &command])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let arguments = loop {
        match fs::read_to_string(session.path("arguments")) {
            Ok(text) if text.ends_with(".html\n") => break text,
            _ => assert!(
                begun.elapsed() < Duration::from_mins(2),
                "no browser was opened"
            ),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let lines: Vec<&str> = arguments.lines().collect();
    assert_eq!((lines.len(), lines[0]), (2, "--new-window"));
    let file = Path::new(lines[1]);
    assert_eq!(
        fs::metadata(file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(file.parent().unwrap())
            .unwrap()
            .permissions()
            .mode()
            & 0o777,
        0o700
    );
    let page = fs::read_to_string(file).unwrap();
    let (_, token) = page.split_once("name=\"token\" value=\"").unwrap();
    let (token, _) = token.split_once('"').unwrap();
    assert!(token.len() >= 43 && !arguments.contains(token));
    let around = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap_or_default();
    assert!(!String::from_utf8_lossy(&around).contains(token));
    heirloom_ceremony::software::open(&session.path("wallet"), file).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!file.exists(), "it is gone once it was used");
}

#[test]
fn a_browser_that_cannot_be_started_leaves_the_path_to_open_by_hand() {
    let session = Session::new();
    session.first_backup();
    let mut child = session
        .command()
        .args(with(&["protect", "add", "passkey", "store"], &KEY))
        .args(["--browser", "/there/is/no/browser"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let (file, said) = browser::file_to_open(&mut child);
    assert!(
        said.contains("/there/is/no/browser could not be started (there is no such file or folder). Open this file in a browser on this computer, within 5 minutes:\n"),
        "{said}"
    );
    heirloom_ceremony::software::open(&session.path("wallet"), &file.unwrap()).unwrap();
    assert_eq!(browser::finish(&session, child, said).code, 0);
}

#[test]
fn from_recovery_key_to_passkey_to_both_no_data_is_uploaded_again() {
    let session = Session::new();
    session.first_backup();
    let packs = |session: &Session| everything(&session.path("store/packs"));
    let before = packs(&session);
    assert!(!before.is_empty());
    let source = sample().display().to_string();
    let same = |session: &Session, when: &str| {
        let again = session.run(&["backup", &source, "--to", "store", "--force"]);
        assert_eq!(again.code, 0, "{again:?}");
        assert!(packs(session) == before, "{when}");
    };
    add_passkey(&session, "wallet");
    same(&session, "recovery key and passkey");
    let key = ["--new-key-file", "second.txt"];
    let add = with(&["protect", "add", "recovery-key", "store"], &key);
    let added = browser::run(&session, &with(&add, &PASSKEY), "wallet");
    assert_eq!(added.code, 0, "{added:?}");
    let remove = ["protect", "remove", "store", "Recovery key", "--yes"];
    let removed = browser::run(&session, &with(&remove, &PASSKEY), "wallet");
    assert_eq!(removed.code, 0, "{removed:?}");
    same(&session, "passkey and another recovery key");
    let rotated = browser::run(
        &session,
        &with(&["protect", "rotate", "store"], &PASSKEY),
        "wallet",
    );
    assert_eq!(rotated.code, 0, "{rotated:?}");
    same(&session, "a new root key");
}

#[test]
fn a_backup_turned_off_by_a_passkey_is_kept_by_it() {
    let session = Session::new();
    session.first_backup();
    add_passkey(&session, "wallet");
    for args in [
        &["protect", "off", "store", "--yes"][..],
        &["protect", "off", "store", "--undo"],
    ] {
        let ended = browser::run(&session, &with(args, &PASSKEY), "wallet");
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    assert_eq!(status(&session).0["status"], "protected");
}
