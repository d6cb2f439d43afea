//! `blobs`: objects in and out of a server, against a plain static file server and a plain file.

mod disk;
mod nginx;
mod streams;
mod wire;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use heirloom_vault_api::{SignIn, SignedIn, Token};

use crate::machine::{self, median};
use crate::vault::Process;
use nginx::Nginx;
use wire::Wire;

/// The usual length of an object.
const PACK: usize = 16 << 20;
/// Of one ranged read.
const RANGE: u64 = 1 << 20;
const MB: f64 = 1e6;

/// How much, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Rounds; the middle one is told
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each round of reads
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Packs of 16 MiB that are written in a round
    #[arg(long, default_value_t = 32)]
    packs: u32,
    /// Connections at a time
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// Streams at a time whose server's memory is looked at; 0 leaves that out
    #[arg(long, default_value_t = 16)]
    streams: u32,
    /// Objects of 256 MiB in each stream
    #[arg(long, default_value_t = 4)]
    objects: u32,
    /// Where files lie that no disk slows down
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
}

/// Whom to ask, and how.
#[derive(Clone)]
struct Target {
    address: std::net::SocketAddr,
    /// What each request's head has more.
    head: String,
}

/// What a measurement came to.
#[derive(Default)]
struct Seen {
    /// Megabytes a second.
    rates: Vec<f64>,
    /// Seconds of the server's processor, and megabytes.
    cpu: f64,
    bytes: f64,
}

impl Seen {
    fn add(&mut self, bytes: f64, took: Duration, cpu: f64) {
        self.rates.push(bytes / MB / took.as_secs_f64());
        self.cpu += cpu;
        self.bytes += bytes;
    }

    fn rate(&self) -> f64 {
        median(self.rates.clone())
    }

    /// Milliseconds of the processor a gigabyte.
    fn each(&self) -> f64 {
        self.cpu * 1e12 / self.bytes.max(1.0)
    }
}

/// Does `one` on several connections at a time, and adds up its bytes.
fn several(
    target: &Target,
    connections: u32,
    one: impl Fn(&mut Wire, u32) -> Result<u64> + Sync,
) -> Result<(f64, Duration)> {
    let mut wires = Vec::new();
    for number in 0..connections {
        wires.push((number, Wire::open(target)?));
    }
    let begun = Instant::now();
    let bytes = std::thread::scope(|scope| -> Result<u64> {
        let mut threads = Vec::new();
        for (number, mut wire) in wires {
            let one = &one;
            threads.push(scope.spawn(move || one(&mut wire, number)));
        }
        let mut bytes = 0;
        for thread in threads {
            bytes += thread.join().ok().context("a connection")??;
        }
        Ok(bytes)
    })?;
    let bytes = f64::from(u32::try_from(bytes >> 10)?) * 1024.0;
    Ok((bytes, begun.elapsed()))
}

/// Packs, by the names that `name` gives.
fn write(
    target: &Target,
    (packs, connections): (u32, u32),
    name: impl Fn(u32) -> String + Sync,
) -> Result<(f64, Duration)> {
    let pack = pack();
    several(target, connections, |wire, number| {
        let mut sent = 0;
        let mine = (0..packs).filter(|at| at % connections == number);
        for at in mine {
            wire.put(&name(at), &pack)?;
            sent += u64::try_from(pack.len())?;
        }
        Ok(sent)
    })
}

/// Reads the objects of `paths` in turn, whole or a range of each.
fn read(
    target: &Target,
    (time, connections, is_ranged): (Duration, u32, bool),
    paths: &[String],
) -> Result<(f64, Duration)> {
    let begun = Instant::now();
    several(target, connections, |wire, number| {
        let mut read = 0;
        let mut at = usize::try_from(number)?;
        let mut first = 0;
        while begun.elapsed() < time {
            let path = paths.get(at % paths.len()).context("a path")?;
            let range = is_ranged.then_some((first, RANGE));
            read += wire.get(path, range)?;
            at += 1;
            first = (first + 5 * RANGE + 4096) % (u64::try_from(PACK)? - RANGE);
        }
        Ok(read)
    })
}

/// Bytes that do not shrink.
fn pack() -> Vec<u8> {
    let mut state = 7_u64;
    let mut pack = Vec::with_capacity(PACK);
    while pack.len() < PACK {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        pack.extend_from_slice(&state.to_be_bytes());
    }
    pack
}

fn sign_in(process: &Process) -> Result<Target> {
    let plain = Target {
        address: process.address,
        head: String::new(),
    };
    let invite = process.invites.first().context("an invitation")?.clone();
    let body = serde_json::to_vec(&SignIn::by(Some(invite)))?;
    let answer = Wire::open(&plain)?.json("POST", "/v1/accounts", &body)?;
    let SignedIn {
        account: _,
        token: Token(token),
    } = serde_json::from_slice(&answer)?;
    Ok(Target {
        head: format!("authorization: Bearer {}\r\n", token.to_text()),
        ..plain
    })
}

/// Files of a pack's length below a server's folder, as a static file server names them.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root)? {
        let folder = folder?.path();
        let Some(first) = folder.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if first.len() != 2 {
            continue;
        }
        for file in std::fs::read_dir(&folder)? {
            let file = file?;
            if file.metadata()?.len() == u64::try_from(PACK)? {
                found.push(format!("/{first}/{}", file.file_name().display()));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[expect(clippy::print_stdout, reason = "a table for the terminal")]
fn line(what: &str, ours: &Seen, plain: &Seen, than: &str) {
    println!(
        "{what:<34} {:>8.0} {:>8.0} {:>6.2} | {:>8.0} {:>8.0} | {than}",
        ours.rate(),
        plain.rate(),
        ours.rate() / plain.rate(),
        ours.each(),
        plain.each(),
    );
}

/// Measures, and prints a table as it grows.
#[expect(clippy::print_stdout, reason = "a table for the terminal")]
pub(crate) fn run(options: &Options) -> Result<()> {
    let Options {
        rounds,
        seconds,
        packs,
        connections,
        streams,
        objects,
        memory,
    } = options;
    let time = Duration::from_secs(*seconds);
    let core = machine::can_part().then_some(machine::SERVERS);
    if core.is_some() {
        machine::stay_on(machine::CLIENTS)?;
        println!(
            "Servers on core {}, clients on core {}.",
            machine::SERVERS,
            machine::CLIENTS
        );
    }
    println!(
        "{:<34} {:>8} {:>8} {:>6} | {:>8} {:>8} |",
        "", "ours MB/s", "plain", "of it", "ours ms/GB", "plain"
    );
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-blobs-")
        .tempdir_in(memory)?;
    {
        let data = folder.path().join("vault");
        let process = Process::start(core, &data, None, (1, &[]))?;
        let target = sign_in(&process)?;
        let root = data.join("blobs");
        let nginx = Nginx::start(core, folder.path(), (&root, "on"))?;
        let copying = Nginx::start(core, folder.path(), (&root, "off"))?;
        let (mut ours, mut plain) = (Seen::default(), Seen::default());
        for round in 0..*rounds {
            let before = process.seconds()?;
            let name = |at| format!("/v1/blobs/data/r{round}-{at}");
            let (bytes, took) = write(&target, (*packs, *connections), name)?;
            ours.add(bytes, took, process.seconds()? - before);
            let Some(nginx) = &nginx else { continue };
            let before = nginx.seconds()?;
            let name = |at| format!("/put/p{at}");
            let (bytes, took) = write(&nginx.target, (*packs, *connections), name)?;
            plain.add(bytes, took, nginx.seconds()? - before);
        }
        line("PUT 16 MiB, in memory", &ours, &plain, "nginx, dav");
        let named: Vec<String> = (0..*packs)
            .map(|at| format!("/v1/blobs/data/r0-{at}"))
            .collect();
        let files = files(&data.join("blobs"))?;
        let files = files.get(..named.len()).context("the server's files")?;
        for (what, is_ranged) in [("GET 16 MiB", false), ("GET 1 MiB of 16", true)] {
            let (mut ours, mut plain, mut copied) =
                (Seen::default(), Seen::default(), Seen::default());
            for _ in 0..*rounds {
                let before = process.seconds()?;
                let (bytes, took) = read(&target, (time, *connections, is_ranged), &named)?;
                ours.add(bytes, took, process.seconds()? - before);
                for (nginx, seen) in [(&nginx, &mut plain), (&copying, &mut copied)] {
                    let Some(nginx) = nginx else { continue };
                    let before = nginx.seconds()?;
                    let (bytes, took) =
                        read(&nginx.target, (time, *connections, is_ranged), files)?;
                    seen.add(bytes, took, nginx.seconds()? - before);
                }
            }
            line(what, &ours, &plain, "nginx, sendfile on, the same files");
            line(what, &ours, &copied, "nginx, sendfile off, the same files");
        }
        if nginx.is_none() {
            println!("nginx is not installed (Debian: nginx-light)");
        }
    }
    drop(folder);
    disk::run(core, (*rounds, *packs / 2, *connections))?;
    if *streams > 0 {
        streams::run(core, memory, (*streams, *objects))?;
    }
    Ok(())
}
