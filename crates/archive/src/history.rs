//! A chat history that can be read back: a backup, or a folder in archive form.

use std::io::Read;
use std::ops::ControlFlow;

use crate::{Attachment, Conversation, Message, Participant};

/// What to read of one conversation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MessageQuery {
    /// From this `sent_at` on (milliseconds).
    pub from: Option<i64>,
    /// Up to, and not including, this `sent_at`.
    pub until: Option<i64>,
    /// Only the last so many that fit.
    pub last: Option<usize>,
}

impl MessageQuery {
    /// Whether a message of this time fits.
    pub fn covers(&self, sent_at: i64) -> bool {
        self.from.is_none_or(|from| sent_at >= from)
            && self.until.is_none_or(|until| sent_at < until)
    }
}

/// A conversation with what a list shows of it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationSummary {
    /// The conversation.
    pub conversation: Conversation,
    /// How many messages it has.
    pub messages: u64,
    /// `sent_at` of the first and last message.
    pub span: Option<(i64, i64)>,
}

/// What a list of chats shows of a conversation: known without reading any of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedConversation {
    /// The conversation's id.
    pub id: String,
    /// The messenger: "whatsapp", ….
    pub app: String,
    /// Its name; may be empty.
    pub title: String,
    /// How many messages it has.
    pub messages: u64,
    /// `sent_at` of the first and last message.
    pub span: Option<(i64, i64)>,
}

impl From<ConversationSummary> for ListedConversation {
    fn from(summary: ConversationSummary) -> Self {
        let ConversationSummary {
            conversation,
            messages,
            span,
        } = summary;
        Self {
            id: conversation.id,
            app: conversation.app,
            title: conversation.title,
            messages,
            span,
        }
    }
}

/// Why a history could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct HistoryError {
    /// A sentence for a person.
    pub message: String,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Called for each message, oldest first; may stop early.
pub type Visit<'a> = dyn FnMut(Message) -> Result<ControlFlow<()>, HistoryError> + 'a;

/// A chat history that can be read back.
pub trait History {
    /// A list of all conversations, the one with the newest message first. Cheaper than [`Self::conversations`] where a
    /// history keeps such a list.
    fn list(&mut self) -> Result<Vec<ListedConversation>, HistoryError> {
        let all = self.conversations()?;
        Ok(all.into_iter().map(ListedConversation::from).collect())
    }

    /// All conversations with all that is known of them, the one with the newest message first.
    fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError>;

    /// All participants, by id.
    fn participants(&mut self) -> Result<Vec<Participant>, HistoryError>;

    /// Visits the messages of one conversation in (time, id) order, in bounded memory.
    fn messages(
        &mut self,
        conversation: &str,
        query: MessageQuery,
        visit: &mut Visit<'_>,
    ) -> Result<(), HistoryError>;

    /// Opens an attachment of a message that this history gave; `None` when its presence says so.
    fn open(&mut self, attachment: &Attachment)
    -> Result<Option<Box<dyn Read + '_>>, HistoryError>;
}
