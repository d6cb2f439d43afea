//! Numbers, times and kinds in words.

use heirloom_archive::{ConversationKind, Message, MessageKind};
use jiff::civil::{Date, DateTime};

use crate::times;

pub(super) const UNKNOWN_TIME: &str = "at an unknown time";

/// `12,345 messages`.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("{text} {}", if number == 1 { one } else { many })
}

/// `1.5 MB`.
pub(super) fn size(bytes: u64) -> String {
    let mut units = ["bytes", "KB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    let mut tenths = bytes.saturating_mul(10);
    for next in units {
        if tenths < 10_000 {
            break;
        }
        tenths /= 1_000;
        unit = next;
    }
    if tenths.is_multiple_of(10) || unit == "bytes" {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// `3:05`.
pub(super) fn length(seconds: u64) -> String {
    if seconds < 3_600 {
        format!("{}:{:02}", seconds / 60, seconds % 60)
    } else {
        format!(
            "{}:{:02}:{:02}",
            seconds / 3_600,
            seconds / 60 % 60,
            seconds % 60
        )
    }
}

/// `Wednesday, 23 March 2022`.
pub(super) fn day(date: Date) -> String {
    date.strftime("%A, %-d %B %Y").to_string()
}

pub(super) fn short_day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// `13:31`, or `13:31 UTC` for an instant.
pub(super) fn time(message: &Message, at: DateTime) -> String {
    let zone = if times::is_wall_clock(message) {
        ""
    } else {
        " UTC"
    };
    format!("{:02}:{:02}{zone}", at.hour(), at.minute())
}

pub(super) fn conversation_kind(kind: i32) -> &'static str {
    match ConversationKind::try_from(kind) {
        Ok(ConversationKind::Direct) => "Direct chat",
        Ok(ConversationKind::Group) => "Group",
        Ok(ConversationKind::Broadcast) => "Broadcast list",
        Ok(ConversationKind::Channel) => "Channel",
        Ok(ConversationKind::Self_) => "Notes to oneself",
        Ok(ConversationKind::Unknown) | Err(_) => "Chat",
    }
}

/// What a message is when it has nothing to show.
pub(super) fn message_kind(message: &Message) -> &'static str {
    match MessageKind::try_from(message.kind) {
        Ok(MessageKind::Text) => "An empty message",
        Ok(MessageKind::Picture) => "Picture",
        Ok(MessageKind::Video) => "Video",
        Ok(MessageKind::VoiceNote) => "Voice note",
        Ok(MessageKind::Audio) => "Audio",
        Ok(MessageKind::Document) => "Document",
        Ok(MessageKind::Sticker) => "Sticker",
        Ok(MessageKind::Gif) => "GIF",
        Ok(MessageKind::Contact) => "Contact",
        Ok(MessageKind::Location) => "Location",
        Ok(MessageKind::LiveLocation) => "Live location",
        Ok(MessageKind::Poll) => "Poll",
        Ok(MessageKind::Call) => "Call",
        Ok(MessageKind::System) => "An event of the messenger",
        Ok(MessageKind::Deleted) => "This message was deleted",
        Ok(MessageKind::Media) => "Media",
        Ok(MessageKind::Unsupported) | Err(_) => {
            "A kind of message that Heirloom does not know yet"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1, "message", "messages"), "1 message");
        assert_eq!(
            count(1_234_567, "message", "messages"),
            "1,234,567 messages"
        );
        assert_eq!(size(999), "999 bytes");
        assert_eq!(size(1_500_000), "1.5 MB");
        assert_eq!(size(u64::MAX).split(' ').next_back(), Some("TB"));
        assert_eq!(length(65), "1:05");
        assert_eq!(length(3_725), "1:02:05");
    }
}
