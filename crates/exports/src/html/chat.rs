//! The pages of one chat.

use std::collections::{BTreeMap, HashMap};

use heirloom_archive::{Conversation, Message};
use jiff::civil::Date;

use super::markup::Markup;
use super::message::{Context, anchor, message as bubble};
use super::words;
use crate::media::Medium;
use crate::outcome::ExportError;
use crate::people::People;
use crate::target::Target;
use crate::times;

/// Messages on a page; the last page may have up to a few more.
const PAGE_MESSAGES: usize = 1_000;

/// Writes one chat page by page.
pub(super) struct ChatPages<'a> {
    target: &'a Target,
    people: &'a People,
    folder: String,
    title: String,
    number: u32,
    on_page: usize,
    body: Markup,
    last: Option<(Option<Date>, String)>,
    /// Pages by half a hash of the message's id: where replies lead.
    places: HashMap<u64, u32>,
    authors: HashMap<String, usize>,
    days: BTreeMap<Date, Day>,
}

/// Where a day begins, and how much was said.
struct Day {
    page: u32,
    messages: u64,
}

impl<'a> ChatPages<'a> {
    pub(super) fn new(
        target: &'a Target,
        people: &'a People,
        folder: String,
        title: String,
    ) -> Self {
        Self {
            target,
            people,
            folder,
            title,
            number: 1,
            on_page: 0,
            body: Markup::fragment(),
            last: None,
            places: HashMap::new(),
            authors: HashMap::new(),
            days: BTreeMap::new(),
        }
    }

    pub(super) fn message(
        &mut self,
        message: &Message,
        media: &[Medium],
    ) -> Result<(), ExportError> {
        if self.on_page == PAGE_MESSAGES {
            self.write_page(true)?;
            self.number += 1;
            self.on_page = 0;
            self.last = None;
        }
        let date = times::clock(message.sent_at).map(jiff::civil::DateTime::date);
        if let Some(date) = date {
            let page = self.number;
            self.days
                .entry(date)
                .or_insert(Day { page, messages: 0 })
                .messages += 1;
        }
        let same_day = self.last.as_ref().is_some_and(|(day, _)| *day == date);
        if !same_day {
            let (id, day) = match date {
                Some(date) => (day_anchor(date), words::day(date)),
                None => (String::new(), words::UNKNOWN_TIME.to_owned()),
            };
            self.body
                .element("h2", &[("class", "day"), ("id", &id)], &day);
        }
        let show_author = !same_day
            || self
                .last
                .as_ref()
                .is_none_or(|(_, author)| *author != message.author);
        let reply = message.reply_to.as_ref().and_then(|reply| {
            let page = self.places.get(&place(&reply.message))?;
            Some(format!("{}#{}", page_name(*page), anchor(&reply.message)))
        });
        let known = self.authors.len();
        let author = *self.authors.entry(message.author.clone()).or_insert(known);
        let context = Context {
            people: self.people,
            reply,
            show_author,
            author,
        };
        bubble(message, media, &context, &mut self.body);
        self.places.insert(place(&message.id), self.number);
        self.last = Some((date, message.author.clone()));
        self.on_page += 1;
        Ok(())
    }

    /// Writes the last page and the chat's own index.
    pub(super) fn finish(
        mut self,
        conversation: &Conversation,
        messages: u64,
    ) -> Result<(), ExportError> {
        self.write_page(false)?;
        let mut page = Markup::page(&self.title, "../");
        page.open("header", &[]);
        page.open("nav", &[("aria-label", "Pages")]);
        page.element("a", &[("href", "../index.html")], "All chats");
        page.close("nav");
        page.element("h1", &[("dir", "auto")], &self.title);
        let about = format!(
            "{} · {}",
            words::conversation_kind(conversation.kind),
            words::count(messages, "message", "messages")
        );
        page.element("p", &[("class", "about")], &about);
        if !conversation.participants.is_empty() {
            let names: Vec<_> = conversation
                .participants
                .iter()
                .map(|id| self.people.name(id))
                .collect();
            page.element(
                "p",
                &[("class", "about"), ("dir", "auto")],
                &names.join(", "),
            );
        }
        page.close("header");
        page.open("main", &[]);
        page.open("p", &[("class", "ends")]);
        page.element("a", &[("href", &page_name(1))], "From the beginning");
        page.text(" ");
        page.element(
            "a",
            &[("href", &format!("{}#end", page_name(self.number)))],
            "To the end",
        );
        page.close("p");
        self.calendar(&mut page);
        page.close("main");
        self.target.write(
            &format!("{}/index.html", self.folder),
            page.finish().as_bytes(),
        )
    }

    fn calendar(&self, page: &mut Markup) {
        let mut month = None;
        for (date, day) in &self.days {
            if month != Some((date.year(), date.month())) {
                if month.is_some() {
                    page.close("ul");
                }
                month = Some((date.year(), date.month()));
                page.element("h2", &[], &date.strftime("%B %Y").to_string());
                page.open("ul", &[("class", "days")]);
            }
            page.open("li", &[]);
            let href = format!("{}#{}", page_name(day.page), day_anchor(*date));
            let count = words::count(day.messages, "message", "messages");
            let label = format!("{}, {count}", words::day(*date));
            page.open(
                "a",
                &[("href", &href), ("aria-label", &label), ("title", &count)],
            );
            page.text(&date.strftime("%-d").to_string());
            page.close("a");
            page.close("li");
        }
        if month.is_some() {
            page.close("ul");
        }
    }

    fn write_page(&mut self, has_next: bool) -> Result<(), ExportError> {
        let body = std::mem::take(&mut self.body);
        let mut page = Markup::page(&format!("{}, page {}", self.title, self.number), "../");
        page.open("header", &[]);
        self.nav(&mut page, has_next);
        page.element("h1", &[("dir", "auto")], &self.title);
        page.close("header");
        page.open("main", &[("class", "chat")]);
        page.append(&body);
        page.close("main");
        page.open("div", &[("id", "end")]);
        self.nav(&mut page, has_next);
        page.close("div");
        self.target.write(
            &format!("{}/{}", self.folder, page_name(self.number)),
            page.finish().as_bytes(),
        )
    }

    fn nav(&self, page: &mut Markup, has_next: bool) {
        page.open("nav", &[("aria-label", "Pages")]);
        page.element("a", &[("href", "../index.html")], "All chats");
        page.element("a", &[("href", "index.html")], "Dates");
        if self.number > 1 {
            page.element(
                "a",
                &[("href", &page_name(self.number - 1)), ("rel", "prev")],
                "← Earlier",
            );
        }
        page.element(
            "span",
            &[("aria-current", "page")],
            &format!("Page {}", self.number),
        );
        if has_next {
            page.element(
                "a",
                &[("href", &page_name(self.number + 1)), ("rel", "next")],
                "Later →",
            );
        }
        page.close("nav");
    }
}

fn page_name(number: u32) -> String {
    format!("page-{number:04}.html")
}

fn day_anchor(date: Date) -> String {
    format!("d{date}")
}

fn place(id: &str) -> u64 {
    let mut half = [0; 8];
    half.copy_from_slice(&blake3::hash(id.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(half)
}
