//! A person at a computer: a home, a working folder, and the program.
#![expect(unreachable_pub, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A home and a working folder of their own.
pub struct Session {
    folder: tempfile::TempDir,
    home: String,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program that is tried: what `HEIRLOOM_PROGRAM` names, a release build say; else the one that cargo built beside
/// these tests.
pub fn program() -> PathBuf {
    std::env::var_os("HEIRLOOM_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_heirloom").into(), PathBuf::from)
}

impl Session {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            home: "home".into(),
        }
    }

    /// The same folder seen from another computer.
    pub fn move_to(&mut self, home: &str) {
        home.clone_into(&mut self.home);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, ready to start in the working folder.
    pub fn command(&self) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HEIRLOOM_") {
                command.env_remove(name);
            }
        }
        command
            .env("HEIRLOOM_HOME", self.path(&self.home))
            .env("HEIRLOOM_DEVICE_NAME", "Laptop")
            .env("NO_COLOR", "1");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        self.finish(self.command().args(args))
    }

    pub fn finish(&self, command: &mut Command) -> Ended {
        let output = command.output().unwrap();
        // The folder has another name in every run.
        let folder = self
            .folder
            .path()
            .canonicalize()
            .unwrap()
            .display()
            .to_string();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .unwrap()
                .replace(&folder, "[FOLDER]")
        };
        Ended {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// A first backup of the sample chat into `store`, with its key in `key.txt`.
    pub fn first_backup(&self) -> Ended {
        let sample = sample().display().to_string();
        let ended = self.run(&[
            "backup",
            &sample,
            "--to",
            "store",
            "--new-recovery-key-file",
            "key.txt",
            "--json",
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        ended
    }
}

impl Ended {
    /// The summary, which has to be the last line.
    pub fn summary(&self) -> serde_json::Value {
        let last = self
            .stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("no output: {self:?}"));
        let summary: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            (summary["v"].as_u64(), summary["type"].as_str()),
            (Some(1), Some("summary")),
            "{last}"
        );
        summary
    }
}

/// The sample chat export of this repository.
pub fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/family-chat.zip")
}
