//! `drill`: a timed test restore with a chosen way in, which proves that way.

use heirloom_ceremony::Purpose;
use heirloom_engine::drill::{self, DrillOptions};
use serde::Serialize;

use crate::args::manage::Drill;
use crate::context::{Context, now_ms};
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::engine::Shown;
use crate::output::events;
use crate::{history, keys, repository, words};

#[derive(Serialize)]
struct Summary<'a> {
    ok: bool,
    way: &'a str,
    messages: u64,
    attachments: u64,
    bytes: u64,
    problems: &'a [String],
    /// Whether the proof was written into the keyring; only a device of the backup can.
    recorded: bool,
    seconds: f64,
}

/// Drills.
pub(crate) fn run(args: &Drill, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open_for(&args.store, &args.unlock, Purpose::Check, context)?;
    let keyring = opened.reader.keyring();
    let slot = keyring.opened_with();
    let way = keyring
        .slots()
        .into_iter()
        .find(|known| Some(known.id) == slot)
        .map(|known| known.name)
        .unwrap_or_default();
    let repository = opened.repository_for(args.at.snapshot.as_ref())?;
    let mut view = history::view(&repository, &args.at, context)?;
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::new(Exit::Failed, "no temporary folder could be made").because(&error)
    })?;
    let progress = Shown::new(&context.output, &context.interrupt);
    let options = DrillOptions {
        attachments: args.sample,
    };
    let outcome = drill::run(
        &mut view,
        folder.path(),
        &options,
        &mut keys::rng(),
        &progress,
    );
    progress.done();
    let outcome = outcome?;
    let ok = outcome.problems.is_empty();
    let output = &context.output;
    let recorded = ok && record(&opened)?;
    if ok {
        output.title(&format!("\"{}\" brings the backup back", words::tame(&way)));
        output.line(&format!(
            "{} and {} ({}) were restored and compared in {}",
            words::count(outcome.messages, "message", "messages"),
            words::count(outcome.attachments, "media file", "media files"),
            words::bytes(outcome.bytes),
            words::duration(context.started.elapsed().as_secs()),
        ));
        if !recorded {
            output.hint(
                "this computer is no device of the backup, so the proof is not recorded in it",
            );
        }
    } else {
        for problem in &outcome.problems {
            output.line(&words::tame(problem));
        }
        output.hint("run `heirloom check STORE --read-data` to see all that is affected");
    }
    output.event(&events::summary(
        "drill",
        Summary {
            ok,
            way: &way,
            messages: outcome.messages,
            attachments: outcome.attachments,
            bytes: outcome.bytes,
            problems: &outcome.problems,
            recorded,
            seconds: context.seconds(),
        },
    ));
    Ok(if ok { Exit::Done } else { Exit::Damage })
}

/// Writes the proof into the keyring and notes when it was.
fn record(opened: &repository::Opened) -> Result<bool, Failure> {
    let Some(state) = &opened.found.state else {
        return Ok(false);
    };
    state.note(|notes| notes.verified_ms = Some(now_ms()))?;
    let Some(mut device) = Device::load(state)? else {
        return Ok(false);
    };
    let _lock = state.lock()?;
    let proven = opened
        .reader
        .keyring()
        .record_proof(&mut keys::rng(), device.act());
    match proven {
        Ok(proven) => device.publish(&*opened.found.store, proven).map(|_| true),
        Err(heirloom_keys::ChangeError::UnknownDevice) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
