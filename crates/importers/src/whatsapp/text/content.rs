//! What a message is: text, medium, place, poll, notice.

use std::collections::HashSet;

use heirloom_archive::{
    Attachment, Call, ContactCard, Deleted, Location, Message, MessageKind, Poll, PollOption,
    Presence, Raw, System, Zone,
};

use super::files::Names;
use super::header::{is_mark, is_space};
use super::{author, media_type, words};
use crate::zipped::FileEntry;

/// What a message's meaning depends on besides its words.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) names: &'a Names,
    pub(super) entries: &'a [FileEntry],
    pub(super) repeated: &'a HashSet<String>,
    /// Whether the headers are in brackets, as iOS writes them.
    pub(super) ios: bool,
}

/// The invisible mark that WhatsApp puts before its own words.
const MARK: char = '\u{200E}';

/// Reads a message's body. The second value is the index of the file that it carries.
pub(super) fn message(
    sent_at: i64,
    name: Option<&str>,
    body: &str,
    context: &Context<'_>,
) -> (Message, Option<usize>) {
    let mut message = Message {
        sent_at,
        zone: Zone::Unknown.into(),
        ..Message::default()
    };
    let Some(name) = name else {
        message.set_kind(MessageKind::System);
        body.trim_matches(is_mark).clone_into(&mut message.text);
        message.system = Some(System::default());
        return (message, None);
    };
    message.author = author::id(name);
    let body = edited(&mut message, body, context);
    let file = content(&mut message, body, context);
    (message, file)
}

/// Whether a message was kept as text although its `<…>` came again and again: WhatsApp's words for a medium or an
/// edit in a language that no list has, or a person's own. Nothing tells them apart, so no word is taken away.
pub(super) fn is_unsure(message: &Message, context: &Context<'_>) -> bool {
    let text = message.text.trim_end_matches(is_mark);
    let first = text.split('\n').next().unwrap_or(text);
    let at_end = |line: &str| {
        line.trim_end_matches(is_mark)
            .strip_suffix('>')
            .and_then(|line| line.rsplit_once('<'))
            .map(|(_, inside)| inside.trim_matches(is_mark))
            .is_some_and(|inside| {
                context.repeated.contains(inside)
                    && !words::is_media_omitted(inside)
                    && !words::is_edited(inside)
            })
    };
    message.kind() == MessageKind::Text && (at_end(text) || at_end(first))
}

/// Whether a body, of which the first line is enough, is a notice that iOS puts under the chat's own name: marked
/// words of `WhatsApp`'s that stand for no medium, call, poll or place.
pub(super) fn is_notice(body: &str) -> bool {
    let end = body.trim_end_matches(|c| is_mark(c) || is_space(c));
    // A poll's first line; a medium in a language that no list has.
    if !body.starts_with(MARK) || end.ends_with([':', '：', '>']) {
        return false;
    }
    let context = Context {
        names: &Names::new(&[], ""),
        entries: &[],
        repeated: &HashSet::new(),
        ios: true,
    };
    message(0, Some("?"), body, &context).0.kind() == MessageKind::System
}

/// Takes "<This message was edited>" off the end. Words that no list has must bear the mark that people do not type.
fn edited<'a>(message: &mut Message, body: &'a str, context: &Context<'_>) -> &'a str {
    let end = body.trim_end_matches(is_mark);
    let Some((before, inside)) = end.strip_suffix('>').and_then(|rest| rest.rsplit_once('<'))
    else {
        return body;
    };
    let inside = inside.trim_matches(is_mark);
    let marked = before.ends_with(MARK);
    let text = before.trim_end_matches(|c| is_mark(c) || is_space(c));
    // The file before "<‎attached>" on old iOS is no text that was edited.
    let file = words::is_attached(inside)
        || media_type::is_file_name(text.rsplit('\n').next().unwrap_or(text));
    let known = words::is_edited(inside)
        || (!text.is_empty()
            && !file
            && !inside.contains([':', '：', '\n'])
            && marked
            && (context.ios || context.repeated.contains(inside)));
    if !known || words::is_media_omitted(inside) {
        return body;
    }
    message.edited = true;
    text
}

fn content(message: &mut Message, body: &str, context: &Context<'_>) -> Option<usize> {
    let bare = body.trim_matches(|c| is_mark(c) || is_space(c));
    if bare.is_empty() || (bare == "null" && !context.ios) {
        view_once(message, bare);
        return None;
    }
    if let Some(found) = attached(body, context) {
        return attach(message, &found, context);
    }
    if words::is_deleted(bare) {
        message.set_kind(MessageKind::Deleted);
        message.deleted = Some(Deleted::default());
        return None;
    }
    if let Some((kind, caption)) = omitted(body, bare, context) {
        message.set_kind(kind);
        message.text = caption;
        message.attachments.push(absent(""));
        return None;
    }
    if let Some(poll) = poll(body) {
        message.set_kind(MessageKind::Poll);
        message.text.clone_from(&poll.question);
        message.poll = Some(poll);
        return None;
    }
    if let Some(location) = location(bare) {
        message.set_kind(MessageKind::Location);
        message.location = Some(location);
        return None;
    }
    if words::LIVE_LOCATION.contains(&bare) {
        message.set_kind(MessageKind::LiveLocation);
        bare.clone_into(&mut message.text);
        return None;
    }
    if context.ios && body.starts_with(MARK) {
        notice(message, bare);
        return None;
    }
    body.clone_into(&mut message.text);
    None
}

/// Android writes a picture that can be seen once as `null` or as nothing.
fn view_once(message: &mut Message, word: &str) {
    message.set_kind(MessageKind::Media);
    message.view_once = true;
    message.attachments.push(absent(""));
    if !word.is_empty() {
        // Someone may have typed it: the word is kept.
        message.raw = Some(Raw {
            kind: "text".to_owned(),
            data: word.as_bytes().to_vec(),
        });
    }
}

/// Words of WhatsApp's own that are nothing else: a call, or an event of the group.
fn notice(message: &mut Message, bare: &str) {
    let call = words::CALLS.iter().find(|(words, ..)| {
        bare.strip_prefix(words)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([',', '.', ' ', MARK]))
    });
    bare.chars()
        .filter(|c| *c != MARK)
        .collect::<String>()
        .clone_into(&mut message.text);
    if let Some((_, video, missed)) = call {
        message.set_kind(MessageKind::Call);
        message.call = Some(Call {
            video: *video,
            missed: *missed,
            ..Call::default()
        });
    } else {
        message.set_kind(MessageKind::System);
        // Who it is about, when it does not stand under the chat's own name.
        let about = std::mem::take(&mut message.author);
        message.system = Some(System {
            participants: vec![about],
            ..System::default()
        });
    }
}

/// A medium that a body names.
struct Attached<'a> {
    name: &'a str,
    caption: String,
    file: Option<usize>,
}

/// The rule that needs no word: a name that is in the zip, beside a bracketed word and a U+200E. Where
/// the name or the mark is missing, the word must be known.
fn attached<'a>(body: &'a str, context: &Context<'_>) -> Option<Attached<'a>> {
    in_parentheses(body, context).or_else(|| in_angles(body, context))
}

/// Android: `‎IMG-1.jpg (file attached)`, the caption on the next lines.
fn in_parentheses<'a>(body: &'a str, context: &Context<'_>) -> Option<Attached<'a>> {
    let (first, caption) = body.split_once('\n').unwrap_or((body, ""));
    let line = first.trim_end_matches(|c| is_mark(c) || is_space(c));
    let open = line.rfind(['(', '（'])?;
    let tail = line
        .get(open..)?
        .strip_prefix(['(', '（'])?
        .strip_suffix([')', '）'])?;
    let before = line.get(..open)?;
    let name = before.trim_matches(|c| is_mark(c) || is_space(c));
    let file = context.names.find(name);
    let marked = before.starts_with(is_mark);
    let known = words::is_attached(tail);
    let is_one = if file.is_some() {
        marked || known
    } else {
        media_type::is_file_name(name) && known
    };
    is_one.then(|| Attached {
        name,
        caption: caption.to_owned(),
        file,
    })
}

/// iOS: text, then `‎<attached: 00000035-PHOTO-….jpg>`; before 2017 `2015-08-04-PHOTO-00004762.jpg <‎attached>`.
fn in_angles<'a>(body: &'a str, context: &Context<'_>) -> Option<Attached<'a>> {
    let end = body.trim_end_matches(|c| is_mark(c) || is_space(c));
    let (before, inside) = end.strip_suffix('>')?.rsplit_once('<')?;
    if inside.contains('\n') {
        return None;
    }
    if let Some((word, name)) = inside.split_once([':', '：']) {
        let name = name.trim_matches(|c| is_mark(c) || is_space(c));
        let file = context.names.find(name);
        let marked = before.ends_with(MARK) || inside.starts_with(MARK);
        let known = words::is_attached(word);
        if (file.is_some() && (marked || known))
            || (media_type::is_file_name(name) && (known || (marked && context.ios)))
        {
            return Some(Attached {
                name,
                caption: caption(before),
                file,
            });
        }
        return None;
    }
    let (caption_lines, line) = before.rsplit_once('\n').unwrap_or(("", before));
    let name = line.trim_matches(|c| is_mark(c) || is_space(c));
    let file = context.names.find(name);
    let marked = inside.starts_with(MARK) || line.starts_with(MARK);
    let known = words::is_attached(inside);
    let is_one = if file.is_some() {
        marked || known
    } else {
        media_type::is_file_name(name) && known
    };
    is_one.then(|| Attached {
        name,
        caption: caption(caption_lines),
        file,
    })
}

/// The text before a medium, without WhatsApp's marks.
fn caption(text: &str) -> String {
    let text: String = text.chars().filter(|c| *c != MARK).collect();
    text.trim_end_matches(|c| is_mark(c) || is_space(c) || c == '\n')
        .to_owned()
}

fn attach(message: &mut Message, found: &Attached<'_>, context: &Context<'_>) -> Option<usize> {
    let (media_type, kind) = media_type::by_name(found.name);
    message.set_kind(kind);
    message.text.clone_from(&found.caption);
    if kind == MessageKind::Contact {
        let name = found
            .name
            .rsplit_once('.')
            .map_or(found.name, |(stem, _)| stem);
        message.contacts.push(ContactCard {
            name: name.to_owned(),
            ..ContactCard::default()
        });
    }
    let mut attachment = absent(found.name);
    media_type.clone_into(&mut attachment.media_type);
    if let Some(entry) = found.file.and_then(|index| context.entries.get(index)) {
        attachment.set_presence(Presence::Present);
        attachment.bytes = entry.len;
        attachment.source_path.clone_from(&entry.path);
    }
    message.attachments.push(attachment);
    found.file
}

fn absent(name: &str) -> Attachment {
    Attachment {
        name: name.to_owned(),
        presence: Presence::Absent.into(),
        ..Attachment::default()
    }
}

/// `<Media omitted>` on Android, `‎image omitted` on iOS, a caption before it.
fn omitted(body: &str, bare: &str, context: &Context<'_>) -> Option<(MessageKind, String)> {
    let (first, rest) = bare.split_once('\n').unwrap_or((bare, ""));
    if let Some(inside) = first
        .trim_end_matches(is_mark)
        .strip_prefix('<')
        .and_then(|text| text.strip_suffix('>'))
    {
        let inside = inside.trim_matches(is_mark);
        let repeated = body.starts_with(MARK)
            && context.repeated.contains(inside)
            && !words::is_edited(inside)
            && !context.ios;
        if words::is_media_omitted(inside) || repeated {
            return Some((MessageKind::Media, rest.to_owned()));
        }
    }
    let (before, words) = body.rsplit_once(MARK)?;
    let kind = words::omitted_kind(words.trim_matches(|c| is_mark(c) || is_space(c)))?;
    (context.ios || before.is_empty()).then(|| (kind, caption(before)))
}

/// `POLL:`, the question, and lines `OPTION: text (3 votes)`: in any language by its shape.
fn poll(body: &str) -> Option<Poll> {
    let lines: Vec<&str> = body
        .split('\n')
        .map(|line| line.trim_matches(|c| is_mark(c) || is_space(c)))
        .collect();
    let head = lines.first()?.strip_suffix([':', '：'])?.trim();
    if lines.len() < 3
        || head.is_empty()
        || head.chars().count() > 30
        || !head.chars().all(|c| c.is_alphabetic() || is_space(c))
    {
        return None;
    }
    let parsed: Vec<Option<(&str, PollOption)>> = lines.iter().map(|line| option(line)).collect();
    let word = parsed.last()?.as_ref()?.0;
    let same = |entry: &Option<(&str, PollOption)>| {
        entry.as_ref().is_some_and(|(found, _)| *found == word)
    };
    let count = parsed
        .iter()
        .skip(1)
        .rev()
        .take_while(|entry| same(entry))
        .count();
    if count == 0 || (count == 1 && head != "POLL") {
        return None;
    }
    let start = lines.len() - count;
    let question = lines.get(1..start)?.join("\n");
    let options = parsed
        .into_iter()
        .skip(start)
        .flatten()
        .map(|(_, option)| option)
        .collect();
    Some(Poll {
        question,
        options,
        ..Poll::default()
    })
}

/// `OPTION: text (3 votes)`.
fn option(line: &str) -> Option<(&str, PollOption)> {
    let (word, rest) = line.split_once(": ")?;
    let (text, votes) = rest
        .trim_end_matches(is_mark)
        .strip_suffix([')', '）'])?
        .rsplit_once(['(', '（'])?;
    let digits: String = votes
        .chars()
        .filter_map(super::header::digit)
        .filter_map(|d| char::from_digit(d, 10))
        .collect();
    let text = text.trim_matches(|c| is_mark(c) || is_space(c)).to_owned();
    // One vote is a word of its own in some languages.
    let votes = if digits.is_empty() {
        1
    } else {
        digits.parse().ok()?
    };
    Some((
        word,
        PollOption {
            text,
            votes,
            voters: Vec::new(),
        },
    ))
}

const MAPS: &[&str] = &[
    "https://maps.google.com/?q=",
    "http://maps.google.com/maps?q=",
    "https://maps.google.com/maps?q=",
];

/// `location: https://maps.google.com/?q=50.08,14.42`, or a place's name and its page.
fn location(bare: &str) -> Option<Location> {
    if bare.len() > 2000 || bare.split('\n').count() > 3 {
        return None;
    }
    let at = bare.rfind("http")?;
    let (words, url) = (bare.get(..at)?, bare.get(at..)?);
    if url.contains(|c: char| c.is_whitespace()) {
        return None;
    }
    let words: String = words.chars().filter(|c| *c != MARK).collect();
    let words = words.trim_end();
    if let Some(place) = MAPS.iter().find_map(|start| url.strip_prefix(start)) {
        let (latitude, longitude) = place.split_once(',')?;
        let latitude: f64 = latitude
            .parse()
            .ok()
            .filter(|value: &f64| (-90.0..=90.0).contains(value))?;
        let longitude: f64 = longitude
            .parse()
            .ok()
            .filter(|value: &f64| (-180.0..=180.0).contains(value))?;
        // "location: " is WhatsApp's; a link within a sentence is text.
        let head = words.strip_suffix([':', '：']).unwrap_or(words);
        if head.contains('\n')
            || (head != words && head.split_whitespace().count() > 3)
            || (head == words && !head.is_empty())
        {
            return None;
        }
        return Some(Location {
            latitude,
            longitude,
            url: url.to_owned(),
            ..Location::default()
        });
    }
    if !["https://foursquare.com/v/", "http://foursquare.com/v/"]
        .iter()
        .any(|start| url.starts_with(start))
    {
        return None;
    }
    let words = words.trim_end_matches([':', '：']).trim();
    if words.is_empty() {
        return None;
    }
    let (name, address) = match words.split_once('\n') {
        Some((name, address)) => (name.trim(), address.trim()),
        // iOS: "Name (address): link".
        None => match words
            .strip_suffix(')')
            .and_then(|words| words.split_once(" ("))
        {
            Some((name, address)) => (name, address),
            None => (words, ""),
        },
    };
    Some(Location {
        name: name.to_owned(),
        address: address.to_owned(),
        url: url.to_owned(),
        ..Location::default()
    })
}

#[cfg(test)]
mod tests;
