//! `cargo xtask`: the one entry for people and for `.ci/run`.
#![expect(
    clippy::print_stdout,
    reason = "a tool for the terminal: its output is what it is for"
)]

mod command;
mod counts;
mod dependencies;
mod failures;
mod fuzz;
mod licences;
mod openapi;
mod passkey;
mod readme;
mod setup;
mod suites;
mod wasm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use command::Cmd;

/// Runs, checks and measures Heirloom.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Installs what is missing, runs every check, and ends with one line of counts.
    Test(suites::Options),
    /// What to run before a commit: format, lints, unit tests, docs.
    Dev,
    /// Measures Heirloom against its peers (`bench --help`), or its server (`bench vault --help`), or tortures
    /// servers on a cluster (`bench cluster --help`).
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Writes the test vectors anew and shows what changed.
    Vectors,
    /// Runs the fuzz targets (needs a nightly tool chain and cargo-fuzz).
    Fuzz(fuzz::Options),
    /// Makes a WhatsApp-like folder (`small`, `large`), or adds a day to one (`nextday`).
    #[command(disable_help_flag = true)]
    Generate {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    std::env::set_current_dir(command::root())?;
    let done = match Args::parse().task {
        Task::Test(options) => suites::run(&options)?,
        Task::Dev => suites::run(&suites::Options::only(&[
            "format", "lints", "unit", "vectors", "docs",
        ]))?,
        Task::Bench { args } => match args.split_first() {
            Some((what, rest)) if what == "vault" => {
                setup::wish_for(setup::Beside::Postgres);
                bench("vault", rest)?
            }
            Some((what, rest)) if what == "blobs" => {
                setup::wish_for(setup::Beside::Nginx);
                bench("blobs", rest)?
            }
            Some((what, rest)) if what == "cluster" => {
                if !rest.iter().any(|arg| arg == "--help") {
                    setup::cluster()?;
                }
                bench("cluster", rest)?
            }
            _ => bench("compare", &args)?,
        },
        Task::Generate { args } => bench("generate", &args)?,
        Task::Vectors => vectors()?,
        Task::Fuzz(options) => fuzz::run(&options)?,
    };
    Ok(if done {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn bench(command: &str, args: &[String]) -> Result<bool> {
    if ["compare", "cluster"].contains(&command)
        && !args.iter().any(|a| a == "--help")
        && !Cmd::cargo(["build", "--release", "-p", "heirloom"]).passes()?
    {
        return Ok(false);
    }
    Cmd::cargo([
        "run",
        "--release",
        "--quiet",
        "-p",
        "heirloom-bench",
        "--",
        command,
    ])
    .args(args)
    .passes()
}

fn vectors() -> Result<bool> {
    let written = Cmd::cargo(["test", "--workspace", "--lib", "--bins", "vectors"])
        .env("HEIRLOOM_WRITE_VECTORS", "1")
        .passes()?;
    println!("\nWhat changed:");
    Ok(written
        && Cmd::new("git")
            .args([
                "--no-pager",
                "diff",
                "--stat",
                "-p",
                "--",
                "testdata",
                "crates",
            ])
            .passes()?)
}
