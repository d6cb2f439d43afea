//! Whole sessions of the program: what it does, its exit codes, and the exact words of every error that a person can
//! meet. An error changes nothing on the disk.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[path = "support/session.rs"]
mod session;

use std::fs;
use std::path::Path;

use serde_json::Value;
use session::{Session, sample};

fn sample_path() -> String {
    sample().display().to_string()
}

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

fn with_key<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [args, &KEY].concat()
}

/// Changes the first digit of a group of the key file.
fn spoil_groups(session: &Session, groups: &[usize], to: &str) {
    let text = fs::read_to_string(session.path("key.txt")).unwrap();
    let digits = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let mut all: Vec<String> = digits.split(' ').map(str::to_owned).collect();
    for at in groups {
        let other = if all[*at].starts_with('a') { "b" } else { "a" };
        all[*at].replace_range(0..1, other);
    }
    write_private(&session.path(to), &all.join(" "));
}

fn write_private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
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
                found.push((path.display().to_string(), fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_first_backup_makes_a_key_proves_it_and_says_what_is_next() {
    let session = Session::new();
    let ended = session.run(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(ended.code, 0, "{ended:?}");
    for said in [
        "The recovery key opens the new backup ✓",
        "The recovery key is in key.txt",
        "Move it away from this computer",
    ] {
        assert!(ended.stderr.contains(said), "{ended:?}");
    }
    assert!(ended.stdout.contains("Backed up "), "{ended:?}");
    assert!(ended.stdout.contains(", checked"), "{ended:?}");
    let key = fs::read_to_string(session.path("key.txt")).unwrap();
    let digits: String = key.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(digits.chars().filter(char::is_ascii_hexdigit).count(), 64);
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(session.path("key.txt")).unwrap())
            & 0o777,
        0o600
    );
}

#[test]
fn the_summary_keeps_its_contract() {
    let session = Session::new();
    let summary = session.first_backup().summary();
    for kind in ["messages", "attachments", "conversations"] {
        let count = |name: &str| {
            summary[kind][name]
                .as_u64()
                .unwrap_or_else(|| panic!("{kind}.{name}: {summary}"))
        };
        assert!(count("found") > 0);
        assert_eq!(count("found"), count("taken") + count("skipped"));
        assert_eq!(count("new"), count("taken"));
    }
    assert!(summary["skipped"].is_array());
    assert!(summary["stored_bytes"].as_u64().unwrap() > 0);
    assert!(summary["seconds"].as_f64().is_some());
    assert_eq!(summary["snapshot"].as_str().unwrap().len(), 64);
    assert_eq!(summary["began"], "first");
    assert_eq!(summary["checked"], true);
}

#[test]
fn every_line_of_json_is_an_event_of_the_schema() {
    let schema: Value = serde_json::from_str(
        &fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/events-v1.schema.json"),
        )
        .unwrap(),
    )
    .unwrap();
    let types = schema["properties"]["type"]["enum"].as_array().unwrap();
    let session = Session::new();
    session.first_backup();
    for args in [
        &["snapshots", "store"][..],
        &["browse", "store"],
        &["browse", "store", "Family"],
        &["search", "store", "the"],
        &["check", "store", "--read-data"],
        &["drill", "store"],
        &["protect", "status", "store"],
        &["protect", "log", "store"],
        &["doctor", "store"],
        &["prune", "store", "--keep-last", "1", "--dry-run"],
    ] {
        let ended = session.run(&[&with_key(args)[..], &["--json"]].concat());
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        for line in ended.stdout.lines() {
            let event: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{args:?}: {line}"));
            assert_eq!(event["v"], 1, "{line}");
            assert!(types.contains(&event["type"]), "{line}");
        }
        ended.summary();
    }
}

#[test]
fn a_later_backup_from_the_same_computer_needs_no_key() {
    let session = Session::new();
    session.first_backup();
    fs::remove_file(session.path("key.txt")).unwrap();
    let ended = session.run(&["backup", &sample_path(), "--to", "store", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let summary = ended.summary();
    assert_eq!(
        (&summary["began"], &summary["messages"]["new"]),
        (&Value::from("known"), &Value::from(0))
    );
}

#[test]
fn all_comes_back_with_the_key_alone() {
    let mut session = Session::new();
    let found = session.first_backup().summary()["messages"]["found"]
        .as_u64()
        .unwrap();
    fs::remove_dir_all(session.path("home")).unwrap();
    session.move_to("new-computer");
    let ended = session.run(&with_key(&["restore", "store", "--to", "restored"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("Found: keyring 2 of "), "{ended:?}");
    assert!(
        ended.stderr.contains("Found: newest snapshot "),
        "{ended:?}"
    );
    let export = session.run(&[
        "export", "restored", "--format", "jsonl", "--to", "open", "--json",
    ]);
    assert_eq!(export.code, 0, "{export:?}");
    assert_eq!(export.summary()["messages"], found);
    assert_eq!(
        fs::read_to_string(session.path("open/messages.jsonl"))
            .unwrap()
            .lines()
            .count(),
        usize::try_from(found).unwrap()
    );
    let again = session.run(&["search", "restored", "the", "--limit", "3"]);
    assert_eq!(
        (again.code, again.stdout.lines().count()),
        (0, 4),
        "{again:?}"
    );
}

#[test]
fn a_restored_folder_backs_up_without_anything_new() {
    let session = Session::new();
    session.first_backup();
    assert_eq!(
        session
            .run(&with_key(&["restore", "store", "--to", "restored"]))
            .code,
        0
    );
    let ended = session.run(&["backup", "restored", "--to", "store", "--json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.summary()["messages"]["new"], 0);
}

#[test]
fn another_computer_joins_only_when_that_is_confirmed() {
    let mut session = Session::new();
    session.first_backup();
    session.move_to("second");
    let before = everything(&session.path("store"));
    let no_key = session.run(&["backup", &sample_path(), "--to", "store"]);
    assert_eq!(no_key.code, 4);
    assert_eq!(
        no_key.stderr,
        "error: [FOLDER]/store holds a backup that this computer does not know\n\
         hint: to join it, add `--recovery-key-file FILE --join`\n"
    );
    let unconfirmed = session.run(&with_key(&["backup", &sample_path(), "--to", "store"]));
    assert_eq!(unconfirmed.code, 2);
    assert!(
        unconfirmed
            .stderr
            .ends_with("hint: if that is the newest you know of, add `--join`\n"),
        "{unconfirmed:?}"
    );
    assert_eq!(everything(&session.path("store")), before);
    let joined = session.run(&with_key(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--join",
        "--json",
    ]));
    assert_eq!(joined.code, 0, "{joined:?}");
    let summary = joined.summary();
    assert_eq!(
        (&summary["began"], &summary["messages"]["new"]),
        (&Value::from("joined"), &Value::from(0))
    );
    let snapshots = session
        .run(&[&with_key(&["snapshots", "store"])[..], &["--json"]].concat())
        .summary();
    assert_eq!(
        (&snapshots["lineages"], &snapshots["keyring"]),
        (&Value::from(2), &Value::from(3))
    );
    session.move_to("home");
    assert_eq!(
        session
            .run(&["backup", &sample_path(), "--to", "store"])
            .code,
        0,
        "the first computer goes on"
    );
}

#[test]
fn a_key_file_is_never_replaced() {
    let session = Session::new();
    fs::write(session.path("key.txt"), "mine").unwrap();
    let ended = session.run(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(ended.code, 2);
    assert_eq!(
        ended.stderr,
        "error: cannot write key.txt\n  because it exists already\n\
         hint: a key file is never replaced: name another file, or move that one away\n"
    );
    assert_eq!(fs::read_to_string(session.path("key.txt")).unwrap(), "mine");
    assert!(!session.path("store").exists());
}

#[test]
fn a_key_file_needs_a_folder_and_nothing_is_left_without() {
    let session = Session::new();
    let ended = session.run(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "usb/key.txt",
    ]);
    assert_eq!(ended.code, 1);
    assert_eq!(
        ended.stderr,
        "error: cannot write usb/key.txt\n  because there is no such file or folder\n"
    );
    assert!(!session.path("store").exists());
}

#[test]
fn one_wrong_group_is_mended_and_said() {
    let session = Session::new();
    session.first_backup();
    spoil_groups(&session, &[6], "one.txt");
    let ended = session.run(&["snapshots", "store", "--recovery-key-file", "one.txt"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.stderr,
        "warning: group 7 of the recovery key was wrong and was mended; correct it where you keep it\n"
    );
}

#[test]
fn two_wrong_groups_are_refused() {
    let session = Session::new();
    session.first_backup();
    let before = everything(&session.path("store"));
    spoil_groups(&session, &[2, 11], "two.txt");
    let ended = session.run(&[
        "restore",
        "store",
        "--to",
        "out",
        "--recovery-key-file",
        "two.txt",
    ]);
    assert_eq!(ended.code, 12);
    assert_eq!(
        ended.stderr,
        "error: at least two groups of the recovery key are wrong\n\
         hint: compare it with your kit group by group; one wrong group would have been mended\n"
    );
    assert!(!session.path("out").exists());
    assert_eq!(everything(&session.path("store")), before);
}

#[test]
fn the_key_of_another_backup_is_refused() {
    let (session, other) = (Session::new(), Session::new());
    session.first_backup();
    other.first_backup();
    fs::copy(other.path("key.txt"), session.path("other.txt")).unwrap();
    let ended = session.run(&["snapshots", "store", "--recovery-key-file", "other.txt"]);
    assert_eq!(ended.code, 12);
    assert_eq!(
        ended.stderr,
        "error: this recovery key does not open this backup\n\
         hint: check which backup the key belongs to; its kit names it\n"
    );
}

#[test]
fn a_file_that_holds_no_key_is_named() {
    let session = Session::new();
    session.first_backup();
    write_private(&session.path("short.txt"), "0123 4567\n");
    let ended = session.run(&["snapshots", "store", "--recovery-key-file", "short.txt"]);
    assert_eq!(ended.code, 12);
    assert_eq!(
        ended.stderr,
        "error: short.txt does not hold a recovery key\n\
         hint: it has 8 digits; a recovery key has 64 digits in 16 groups: 0-9 and a-f\n"
    );
}

#[test]
fn a_world_readable_key_file_is_refused_unless_it_is_allowed() {
    let session = Session::new();
    session.first_backup();
    #[cfg(unix)]
    fs::set_permissions(
        session.path("key.txt"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let ended = session.run(&with_key(&["snapshots", "store"]));
    assert_eq!(ended.code, 4);
    assert_eq!(
        ended.stderr,
        "error: key.txt can be read by other users of this computer\n\
         hint: run `chmod 600 key.txt`, or set HEIRLOOM_ALLOW_WORLD_READABLE_SECRETS=1 if you cannot\n"
    );
    let mut allowed = session.command();
    allowed
        .env("HEIRLOOM_ALLOW_WORLD_READABLE_SECRETS", "1")
        .args(with_key(&["snapshots", "store"]));
    assert_eq!(session.finish(&mut allowed).code, 0);
}

#[test]
fn without_a_terminal_the_flag_is_named() {
    let session = Session::new();
    session.first_backup();
    let ended = session.run(&["restore", "store", "--to", "out"]);
    assert_eq!(ended.code, 4);
    assert_eq!(
        ended.stderr,
        "error: this needs the recovery key, and nobody can be asked for it here\nhint: add `--recovery-key-file FILE`\n"
    );
    let ended = session.run(&with_key(&["prune", "store", "--keep-last", "1"]));
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.ends_with("hint: add `--yes`\n"), "{ended:?}");
}

#[test]
fn an_error_with_json_is_one_object_on_standard_error() {
    let session = Session::new();
    let ended = session.run(&["restore", "nowhere", "--to", "out", "--json"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (10, ""));
    let error: Value = serde_json::from_str(ended.stderr.trim()).unwrap();
    assert_eq!(
        (&error["type"], &error["code"], &error["exit"]),
        (&"error".into(), &"no_backup".into(), &10.into())
    );
    let usage = session.run(&["restore", "--json"]);
    let error: Value = serde_json::from_str(usage.stderr.trim()).unwrap();
    assert_eq!((usage.code, &error["code"]), (2, &"usage".into()));
}

#[test]
fn a_store_that_lost_its_keyrings_says_so() {
    let session = Session::new();
    session.first_backup();
    fs::remove_dir_all(session.path("store/keyring")).unwrap();
    let ended = session.run(&with_key(&["restore", "store", "--to", "out"]));
    assert_eq!(ended.code, 13);
    assert_eq!(
        ended.stderr,
        "error: store holds parts of a backup, and no keyring\n\
         hint: without a keyring nothing opens them: bring back the folder `keyring` from a copy of the store\n"
    );
}

#[test]
fn a_half_written_repository_says_how_to_go_on_and_does() {
    let mut session = Session::new();
    session.first_backup();
    for folder in ["heads", "snapshots", "index", "packs"] {
        fs::remove_dir_all(session.path("store").join(folder)).unwrap();
    }
    session.move_to("second");
    let ended = session.run(&with_key(&["restore", "store", "--to", "out"]));
    assert_eq!(ended.code, 10);
    assert_eq!(
        ended.stderr,
        "error: the first backup to [FOLDER]/store did not end, and nothing can be read yet\n\
         hint: run the same `heirloom backup` again: it goes on with what is stored already\n"
    );
    let again = session.run(&with_key(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--join",
        "--json",
    ]));
    assert_eq!(again.code, 0, "{again:?}");
}

#[test]
fn an_older_keyring_is_not_taken_by_who_has_seen_the_newer() {
    let session = Session::new();
    session.first_backup();
    let keyrings: Vec<_> = fs::read_dir(session.path("store/keyring"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    let newest = keyrings.iter().max().unwrap();
    fs::remove_file(newest).unwrap();
    for args in [
        vec!["backup", "SAMPLE", "--to", "store"],
        with_key(&["restore", "store", "--to", "out"]),
    ] {
        let sample = sample_path();
        let args: Vec<&str> = args
            .into_iter()
            .map(|arg| {
                if arg == "SAMPLE" {
                    sample.as_str()
                } else {
                    arg
                }
            })
            .collect();
        let ended = session.run(&args);
        assert_eq!(ended.code, 13, "{ended:?}");
        assert_eq!(
            ended.stderr,
            "error: the store shows an older backup than this device has seen: keyring 1 is its newest, and this computer has seen keyring 2\n\
             hint: the store may have been restored from an old copy or tampered with; do not write to it before you know why\n"
        );
    }
}

#[test]
fn an_older_head_is_not_taken_by_who_has_seen_the_newer() {
    let session = Session::new();
    session.first_backup();
    fs::remove_dir_all(session.path("store/heads")).unwrap();
    let ended = session.run(&with_key(&["restore", "store", "--to", "out"]));
    assert_eq!(ended.code, 13, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: the store shows an older backup than this device has seen: "),
        "{ended:?}"
    );
}

#[test]
fn a_repository_of_a_newer_version_is_left_alone() {
    let mut session = Session::new();
    session.first_backup();
    session.move_to("second");
    let store =
        heirloom_engine::store::open(session.path("store").to_str().unwrap(), false).unwrap();
    let newest = heirloom_engine::keyrings::list(&*store)
        .unwrap()
        .pop()
        .unwrap();
    let mut bytes = heirloom_engine::keyrings::load(&*store, &newest.name).unwrap();
    // The version is the two bytes behind the magic, and the magic is what keyrings share.
    let magic = bytes.windows(2).position(|two| two == [0, 1]).unwrap();
    bytes[magic + 1] = 9;
    heirloom_engine::keyrings::publish(&*store, newest.number + 1, &bytes).unwrap();
    let before = everything(&session.path("store"));
    let ended = session.run(&with_key(&["restore", "store", "--to", "out"]));
    assert_eq!(ended.code, 1, "{ended:?}");
    assert_eq!(
        ended.stderr,
        "error: the keyring is of version 9, which this program is too old for\nhint: update Heirloom on this computer\n"
    );
    assert_eq!(everything(&session.path("store")), before);
}

#[test]
fn a_backup_that_is_gone_is_not_begun_anew_in_silence() {
    let session = Session::new();
    session.first_backup();
    fs::remove_dir_all(session.path("store")).unwrap();
    let ended = session.run(&[
        "backup",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "new.txt",
    ]);
    assert_eq!(ended.code, 10);
    assert_eq!(
        ended.stderr,
        "error: the backup that was in [FOLDER]/store is not there any more\n\
         hint: check that the disk is connected and the folder is the right one; to begin anew, name another folder\n"
    );
    assert!(!session.path("store").exists() && !session.path("new.txt").exists());
}

#[test]
fn a_second_run_at_once_is_told_to_wait() {
    let session = Session::new();
    session.first_backup();
    let folder = fs::read_dir(session.path("home/repositories"))
        .unwrap()
        .flatten()
        .next()
        .unwrap()
        .path();
    let lock = fs::File::options()
        .write(true)
        .open(folder.join("lock"))
        .unwrap();
    lock.lock().unwrap();
    let ended = session.run(&["backup", &sample_path(), "--to", "store"]);
    assert_eq!(ended.code, 11);
    assert_eq!(
        ended.stderr,
        "error: another run on this computer is at work on this backup\nhint: wait until it has ended and run this again\n"
    );
}

#[test]
fn starting_over_has_to_be_meant_and_leaves_the_old_backup_alone() {
    let session = Session::new();
    session.first_backup();
    let before = everything(&session.path("store"));
    let ended = session.run(&[
        "start-over",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "new.txt",
    ]);
    assert_eq!(ended.code, 2);
    assert!(
        ended.stderr.contains("confirm with `--keep-old-backup`"),
        "{ended:?}"
    );
    assert_eq!(everything(&session.path("store")), before);
    let args = [
        "start-over",
        &sample_path(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "new.txt",
        "--keep-old-backup",
    ];
    let ended = session.run(&args);
    assert_eq!(ended.code, 0, "{ended:?}");
    let after = everything(&session.path("store"));
    assert!(before.iter().all(|object| after.contains(object)));
    assert_eq!(session.run(&with_key(&["snapshots", "store"])).code, 0);
}

#[test]
fn a_second_recovery_key_opens_too_and_a_removed_one_does_not() {
    let session = Session::new();
    session.first_backup();
    let added = session.run(&with_key(&[
        "protect",
        "add",
        "recovery-key",
        "store",
        "--new-key-file",
        "second.txt",
    ]));
    assert_eq!(added.code, 0, "{added:?}");
    assert!(
        added
            .stdout
            .starts_with("\"Recovery key 2\" was added, and opens the backup"),
        "{added:?}"
    );
    let second = ["--recovery-key-file", "second.txt"];
    assert_eq!(
        session
            .run(&[&["snapshots", "store"][..], &second].concat())
            .code,
        0
    );
    let removed = session.run(
        &[
            &["protect", "remove", "store", "Recovery key", "--yes"][..],
            &second,
        ]
        .concat(),
    );
    assert_eq!(removed.code, 0, "{removed:?}");
    assert_eq!(
        session.run(&with_key(&["snapshots", "store"])).code,
        12,
        "the removed key opens nothing any more"
    );
    let after = session.run(&[&["snapshots", "store", "--json"][..], &second].concat());
    assert_eq!(
        after.code, 0,
        "what was stored before the removal is still read: {after:?}"
    );
    assert_eq!(
        session
            .run(&["backup", &sample_path(), "--to", "store"])
            .code,
        0,
        "this computer followed the rotation"
    );
    let last = session.run(&[&["protect", "remove", "store", "1", "--yes"][..], &second].concat());
    assert_eq!(
        last.stderr,
        "error: this is the last way in; add another first\nhint: `heirloom protect add recovery-key STORE`\n"
    );
}

#[test]
fn no_permission_is_said() {
    let session = Session::new();
    fs::create_dir(session.path("locked")).unwrap();
    let Some(mut command) = as_nobody(&session, &session.path("locked")) else {
        println!("skipped: no way to lack a permission here");
        return;
    };
    command.args([
        "backup",
        &sample_path(),
        "--to",
        "locked/store",
        "--new-recovery-key-file",
        "/dev/null/key.txt",
    ]);
    let ended = session.finish(&mut command);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(
        ended
            .stderr
            .starts_with("error: the store does not permit this: "),
        "{ended:?}"
    );
    assert!(
        ended
            .stderr
            .ends_with("hint: check who owns the folder and what you may do there\n"),
        "{ended:?}"
    );
    assert!(!session.path("locked/store").exists());
}

/// The program as a user who may not write into `folder`.
#[cfg(unix)]
fn as_nobody(session: &Session, folder: &Path) -> Option<std::process::Command> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = session.command();
    if fs::metadata(session.path("")).unwrap().uid() == 0 {
        // Root may do everything: somebody else has to try.
        fs::set_permissions(session.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        let home = session.path("nobody");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(65_534).gid(65_534).env("HEIRLOOM_HOME", home);
        command.arg("--version");
        command
            .output()
            .ok()
            .filter(|output| output.status.success())?;
        command = session.command();
        command
            .uid(65_534)
            .gid(65_534)
            .env("HEIRLOOM_HOME", session.path("nobody"));
    }
    Some(command)
}

#[cfg(not(unix))]
fn as_nobody(_session: &Session, _folder: &Path) -> Option<std::process::Command> {
    None
}

#[test]
fn a_full_disk_is_said_and_the_next_run_goes_on() {
    let session = Session::new();
    fs::create_dir(session.path("disk")).unwrap();
    let mount = |args: &[&str]| {
        std::process::Command::new(args[0])
            .args(&args[1..])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let disk = session.path("disk").display().to_string();
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=128k", "none", &disk]) {
        println!("skipped: no small disk can be made here");
        return;
    }
    let args = [
        "backup",
        &sample_path(),
        "--to",
        "disk/store",
        "--new-recovery-key-file",
        "key.txt",
    ];
    let full = session.run(&args);
    let grown = mount(&["mount", "-o", "remount,size=16m", &disk]);
    let again = session.run(&args);
    let restored = session.run(&with_key(&["restore", "disk/store", "--to", "out"]));
    mount(&["umount", &disk]);
    assert_eq!(full.code, 14, "{full:?}");
    assert!(
        full.stderr.ends_with(
            "error: the store is full\nhint: make room there, then run the same command again: it goes on where it stopped; what is deleted from an account on a server is kept there for some days, and may count until they are over\n"
        ),
        "{full:?}"
    );
    assert!(grown);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(restored.code, 0, "{restored:?}");
}

#[test]
fn completions_and_manual_pages_are_made() {
    let session = Session::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            session
                .run(&["completions", shell])
                .stdout
                .contains("heirloom")
        );
    }
    assert!(session.run(&["man"]).stdout.starts_with(".ie"));
    assert_eq!(session.run(&["man", "--to", "pages"]).code, 0);
    assert!(session.path("pages/heirloom-backup.1").exists());
    assert!(session.path("pages/heirloom-protect-off.1").exists());
}

#[test]
fn a_kit_is_a_private_new_file() {
    let session = Session::new();
    session.first_backup();
    let ended = session.run(&with_key(&["kit", "store", "--to", "kit.pdf"]));
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(
        fs::read(session.path("kit.pdf"))
            .unwrap()
            .starts_with(b"%PDF-")
    );
    #[cfg(unix)]
    assert_eq!(
        std::os::unix::fs::MetadataExt::mode(&fs::metadata(session.path("kit.pdf")).unwrap())
            & 0o777,
        0o600
    );
    let again = session.run(&with_key(&["kit", "store", "--to", "kit.pdf"]));
    assert!(
        again
            .stderr
            .ends_with("hint: a kit is never replaced: name another file\n"),
        "{again:?}"
    );
}
