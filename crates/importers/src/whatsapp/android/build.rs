//! Parts of records that both schemas share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heirloom_archive::report::Kind;
use heirloom_archive::{Attachment, ContactCard, MessageKind, Presence, Report};

use super::files::{Files, Found, relative};

/// What a row says of a file.
#[derive(Debug, Default)]
pub(super) struct MediaFacts {
    pub(super) path: String,
    pub(super) name: String,
    pub(super) media_type: String,
    /// Base64 of a SHA-256.
    pub(super) hash: String,
    pub(super) bytes: u64,
    pub(super) seconds: u32,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) transcription: String,
}

impl MediaFacts {
    /// Makes the attachment, and counts it.
    pub(super) fn attach(
        self,
        kind: MessageKind,
        files: &Files,
        report: &mut Report,
    ) -> Attachment {
        let Self {
            path,
            name,
            media_type,
            hash,
            bytes,
            seconds,
            width,
            height,
            transcription,
        } = self;
        let source_path = relative(&path).to_owned();
        let file_name = source_path.rsplit('/').next().unwrap_or_default();
        // A document keeps the name it was sent with.
        let sent_name = name.contains('.') && !name.contains(['/', '\\']);
        let name = if file_name.is_empty() || kind == MessageKind::Document && sent_name {
            name
        } else {
            file_name.to_owned()
        };
        let found = if source_path.is_empty() {
            Found::Nothing
        } else {
            files.look(&source_path)
        };
        let (presence, bytes) = match found {
            Found::File(found) => {
                report.take(Kind::Attachments);
                (Presence::Present, found)
            }
            Found::Nothing => {
                report.absent();
                (Presence::Absent, bytes)
            }
            Found::Refused => {
                report.skip(
                    Kind::Attachments,
                    "its path is no plain file inside the folder",
                    false,
                    name.as_str(),
                );
                (Presence::Unreadable, bytes)
            }
        };
        Attachment {
            name,
            media_type,
            bytes,
            presence: presence.into(),
            source_path: if presence == Presence::Unreadable {
                String::new()
            } else {
                source_path
            },
            source_sha256: STANDARD
                .decode(hash)
                .ok()
                .filter(|hash| hash.len() == 32)
                .unwrap_or_default(),
            duration_ms: seconds.saturating_mul(1000),
            width,
            height,
            transcription,
            ..Attachment::default()
        }
    }
}

/// Sound is a voice note when it was recorded in the chat: by its name, its folder, or its origin.
pub(super) fn refine(kind: MessageKind, path: &str, voice_origin: bool) -> MessageKind {
    let voice = voice_origin || path.contains("/PTT-") || path.contains("WhatsApp Voice Notes/");
    if kind == MessageKind::Audio && voice {
        MessageKind::VoiceNote
    } else {
        kind
    }
}

/// A card with the name that it gives itself.
pub(super) fn contact(vcard: String, fallback: &str) -> ContactCard {
    let name = vcard.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        let field = field.split(';').next().unwrap_or_default();
        field
            .eq_ignore_ascii_case("FN")
            .then(|| value.trim().to_owned())
    });
    ContactCard {
        name: name.unwrap_or_else(|| fallback.to_owned()),
        vcard,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_named_as_it_names_itself() {
        let card = contact(
            "BEGIN:VCARD\r\nN:Doe;John\r\nfn;CHARSET=UTF-8:John Doe\r\nEND:VCARD".to_owned(),
            "x",
        );
        assert_eq!(card.name, "John Doe");
        assert_eq!(contact("BEGIN:VCARD".to_owned(), "x").name, "x");
    }

    #[test]
    fn a_file_that_is_not_there_is_absent_and_one_outside_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let files = Files::new(dir.path().to_owned());
        let mut report = Report::default();
        let facts = |path: &str| MediaFacts {
            path: path.to_owned(),
            hash: "AAAA".to_owned(),
            ..MediaFacts::default()
        };
        let absent = facts("Media/a.jpg").attach(MessageKind::Picture, &files, &mut report);
        assert_eq!(
            (absent.presence(), &*absent.name, &*absent.source_path),
            (Presence::Absent, "a.jpg", "Media/a.jpg")
        );
        assert!(absent.source_sha256.is_empty());
        let outside = facts("../../etc/passwd").attach(MessageKind::Picture, &files, &mut report);
        assert_eq!(outside.presence(), Presence::Unreadable);
        assert!(report.adds_up());
        assert_eq!(report.counts(Kind::Attachments).absent, 1);
    }
}
