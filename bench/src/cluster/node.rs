//! A node: etcd, Patroni and the PostgreSQL that Patroni starts.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Replication;
use super::network::{self, NETWORK, NODES, address};

const PATRONI: &str = include_str!("../../cluster/patroni.yml");

/// Where things lie.
#[derive(Debug, Clone)]
pub(super) struct Places {
    /// Gone with the run.
    pub(super) folder: PathBuf,
    /// Stays, until the next run.
    pub(super) logs: PathBuf,
    /// Patroni, in its environment.
    pub(super) patroni: PathBuf,
    /// PostgreSQL's programs.
    pub(super) bin: PathBuf,
}

/// One of the three.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) number: usize,
    folder: PathBuf,
    places: Places,
    children: Mutex<Children>,
}

#[derive(Debug, Default)]
struct Children {
    etcd: Option<Child>,
    patroni: Option<Child>,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) state: String,
    pub(super) timeline: u64,
}

impl Node {
    /// Writes a node's configuration.
    pub(super) fn new(
        number: usize,
        places: &Places,
        replication: Replication,
        password: &str,
    ) -> Result<Self> {
        let folder = places.folder.join(format!("n{number}"));
        fs::create_dir(&folder)?;
        let hosts = (1..=NODES).map(|node| format!("\"{}:2379\"", address(node)));
        let hosts = hosts.collect::<Vec<_>>().join(", ");
        let (mode, strict, commit) = match replication {
            Replication::Quorum => ("quorum", "true", "on"),
            Replication::Async => ("\"off\"", "false", "local"),
        };
        let text = PATRONI
            .replace("@NAME@", &format!("n{number}"))
            .replace("@ADDRESS@", &address(number).to_string())
            .replace("@ETCD@", &format!("[{hosts}]"))
            .replace("@MODE@", mode)
            .replace("@STRICT@", strict)
            .replace("@COMMIT@", commit)
            .replace("@FOLDER@", &folder.display().to_string())
            .replace("@BIN@", &places.bin.display().to_string())
            .replace("@PASSWORD@", password)
            .replace("@NETWORK@", NETWORK);
        fs::write(folder.join("patroni.yml"), text)?;
        certificate(number, &places.folder, &folder)?;
        let shown = folder.display().to_string();
        network::run("chmod", &["-R", "go=", &shown])?;
        network::run("chown", &["-R", "nobody:nogroup", &shown])?;
        Ok(Self {
            number,
            folder,
            places: places.clone(),
            children: Mutex::default(),
        })
    }

    fn log(&self, of: &str) -> Result<File> {
        let path = self.places.logs.join(format!("n{}-{of}.txt", self.number));
        Ok(File::options().append(true).create(true).open(path)?)
    }

    /// Starts what does not run.
    pub(super) fn start(&self) -> Result<()> {
        let mut children = self.children.lock().expect("no thread panics");
        let Children { etcd, patroni } = &mut *children;
        if !runs(etcd.as_mut()) {
            *etcd = Some(self.etcd()?);
        }
        if !runs(patroni.as_mut()) {
            *patroni = Some(self.patroni()?);
        }
        Ok(())
    }

    fn etcd(&self) -> Result<Child> {
        let here = address(self.number);
        let all = (1..=NODES).map(|node| format!("n{node}=http://{}:2380", address(node)));
        let (peer, client) = (format!("http://{here}:2380"), format!("http://{here}:2379"));
        let mut command = network::as_nobody(self.number, "etcd");
        command
            .args(["--name", &format!("n{}", self.number), "--data-dir"])
            .arg(self.folder.join("etcd"))
            .args(["--listen-peer-urls", &peer])
            .args(["--initial-advertise-peer-urls", &peer])
            .args(["--listen-client-urls", &client])
            .args(["--advertise-client-urls", &client])
            .args(["--initial-cluster", &all.collect::<Vec<_>>().join(",")])
            .args(["--initial-cluster-token", "heirloom", "--logger", "zap"])
            .args(["--heartbeat-interval", "200", "--election-timeout", "2000"])
            // Else a node that comes back unseats the leader: 3.4 does not ask before it stands for election.
            .arg("--pre-vote")
            .stdout(self.log("etcd")?)
            .stderr(self.log("etcd")?);
        command.spawn().context("start etcd")
    }

    fn patroni(&self) -> Result<Child> {
        let program = self.places.patroni.display().to_string();
        let mut command = network::as_nobody(self.number, &program);
        command
            .arg(self.folder.join("patroni.yml"))
            .env("HOME", &self.folder)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(&self.folder)
            .stdout(self.log("patroni")?)
            .stderr(self.log("patroni")?);
        command.spawn().context("start Patroni")
    }

    /// The whole machine goes down: SIGKILL for everything.
    pub(super) fn kill(&self) -> Result<()> {
        network::kill(self.number, |_| true)?;
        self.reap();
        Ok(())
    }

    /// SIGKILL for Patroni and PostgreSQL; etcd lives.
    pub(super) fn kill_database(&self) -> Result<()> {
        network::kill(self.number, |program| program != "etcd")?;
        self.reap();
        Ok(())
    }

    /// SIGKILL for PostgreSQL alone: Patroni sees it.
    pub(super) fn kill_postgres(&self) {
        let path = self.folder.join("data/postmaster.pid");
        let text = fs::read_to_string(path).unwrap_or_default();
        let id = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        network::signal(id.as_slice(), "KILL");
    }

    /// Stops Patroni without ending it, so that nobody tells its PostgreSQL to stand down.
    pub(super) fn freeze(&self, is_frozen: bool) {
        let children = self.children.lock().expect("no thread panics");
        let id = children.patroni.as_ref().map(Child::id);
        network::signal(id.as_slice(), if is_frozen { "STOP" } else { "CONT" });
    }

    fn reap(&self) {
        let mut children = self.children.lock().expect("no thread panics");
        let Children { etcd, patroni } = &mut *children;
        let _ = runs(etcd.as_mut());
        let _ = runs(patroni.as_mut());
    }

    /// All members, as this one sees them.
    pub(super) fn members(&self) -> Result<Vec<Member>> {
        let (_, body) = self.ask("/cluster")?;
        let value: Value = serde_json::from_slice(&body)?;
        let members = value.get("members").and_then(Value::as_array);
        let text = |member: &Value, field: &str| {
            let text = member.get(field).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let member = |member: &Value| Member {
            name: text(member, "name"),
            role: text(member, "role"),
            state: text(member, "state"),
            timeline: member
                .get("timeline")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        };
        Ok(members.context("members")?.iter().map(member).collect())
    }

    /// Whether Patroni holds the leader's lock here.
    pub(super) fn is_primary(&self) -> bool {
        self.ask("/primary").is_ok_and(|(status, _)| status == 200)
    }

    fn ask(&self, path: &str) -> Result<(u16, Vec<u8>)> {
        let wait = Duration::from_secs(3);
        let to = SocketAddr::from((address(self.number), 8008));
        let mut stream = TcpStream::connect_timeout(&to, wait)?;
        stream.set_read_timeout(Some(wait))?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n\r\n"
        )?;
        let mut bytes = Vec::new();
        stream.take(1 << 20).read_to_end(&mut bytes)?;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.context("a head")? + 4);
        let status = String::from_utf8_lossy(head);
        let status = status.split(' ').nth(1).and_then(|text| text.parse().ok());
        Ok((status.context("a status")?, body.to_vec()))
    }

    /// Statements, by the socket in the node's folder.
    pub(super) fn sql(&self, database: &str, text: &str) -> Result<String> {
        let done = Command::new(self.places.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-U", "postgres", "-d", database, "-c", text, "-h"])
            .arg(&self.folder)
            .env("PGCONNECT_TIMEOUT", "5")
            .env("PGOPTIONS", "-c statement_timeout=30s")
            .stdin(Stdio::null())
            .output()?;
        if !done.status.success() {
            bail!("psql: {}", String::from_utf8_lossy(&done.stderr).trim());
        }
        Ok(String::from_utf8(done.stdout)?.trim().to_owned())
    }
}

fn runs(child: Option<&mut Child>) -> bool {
    child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
}

/// The authority that the nodes' certificates lead to: for a hundred years, because the servers' clock is set forth.
pub(super) fn authority(folder: &Path) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    network::run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "36500",
            "-subj",
            "/CN=cluster",
            "-keyout",
            &path("ca.key"),
            "-out",
            &path("ca.crt"),
        ],
    )?;
    Ok(())
}

fn certificate(number: usize, authority: &Path, folder: &Path) -> Result<()> {
    let path = |name: &str| folder.join(name).display().to_string();
    let above = |name: &str| authority.join(name).display().to_string();
    let extensions = format!("subjectAltName=IP:{}\n", address(number));
    fs::write(folder.join("extensions"), extensions)?;
    network::run(
        "openssl",
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &format!("/CN=n{number}"),
            "-keyout",
            &path("server.key"),
            "-out",
            &path("server.csr"),
        ],
    )?;
    network::run(
        "openssl",
        &[
            "x509",
            "-req",
            "-in",
            &path("server.csr"),
            "-CA",
            &above("ca.crt"),
            "-CAkey",
            &above("ca.key"),
            "-CAcreateserial",
            "-days",
            "36500",
            "-extfile",
            &path("extensions"),
            "-out",
            &path("server.crt"),
        ],
    )?;
    Ok(())
}
