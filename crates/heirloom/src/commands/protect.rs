//! `protect`: the ways in, and what happened to them.

mod change;
mod show;

use crate::args::manage::{Protect, ProtectCommand};
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::repository::Lock;
use crate::repository::Opened;

/// Shows or changes.
pub(crate) fn run(args: &Protect, context: &Context) -> Result<Exit, Failure> {
    match &args.command {
        ProtectCommand::Status(args) => show::status(args, context),
        ProtectCommand::Log(args) => show::log(args, context),
        ProtectCommand::Add(args) => change::add(args, context),
        ProtectCommand::Check(args) => change::check(args, context),
        ProtectCommand::Remove(args) => change::remove(args, context),
        ProtectCommand::Rotate(args) => change::rotate(args, context),
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
