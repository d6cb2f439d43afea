//! Generates WhatsApp-like folders and compares Heirloom with its peers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for the terminal: its output is what it is for"
)]

mod blobs;
mod cluster;
mod compare;
mod daily;
mod generate;
mod machine;
mod measure;
mod opaque;
mod outs;
mod report;
mod tools;
mod unlock;
mod vault;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};

use generate::Amount;

/// Makes test folders and measures backups of them.
#[derive(Debug, Parser)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures how long a passkey takes to open a keyring, without the person and the browser.
    Unlock,
    /// Servers on a cluster of three databases that fail again and again: what was acknowledged stays.
    Cluster(cluster::Options),
    /// What takes the cluster away.
    #[command(hide = true)]
    ClusterGuard(cluster::Guard),
    /// Measures password unlocks a second on a server, against what its parts alone would do.
    Vault(vault::Options),
    /// Measures how quickly a server takes and gives objects, against a plain static file server.
    Blobs(blobs::Options),
    /// The server of these two.
    #[command(hide = true)]
    VaultServer(vault::Serve),
    /// What that is held against.
    #[command(hide = true)]
    VaultParts(vault::Raw),
    /// Makes a WhatsApp-like folder, or adds a day to one.
    Generate {
        size: Size,
        dir: PathBuf,
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Messages, instead of the size's own number.
        #[arg(long)]
        messages: Option<u64>,
        /// Media files, instead of the size's own number.
        #[arg(long)]
        files: Option<u64>,
        /// Media bytes, instead of the size's own number.
        #[arg(long)]
        bytes: Option<u64>,
        /// Edits of old messages (a new day only), instead of 50.
        #[arg(long)]
        edits: Option<u64>,
    },
    /// Measures Heirloom and its peers side by side.
    Compare(compare::Options),
    /// Runs one program and writes down what it used.
    #[command(hide = true)]
    Measure {
        #[arg(long)]
        into: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Size {
    /// 50,000 messages and 300 MB of media.
    Small,
    /// 1,000,000 messages and 2 GB of media.
    Large,
    /// A day more for a folder made before: 2,000 messages, 50 edits, 40 files of 60 MB.
    Nextday,
}

fn main() -> Result<()> {
    match Args::parse().command {
        Command::Generate {
            size,
            dir,
            seed,
            messages,
            files,
            bytes,
            edits,
        } => {
            let usual = match size {
                Size::Small => Amount::SMALL,
                Size::Large => Amount::LARGE,
                Size::Nextday => Amount::NEXT_DAY,
            };
            let amount = Amount {
                messages: messages.unwrap_or(usual.messages),
                files: files.unwrap_or(usual.files),
                bytes: bytes.unwrap_or(usual.bytes),
                edits: edits.unwrap_or(usual.edits),
                ..usual
            };
            let made = match size {
                Size::Small | Size::Large => generate::folder(&dir, amount, seed)?,
                Size::Nextday => generate::next_day(&dir, amount, seed)?,
            };
            println!("{}", serde_json::to_string(&made)?);
        }
        Command::Compare(options) => {
            compare::run(&options)?;
            println!("\n{}", unlock::run()?);
        }
        Command::Cluster(options) => {
            if !cluster::run(&options)? {
                bail!("not as it must be");
            }
        }
        Command::ClusterGuard(guard) => cluster::guard(&guard)?,
        Command::Vault(options) => vault::run(&options)?,
        Command::Blobs(options) => blobs::run(&options)?,
        Command::VaultServer(options) => vault::serve(&options)?,
        Command::VaultParts(options) => vault::alone(&options)?,
        Command::Unlock => println!("{}", unlock::run()?),
        Command::Measure { into, command } => {
            if !measure::inner(&into, &command)? {
                bail!("the program failed");
            }
        }
    }
    Ok(())
}
