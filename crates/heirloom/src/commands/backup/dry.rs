//! `backup --dry-run`: reads everything, stores nothing.

use std::collections::HashMap;

use heirloom_archive::{
    Conversation, ConversationRef, Kind, Message, Participant, Presence, Report, Sink, SinkError,
    Source,
};
use heirloom_engine::backup::{self, BackupJob, BackupOptions};
use heirloom_engine::ledger::SqliteLedger;
use serde::Serialize;

use super::report::{Counted, Skipped, counted, skipped, table};
use crate::args::write::{Backup, From};
use crate::context::{Context, now_ms};
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::keys;
use crate::output::engine::Shown;
use crate::output::events;
use crate::output::meter::Meter;
use crate::repository::{self, Found};
use crate::unlock;
use crate::words;

/// Counts what comes.
struct Counting<'a> {
    known: HashMap<String, ConversationRef>,
    bytes: u64,
    meter: &'a Meter<'a>,
    interrupt: &'a Interrupt,
}

impl Sink for Counting<'_> {
    fn participant(&mut self, _: Participant) -> Result<(), SinkError> {
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        let next = ConversationRef(u32::try_from(self.known.len()).unwrap_or(u32::MAX));
        Ok(*self.known.entry(conversation.id).or_insert(next))
    }

    fn message(&mut self, _: ConversationRef, message: Message) -> Result<(), SinkError> {
        if self.interrupt.is_set() {
            return Err(SinkError(Box::new(
                heirloom_engine::EngineError::Interrupted,
            )));
        }
        let present = message
            .attachments
            .iter()
            .filter(|a| a.presence() == Presence::Present);
        let bytes: u64 = present.map(|attachment| attachment.bytes).sum();
        self.bytes = self.bytes.saturating_add(bytes);
        self.meter.advance(READING, 1, bytes);
        Ok(())
    }
}

const READING: &str = "Reading chats";

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    conversations: Counted,
    messages: Counted,
    attachments: Counted,
    skipped: Vec<Skipped>,
    bytes: u64,
    seconds: f64,
}

/// Reads a source and says what it holds; where this computer knows the backup, what of it would be new.
pub(super) fn run(
    source: &mut dyn Source,
    args: &Backup,
    context: &Context,
) -> Result<Exit, Failure> {
    if let Some(found) = repository::look(&args.to, context)?
        && let Some(device) = found
            .state
            .as_ref()
            .map(Device::load)
            .transpose()?
            .flatten()
    {
        return compared(source, &found, device, args, context);
    }
    counted_only(source, &args.from, context)
}

/// The engine reads and compares, and stores nothing.
fn compared(
    source: &mut dyn Source,
    found: &Found,
    mut device: Device,
    args: &Backup,
    context: &Context,
) -> Result<Exit, Failure> {
    let _lock = device.state.lock()?;
    unlock::refuse_fork(found)?;
    device.refresh(&found.newest)?;
    let mut rng = keys::rng();
    let progress = Shown::new(&context.output, &context.interrupt);
    let ledger = SqliteLedger::open(&device.state.ledger())?;
    let run_keys = keys::for_one_run(&device.writer, &mut rng);
    let outcome = backup::run(BackupJob {
        store: found.store.clone(),
        keys: &run_keys,
        reader: None,
        ledger: &ledger,
        source,
        rng: &mut rng,
        now_ms: now_ms(),
        device_name: "",
        options: BackupOptions {
            dry_run: true,
            force: args.how.force,
            read_as: super::read_as(&args.from),
            ..BackupOptions::default()
        },
        progress: &progress,
    });
    progress.done();
    let outcome = outcome?;
    let new = outcome.new;
    if outcome.unchanged {
        context.output.line(&format!(
            "{} has not changed since the last backup",
            super::shown(&args.from.source)
        ));
    }
    let new = [new.conversations, new.messages, new.attachments];
    Ok(tell(
        &outcome.report,
        Some(new),
        outcome.stored_bytes,
        &args.from,
        context,
    ))
}

fn counted_only(source: &mut dyn Source, from: &From, context: &Context) -> Result<Exit, Failure> {
    let meter = Meter::new(&context.output);
    meter.phase(READING, None, None);
    let mut sink = Counting {
        known: HashMap::new(),
        bytes: 0,
        meter: &meter,
        interrupt: &context.interrupt,
    };
    let read = source.read(&mut sink);
    let bytes = sink.bytes;
    meter.done();
    Ok(tell(&read?, None, bytes, from, context))
}

/// `bytes`: of media, or of what would be stored where that is known.
fn tell(
    report: &Report,
    new: Option<[u64; 3]>,
    bytes: u64,
    from: &From,
    context: &Context,
) -> Exit {
    let output = &context.output;
    output.title(&format!(
        "{} holds this; nothing was stored",
        super::shown(&from.source)
    ));
    output.line("");
    for line in table(report, new) {
        output.line(&line);
    }
    output.line("");
    let what = if new.is_some() {
        "would be stored"
    } else {
        "of media"
    };
    output.line(&format!("{} {what}", words::bytes(bytes)));
    let of = |at: usize| new.map(|new| new[at]);
    output.event(&events::summary(
        "backup",
        Summary {
            dry_run: true,
            conversations: counted(report, Kind::Conversations, of(0)),
            messages: counted(report, Kind::Messages, of(1)),
            attachments: counted(report, Kind::Attachments, of(2)),
            skipped: skipped(report),
            bytes,
            seconds: context.seconds(),
        },
    ));
    if report.left_out_something_readable() {
        Exit::SomeSkipped
    } else {
        Exit::Done
    }
}
