//! `vault`: password unlocks a second, against OPAQUE's server step and a durable commit beside it.

mod client;
mod raw;

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use heirloom_vault::{Config, Limits, Postgres, Server};
use heirloom_vault_api::{RecordName, Token, Which};

use client::Client;

/// How long, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds for each number of clients
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    clients: Vec<usize>,
    /// Registered users whose bytes on the disk are counted; 0 leaves that out
    #[arg(long, default_value_t = 2000)]
    users: u32,
    /// A file with the address of a PostgreSQL to measure, too; its tables are made in an empty schema
    #[arg(long)]
    database_url_file: Option<PathBuf>,
}

/// The server, as a process of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Serve {
    #[arg(long)]
    data: PathBuf,
    #[arg(long)]
    database_url_file: Option<PathBuf>,
}

/// Serves without limits an address, until it is killed.
#[expect(clippy::print_stdout, reason = "its parent reads the address")]
pub(crate) fn serve(serve: &Serve) -> Result<()> {
    let Serve {
        data,
        database_url_file,
    } = serve;
    let mut config = Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), data.clone());
    config.limits = Limits {
        guesses_per_minute: u64::from(u32::MAX),
        requests_per_second: u64::from(u32::MAX),
    };
    config.account_requests_per_second = u64::from(u32::MAX);
    if let Some(file) = database_url_file {
        config.database = Some(Postgres::from_file(file)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(config).await?;
        println!("{}", server.address());
        Ok(server.run(std::future::pending()).await?)
    })
}

struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(data: &Path, database: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("vault-server").arg("--data").arg(data);
        if let Some(file) = database {
            command.arg("--database-url-file").arg(file);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().context("its output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let address = line.trim().parse().context("the server's address")?;
        Ok(Self { child, address })
    }

    /// Seconds of the processor and bytes of memory, from `/proc`.
    fn used(&self) -> Result<(f64, u64)> {
        let folder = PathBuf::from(format!("/proc/{}", self.child.id()));
        let stat = std::fs::read_to_string(folder.join("stat"))?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = |at: usize| {
            fields
                .get(at)
                .and_then(|f| f.parse::<u32>().ok())
                .unwrap_or(0)
        };
        let status = std::fs::read_to_string(folder.join("status"))?;
        let memory = status
            .lines()
            .find_map(|line| {
                line.strip_prefix("VmRSS:")?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .unwrap_or(0_u64);
        // Hundredths of a second, on every Linux.
        Ok((f64::from(ticks(12) + ticks(13)) / 100.0, memory * 1024))
    }
}

struct Load {
    rate: f64,
    p50: Duration,
    p99: Duration,
    /// Of the server, for each unlock.
    cpu: Duration,
    memory: u64,
}

fn load(
    process: &Process,
    token: &Token,
    records: &[RecordName],
    clients: usize,
    time: Duration,
) -> Result<Load> {
    let (before, _) = process.used()?;
    let begun = Instant::now();
    let times: Result<Vec<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = records
            .iter()
            .take(clients)
            .map(|record| {
                scope.spawn(move || -> Result<Vec<Duration>> {
                    let mut client = Client::new(process.address, Some(token.clone()))?;
                    let mut times = Vec::new();
                    while begun.elapsed() < time {
                        let one = Instant::now();
                        client.unlock(*record, Which::Active)?;
                        times.push(one.elapsed());
                    }
                    Ok(times)
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow!("a client"))??);
        }
        Ok(all)
    });
    let took = begun.elapsed().as_secs_f64();
    let mut times = times?;
    times.sort_unstable();
    let (after, memory) = process.used()?;
    let count = u32::try_from(times.len())?;
    let at = |part: usize| {
        times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok(Load {
        rate: f64::from(count) / took,
        p50: at(50),
        p99: at(99),
        cpu: Duration::from_secs_f64((after - before) / f64::from(count.max(1))),
        memory,
    })
}

fn one_step() -> Result<Duration> {
    let step = raw::Step::new()?;
    let begun = Instant::now();
    for _ in 0..2000 {
        step.take()?;
    }
    Ok(begun.elapsed() / 2000)
}

/// Measures, and gives a table.
pub(crate) fn run(options: &Options) -> Result<String> {
    let Options {
        seconds,
        clients,
        users,
        database_url_file,
    } = options;
    let time = Duration::from_secs(*seconds);
    let most = clients.iter().copied().max().unwrap_or(1);
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-vault-")
        .tempdir_in(std::env::current_dir()?.join("target"))?;
    let mut text = String::new();
    writeln!(text, "OPAQUE's server step alone: {:?}", one_step()?)?;
    writeln!(
        text,
        "engine    clients  unlocks/s  p50 ms  p99 ms  server cpu/unlock  memory MB  limit/s  part of it"
    )?;
    let mut engines = vec![("sqlite", None)];
    if let Some(file) = database_url_file {
        engines.push(("postgres", Some(file.as_path())));
    }
    for (name, database) in engines {
        let data = folder.path().join(name);
        let process = Process::start(&data, database)?;
        let mut first = Client::new(process.address, None)?;
        let token = first.sign_in()?;
        let mut records = Vec::new();
        for _ in 0..most {
            records.push(first.enrol()?);
        }
        for &clients in clients {
            let limit = raw::run(folder.path(), clients, time / 2)?;
            let Load {
                rate,
                p50,
                p99,
                cpu,
                memory,
            } = load(&process, &token, &records, clients, time)?;
            writeln!(
                text,
                "{name:<9} {clients:>7} {rate:>10.0} {:>7.1} {:>7.1} {:>15.0} us {:>10} {limit:>8.0} {:>11.2}",
                p50.as_secs_f64() * 1e3,
                p99.as_secs_f64() * 1e3,
                cpu.as_secs_f64() * 1e6,
                memory / 1_000_000,
                rate / limit
            )?;
        }
        if *users > 0 && database.is_none() {
            let before = super::measure::stored(&data)?;
            for _ in 0..*users {
                first.register()?;
            }
            let after = super::measure::stored(&data)?;
            writeln!(
                text,
                "{name}: {} bytes a user on the disk",
                (after - before) / u64::from(*users)
            )?;
        }
    }
    Ok(text)
}
