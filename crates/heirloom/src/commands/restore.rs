//! `restore`: a backup back as a folder in the open archive form, messages first.

use heirloom_archive::MessageKind;
use heirloom_ceremony::Purpose;
use heirloom_engine::restore::{self, RestoreOptions};
use serde::Serialize;

use crate::args::read::{MediaKind, Restore};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::engine::Shown;
use crate::output::events;
use crate::{history, repository, unlock, words};

#[derive(Serialize)]
struct Summary<'a> {
    store: &'a str,
    to: String,
    snapshot: &'a str,
    conversations: u64,
    messages: u64,
    attachments: Media,
    bytes: u64,
    problems: &'a [String],
    seconds: f64,
}

#[derive(Serialize)]
struct Media {
    restored: u64,
    absent: u64,
    missing: u64,
}

/// Restores.
pub(crate) fn run(args: &Restore, context: &Context) -> Result<Exit, Failure> {
    let found = repository::find(&args.store, context)?;
    let purpose = match &found.state {
        Some(_) => Purpose::Unlock,
        None => Purpose::Restore,
    };
    let (unlocked, _) = unlock::unlock(&found, &args.unlock, purpose, context)?.done();
    let opened = found.opened(unlocked);
    let repository = opened.repository_for(args.at.snapshot.as_ref())?;
    if opened.found.state.is_none() {
        // A computer that has seen nothing of this backup cannot know what is the newest.
        for line in super::backup::describe(&opened, Some(&repository))? {
            context.output.say(&format!("Found: {line}"));
        }
    }
    let mut view = history::view(&repository, &args.at, context)?;
    let options = RestoreOptions {
        conversations: history::chosen(&mut view, &args.pick)?,
        from: args.pick.from,
        until: args.pick.until,
        kinds: args.kind.iter().map(|kind| message_kind(*kind)).collect(),
        messages_only: args.messages_only,
    };
    let progress = Shown::new(&context.output, &context.interrupt);
    let outcome = restore::run(&mut view, &args.to, &options, &progress);
    progress.done();
    let outcome = outcome?;
    let output = &context.output;
    output.title(&format!("Restored to {}", args.to.display()));
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
    for problem in outcome.problems.iter().take(20) {
        output.warn(&words::tame(problem));
    }
    output.hint(&format!("look into it: `heirloom browse {0}`; as web pages: `heirloom export {0} --format html --to DIR`", args.to.display()));
    output.event(&events::summary(
        "restore",
        Summary {
            store: &opened.found.place,
            to: args.to.display().to_string(),
            snapshot: &outcome.snapshot,
            conversations: outcome.conversations,
            messages: outcome.messages,
            attachments: Media {
                restored: outcome.attachments,
                absent: outcome.absent,
                missing: outcome.missing,
            },
            bytes: outcome.bytes,
            problems: &outcome.problems,
            seconds: context.seconds(),
        },
    ));
    Ok(if outcome.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Damage
    })
}

fn message_kind(kind: MediaKind) -> MessageKind {
    match kind {
        MediaKind::Picture => MessageKind::Picture,
        MediaKind::Video => MessageKind::Video,
        MediaKind::VoiceNote => MessageKind::VoiceNote,
        MediaKind::Audio => MessageKind::Audio,
        MediaKind::Document => MessageKind::Document,
        MediaKind::Sticker => MessageKind::Sticker,
        MediaKind::Gif => MessageKind::Gif,
    }
}
