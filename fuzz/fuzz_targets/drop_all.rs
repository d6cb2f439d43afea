//! A sink that keeps nothing.

use heirloom_archive::{Conversation, ConversationRef, Message, Participant, Sink, SinkError};

/// Takes everything and keeps nothing.
pub struct DropAll;

impl Sink for DropAll {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, _: Conversation) -> Result<ConversationRef, SinkError> {
        Ok(ConversationRef(0))
    }

    fn message(&mut self, _: ConversationRef, message: Message) -> Result<(), SinkError> {
        assert!(!message.id.is_empty());
        Ok(())
    }
}
