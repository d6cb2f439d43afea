//! What to export, and the way through it.

use std::ops::ControlFlow;

use heirloom_archive::history::ConversationSummary;
use heirloom_archive::{History, Message, MessageKind, MessageQuery, pages};

use crate::outcome::{ExportError, Outcome, Progress, ProgressFn};

/// What to export. The default is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Ids of conversations; empty = all.
    pub conversations: Vec<String>,
    /// From this `sent_at` on (milliseconds).
    pub from: Option<i64>,
    /// Up to, and not including, this `sent_at`.
    pub until: Option<i64>,
    /// Kinds of messages; empty = all.
    pub kinds: Vec<MessageKind>,
    /// Only text: attachments are named, their bytes are left out.
    pub without_media: bool,
}

impl Filter {
    /// The chosen conversations in the history's order.
    pub(crate) fn conversations(
        &self,
        history: &mut dyn History,
    ) -> Result<Vec<ConversationSummary>, ExportError> {
        let all = history.conversations()?;
        if self.conversations.is_empty() {
            return Ok(all);
        }
        if let Some(unknown) = self
            .conversations
            .iter()
            .find(|id| !all.iter().any(|summary| summary.conversation.id == **id))
        {
            return Err(ExportError::NoSuchConversation(unknown.clone()));
        }
        Ok(all
            .into_iter()
            .filter(|summary| self.conversations.contains(&summary.conversation.id))
            .collect())
    }

    fn takes(&self, message: &Message) -> bool {
        self.kinds.is_empty()
            || self
                .kinds
                .iter()
                .any(|kind| i32::from(*kind) == message.kind)
    }
}

/// What an export does with a message.
pub(crate) type EachMessage<'e, 'a> =
    dyn FnMut(&mut Walk<'a>, &mut dyn History, Message) -> Result<(), ExportError> + 'e;

/// Counts, and tells the caller.
pub(crate) struct Walk<'a> {
    pub(crate) filter: &'a Filter,
    pub(crate) outcome: Outcome,
    messages_total: u64,
    progress: &'a mut ProgressFn<'a>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(
        filter: &'a Filter,
        conversations: &[ConversationSummary],
        progress: &'a mut ProgressFn<'a>,
    ) -> Self {
        let messages_total = conversations.iter().map(|summary| summary.messages).sum();
        Self {
            filter,
            outcome: Outcome::default(),
            messages_total,
            progress,
        }
    }

    /// Tells how far it is; an error when the caller wants no more.
    pub(crate) fn tell(&mut self) -> Result<(), ExportError> {
        let Outcome {
            messages,
            attachments,
            bytes,
            ..
        } = self.outcome;
        let progress = Progress {
            messages,
            messages_total: self.messages_total,
            attachments,
            bytes,
        };
        match (self.progress)(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(ExportError::Interrupted),
        }
    }

    /// Gives every message of a conversation that the filter takes, in order.
    pub(crate) fn messages(
        &mut self,
        history: &mut dyn History,
        conversation: &str,
        each: &mut EachMessage<'_, 'a>,
    ) -> Result<(), ExportError> {
        let query = MessageQuery {
            from: self.filter.from,
            until: self.filter.until,
            last: None,
        };
        let mut failure = None;
        pages::in_pages(history, conversation, query, &mut |history, page| {
            let done = self.page(history, page, each);
            Ok(match done {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            })
        })?;
        failure.map_or(Ok(()), Err)
    }

    fn page(
        &mut self,
        history: &mut dyn History,
        page: Vec<Message>,
        each: &mut EachMessage<'_, 'a>,
    ) -> Result<(), ExportError> {
        self.tell()?;
        for message in page {
            if self.filter.takes(&message) {
                each(self, history, message)?;
                self.outcome.messages += 1;
            }
        }
        Ok(())
    }
}
