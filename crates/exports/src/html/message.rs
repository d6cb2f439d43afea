//! One message as a bubble.

use heirloom_archive::{Attachment, Location, Message, MessageKind, Poll};

use super::markup::{Markup, path};
use super::words;
use crate::media::Medium;
use crate::people::People;
use crate::times;

/// What a message is shown with.
pub(super) struct Context<'a> {
    pub(super) people: &'a People,
    /// Where the message replied to is, if it is in this export.
    pub(super) reply: Option<String>,
    /// Whether the author is shown: not where the bubble above has the same one.
    pub(super) show_author: bool,
    /// The author's number in this chat, for a colour.
    pub(super) author: usize,
}

/// Where a message is found on its page.
pub(super) fn anchor(id: &str) -> String {
    format!("m{}", &blake3::hash(id.as_bytes()).to_hex()[..16])
}

pub(super) fn message(
    message: &Message,
    media: &[Medium],
    context: &Context<'_>,
    out: &mut Markup,
) {
    let id = anchor(&message.id);
    if message.kind() == MessageKind::System {
        out.open("p", &[("class", "event"), ("id", &id), ("dir", "auto")]);
        out.text_with_links(if message.text.is_empty() {
            event(message)
        } else {
            &message.text
        });
        out.text(" ");
        out.open("span", &[("class", "stamp")]);
        stamp(message, out);
        out.close("span");
        out.close("p");
        return;
    }
    let side = if message.from_owner {
        "message own"
    } else {
        "message"
    };
    let side = if context.show_author {
        side.to_owned()
    } else {
        format!("{side} more")
    };
    out.open("article", &[("class", &side), ("id", &id)]);
    let author = context.people.name(&message.author);
    if context.show_author {
        let colour = format!("author c{}", context.author % 8);
        out.element(
            "h3",
            &[("class", &colour), ("dir", "auto")],
            if author.is_empty() { "Unknown" } else { author },
        );
    } else {
        out.element("h3", &[("class", "hidden")], author);
    }
    if message.forwarded {
        out.element("p", &[("class", "mark")], "↪ Forwarded");
    }
    reply(message, context, out);
    for (attachment, medium) in message.attachments.iter().zip(media) {
        attached(message, attachment, medium, out);
    }
    parts(message, context.people, out);
    if !message.text.is_empty() {
        out.open("p", &[("class", "text"), ("dir", "auto")]);
        out.text_with_links(&message.text);
        out.close("p");
    }
    if is_bare(message) {
        out.element("p", &[("class", "mark")], words::message_kind(message));
    }
    if let Some(raw) = &message.raw {
        out.element(
            "p",
            &[("class", "mark")],
            &format!(
                "Kept as it was: {}, {}",
                raw.kind,
                words::size(len(&raw.data))
            ),
        );
    }
    edits(message, out);
    reactions(message, context.people, out);
    out.open("p", &[("class", "stamp")]);
    stamp(message, out);
    out.close("p");
    out.close("article");
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn event(message: &Message) -> &str {
    match &message.system {
        Some(system) if !system.event.is_empty() => &system.event,
        _ => words::message_kind(message),
    }
}

/// Whether there is nothing to see yet.
fn is_bare(message: &Message) -> bool {
    message.deleted.is_some()
        || message.kind() == MessageKind::Deleted
        || (message.text.is_empty()
            && message.attachments.is_empty()
            && message.contacts.is_empty()
            && message.poll.is_none()
            && message.location.is_none()
            && message.call.is_none())
}

fn stamp(message: &Message, out: &mut Markup) {
    if message.starred {
        out.element("span", &[("title", "Starred")], "★ ");
    }
    if message.view_once {
        out.text("View once · ");
    }
    if message.edited || !message.edits.is_empty() {
        out.text("Edited · ");
    }
    match times::clock(message.sent_at) {
        Some(at) => {
            let exact =
                times::rfc3339(message.sent_at, times::is_wall_clock(message)).unwrap_or_default();
            out.element("time", &[("datetime", &exact)], &words::time(message, at));
        }
        None => out.text(words::UNKNOWN_TIME),
    }
}

fn reply(message: &Message, context: &Context<'_>, out: &mut Markup) {
    let Some(reply) = &message.reply_to else {
        return;
    };
    out.open("blockquote", &[("dir", "auto")]);
    let author = context.people.name(&reply.author);
    if !author.is_empty() {
        out.element("strong", &[], author);
        out.text(" ");
    }
    let excerpt = if reply.text.is_empty() {
        "Reply to an earlier message"
    } else {
        &reply.text
    };
    match &context.reply {
        Some(target) => out.element("a", &[("href", target)], excerpt),
        None => out.text(excerpt),
    }
    out.close("blockquote");
}

fn attached(message: &Message, attachment: &Attachment, medium: &Medium, out: &mut Markup) {
    let Attachment {
        name,
        duration_ms,
        transcription,
        ..
    } = attachment;
    let name = if name.is_empty() {
        words::message_kind(message)
    } else {
        name
    };
    match medium {
        Medium::Absent => {
            out.element(
                "p",
                &[("class", "gone"), ("dir", "auto")],
                &format!("{name} is not in this export"),
            );
        }
        Medium::Unreadable => {
            out.element(
                "p",
                &[("class", "gone"), ("dir", "auto")],
                &format!("{name} could not be read"),
            );
        }
        Medium::Written { name: file, digest } => {
            written(message, attachment, (name, file), digest.bytes, out);
            if *duration_ms > 0 && message.kind() == MessageKind::VoiceNote {
                out.element(
                    "p",
                    &[("class", "mark")],
                    &format!(
                        "Voice note, {}",
                        words::length(u64::from(duration_ms / 1000))
                    ),
                );
            }
        }
    }
    if !transcription.is_empty() {
        out.element(
            "p",
            &[("class", "text transcription"), ("dir", "auto")],
            transcription,
        );
    }
}

/// `names`: what a person sees, and the file's.
fn written(
    message: &Message,
    attachment: &Attachment,
    names: (&str, &str),
    bytes: u64,
    out: &mut Markup,
) {
    let (name, file) = names;
    let href = path(&format!("media/{file}"));
    let (wide, high) = fitted(attachment.width, attachment.height);
    let size = [("width", wide.to_string()), ("height", high.to_string())];
    let sized = |element: &'static str, attributes: &[(&'static str, &str)], out: &mut Markup| {
        let mut attributes = attributes.to_vec();
        if wide > 0 && high > 0 {
            attributes.extend(size.iter().map(|(key, value)| (*key, value.as_str())));
        }
        out.open(element, &attributes);
    };
    match shown_as(message, &attachment.media_type, file) {
        Shown::Picture => {
            out.open("a", &[("href", &href), ("class", "medium")]);
            let class = if message.kind() == MessageKind::Sticker {
                "sticker"
            } else {
                "picture"
            };
            sized(
                "img",
                &[
                    ("src", &href),
                    ("alt", name),
                    ("loading", "lazy"),
                    ("class", class),
                ],
                out,
            );
            out.close("a");
        }
        Shown::Video => {
            sized(
                "video",
                &[
                    ("src", &href),
                    ("controls", ""),
                    ("preload", "metadata"),
                    ("title", name),
                ],
                out,
            );
            out.close("video");
        }
        Shown::Audio => {
            out.open(
                "audio",
                &[
                    ("src", &href),
                    ("controls", ""),
                    ("preload", "none"),
                    ("title", name),
                ],
            );
            out.close("audio");
        }
        Shown::Link => {
            out.open("p", &[("class", "document"), ("dir", "auto")]);
            out.element("a", &[("href", &href), ("download", file)], name);
            out.text(&format!(" · {}", words::size(bytes)));
            out.close("p");
        }
    }
}

/// The size that something is shown at, so that pages do not jump when it loads. 0 = unknown.
fn fitted(width: u32, height: u32) -> (u32, u32) {
    const MOST: u64 = 400;
    let (wide, high) = (u64::from(width), u64::from(height));
    let longer = wide.max(high);
    let fit = |side: u64| {
        if longer > MOST {
            (side * MOST / longer).max(side.min(1))
        } else {
            side
        }
    };
    (
        u32::try_from(fit(wide)).unwrap_or(0),
        u32::try_from(fit(high)).unwrap_or(0),
    )
}

enum Shown {
    Picture,
    Video,
    Audio,
    Link,
}

fn shown_as(message: &Message, media_type: &str, file: &str) -> Shown {
    let end = file
        .rsplit('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if message.kind() == MessageKind::Document {
        return Shown::Link;
    }
    match (media_type.split('/').next(), end.as_str()) {
        (_, "jpg" | "jpeg" | "png" | "webp" | "gif" | "avif") => Shown::Picture,
        (_, "mp4" | "webm" | "mov" | "m4v" | "3gp") => Shown::Video,
        (_, "opus" | "ogg" | "m4a" | "mp3" | "aac" | "wav" | "amr" | "flac") => Shown::Audio,
        (_, "txt" | "pdf" | "vcf") => Shown::Link,
        (kind, _) => match kind {
            Some("image") => Shown::Picture,
            Some("video") => Shown::Video,
            Some("audio") => Shown::Audio,
            _ => Shown::Link,
        },
    }
}

fn parts(message: &Message, people: &People, out: &mut Markup) {
    if let Some(location) = &message.location {
        place(location, out);
    }
    if let Some(vote) = &message.poll {
        poll(vote, people, out);
    }
    for contact in &message.contacts {
        out.open("details", &[("class", "contact")]);
        out.element(
            "summary",
            &[("dir", "auto")],
            &format!("Contact: {}", contact.name),
        );
        out.element("pre", &[("dir", "auto")], &contact.vcard);
        out.close("details");
    }
    if let Some(call) = &message.call {
        let kind = if call.video {
            "video call"
        } else {
            "voice call"
        };
        let text = match (call.missed, call.seconds) {
            (true, _) => format!("☏ Missed {kind}"),
            (false, 0) => format!("☏ A {kind}"),
            (false, seconds) => format!("☏ A {kind}, {}", words::length(u64::from(seconds))),
        };
        out.element("p", &[], &text);
    }
}

fn place(location: &Location, out: &mut Markup) {
    let Location {
        latitude,
        longitude,
        name,
        address,
        url,
        live_seconds,
    } = location;
    out.open("p", &[("class", "place"), ("dir", "auto")]);
    out.text(if *live_seconds > 0 {
        "📍 Live location: "
    } else {
        "📍 "
    });
    let known =
        latitude.is_finite() && longitude.is_finite() && (*latitude != 0.0 || *longitude != 0.0);
    let point = format!("{latitude:.6}, {longitude:.6}");
    let link = if known {
        format!(
            "https://www.openstreetmap.org/?mlat={latitude:.6}&mlon={longitude:.6}#map=16/{latitude:.6}/{longitude:.6}"
        )
    } else {
        url.clone()
    };
    let shown = [name.as_str(), if known { &point } else { url }]
        .into_iter()
        .find(|text| !text.is_empty());
    out.link_out(&link, shown.unwrap_or("Location"));
    if !address.is_empty() {
        out.text(&format!(" · {address}"));
    }
    out.close("p");
}

fn poll(poll: &Poll, people: &People, out: &mut Markup) {
    out.open("div", &[("class", "poll")]);
    out.element(
        "p",
        &[("class", "question"), ("dir", "auto")],
        &poll.question,
    );
    out.open("ul", &[]);
    for option in &poll.options {
        out.open("li", &[("dir", "auto")]);
        out.text(&option.text);
        out.open("span", &[("class", "votes")]);
        out.text(&format!(
            " · {}",
            words::count(u64::from(option.votes), "vote", "votes")
        ));
        if !option.voters.is_empty() {
            let voters: Vec<_> = option.voters.iter().map(|id| people.name(id)).collect();
            out.text(&format!(": {}", voters.join(", ")));
        }
        out.close("span");
        out.close("li");
    }
    out.close("ul");
    out.close("div");
}

fn edits(message: &Message, out: &mut Markup) {
    let known: Vec<_> = message
        .edits
        .iter()
        .filter(|edit| edit.before_known)
        .collect();
    if known.is_empty() {
        return;
    }
    out.open("details", &[("class", "edits")]);
    out.element("summary", &[], "Earlier versions");
    for edit in known {
        out.element("p", &[("class", "text"), ("dir", "auto")], &edit.before);
    }
    out.close("details");
}

fn reactions(message: &Message, people: &People, out: &mut Markup) {
    if message.reactions.is_empty() {
        return;
    }
    out.open("ul", &[("class", "reactions"), ("aria-label", "Reactions")]);
    for reaction in &message.reactions {
        out.open("li", &[]);
        out.text(&reaction.emoji);
        out.element(
            "span",
            &[("dir", "auto")],
            &format!(" {}", people.name(&reaction.author)),
        );
        out.close("li");
    }
    out.close("ul");
}
