//! One program, run and measured: wall clock, processor seconds, peak memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use serde::{Deserialize, Serialize};

/// What a program used.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Seconds on the wall.
    pub(crate) wall: f64,
    /// User and system seconds of the processor, children included.
    pub(crate) cpu: f64,
    /// Peak resident memory in bytes. Below about 6 MB it is the measuring process's own.
    pub(crate) memory: u64,
}

/// A program to be measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Job {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) dir: Option<PathBuf>,
    /// Where its standard output goes, for programs that restore to it.
    pub(crate) stdout: Option<PathBuf>,
}

impl Job {
    /// Runs it as the only child of a new process of ours, so that its memory is known by itself.
    pub(crate) fn measure(&self, scratch: &Path) -> Result<Usage> {
        let into = scratch.join("usage.json");
        let log = scratch.join("log.txt");
        let stdout = self
            .stdout
            .clone()
            .unwrap_or_else(|| scratch.join("stdout.txt"));
        let mut wrapper = Command::new(std::env::current_exe()?);
        wrapper
            .arg("measure")
            .arg("--into")
            .arg(&into)
            .arg("--")
            .arg(&self.program)
            .args(&self.args);
        wrapper
            .envs(self.env.iter().cloned())
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&log)?);
        if let Some(dir) = &self.dir {
            wrapper.current_dir(dir);
        }
        let status = wrapper
            .status()
            .with_context(|| format!("run {}", self.program.display()))?;
        if !status.success() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            bail!(
                "{} {} failed ({status}):\n{said}",
                self.program.display(),
                self.args.join(" ")
            );
        }
        Ok(serde_json::from_slice(&std::fs::read(&into)?)?)
    }
}

/// The inner half of [`Job::measure`].
pub(crate) fn inner(into: &Path, command: &[String]) -> Result<bool> {
    let (program, args) = command.split_first().context("no program to measure")?;
    let begun = Instant::now();
    let status = Command::new(program)
        .args(args)
        .status()
        .with_context(|| format!("run {program}"))?;
    let wall = begun.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = (used.user_time() + used.system_time()).num_microseconds();
    let cpu = f64::from(u32::try_from(cpu)?) / 1e6;
    let memory = u64::try_from(used.max_rss())? * 1024;
    std::fs::write(into, serde_json::to_vec(&Usage { wall, cpu, memory })?)?;
    Ok(status.success())
}

/// Bytes of all files below `dir`.
pub(crate) fn stored(dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            stored(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}
