//! What the numbers mean.

use heirloom_archive::{ConversationKind, MessageKind};

/// The kind of a `message_type`; `None` for a number that this version does not know.
pub(super) fn message_kind(number: i64) -> Option<MessageKind> {
    Some(match number {
        0 => MessageKind::Text,
        1 | 42 => MessageKind::Picture,
        2 => MessageKind::Audio,
        3 | 43 => MessageKind::Video,
        4 | 14 => MessageKind::Contact,
        5 => MessageKind::Location,
        7 => MessageKind::System,
        8 => MessageKind::Call,
        9 => MessageKind::Document,
        13 => MessageKind::Gif,
        15 => MessageKind::Deleted,
        16 => MessageKind::LiveLocation,
        20 => MessageKind::Sticker,
        66 => MessageKind::Poll,
        _ => return None,
    })
}

/// Whether a `message_type` is a picture or video to be seen once.
pub(super) fn is_view_once(number: i64) -> bool {
    matches!(number, 42 | 43)
}

/// Whether messages of the kind are a file.
pub(super) fn is_medium(kind: MessageKind) -> bool {
    matches!(
        kind,
        MessageKind::Picture
            | MessageKind::Video
            | MessageKind::VoiceNote
            | MessageKind::Audio
            | MessageKind::Document
            | MessageKind::Sticker
            | MessageKind::Gif
    )
}

/// Words for an `action_type` of which the row has no text.
pub(super) fn action_words(action: i64) -> &'static str {
    match action {
        1 => "The subject was changed",
        4 | 12 => "Someone was added",
        5 => "Someone left",
        6 => "The icon was changed",
        7 => "You were removed",
        9 => "The broadcast list was created",
        10 | 28 => "A number was changed",
        11 => "The group was created",
        14 => "Someone was removed",
        18 | 57 => "The security code changed",
        19 => "Messages are end-to-end encrypted",
        20 => "Someone joined by the link",
        27 => "The description was changed",
        56 => "The timer of disappearing messages was changed",
        _ => "",
    }
}

/// The kind of conversation that an id names.
pub(super) fn conversation_kind(jid: &str) -> ConversationKind {
    match jid.rsplit_once('@').map(|(_, server)| server) {
        Some("s.whatsapp.net" | "lid" | "c.us") => ConversationKind::Direct,
        Some("g.us") => ConversationKind::Group,
        Some("broadcast") => ConversationKind::Broadcast,
        Some("newsletter") => ConversationKind::Channel,
        _ => ConversationKind::Unknown,
    }
}

/// "+" and digits, where an id is a phone number.
pub(super) fn phone_of(jid: &str) -> Option<String> {
    let (user, server) = jid.split_once('@')?;
    let digits = user.len() >= 5 && user.bytes().all(|byte| byte.is_ascii_digit());
    (server == "s.whatsapp.net" && digits).then(|| format!("+{user}"))
}
