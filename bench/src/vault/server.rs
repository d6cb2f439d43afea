//! The server, as a process of its own, without limits an address.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use heirloom_vault::{Config, Limits, Postgres, Server};
use heirloom_vault_api::{Fixed, Invite};

use crate::machine;

/// How often deleted objects are freed, where that is at once.
const SWEEP: Duration = Duration::from_millis(300);

/// What it is started with.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    database_url_file: Option<PathBuf>,
    /// How many people are invited at the start
    #[arg(long, default_value_t = 0)]
    invites: u32,
    /// Frees what was deleted at once
    #[arg(long)]
    no_grace: bool,
}

/// Serves until its standard input ends.
#[expect(clippy::print_stdout, reason = "its parent reads where it answers")]
pub(crate) fn serve(serve: &Serve) -> Result<()> {
    let Serve {
        data,
        database_url_file,
        invites,
        no_grace,
    } = serve;
    let here = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(here, data.clone());
    config.admin_listen = Some(here);
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    config.account_requests_per_second = u64::from(u32::MAX);
    if *no_grace {
        config.grace = Duration::ZERO;
    }
    if let Some(file) = database_url_file {
        config.database = Some(Postgres::from_file(file)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        let admin = server.admin();
        println!("{}", server.address());
        println!("{}", server.admin_address().context("the second port")?);
        for _ in 0..*invites {
            let Invite(code) = admin.invite().await?;
            println!("{}", code.to_text());
        }
        if *no_grace {
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SWEEP).await;
                    // What it did not free goes the next time.
                    let _ = admin.sweep().await;
                }
            });
        }
        let over = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
        let over = async {
            let _ = over.await;
        };
        Ok(server.run(over).await?)
    })
}

/// A server that runs.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) address: SocketAddr,
    operator: SocketAddr,
    pub(crate) invites: Vec<Invite>,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

impl Process {
    pub(crate) fn start(
        core: Option<u32>,
        data: &Path,
        database: Option<&Path>,
        (invites, more): (u32, &[&str]),
    ) -> Result<Self> {
        let mut command = machine::on(core, std::env::current_exe()?);
        command.arg("vault-server").arg("--data").arg(data);
        command.args(["--invites", &invites.to_string()]);
        command.args(more);
        if let Some(file) = database {
            command.arg("--database-url-file").arg(file);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let mut line = || lines.next().context("the server did not start");
        let address = line()??.parse()?;
        let operator = line()??.parse()?;
        let mut codes = Vec::new();
        for _ in 0..invites {
            let text = line()??;
            codes.push(Invite(
                Fixed::parse(&text).map_err(|_| anyhow::anyhow!("an invitation"))?,
            ));
        }
        Ok(Self {
            stdin: child.stdin.take(),
            child,
            address,
            operator,
            invites: codes,
        })
    }

    /// Ends it in order, so that all that it wrote lies in its place.
    pub(crate) fn end(self) {
        drop(self);
    }

    pub(crate) fn seconds(&self) -> Result<f64> {
        machine::seconds(self.child.id())
    }

    pub(crate) fn memory(&self) -> Result<u64> {
        machine::memory(self.child.id())
    }

    /// Its own numbers.
    pub(crate) fn metrics(&self) -> Result<Numbers> {
        let mut stream = TcpStream::connect(self.operator)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: vault\r\nconnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(Numbers(text))
    }
}

/// The text that Prometheus reads.
pub(crate) struct Numbers(String);

impl Numbers {
    pub(crate) fn of(&self, name: &str) -> f64 {
        let lines = self.0.lines();
        let value = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value
            .filter_map(|value| value.trim().parse::<f64>().ok())
            .sum()
    }
}
