//! `search`: messages by their words, without restoring anything.

use std::ops::ControlFlow;

use heirloom_archive::history::ListedConversation;
use heirloom_archive::{History, Message, MessageQuery};
use heirloom_engine::search::{self, SearchOptions};
use serde::Serialize;

use super::browse::{Item, Names, line, names};
use crate::args::read::Search;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::history::{self, Opened, title};
use crate::output::engine::Shown;
use crate::output::events::{self, Event};
use crate::words;

#[derive(Serialize)]
struct Summary {
    hits: u64,
    /// Parts of the backup that were opened for this search; `null` for a restored folder.
    segments_opened: Option<u64>,
    store_reads: Option<u64>,
    bytes_read: Option<u64>,
    seconds: f64,
}

/// What prints hits.
struct Hits<'a> {
    chats: Vec<ListedConversation>,
    names: Names,
    context: &'a Context,
    last: String,
    shown: u64,
}

/// Searches.
pub(crate) fn run(args: &Search, context: &Context) -> Result<Exit, Failure> {
    let mut opened = history::open(&args.store, &args.at, &args.unlock, context)?;
    let chosen = history::chosen(opened.history(), &args.pick)?;
    let chats = opened.history().list()?;
    let names = names(opened.history())?;
    let mut hits = Hits {
        chats,
        names,
        context,
        last: String::new(),
        shown: 0,
    };
    let summary = match &mut opened {
        Opened::Backup(view) => {
            let progress = Shown::new(&context.output, &context.interrupt);
            let options = SearchOptions {
                limit: args.limit,
                conversations: chosen,
                from: args.pick.from,
                until: args.pick.until,
            };
            let found = search::run(
                &*view,
                &args.words.join(" "),
                &options,
                &progress,
                &mut |conversation, message| Ok(hits.show(conversation, &message)),
            );
            progress.done();
            let found = found?;
            Summary {
                hits: found.hits,
                segments_opened: Some(found.segments_opened),
                store_reads: Some(found.store_reads),
                bytes_read: Some(found.bytes_read),
                seconds: context.seconds(),
            }
        }
        Opened::Folder(folder) => {
            scan(folder, &chosen, args, &mut hits)?;
            Summary {
                hits: hits.shown,
                segments_opened: None,
                store_reads: None,
                bytes_read: None,
                seconds: context.seconds(),
            }
        }
    };
    let reads = summary
        .store_reads
        .map(|reads| format!(", {}", words::count(reads, "read", "reads")))
        .unwrap_or_default();
    context.output.say(&format!(
        "{}{reads}",
        words::count(summary.hits, "message", "messages")
    ));
    context.output.event(&events::summary("search", summary));
    Ok(Exit::Done)
}

impl Hits<'_> {
    fn show(&mut self, conversation: &str, message: &Message) -> ControlFlow<()> {
        let output = &self.context.output;
        if conversation != self.last {
            let chat = self.chats.iter().find(|chat| chat.id == conversation);
            output.title(&chat.map_or_else(|| words::tame(conversation), title));
            conversation.clone_into(&mut self.last);
        }
        let day = words::moment(message.sent_at);
        output.line(&format!(
            "{} {}",
            day.split(' ').next().unwrap_or_default(),
            line(message, &self.names)
        ));
        output.event(&Event::new(
            "hit",
            Item::new(message, conversation, &self.names),
        ));
        self.shown += 1;
        if output.closed() || self.context.interrupt.is_set() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// A restored folder has no term filters: all of it is read.
fn scan(
    folder: &mut dyn History,
    chosen: &[String],
    args: &Search,
    hits: &mut Hits<'_>,
) -> Result<(), Failure> {
    let wanted: Vec<String> = args
        .words
        .iter()
        .flat_map(|word| word.split_whitespace())
        .map(str::to_lowercase)
        .collect();
    let ids: Vec<String> = hits
        .chats
        .iter()
        .map(|chat| chat.id.clone())
        .filter(|id| chosen.is_empty() || chosen.contains(id))
        .collect();
    for id in ids {
        let query = MessageQuery {
            from: args.pick.from,
            until: args.pick.until,
            last: None,
        };
        let mut full = false;
        folder.messages(&id, query, &mut |message| {
            let text = message.text.to_lowercase();
            if wanted.iter().all(|word| text.contains(word)) {
                let flow = hits.show(&id, &message);
                full =
                    flow.is_break() || hits.shown >= u64::try_from(args.limit).unwrap_or(u64::MAX);
            }
            Ok(if full {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        })?;
        if full {
            break;
        }
    }
    Ok(())
}
