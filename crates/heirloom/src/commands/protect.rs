//! `protect`: the ways in, and what happened to them.

mod add;
mod change;
mod off;
pub(crate) mod passkey;
mod password;
pub(crate) mod show;

use heirloom_keys::Unlocked;
use serde::Serialize;

use self::show::status_words;
use crate::args::manage::{Protect, ProtectCommand};
use crate::context::{Context, now_ms};
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::repository::Lock;
use crate::output::events;
use crate::repository::Opened;

pub(crate) use self::add::{free_name, newest};
pub(crate) use self::off::finish_forgetting;

/// Shows or changes.
pub(crate) fn run(args: &Protect, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        ProtectCommand::Status(args) => show::status(args, context),
        ProtectCommand::Log(args) => show::log(args, context),
        ProtectCommand::Add(args) => add::add(args, context),
        ProtectCommand::Change(args) => password::change(args, context),
        ProtectCommand::Check(args) => change::check(args, context),
        ProtectCommand::Rename(args) => change::rename(args, context),
        ProtectCommand::Remove(args) => change::remove(args, context),
        ProtectCommand::Rotate(args) => change::rotate(args, context),
        ProtectCommand::Off(args) => off::off(args, context),
    }
}

/// This computer as a device that may change the keyring.
fn device(opened: &Opened) -> Result<(Device, Lock), Failure> {
    let device = opened
        .found
        .state
        .as_ref()
        .map(Device::load)
        .transpose()?
        .flatten();
    let device = device.ok_or_else(|| {
        Failure::new(
            Exit::NeedsUnlock,
            "this computer is no device of the backup, and only a device may change it",
        )
        .hint("join it first: `heirloom backup SOURCE --to STORE --recovery-key-file FILE --join`")
    })?;
    let lock = device.state.lock()?;
    Ok((device, lock))
}

#[derive(Serialize)]
struct Summary<'a> {
    way: &'a str,
    keyring: u64,
    status: &'static str,
    seconds: f64,
}

/// Says what was changed, and how protected the backup is now.
fn tell(sentence: &str, way: &str, command: &'static str, unlocked: &Unlocked, context: &Context) {
    let (word, status) = status_words(show::status_of(unlocked, now_ms(), context));
    let keyring = unlocked.seen().number;
    context
        .output
        .line(&format!("{sentence} · {status} · keyring {keyring}"));
    let summary = Summary {
        way,
        keyring,
        status: word,
        seconds: context.seconds(),
    };
    context.output.event(&events::summary(command, summary));
}
