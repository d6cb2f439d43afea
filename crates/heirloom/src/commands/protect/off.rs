//! `protect off`: a backup is turned off, and 30 days later it is removed. Until then this can be taken back.

mod removal;
mod undo;

use heirloom_ceremony::Purpose;
use heirloom_keys::ChangeError;
use serde::Serialize;

pub(crate) use self::removal::finish_forgetting;

use self::removal::{Removed, Step, step};
use crate::args::manage::Off;
use crate::context::{Context, now_ms};
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::repository::Lock;
use crate::output::events;
use crate::repository::{self, Opened};
use crate::{errors, keys, secrets, words};

#[derive(Serialize)]
struct Summary {
    /// "planned", "waiting", "undone" or "removed".
    outcome: &'static str,
    due_at: Option<String>,
    removed_objects: u64,
    seconds: f64,
}

/// Plans, waits, takes back or removes, as the plan and the time say.
pub(super) fn off(args: &Off, context: &Context) -> Result<Exit, Failure> {
    let purpose = Purpose::Off;
    let opened = repository::open_for(&args.ways.store, &args.ways.unlock, purpose, context)?;
    let keyring = opened.reader.keyring();
    match step(keyring.removal_due_ms(), now_ms(), args.undo) {
        Step::Plan => {
            let (device, _lock) = super::device(&opened)?;
            plan(args, &opened, device, context)
        }
        Step::Wait { due_ms } => {
            context.output.line(&format!(
                "{} is to be removed from {} on; until then everything can be restored, and nothing new is added",
                opened.found.place,
                words::day(due_ms)
            ));
            context.output.hint(UNDO);
            summarize("waiting", Some(due_ms), 0, context);
            Ok(Exit::Done)
        }
        Step::NothingToUndo => Err(ChangeError::NoRemovalPlanned.into()),
        Step::Undo => undo::undo(args, &opened, context),
        Step::Remove => {
            let (device, lock) =
                super::device(&opened).map_err(|failure| failure.hint(ONLY_A_DEVICE))?;
            remove(args, &opened, device, lock, context)
        }
    }
}

/// Joining is refused while a removal is planned, so it is no way to remove.
const ONLY_A_DEVICE: &str = "run it on a computer that adds to this backup; to keep the backup after all, `heirloom protect off STORE --undo` works from here";
const UNDO: &str = "to keep it after all: `heirloom protect off STORE --undo`";

fn plan(
    args: &Off,
    opened: &Opened,
    mut device: Device,
    context: &Context,
) -> Result<Exit, Failure> {
    let place = &opened.found.place;
    let due = now_ms().saturating_add(heirloom_keys::REMOVAL_DELAY_MS);
    let export = format!("heirloom export {place} --format html --to ./my-chats");
    if !args.yes {
        if !context.output.can_ask() {
            return Err(Failure::usage(
                "turning a backup off is asked for, and nobody is here to ask",
            )
            .hint(format!(
                "add `--yes`; to keep the chats readable, export them before: `{export}`"
            )));
        }
        let output = &context.output;
        output.show(&format!(
            "{place} would be removed from {} on. Until then everything can be restored, nothing new is added, and you can take it back.",
            words::day(due)
        ));
        output.show("There is no backup without encryption: what you want to keep readable has to be exported.");
        if secrets::ask_yes("Do you want to export your chats first")? {
            return Err(
                Failure::new(Exit::Failed, "nothing was changed").hint(format!(
                    "export: `{export}`; then run `heirloom protect off` again"
                )),
            );
        }
        if !secrets::ask_yes("Turn this backup off")? {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
    }
    let keyring = opened.reader.keyring();
    let planned = keyring.plan_removal(&mut keys::rng(), device.act())?;
    let unlocked = device.publish(&*opened.found.store, planned)?;
    let due = unlocked.removal_due_ms().unwrap_or(due);
    context.output.line(&format!(
        "This backup is off: from {} on it can be removed for good, by running this again",
        words::day(due)
    ));
    context
        .output
        .say("Until then everything can be restored, and nothing new is added to it");
    context.output.hint(&format!(
        "to keep the chats readable, export them: `{export}`"
    ));
    context.output.hint(UNDO);
    summarize("planned", Some(due), 0, context);
    Ok(Exit::Done)
}

fn remove(
    args: &Off,
    opened: &Opened,
    mut device: Device,
    lock: Lock,
    context: &Context,
) -> Result<Exit, Failure> {
    let place = &opened.found.place;
    if !args.yes {
        if !context.output.can_ask() {
            return Err(Failure::usage(
                "removing a backup is asked for, and nobody is here to ask",
            )
            .hint("add `--yes`: then it is removed for good"));
        }
        let question =
            format!("Remove the backup in {place} for good? Nothing brings it back. Remove it");
        if !secrets::ask_yes(&question)? {
            return Err(Failure::new(Exit::Failed, "nothing was removed").hint(UNDO));
        }
    }
    // The keyrings before the newest go first: a run that goes on must not look for the way from an older one.
    let keyring = opened.reader.keyring();
    device.follow(keyring)?;
    let store = &*opened.found.store;
    removal::begin(store, keyring)?;
    // Noted first: from here on a head that is gone is no rollback, and a removal that is cut off goes on.
    device.state.note(|notes| notes.removing = true)?;
    let interrupt = &context.interrupt;
    let Removed { objects, ended } =
        removal::remove_objects(store, &removal::mark(keyring), &|| interrupt.is_set())?;
    if !ended {
        return Err(errors::interrupted());
    }
    let state = device.state.clone();
    drop((device, lock));
    removal::forget(&state)?;
    context.output.line(&format!(
        "The backup in {place} was removed ({})",
        words::count(objects, "object", "objects")
    ));
    context.output.hint("copies of the store that others keep, such as versions in a cloud, are not removed by this; what opened them opens them still");
    summarize("removed", None, objects, context);
    Ok(Exit::Done)
}

fn summarize(outcome: &'static str, due_ms: Option<i64>, removed_objects: u64, context: &Context) {
    let summary = Summary {
        outcome,
        due_at: due_ms.and_then(words::rfc3339),
        removed_objects,
        seconds: context.seconds(),
    };
    context
        .output
        .event(&events::summary("protect off", summary));
}
