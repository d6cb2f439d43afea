//! `browse`: the list of chats, or the messages of one.

use std::collections::HashMap;
use std::ops::ControlFlow;

use heirloom_archive::{History, Message, MessageKind, MessageQuery, Presence, Zone};
use serde::Serialize;

use crate::args::read::Browse;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::history::{self, find_chat, title};
use crate::output::events::{self, Event};
use crate::words;

#[derive(Serialize)]
struct Chat<'a> {
    id: &'a str,
    title: &'a str,
    app: &'a str,
    messages: u64,
    first: Option<String>,
    last: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    chats: Option<usize>,
    messages: Option<u64>,
    seconds: f64,
}

/// Shows chats without restoring anything.
pub(crate) fn run(args: &Browse, context: &Context) -> Result<Exit, Failure> {
    let mut opened = history::open(&args.store, &args.at, &args.unlock, context)?;
    let history = opened.history();
    let summary = match &args.chat {
        None => list(history, context)?,
        Some(wish) => show(history, wish, args, context)?,
    };
    context.output.event(&events::summary("browse", summary));
    Ok(Exit::Done)
}

fn list(history: &mut dyn History, context: &Context) -> Result<Summary, Failure> {
    let chats = history.list()?;
    let output = &context.output;
    for chat in &chats {
        let (first, last) = chat
            .span
            .map_or((None, None), |(first, last)| (Some(first), Some(last)));
        let years = match (first, last) {
            (Some(first), Some(last)) => format!("{} to {}", day(first), day(last)),
            _ => String::new(),
        };
        output.line(&format!(
            "{:>10}  {years:<24}  {}",
            words::number(chat.messages),
            title(chat)
        ));
        output.event(&Event::new(
            "conversation",
            Chat {
                id: &chat.id,
                title: &chat.title,
                app: &chat.app,
                messages: chat.messages,
                first: first.and_then(words::rfc3339),
                last: last.and_then(words::rfc3339),
            },
        ));
        if output.closed() {
            break;
        }
    }
    output.hint("to read one: `heirloom browse STORE CHAT`");
    Ok(Summary {
        chats: Some(chats.len()),
        messages: None,
        seconds: context.seconds(),
    })
}

fn show(
    history: &mut dyn History,
    wish: &str,
    args: &Browse,
    context: &Context,
) -> Result<Summary, Failure> {
    let chats = history.list()?;
    let chat = find_chat(&chats, wish)?;
    let names = names(history)?;
    let output = &context.output;
    output.title(&format!(
        "{}  {}",
        title(chat),
        words::count(chat.messages, "message", "messages")
    ));
    let last = args.from.is_none().then_some(args.last);
    let query = MessageQuery {
        from: args.from,
        until: args.until,
        last,
    };
    let mut shown = 0;
    let mut today = String::new();
    history.messages(&chat.id, query, &mut |message| {
        let day = day(message.sent_at);
        if day != today {
            output.line(&format!("── {day} ──"));
            today = day;
        }
        output.line(&line(&message, &names));
        output.event(&Event::new(
            "message",
            Item::new(&message, &chat.id, &names),
        ));
        shown += 1;
        let stop = output.closed() || context.interrupt.is_set();
        Ok(if stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    })?;
    Ok(Summary {
        chats: None,
        messages: Some(shown),
        seconds: context.seconds(),
    })
}

/// Names by participant id.
pub(crate) type Names = HashMap<String, String>;

/// All participants' names; who has none goes by phone or id.
pub(crate) fn names(history: &mut dyn History) -> Result<Names, Failure> {
    let mut names = HashMap::new();
    for participant in history.participants()? {
        let name = [&participant.name, &participant.phone]
            .into_iter()
            .find(|name| !name.is_empty());
        names.insert(
            participant.id.clone(),
            words::tame(name.unwrap_or(&participant.id)),
        );
    }
    Ok(names)
}

fn day(ms: i64) -> String {
    words::moment(ms)
        .split(' ')
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn clock(message: &Message) -> String {
    let moment = words::moment(message.sent_at);
    let clock = moment.split(' ').nth(1).unwrap_or_default().to_owned();
    if message.zone() == Zone::Unknown {
        clock
    } else {
        format!("{clock}Z")
    }
}

/// A message on a line of a terminal.
pub(crate) fn line(message: &Message, names: &Names) -> String {
    let who = names
        .get(&message.author)
        .map_or_else(|| words::tame(&message.author), Clone::clone);
    let mut what = Vec::new();
    for attachment in &message.attachments {
        let absent = if attachment.presence() == Presence::Present {
            ""
        } else {
            ", not there"
        };
        let name = if attachment.name.is_empty() {
            "file"
        } else {
            &attachment.name
        };
        what.push(format!("[{}{absent}]", words::tame(name)));
    }
    if what.is_empty() && message.text.is_empty() {
        what.push(format!("[{}]", kind(message.kind())));
    }
    if message.kind() == MessageKind::Poll
        && let Some(poll) = &message.poll
    {
        what.push(words::tame(&poll.question));
    }
    if !message.text.is_empty() {
        what.push(words::tame(&message.text));
    }
    if message.edited || !message.edits.is_empty() {
        what.push("(edited)".into());
    }
    let reactions: Vec<_> = message
        .reactions
        .iter()
        .map(|reaction| words::tame(&reaction.emoji))
        .collect();
    if !reactions.is_empty() {
        what.push(format!("{{{}}}", reactions.join("")));
    }
    let who = if who.is_empty() {
        String::new()
    } else {
        format!("{who}: ")
    };
    format!("{}  {who}{}", clock(message), what.join(" "))
}

/// A message in an event. The whole of it is in `export --format jsonl`.
#[derive(Debug, Serialize)]
pub(crate) struct Item<'a> {
    conversation: &'a str,
    id: &'a str,
    author: &'a str,
    author_name: Option<&'a str>,
    sent_at: Option<String>,
    zone: &'static str,
    kind: &'static str,
    text: &'a str,
    attachments: Vec<&'a str>,
    reactions: Vec<&'a str>,
    edited: bool,
}

impl<'a> Item<'a> {
    pub(crate) fn new(message: &'a Message, conversation: &'a str, names: &'a Names) -> Self {
        Self {
            conversation,
            id: &message.id,
            author: &message.author,
            author_name: names.get(&message.author).map(String::as_str),
            sent_at: words::rfc3339(message.sent_at),
            zone: if message.zone() == Zone::Unknown {
                "unknown"
            } else {
                "utc"
            },
            kind: kind(message.kind()),
            text: &message.text,
            attachments: message
                .attachments
                .iter()
                .map(|attachment| attachment.name.as_str())
                .collect(),
            reactions: message
                .reactions
                .iter()
                .map(|reaction| reaction.emoji.as_str())
                .collect(),
            edited: message.edited || !message.edits.is_empty(),
        }
    }
}

/// A kind's word, the same as in the open archive form.
fn kind(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Text => "text",
        MessageKind::Picture => "picture",
        MessageKind::Video => "video",
        MessageKind::VoiceNote => "voice_note",
        MessageKind::Audio => "audio",
        MessageKind::Document => "document",
        MessageKind::Sticker => "sticker",
        MessageKind::Gif => "gif",
        MessageKind::Contact => "contact",
        MessageKind::Location => "location",
        MessageKind::LiveLocation => "live_location",
        MessageKind::Poll => "poll",
        MessageKind::Call => "call",
        MessageKind::System => "system",
        MessageKind::Deleted => "deleted",
        MessageKind::Media => "media",
        MessageKind::Unsupported => "unsupported",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_archive::{Attachment, Reaction};

    #[test]
    fn a_message_is_one_line_without_control_characters() {
        let message = Message {
            author: "a".into(),
            text: "hi\n\u{1b}[2Jthere".into(),
            edited: true,
            zone: Zone::Unknown.into(),
            attachments: vec![Attachment {
                name: "cat.jpg".into(),
                ..Attachment::default()
            }],
            reactions: vec![Reaction {
                emoji: "👍".into(),
                ..Reaction::default()
            }],
            ..Message::default()
        };
        let names = Names::from([("a".into(), "Ana".into())]);
        assert_eq!(
            line(&message, &names),
            "00:00  Ana: [cat.jpg] hi \u{fffd}[2Jthere (edited) {👍}"
        );
    }

    #[test]
    fn a_message_without_text_is_named_by_its_kind() {
        let message = Message {
            kind: MessageKind::Deleted.into(),
            ..Message::default()
        };
        assert_eq!(line(&message, &Names::new()), "00:00Z  [deleted]");
    }
}
