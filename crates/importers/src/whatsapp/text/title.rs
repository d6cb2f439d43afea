//! Which chat an export is of.

use heirloom_archive::ConversationKind;
use unicode_normalization::UnicodeNormalization;

use super::survey::Survey;
use super::{author, words};

/// The chat's title: what the person said, else what the text's name says, else the zip's or folder's, else the
/// name under which iOS puts its first notice, else the first words in quotes.
///
/// The zip's name comes before the notice because it is there in every export of a chat: one that was cut has no
/// notice, and the chat would have another title, and be another chat, than in the whole one.
pub(super) fn of(said: Option<&str>, text: &str, label: &str, survey: &Survey) -> String {
    let text = text.rsplit('/').next().unwrap_or(text);
    let text_stem = text.strip_suffix(".txt").unwrap_or(text);
    let label_stem = [".zip", ".txt"]
        .iter()
        .find_map(|ending| label.strip_suffix(ending))
        .unwrap_or(label);
    let label_stem = without_count(label_stem);
    let found = said
        .map(str::to_owned)
        .or_else(|| words::title_in(without_count(text_stem)).map(str::to_owned))
        .or_else(|| words::title_in(label_stem).map(str::to_owned))
        .or_else(|| survey.notice_author.clone())
        .or_else(|| survey.quoted.first().cloned());
    let title = match found {
        Some(title) => title,
        None if text == "_chat.txt" => label_stem.to_owned(),
        None => text_stem.to_owned(),
    };
    author::clean(&title)
}

/// Titles are compared in one normal form, with single spaces and without marks that are not seen.
pub(super) fn normal(title: &str) -> String {
    let clean: String = author::clean(title).nfc().collect();
    clean.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A group has more than two writers, or its title stands in quotes in a notice.
pub(super) fn kind(title: &str, survey: &Survey) -> ConversationKind {
    let title = normal(title);
    if survey.writers.len() > 2 || survey.quoted.iter().any(|quoted| normal(quoted) == title) {
        ConversationKind::Group
    } else if survey.writers.iter().any(|name| normal(name) == title) {
        ConversationKind::Direct
    } else {
        ConversationKind::Unknown
    }
}

/// "WhatsApp Chat with Ana (1)": the second download of one name.
fn without_count(stem: &str) -> &str {
    let Some((before, count)) = stem
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once(" ("))
    else {
        return stem;
    };
    if !count.is_empty() && count.len() <= 3 && count.bytes().all(|b| b.is_ascii_digit()) {
        before
    } else {
        stem
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_exports_give_the_title_in_many_languages() {
        for (stem, title) in [
            ("WhatsApp Chat with Ana", "Ana"),
            ("WhatsApp Chat - Family", "Family"),
            ("Чат WhatsApp с контактом Аня", "Аня"),
            ("Chat WhatsApp s uživatelem Jana", "Jana"),
            ("WhatsApp-Chat mit Hans", "Hans"),
            ("Ayşe ile WhatsApp Sohbeti", "Ayşe"),
        ] {
            assert_eq!(words::title_in(stem), Some(title));
        }
        assert_eq!(words::title_in("WhatsApp Chat with "), None);
        assert_eq!(words::title_in("_chat"), None);
    }

    #[test]
    fn a_second_download_has_the_same_title() {
        assert_eq!(
            without_count("WhatsApp Chat - Ana (2)"),
            "WhatsApp Chat - Ana"
        );
        assert_eq!(without_count("Ana (Berlin)"), "Ana (Berlin)");
    }

    #[test]
    fn titles_are_equal_whatever_their_form_and_spaces() {
        assert_eq!(normal("Jose\u{301}  Silva\u{200E}"), normal("José Silva"));
    }
}
