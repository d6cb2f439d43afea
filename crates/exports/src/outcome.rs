//! How an export goes, and how it ended.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use heirloom_archive::HistoryError;

/// How far an export is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages written.
    pub messages: u64,
    /// Messages in the chosen conversations, before dates and kinds are looked at.
    pub messages_total: u64,
    /// Attachments written.
    pub attachments: u64,
    /// Bytes of attachments written.
    pub bytes: u64,
}

/// Called now and then; may stop the export.
pub type ProgressFn<'a> = dyn FnMut(Progress) -> ControlFlow<()> + 'a;

/// What was exported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Conversations.
    pub conversations: u64,
    /// Messages.
    pub messages: u64,
    /// Attachments whose bytes were written; equal ones in one conversation are one file.
    pub attachments: u64,
    /// Attachments that the history does not have.
    pub absent: u64,
    /// Attachments that the history should have and could not give.
    pub unreadable: u64,
    /// The first few of those, and why.
    pub unreadable_examples: Vec<String>,
    /// Bytes of attachments.
    pub bytes: u64,
}

/// Examples that are kept of what could not be read.
const EXAMPLES: usize = 5;

impl Outcome {
    pub(crate) fn add_unreadable(&mut self, name: &str, why: &dyn std::error::Error) {
        self.unreadable += 1;
        if self.unreadable_examples.len() < EXAMPLES {
            self.unreadable_examples.push(format!("{name}: {why}"));
        }
    }
}

/// Why an export ended early. Nothing that looks finished is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The target holds something.
    #[error("{0} is not empty")]
    NotEmpty(PathBuf),
    /// The target could not be written.
    #[error("cannot write {path}")]
    Write {
        /// What was being written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The history could not be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A chosen conversation does not exist.
    #[error("no conversation has the id {0}")]
    NoSuchConversation(String),
    /// Stopped by its caller.
    #[error("the export was interrupted")]
    Interrupted,
}

impl ExportError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotEmpty(_) => Some("choose a new or an empty folder"),
            Self::NoSuchConversation(_) => Some("`heirloom browse STORE` lists the conversations"),
            Self::Write { .. } | Self::History(_) | Self::Interrupted => None,
        }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Write { path, source }
    }
}
