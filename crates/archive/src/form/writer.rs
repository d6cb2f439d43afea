//! Writes an archive form.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::manifest::{FORMAT, Manifest, VERSION};
use super::names::FolderNames;
use super::{
    ATTACHMENTS, CONVERSATION, CONVERSATIONS, ConversationEntry, MANIFEST, MESSAGES, PART,
    PARTICIPANTS, Totals,
};
use crate::paths::{self, RelativePath};
use crate::{Attachment, Conversation, Message, Participant, frames};

/// Why an archive could not be begun in a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormError {
    /// The folder holds something else.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// The folder holds a finished archive.
    #[error("{0} already holds a complete archive")]
    Complete(PathBuf),
    /// The folder holds an unfinished archive that was made from something else.
    #[error("{0} holds an unfinished archive of another snapshot or selection")]
    OtherOrigin(PathBuf),
    /// The file system's word.
    #[error("cannot write to {path}")]
    Io {
        /// What was being written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl FormError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotEmpty(_) | Self::Complete(_) => Some("choose a new or an empty folder"),
            Self::OtherOrigin(_) => {
                Some("choose another folder, or remove this one to begin again")
            }
            Self::Io { .. } => None,
        }
    }
}

/// Writes an archive form: text first, media whenever, the mark of completeness last.
///
/// A run that is killed leaves `"complete": false`; [`ArchiveWriter::create`] takes such a folder up again. Text is
/// written anew then, and attachments that are there need not be (see [`super::is_there`]).
#[derive(Debug)]
pub struct ArchiveWriter {
    root: PathBuf,
    manifest: Manifest,
    participants: BufWriter<File>,
    folders: FolderNames,
    buffer: Vec<u8>,
}

impl ArchiveWriter {
    /// Begins in a new or empty folder, or in one with an unfinished archive of the same `origin`.
    ///
    /// `origin` names what is written (snapshot and selection), so that a second run does not mix two; `made_by` is for
    /// people.
    pub fn create(root: &Path, made_by: &str, origin: &str) -> Result<Self, FormError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| FormError::Io { path, source }
        };
        std::fs::create_dir_all(root).map_err(at(root))?;
        match Manifest::read(root) {
            Ok(Some(found)) if found.complete => return Err(FormError::Complete(root.to_owned())),
            Ok(Some(found)) if found.origin != origin || found.version != VERSION => {
                return Err(FormError::OtherOrigin(root.to_owned()));
            }
            Ok(Some(_)) => {}
            Ok(None) if is_empty(root).map_err(at(root))? => {}
            Ok(None) => return Err(FormError::NotEmpty(root.to_owned())),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(FormError::NotEmpty(root.to_owned()));
            }
            Err(error) => return Err(at(&root.join(MANIFEST))(error)),
        }
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            complete: false,
            made_by: made_by.to_owned(),
            origin: origin.to_owned(),
            totals: Totals::default(),
            conversations: Vec::new(),
        };
        manifest.write(root).map_err(at(&root.join(MANIFEST)))?;
        let path = root.join(format!("{PART}{PARTICIPANTS}"));
        let participants = BufWriter::new(File::create(&path).map_err(at(&path))?);
        Ok(Self {
            root: root.to_owned(),
            manifest,
            participants,
            folders: FolderNames::default(),
            buffer: Vec::new(),
        })
    }

    /// The archive's folder, for [`super::AttachmentFile::create`].
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds a participant. By id, each once.
    pub fn participant(&mut self, participant: &Participant) -> io::Result<()> {
        self.buffer.clear();
        frames::push(participant, &mut self.buffer);
        self.manifest.totals.participants += 1;
        self.participants.write_all(&self.buffer)
    }

    /// Begins a conversation. Several may be open at once; each id comes once.
    pub fn conversation(&mut self, conversation: &Conversation) -> io::Result<ConversationWriter> {
        let hash = blake3::hash(conversation.id.as_bytes());
        // The hash is always there, so that a folder's name does not depend on the other conversations.
        let title = paths::safe_name(&conversation.title, paths::MAX_NAME_BYTES - 16);
        let wished = format!("{title}-{}", &hash.to_hex()[..8]);
        let folder = self.folders.give(&wished, hash.as_bytes());
        let path = self.root.join(CONVERSATIONS).join(&folder);
        std::fs::create_dir_all(&path)?;
        self.buffer.clear();
        frames::push(conversation, &mut self.buffer);
        std::fs::write(path.join(CONVERSATION), &self.buffer)?;
        let messages = BufWriter::with_capacity(
            1 << 17,
            File::create(path.join(format!("{PART}{MESSAGES}")))?,
        );
        Ok(ConversationWriter {
            entry: ConversationEntry {
                id: conversation.id.clone(),
                folder,
                messages: 0,
                attachments: 0,
                first: None,
                last: None,
            },
            path,
            messages,
            names: FolderNames::default(),
            buffer: Vec::new(),
        })
    }

    /// Marks the archive as complete. Call when every attachment is there.
    pub fn finish(mut self, conversations: Vec<ConversationEntry>) -> io::Result<Totals> {
        self.participants.flush()?;
        self.participants.get_ref().sync_all()?;
        std::fs::rename(
            self.root.join(format!("{PART}{PARTICIPANTS}")),
            self.root.join(PARTICIPANTS),
        )?;
        let totals = &mut self.manifest.totals;
        for entry in &conversations {
            totals.conversations += 1;
            totals.messages += entry.messages;
            totals.attachments += entry.attachments;
        }
        self.manifest.conversations = conversations;
        self.manifest.complete = true;
        self.manifest.write(&self.root)?;
        Ok(self.manifest.totals)
    }
}

/// Writes one conversation's messages, and gives its attachments their paths.
#[derive(Debug)]
pub struct ConversationWriter {
    entry: ConversationEntry,
    path: PathBuf,
    messages: BufWriter<File>,
    names: FolderNames,
    buffer: Vec<u8>,
}

impl ConversationWriter {
    /// Where an attachment lies, relative to the archive's folder: `Attachment::path` of a present one.
    ///
    /// `content_key` is any hash of the bytes. The same name for the same content gives the same path; a name that
    /// another content has already gets a suffix from its `content_key`.
    pub fn attachment_path(
        &mut self,
        attachment: &Attachment,
        content_key: &[u8; 32],
    ) -> RelativePath {
        let name = self.names.give(&attachment.name, content_key);
        RelativePath::of(&[CONVERSATIONS, &self.entry.folder, ATTACHMENTS, &name])
    }

    /// Adds a message; in (time, id) order. Its attachments' `path` must be set, their `content` is left out.
    pub fn message(&mut self, mut message: Message) -> io::Result<()> {
        for attachment in &mut message.attachments {
            attachment.content.clear();
        }
        self.buffer.clear();
        frames::push(&message, &mut self.buffer);
        self.messages.write_all(&self.buffer)?;
        self.count(
            1,
            message.attachments.len(),
            message.sent_at,
            message.sent_at,
        );
        Ok(())
    }

    /// Adds messages that are framed already and have no attachments with `content`; in (time, id) order.
    pub fn framed(
        &mut self,
        framed: &[u8],
        messages: u64,
        attachments: usize,
        first: i64,
        last: i64,
    ) -> io::Result<()> {
        self.messages.write_all(framed)?;
        self.count(messages, attachments, first, last);
        Ok(())
    }

    /// Ends the text of this conversation. Its attachments may still come.
    pub fn finish(mut self) -> io::Result<ConversationEntry> {
        self.messages.flush()?;
        std::fs::rename(
            self.path.join(format!("{PART}{MESSAGES}")),
            self.path.join(MESSAGES),
        )?;
        Ok(self.entry)
    }

    fn count(&mut self, messages: u64, attachments: usize, first: i64, last: i64) {
        self.entry.messages += messages;
        self.entry.attachments += u64::try_from(attachments).unwrap_or(u64::MAX);
        self.entry.first.get_or_insert(first);
        self.entry.last = Some(last);
    }
}

/// Whether nothing is there, or only the beginning of a manifest that a killed run left.
fn is_empty(path: &Path) -> io::Result<bool> {
    let left = format!("{PART}{MANIFEST}");
    for entry in std::fs::read_dir(path)? {
        if entry?.file_name() != left.as_str() {
            return Ok(false);
        }
    }
    Ok(true)
}
