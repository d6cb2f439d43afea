//! Taking a planned removal back: whoever opens the backup can, from any computer, until the removal has begun.

use heirloom_keys::Unlocked;

use super::removal;
use super::summarize;
use crate::args::manage::Off;
use crate::commands::protect::tell;
use crate::context::{Context, now_ms};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::repository::Lock;
use crate::keys;
use crate::repository::Opened;
use crate::words;

/// Takes the plan back. A computer that is no device of the backup becomes one first: the log has to say who did it, and
/// joining is refused while a removal is planned.
pub(super) fn undo(args: &Off, opened: &Opened, context: &Context) -> Result<Exit, Failure> {
    let keyring: &Unlocked = opened.reader.keyring();
    if removal::has_begun(&*opened.found.store, keyring)? || began_here(opened)? {
        return Err(what_is_left(opened));
    }
    let (mut device, keyring, _lock) = if let Some((device, lock)) = known(opened)? {
        (device, None, lock)
    } else {
        let (device, keyring, lock) = join(args, opened, context)?;
        (device, Some(keyring), lock)
    };
    let keyring = keyring.as_ref().unwrap_or(opened.reader.keyring());
    let kept = keyring.cancel_removal(&mut keys::rng(), device.act())?;
    let unlocked = device.publish(&*opened.found.store, kept)?;
    // The other half of `removal::begin`: a removal that began meanwhile either saw this keyring, or is seen here.
    if removal::has_begun(&*opened.found.store, &unlocked)? {
        return Err(what_is_left(opened));
    }
    if context.output.json() {
        summarize("undone", None, 0, context);
    } else {
        tell(
            "The backup stays, and goes on",
            "",
            "protect off",
            &unlocked,
            context,
        );
    }
    Ok(Exit::Done)
}

/// Whether this computer has begun to remove it.
fn began_here(opened: &Opened) -> Result<bool, Failure> {
    match &opened.found.state {
        Some(state) => Ok(state.notes()?.removing),
        None => Ok(false),
    }
}

/// This computer, where the newest keyring still has it.
fn known(opened: &Opened) -> Result<Option<(Device, Lock)>, Failure> {
    let Some(state) = &opened.found.state else {
        return Ok(None);
    };
    let Some(device) = Device::load(state)? else {
        return Ok(None);
    };
    let is_in = opened
        .reader
        .keyring()
        .writer_credentials(&device.credential.device())
        .is_some();
    if !is_in {
        return Ok(None);
    }
    let lock = device.state.lock()?;
    Ok(Some((device, lock)))
}

fn join(
    args: &Off,
    opened: &Opened,
    context: &Context,
) -> Result<(Device, Unlocked, Lock), Failure> {
    let keyring = opened.reader.keyring();
    let name = device::name(args.device_name.as_deref(), &context.settings);
    let (successor, credential) = keyring.add_device(&mut keys::rng(), now_ms(), &name)?;
    let state = context
        .home
        .repository(*keyring.repository().as_bytes(), true)?
        .ok_or_else(|| Failure::new(Exit::Failed, "the state folder could not be made"))?;
    let lock = state.lock()?;
    let mut device = Device::enrol(state, credential, &successor.unlocked)?;
    let unlocked = device.publish(&*opened.found.store, successor)?;
    context.output.say(&format!(
        "This computer is a device of the backup from now on, as {}",
        words::tame(&name)
    ));
    Ok((device, unlocked, lock))
}

/// The refusal once objects are gone: what can still be read, and how it goes on.
fn what_is_left(opened: &Opened) -> Failure {
    // Heads go first: a snapshot that one still names has all that it needs.
    let snapshots = opened
        .repository_damaged()
        .and_then(|repository| Ok(repository.snapshots()?));
    let (left, restore) = match snapshots {
        Ok(snapshots) if snapshots.is_empty() => (NOTHING_LEFT.into(), String::new()),
        Ok(snapshots) => {
            let count = u64::try_from(snapshots.len()).unwrap_or(u64::MAX);
            let newest = snapshots.iter().max_by_key(|snapshot| snapshot.created_at);
            let newest = newest
                .and_then(|newest| newest.hash.get(..8))
                .unwrap_or("ID");
            (
                format!(
                    "{} can still be read",
                    words::count(count, "snapshot", "snapshots")
                ),
                format!(
                    "restore what you want to keep, the newest with `heirloom restore STORE --to DIR --snapshot {newest}`; then "
                ),
            )
        }
        Err(failure) if failure.exit == Exit::NoBackup => (NOTHING_LEFT.into(), String::new()),
        Err(failure) => (
            format!("what is left may not be readable: {}", failure.message),
            String::new(),
        ),
    };
    Failure::new(
        Exit::Failed,
        format!("the removal has begun, and what was removed cannot come back; {left}"),
    )
    .hint(format!(
        "{restore}run `heirloom protect off STORE` on a computer that adds to this backup: it goes on where it was"
    ))
}

const NOTHING_LEFT: &str = "no snapshot of it is left";
