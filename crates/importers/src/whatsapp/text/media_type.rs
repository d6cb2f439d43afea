//! What a file is, by its name and, where that says nothing, by its first bytes.

use heirloom_archive::MessageKind;

const TYPES: &[(&str, &str, MessageKind)] = &[
    ("jpg", "image/jpeg", MessageKind::Picture),
    ("jpeg", "image/jpeg", MessageKind::Picture),
    ("png", "image/png", MessageKind::Picture),
    ("heic", "image/heic", MessageKind::Picture),
    ("webp", "image/webp", MessageKind::Picture),
    ("gif", "image/gif", MessageKind::Gif),
    ("mp4", "video/mp4", MessageKind::Video),
    ("3gp", "video/3gpp", MessageKind::Video),
    ("mov", "video/quicktime", MessageKind::Video),
    ("mkv", "video/x-matroska", MessageKind::Video),
    ("webm", "video/webm", MessageKind::Video),
    ("opus", "audio/ogg", MessageKind::Audio),
    ("ogg", "audio/ogg", MessageKind::Audio),
    ("m4a", "audio/mp4", MessageKind::Audio),
    ("mp3", "audio/mpeg", MessageKind::Audio),
    ("aac", "audio/aac", MessageKind::Audio),
    ("amr", "audio/amr", MessageKind::Audio),
    ("wav", "audio/wav", MessageKind::Audio),
    ("caf", "audio/x-caf", MessageKind::Audio),
    ("vcf", "text/vcard", MessageKind::Contact),
    ("pdf", "application/pdf", MessageKind::Document),
    ("txt", "text/plain", MessageKind::Document),
    ("csv", "text/csv", MessageKind::Document),
    ("html", "text/html", MessageKind::Document),
    ("zip", "application/zip", MessageKind::Document),
    (
        "apk",
        "application/vnd.android.package-archive",
        MessageKind::Document,
    ),
    ("doc", "application/msword", MessageKind::Document),
    (
        "docx",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        MessageKind::Document,
    ),
    ("xls", "application/vnd.ms-excel", MessageKind::Document),
    (
        "xlsx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        MessageKind::Document,
    ),
    (
        "ppt",
        "application/vnd.ms-powerpoint",
        MessageKind::Document,
    ),
    (
        "pptx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        MessageKind::Document,
    ),
];

/// A file's media type (empty: unknown) and the kind of message that it makes.
pub(super) fn by_name(name: &str) -> (&'static str, MessageKind) {
    let upper = name.to_ascii_uppercase();
    let extension = extension(name).unwrap_or_default().to_ascii_lowercase();
    let known = TYPES.iter().find(|(known, ..)| *known == extension);
    let (media_type, kind) = known.map_or(("", MessageKind::Document), |(_, media_type, kind)| {
        (*media_type, *kind)
    });
    // Kinds that WhatsApp puts into the name: "PTT-20220323-WA0001.opus", "00000003-AUDIO-2022-….opus".
    let kind = if upper.starts_with("STK-") || upper.contains("-STICKER-") {
        MessageKind::Sticker
    } else if upper.starts_with("PTT-") || (upper.contains("-AUDIO-") && extension == "opus") {
        MessageKind::VoiceNote
    } else if upper.contains("-GIF-") {
        MessageKind::Gif
    } else if upper.starts_with("DOC-") {
        MessageKind::Document
    } else {
        kind
    };
    (media_type, kind)
}

/// The media type that a file's first bytes show; empty when they show none.
pub(super) fn by_magic(head: &[u8]) -> &'static str {
    match head {
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => "image/webp",
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => "video/mp4",
        [b'O', b'g', b'g', b'S', ..] => "audio/ogg",
        [b'%', b'P', b'D', b'F', ..] => "application/pdf",
        [b'P', b'K', 3, 4, ..] => "application/zip",
        _ => "",
    }
}

/// Whether a name is a file's: a short ending after its last point.
pub(super) fn is_file_name(name: &str) -> bool {
    name.len() <= 300 && extension(name).is_some() && !name.contains(['\n', '/', '<', '>'])
}

fn extension(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let short =
        (1..=8).contains(&extension.len()) && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (short && !stem.is_empty()).then_some(extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_kinds() {
        for (name, kind) in [
            ("PTT-20220323-WA0001.opus", MessageKind::VoiceNote),
            ("AUD-20220323-WA0001.opus", MessageKind::Audio),
            (
                "00000003-AUDIO-2004-11-15-12-54-00.opus",
                MessageKind::VoiceNote,
            ),
            ("STK-20041115-WA0001.webp", MessageKind::Sticker),
            (
                "00000001-STICKER-2004-11-15-12-27-00.webp",
                MessageKind::Sticker,
            ),
            ("IMG-20041115-WA0008.jpg", MessageKind::Picture),
            ("00000009-GIF-2022-01-01-00-00-00.mp4", MessageKind::Gif),
            ("Bob.vcf", MessageKind::Contact),
            ("DOC-20050627-WA0016.txt", MessageKind::Document),
            ("strange.xyz", MessageKind::Document),
        ] {
            assert_eq!(by_name(name).1, kind, "{name}");
        }
    }

    #[test]
    fn sentences_are_no_file_names() {
        for name in ["hello", "see you. Bye", "", ".", "a.", ".jpg", "a/b.jpg"] {
            assert!(!is_file_name(name), "{name}");
        }
        assert!(is_file_name("Resume 2022 (final).pdf"));
    }
}
