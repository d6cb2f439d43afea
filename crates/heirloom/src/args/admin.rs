//! `admin`: what the operator of a server does.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const EXAMPLES: &str = "\
Examples:
  heirloom admin stats
  heirloom admin --data /srv/heirloom users list
  heirloom admin rollout explain --rules ./offers.json --account ACCOUNT --platform android --version 1.2.3

All but `rollout` speak with the server that runs on the data folder, through a socket that is for its host alone.";

/// Runs a server's daily business.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Admin {
    /// The server's folder; else `server` where Heirloom keeps its state
    #[arg(
        long,
        value_name = "DIR",
        env = "HEIRLOOM_DATA",
        hide_env_values = true
    )]
    pub(crate) data: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: AdminCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// See, limit, disable and delete accounts
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin users list")]
    Users {
        #[command(subcommand)]
        command: UsersCommand,
    },
    /// Invite somebody to a new account
    #[command(after_help = "Example:\n  heirloom admin invite")]
    Invite {
        /// Of which tenant; else the first one
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// See which passwords are locked or wait. Nothing can open them sooner: that would give guesses back
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin locks list")]
    Locks {
        #[command(subcommand)]
        command: LocksCommand,
    },
    /// Take a database that was put back from a copy as it is
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin generation accept")]
    Generation {
        #[command(subcommand)]
        command: GenerationCommand,
    },
    /// Check that nothing was taken out of the logs; see what operators did
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin audit verify")]
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// See and change the key that the server seals passwords' records with
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin keys rotate")]
    Keys {
        #[command(subcommand)]
        command: KeysCommand,
    },
    /// Say who is offered what: sign, check and explain the rules
    #[command(subcommand_required = true, arg_required_else_help = true)]
    #[command(after_help = "Example:\n  heirloom admin rollout verify ./offers.signed")]
    Rollout {
        #[command(subcommand)]
        command: RolloutCommand,
    },
    /// Show how much of everything there is
    #[command(after_help = "Example:\n  heirloom admin stats --json")]
    Stats,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub(crate) enum UsersCommand {
    /// List all accounts
    #[command(after_help = "Example:\n  heirloom admin users list --json")]
    List,
    /// Show one account
    #[command(after_help = "Example:\n  heirloom admin users show ACCOUNT")]
    Show(Account),
    /// Change how much an account may store; what is stored stays
    #[command(after_help = "Example:\n  heirloom admin users quota ACCOUNT 200G")]
    Quota {
        #[command(flatten)]
        account: Account,
        /// Bytes, or with K, M, G or T (1024 each)
        #[arg(value_name = "SIZE", value_parser = size)]
        size: u64,
    },
    /// Refuse an account's sign-ins; nothing is deleted
    #[command(after_help = "Example:\n  heirloom admin users disable ACCOUNT")]
    Disable(Account),
    /// Take an account's sign-ins again
    #[command(after_help = "Example:\n  heirloom admin users enable ACCOUNT")]
    Enable(Account),
    /// Delete an account: its passwords are destroyed at once, its objects after the grace
    #[command(after_help = "Example:\n  heirloom admin users delete ACCOUNT --yes")]
    Delete {
        #[command(flatten)]
        account: Account,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// One account.
#[derive(Debug, Args)]
pub(crate) struct Account {
    /// The account's id, as `users list` shows it
    #[arg(value_name = "ACCOUNT", allow_hyphen_values = true)]
    pub(crate) account: String,
}

/// What to do with locks.
#[derive(Debug, Subcommand)]
pub(crate) enum LocksCommand {
    /// List passwords that are locked to strangers, wait, or are destroyed
    #[command(after_help = "Example:\n  heirloom admin locks list")]
    List,
}

/// What to do with a restored database.
#[derive(Debug, Subcommand)]
pub(crate) enum GenerationCommand {
    /// Take it as it is: guesses that were made since its copy was taken are forgotten
    #[command(after_help = "Example:\n  heirloom admin generation accept --yes")]
    Accept {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// What to do with logs.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Walk all logs and say what is missing or altered
    #[command(after_help = "Example:\n  heirloom admin audit verify")]
    Verify,
    /// List what operators did
    #[command(after_help = "Example:\n  heirloom admin audit list")]
    List,
}

/// What to do with the wrapping key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Show where it lies and how far its change is
    #[command(after_help = "Example:\n  heirloom admin keys status")]
    Status,
    /// Make a new one; what is sealed under the old one is sealed anew while the server goes on
    #[command(after_help = "Example:\n  heirloom admin keys rotate")]
    Rotate,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  heirloom admin rollout explain --rules ./offers.json --account ACCOUNT --platform android --version 1.2.3
  heirloom admin rollout explain --rules ./offers.signed --operator KEY --account ACCOUNT --platform web --version 1.2.3";

/// What to do with the rules of a roll-out.
#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// Make the key that rules are signed with
    #[command(after_help = "Example:\n  heirloom admin rollout keygen --key-file ./operator.key")]
    Keygen {
        /// The new file for the key, for you alone; it belongs on no server
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
    },
    /// Sign rules, under a number that is greater than any before
    #[command(
        after_help = "Example:\n  heirloom admin rollout sign ./offers.json --key-file ./operator.key --to ./offers.signed"
    )]
    Sign {
        /// The rules, in flagd's form
        #[arg(value_name = "RULES")]
        rules: PathBuf,
        /// The file that `keygen` made
        #[arg(long, value_name = "FILE")]
        key_file: PathBuf,
        /// Where the signed rules go; an older version there is replaced
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// The rules' number; else one more than in the file that is replaced
        #[arg(long, value_name = "NUMBER")]
        number: Option<u64>,
    },
    /// Check signed rules
    #[command(
        after_help = "Example:\n  heirloom admin rollout verify ./offers.signed --operator KEY"
    )]
    Verify {
        /// The signed rules
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The public key that must have signed them
        #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
        operator: Option<String>,
    },
    /// Say what is offered to somebody, and why
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(Explain),
}

/// Somebody who asks, and the rules.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The rules, signed or not
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: PathBuf,
    /// The public key that must have signed them
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    pub(crate) operator: Option<String>,
    /// The account's id; percentages go by it
    #[arg(long, value_name = "ACCOUNT", allow_hyphen_values = true)]
    pub(crate) account: Option<String>,
    /// android, ios, linux, macos, web, windows
    #[arg(long, value_name = "NAME")]
    pub(crate) platform: Option<String>,
    /// The app's version
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// Whose user it is
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Where the server stands
    #[arg(long, value_name = "NAME")]
    pub(crate) region: Option<String>,
    /// Only this; else everything that can be offered, and every flag
    #[arg(long, value_name = "NAME")]
    pub(crate) feature: Option<String>,
}

/// What `serve` goes by in what it offers.
#[derive(Debug, Args)]
pub(crate) struct ServeRollout {
    /// The signed rules that say who is offered what; read again whenever the file changes
    #[arg(
        long,
        value_name = "FILE",
        requires = "rollout_operator",
        env = "HEIRLOOM_ROLLOUT",
        hide_env_values = true
    )]
    pub(crate) rollout: Option<PathBuf>,
    /// The public key that must have signed the rules
    #[arg(
        long,
        value_name = "KEY",
        allow_hyphen_values = true,
        requires = "rollout",
        env = "HEIRLOOM_ROLLOUT_OPERATOR",
        hide_env_values = true
    )]
    pub(crate) rollout_operator: Option<String>,
    /// What the rules call the place where this server stands
    #[arg(
        long,
        value_name = "NAME",
        env = "HEIRLOOM_REGION",
        hide_env_values = true
    )]
    pub(crate) region: Option<String>,
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (text.get(..text.len() - 1), 10),
        Some(b'M' | b'm') => (text.get(..text.len() - 1), 20),
        Some(b'G' | b'g') => (text.get(..text.len() - 1), 30),
        Some(b'T' | b't') => (text.get(..text.len() - 1), 40),
        _ => (Some(text), 0),
    };
    let number = digits
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u64>().ok());
    number
        .and_then(|number| number.checked_mul(1 << shift))
        .filter(|size| i64::try_from(*size).is_ok())
        .ok_or_else(|| "a number of bytes, or with K, M, G or T".to_owned())
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_bytes_or_have_a_letter() {
        for (text, bytes) in [("0", 0), ("5K", 5 << 10), ("2g", 2 << 30), ("1T", 1 << 40)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5G",
            "1 G",
            "9999999999999999999",
            "9999999T",
            "Ä",
        ] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
