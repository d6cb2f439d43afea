//! The command line: what can be asked for. One file for each group of commands.

pub(crate) mod admin;
pub(crate) mod manage;
pub(crate) mod read;
pub(crate) mod server;
pub(crate) mod shared;
pub(crate) mod store_first;
pub(crate) mod write;

use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{ArgAction, Parser, Subcommand, ValueEnum};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const AFTER_HELP: &str = "\
Begin with:
  heirloom backup ./WhatsApp\\ Chat.zip --to ./my-backup
  heirloom check ./my-backup --read-data --recovery-key-file ./my-recovery-key.txt

A store is a folder or a URL. Exit codes and JSON events: docs/cli.md and docs/json.md";

/// Keeps chat histories as end-to-end encrypted backups, opened by keys that only you hold.
#[derive(Debug, Parser)]
#[command(name = "heirloom", version, styles = STYLES, after_help = AFTER_HELP, max_term_width = 100)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Global {
    /// Write one JSON object a line to standard output; the last is the summary
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
    /// Leave talk and progress out
    #[arg(
        short,
        long,
        global = true,
        conflicts_with = "verbose",
        help_heading = "Everywhere"
    )]
    pub(crate) quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Everywhere")]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        env = "HEIRLOOM_COLOR",
        hide_env_values = true
    )]
    #[arg(help_heading = "Everywhere")]
    pub(crate) color: Option<Color>,
    /// Where Heirloom keeps its settings and state on this computer
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "HEIRLOOM_HOME",
        hide_env_values = true
    )]
    #[arg(help_heading = "Everywhere")]
    pub(crate) home: Option<PathBuf>,
    /// The file that signs this computer in to a server; `heirloom login` writes it
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "HEIRLOOM_ACCOUNT_FILE",
        hide_env_values = true
    )]
    #[arg(help_heading = "Everywhere")]
    pub(crate) account_file: Option<PathBuf>,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Back up a chat history
    Backup(write::Backup),
    /// Bring a backup back as a folder in the open archive form
    Restore(read::Restore),
    /// List the snapshots of a backup
    Snapshots(read::Snapshots),
    /// Look into chats without restoring anything
    Browse(read::Browse),
    /// Find messages by their words without restoring anything
    Search(read::Search),
    /// Write chats as JSON lines, web pages or text
    Export(read::Export),
    /// Look for damage
    Check(manage::Check),
    /// Prove a way in by a timed test restore
    Drill(manage::Drill),
    /// Let go of snapshots that are no longer wanted
    Prune(manage::Prune),
    /// See and change the ways into a backup
    Protect(manage::Protect),
    /// Print a recovery kit
    Kit(manage::Kit),
    /// Sign this computer in to a server
    Login(server::Login),
    /// Sign this computer out of a server
    Logout(server::Logout),
    /// See and end the sign-ins of your account on a server
    Devices(server::Devices),
    /// Let a new computer into your account that shows the same words
    Approve(server::Approve),
    /// Let another computer into your account on a server
    Invite(server::Invite),
    /// Run a server for backups and passwords
    Serve(server::Serve),
    /// Look after a server: accounts, locks, logs, keys, who is offered what
    Admin(admin::Admin),
    /// Find out what is wrong on this computer
    Doctor(manage::Doctor),
    /// Begin a new backup beside one that cannot be opened any more
    StartOver(write::StartOver),
    /// Write a completion script for a shell
    Completions(manage::Completions),
    /// Write the manual pages
    Man(manage::Man),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example() {
        fn walk(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("heirloom "), "{path} has no example");
            for inner in command.get_subcommands().filter(|c| c.get_name() != "help") {
                walk(inner, &path);
            }
        }
        walk(&Args::command(), "");
    }

    #[test]
    fn ids_and_codes_may_begin_with_a_hyphen() {
        // One in 64 of those that a server makes does.
        let text = "-qvhAAAAAAAAAAAAAAAAAA";
        for line in [
            "login http://localhost:1 --account-file a.json --invite ID",
            "devices http://localhost:1 --remove ID",
            "admin users show ID",
            "admin users show --json ID",
            "admin users delete ID --yes",
            "admin rollout verify offers.signed --operator ID",
            "admin rollout explain --rules offers.json --operator ID --account ID --platform web --version 1.0.0",
            "serve --rollout offers.signed --rollout-operator ID",
        ] {
            let words = line
                .split(' ')
                .map(|word| if word == "ID" { text } else { word });
            let parsed = Args::try_parse_from(std::iter::once("heirloom").chain(words));
            assert!(parsed.is_ok(), "{line}: {parsed:?}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret_itself() {
        fn walk(command: &clap::Command) {
            for arg in command.get_arguments() {
                let long = arg.get_long().unwrap_or_default();
                let is_a_file = long.ends_with("-file") || long == "password-number";
                let names_a_secret =
                    (long.contains("password") && !is_a_file) || long.ends_with("recovery-key");
                assert!(
                    !names_a_secret,
                    "--{long} would put a secret on the command line"
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Args::command());
    }
}
