//! A first backup that is killed at any moment goes on with the same command line, and never loses the key.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/session.rs"]
mod session;

use std::process::Stdio;
use std::time::Duration;

use session::{Session, sample};

#[test]
fn a_first_backup_that_was_killed_goes_on_with_the_same_command_line() {
    // Microseconds from the start; a whole run takes some tens of milliseconds.
    for after in (0..60_000).step_by(3_000) {
        let session = Session::new();
        let sample = sample().display().to_string();
        let args = [
            "backup",
            &sample,
            "--to",
            "store",
            "--new-recovery-key-file",
            "key.txt",
        ];
        let mut child = session
            .command()
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(after));
        child.kill().unwrap();
        child.wait().unwrap();
        let again = session.run(&args);
        assert_eq!(again.code, 0, "killed after {after} µs: {again:?}");
        let restored = session.run(&[
            "restore",
            "store",
            "--to",
            "out",
            "--recovery-key-file",
            "key.txt",
        ]);
        assert_eq!(restored.code, 0, "killed after {after} µs: {restored:?}");
        assert!(restored.stdout.contains("121 messages"), "{restored:?}");
        let ways = session.run(&[
            "protect",
            "status",
            "store",
            "--recovery-key-file",
            "key.txt",
        ]);
        assert!(
            ways.stdout.contains("proven today"),
            "killed after {after} µs: {ways:?}"
        );
    }
}
