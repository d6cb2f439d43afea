//! What processes of this machine use, and on which core they run.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The core of what is measured.
pub(crate) const SERVERS: u32 = 0;
/// The core of whoever asks it.
pub(crate) const CLIENTS: u32 = 1;

/// Whether both sides can have a core of their own.
pub(crate) fn can_part() -> bool {
    std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1)
        && Command::new("taskset")
            .args(["-c", "0", "true"])
            .status()
            .is_ok_and(|status| status.success())
}

/// `program`, on that core alone.
pub(crate) fn on(core: Option<u32>, program: impl AsRef<OsStr>) -> Command {
    let Some(core) = core else {
        return Command::new(program);
    };
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Moves this thread, and those that it starts from now on.
pub(crate) fn stay_on(core: u32) -> Result<()> {
    let moved = Command::new("taskset")
        .args(["-cp", &core.to_string(), &std::process::id().to_string()])
        .output()?;
    anyhow::ensure!(moved.status.success(), "taskset failed");
    Ok(())
}

fn stat(pid: u32) -> Result<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("/proc's stat")?;
    Ok(fields.split(' ').map(str::to_owned).collect())
}

/// Seconds of the processor that a process used, in user and in kernel mode.
pub(crate) fn seconds(pid: u32) -> Result<f64> {
    let fields = stat(pid)?;
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<u32>().ok())
            .unwrap_or(0)
    };
    // Hundredths of a second, on every Linux.
    Ok(f64::from(ticks(12) + ticks(13)) / 100.0)
}

/// The same of a process and its children.
pub(crate) fn seconds_of_all(pid: u32) -> Result<f64> {
    let mut sum = seconds(pid)?;
    let parent = pid.to_string();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // It may end meanwhile.
        if stat(other).is_ok_and(|fields| fields.get(2) == Some(&parent)) {
            sum += seconds(other).unwrap_or_default();
        }
    }
    Ok(sum)
}

/// Resident bytes of a process.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/status")))?;
    let kilobytes: u64 = status
        .lines()
        .find_map(|line| {
            let value = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
            value.parse().ok()
        })
        .context("VmRSS")?;
    Ok(kilobytes * 1024)
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
