//! `vault`: password unlocks a second, against OPAQUE's server step and durable commits beside them.

mod client;
mod load;
mod postgres;
mod raw;
mod server;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use heirloom_vault_api::Invite;

use crate::machine::{self, median};
use client::{Client, Person};
use load::Load;
use postgres::Cluster;
use raw::Parts;
pub(crate) use raw::{Raw, alone};
pub(crate) use server::{Process, Serve, serve};

/// How long, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Seconds of each round, for each number of clients; the parts alone take as long again
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds; the middle one is told
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Numbers of clients
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64])]
    clients: Vec<usize>,
    /// Registered users whose bytes on the disk are counted; 0 leaves that out
    #[arg(long, default_value_t = 1000)]
    users: u32,
    /// Databases
    #[arg(long, value_delimiter = ',', default_values_t = [Engine::Sqlite, Engine::Postgres])]
    engines: Vec<Engine>,
    /// Lets servers and clients share all cores, instead of giving each side one
    #[arg(long)]
    shared_cores: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// One engine, its server and its people.
struct Place<'a> {
    engine: Engine,
    folder: &'a Path,
    core: Option<u32>,
    cluster: Option<Cluster>,
}

impl Place<'_> {
    fn address(&self, of: &str) -> Option<PathBuf> {
        let _ = self.cluster.as_ref()?;
        Some(self.folder.join(format!("{}-{of}", self.engine)))
    }

    /// Seconds of the processor that the database used, where it is no part of the server.
    fn seconds(&self) -> Result<f64> {
        self.cluster.as_ref().map_or(Ok(0.0), Cluster::seconds)
    }

    fn flushes(&self) -> Result<f64> {
        self.cluster.as_ref().map_or(Ok(0.0), Cluster::flushes)
    }

    fn stored(&self, data: &Path) -> Result<u64> {
        match &self.cluster {
            Some(cluster) => cluster.bytes(),
            None => crate::measure::stored(data),
        }
    }
}

/// Accounts with a password each, opened by several at a time.
fn enrol(process: &Process, invites: &[Invite]) -> Result<Vec<Person>> {
    let each = invites.len().div_ceil(8).max(1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = invites
            .chunks(each)
            .map(|some| {
                scope.spawn(move || -> Result<Vec<Person>> {
                    some.iter()
                        .map(|invite| {
                            let mut client = Client::new(process.address)?;
                            client.person(invite.clone())
                        })
                        .collect()
                })
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().ok().context("a client")??);
        }
        Ok(all)
    })
}

/// One line of the table.
struct Line {
    rate: f64,
    limit: f64,
    /// Microseconds of the processor for each unlock.
    server: f64,
    database: f64,
    clients: f64,
    parts: f64,
    /// Milliseconds.
    p50: f64,
    p99: f64,
    group: f64,
    commits: f64,
    flushes: f64,
    memory: [u64; 3],
}

const HEAD: &str = "engine   clients | unlocks/s  p50 ms  p99 ms | parts/s  of it | cpu us: server   db  clients  parts  of it | ops/commit  commits/unlock  flushes/unlock | server MB at start, middle, end\n";

impl Line {
    fn text(&self, engine: Engine, clients: usize) -> String {
        let Self {
            rate,
            limit,
            server,
            database,
            clients: theirs,
            parts,
            p50,
            p99,
            group,
            commits,
            flushes,
            memory: [start, middle, end],
        } = self;
        let mb = |bytes: &u64| f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0;
        let flushes = if engine == Engine::Postgres {
            format!("{flushes:.2}")
        } else {
            "-".to_owned()
        };
        format!(
            "{:<8} {clients:>7} | {rate:>9.0} {p50:>7.1} {p99:>7.1} | {limit:>7.0} {:>6.2} | {server:>14.0} {database:>4.0} \
             {theirs:>8.0} {parts:>6.0} {:>6.2} | {group:>10.1} {commits:>15.2} {flushes:>15} | {:.1} {:.1} {:.1}\n",
            engine.to_string(),
            rate / limit,
            parts / (server + database),
            mb(start),
            mb(middle),
            mb(end),
        )
    }
}

fn line(
    place: &Place<'_>,
    process: &Process,
    people: &[Person],
    (clients, rounds, time): (usize, u32, Duration),
) -> Result<Line> {
    let (mut rates, mut limits) = (Vec::new(), Vec::new());
    let (mut server, mut database, mut theirs, mut parts) = (0.0, 0.0, 0.0, 0.0);
    let (mut unlocks, mut steps) = (0.0, 0.0);
    let mut times = Vec::new();
    let mut memory = Vec::new();
    let begun = process.metrics()?;
    let mut flushes = 0.0;
    for _ in 0..rounds {
        let before = (process.seconds()?, place.seconds()?);
        let flushed_before = place.flushes()?;
        let load = Load::run(process, people, clients, time)?;
        flushes += place.flushes()? - flushed_before;
        server += process.seconds()? - before.0;
        database += place.seconds()? - before.1;
        theirs += load.cpu;
        unlocks += load.count();
        rates.push(load.count() / load.took);
        times.extend(load.times);
        memory.extend(load.memory);
        let before = place.seconds()?;
        let Parts { done, took, cpu } = raw::run(
            place.core,
            place.folder,
            place.address("parts").as_deref(),
            clients,
            time,
        )?;
        parts += cpu + place.seconds()? - before;
        steps += done;
        limits.push(done / took);
    }
    let ended = process.metrics()?;
    let more = |name: &str| ended.of(name) - begun.of(name);
    times.sort_unstable();
    let at = |part: usize| {
        let time: Duration = times
            .get(times.len() * part / 100)
            .copied()
            .unwrap_or_default();
        time.as_secs_f64() * 1e3
    };
    let each = |seconds: f64, count: f64| seconds * 1e6 / count.max(1.0);
    let of_memory = |at: usize| memory.get(at).copied().unwrap_or_default();
    Ok(Line {
        rate: median(rates),
        limit: median(limits),
        server: each(server, unlocks),
        database: each(database, unlocks),
        clients: each(theirs, unlocks),
        parts: each(parts, steps),
        p50: at(50),
        p99: at(99),
        group: more("heirloom_vault_commit_group_sum") / more("heirloom_vault_commit_group_count"),
        commits: more("heirloom_vault_commits_total") / unlocks,
        flushes: flushes / unlocks,
        memory: [
            of_memory(0),
            of_memory(memory.len() / 2),
            of_memory(memory.len() - 1),
        ],
    })
}

/// Measures, and prints a table as it grows.
#[expect(clippy::print_stdout, reason = "a table for the terminal")]
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options {
        seconds,
        rounds,
        clients,
        users,
        engines,
        shared_cores,
    } = options;
    let time = Duration::from_secs(*seconds);
    let most = u32::try_from(clients.iter().copied().max().unwrap_or(1))?;
    let apart = !*shared_cores && machine::can_part();
    let core = apart.then_some(machine::SERVERS);
    if apart {
        machine::stay_on(machine::CLIENTS)?;
        println!(
            "Server and database on core {}, clients on core {}; the parts alone on core {}, without clients.",
            machine::SERVERS,
            machine::CLIENTS,
            machine::SERVERS
        );
    } else {
        println!("Servers and clients share all cores; the parts alone have them without clients.");
    }
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-vault-")
        .tempdir_in(std::env::current_dir()?.join("target"))?;
    print!("{HEAD}");
    let mut notes = String::new();
    for &engine in engines {
        let cluster = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let cluster = Cluster::start(core)?;
                if cluster.is_none() {
                    println!("postgres: not installed (Debian: postgresql)");
                    continue;
                }
                cluster
            }
        };
        let place = Place {
            engine,
            folder: folder.path(),
            core,
            cluster,
        };
        if let Some(cluster) = &place.cluster {
            for of in ["vault", "parts"] {
                cluster.schema(of, &folder.path().join(format!("{engine}-{of}")))?;
            }
        }
        let data = folder.path().join(engine.to_string());
        let address = place.address("vault");
        let process = Process::start(core, &data, address.as_deref(), (most, &[]))?;
        let people = enrol(&process, &process.invites)?;
        for &clients in clients {
            let line = line(&place, &process, &people, (clients, *rounds, time))?;
            print!("{}", line.text(engine, clients));
        }
        process.end();
        if *users > 0 {
            let before = place.stored(&data)?;
            let process = Process::start(core, &data, address.as_deref(), (*users, &[]))?;
            enrol(&process, &process.invites)?;
            process.end();
            let each = place.stored(&data)?.saturating_sub(before) / u64::from(*users);
            writeln!(
                notes,
                "{engine}: {each} bytes a user on the disk, with account, sign-in, password, its log of four entries and one witnessed head ({users} users)"
            )?;
        }
    }
    print!("{notes}");
    Ok(())
}
