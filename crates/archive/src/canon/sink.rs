//! A sink that keeps a source's canonical form in memory, for tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::sync::Arc;

use super::{ContentDigest, line};
use crate::{
    Conversation, ConversationRef, MediaFile, MediaStore, Message, Participant, Presence, Sink,
    SinkError,
};

/// Takes what a source finds and gives it in canonical form.
///
/// Equal messages are one, as in an archive; an attachment that cannot be opened counts as unreadable, as in a backup.
pub struct CanonSink {
    media: Arc<dyn MediaStore>,
    participants: BTreeMap<String, Participant>,
    conversations: Vec<Conversation>,
    /// By conversation's number, time, id, line.
    messages: BTreeSet<(u32, i64, String, String)>,
}

impl std::fmt::Debug for CanonSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CanonSink")
            .field("messages", &self.messages.len())
            .finish_non_exhaustive()
    }
}

impl CanonSink {
    /// Begins; `media` is the source's.
    pub fn new(media: Arc<dyn MediaStore>) -> Self {
        Self {
            media,
            participants: BTreeMap::new(),
            conversations: Vec::new(),
            messages: BTreeSet::new(),
        }
    }

    /// The canonical form of all that was taken.
    pub fn finish(self) -> String {
        let mut text = String::new();
        let mut put = |line: &str| {
            text.push_str(line);
            text.push('\n');
        };
        for participant in self.participants.values() {
            put(&line::participant(participant));
        }
        let mut conversations: Vec<_> = (0_u32..).zip(&self.conversations).collect();
        conversations.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        for (number, conversation) in conversations {
            put(&line::conversation(conversation));
            let from = (number, i64::MIN, String::new(), String::new());
            for key in self
                .messages
                .range(from..)
                .take_while(|key| key.0 == number)
            {
                put(&key.3);
            }
        }
        text
    }

    fn digest(&self, source_path: &str) -> io::Result<ContentDigest> {
        match self.media.open(source_path)? {
            MediaFile::File(path) => ContentDigest::of(&mut File::open(path)?),
            MediaFile::Stream(mut read) => ContentDigest::of(&mut read),
        }
    }
}

impl Sink for CanonSink {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.participants
            .insert(participant.id.clone(), participant);
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        let known = self
            .conversations
            .iter()
            .position(|known| known.id == conversation.id);
        let number = if let Some(number) = known {
            self.conversations[number] = conversation;
            number
        } else {
            self.conversations.push(conversation);
            self.conversations.len() - 1
        };
        let number = u32::try_from(number).map_err(|error| SinkError(Box::new(error)))?;
        Ok(ConversationRef(number))
    }

    fn message(
        &mut self,
        conversation: ConversationRef,
        mut message: Message,
    ) -> Result<(), SinkError> {
        let mut digests = Vec::new();
        for attachment in &mut message.attachments {
            let present = attachment.presence() == Presence::Present;
            let digest = if present {
                self.digest(&attachment.source_path).ok()
            } else {
                None
            };
            if present && digest.is_none() {
                attachment.set_presence(Presence::Unreadable);
            }
            digests.push(digest);
        }
        let line = line::message(&message, &digests);
        self.messages
            .insert((conversation.0, message.sent_at, message.id, line));
        Ok(())
    }
}
