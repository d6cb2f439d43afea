//! Fuzz targets, where a nightly tool chain and cargo-fuzz are there.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::command::{Cmd, on_path, root};
use crate::counts::Counts;
use crate::suites::Outcome;

/// What to fuzz and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes for each target.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// One target; all of them when none is named.
    target: Option<String>,
}

/// Runs the targets one after the other; true when none found anything.
pub(crate) fn run(options: &Options) -> Result<bool> {
    prepare()?;
    let mut clean = true;
    for target in targets()? {
        if options
            .target
            .as_ref()
            .is_none_or(|wanted| *wanted == target)
        {
            println!("{target}: {} minutes", options.minutes);
            clean &= command(&target, options.minutes).passes()?;
        }
    }
    Ok(clean)
}

/// Ten minutes of each, as a suite of the long run.
pub(crate) fn suite() -> Result<Outcome> {
    let mut outcome = Outcome {
        counts: Counts::default(),
        output: String::new(),
    };
    prepare()?;
    for target in targets()? {
        let ran = command(&target, 10).run()?;
        outcome.counts += Counts::one(ran.success);
        if !ran.success {
            writeln!(outcome.output, "{target}:\n{}", ran.output)?;
        }
    }
    Ok(outcome)
}

fn prepare() -> Result<()> {
    if !on_path("cargo-fuzz") && !Cmd::cargo(["install", "cargo-fuzz"]).run()?.success {
        bail!("cargo install cargo-fuzz failed");
    }
    let nightly = Cmd::new("rustc")
        .args(["+nightly", "--version"])
        .without("RUSTUP_TOOLCHAIN")
        .answer();
    nightly
        .map(|_| ())
        .context("fuzzing needs a nightly tool chain (rustup toolchain install nightly)")
}

fn targets() -> Result<Vec<String>> {
    let dir = root().join("fuzz/fuzz_targets");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .with_context(|| format!("read {}", dir.display()))?
        .flatten()
        .filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

fn command(target: &str, minutes: u64) -> Cmd {
    let limit = format!("-max_total_time={}", minutes * 60);
    Cmd::new("cargo")
        .args([
            "+nightly",
            "fuzz",
            "run",
            target,
            "--",
            &limit,
            "-rss_limit_mb=2048",
            "-timeout=20",
        ])
        .without("RUSTUP_TOOLCHAIN")
        .without("CARGO")
}
