//! `backup` and `start-over`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::Unlock;

const BACKUP_EXAMPLES: &str = "\
Examples:
  heirloom backup './WhatsApp Chat with Family.zip' --to ./my-backup
  heirloom backup ./WhatsApp --to /mnt/disk/backup --new-recovery-key-file ./my-recovery-key.txt --new-passkey
  heirloom backup ./msgstore.db.crypt15 --wa-key ./encrypted_backup.key --to ./my-backup

A first backup makes a recovery key, and with --new-passkey a passkey beside it. Later ones from this computer need no key: this computer can add to
the backup and cannot read it. From another computer, join it: --recovery-key-file FILE --join";

/// Backs up a chat history.
#[derive(Debug, Args)]
#[command(after_help = BACKUP_EXAMPLES)]
pub(crate) struct Backup {
    #[command(flatten)]
    pub(crate) from: From,
    /// Where the backup lies: a folder or a URL
    #[arg(
        long,
        value_name = "STORE",
        env = "HEIRLOOM_STORE",
        hide_env_values = true
    )]
    pub(crate) to: String,
    /// First backup: write the new recovery key into this new file and show it nowhere
    #[arg(long, value_name = "FILE")]
    pub(crate) new_recovery_key_file: Option<PathBuf>,
    /// First backup: make a passkey too, in the browser, beside the new recovery key
    #[arg(long)]
    pub(crate) new_passkey: bool,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    /// Join a backup that this computer has not seen before, without being asked
    #[arg(long)]
    pub(crate) join: bool,
    #[command(flatten)]
    pub(crate) how: How,
    /// Read the source and say what it holds, store nothing
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// What is backed up, and what it takes to read it.
#[derive(Debug, Clone, Args)]
pub(crate) struct From {
    /// A chat export (zip or folder), a WhatsApp folder, a message database, or a restored folder
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// WhatsApp's key file, or a file with the 64-digit key of an encrypted database; `-` asks for it
    #[arg(
        long,
        value_name = "FILE",
        env = "HEIRLOOM_WA_KEY",
        hide_env_values = true
    )]
    pub(crate) wa_key: Option<PathBuf>,
    /// The order of day and month, when the export does not show it
    #[arg(long, value_name = "ORDER")]
    pub(crate) date_order: Option<Order>,
}

/// How the backup is written.
#[derive(Debug, Clone, Args)]
pub(crate) struct How {
    /// What this computer is called in the backup
    #[arg(
        long,
        value_name = "NAME",
        env = "HEIRLOOM_DEVICE_NAME",
        hide_env_values = true
    )]
    pub(crate) device_name: Option<String>,
    /// Read everything even if the source's files have not changed
    #[arg(long)]
    pub(crate) force: bool,
}

/// The order of day and month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// 31/05/2024
    Dmy,
    /// 05/31/2024
    Mdy,
    /// 2024/05/31
    Ymd,
}

const START_OVER_EXAMPLES: &str = "\
Example:
  heirloom start-over ./WhatsApp --to ./my-backup --keep-old-backup --new-recovery-key-file ./new-key.txt

Use it only when every way into the old backup is lost. The old backup stays where it is, unreadable
without its keys, and the new one begins beside it in the folder `started-over-<date>` of the same store.";

/// Begins a new backup beside one that cannot be opened any more.
#[derive(Debug, Args)]
#[command(after_help = START_OVER_EXAMPLES)]
pub(crate) struct StartOver {
    #[command(flatten)]
    pub(crate) from: From,
    /// Where the old backup lies: a folder or a URL
    #[arg(
        long,
        value_name = "STORE",
        env = "HEIRLOOM_STORE",
        hide_env_values = true
    )]
    pub(crate) to: String,
    /// Confirms that the old backup stays where it is and that the new one has other keys
    #[arg(long)]
    pub(crate) keep_old_backup: bool,
    /// Write the new recovery key into this new file and show it nowhere
    #[arg(long, value_name = "FILE")]
    pub(crate) new_recovery_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) how: How,
}
