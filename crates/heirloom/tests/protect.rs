//! The life of the ways in: what is said and refused, with exact words and exit codes, and what is left when a run is
//! killed anywhere.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails"
)]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/chance.rs"]
mod chance;
#[path = "support/owner.rs"]
mod owner;
#[path = "support/session.rs"]
mod session;

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chance::Chance;
use owner::{DAY_MS, Owner, bound, now_ms, synced};
use serde_json::Value;
use session::{Ended, Session, sample};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &KEY].concat()
}

/// The words of a refusal: nothing on standard output, nothing changed in the store.
fn refused(session: &Session, args: &[&str], code: i32, stderr: &str) {
    let before = objects(&session.path("store"));
    let ended = session.run(args);
    assert_eq!(ended.stderr, stderr, "{args:?}");
    assert_eq!((ended.code, ended.stdout.as_str()), (code, ""), "{args:?}");
    assert_eq!(
        objects(&session.path("store")),
        before,
        "{args:?} changed the store"
    );
}

/// Names of everything in a store.
fn objects(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_owned();
                found.push(name.display().to_string());
            }
        }
    }
    found.sort();
    found
}

fn packs(session: &Session) -> usize {
    objects(&session.path("store/packs")).len()
}

fn backup_again(session: &Session) -> Ended {
    session.run(&[
        "backup",
        &sample().display().to_string(),
        "--to",
        "store",
        "--force",
        "--json",
    ])
}

fn add_second_key(session: &Session) {
    let ended = session.run(&with_key(&[
        "protect",
        "add",
        "recovery-key",
        "store",
        "--new-key-file",
        "second.txt",
    ]));
    assert_eq!(ended.code, 0, "{ended:?}");
}

fn status(session: &Session) -> (Value, Vec<Value>) {
    let ended = session.run(&with_key(&["protect", "status", "store", "--json"]));
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

#[test]
fn what_would_open_it_is_told_from_the_public_part() {
    let session = Session::new();
    session.first_backup();
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Phone", "example.org", synced(1), 7);
    refused(
        &session,
        &["restore", "store", "--to", "out"],
        4,
        "error: this needs the recovery key, and nobody can be asked for it here\nhint: add `--recovery-key-file FILE`\n",
    );
    refused(
        &session,
        &["restore", "store", "--to", "out", "--passkey"],
        4,
        "error: no passkey that opens [FOLDER]/store can be used here\n  because not from here: a passkey saved for example.org, which only that site can ask for\nhint: what opens it from here: the recovery key (`--recovery-key-file FILE`)\n",
    );
    owner.adds_passkey("Laptop", "localhost", synced(2), 8);
    refused(
        &session,
        &["restore", "store", "--to", "out"],
        4,
        "error: this needs an unlock, and nobody can be asked which one here\nhint: this backup can be opened with a passkey (`--passkey`) or the recovery key (`--recovery-key-file FILE`)\n",
    );
    assert!(!session.path("out").exists());
}

#[test]
fn who_joins_is_told_of_every_way() {
    let mut session = Session::new();
    session.first_backup();
    Owner::joins(&session).adds_passkey("Laptop", "localhost", synced(2), 8);
    session.move_to("elsewhere");
    let source = sample().display().to_string();
    refused(
        &session,
        &["backup", &source, "--to", "store"],
        4,
        "error: [FOLDER]/store holds a backup that this computer does not know\nhint: to join it, add `--passkey --join` or `--recovery-key-file FILE --join`\n",
    );
}

#[test]
fn a_wrong_recovery_key_is_followed_by_what_else_would_open_it() {
    let session = Session::new();
    session.first_backup();
    Owner::joins(&session).adds_passkey("Laptop", "localhost", synced(2), 8);
    let other = session.run(&[
        "backup",
        &sample().display().to_string(),
        "--to",
        "other",
        "--new-recovery-key-file",
        "other.txt",
    ]);
    assert_eq!(other.code, 0);
    refused(
        &session,
        &["snapshots", "store", "--recovery-key-file", "other.txt"],
        12,
        "error: this recovery key does not open this backup\nhint: check which backup the key belongs to; its kit names it; a passkey (`--passkey`) opens this backup too\n",
    );
}

#[test]
fn a_way_in_gets_another_name() {
    let session = Session::new();
    session.first_backup();
    add_second_key(&session);
    let ended = session.run(&with_key(&[
        "protect",
        "rename",
        "store",
        "Recovery key 2",
        "In the safe",
    ]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .stdout
            .starts_with("\"Recovery key 2\" is called \"In the safe\" now · "),
        "{ended:?}"
    );
    let by_number = session.run(&with_key(&[
        "protect",
        "rename",
        "store",
        "1",
        "At my sister's",
    ]));
    assert_eq!(by_number.code, 0, "{by_number:?}");
    let (_, ways) = status(&session);
    assert_eq!(ways[0]["name"], "At my sister's");
    assert_eq!(ways[1]["name"], "In the safe");
    refused(
        &session,
        &with_key(&["protect", "rename", "store", "1", "In the safe"]),
        2,
        "error: another way in is called \"In the safe\" already\n",
    );
    refused(
        &session,
        &with_key(&["protect", "rename", "store", "Nobody", "x"]),
        2,
        "error: there is no way in and no device called \"Nobody\"\nhint: `heirloom protect status STORE` lists them\n",
    );
    refused(
        &session,
        &with_key(&["protect", "rename", "store", "1", " "]),
        2,
        "error: a way in needs a name\n",
    );
    refused(
        &session,
        &with_key(&["protect", "rename", "store", "1", &"é".repeat(65)]),
        2,
        "error: a name has at most 64 characters\n",
    );
    let longest = session.run(&with_key(&[
        "protect",
        "rename",
        "store",
        "1",
        &"❤".repeat(64),
    ]));
    assert_eq!(longest.code, 0, "{longest:?}");
    // Before a key or a passkey is made that nobody uses.
    for method in ["recovery-key", "passkey"] {
        let mut args = with_key(&["protect", "add", method, "store", "--name", "In the safe"]);
        if method == "recovery-key" {
            args.extend(["--new-key-file", "unused.txt"]);
        }
        refused(
            &session,
            &args,
            2,
            "error: another way in is called \"In the safe\" already\n",
        );
        assert!(!session.path("unused.txt").exists());
    }
}

#[test]
fn the_last_way_in_stays() {
    let session = Session::new();
    session.first_backup();
    refused(
        &session,
        &with_key(&["protect", "remove", "store", "1", "--yes"]),
        1,
        "error: this is the last way in; add another first\nhint: `heirloom protect add recovery-key STORE`\n",
    );
}

#[test]
fn a_way_in_is_removed_by_one_that_stays() {
    let session = Session::new();
    session.first_backup();
    add_second_key(&session);
    refused(
        &session,
        &with_key(&["protect", "remove", "store", "Recovery key", "--yes"]),
        2,
        "error: a way in cannot remove itself\nhint: unlock with one that stays: \"Recovery key 2\" (`--recovery-key-file FILE`)\n",
    );
    refused(
        &session,
        &with_key(&["protect", "remove", "store", "Recovery key 2"]),
        2,
        "error: removing is asked for, and nobody is here to ask\nhint: add `--yes`\n",
    );
    Owner::joins(&session);
    let ended = session.run(&with_key(&[
        "protect",
        "remove",
        "store",
        "Recovery key 2",
        "--yes",
    ]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended.stdout.starts_with(
            "Removed the way in \"Recovery key 2\"; what opens the backup then: Recovery key · Almost protected (1 of 2 ways in)"
        ),
        "{ended:?}"
    );
    for said in [
        "hint: a copy of the store made before now still opens with it, with all that was backed up until now; what is backed up from now on does not\n",
        "hint: not seen yet by Other computer: what they add before their next run reads the store can still be opened with what was removed\n",
    ] {
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    let (summary, ways) = status(&session);
    assert_eq!((summary["ways"].as_u64(), ways.len()), (Some(1), 1));
    assert_eq!(
        session
            .run(&["snapshots", "store", "--recovery-key-file", "second.txt"])
            .code,
        12
    );
}

#[test]
fn what_is_only_an_extra_never_stays_alone() {
    let session = Session::new();
    session.first_backup();
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", synced(2), 8);
    owner.proves_passkey(&session, "Laptop", "localhost", 8, now_ms());
    // Only a passkey could ask for this, so the refusal that a recovery key meets is the one for itself.
    refused(
        &session,
        &with_key(&["protect", "remove", "store", "Recovery key", "--yes"]),
        2,
        "error: a way in cannot remove itself\nhint: unlock with one that stays: \"Laptop\" (`--passkey`)\n",
    );
}

/// It would have stored a keyring without itself, and failed then.
#[test]
fn a_computer_does_not_remove_itself_and_changes_nothing_in_trying() {
    let session = Session::new();
    session.first_backup();
    let shown = session.run(&with_key(&["protect", "status", "store", "--json"]));
    let own = shown
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|event| event["this_computer"] == true)
        .unwrap();
    let name = own["name"].as_str().unwrap();
    refused(
        &session,
        &with_key(&["protect", "remove", "store", name, "--yes"]),
        2,
        "error: a computer cannot remove itself from a backup\nhint: remove it on another computer that adds to this backup (`heirloom backup SOURCE --to STORE --join` makes one), or end the backup: `heirloom protect off STORE`\n",
    );
    // It adds to the backup as before.
    let source = sample().display().to_string();
    let added = session.run(&["backup", &source, "--to", "store"]);
    assert_eq!(added.code, 0, "{added:?}");
    // Another one is removed by its name.
    Owner::joins(&session);
    let ended = session.run(&with_key(&[
        "protect",
        "remove",
        "store",
        "Other computer",
        "--yes",
    ]));
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn a_removed_passkey_is_told_where_it_still_is() {
    let session = Session::new();
    session.first_backup();
    Owner::joins(&session).adds_passkey("Laptop", "localhost", synced(2), 8);
    let ended = session.run(&with_key(&[
        "protect", "remove", "store", "Laptop", "--yes",
    ]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("The passkey stays in your password manager: delete it there yourself"),
        "{ended:?}"
    );
}

#[test]
fn two_ways_of_one_name_are_told_apart_by_number() {
    let session = Session::new();
    session.first_backup();
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Recovery key", "localhost", synced(2), 8);
    refused(
        &session,
        &with_key(&["protect", "remove", "store", "Recovery key", "--yes"]),
        2,
        "error: 2 ways in are called \"Recovery key\"\nhint: name it by its number in `heirloom protect status STORE`\n",
    );
    let ended = session.run(&with_key(&["protect", "remove", "store", "2", "--yes"]));
    assert_eq!(ended.code, 0, "{ended:?}");
}

#[test]
fn the_status_says_what_each_way_is_worth() {
    let session = Session::new();
    session.first_backup();
    let (summary, ways) = status(&session);
    assert_eq!(
        (summary["status"].as_str(), summary["proven"].as_u64()),
        (Some("almost_protected"), Some(1))
    );
    assert_eq!(ways[0]["method"], "recovery_key");
    assert_eq!(ways[0]["provider"], Value::Null);
    assert_eq!(ways[0]["check_due"], false);

    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", bound(2), 8);
    let (summary, ways) = status(&session);
    assert_eq!(
        summary["status"], "almost_protected",
        "a passkey that was not proven counts for nothing"
    );
    assert_eq!(
        (
            ways[1]["synced"].as_str(),
            ways[1]["rp_id"].as_str(),
            ways[1]["last_proven_at"].clone()
        ),
        (Some("this_device_only"), Some("localhost"), Value::Null)
    );
    owner.proves_passkey(&session, "Laptop", "localhost", 8, now_ms());
    let (summary, _) = status(&session);
    assert_eq!(
        (summary["status"].as_str(), summary["proven"].as_u64()),
        (Some("protected"), Some(2))
    );
    let words = session.run(&with_key(&["protect", "status", "store"]));
    assert!(
        words.stdout.starts_with("Protected · last drill never\n"),
        "{words:?}"
    );
    assert!(
        words.stdout.contains(
            "  2. Laptop  (passkey, only on this device, for browsers on computers, added "
        ),
        "{words:?}"
    );
    assert!(
        words
            .stdout
            .contains(", used today, proven today, next check 20"),
        "{words:?}"
    );
}

#[test]
fn a_proof_that_is_old_makes_a_check_due_and_nothing_else() {
    let session = Session::new();
    session.first_backup();
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", synced(2), 8);
    owner.proves_passkey(&session, "Laptop", "localhost", 8, now_ms() - 20 * DAY_MS);
    let (summary, ways) = status(&session);
    assert_eq!(summary["status"], "check_due");
    assert_eq!(
        (
            ways[0]["check_due"].as_bool(),
            ways[1]["check_due"].as_bool()
        ),
        (Some(false), Some(true))
    );
    let words = session.run(&with_key(&["protect", "status", "store"]));
    assert!(
        words.stdout.starts_with("Protected, and a check is due · "),
        "{words:?}"
    );
    assert!(
        words.stderr.contains("hint: prove your ways in again: \"Laptop\" by `heirloom protect check STORE --passkey`\n"),
        "{words:?}"
    );
    let doctor = session.run(&with_key(&["doctor", "store"]));
    assert!(
        doctor
            .stdout
            .contains("\"Laptop\" was proven 20 days ago, and its check is due since 20"),
        "{doctor:?}"
    );
    assert_eq!(
        doctor.code, 0,
        "a check that is due is a notice: {doctor:?}"
    );
    assert_eq!(backup_again(&session).code, 0, "never a wall");
}

#[test]
fn doctor_finds_one_way_in_and_passkeys_of_this_computer_alone() {
    let session = Session::new();
    session.first_backup();
    let doctor = session.run(&["doctor", "store"]);
    assert!(
        doctor
            .stdout
            .contains("there is one way in: if it is lost, nobody can open the backup"),
        "{doctor:?}"
    );
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", bound(2), 8);
    let doctor = session.run(&with_key(&["doctor", "store"]));
    for found in [
        "its passkeys are for browsers on computers (localhost): no phone can use them",
        "\"Laptop\" was never proven",
        "\"Laptop\" is only on one device, and gone with it",
        "almost protected: fewer than two independent ways in were proven",
    ] {
        assert!(doctor.stdout.contains(found), "{found}: {doctor:?}");
    }
    assert!(!doctor.stdout.contains("there is one way in"), "{doctor:?}");
    assert_eq!(
        doctor.code, 1,
        "a way in that was never proven is a problem"
    );
}

#[test]
fn a_kit_holds_a_recovery_key_and_nothing_else_unlocks_it() {
    let session = Session::new();
    session.first_backup();
    refused(
        &session,
        &["kit", "store", "--to", "kit.pdf", "--passkey"],
        2,
        "error: a kit holds the recovery key, and a passkey does not know it\nhint: unlock with the recovery key itself: `--recovery-key-file FILE`\n",
    );
    assert!(!session.path("kit.pdf").exists());
}

#[test]
fn a_key_is_understood_however_it_was_copied() {
    let session = Session::new();
    session.first_backup();
    let text = fs::read_to_string(session.path("key.txt")).unwrap();
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let groups: Vec<&str> = digits.split(' ').collect();
    let forms = [
        digits.to_uppercase(),
        groups.concat(),
        groups.join("-"),
        groups.join(" – "),
        groups.join("\n"),
        digits.replace('0', "O").replace('1', "l"),
        digits.replace('0', "o").replace('1', "I"),
    ];
    for form in forms {
        let path = session.path("typed.txt");
        let _ = fs::remove_file(&path);
        fs::write(&path, &form).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let ended = session.run(&["snapshots", "store", "--recovery-key-file", "typed.txt"]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{form}");
    }
}

#[test]
fn a_passkey_is_not_written_into_a_file() {
    let session = Session::new();
    session.first_backup();
    refused(
        &session,
        &with_key(&[
            "protect",
            "add",
            "passkey",
            "store",
            "--new-key-file",
            "x.txt",
        ]),
        2,
        "error: a passkey is kept by your password manager, not in a file\nhint: leave `--new-key-file` out\n",
    );
}

#[test]
fn a_backup_is_turned_off_refuses_more_and_is_taken_back() {
    let session = Session::new();
    session.first_backup();
    refused(
        &session,
        &with_key(&["protect", "off", "store"]),
        2,
        "error: turning a backup off is asked for, and nobody is here to ask\nhint: add `--yes`; to keep the chats readable, export them before: `heirloom export [FOLDER]/store --format html --to ./my-chats`\n",
    );
    refused(
        &session,
        &with_key(&["protect", "off", "store", "--undo"]),
        1,
        "error: the backup is not to be removed\n",
    );
    let off = session.run(&with_key(&["protect", "off", "store", "--yes"]));
    assert_eq!(off.code, 0, "{off:?}");
    assert!(
        off.stdout.starts_with("This backup is off: from 20"),
        "{off:?}"
    );
    assert!(
        off.stderr
            .contains("hint: to keep it after all: `heirloom protect off STORE --undo`"),
        "{off:?}"
    );
    let (summary, _) = status(&session);
    assert_eq!(summary["status"], "ending");
    assert!(summary["removal_due_at"].is_string());

    // Nothing is added, not even by a computer that needs no key, and not another way in.
    let before = objects(&session.path("store"));
    let backup = backup_again(&session);
    let error: Value = serde_json::from_str(&backup.stderr).unwrap();
    assert_eq!(backup.code, 1);
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("this backup was turned off and is to be removed from 20"),
        "{error}"
    );
    assert_eq!(
        error["hint"],
        "to keep it after all: `heirloom protect off STORE --undo`"
    );
    let added = session.run(&with_key(&[
        "protect",
        "add",
        "recovery-key",
        "store",
        "--new-key-file",
        "x.txt",
    ]));
    assert_eq!(added.code, 1, "{added:?}");
    assert!(!session.path("x.txt").exists());
    assert_eq!(objects(&session.path("store")), before);

    // All of it can be restored, and asking again only says when.
    assert_eq!(
        session
            .run(&with_key(&["restore", "store", "--to", "out"]))
            .code,
        0
    );
    let waiting = session.run(&with_key(&["protect", "off", "store", "--yes", "--json"]));
    assert_eq!(
        (waiting.code, waiting.summary()["outcome"].as_str()),
        (0, Some("waiting"))
    );
    assert_eq!(
        session.run(&with_key(&["snapshots", "store"])).code,
        0,
        "nothing was removed"
    );

    let undone = session.run(&with_key(&["protect", "off", "store", "--undo"]));
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(
        undone
            .stdout
            .starts_with("The backup stays, and goes on · "),
        "{undone:?}"
    );
    assert_eq!(backup_again(&session).code, 0);
    let log = session.run(&with_key(&["protect", "log", "store"]));
    assert!(
        log.stdout.contains("removal planned") && log.stdout.contains("removal undone"),
        "{log:?}"
    );
}

#[test]
fn who_would_join_a_backup_that_ends_is_told() {
    let mut session = Session::new();
    session.first_backup();
    Owner::joins(&session).plans_removal(now_ms());
    session.move_to("elsewhere");
    let before = objects(&session.path("store"));
    let source = sample().display().to_string();
    let ended = session.run(&with_key(&["backup", &source, "--to", "store", "--join"]));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended.stderr.contains("error: this backup was turned off"),
        "{ended:?}"
    );
    assert_eq!(objects(&session.path("store")), before);
}

#[test]
fn when_it_is_due_the_backup_is_removed_and_forgotten() {
    let session = Session::new();
    session.first_backup();
    Owner::joins(&session).plans_removal(now_ms() - 31 * DAY_MS);
    fs::write(session.path("store/mine.txt"), "not Heirloom's").unwrap();
    refused(
        &session,
        &with_key(&["protect", "off", "store"]),
        2,
        "error: removing a backup is asked for, and nobody is here to ask\nhint: add `--yes`: then it is removed for good\n",
    );
    let ended = session.run(&with_key(&["protect", "off", "store", "--yes"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        ended
            .stdout
            .starts_with("The backup in [FOLDER]/store was removed ("),
        "{ended:?}"
    );
    assert_eq!(objects(&session.path("store")), ["mine.txt"]);
    assert!(
        objects(&session.path("home/repositories")).is_empty(),
        "this computer forgot it"
    );
    // A backup that its owner removed is not missed, and a new one is a first one.
    let gone = session.run(&with_key(&["snapshots", "store"]));
    assert_eq!(gone.code, 10, "{gone:?}");
    assert!(
        gone.stderr
            .starts_with("error: there is no backup in store\n"),
        "{gone:?}"
    );
    fs::remove_file(session.path("key.txt")).unwrap();
    session.first_backup();
}

#[test]
fn a_removal_that_was_cut_off_after_its_last_object_is_ended_by_the_next_command() {
    let session = Session::new();
    session.first_backup();
    let state = fs::read_dir(session.path("home/repositories"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut notes: Value =
        serde_json::from_slice(&fs::read(state.join("notes.json")).unwrap()).unwrap();
    notes["removing"] = true.into();
    fs::write(state.join("notes.json"), notes.to_string()).unwrap();
    fs::remove_dir_all(session.path("store")).unwrap();
    let again = session.run(&with_key(&["protect", "off", "store", "--yes"]));
    assert_eq!(again.code, 10, "{again:?}");
    assert!(!state.exists());
    fs::remove_file(session.path("key.txt")).unwrap();
    session.first_backup();
}

#[test]
fn a_removal_that_has_begun_here_is_not_taken_back() {
    let session = Session::new();
    let newest = session.first_backup().summary()["snapshot"].clone();
    let newest = &newest.as_str().unwrap()[..8];
    Owner::joins(&session).plans_removal(now_ms() - 31 * DAY_MS);
    let state = fs::read_dir(session.path("home/repositories"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut notes: Value =
        serde_json::from_slice(&fs::read(state.join("notes.json")).unwrap()).unwrap();
    notes["removing"] = true.into();
    fs::write(state.join("notes.json"), notes.to_string()).unwrap();
    refused(
        &session,
        &with_key(&["protect", "off", "store", "--undo"]),
        1,
        &format!(
            "error: the removal has begun, and what was removed cannot come back; 1 snapshot can still be read\nhint: restore what you want to keep, the newest with `heirloom restore STORE --to DIR --snapshot {newest}`; then run `heirloom protect off STORE` on a computer that adds to this backup: it goes on where it was\n"
        ),
    );
}

#[test]
fn who_opens_the_backup_takes_its_removal_back_on_a_new_computer() {
    let mut session = Session::new();
    session.first_backup();
    assert_eq!(
        session
            .run(&with_key(&["protect", "off", "store", "--yes"]))
            .code,
        0
    );
    // The computer is lost, and the new one knows nothing but the recovery key.
    session.move_to("new");
    let waiting = session.run(&with_key(&["protect", "off", "store", "--json"]));
    assert_eq!(waiting.summary()["outcome"], "waiting", "{waiting:?}");
    let wrong = session.run(&["protect", "off", "store", "--undo"]);
    assert_eq!(wrong.code, 4, "{wrong:?}");
    let undone = session.run(&with_key(&["protect", "off", "store", "--undo"]));
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(
        undone
            .stdout
            .starts_with("The backup stays, and goes on · "),
        "{undone:?}"
    );
    assert!(
        undone
            .stderr
            .contains("This computer is a device of the backup from now on, as Laptop"),
        "{undone:?}"
    );
    // Its table of what is stored is made once, with the same key.
    let source = sample().display().to_string();
    let added = session.run(&with_key(&["backup", &source, "--to", "store"]));
    assert_eq!(added.code, 0, "{added:?}");
    let log = session.run(&with_key(&["protect", "log", "store"]));
    assert!(log.stdout.contains("removal undone"), "{log:?}");
    // The one that was thought lost goes on, too.
    session.move_to("home");
    assert_eq!(backup_again(&session).code, 0);
}

#[test]
fn a_computer_that_was_removed_takes_a_removal_back_as_a_new_device() {
    let mut session = Session::new();
    session.first_backup();
    session.move_to("second");
    let source = sample().display().to_string();
    assert_eq!(
        session
            .run(&with_key(&[
                "backup",
                &source,
                "--to",
                "store",
                "--join",
                "--device-name",
                "Second"
            ]))
            .code,
        0
    );
    let removed = session.run(&with_key(&[
        "protect", "remove", "store", "Laptop", "--yes",
    ]));
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(
        session
            .run(&with_key(&["protect", "off", "store", "--yes"]))
            .code,
        0
    );
    session.move_to("home");
    let undone = session.run(&with_key(&["protect", "off", "store", "--undo"]));
    assert_eq!(undone.code, 0, "{undone:?}");
    assert!(undone.stderr.contains("is a device"), "{undone:?}");
}

#[test]
fn a_removal_that_has_begun_elsewhere_is_not_taken_back_and_what_is_left_is_said() {
    let mut session = Session::new();
    session.first_backup();
    let mut owner = Owner::joins(&session);
    owner.plans_removal(now_ms() - 31 * DAY_MS);
    let id = hex::encode(owner.keyring.repository().as_bytes());
    // As another computer leaves it that was stopped before the first object went, and after the heads.
    fs::create_dir_all(session.path("store/removal")).unwrap();
    fs::write(session.path("store/removal").join(id), "x").unwrap();
    for home in ["home", "new"] {
        session.move_to(home);
        let refused = session.run(&with_key(&["protect", "off", "store", "--undo"]));
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused.stderr.contains("; 1 snapshot can still be read\n"),
            "{refused:?}"
        );
    }
    fs::remove_dir_all(session.path("store/heads")).unwrap();
    session.move_to("new");
    let command = with_key(&["protect", "off", "store", "--undo"]);
    refused(
        &session,
        &command,
        1,
        "error: the removal has begun, and what was removed cannot come back; no snapshot of it is left\nhint: run `heirloom protect off STORE` on a computer that adds to this backup: it goes on where it was\n",
    );
    session.move_to("home");
    let ended = session.run(&with_key(&["protect", "off", "store", "--yes"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(objects(&session.path("store")), [""; 0]);
}

#[test]
fn another_computer_that_knew_it_says_that_it_is_gone() {
    let mut session = Session::new();
    session.first_backup();
    session.move_to("second");
    let source = sample().display().to_string();
    assert_eq!(
        session
            .run(&with_key(&["backup", &source, "--to", "store", "--join"]))
            .code,
        0
    );
    Owner::joins(&session).plans_removal(now_ms() - 31 * DAY_MS);
    assert_eq!(
        session
            .run(&with_key(&["protect", "off", "store", "--yes"]))
            .code,
        0
    );
    session.move_to("home");
    let ended = session.run(&["backup", &source, "--to", "store"]);
    assert_eq!(ended.code, 10, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: the backup that was in [FOLDER]/store is not there any more\n"),
        "{ended:?}"
    );
}

/// Starts the program, kills it after a while, and says whether it had ended by itself.
fn killed_after(session: &Session, args: &[&str], wait: Duration) -> bool {
    let mut child = session
        .command()
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(wait);
    let ended = child.try_wait().unwrap().is_some();
    let _ = child.kill();
    child.wait().unwrap();
    ended
}

/// How long a run takes here.
fn time_of(session: &Session, args: &[&str]) -> Duration {
    let begun = Instant::now();
    let ended = session.run(args);
    assert_eq!(ended.code, 0, "{ended:?}");
    begun.elapsed()
}

#[test]
fn a_removal_that_was_killed_anywhere_goes_on() {
    let mut chance = Chance::of_this_run("a_removal_that_was_killed_anywhere_goes_on");
    let mut killed = 0;
    let off = with_key(&["protect", "off", "store", "--yes"]);
    let due = || {
        let session = Session::new();
        session.first_backup();
        Owner::joins(&session).plans_removal(now_ms() - 31 * DAY_MS);
        session
    };
    let mut whole = u64::try_from(time_of(&due(), &off).as_micros()).unwrap();
    for _ in 0..12 {
        let session = due();
        let wait = chance.below(whole.max(1));
        if killed_after(&session, &off, Duration::from_micros(wait)) {
            // The machine was busier when it was measured.
            whole = wait;
        } else {
            killed += 1;
        }
        let again = session.run(&off);
        let done = again.code == 0 || again.code == 10;
        assert!(done, "{again:?}");
        assert_eq!(objects(&session.path("store")), Vec::<String>::new());
        // Whatever was left of it here does not stand in the way of a new one.
        fs::remove_file(session.path("key.txt")).unwrap();
        session.first_backup();
    }
    assert!(killed > 0, "no run was killed in time");
}

#[test]
fn a_way_in_whose_removal_was_killed_anywhere_is_there_or_not() {
    let mut chance =
        Chance::of_this_run("a_way_in_whose_removal_was_killed_anywhere_is_there_or_not");
    let probe = Session::new();
    probe.first_backup();
    add_second_key(&probe);
    let remove = with_key(&["protect", "remove", "store", "Recovery key 2", "--yes"]);
    let whole = time_of(&probe, &remove);
    for _ in 0..10 {
        let session = Session::new();
        session.first_backup();
        add_second_key(&session);
        let wait = chance.below(u64::try_from(whole.as_micros()).unwrap());
        killed_after(&session, &remove, Duration::from_micros(wait));
        let (_, ways) = status(&session);
        let second = session.run(&["snapshots", "store", "--recovery-key-file", "second.txt"]);
        let expected = if ways.len() == 2 { 0 } else { 12 };
        assert_eq!(second.code, expected, "{second:?}");
        if ways.len() == 2 {
            assert_eq!(session.run(&remove).code, 0);
        }
        assert_eq!(
            backup_again(&session).code,
            0,
            "this computer follows what it wrote"
        );
        assert_eq!(
            session
                .run(&["snapshots", "store", "--recovery-key-file", "second.txt"])
                .code,
            12
        );
    }
}

#[test]
fn a_rotation_that_was_killed_anywhere_leaves_a_backup_that_goes_on() {
    let mut chance = Chance::of_this_run("a_rotation_that_was_killed_anywhere");
    let session = Session::new();
    session.first_backup();
    let rotate = with_key(&["protect", "rotate", "store"]);
    let whole = time_of(&session, &rotate);
    for _ in 0..15 {
        let wait = chance.below(u64::try_from(whole.as_micros()).unwrap());
        killed_after(&session, &rotate, Duration::from_micros(wait));
        assert_eq!(session.run(&with_key(&["snapshots", "store"])).code, 0);
        assert_eq!(backup_again(&session).code, 0);
    }
    assert_eq!(
        session
            .run(&with_key(&["check", "store", "--read-data"]))
            .code,
        0
    );
}

#[test]
fn changing_the_ways_in_never_uploads_data_again() {
    let session = Session::new();
    session.first_backup();
    let before = packs(&session);
    assert!(before > 0);
    let data = |session: &Session, when: &str| {
        let again = backup_again(session);
        assert_eq!(again.code, 0, "{again:?}");
        assert_eq!(packs(session), before, "{when}");
    };
    data(&session, "nothing was changed");
    let mut owner = Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", synced(2), 8);
    data(&session, "recovery key → recovery key and passkey");
    owner.rotates();
    data(&session, "another computer changed the root");
    add_second_key(&session);
    data(&session, "one more recovery key");
    assert_eq!(
        session
            .run(&with_key(&[
                "protect", "remove", "store", "Laptop", "--yes"
            ]))
            .code,
        0
    );
    data(&session, "the passkey was removed, and the root changed");
    assert_eq!(
        session.run(&with_key(&["protect", "rotate", "store"])).code,
        0
    );
    data(&session, "the root was changed on purpose");
    let restored = session.run(&with_key(&["restore", "store", "--to", "out", "--json"]));
    assert_eq!(restored.summary()["problems"], serde_json::json!([]));
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    for name in objects(from) {
        let target = to.join(&name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(from.join(&name), target).unwrap();
    }
}

#[test]
fn the_computer_whose_side_of_a_fork_is_the_shorter_one_sees_it_and_joins_the_two() {
    let mut session = Session::new();
    session.first_backup();
    let source = sample().display().to_string();
    session.move_to("second");
    let join = with_key(&["backup", &source, "--to", "store", "--join"]);
    assert_eq!(session.run(&join).code, 0);
    copy(&session.path("store"), &session.path("elsewhere"));
    let rotated = session.run(&with_key(&["protect", "rotate", "elsewhere"]));
    assert_eq!(rotated.code, 0);
    session.move_to("home");
    let add = [
        "protect",
        "add",
        "recovery-key",
        "store",
        "--new-key-file",
        "second.txt",
    ];
    assert_eq!(session.run(&with_key(&add)).code, 0);
    // `add` makes two keyrings and `rotate` one.
    copy(&session.path("elsewhere"), &session.path("store"));
    session.move_to("second");
    refused(
        &session,
        &with_key(&["snapshots", "store"]),
        13,
        "error: there are two keyrings of number 4\nhint: two computers changed the ways in at once; `heirloom protect rotate STORE` joins the two\n",
    );
    let unattended = session.run(&["backup", &source, "--to", "store"]);
    assert_eq!(unattended.code, 13, "no side is chosen: {unattended:?}");
    let joined = session.run(&with_key(&["protect", "rotate", "store"]));
    assert_eq!(joined.code, 0, "{joined:?}");
    for home in ["second", "home"] {
        session.move_to(home);
        let listed = session.run(&with_key(&["protect", "status", "store", "--json"]));
        assert_eq!(listed.summary()["ways"], 2, "nothing was lost: {listed:?}");
    }
    let opened = session.run(&["snapshots", "store", "--recovery-key-file", "second.txt"]);
    assert_eq!(opened.code, 0);
}

#[test]
fn two_computers_that_change_the_ways_in_at_once_are_seen_and_joined() {
    let mut session = Session::new();
    session.first_backup();
    let source = sample().display().to_string();
    session.move_to("second");
    assert_eq!(
        session
            .run(&with_key(&["backup", &source, "--to", "store", "--join"]))
            .code,
        0
    );
    // The second computer sees a copy that is a moment old.
    copy(&session.path("store"), &session.path("elsewhere"));
    assert_eq!(
        session
            .run(&with_key(&["protect", "rotate", "elsewhere"]))
            .code,
        0
    );
    session.move_to("home");
    let added = session.run(&with_key(&[
        "protect",
        "add",
        "recovery-key",
        "store",
        "--new-key-file",
        "second.txt",
    ]));
    assert_eq!(added.code, 0, "{added:?}");
    // `add` makes two keyrings and `rotate` one: the fork begins at the first.
    let lasting = objects(&session.path("store/keyring"));
    fs::remove_file(session.path("store/keyring").join(lasting.last().unwrap())).unwrap();
    copy(&session.path("elsewhere"), &session.path("store"));

    session.move_to("third");
    refused(
        &session,
        &with_key(&["snapshots", "store"]),
        13,
        "error: there are two keyrings of number 4\nhint: two computers changed the ways in at once; `heirloom protect rotate STORE` joins the two\n",
    );
    session.move_to("second");
    let joined = session.run(&with_key(&["protect", "rotate", "store"]));
    assert_eq!(joined.code, 0, "{joined:?}");
    assert!(
        joined
            .stdout
            .starts_with("The two keyrings were joined, and the root key was changed · "),
        "{joined:?}"
    );
    let listed = session.run(&with_key(&["protect", "status", "store", "--json"]));
    assert_eq!(listed.summary()["ways"], 2, "nothing was lost");
    assert_eq!(
        session
            .run(&["snapshots", "store", "--recovery-key-file", "second.txt"])
            .code,
        0
    );
    assert_eq!(backup_again(&session).code, 0);
}
