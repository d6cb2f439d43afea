//! `export`: chats for people and other programs.

use std::ops::ControlFlow;

use heirloom_archive::MessageKind;
use heirloom_exports::{Filter, Outcome, Progress, html, jsonl, whatsapp};
use serde::Serialize;

use crate::args::read::{Export, Format};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::output::meter::Meter;
use crate::{history, words};

const WRITING: &str = "Writing";

#[derive(Serialize)]
struct Summary<'a> {
    to: String,
    format: &'static str,
    conversations: u64,
    messages: u64,
    attachments: u64,
    absent: u64,
    unreadable: u64,
    unreadable_examples: &'a [String],
    bytes: u64,
    seconds: f64,
}

/// Exports.
pub(crate) fn run(args: &Export, context: &Context) -> Result<Exit, Failure> {
    let mut opened = history::open(&args.store, &args.at, &args.unlock, context)?;
    let history = opened.history();
    let filter = Filter {
        conversations: history::chosen(history, &args.pick)?,
        from: args.pick.from,
        until: args.pick.until,
        kinds: Vec::<MessageKind>::new(),
        without_media: args.messages_only,
    };
    let meter = Meter::new(&context.output);
    let mut before = Progress::default();
    let mut progress = |now: Progress| {
        if before.messages_total != now.messages_total || before == Progress::default() {
            meter.phase(
                WRITING,
                (now.messages_total > 0).then_some(now.messages_total),
                None,
            );
        }
        meter.advance(
            WRITING,
            now.messages.saturating_sub(before.messages),
            now.bytes.saturating_sub(before.bytes),
        );
        before = now;
        if context.interrupt.is_set() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let (name, outcome) = match args.format {
        Format::Jsonl => (
            "jsonl",
            jsonl::export(history, &filter, &args.to, &mut progress),
        ),
        Format::Html => (
            "html",
            html::export(history, &filter, &args.to, &mut progress),
        ),
        Format::Whatsapp => (
            "whatsapp",
            whatsapp::export(history, &filter, &args.to, &mut progress),
        ),
    };
    meter.done();
    let outcome = outcome?;
    tell(&outcome, args, context);
    context.output.event(&events::summary(
        "export",
        Summary {
            to: args.to.display().to_string(),
            format: name,
            conversations: outcome.conversations,
            messages: outcome.messages,
            attachments: outcome.attachments,
            absent: outcome.absent,
            unreadable: outcome.unreadable,
            unreadable_examples: &outcome.unreadable_examples,
            bytes: outcome.bytes,
            seconds: context.seconds(),
        },
    ));
    Ok(if outcome.unreadable > 0 {
        Exit::SomeSkipped
    } else {
        Exit::Done
    })
}

/// Says in words what was written.
fn tell(outcome: &Outcome, args: &Export, context: &Context) {
    let output = &context.output;
    output.title(&format!("Exported to {}", args.to.display()));
    output.line(&format!(
        "{}, {}, {} ({}) in {}",
        words::count(outcome.conversations, "chat", "chats"),
        words::count(outcome.messages, "message", "messages"),
        words::count(outcome.attachments, "media file", "media files"),
        words::bytes(outcome.bytes),
        words::duration(context.started.elapsed().as_secs()),
    ));
    if outcome.absent > 0 {
        output.line(&format!(
            "{} never part of the source",
            words::count(outcome.absent, "media file was", "media files were")
        ));
    }
    if outcome.unreadable > 0 {
        let examples: Vec<_> = outcome
            .unreadable_examples
            .iter()
            .map(|example| words::tame(example))
            .collect();
        output.warn(&format!(
            "{} could not be read: {}",
            words::count(outcome.unreadable, "media file", "media files"),
            examples.join(", ")
        ));
    }
    if args.format == Format::Html {
        output.hint(&format!(
            "open {} in a browser",
            args.to.join("index.html").display()
        ));
    }
}
