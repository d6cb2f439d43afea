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
#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/session.rs"]
mod session;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

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
