//! Who wrote a line: the name before ": ".

use std::collections::HashMap;

use heirloom_archive::Participant;

use super::header::{is_mark, is_space};

/// Names longer than this are sentences.
const MAX_NAME: usize = 300;

/// Splits what follows a header into name and text; `None` for a system line.
///
/// `long_names`: second parts of names that hold ": " themselves, by their first part.
pub(super) fn split<'a>(
    rest: &'a str,
    long_names: &HashMap<String, String>,
) -> Option<(&'a str, &'a str)> {
    let line_end = rest.find('\n').unwrap_or(rest.len());
    let line = rest.get(..line_end)?;
    let mut at = find_colon(line, 0)?;
    if let Some(second) = long_names.get(line.get(..at)?) {
        let longer = at + 2 + second.len();
        if line.get(at + 2..longer) == Some(second) && find_colon(line, longer) == Some(longer) {
            at = longer;
        }
    }
    let name = line.get(..at)?;
    if name.len() > MAX_NAME || clean(name).is_empty() || !quotes_balance(name) {
        return None;
    }
    let body = rest.get(at + 1..)?;
    Some((name, body.strip_prefix(' ').unwrap_or(body)))
}

/// The place of the next ":" that ends a name: before a space, or at the line's end.
fn find_colon(line: &str, from: usize) -> Option<usize> {
    line.get(from..)?
        .match_indices(':')
        .map(|(at, _)| at + from)
        .find(|at| {
            line.get(at + 1..)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        })
}

/// `You created group "Trip: Rome"` is no name: its quote is still open.
fn quotes_balance(name: &str) -> bool {
    let count = |c: char| name.matches(c).count();
    let curly = if name.contains('„') {
        count('„') <= count('“')
    } else if name.contains('“') {
        count('“') <= count('”')
    } else {
        count('”') % 2 == 0
    };
    count('"') % 2 == 0 && count('«') <= count('»') && count('「') <= count('」') && curly
}

/// A name without marks that are not seen, and without the "~" of people who are not in the contacts.
pub(super) fn clean(name: &str) -> String {
    let bare: String = name
        .chars()
        .filter(|c| !is_mark(*c))
        .map(|c| if is_space(c) { ' ' } else { c })
        .collect();
    bare.trim()
        .trim_start_matches(|c: char| c == '~' || c.is_whitespace())
        .to_owned()
}

/// Whether a name is a telephone number.
pub(super) fn is_phone(name: &str) -> bool {
    phone(&clean(name)).is_some()
}

fn phone(name: &str) -> Option<String> {
    let digits: String = name
        .strip_prefix('+')?
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let only = name.chars().skip(1).all(|c| {
        c.is_ascii_digit() || matches!(c, ' ' | '-' | '(' | ')' | '.' | '\u{2010}'..='\u{2015}')
    });
    (only && (5..=17).contains(&digits.len())).then(|| format!("+{digits}"))
}

/// The id of whoever bears a name in a text export.
pub(super) fn id(name: &str) -> String {
    let name = clean(name);
    format!("whatsapp-text:{}", phone(&name).unwrap_or(name))
}

/// What is known of whoever bears a name.
pub(super) fn participant(name: &str) -> Participant {
    let name = clean(name);
    Participant {
        id: id(&name),
        phone: phone(&name).unwrap_or_default(),
        name,
        ..Participant::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_plain(rest: &str) -> Option<(&str, &str)> {
        split(rest, &HashMap::new())
    }

    #[test]
    fn the_name_ends_at_the_first_colon_with_a_space() {
        assert_eq!(split_plain("Ana: Bob: hi"), Some(("Ana", "Bob: hi")));
        assert_eq!(split_plain("a:b: hi"), Some(("a:b", "hi")));
        assert_eq!(split_plain("🤓: "), Some(("🤓", "")));
        assert_eq!(split_plain("Ana:"), Some(("Ana", "")));
        assert_eq!(split_plain("Ana:\nnext: x"), Some(("Ana", "\nnext: x")));
    }

    #[test]
    fn system_lines_have_no_name() {
        for line in [
            "You created group \"Trip: Rome\"",
            "You added Ana",
            "Bob changed it to “a: b”",
            ": x",
            "x\ny: z",
            "\u{200E}: x",
            "a:.",
            "",
        ] {
            assert_eq!(split_plain(line), None, "{line}");
        }
    }

    #[test]
    fn a_learned_long_name_is_kept_whole() {
        let long = HashMap::from([("Dr".to_owned(), "Who".to_owned())]);
        assert_eq!(split("Dr: Who: hi", &long), Some(("Dr: Who", "hi")));
        assert_eq!(split("Dr: Whom: hi", &long), Some(("Dr", "Whom: hi")));
    }

    #[test]
    fn numbers_lose_their_marks() {
        let who = participant("\u{202A}+44\u{A0}7700\u{A0}900374\u{202C}");
        assert_eq!(
            (who.phone.as_str(), who.id.as_str()),
            ("+447700900374", "whatsapp-text:+447700900374")
        );
        assert_eq!(participant("~\u{202F}Ana").name, "Ana");
        assert_eq!(participant("~~ ~Ana").id, "whatsapp-text:Ana");
        assert_eq!(participant("+1 of us").phone, "");
        assert_eq!(participant("\u{2068}+44 7700 900374\u{2069}").id, who.id);
    }
}
