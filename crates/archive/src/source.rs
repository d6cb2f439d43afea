//! The two sides of an import: a source that is read, and a sink that takes what is found.

use std::io;
use std::sync::Arc;

use crate::{Conversation, MediaStore, Message, Participant, Report};

/// What a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceInfo {
    /// The messenger: "whatsapp".
    pub app: &'static str,
    /// The form: "whatsapp-text-export", "whatsapp-android", "heirloom-archive".
    pub form: &'static str,
    /// For people: the file's or folder's name.
    pub label: String,
}

/// A chat history of another program, or a folder in archive form.
pub trait Source {
    /// What it is.
    fn info(&self) -> SourceInfo;

    /// Reads everything, in one pass and bounded memory.
    ///
    /// A participant comes before the messages that name it where the source allows; messages of one
    /// conversation may come in any order and mixed with those of others. Every message is either given to `sink` or
    /// counted as a skip.
    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError>;

    /// Where the attachments' bytes come from.
    fn media(&self) -> Arc<dyn MediaStore>;

    /// Reads what may have changed since an earlier reading, whose `mark` that one gave, or else everything.
    ///
    /// `key` must be secret, and the same for all readings of one source. A source that cannot tell what changed reads
    /// everything, as by default. Equal to reading everything in what it says of each message that it gives.
    fn read_since(
        &mut self,
        mark: Option<&[u8]>,
        key: &[u8; 32],
        sink: &mut dyn Sink,
    ) -> Result<Reading, SourceError> {
        let _ = (mark, key);
        Ok(Reading {
            report: self.read(sink)?,
            whole: true,
            mark: None,
        })
    }

    /// A digest of names, sizes and times of all the files that the source consists of, without reading
    /// them; `None` when the source cannot tell. Equal digests mean: nothing to do.
    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }
}

/// What one reading of a source gave.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The numbers of the whole source, whether all of it was read or not.
    pub report: Report,
    /// Whether every message was given. Otherwise every conversation was, and each message that may be new or
    /// different; what else is there stands as it did at the time of the mark.
    pub whole: bool,
    /// What the source was like, for [`Source::read_since`] of a later time; `None` when it cannot tell. Holds hashes and
    /// row numbers, no text.
    pub mark: Option<Vec<u8>>,
}

/// A conversation's handle within one run, given by the sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationRef(pub u32);

/// Takes what a source finds.
pub trait Sink {
    /// Takes a participant. The same id again replaces what was known.
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError>;

    /// Takes a conversation; the same id again gives the same handle and replaces what was known.
    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError>;

    /// Takes a message. Its id must be set (see [`crate::identity`] for sources without ids).
    fn message(&mut self, conversation: ConversationRef, message: Message)
    -> Result<(), SinkError>;
}

/// Why a sink takes no more: the run was interrupted, or its own storage failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct SinkError(#[from] pub Box<dyn std::error::Error + Send + Sync>);

/// Why a source could not be read. Each sentence is for a person, and [`SourceError::hint`] says what
/// to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Not a form that Heirloom knows.
    #[error("{path} is not a chat history that Heirloom knows")]
    NotAChat {
        /// What was looked at.
        path: String,
        /// What to do next.
        hint: String,
    },
    /// The order of day and month cannot be told from the file.
    #[error("{file} does not show whether dates are day/month or month/day")]
    AmbiguousDates {
        /// The file.
        file: String,
        /// A date from it, for the question.
        example: String,
    },
    /// An encrypted database needs its key.
    #[error("{file} is encrypted")]
    KeyNeeded {
        /// The file.
        file: String,
    },
    /// The key is not the one that the database was encrypted with.
    #[error("wrong key: {file} was encrypted with another one")]
    WrongKey {
        /// The file.
        file: String,
    },
    /// The key file is not one.
    #[error("{file} is not a WhatsApp key: {why}")]
    BadKey {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file's bytes are not what they were when it was written.
    #[error("damaged file: {file}: {why}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// A form of a newer or unknown version.
    #[error("{file} has a form that this version of Heirloom does not read: {what}")]
    Unsupported {
        /// The file.
        file: String,
        /// What is unknown.
        what: String,
    },
    /// The file system's word.
    #[error("cannot read {path}")]
    Io {
        /// What was being read.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The sink takes no more.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

impl SourceError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAChat { hint, .. } => Some(hint.clone()),
            Self::AmbiguousDates { example, .. } => Some(format!(
                "say what {example} is: add `--date-order dmy` (day first) or `--date-order mdy` (month first)"
            )),
            Self::KeyNeeded { .. } => {
                Some("add `--wa-key FILE`: WhatsApp's `key` file, or a file with your 64-digit key".to_owned())
            }
            Self::WrongKey { .. } => {
                Some("use the key of the phone that wrote this file; it changes when WhatsApp is set up anew".to_owned())
            }
            Self::BadKey { .. } => Some("a key file has 158 or 59 bytes, or holds 64 hexadecimal digits".to_owned()),
            Self::Damaged { .. } => Some("copy the file from the phone again".to_owned()),
            Self::Unsupported { .. } | Self::Io { .. } | Self::Sink(_) => None,
        }
    }
}
