//! Ids for messages of sources that have none.

use std::collections::HashMap;

use crate::{Message, MessageKind};

/// Derives ids for messages in the order of their source.
///
/// The id is `BLAKE3(conversation ‖ time ‖ author ‖ content ‖ ordinal)`, 16 bytes in hexadecimal behind `~`, where
/// `ordinal` counts messages that are equal in all of these. A medium counts as "a medium", whatever its name or
/// presence, so that an export with and one without media give the same ids.
///
/// Memory: only the messages of the newest minute are remembered; equal messages that lie more than
/// [`WINDOW_MS`] apart differ in time anyway.
#[derive(Debug)]
pub struct DerivedIds {
    conversation: String,
    seen: HashMap<[u8; 16], (i64, u32)>,
}

/// How far back in time (milliseconds) equal messages are looked for before the memory is swept.
pub const WINDOW_MS: i64 = 48 * 3600 * 1000;

/// Entries kept before a sweep.
const SWEEP_AT: usize = 100_000;

impl DerivedIds {
    /// Begins for one conversation.
    pub fn new(conversation: &str) -> Self {
        Self {
            conversation: conversation.to_owned(),
            seen: HashMap::new(),
        }
    }

    /// Sets `message.id`. Call in the order of the source.
    pub fn assign(&mut self, message: &mut Message) {
        let key = self.key(message);
        let entry = self.seen.entry(key).or_insert((message.sent_at, 0));
        let ordinal = entry.1;
        entry.1 += 1;
        let mut hasher = blake3::Hasher::new();
        hasher.update(&key).update(&ordinal.to_le_bytes());
        let hash = hasher.finalize();
        message.id = format!("~{}", &hash.to_hex()[..32]);
        if self.seen.len() > SWEEP_AT {
            let newest = message.sent_at;
            self.seen
                .retain(|_, (at, _)| newest.saturating_sub(*at) < WINDOW_MS);
        }
    }

    fn key(&self, message: &Message) -> [u8; 16] {
        let mut hasher = blake3::Hasher::new();
        let mut part = |bytes: &[u8]| {
            hasher
                .update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes())
                .update(bytes);
        };
        part(self.conversation.as_bytes());
        part(&message.sent_at.to_le_bytes());
        part(message.author.as_bytes());
        if message.attachments.is_empty() && !is_medium(message.kind()) {
            part(&message.kind.to_le_bytes());
        } else {
            part(b"medium");
        }
        part(message.text.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        key
    }
}

fn is_medium(kind: MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::Picture
            | MessageKind::Video
            | MessageKind::VoiceNote
            | MessageKind::Audio
            | MessageKind::Document
            | MessageKind::Sticker
            | MessageKind::Gif
            | MessageKind::Media
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attachment;

    fn message(text: &str, at: i64) -> Message {
        Message {
            author: "Ana".into(),
            sent_at: at,
            text: text.into(),
            ..Message::default()
        }
    }

    #[test]
    fn equal_messages_get_different_ids_that_repeat_on_the_next_import() {
        let run = || {
            let mut ids = DerivedIds::new("Family");
            let mut a = message("ok", 60_000);
            let mut b = message("ok", 60_000);
            ids.assign(&mut a);
            ids.assign(&mut b);
            (a.id, b.id)
        };
        let (a, b) = run();
        assert_ne!(a, b);
        assert_eq!(run(), (a, b));
    }

    #[test]
    fn an_export_without_media_gives_the_same_ids_as_one_with() {
        let mut with = message("", 1);
        with.set_kind(MessageKind::Picture);
        with.attachments.push(Attachment {
            name: "IMG-1.jpg".into(),
            ..Attachment::default()
        });
        let mut without = message("", 1);
        without.set_kind(MessageKind::Media);
        DerivedIds::new("c").assign(&mut with);
        DerivedIds::new("c").assign(&mut without);
        assert_eq!(with.id, without.id);
    }
}
