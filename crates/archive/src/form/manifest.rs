//! `heirloom-archive.json`: what a folder is, and whether it is complete.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{MANIFEST, PART};

pub(super) const FORMAT: &str = "heirloom-archive";
pub(super) const VERSION: u32 = 1;
/// A million conversations fit.
const MAX_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;

/// The whole manifest. Unknown fields are ignored: a later version may add some.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) complete: bool,
    #[serde(default)]
    pub(super) made_by: String,
    #[serde(default)]
    pub(super) origin: String,
    #[serde(default)]
    pub(super) totals: Totals,
    #[serde(default)]
    pub(super) conversations: Vec<ConversationEntry>,
}

/// What an archive holds, in numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Conversations.
    pub conversations: u64,
    /// Participants.
    pub participants: u64,
    /// Messages.
    pub messages: u64,
    /// Attachments of all messages, whether their bytes are there or not.
    pub attachments: u64,
}

/// What the manifest says of one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationEntry {
    /// The conversation's id.
    pub id: String,
    /// The folder's name below `conversations`.
    pub folder: String,
    /// How many messages it has.
    pub messages: u64,
    /// How many attachments they have, whether the bytes are there or not.
    #[serde(default)]
    pub attachments: u64,
    /// `sent_at` of the first message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// `sent_at` of the last message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<i64>,
}

impl Manifest {
    /// `None` when there is no manifest.
    pub(super) fn read(root: &Path) -> io::Result<Option<Self>> {
        let path = root.join(MANIFEST);
        match std::fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
            Ok(data) if !data.is_file() => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "heirloom-archive.json is not a plain file",
                ));
            }
            Ok(_) => {}
        }
        let mut text = Vec::new();
        File::open(&path)?
            .take(MAX_MANIFEST_BYTES)
            .read_to_end(&mut text)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("heirloom-archive.json: {error}"),
            )
        })?;
        if manifest.format == FORMAT {
            Ok(Some(manifest))
        } else {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "heirloom-archive.json is not of this format",
            ))
        }
    }

    /// Replaces the manifest atomically and durably.
    pub(super) fn write(&self, root: &Path) -> io::Result<()> {
        let part = root.join(format!("{PART}{MANIFEST}"));
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        let mut file = File::create(&part)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&part, root.join(MANIFEST))?;
        sync_folder(root)
    }
}

/// Makes a rename last. Only Unix opens folders.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(path)?.sync_all()
    } else {
        Ok(())
    }
}
