//! `restore`, `snapshots`, `browse`, `search` and `export`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::shared::{At, Pick, Unlock};

const RESTORE_EXAMPLES: &str = "\
Examples:
  heirloom restore ./my-backup --to ./restored --recovery-key-file ./my-recovery-key.txt
  heirloom restore ./my-backup --to ./restored --chat Family --from 2023-01-01 --messages-only

Messages come first, media after. A restore that was stopped goes on where it was: run it again.";

/// Brings a backup back.
#[derive(Debug, Args)]
#[command(after_help = RESTORE_EXAMPLES)]
pub(crate) struct Restore {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// The folder to write to; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    #[command(flatten)]
    pub(crate) at: At,
    #[command(flatten)]
    pub(crate) pick: Pick,
    /// Only media of this kind; may be given again
    #[arg(long, value_name = "KIND", help_heading = "What")]
    pub(crate) kind: Vec<MediaKind>,
    /// Leave media out
    #[arg(long, conflicts_with = "kind", help_heading = "What")]
    pub(crate) messages_only: bool,
}

/// A kind of medium.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MediaKind {
    /// Pictures
    Picture,
    /// Videos
    Video,
    /// Voice notes
    VoiceNote,
    /// Other sound files
    Audio,
    /// Documents
    Document,
    /// Stickers
    Sticker,
    /// Animated pictures
    Gif,
}

const SNAPSHOTS_EXAMPLES: &str = "\
Example:
  heirloom snapshots ./my-backup --recovery-key-file ./my-recovery-key.txt";

/// Lists the snapshots of a backup.
#[derive(Debug, Args)]
#[command(after_help = SNAPSHOTS_EXAMPLES)]
pub(crate) struct Snapshots {
    /// Where the backup lies: a folder or a URL
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
}

const BROWSE_EXAMPLES: &str = "\
Examples:
  heirloom browse ./my-backup
  heirloom browse ./my-backup Family --last 50
  heirloom browse ./restored Family --from 2023-12-24 --until 2023-12-27";

/// Looks into chats.
#[derive(Debug, Args)]
#[command(after_help = BROWSE_EXAMPLES)]
pub(crate) struct Browse {
    /// A store, or a restored folder
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// The chat to show: its name, the start of its name, or its id. Without it, the list of chats
    #[arg(value_name = "CHAT")]
    pub(crate) chat: Option<String>,
    /// Only the last N messages
    #[arg(long, value_name = "N", default_value = "50", conflicts_with = "from")]
    pub(crate) last: usize,
    /// From this day or time on: 2024-05-31, or 2024-05-31T18:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = super::shared::moment)]
    pub(crate) from: Option<i64>,
    /// Up to and not including this day or time
    #[arg(long, value_name = "WHEN", value_parser = super::shared::moment)]
    pub(crate) until: Option<i64>,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    #[command(flatten)]
    pub(crate) at: At,
}

const SEARCH_EXAMPLES: &str = "\
Examples:
  heirloom search ./my-backup birthday cake
  heirloom search ./my-backup beach --chat Family --from 2022-06-01 --limit 20";

/// Finds messages by their words.
#[derive(Debug, Args)]
#[command(after_help = SEARCH_EXAMPLES)]
pub(crate) struct Search {
    /// A store, or a restored folder
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// The words; a message must hold all of them
    #[arg(value_name = "WORDS", required = true)]
    pub(crate) words: Vec<String>,
    /// Stop after so many hits
    #[arg(long, value_name = "N", default_value = "100")]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) pick: Pick,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    #[command(flatten)]
    pub(crate) at: At,
}

const EXPORT_EXAMPLES: &str = "\
Examples:
  heirloom export ./my-backup --format html --to ./pages
  heirloom export ./my-backup --format jsonl --to ./open --recovery-key-file ./my-recovery-key.txt
  heirloom export ./restored --format whatsapp --to ./text --chat Family";

/// Writes chats in a form that other programs read.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
pub(crate) struct Export {
    /// A store, or a restored folder
    #[arg(value_name = "STORE")]
    pub(crate) store: String,
    /// The form
    #[arg(long, value_name = "FORM")]
    pub(crate) format: Format,
    /// The folder to write to; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) pick: Pick,
    /// Leave media out
    #[arg(long, help_heading = "What")]
    pub(crate) messages_only: bool,
    #[command(flatten)]
    pub(crate) unlock: Unlock,
    #[command(flatten)]
    pub(crate) at: At,
}

/// A form of export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The open archive form: JSON lines beside the media
    Jsonl,
    /// Web pages that need no program but a browser
    Html,
    /// Text as WhatsApp's own export writes it
    Whatsapp,
}
