//! An operator at work: `heirloom admin` beside a running server, and a roll-out from the first rule to the kill switch.
#![cfg(unix)]
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

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serving::{ANY_PORT, Serving};
use session::{Ended, Session, sample};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const PASSWORD: [&str; 2] = ["--password-file", "password.txt"];

fn scene(more: &[&str]) -> (Session, Serving, String) {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, more);
    let login = [
        "login",
        &serving.url,
        "--account-file",
        "account.json",
        "--json",
    ];
    let signed_in = done(session.run(&login)).summary();
    let account = signed_in["account"].as_str().unwrap().to_owned();
    (session, serving, account)
}

fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

/// Asks the server, whose socket is there since it said that it listens.
fn admin(session: &Session, args: &[&str]) -> Ended {
    session.run(&[&["admin", "--data", "server"], args].concat())
}

fn says(ended: &Ended, code: i32, stdout: &str, stderr: &str) {
    assert_eq!(ended.stdout, stdout, "{ended:?}");
    assert_eq!(ended.stderr, stderr, "{ended:?}");
    assert_eq!(ended.code, code, "{ended:?}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one session, step by step")]
fn an_operator_looks_after_accounts_in_these_words() {
    let (session, serving, account) = scene(&[]);
    let list = admin(&session, &["users", "list"]);
    let line = |more: &str| format!("{account}  0 bytes of {more}");
    says(&list, 0, &line("107 GB · 1 device\n"), "1 account\n");
    let quota = admin(&session, &["users", "quota", &account, "5K"]);
    says(&quota, 0, "The account may store 5.1 kB from now on\n", "");
    let disabled = admin(&session, &["users", "disable", &account]);
    says(
        &disabled,
        0,
        "The account's sign-ins are refused; nothing was deleted\n",
        "",
    );
    let again = admin(&session, &["users", "disable", &account]);
    says(&again, 0, "The account was disabled already\n", "");
    let list = admin(&session, &["users", "list"]);
    says(
        &list,
        0,
        &line("5.1 kB · 1 device · disabled\n"),
        "1 account\n",
    );
    let refused = session.run(&["invite", &serving.url]);
    assert_eq!(refused.code, 4, "{refused:?}");
    let enabled = admin(&session, &["users", "enable", &account]);
    says(&enabled, 0, "The account's sign-ins are taken again\n", "");
    let invited = done(admin(&session, &["invite", "--json"])).summary();
    assert_eq!(invited["invite"].as_str().unwrap().len(), 22);

    let locks = admin(&session, &["locks", "list"]);
    says(&locks, 0, "", "0 locks; only a proven password opens one\n");
    let accept = admin(&session, &["generation", "accept"]);
    assert_eq!(accept.code, 4, "{accept:?}");
    let accept = admin(&session, &["generation", "accept", "--yes"]);
    let nothing = "The database was not put back from a copy: there is nothing to accept\n";
    says(&accept, 0, nothing, "");
    let keys = admin(&session, &["keys", "status"]);
    let in_file =
        "The server's keys lie in a file: whoever has it and the database can try passwords\n";
    says(&keys, 0, in_file, "");
    done(admin(&session, &["keys", "rotate"]));
    let keys = admin(&session, &["keys", "status"]);
    let changing = format!("{in_file}It is being changed: 0 values wrapped anew so far\n");
    says(&keys, 0, &changing, "");

    // The doctor looks where a server lies when nobody says where.
    fs::create_dir(session.path("home/server")).unwrap();
    fs::copy(
        session.path("server/server.keys"),
        session.path("home/server/server.keys"),
    )
    .unwrap();
    let doctor = done(session.run(&["doctor"]));
    let note = "  • the keys of the server on this computer lie in a file\n";
    assert!(doctor.stdout.contains(note), "{doctor:?}");

    let needs_yes = admin(&session, &["users", "delete", &account]);
    says(
        &needs_yes,
        4,
        "",
        "error: an account is deleted only when somebody confirms it\n\
         hint: add `--yes`; its passwords are destroyed at once, its objects after the grace\n",
    );
    let deleted = admin(&session, &["users", "delete", &account, "--yes"]);
    let gone = "The account is deleted: its passwords at once, its objects after the grace\n";
    says(&deleted, 0, gone, "");
    let show = admin(&session, &["users", "show", &account]);
    says(
        &show,
        1,
        "",
        "error: there is no such account\nhint: `heirloom admin users list` shows all of them\n",
    );
    let no_id = admin(&session, &["users", "show", "me"]);
    says(
        &no_id,
        2,
        "",
        "error: this is no account's id\n\
         hint: it has 22 characters; `heirloom admin users list` shows all of them\n",
    );
    let stats = done(admin(&session, &["stats", "--json"])).summary();
    assert_eq!(
        (&stats["accounts"], &stats["devices"]),
        (&0.into(), &0.into())
    );
    let verified = done(admin(&session, &["audit", "verify", "--json"])).summary();
    assert_eq!(
        (&verified["ok"], &verified["acts"]),
        (&true.into(), &6.into())
    );
    let acts = done(admin(&session, &["audit", "list"]));
    let words: Vec<_> = acts
        .stdout
        .lines()
        .map(|line| line.split_whitespace().nth(2).unwrap())
        .collect();
    let expected = [
        "quota",
        "disable",
        "enable",
        "invite",
        "rotate-keys",
        "delete",
    ];
    assert_eq!(words, expected);
    serving.stop();
    let gone = session.run(&["admin", "--data", "server", "stats"]);
    says(
        &gone,
        1,
        "",
        "error: no server of yours runs on server\n  because there is no such file or folder\n\
         hint: name its folder: `--data DIR`; if it does not run: `heirloom serve --data DIR`\n",
    );
}

/// One rule for each thing that can be added.
fn rules(states: [(&str, &str); 3]) -> String {
    let flags: serde_json::Map<_, _> = states
        .into_iter()
        .map(|(name, state)| {
            let flag = serde_json::json!({
                "state": state, "variants": {"on": true, "off": false}, "defaultVariant": "on",
            });
            (name.to_owned(), flag)
        })
        .collect();
    serde_json::json!({ "flags": flags }).to_string()
}

fn sign(session: &Session, text: &str) -> u64 {
    fs::write(session.path("offers.json"), text).unwrap();
    let args = [
        "admin",
        "rollout",
        "sign",
        "offers.json",
        "--key-file",
        "operator.key",
    ];
    let signed = session.run(&[&args[..], &["--to", "offers.signed", "--json"]].concat());
    done(signed).summary()["version"].as_u64().unwrap()
}

fn until_in_force(session: &Session, version: u64) {
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let stats = done(admin(session, &["stats", "--json"])).summary();
        if stats["rollout_version"] == version {
            return;
        }
        assert!(Instant::now() < until, "{stats}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one session, step by step")]
fn off_means_that_nothing_is_added_and_everything_still_opens() {
    let session = Session::new();
    let made = [
        "admin",
        "rollout",
        "keygen",
        "--key-file",
        "operator.key",
        "--json",
    ];
    let made = done(session.run(&made)).summary();
    let operator = made["operator"].as_str().unwrap().to_owned();
    let metadata = fs::metadata(session.path("operator.key")).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let on = "ENABLED";
    let off = "DISABLED";
    let first = rules([("passkey", off), ("password", on), ("recovery-key", on)]);
    assert_eq!(sign(&session, &first), 1);
    fs::copy(session.path("offers.signed"), session.path("old.signed")).unwrap();
    let rollout = [
        "--rollout",
        "offers.signed",
        "--rollout-operator",
        &operator,
    ];
    let serving = Serving::start(&session, "server", ANY_PORT, &rollout);
    let url = serving.url.clone();
    for name in ["password.txt", "new.txt"] {
        fs::write(
            session.path(name),
            format!("teapot glacier violin {name}\n"),
        )
        .unwrap();
        fs::set_permissions(session.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    done(session.run(&["login", &url, "--account-file", "account.json"]));
    let sample = sample().display().to_string();
    let backup = [
        "backup",
        &sample,
        "--to",
        &url,
        "--new-recovery-key-file",
        "key.txt",
    ];
    done(session.run(&backup));

    let add = |method: &str, more: &[&str]| {
        let args = ["protect", "add", method, &url];
        session.run(&[&args[..], &KEY, more].concat())
    };
    let refused = |ended: Ended, what: &str| {
        says(
            &ended,
            1,
            "",
            &format!(
                "error: {what} is not offered by this server yet\n\
                 hint: what was added before opens as ever; who runs the server decides what can be added\n"
            ),
        );
    };
    refused(add("passkey", &[]), "a passkey");
    done(add("password", &PASSWORD));

    // Killed in the middle of a change of its wrapping key, it goes on where it was.
    done(admin(&session, &["keys", "rotate"]));
    drop(serving);
    let listen = format!("127.0.0.1:{}", url.rsplit(':').next().unwrap());
    let serving = Serving::start(&session, "server", &listen, &rollout);
    let keys = done(admin(&session, &["keys", "status", "--json"])).summary();
    assert_eq!(keys["wrapping_keys"], 2);

    // The kill switch, while it runs.
    let second = rules([("passkey", off), ("password", off), ("recovery-key", off)]);
    assert_eq!(sign(&session, &second), 2);
    until_in_force(&session, 2);
    refused(
        add("recovery-key", &["--new-key-file", "second.txt"]),
        "another recovery key",
    );
    assert!(!session.path("second.txt").exists());
    // Everything that was there opens, is checked, and is changed.
    let args = [
        "restore",
        &url,
        "--to",
        "restored",
        "--account-file",
        "account.json",
    ];
    done(session.run(&[&args[..], &PASSWORD].concat()));
    done(session.run(&[&["protect", "check", &url][..], &PASSWORD].concat()));
    done(session.run(&[&["protect", "check", &url][..], &KEY].concat()));
    let change = ["protect", "change", "password", &url, "--json"];
    let new = ["--new-password-file", "new.txt"];
    let changed = done(session.run(&[&change[..], &KEY, &new].concat())).summary();
    let way = changed["way"].as_str().unwrap();
    let remove = ["protect", "remove", &url, way, "--yes"];
    done(session.run(&[&remove[..], &KEY].concat()));
    refused(add("password", &PASSWORD), "a password");

    // Older rules, on a server that was made to forget the newer ones: this computer has not forgotten.
    serving.stop();
    fs::copy(session.path("old.signed"), session.path("offers.signed")).unwrap();
    fs::remove_file(session.path("server/rollout.seen")).unwrap();
    let serving = Serving::start(&session, "server", &listen, &rollout);
    let ended = add("password", &PASSWORD);
    says(
        &ended,
        13,
        "",
        &format!(
            "error: {url} went back in time in what it offers\n  \
             because the rules have version 1, and version 2 was seen already\n\
             hint: ask who runs the server; until you know, add nothing there. What was added before opens as ever\n"
        ),
    );
    done(session.run(&[&["protect", "check", &url][..], &KEY].concat()));
    serving.stop();
}

#[test]
fn rules_are_explained_in_these_words() {
    let session = Session::new();
    let targeting =
        serde_json::json!({"if": [{"in": [{"var": "platform"}, ["android", "ios"]]}, "on", "off"]});
    let text = serde_json::json!({"flags": {
        "passkey": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off", "targeting": targeting},
        "password": {"state": "DISABLED", "variants": {"on": true}, "defaultVariant": "on"},
    }});
    fs::write(session.path("offers.json"), text.to_string()).unwrap();
    let explain = |more: &[&str]| {
        let args = ["admin", "rollout", "explain", "--rules", "offers.json"];
        session.run(&[&args[..], more].concat())
    };
    says(
        &explain(&["--platform", "linux"]),
        0,
        "device-approval: offered, for no rule names it\n\
         passkey: not offered, by the rule's choice\n  \
           {\"if\":[{\"in\":[{\"var\":\"platform\"},[\"android\",\"ios\"]]},\"on\",\"off\"]} → \"off\"\n    \
             {\"in\":[{\"var\":\"platform\"},[\"android\",\"ios\"]]} → false\n      \
               {\"var\":\"platform\"} → \"linux\"\n      \
               [\"android\",\"ios\"] → [\"android\",\"ios\"]\n\
         password: not offered, for it is switched off\n\
         recovery-key: offered, for no rule names it\n",
        "These rules are not signed yet: no server takes them\n",
    );
    let decided = done(explain(&[
        "--platform",
        "ios",
        "--feature",
        "passkey",
        "--json",
    ]));
    let event: serde_json::Value =
        serde_json::from_str(decided.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        (
            &event["type"],
            &event["offered"],
            &event["reason"],
            &event["variant"]
        ),
        (
            &"decision".into(),
            &true.into(),
            &"targeting".into(),
            &"on".into()
        )
    );
    assert_eq!(event["steps"].as_array().unwrap().len(), 4);
}

#[test]
fn rules_are_signed_under_growing_numbers_and_forgeries_are_found() {
    let session = Session::new();
    fs::write(session.path("offers.json"), r#"{"flags":{}}"#).unwrap();
    done(session.run(&["admin", "rollout", "keygen", "--key-file", "operator.key"]));
    let again = session.run(&["admin", "rollout", "keygen", "--key-file", "operator.key"]);
    assert_eq!(again.code, 1, "a key is never replaced: {again:?}");
    let sign = |more: &[&str]| {
        let args = [
            "admin",
            "rollout",
            "sign",
            "offers.json",
            "--key-file",
            "operator.key",
        ];
        session.run(&[&args[..], &["--to", "offers.signed"], more].concat())
    };
    says(
        &sign(&["--number", "7"]),
        0,
        "Version 7 is signed: 0 flags\n",
        "",
    );
    says(
        &sign(&["--number", "7"]),
        2,
        "",
        "error: the rules there have number 7: no server takes 7 after that\n\
         hint: leave `--number` out: then it is one more\n",
    );
    says(&sign(&[]), 0, "Version 8 is signed: 0 flags\n", "");
    done(session.run(&["admin", "rollout", "verify", "offers.signed"]));
    let mut signed = fs::read(session.path("offers.signed")).unwrap();
    *signed.last_mut().unwrap() ^= 1;
    fs::write(session.path("forged"), signed).unwrap();
    let forged = session.run(&["admin", "rollout", "verify", "forged"]);
    says(
        &forged,
        13,
        "",
        "error: forged is not what its operator signed\n",
    );
    fs::write(
        session.path("offers.json"),
        r#"{"flags":{"a":{"state":"on"}}}"#,
    )
    .unwrap();
    says(
        &session.run(&["admin", "rollout", "explain", "--rules", "offers.json"]),
        1,
        "",
        "error: offers.json holds no rules that can be taken\n  \
         because flags.a.state: must be ENABLED or DISABLED\n\
         hint: their form is in docs/rollout.md\n",
    );
}
