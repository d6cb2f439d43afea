//! A backup that is there already: this computer knows it, or joins it.

use heirloom_ceremony::Purpose;
use heirloom_engine::repository::Repository;
use heirloom_keys::Unlocked;

use super::{Began, Ready, first};
use crate::args::write::Backup;
use crate::context::{Context, now_ms};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys::{self, Reader};
use crate::recovery;
use crate::repository::{Found, Opened};
use crate::unlock::offers::{Offers, Way};
use crate::unlock::own::{self, Own};
use crate::unlock::{self, Entered};
use crate::words;

/// Goes on with a backup that this computer knows, or joins one that it does not.
pub(super) fn known_or_join(
    found: Found,
    args: &Backup,
    context: &Context,
) -> Result<Ready, Failure> {
    if args.new_recovery_key_file.is_some() {
        context.output.say(&format!(
            "{} holds a backup already; no new key was made",
            found.place
        ));
    }
    if args.new_passkey {
        context.output.say(&format!(
            "{} holds a backup already; to add a passkey to it: `heirloom protect add passkey STORE`",
            found.place
        ));
    }
    unlock::refuse_fork(&found)?;
    // A computer that was let in reads, too: it may have ended before it knew, and its table comes from the store.
    let own = match own::find(&found)? {
        Own::Here(_) => Some(unlock::by_this_computer(&found)?.0),
        Own::None | Own::Removed => None,
    };
    let device = found
        .state
        .as_ref()
        .map(Device::load)
        .transpose()?
        .flatten();
    match device {
        Some(device) => known(found, device, own, args, context),
        None => join(found, args, context),
    }
}

/// Unattended: the newest keyring is taken over by the device's own key. With a key at hand it is unlocked too.
fn known(
    found: Found,
    mut device: Device,
    own: Option<Unlocked>,
    args: &Backup,
    context: &Context,
) -> Result<Ready, Failure> {
    let lock = device.state.lock()?;
    let given = args.unlock.recovery_key_file.is_some()
        || args.unlock.password_file.is_some()
        || args.unlock.passkey;
    let refreshed = device.refresh(&found.newest);
    let reader = if let Some(key_file) = first::unproven(&found.place, context) {
        // The first backup was cut off between its keyring and the proof that the key opens it.
        let entered = Entered::RecoveryKey(recovery::from_file(&key_file)?);
        let unlocked = entered.open(&found.newest)?;
        device.follow(&unlocked)?;
        let proven = unlocked.record_proof(&mut keys::rng(), device.act())?;
        let unlocked = device.publish(&*found.store, proven)?;
        context.output.say(first::PROVEN);
        first::forget(&found.place, context);
        Some(std::sync::Arc::new(Reader::new(unlocked)))
    } else if refreshed.is_err() && device.state.seen()?.is_none() {
        // It was to join, and its keyring never came into the store.
        drop(lock);
        return join(found, args, context);
    } else if let Err(failure) = refreshed
        && !(failure.exit == Exit::NeedsUnlock && (given || own.is_some()))
    {
        return Err(failure);
    } else if given {
        let (unlocked, _) = unlock::unlock(&found, &args.unlock, Purpose::Unlock, context)?.done();
        if unlocked
            .writer_credentials(&device.credential.device())
            .is_none()
        {
            drop(lock);
            return join_with(found, unlocked, args, context);
        }
        device.follow(&unlocked)?;
        Some(std::sync::Arc::new(Reader::new(unlocked)))
    } else if let Some(unlocked) = own {
        device.follow(&unlocked)?;
        Some(std::sync::Arc::new(Reader::new(unlocked)))
    } else {
        None
    };
    device.refuse_ending()?;
    let Found { store, place, .. } = found;
    Ok(Ready {
        store,
        place,
        device,
        reader,
        how: Began::Known,
        _lock: lock,
    })
}

/// Unlocks a backup that this computer does not know, says what it found, and asks.
fn join(found: Found, args: &Backup, context: &Context) -> Result<Ready, Failure> {
    if !unlock::is_given(&args.unlock, context) && !context.output.can_ask() {
        let flags = match Offers::of(&found.newest).here().as_slice() {
            [Way::RecoveryKey] | [] => "`--recovery-key-file FILE --join`",
            [Way::Passkey] => "`--passkey --join`",
            [Way::Password] => "`--password-file FILE --join`",
            _ => "`--passkey --join` or `--recovery-key-file FILE --join`",
        };
        return Err(Failure::new(
            Exit::NeedsUnlock,
            format!(
                "{} holds a backup that this computer does not know",
                found.place
            ),
        )
        .hint(format!("to join it, add {flags}")));
    }
    let (unlocked, _) = unlock::unlock(&found, &args.unlock, Purpose::Restore, context)?.done();
    join_with(found, unlocked, args, context)
}

fn join_with(
    found: Found,
    unlocked: Unlocked,
    args: &Backup,
    context: &Context,
) -> Result<Ready, Failure> {
    if let Some(due_ms) = unlocked.removal_due_ms() {
        return Err(device::ending(due_ms));
    }
    let opened = found.opened(unlocked);
    let what = describe(&opened, opened.repository_if_any()?.as_deref())?;
    for line in &what {
        context.output.say(line);
    }
    if !args.join {
        if !context.output.can_ask() {
            return Err(Failure::usage(format!(
                "{} holds a backup that this computer does not know: {}",
                opened.found.place,
                what.join("; ")
            ))
            .hint("if that is the newest you know of, add `--join`"));
        }
        if !crate::secrets::ask_yes("Is that the newest you know of? Join this backup")? {
            return Err(Failure::new(
                Exit::Failed,
                "not joined, and nothing was stored",
            ));
        }
    }
    let Opened { found, reader } = opened;
    let unlocked = reader.keyring();
    let name = device::name(args.how.device_name.as_deref(), &context.settings);
    let (successor, credential) = unlocked.add_device(&mut keys::rng(), now_ms(), &name)?;
    let id = *unlocked.repository().as_bytes();
    let state = context
        .home
        .repository(id, true)?
        .ok_or_else(|| Failure::new(Exit::Failed, "the state folder could not be made"))?;
    let lock = state.lock()?;
    let mut device = Device::enrol(state, credential, &successor.unlocked)?;
    let unlocked = device.publish(&*found.store, successor)?;
    let Found { store, place, .. } = found;
    let reader = Some(std::sync::Arc::new(Reader::new(unlocked)));
    Ok(Ready {
        store,
        place,
        device,
        reader,
        how: Began::Joined,
        _lock: lock,
    })
}

/// What was found: without a witness, only its owner can say whether it is the newest.
pub(crate) fn describe(
    opened: &Opened,
    repository: Option<&Repository>,
) -> Result<Vec<String>, Failure> {
    let keyring = opened.reader.keyring();
    let mut lines = vec![format!(
        "keyring {} of {}, with {} and {}",
        keyring.seen().number,
        words::moment(keyring.made_ms()),
        words::count(count(keyring.slots().len()), "way in", "ways in"),
        words::count(
            count(
                keyring
                    .devices()
                    .iter()
                    .filter(|d| d.revoked_ms.is_none())
                    .count()
            ),
            "device",
            "devices"
        ),
    )];
    let snapshots = repository
        .map(Repository::snapshots)
        .transpose()?
        .unwrap_or_default();
    lines.push(
        match snapshots
            .into_iter()
            .max_by_key(|snapshot| snapshot.confirmed_at)
        {
            None => "no snapshot yet".into(),
            Some(newest) => format!(
                "newest snapshot {} of {} (number {} of lineage {})",
                newest.hash.get(..8).unwrap_or(&newest.hash),
                words::moment(newest.confirmed_at),
                newest.sequence,
                newest.lineage.get(..8).unwrap_or(&newest.lineage),
            ),
        },
    );
    Ok(lines)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
