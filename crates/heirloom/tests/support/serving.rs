//! The program as a server that ends with the test, and the files that signing in to it takes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;

use crate::session::Session;

/// A server that ends with the test.
pub struct Serving {
    child: Child,
    pub url: String,
    last_line: Option<JoinHandle<String>>,
}

/// A port that is free.
pub const ANY_PORT: &str = "127.0.0.1:0";

impl Serving {
    /// Gives it a home of its own and waits until it listens.
    pub fn start(session: &Session, data: &str, listen: &str, more: &[&str]) -> Self {
        let mut child = session
            .command()
            .args(["serve", "--json", "--listen", listen, "--data", data])
            .args(more)
            .env("HEIRLOOM_HOME", session.path("home-of-the-server"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        // What comes before: rules that were taken, say.
        let url = loop {
            let mut line = String::new();
            assert!(stdout.read_line(&mut line).unwrap() > 0, "no server");
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["type"] == "listening" {
                break event["url"].as_str().unwrap().to_owned();
            }
        };
        // It writes on; nobody must make it wait.
        let last_line = std::thread::spawn(move || {
            let lines = stdout.lines().map_while(Result::ok);
            lines.last().unwrap_or_default()
        });
        Self {
            child,
            url,
            last_line: Some(last_line),
        }
    }

    pub fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    /// Where its socket is, for who wants to stand in between.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// Ends it as the system does, and returns its exit code and last line.
    pub fn stop(mut self) -> (i32, String) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
        assert!(killed.success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let last_line = self.last_line.take().unwrap().join();
        (code, last_line.unwrap())
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A file that only its owner may read: passwords and accounts lie so, or the program refuses them.
pub fn secret_file(session: &Session, name: &str, text: &str) {
    let path = session.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}
