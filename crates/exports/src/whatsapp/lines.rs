//! One message as the lines of a text export.

use heirloom_archive::{Location, Message, MessageKind, Poll};

use crate::media::Medium;
use crate::people::People;
use crate::times;

/// What WhatsApp writes before a notice of its own.
const MARK: char = '\u{200E}';

/// The lines of a message, each with its line feed. `cards` are the files of its contacts.
pub(super) fn message(
    message: &Message,
    files: &[Medium],
    cards: &[String],
    people: &People,
) -> String {
    let at = times::clock(message.sent_at).unwrap_or_default();
    let time = format!(
        "{:02}/{:02}/{:04}, {:02}:{:02} - ",
        at.day(),
        at.month(),
        at.year(),
        at.hour(),
        at.minute()
    );
    if message.kind() == MessageKind::System {
        return format!("{time}{}\n", one_text(&event(message)));
    }
    let head = format!("{time}{}: ", author(people.name(&message.author)));
    let mut bodies = Vec::new();
    for file in files {
        bodies.push(match file {
            Medium::Written { name, .. } => format!("{MARK}{name} (file attached)"),
            Medium::Absent | Medium::Unreadable => "<Media omitted>".to_owned(),
        });
    }
    bodies.extend(
        cards
            .iter()
            .map(|name| format!("{MARK}{name} (file attached)")),
    );
    bodies.extend(message.location.as_ref().map(location));
    bodies.extend(message.poll.as_ref().map(poll));
    if let Some(call) = message.call {
        let kind = if call.video {
            "video call"
        } else {
            "voice call"
        };
        bodies.push(if call.missed {
            format!("Missed {kind}")
        } else {
            format!("A {kind} of {} s", call.seconds)
        });
    }
    if message.kind() == MessageKind::Deleted || message.deleted.is_some() {
        let notice = if message.from_owner {
            "You deleted this message"
        } else {
            "This message was deleted"
        };
        bodies.push(notice.to_owned());
    }
    let edited = if message.edited || !message.edits.is_empty() {
        " <This message was edited>"
    } else {
        ""
    };
    let text = one_text(&message.text);
    if bodies.is_empty() {
        let nothing = match message.kind() {
            MessageKind::Unsupported => "<This kind of message is not supported>",
            kind if kind == MessageKind::Text || !text.is_empty() => "",
            _ => "<Media omitted>",
        };
        return format!("{head}{nothing}{text}{edited}\n");
    }
    let mut lines = String::new();
    // A caption stands on the line below the first attachment.
    for (index, body) in bodies.iter().enumerate() {
        lines.extend([head.as_str(), body, "\n"]);
        if index == 0 && !text.is_empty() {
            lines.extend([text.as_str(), edited, "\n"]);
        }
    }
    lines
}

fn event(message: &Message) -> String {
    match &message.system {
        _ if !message.text.is_empty() => message.text.clone(),
        Some(system) if !system.event.is_empty() => format!("Event: {}", system.event),
        _ => "Event".to_owned(),
    }
}

/// A name in which nothing looks like the end of the name.
fn author(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let name = name.replace(": ", "\u{2236} ");
    let name = name.trim().trim_end_matches(':');
    if name.is_empty() {
        "Unknown".to_owned()
    } else {
        name.to_owned()
    }
}

/// Text whose further lines do not look like messages: such a line gets a space in front.
fn one_text(text: &str) -> String {
    let mut out = String::new();
    for (index, line) in text
        .split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'])
        .enumerate()
    {
        if index > 0 {
            out.push('\n');
            if looks_like_a_header(line) {
                out.push('|');
            }
        }
        out.push_str(line);
    }
    out
}

/// Generous: any line that begins with a digit, in whatever script, or with "[", behind marks that cannot be seen.
fn looks_like_a_header(line: &str) -> bool {
    let seen = line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'));
    let digits = seen
        .trim_start_matches('[')
        .chars()
        .take(24)
        .filter(|c| c.is_numeric())
        .count();
    seen.chars()
        .next()
        .is_some_and(|c| c.is_numeric() || c == '[')
        && digits >= 3
}

fn location(location: &Location) -> String {
    let Location {
        latitude,
        longitude,
        name,
        address,
        url,
        live_seconds: _,
    } = location;
    let known =
        latitude.is_finite() && longitude.is_finite() && (*latitude != 0.0 || *longitude != 0.0);
    let link = if known {
        format!("https://maps.google.com/?q={latitude},{longitude}")
    } else {
        url.clone()
    };
    let before: Vec<_> = [name, address]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| one_text(text))
        .collect();
    if before.is_empty() {
        format!("location: {link}")
    } else {
        format!("{}\nlocation: {link}", before.join("\n"))
    }
}

fn poll(poll: &Poll) -> String {
    let mut text = format!("POLL:\n{}", one_text(&poll.question));
    for option in &poll.options {
        let word = if option.votes == 1 { "vote" } else { "votes" };
        let votes = option.votes.to_string();
        text.extend([
            "\nOPTION: ",
            &one_text(&option.text),
            " (",
            &votes,
            " ",
            word,
            ")",
        ]);
    }
    text
}
