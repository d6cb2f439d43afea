//! Heirloom and its peers: how each is asked for the same work.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::ValueEnum;

use crate::measure::Job;

/// A backup program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Tool {
    Heirloom,
    Restic,
    Borg,
    Rustic,
    Bupstash,
}

/// A piece of work that all of them can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    First,
    Unchanged,
    NextDay,
    /// The next day on a new device: the repository is there, everything kept locally is lost.
    NextDayFresh,
    Restore,
    Messages,
    Check,
}

impl Step {
    pub(crate) const ALL: [Self; 7] = [
        Self::First,
        Self::Unchanged,
        Self::NextDay,
        Self::NextDayFresh,
        Self::Restore,
        Self::Messages,
        Self::Check,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::First => "first backup",
            Self::Unchanged => "unchanged",
            Self::NextDay => "next day",
            Self::NextDayFresh => "next day, no local state",
            Self::Restore => "full restore",
            Self::Messages => "messages only",
            Self::Check => "check all data",
        }
    }
}

/// Where one tool works. Everything it may keep is below `root`.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) root: PathBuf,
    pub(crate) source: PathBuf,
    /// Where it restores to: a folder that was not there before.
    pub(crate) out: PathBuf,
}

impl Place {
    pub(crate) fn repository(&self) -> PathBuf {
        self.root.join("repository")
    }

    fn text(&self, name: &str) -> String {
        self.root.join(name).display().to_string()
    }

    fn source_text(&self) -> String {
        self.source.display().to_string()
    }
}

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Heirloom => "heirloom",
            Self::Restic => "restic",
            Self::Borg => "borg",
            Self::Rustic => "rustic",
            Self::Bupstash => "bupstash",
        }
    }

    /// Its program: ours from the release build, peers from the path or the folder with peers.
    pub(crate) fn program(self, peers: Option<&Path>) -> PathBuf {
        if self == Self::Heirloom {
            let beside = std::env::current_exe()
                .ok()
                .and_then(|exe| Some(exe.parent()?.join("heirloom")));
            return beside.unwrap_or_else(|| PathBuf::from("heirloom"));
        }
        let given = peers
            .map(|dir| dir.join(self.name()))
            .filter(|path| path.is_file());
        given.unwrap_or_else(|| PathBuf::from(self.name()))
    }

    pub(crate) fn version(self, peers: Option<&Path>) -> Option<String> {
        let flag = if self == Self::Restic {
            "version"
        } else {
            "--version"
        };
        let out = Command::new(self.program(peers)).arg(flag).output().ok()?;
        let text = String::from_utf8_lossy(&out.stdout);
        out.status
            .success()
            .then(|| text.lines().next().unwrap_or_default().to_owned())
    }

    /// Makes what must be there before the first backup, unmeasured.
    pub(crate) fn prepare(self, place: &Place, peers: Option<&Path>) -> Result<()> {
        let inits: &[&[&str]] = match self {
            Self::Heirloom => &[],
            Self::Restic | Self::Rustic => &[&["init"]],
            Self::Borg => &[&["init", "--encryption", "repokey"]],
            Self::Bupstash => &[&["new-key", "-o", &place.text("key")], &["init"]],
        };
        for args in inits {
            let done = Command::new(self.program(peers))
                .args(*args)
                .envs(self.env(place, false))
                .output()?;
            let said = String::from_utf8_lossy(&done.stderr);
            ensure!(
                done.status.success(),
                "{} {}: {said}",
                self.name(),
                args.join(" ")
            );
        }
        Ok(())
    }

    /// The work as a command line; `None` where a tool has no such thing.
    pub(crate) fn job(self, step: Step, place: &Place, peers: Option<&Path>) -> Option<Job> {
        let source = place.source_text();
        let (repository, out) = (place.text("repository"), place.out.display().to_string());
        let below = source.trim_start_matches('/').to_owned();
        let (mut dir, mut stdout) = (None, None);
        let args: Vec<String> = match (self, step) {
            (Self::Heirloom, step) => {
                heirloom(step, &source, &repository, &out, &place.text("key.txt"))
            }
            (_, Step::NextDayFresh) => return None,
            (Self::Restic, Step::First | Step::Unchanged | Step::NextDay) => {
                words(&["backup", "--quiet", &source])
            }
            (Self::Restic, Step::Restore) => {
                words(&["restore", "latest", "--quiet", "--target", &out])
            }
            (Self::Restic, Step::Messages) => words(&[
                "restore",
                "latest",
                "--quiet",
                "--target",
                &out,
                "--include",
                &format!("{source}/msgstore.db"),
            ]),
            (Self::Restic | Self::Rustic, Step::Check) => words(&["check", "--read-data"]),
            (Self::Rustic, Step::First | Step::Unchanged | Step::NextDay) => {
                words(&["backup", "--no-progress", &source])
            }
            (Self::Rustic, Step::Restore) => words(&["restore", "--no-progress", "latest", &out]),
            (Self::Rustic, Step::Messages) => words(&[
                "restore",
                "--no-progress",
                &format!("latest:{source}/msgstore.db"),
                &format!("{out}/msgstore.db"),
            ]),
            (Self::Borg, Step::First) => words(&["create", "::first", &source]),
            (Self::Borg, Step::Unchanged) => words(&["create", "::again", &source]),
            (Self::Borg, Step::NextDay) => words(&["create", "::next", &source]),
            (Self::Borg, Step::Restore | Step::Messages) => {
                dir = Some(place.out.clone());
                let database = format!("{below}/msgstore.db");
                let path = (step == Step::Messages).then_some(database.as_str());
                words(&[&["extract", "::next"], path.as_slice()].concat())
            }
            (Self::Borg, Step::Check) => words(&["check", "--verify-data"]),
            (Self::Bupstash, Step::First | Step::Unchanged | Step::NextDay) => {
                let tag = format!("step={}", step.name().replace(' ', "-"));
                words(&[
                    "put",
                    "--no-progress",
                    "--send-log",
                    &place.text("send-log"),
                    &tag,
                    &source,
                ])
            }
            (Self::Bupstash, Step::Restore) => {
                words(&["restore", "--quiet", "--into", &out, "step=next-day"])
            }
            (Self::Bupstash, Step::Messages) => {
                stdout = Some(place.out.join("msgstore.db"));
                words(&["get", "--quiet", "--pick", "msgstore.db", "step=next-day"])
            }
            // It has no check of the data: reading everything is the nearest.
            (Self::Bupstash, Step::Check) => {
                stdout = Some(PathBuf::from("/dev/null"));
                words(&["get", "--quiet", "step=next-day"])
            }
        };
        let env = self.env(place, step == Step::NextDayFresh);
        Some(Job {
            program: self.program(peers),
            args,
            env,
            dir,
            stdout,
        })
    }

    fn env(self, place: &Place, fresh: bool) -> Vec<(String, String)> {
        let home = place.text(if fresh { "fresh-home" } else { "home" });
        let repository = place.text("repository");
        let mut env = vec![
            ("HOME", home.clone()),
            ("XDG_CACHE_HOME", format!("{home}/.cache")),
            ("XDG_CONFIG_HOME", format!("{home}/.config")),
        ];
        match self {
            Self::Heirloom => env.push(("HEIRLOOM_HOME", format!("{home}/heirloom"))),
            Self::Restic => env.extend([
                ("RESTIC_REPOSITORY", repository),
                ("RESTIC_PASSWORD", "bench".to_owned()),
            ]),
            Self::Rustic => env.extend([
                ("RUSTIC_REPOSITORY", repository),
                ("RUSTIC_PASSWORD", "bench".to_owned()),
            ]),
            Self::Borg => env.extend([
                ("BORG_REPO", repository),
                ("BORG_PASSPHRASE", "bench".to_owned()),
                ("BORG_BASE_DIR", home.clone()),
            ]),
            Self::Bupstash => env.extend([
                ("BUPSTASH_REPOSITORY", repository),
                ("BUPSTASH_KEY", place.text("key")),
            ]),
        }
        env.into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

fn heirloom(step: Step, source: &str, repository: &str, out: &str, key: &str) -> Vec<String> {
    let opened = ["--recovery-key-file", key, "--json"];
    let work: &[&str] = match step {
        Step::First => {
            return words(&[
                "backup",
                source,
                "--to",
                repository,
                "--new-recovery-key-file",
                key,
                "--json",
            ]);
        }
        // This computer may add to its own backup without a key.
        Step::Unchanged | Step::NextDay => {
            return words(&["backup", source, "--to", repository, "--json"]);
        }
        Step::NextDayFresh => &["backup", source, "--to", repository, "--join"],
        Step::Restore => &["restore", repository, "--to", out],
        Step::Messages => &["restore", repository, "--to", out, "--messages-only"],
        Step::Check => &["check", repository, "--read-data"],
    };
    words(&[work, &opened].concat())
}

fn words(args: &[&str]) -> Vec<String> {
    args.iter().map(ToString::to_string).collect()
}
