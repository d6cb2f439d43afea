//! `heirloom serve`: one process for each node, which is the first in its address of the database.
//!
//! The program is the one that is released. Its clock is set forth by libfaketime, so that no back-off is waited for.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use heirloom_vault_api::{Fixed, Invite};
use serde_json::Value;

use super::network::{self, NODES, SERVERS, address};

const CONFIG: &str = include_str!("../../cluster/server.toml");

/// How far the servers' clock is ahead.
#[derive(Debug)]
pub(super) struct Clock {
    file: PathBuf,
}

impl Clock {
    pub(super) fn new(folder: &Path) -> Result<Self> {
        let clock = Self {
            file: folder.join("clock"),
        };
        clock.set(0)?;
        Ok(clock)
    }

    /// Replaced by renaming: there is always a whole one.
    pub(super) fn set(&self, ahead_s: u64) -> Result<()> {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("+{ahead_s}\n"))?;
        Ok(fs::rename(next, &self.file)?)
    }
}

/// One server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    program: PathBuf,
    data: PathBuf,
    child: Child,
}

/// What all servers are started with.
#[derive(Debug)]
pub(super) struct Setup<'a> {
    pub(super) program: &'a Path,
    pub(super) folder: &'a Path,
    pub(super) logs: &'a Path,
    pub(super) faketime: &'a Path,
    pub(super) clock: &'a Clock,
    pub(super) password: &'a str,
}

impl Server {
    /// Starts a server whose connections prefer node `number` + 1. All have the keys of the first.
    pub(super) fn start(setup: &Setup<'_>, number: usize) -> Result<Self> {
        let folder = |number: usize| setup.folder.join(format!("s{number}"));
        let data = folder(number);
        fs::create_dir(&data)?;
        if number > 0 {
            fs::copy(folder(0).join("server.keys"), data.join("server.keys"))?;
        }
        let hosts = (0..NODES).map(|next| address((number + next) % NODES + 1).to_string());
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let url = data.join("database-url");
        let text = format!("postgres://heirloom:{}@{hosts}/heirloom\n", setup.password);
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&url)?;
        file.write_all(text.as_bytes())?;
        fs::write(data.join("server.toml"), CONFIG)?;
        let until = Instant::now() + Duration::from_mins(1);
        loop {
            match Self::try_start(setup, number, &data) {
                Ok(server) => return Ok(server),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    fn try_start(setup: &Setup<'_>, number: usize, data: &Path) -> Result<Self> {
        let port = 8750 + u16::try_from(number)?;
        let address = SocketAddr::from((address(SERVERS), port));
        let log = setup.logs.join(format!("server-{number}.txt"));
        let log = File::options().append(true).create(true).open(log)?;
        let set = |name: &str, value: &Path| format!("{name}={}", value.display());
        let mut lines = log.try_clone()?;
        let mut child = network::on(SERVERS, "env")
            .arg(set("LD_PRELOAD", setup.faketime))
            .arg(set("FAKETIME_TIMESTAMP_FILE", &setup.clock.file))
            .args([
                "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1",
                "NO_FAKE_STAT=1",
            ])
            .arg(set("SSL_CERT_FILE", &setup.folder.join("ca.crt")))
            .arg(setup.program)
            .args([
                "serve",
                "--json",
                "--listen",
                &address.to_string(),
                "--data",
            ])
            .arg(data)
            .arg("--config")
            .arg(data.join("server.toml"))
            .arg("--database-url-file")
            .arg(data.join("database-url"))
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .context("start heirloom serve")?;
        let stdout = child.stdout.take().context("its output")?;
        let (told, listens) = mpsc::channel();
        // Read to its end: a server whose lines nobody reads would stand still.
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.contains("\"listening\"") {
                    let _ = told.send(());
                }
                let _ = writeln!(lines, "{line}");
            }
        });
        if listens.recv_timeout(Duration::from_mins(2)).is_err() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("heirloom serve does not start: {}", setup.logs.display());
        }
        Ok(Self {
            address,
            program: setup.program.to_owned(),
            data: data.to_owned(),
            child,
        })
    }

    /// Whether the process is still there.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn admin(&self, words: &[&str]) -> Result<Vec<Value>> {
        let done = Command::new(&self.program)
            .args(["admin", "--data"])
            .arg(&self.data)
            .args(words)
            .arg("--json")
            .stdin(Stdio::null())
            .output()?;
        let text = String::from_utf8_lossy(&done.stdout);
        if !done.status.success() {
            let error = String::from_utf8_lossy(&done.stderr);
            bail!("heirloom admin {}: {text}{error}", words.join(" "));
        }
        Ok(text
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?)
    }

    /// A new server on a database counts as a restore, until its operator says otherwise.
    pub(super) fn accept(&self) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            // It listens a moment before its operator's socket is there.
            match self.admin(&["generation", "accept", "--yes"]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        }
    }

    /// An invitation to a new account.
    pub(super) fn invite(&self) -> Result<Invite> {
        let lines = self.admin(&["invite"])?;
        let code = lines
            .iter()
            .find_map(|line| line.get("invite").or_else(|| line.get("code"))?.as_str());
        let code = code.context("an invitation")?;
        Ok(Invite(Fixed::parse(code)?))
    }
}
