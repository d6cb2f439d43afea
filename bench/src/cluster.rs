//! `cluster`: servers on three databases that fail again and again; nothing that was acknowledged may be lost.
//!
//! Three namespaces with etcd, Patroni and PostgreSQL; a fourth with one `heirloom serve` for each node, whose
//! connections prefer it. Clients write down what they were told. With asynchronous copies, the control, the same
//! run must find losses.

mod check;
mod client;
mod faults;
mod ledger;
mod network;
mod node;
mod people;
mod report;
mod server;
mod service;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use getrandom::SysRng;
use getrandom::rand_core::{TryRng as _, UnwrapErr};

use faults::Fault;
use ledger::Ledger;
use node::{Node, Places};
use people::{Dice, World};
use report::{Report, Round};
use server::{Clock, Server, Setup};

/// How the databases copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Replication {
    /// As docs/hosting.md says: quorum, strict
    Quorum,
    /// The control, which must lose what was acknowledged
    Async,
}

/// How long, and on what.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes of faults
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// How the databases copy
    #[arg(long, value_enum, default_value = "quorum")]
    replication: Replication,
    /// The program that serves
    #[arg(long, default_value = "target/release/heirloom")]
    program: PathBuf,
    /// These faults alone, in this order
    #[arg(long, value_enum, value_delimiter = ',')]
    faults: Vec<Fault>,
    /// What the clients roll
    #[arg(long)]
    seed: Option<u64>,
    /// The figures as one JSON object
    #[arg(long)]
    json: bool,
}

/// Takes everything away when its standard input ends: with the process that started it, however that ends.
#[derive(Debug, clap::Args)]
pub(crate) struct Guard {
    #[arg(long)]
    folder: PathBuf,
}

/// The guard's work.
pub(crate) fn guard(guard: &Guard) -> Result<()> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    network::down();
    let is_ours = guard.folder.file_name().and_then(|name| name.to_str());
    if is_ours.is_some_and(|name| name.starts_with("heirloom-cluster-")) {
        fs::remove_dir_all(&guard.folder)?;
    }
    Ok(())
}

/// Ends with the run.
struct Guarded(Child);

impl Guarded {
    fn start(folder: &Path) -> Result<Self> {
        let child = Command::new(std::env::current_exe()?)
            .arg("cluster-guard")
            .arg("--folder")
            .arg(folder)
            .stdin(Stdio::piped())
            // Ctrl-C is not for it.
            .process_group(0)
            .spawn()
            .context("start the guard")?;
        Ok(Self(child))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn postgres() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").context("there is no PostgreSQL")?;
    let mut bins: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    bins.sort();
    bins.pop().context("there is no PostgreSQL")
}

/// What sets a program's clock: in the folder of this kind of computer.
fn faketime() -> Result<PathBuf> {
    let kinds = fs::read_dir("/usr/lib").context("there is no /usr/lib")?;
    let mut files = kinds
        .filter_map(|kind| Some(kind.ok()?.path().join("faketime/libfaketime.so.1")))
        .filter(|file| file.is_file());
    files.next().context("there is no libfaketime")
}

/// What is missing here.
fn needs(places: &Places, options: &Options) -> Result<()> {
    let is_on_path = |program: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
    };
    let mut missing: Vec<String> = ["ip", "nft", "etcd", "openssl", "setpriv"]
        .into_iter()
        .filter(|program| !is_on_path(program))
        .map(str::to_owned)
        .collect();
    for file in [&places.patroni, &options.program] {
        if !file.is_file() {
            missing.push(file.display().to_string());
        }
    }
    if network::run("id", &["-u"])?.trim() != "0" {
        missing.push("the rights of root, for namespaces".to_owned());
    }
    if !missing.is_empty() {
        bail!(
            "`cargo xtask bench cluster` installs what is missing: {}",
            missing.join(", ")
        );
    }
    Ok(())
}

fn password() -> String {
    let mut bytes = [0; 16];
    let Ok(()) = UnwrapErr(SysRng).try_fill_bytes(&mut bytes);
    heirloom_vault_api::base64url(&bytes)
}

/// Runs, prints, and says whether all is as it must be.
#[expect(clippy::print_stdout, reason = "its output is what it is for")]
pub(crate) fn run(options: &Options) -> Result<bool> {
    let target = std::env::current_dir()?.join("target");
    let places = Places {
        folder: target.join(format!("tmp/heirloom-cluster-{}", std::process::id())),
        logs: target.join("cluster/logs"),
        patroni: target.join("cluster/venv/bin/patroni"),
        bin: postgres()?,
    };
    needs(&places, options)?;
    fs::create_dir_all(target.join("tmp"))?;
    fs::create_dir_all(target.join("cluster"))?;
    let lock = File::create(target.join("cluster/lock"))?;
    if lock.try_lock().is_err() {
        bail!("another run has the cluster");
    }
    // Of a run whose guard was killed, too.
    network::down();
    if places.logs.exists() {
        fs::remove_dir_all(&places.logs)?;
    }
    fs::create_dir_all(&places.logs)?;
    fs::create_dir(&places.folder)?;
    fs::set_permissions(&places.folder, fs::Permissions::from_mode(0o755))?;
    let _guarded = Guarded::start(&places.folder)?;
    let report = on_machines(options, &places)?;
    if options.json {
        println!("{}", report.json());
    } else {
        println!("{report}");
    }
    Ok(report.is_as_it_must_be())
}

fn on_machines(options: &Options, places: &Places) -> Result<Report> {
    let say = |text: &str| eprintln_at(text);
    network::up()?;
    node::authority(&places.folder)?;
    let password = password();
    let nodes = (1..=network::NODES)
        .map(|number| Node::new(number, places, options.replication, &password))
        .collect::<Result<Vec<_>>>()?;
    for node in &nodes {
        node.start()?;
    }
    faults::wait_whole(&nodes, options.replication, Duration::from_mins(3))?;
    let primary = faults::primary(&nodes)?;
    let role = format!("CREATE ROLE heirloom LOGIN PASSWORD '{password}'");
    primary.sql("postgres", &role)?;
    primary.sql("postgres", "CREATE DATABASE heirloom OWNER heirloom")?;
    say("three nodes are whole");

    let clock = Clock::new(&places.folder)?;
    let setup = Setup {
        program: &fs::canonicalize(&options.program)?,
        folder: &places.folder,
        logs: &places.logs,
        faketime: &faketime()?,
        clock: &clock,
        password: &password,
    };
    let mut servers = Vec::new();
    for number in 0..network::NODES {
        let server = Server::start(&setup, number)?;
        if number > 0 {
            server.accept()?;
        }
        servers.push(server);
    }
    say("three servers answer");
    under_faults(options, &nodes, &mut servers, &clock)
}

/// Words on how it goes, beside the report.
#[expect(clippy::print_stderr, reason = "a run of minutes says how far it is")]
fn eprintln_at(text: &str) {
    eprintln!("{text}");
}

fn under_faults(
    options: &Options,
    nodes: &[Node],
    servers: &mut [Server],
    clock: &Clock,
) -> Result<Report> {
    let seed = options.seed.unwrap_or_else(|| {
        let mut bytes = [0; 8];
        let Ok(()) = UnwrapErr(SysRng).try_fill_bytes(&mut bytes);
        u64::from_be_bytes(bytes)
    });
    let ledger = Ledger::new(people::lineages());
    let world = World::new(&ledger, servers, seed)?;
    let mut rounds = Vec::new();
    let ran = std::thread::scope(|scope| {
        world.start(scope, clock);
        let ran = all_faults(options, nodes, &ledger, seed, &mut rounds);
        world.end();
        ran
    });
    let gaps = ledger.service.gaps();
    let lasted = ledger.service.now();
    let mut report = Report::new(options.replication, seed, lasted, gaps, rounds, &ledger);
    match ran {
        Ok(()) => (),
        // The control has servers that stop: they find out what they lack.
        Err(error) => report.fault(format!("{error:#}")),
    }
    faults::wait_whole(nodes, options.replication, Duration::from_mins(1))
        .unwrap_or_else(|error| report.fault(format!("{error:#}")));
    check::check(&ledger, faults::primary(nodes)?, true)?;
    report.count(&ledger);
    for (number, server) in servers.iter_mut().enumerate() {
        if !server.runs() {
            report.fault(format!("server {number} ended by itself"));
        }
    }
    Ok(report)
}

fn all_faults(
    options: &Options,
    nodes: &[Node],
    ledger: &Ledger,
    seed: u64,
    rounds: &mut Vec<Round>,
) -> Result<()> {
    let until = Instant::now() + Duration::from_mins(options.minutes);
    let mut dice = Dice(seed);
    let mut next: Vec<Fault> = Vec::new();
    std::thread::sleep(Duration::from_secs(5));
    while Instant::now() < until {
        if next.is_empty() {
            next = if options.faults.is_empty() {
                let mut all = Fault::ALL.to_vec();
                // Fisher and Yates.
                for at in (1..all.len()).rev() {
                    let other = usize::try_from(dice.roll(u64::try_from(at)? + 1))?;
                    all.swap(at, other);
                }
                all
            } else {
                options.faults.iter().rev().copied().collect()
            };
        }
        let Some(fault) = next.pop() else {
            return Ok(());
        };
        let from = ledger.service.now();
        eprintln_at(&format!("{:>4} s  {}", from / 1000, fault.words()));
        fault.happens(nodes)?;
        let healed = ledger.service.now();
        faults::wait_whole(nodes, options.replication, Duration::from_mins(2))?;
        let whole = ledger.service.now();
        let silent = all_serve(ledger, whole, options.replication);
        check::check(ledger, faults::primary(nodes)?, false)?;
        rounds.push(Round {
            fault,
            from,
            healed,
            whole,
            until: ledger.service.now(),
            silent,
        });
        std::thread::sleep(Duration::from_secs(5));
    }
    Ok(())
}

/// Waits until every server acknowledges writes again; the one that does not.
fn all_serve(ledger: &Ledger, since: u64, replication: Replication) -> Option<usize> {
    let seconds = match replication {
        Replication::Quorum => 45,
        // Servers stop for good there, when they find that something is missing.
        Replication::Async => 5,
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    loop {
        let silent = ledger.service.silent_since(since);
        if silent.is_none() || Instant::now() > until {
            return silent;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}
