//! What happens where a person sits: the new key is shown once, and two of its groups are typed again.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails, or says so"
)]

#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/owner.rs"]
mod owner;
#[expect(
    dead_code,
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
#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/session.rs"]
mod session;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use running::Running;
use serving::{ANY_PORT, Serving};
use session::{Session, sample};

/// Runs a command line on a terminal and answers what it asks. `None` where no terminal can be made.
fn on_a_terminal(
    session: &Session,
    line: &str,
    mut answer: impl FnMut(&str) -> Option<String>,
) -> Option<(i32, String)> {
    let program = session.command();
    let mut command = Command::new("script");
    let line = format!("'{}' {line}", session::program().display());
    command.args(["-qefc", &line, "/dev/null"]);
    command.current_dir(session.path(""));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .ok()?;
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let (mut seen, mut answered) = (String::new(), 0);
    let mut bytes = [0; 4096];
    while let Ok(len @ 1..) = screen.read(&mut bytes) {
        seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
        if let Some(text) = seen.get(answered..).and_then(&mut answer) {
            answered = seen.len();
            // Whoever types does so after the terminal has stopped to show it.
            std::thread::sleep(Duration::from_millis(100));
            writeln!(keyboard, "{text}").unwrap();
        }
    }
    let code = child.wait().unwrap().code().unwrap_or(-1);
    Some((code, seen))
}

/// The groups of the key as it stands on the screen.
fn shown_groups(screen: &str) -> Vec<String> {
    let is_group = |word: &str| word.len() == 4 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let lines = screen
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let lines = lines.filter(|words| words.len() == 4 && words.iter().all(|word| is_group(word)));
    lines.flatten().map(str::to_owned).collect()
}

fn asked_group(new: &str) -> Option<usize> {
    let number = new.rsplit_once("type group ")?.1.strip_suffix(": ")?;
    number.parse().ok()
}

#[test]
fn a_new_key_is_shown_once_confirmed_and_opens_the_backup() {
    let session = Session::new();
    let backup = format!("backup '{}' --to store", sample().display());
    let mut groups = Vec::new();
    let ended = on_a_terminal(&session, &backup, |new| {
        if groups.len() < 16 {
            groups = shown_groups(new);
        }
        asked_group(new).map(|number| groups[number - 1].clone())
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 0, "{screen}");
    assert_eq!(shown_groups(&screen), groups, "the key is shown once");
    assert_eq!(groups.len(), 16);
    assert!(screen.contains("Nobody will ever ask you for this key"));
    let (code, screen) = on_a_terminal(&session, "snapshots store", |new| {
        let number: usize = new
            .rsplit_once("from group ")?
            .1
            .strip_suffix(": ")?
            .parse()
            .ok()?;
        Some(groups[number - 1..(number + 4).min(16)].join(" "))
    })
    .unwrap();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("groups 1 to 5 of 16 are there"), "{screen}");
    assert!(screen.contains("1 snapshot of 1 device"), "{screen}");
    assert!(
        shown_groups(&screen).is_empty(),
        "what is typed is not shown: {screen}"
    );
}

#[test]
fn a_key_that_is_not_confirmed_makes_no_backup() {
    let session = Session::new();
    let backup = format!("backup '{}' --to store", sample().display());
    let ended = on_a_terminal(&session, &backup, |new| {
        asked_group(new).map(|_| "beef".into())
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 4, "{screen}");
    assert!(
        screen.contains("error: the recovery key was not confirmed, and nothing was stored"),
        "{screen}"
    );
    assert!(!session.path("store").exists());
}

#[test]
fn a_person_is_asked_which_way_and_may_choose_again_when_it_fails() {
    let session = Session::new();
    let made = session.run(&[
        "backup",
        &sample().display().to_string(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let mut owner = owner::Owner::joins(&session);
    owner.adds_passkey("Laptop", "localhost", owner::synced(2), 8);
    owner.adds_passkey("Phone", "example.org", owner::synced(3), 9);
    let key = std::fs::read_to_string(session.path("key.txt")).unwrap();
    let digits: String = key.lines().filter(|line| !line.starts_with('#')).collect();
    let wrong = digits.replace(|c: char| c.is_ascii_hexdigit(), "a");
    let mut asked = 0;
    let ended = on_a_terminal(&session, "snapshots store", |new| {
        if new.ends_with("Which one? [1] ") {
            asked += 1;
            return Some(if asked == 1 { "7" } else { "2" }.into());
        }
        new.ends_with("Recovery key, from group 1: ").then(|| {
            if asked == 2 {
                wrong.clone()
            } else {
                digits.clone()
            }
        })
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 0, "{screen}");
    for said in [
        "This backup can be opened with:\r\n  1. a passkey (in your browser, password manager or security key, saved for localhost)\r\n  2. the recovery key (64 digits)\r\n     not from here: a passkey saved for example.org, which only that site can ask for\r\n",
        "  type a number from 1 to 2\r\n",
        "error: at least two groups of the recovery key are wrong",
        "a passkey (`--passkey`) opens this backup too",
        "1 snapshot of 1 device",
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    assert_eq!(asked, 3);
}

#[test]
fn turning_off_offers_an_export_first() {
    let session = Session::new();
    let made = session.run(&[
        "backup",
        &sample().display().to_string(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let off = "protect off store --recovery-key-file key.txt";
    let ended = on_a_terminal(&session, off, |new| {
        new.ends_with("export your chats first? [y/N] ")
            .then(|| "y".into())
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 1, "{screen}");
    assert!(
        screen.contains("There is no backup without encryption"),
        "{screen}"
    );
    assert!(
        screen.contains("hint: export: `heirloom export "),
        "{screen}"
    );
    let (code, screen) = on_a_terminal(&session, off, |new| {
        if new.ends_with("export your chats first? [y/N] ") {
            return Some("n".into());
        }
        new.ends_with("Turn this backup off? [y/N] ")
            .then(|| "y".into())
    })
    .unwrap();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("This backup is off: from 20"), "{screen}");
}

#[test]
fn removing_asks_with_its_consequence() {
    let session = Session::new();
    let made = session.run(&[
        "backup",
        &sample().display().to_string(),
        "--to",
        "store",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    owner::Owner::joins(&session).adds_passkey("Laptop", "localhost", owner::synced(2), 8);
    let remove = "protect remove store Laptop --recovery-key-file key.txt";
    let ended = on_a_terminal(&session, remove, |new| {
        new.ends_with("[y/N] ").then(|| "n".into())
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 1, "{screen}");
    assert!(
        screen.contains("what opens the backup then: Recovery key; a copy of the store made before now still opens with it"),
        "{screen}"
    );
    assert!(
        screen.contains("Remove the way in \"Laptop\"? [y/N] "),
        "{screen}"
    );
    assert!(screen.contains("error: nothing was changed"), "{screen}");
}

/// A server with an account, and a backup in it.
fn on_a_server() -> (Session, Serving) {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    let url = serving.url.as_str();
    let sample = sample().display().to_string();
    for args in [
        vec!["login", url, "--account-file", "account.json"],
        vec![
            "backup",
            &sample,
            "--to",
            url,
            "--new-recovery-key-file",
            "key.txt",
        ],
    ] {
        let ended = session.run(&args);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    (session, serving)
}

#[test]
fn a_password_is_typed_twice_unseen_and_asked_for_again_when_it_is_wrong() {
    let (session, serving) = on_a_server();
    let url = &serving.url;
    let add = format!("protect add password {url} --recovery-key-file key.txt");
    let typed = [
        ("New password: ", "password1"),
        ("New password: ", "teapot glacier violin"),
        ("Once more: ", "teapot glacier viola"),
        ("New password: ", "teapot glacier violin"),
        ("Once more: ", "teapot glacier violin"),
    ];
    let mut next = typed.iter();
    let ended = on_a_terminal(&session, &add, |new| {
        let (prompt, text) = next.clone().next()?;
        new.ends_with(prompt).then(|| {
            next.next();
            (*text).to_owned()
        })
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 0, "{screen}");
    assert!(next.next().is_none(), "{screen}");
    for said in [
        "error: the password is too easy to guess\r\n",
        "this is a very common password",
        "hint: three or four words that do not belong together are easy to keep in mind and hard to guess",
        "  the two are not the same\r\n",
        "\"Password\" was added, and opens the backup",
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    let unseen = |screen: &str| !screen.contains("teapot") && !screen.contains("password1");
    assert!(unseen(&screen), "{screen}");

    // Elsewhere: the person chooses the password, mistypes it once, and is told how many guesses are left.
    let typed = [
        ("Which one? [1] ", "1"),
        ("Password: ", "teapot glacier viola"),
        ("Which one? [1] ", ""),
        ("Password: ", "teapot glacier violin"),
    ];
    let mut next = typed.iter();
    let restore = format!("restore {url} --to out");
    let (code, screen) = on_a_terminal(&session, &restore, |new| {
        let (prompt, text) = next.clone().next()?;
        new.ends_with(prompt).then(|| {
            next.next();
            (*text).to_owned()
        })
    })
    .unwrap();
    assert_eq!(code, 0, "{screen}");
    for said in [
        "  1. the password (checked by http://localhost:",
        "  2. the recovery key (64 digits)\r\n",
        "error: wrong password, 9 guesses left\r\n",
        "the recovery key (`--recovery-key-file FILE`)",
        "1 wrong password was tried since this one was last used",
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    assert!(unseen(&screen), "{screen}");
    assert!(session.path("out").is_dir());
}

#[test]
fn a_password_that_is_never_typed_alike_adds_nothing() {
    let (session, serving) = on_a_server();
    let add = format!(
        "protect add password {} --recovery-key-file key.txt",
        serving.url
    );
    let mut typed = 0;
    let ended = on_a_terminal(&session, &add, |new| {
        (new.ends_with("New password: ") || new.ends_with("Once more: ")).then(|| {
            typed += 1;
            format!("teapot glacier violin {typed}")
        })
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!((code, typed), (4, 10), "{screen}");
    assert!(
        screen.contains("error: no password was chosen\r\n"),
        "{screen}"
    );
    let status = session.run(&[
        "protect",
        "status",
        &serving.url,
        "--recovery-key-file",
        "key.txt",
    ]);
    assert!(!status.stdout.contains("Password"), "{status:?}");
}

#[test]
fn who_lets_a_computer_in_is_asked_plainly_whether_it_may_open_the_backup() {
    let (session, serving) = on_a_server();
    let url = serving.url.as_str();
    for says in ["n", "y"] {
        let file = format!("new-{says}.json");
        let login = [
            "login",
            url,
            "--approve",
            "--device-name",
            "Phone",
            "--json",
            "--account-file",
            &file,
        ];
        let mut new = Running::start(&session, &format!("new-home-{says}"), &login);
        let code = new.event("approval")["code"].as_str().unwrap().to_owned();
        let approve = format!("approve {url} --code {code} --recovery-key-file key.txt");
        let ended = on_a_terminal(&session, &approve, |screen| {
            if screen.ends_with("Let it? [y/N] ") {
                return Some(says.to_owned());
            }
            screen.ends_with("the same six words? [y/N] ").then(|| {
                let words = new.event("words")["words"].as_str().unwrap().to_owned();
                assert!(screen.contains(&words), "{screen}");
                new.say(&words);
                "y".to_owned()
            })
        });
        let Some((code, screen)) = ended else {
            println!("skipped: `script` is not here");
            return;
        };
        assert_eq!(code, 0, "{screen}");
        assert_eq!(new.code(), Some(0));
        let asked = format!(
            "Also let it open the backup in {url}? It can then read every chat, until you remove it. Let it? [y/N] "
        );
        assert!(screen.contains(&asked), "{screen}");
        let outcome = match says {
            "n" => "The new computer was let into your account. It opens no backup by that",
            _ => "The new computer was let into your account, and opens the backup as \"Phone\"",
        };
        assert!(screen.contains(outcome), "{screen}");
        let mut restore = session.command();
        restore
            .env("HEIRLOOM_HOME", session.path(&format!("new-home-{says}")))
            .args(["restore", url, "--to", &format!("out-{says}")]);
        let ended = session.finish(&mut restore);
        assert_eq!(ended.code, if says == "y" { 0 } else { 4 }, "{ended:?}");
    }
}

#[test]
fn a_kits_sign_in_is_typed_line_by_line_and_a_wrong_letter_is_told() {
    let (session, serving) = on_a_server();
    let url = serving.url.as_str();
    let kit = session.run(&[
        "kit",
        url,
        "--with-sign-in",
        "--recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(kit.code, 0, "{kit:?}");
    let lines: Vec<String> = kit
        .stdout
        .lines()
        .skip_while(|line| *line != "SIGN-IN")
        .filter(|line| line.split_whitespace().count() == 4 && line.trim().len() == 22)
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(lines.len(), 5, "{kit:?}");
    let mut wrong: Vec<String> = lines.clone();
    let first = if wrong[2].starts_with('Z') { "Y" } else { "Z" };
    wrong[2].replace_range(..1, first);
    let mut typed = [vec!["too short".to_owned()], wrong, lines.clone()]
        .concat()
        .into_iter();
    let login = format!("login {url} --from-kit --account-file new.json");
    let ended = on_a_terminal(&session, &login, |new| {
        let is_prompt = new
            .rsplit_once("Sign-in, line ")
            .is_some_and(|(_, rest)| rest.len() == 3 && rest.ends_with(": "));
        is_prompt.then(|| typed.next().unwrap())
    });
    let Some((code, screen)) = ended else {
        println!("skipped: `script` is not here");
        return;
    };
    assert_eq!(code, 0, "{screen}");
    assert!(typed.next().is_none());
    for said in [
        "  a line has 16 letters and digits; type this line again\r\n",
        &format!("error: a letter is wrong, or this is no sign-in to {url}\r\n"),
        &format!("Signed in to {url}\r\n"),
    ] {
        assert!(screen.contains(said), "{said}: {screen}");
    }
    assert!(!screen.contains(&lines[0]), "what is typed is not shown");
}
