//! A browser with passkeys in software, which takes the page's part from the opening file on.
#![expect(unreachable_pub, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use super::session::{Ended, Session};

/// Starts the program and hands out the file that it wants opened, with what it said until then. `None` when it ended without.
pub fn start(session: &Session, args: &[&str]) -> (Child, Option<PathBuf>, String) {
    let mut child = session
        .command()
        .args(args)
        .arg("--no-browser")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (file, said) = file_to_open(&mut child);
    (child, file, said)
}

/// The file that a run wants opened, and what it said until then.
pub fn file_to_open(child: &mut Child) -> (Option<PathBuf>, String) {
    let mut said = String::new();
    // Unbuffered beyond a line: whoever waits for the end reads the rest.
    let mut stderr = child.stderr.take().unwrap();
    let file = loop {
        let Some(line) = line(&mut stderr) else {
            break None;
        };
        said.push_str(&line);
        let path = line.trim();
        if Path::new(path).extension().is_some_and(|end| end == "html") {
            break Some(PathBuf::from(path));
        }
    };
    child.stderr = Some(stderr);
    (file, said)
}

/// One line, byte by byte.
fn line(from: &mut impl Read) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).ok()? == 1 {
        line.push(byte[0]);
        if byte[0] == b'\n' {
            return String::from_utf8(line).ok();
        }
    }
    (!line.is_empty()).then(|| String::from_utf8(line).unwrap())
}

/// Waits for the end of what was started.
pub fn finish(session: &Session, mut child: Child, mut said: String) -> Ended {
    let stderr = child.stderr.take().unwrap();
    let talk = std::thread::spawn(move || {
        let lines = BufReader::new(stderr).lines();
        lines
            .map_while(Result::ok)
            .map(|line| line + "\n")
            .collect::<String>()
    });
    let mut stdout = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut stdout)
        .unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    said.push_str(&talk.join().unwrap());
    let folder = session
        .path("")
        .canonicalize()
        .unwrap()
        .display()
        .to_string();
    let tame = |text: &str| text.replace(&folder, "[FOLDER]");
    Ended {
        code,
        stdout: tame(&stdout),
        stderr: tame(&said),
    }
}

/// Runs the program while a browser with the passkeys of `wallet` is at hand.
pub fn run(session: &Session, args: &[&str], wallet: &str) -> Ended {
    let (child, file, said) = start(session, args);
    if let Some(file) = file {
        heirloom_ceremony::software::open(&session.path(wallet), &file).unwrap();
    }
    finish(session, child, said)
}
