//! Four machines on one: network namespaces on a bridge, what runs in them, and partitions between them.
//!
//! Everything goes with [`down`], which also finds what an earlier run left: names are fixed, and a lock keeps
//! two runs apart.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Nodes with a database.
pub(super) const NODES: usize = 3;
/// The machine on which the servers run.
pub(super) const SERVERS: usize = 4;
/// In the words of PostgreSQL's rules.
pub(super) const NETWORK: &str = "10.213.77.0/24";
const BRIDGE: &str = "hlcluster0";

/// A machine's name, from 1.
pub(super) fn name(machine: usize) -> String {
    format!("hlcluster{machine}")
}

/// A machine's address.
pub(super) fn address(machine: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 213, 77, u8::try_from(machine).unwrap_or(u8::MAX))
}

/// Runs a program to its end; its standard output, or its words as the error.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String> {
    let done = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))?;
    if !done.status.success() {
        let words = String::from_utf8_lossy(&done.stderr);
        bail!("{program} {}: {}", args.join(" "), words.trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

fn ip(words: &str) -> Result<String> {
    run("ip", &words.split(' ').collect::<Vec<_>>())
}

/// Makes the machines.
pub(super) fn up() -> Result<()> {
    ip(&format!("link add {BRIDGE} type bridge"))?;
    ip(&format!("address add 10.213.77.254/24 dev {BRIDGE}"))?;
    ip(&format!("link set {BRIDGE} up"))?;
    for machine in 1..=SERVERS {
        let (name, outside) = (name(machine), format!("hlcluster{machine}h"));
        ip(&format!("netns add {name}"))?;
        ip(&format!(
            "link add {outside} type veth peer name eth0 netns {name}"
        ))?;
        ip(&format!("link set {outside} master {BRIDGE} up"))?;
        let address = address(machine);
        ip(&format!("-n {name} address add {address}/24 dev eth0"))?;
        ip(&format!("-n {name} link set eth0 up"))?;
        ip(&format!("-n {name} link set lo up"))?;
        let rules =
            "add table inet cut; add chain inet cut arrives { type filter hook input priority 0; }";
        run("ip", &["netns", "exec", &name, "nft", rules])?;
    }
    Ok(())
}

/// A command on a machine; the process becomes the program, so that its id is the program's.
pub(super) fn on(machine: usize, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &name(machine), program]);
    command.stdin(Stdio::null());
    command
}

/// The same as a user without rights: PostgreSQL refuses to run as root.
pub(super) fn as_nobody(machine: usize, program: &str) -> Command {
    let mut command = on(machine, "setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
    command.arg(program);
    command
}

/// Cuts a node off from the other nodes. The servers still reach it. What was sent is dropped in silence.
pub(super) fn cut(node: usize) -> Result<()> {
    for other in (1..=NODES).filter(|other| *other != node) {
        for (here, there) in [(node, other), (other, node)] {
            let address = address(there);
            let rule = format!("add rule inet cut arrives ip saddr {address} drop");
            run("ip", &["netns", "exec", &name(here), "nft", &rule])?;
        }
    }
    Ok(())
}

/// Ends every cut.
pub(super) fn heal() -> Result<()> {
    for node in 1..=NODES {
        let flush = "flush chain inet cut arrives";
        run("ip", &["netns", "exec", &name(node), "nft", flush])?;
    }
    Ok(())
}

/// What runs on a machine: ids and names of programs.
pub(super) fn processes(machine: usize) -> Vec<(u32, String)> {
    let found = run("ip", &["netns", "pids", &name(machine)]).unwrap_or_default();
    let ids = found.lines().filter_map(|line| line.trim().parse().ok());
    ids.filter_map(|id: u32| {
        let path = PathBuf::from(format!("/proc/{id}/comm"));
        let program = std::fs::read_to_string(path).ok()?;
        Some((id, program.trim().to_owned()))
    })
    .collect()
}

/// Sends a signal to processes of ours. One that is gone is no error.
pub(super) fn signal(ids: &[u32], signal: &str) {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    if ids.is_empty() {
        return;
    }
    let _ = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$@\"", signal])
        .args(&ids)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// SIGKILL for whatever runs on a machine and is chosen, until nothing of it is left.
pub(super) fn kill(machine: usize, is_chosen: impl Fn(&str) -> bool) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let ids: Vec<u32> = processes(machine)
            .into_iter()
            .filter(|(_, program)| is_chosen(program))
            .map(|(id, _)| id)
            .collect();
        if ids.is_empty() {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("processes of {} survive SIGKILL: {ids:?}", name(machine));
        }
        signal(&ids, "KILL");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Ends what runs on the machines, and takes them away. What is not there is no error.
pub(super) fn down() {
    for machine in 1..=SERVERS {
        let _ = kill(machine, |_| true);
        let _ = run("ip", &["netns", "delete", &name(machine)]);
        // Goes with its other end; not where the machine was only half made.
        let _ = run("ip", &["link", "delete", &format!("hlcluster{machine}h")]);
    }
    let _ = run("ip", &["link", "delete", BRIDGE]);
}
