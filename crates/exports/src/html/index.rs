//! The list of chats.

use heirloom_archive::history::ConversationSummary;

use super::markup::{Markup, path};
use super::words;
use crate::times;

/// A chat in the list.
pub(super) struct Listed<'a> {
    pub(super) summary: &'a ConversationSummary,
    pub(super) title: String,
    pub(super) folder: String,
    pub(super) messages: u64,
    /// Of the messages in this export.
    pub(super) span: Option<(i64, i64)>,
}

pub(super) fn index(chats: &[Listed<'_>]) -> String {
    let mut page = Markup::page("Chats", "");
    page.open("header", &[]);
    page.element("h1", &[], "Chats");
    let messages = chats.iter().map(|chat| chat.messages).sum();
    let count = u64::try_from(chats.len()).unwrap_or(u64::MAX);
    let about = format!(
        "{}, {}",
        words::count(count, "chat", "chats"),
        words::count(messages, "message", "messages")
    );
    page.element("p", &[("class", "about")], &about);
    page.close("header");
    page.open("main", &[]);
    page.open("ul", &[("class", "chats")]);
    for chat in chats {
        page.open("li", &[]);
        page.open(
            "a",
            &[("href", &path(&format!("{}/index.html", chat.folder)))],
        );
        page.element("strong", &[("dir", "auto")], &chat.title);
        page.open("span", &[("class", "about")]);
        page.text(words::conversation_kind(chat.summary.conversation.kind));
        page.text(&format!(
            " · {}",
            words::count(chat.messages, "message", "messages")
        ));
        let days = |(first, last)| Some((times::clock(first)?.date(), times::clock(last)?.date()));
        if let Some((first, last)) = chat.span.and_then(days) {
            let first = words::short_day(first);
            let last = words::short_day(last);
            page.text(&if first == last {
                format!(" · {first}")
            } else {
                format!(" · {first} – {last}")
            });
        }
        page.close("span");
        page.close("a");
        page.close("li");
    }
    page.close("ul");
    page.close("main");
    page.finish()
}
