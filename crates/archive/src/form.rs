//! The archive form: a chat history as a folder of framed records and plain files.
//!
//! ```text
//! heirloom-archive.json                 what it is, and whether it is complete
//! participants.frames                   Participant records
//! conversations/<title>-<8 hex>/
//!   conversation.frames                 one Conversation
//!   messages.frames                     Message records in (sent_at, id) order
//!   attachments/<name>                  the media under their names
//! ```
//!
//! `restore` writes it ([`ArchiveWriter`]); `browse`, `search`, `export` read it ([`ArchiveReader`]), `backup` takes
//! it as a source. The whole form is described in `docs/archive-form.md`.

mod attachment_file;
mod frame_file;
mod manifest;
mod names;
mod reader;
mod writer;

pub use attachment_file::{AttachmentFile, is_there};
pub use frame_file::FrameReader;
pub use manifest::{ConversationEntry, Totals};
pub use names::FolderNames;
pub use reader::ArchiveReader;
pub use writer::{ArchiveWriter, ConversationWriter, FormError};

/// The file that marks a folder as an archive.
pub const MANIFEST: &str = "heirloom-archive.json";

const PARTICIPANTS: &str = "participants.frames";
const CONVERSATIONS: &str = "conversations";
const CONVERSATION: &str = "conversation.frames";
const MESSAGES: &str = "messages.frames";
const ATTACHMENTS: &str = "attachments";
/// In front of the names of unfinished files. No safe name begins with a dot.
const PART: &str = ".part-";

#[cfg(test)]
mod tests;
