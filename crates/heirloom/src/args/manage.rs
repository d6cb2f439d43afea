//! `check`, `drill`, `prune`, `protect`, `kit`, `doctor`, `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::shared::{At, Unlock};

const CHECK_EXAMPLES: &str = "\
Examples:
  heirloom check ./my-backup
  heirloom check ./my-backup --read-data=5%
  heirloom check ./my-backup --read-data --recovery-key-file ./my-recovery-key.txt";

/// Looks for damage.
#[derive(Debug, Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub(crate) struct Check {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// Read and open the contents too: all, or so many in a hundred
    #[arg(long, value_name = "N%", num_args = 0..=1, require_equals = true, default_missing_value = "100%")]
    #[arg(value_parser = percent)]
    pub(crate) read_data: Option<u8>,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

fn percent(text: &str) -> Result<u8, String> {
    match text.strip_suffix('%').unwrap_or(text).parse::<u8>() {
        Ok(n @ 1..=100) => Ok(n),
        _ => Err("write a share from 1% to 100%".into()),
    }
}

const DRILL_EXAMPLES: &str = "\
Example:
  heirloom drill ./my-backup --recovery-key-file ./my-recovery-key.txt

A drill unlocks the backup as a new computer would, restores a sample into a temporary folder, compares
it, and records that this way in was proven.";

/// Proves a way in.
#[derive(Debug, Args)]
#[command(after_help = DRILL_EXAMPLES)]
pub(crate) struct Drill {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// How many media files to restore at most
    #[arg(long, value_name = "N", default_value = "20")]
    pub(crate) sample: usize,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    #[command(flatten)]
    pub(crate) at: At,
}

const PRUNE_EXAMPLES: &str = "\
Examples:
  heirloom prune ./my-backup --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dry-run
  heirloom prune ./my-backup --keep-last 10

Nothing is deleted at once: what no kept snapshot needs is marked, and a later prune sweeps it.";

/// Lets go of snapshots.
#[derive(Debug, Args)]
#[command(after_help = PRUNE_EXAMPLES)]
#[command(group(clap::ArgGroup::new("keep").required(true).multiple(true)
    .args(["keep_last", "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly"])))]
pub(crate) struct Prune {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// Keep the last N snapshots of each device
    #[arg(long, value_name = "N")]
    pub(crate) keep_last: Option<usize>,
    /// Keep the last snapshot of each of N days
    #[arg(long, value_name = "N")]
    pub(crate) keep_daily: Option<usize>,
    /// Keep the last snapshot of each of N weeks
    #[arg(long, value_name = "N")]
    pub(crate) keep_weekly: Option<usize>,
    /// Keep the last snapshot of each of N months
    #[arg(long, value_name = "N")]
    pub(crate) keep_monthly: Option<usize>,
    /// Keep the last snapshot of each of N years
    #[arg(long, value_name = "N")]
    pub(crate) keep_yearly: Option<usize>,
    /// Say what would go, change nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Do not ask before letting go
    #[arg(short, long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

const PROTECT_EXAMPLES: &str = "\
Examples:
  heirloom protect status ./my-backup
  heirloom protect add passkey ./my-backup --recovery-key-file ./my-recovery-key.txt
  heirloom protect add recovery-key ./my-backup --new-key-file ./second-key.txt
  heirloom protect check ./my-backup --passkey";

/// Shows and changes the ways in.
#[derive(Debug, Args)]
#[command(after_help = PROTECT_EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Protect {
    #[command(subcommand)]
    pub(crate) command: ProtectCommand,
}

/// What to do with the ways in.
#[derive(Debug, Subcommand)]
pub(crate) enum ProtectCommand {
    /// Show the ways in, the devices, and when each was last proven
    #[command(after_help = "Example:\n  heirloom protect status ./my-backup")]
    Status(Ways),
    /// Show what happened to the ways in
    #[command(after_help = "Example:\n  heirloom protect log ./my-backup")]
    Log(Ways),
    /// Add a way in
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// Change the password
    #[command(after_help = CHANGE_EXAMPLES)]
    Change(Change),
    /// Prove a way in by an unlock
    #[command(after_help = CHECK_WAY_EXAMPLES)]
    Check(Ways),
    /// Give a way in another name
    #[command(
        after_help = "Example:\n  heirloom protect rename ./my-backup 'Recovery key' 'In the safe'"
    )]
    Rename(Rename),
    /// Remove a way in; the backup's root key is changed at once
    #[command(after_help = REMOVE_EXAMPLES)]
    Remove(Remove),
    /// Change the backup's root key; every way in stays
    #[command(after_help = "Example:\n  heirloom protect rotate ./my-backup")]
    Rotate(Ways),
    /// Turn the backup off: 30 days later it can be removed; until then this can be taken back
    #[command(after_help = OFF_EXAMPLES)]
    Off(Off),
}

const ADD_EXAMPLES: &str = "\
Examples:
  heirloom protect add passkey ./my-backup --recovery-key-file ./my-recovery-key.txt
  heirloom protect add recovery-key ./my-backup --passkey --new-key-file ./second-key.txt
  heirloom protect add password http://localhost:8750 --recovery-key-file ./my-recovery-key.txt

Where a password is added, `--password-file` holds the new one; without it, it is asked for twice.
A passkey is saved by your browser or password manager. Made by this program, it belongs to `localhost`:
browsers on computers can use it, phones cannot. It counts once it has opened the backup.";

const CHANGE_EXAMPLES: &str = "\
Examples:
  heirloom protect change password http://localhost:8750
  heirloom protect change password ./my-backup --recovery-key-file ./my-recovery-key.txt --new-password-file ./new.txt

The new one is proven before the old one goes: whenever it is stopped, one of the two opens. Run it again to go on.";

const CHECK_WAY_EXAMPLES: &str = "\
Examples:
  heirloom protect check ./my-backup --passkey
  heirloom protect check ./my-backup --recovery-key-file ./second-key.txt

The way in that unlocks is the one that is proven.";

const REMOVE_EXAMPLES: &str = "\
Example:
  heirloom protect remove ./my-backup 'Recovery key 2' --recovery-key-file ./my-recovery-key.txt

Unlock with a way in that stays: that is its test. The last way in that was proven cannot be removed.";

const OFF_EXAMPLES: &str = "\
Examples:
  heirloom export ./my-backup --format html --to ./pages
  heirloom protect off ./my-backup
  heirloom protect off ./my-backup --undo

Run it again when the 30 days are over: then the backup is removed from the store. Until then nothing new is
backed up to it, everything can be restored, and `--undo` takes it back, on any computer that can
open it. An unencrypted backup does not exist.";

/// A backup and how to unlock it.
#[derive(Debug, Args)]
pub(crate) struct Ways {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

/// A way in to add.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What to add
    #[arg(value_name = "METHOD")]
    pub(crate) method: Method,
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// For a recovery key: write it into this new file and show it nowhere
    #[arg(long, value_name = "FILE")]
    pub(crate) new_key_file: Option<PathBuf>,
    /// For a password: the server that counts wrong ones; else the one that the backup lies on
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// What the way in is called
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// A way in to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// What to change
    #[arg(value_name = "METHOD")]
    pub(crate) method: Changeable,
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// The file that holds the new password; without it, it is asked for twice
    #[arg(long, value_name = "FILE")]
    pub(crate) new_password_file: Option<PathBuf>,
}

/// What can be changed: a key is replaced instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Changeable {
    /// What you remember
    Password,
}

/// A kind of way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Your fingerprint, face or screen lock, in a browser
    Passkey,
    /// What you remember; a server counts wrong ones, and after ten it is gone
    Password,
    /// 64 digits on paper or in a file
    RecoveryKey,
}

/// A way in to rename.
#[derive(Debug, Args)]
pub(crate) struct Rename {
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// The way in: its name, or its number in `protect status`
    #[arg(value_name = "WAY")]
    pub(crate) way: String,
    /// What it is called from now on
    #[arg(value_name = "NEW-NAME")]
    pub(crate) new_name: String,
}

/// A backup to turn off.
#[derive(Debug, Args)]
pub(crate) struct Off {
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// Take it back, as long as nothing was removed
    #[arg(long, conflicts_with = "yes")]
    pub(crate) undo: bool,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// What this computer is called in the backup, where `--undo` makes it a device
    #[arg(
        long,
        value_name = "NAME",
        env = "HEIRLOOM_DEVICE_NAME",
        hide_env_values = true
    )]
    pub(crate) device_name: Option<String>,
}

/// A way in to remove.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) ways: Ways,
    /// The way in or the device: its name, or its number in `protect status`
    #[arg(value_name = "WAY")]
    pub(crate) way: String,
    /// Do not ask before removing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Remove a password also where its server cannot be told to forget it: for one that is gone for good
    #[arg(long)]
    pub(crate) without_server: bool,
}

const KIT_EXAMPLES: &str = "\
Examples:
  heirloom kit ./my-backup --to ./recovery-kit.pdf
  heirloom kit ./my-backup --to ./recovery-kit.pdf --paper letter --recovery-key-file ./my-recovery-key.txt
  heirloom kit https://vault.example.org --to ./recovery-kit.pdf --with-sign-in

A sign-in in a kit is one of its own: `heirloom devices URL` lists it as \"Recovery kit\", and `--remove ID` ends it. It
fetches what is stored, and opens nothing without the key.";

/// Prints a recovery kit.
#[derive(Debug, Args)]
#[command(after_help = KIT_EXAMPLES)]
pub(crate) struct Kit {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// Write a page to print (PDF) into this new file. Without it, the kit is shown on the terminal
    #[arg(long, value_name = "FILE")]
    pub(crate) to: Option<PathBuf>,
    /// Print a sign-in to the backup's server on it, too: a new computer then needs nothing but the kit
    #[arg(long, conflicts_with = "without_sign_in")]
    pub(crate) with_sign_in: bool,
    /// Print none, without asking
    #[arg(long)]
    pub(crate) without_sign_in: bool,
    /// The paper
    #[arg(long, value_name = "SIZE", default_value = "a4")]
    pub(crate) paper: Paper,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

/// A size of paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Paper {
    /// 210 × 297 mm
    A4,
    /// 8.5 × 11 in
    Letter,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  heirloom doctor
  heirloom doctor ./my-backup";

/// Finds out what is wrong on this computer.
#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct Doctor {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: Option<String>,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

/// Writes a completion script.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  heirloom completions bash > ~/.local/share/bash-completion/completions/heirloom"
)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

/// Writes the manual pages.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  heirloom man | man -l -\n  heirloom man --to ./man1")]
pub(crate) struct Man {
    /// Write one page a command into this folder. Without it, the main page goes to standard output
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}
