//! `protect add password` and `change password`: registered, proven by a login, stored in a keyring, put in force; in this
//! order, so that it can be stopped anywhere and run again. While a password is changed, one of the two always opens.

use heirloom_ceremony::Purpose;
use heirloom_keys::{Method, NewSlot, SlotInfo, Unlocked};

use super::add::{free_name, newest, prove, refuse_ending};
use super::change::checked_name;
use super::tell;
use crate::args::manage::{Add, Change};
use crate::args::shared::Unlock;
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::password::{self, Begun, Guarded, Stands};
use crate::repository::{self, Opened};
use crate::server::{Account, Address, refuse_what_is_not_offered};
use crate::unlock::Entered;
use crate::words;

/// Adds a password, or ends what an earlier run began.
pub(super) fn add(args: &Add, context: &Context) -> Result<Exit, Failure> {
    if args.new_key_file.is_some() {
        return Err(
            Failure::usage("a password is kept in your head, not in a key file")
                .hint("leave `--new-key-file` out"),
        );
    }
    let server = server(args)?;
    let account = Account::needed(&server, context)?;
    // The file holds the new password: it opens nothing yet.
    let unlock = Unlock {
        password_file: None,
        ..args.ways.unlock.clone()
    };
    let opened = repository::open_for(&args.ways.store, &unlock, Purpose::Add, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    refuse_ending(keyring)?;
    let file = args.ways.unlock.password_file.as_deref();
    if let Some((name, guarded)) = present(keyring) {
        return go_on(
            &name,
            guarded,
            (&account, &mut device),
            &opened,
            args,
            context,
        );
    }
    refuse_what_is_not_offered("password", &server, &account, context)?;
    let name = match &args.name {
        Some(name) => checked_name(&keyring.slots(), name, None)?,
        None => free_name(keyring, "Password"),
    };
    let password = password::enter_new(file, context)?;
    context
        .output
        .say(&format!("Setting the password up with {}…", server.origin));
    let begun = password::register(&server, &account, keyring, &password, None)?;
    drop(password);
    let unlocked = store(&begun, &name, keyring, &opened, &mut device)?;
    finish(&begun, &name, &unlocked, context)
}

/// Changes the password. Unlocked with any way in. Where an earlier change was cut off, the password that is given now takes
/// the place of both: none of the two is looked at, so no guess is spent.
pub(super) fn change(args: &Change, context: &Context) -> Result<Exit, Failure> {
    let file = args.new_password_file.as_deref();
    let opened = repository::open_for(&args.ways.store, &args.ways.unlock, Purpose::Add, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    refuse_ending(keyring)?;
    let versions = which(keyring, &args.ways.unlock, context)?;
    let Some(newest) = versions.last() else {
        return Err(Failure::usage("there is no password to change")
            .hint("`heirloom protect add password STORE` adds one"));
    };
    let account = Account::needed(&newest.address, context)?;
    let in_force = password::version_in_force(newest, &account)?;
    if in_force.is_some_and(|version| versions.iter().all(|known| known.version != version)) {
        return Err(password::gone());
    }
    if versions.len() > 1 {
        context
            .output
            .say("An earlier change was cut off: the password that you give now takes its place");
    } else {
        password::refuse_same(args.ways.unlock.password_file.as_deref(), file)?;
    }
    let password = password::enter_new(file, context)?;
    // Before the first one is in force there is no owner to change.
    if in_force.is_some() {
        password::change_owner(newest, keyring, context)?;
    }
    let record = Some(newest.pinned.record);
    let begun = password::register(&newest.address, &account, keyring, &password, record)?;
    drop(password);
    let name = free_name(keyring, "Password");
    let unlocked = store(&begun, &name, keyring, &opened, &mut device)?;
    begun.activate(&unlocked).map_err(again)?;
    // The new one opens everywhere by now: the slots of the others go, and the root key with them.
    let old: Vec<_> = passwords(&unlocked)
        .into_iter()
        .filter(|(_, _, known)| {
            known.is_version_of(&begun.guarded) && known.version != begun.guarded.version
        })
        .map(|(_, slot, _)| slot)
        .collect();
    let unlocked = drop_slots(&old, unlocked, &opened, &mut device).map_err(again)?;
    password::follow_rotation(&unlocked, context);
    tell(
        &format!(
            "The password was changed: \"{}\" opens the backup",
            words::tame(&name)
        ),
        &name,
        "protect change",
        &unlocked,
        context,
    );
    Ok(Exit::Done)
}

/// The versions of the password that is meant: the one that is named by its number, else the one that unlocked, else the
/// only one, else the one that a person chooses.
fn which(keyring: &Unlocked, unlock: &Unlock, context: &Context) -> Result<Vec<Guarded>, Failure> {
    let all = passwords(keyring);
    let opened_with = all
        .iter()
        .find(|(_, slot, _)| Some(slot.id) == keyring.opened_with())
        .map(|(number, _, _)| *number);
    let slots: Vec<_> = all
        .into_iter()
        .map(|(number, _, guarded)| (number, guarded))
        .collect();
    password::one_of(&slots, unlock.password_number.or(opened_with), context)
}

fn again(failure: Failure) -> Failure {
    failure.hint("run the same command again: it goes on where it stopped")
}

/// Removes what the new password replaced.
fn drop_slots(
    old: &[SlotInfo],
    keyring: Unlocked,
    opened: &Opened,
    device: &mut Device,
) -> Result<Unlocked, Failure> {
    let mut current = keyring;
    for slot in old {
        let next = current.remove_slot(&mut keys::rng(), device.act(), &slot.id)?;
        current = device.publish(&*opened.found.store, next)?;
    }
    Ok(current)
}

/// The passwords of a keyring, with their numbers in `protect status`.
fn passwords(keyring: &Unlocked) -> Vec<(usize, SlotInfo, Guarded)> {
    keyring
        .slots()
        .into_iter()
        .enumerate()
        .filter_map(|(at, slot)| match &slot.method {
            Method::Password(password) => {
                Guarded::of(password).map(|guarded| (at + 1, slot, guarded))
            }
            _ => None,
        })
        .collect()
}

/// The server that counts: as it was named, else the store's own.
fn server(args: &Add) -> Result<Address, Failure> {
    let named = match &args.server {
        Some(server) => server,
        None if Address::is_one(&args.ways.store) => &args.ways.store,
        None => {
            return Err(Failure::usage(
                "a password needs a server that counts wrong ones, and this store is a folder",
            )
            .hint("add `--server URL` of one that you are signed in to (`heirloom login`); to try it out: `heirloom serve`"));
        }
    };
    let address = Address::parse(named)?;
    Ok(Address {
        prefix: String::new(),
        ..address
    })
}

/// The password that a keyring has already.
fn present(keyring: &Unlocked) -> Option<(String, Option<Guarded>)> {
    keyring
        .slots()
        .into_iter()
        .find_map(|slot| match &slot.method {
            Method::Password(password) => Some((slot.name, Guarded::of(password))),
            _ => None,
        })
}

/// A run before this one may have been stopped between the keyring and the last step at the server.
fn go_on(
    name: &str,
    guarded: Option<Guarded>,
    (account, device): (&Account, &mut Device),
    opened: &Opened,
    args: &Add,
    context: &Context,
) -> Result<Exit, Failure> {
    let there_is_one = || {
        Failure::usage(format!(
            "there is a password already: \"{}\"",
            words::tame(name)
        ))
        .hint("to have another one: `heirloom protect change password STORE`")
    };
    let guarded = guarded.filter(|guarded| guarded.address.origin == account.server);
    let guarded = guarded.ok_or_else(there_is_one)?;
    let file = args.ways.unlock.password_file.as_deref();
    if Begun::stands(&guarded, account)? != Stands::Pending {
        return Err(there_is_one());
    }
    let password = password::file_or_ask(file, context)?;
    let begun = Begun::go_on(guarded, account, &password)?;
    drop(password);
    let unlocked = open_stored(&begun, opened.reader.keyring(), opened, device)?;
    finish(&begun, name, &unlocked, context)
}

/// Puts the slot into the keyring and opens what was stored with it, as on a new computer.
fn store(
    begun: &Begun,
    name: &str,
    keyring: &Unlocked,
    opened: &Opened,
    device: &mut Device,
) -> Result<Unlocked, Failure> {
    let store = &*opened.found.store;
    let secret = begun.entropy()?;
    let slot = NewSlot {
        name,
        method: Method::Password(begun.guarded.slot.clone()),
        provider: None,
        secret: &secret,
    };
    let added = keyring.add_slot(&mut keys::rng(), device.act(), slot)?;
    let added = device.publish(store, added)?;
    open_stored(begun, &added, opened, device)
}

/// Opens what lies in the store with the new password, as on a new computer, and records that it opened.
fn open_stored(
    begun: &Begun,
    added: &Unlocked,
    opened: &Opened,
    device: &mut Device,
) -> Result<Unlocked, Failure> {
    let store = &*opened.found.store;
    let stored = newest(store, &opened.found.place)?;
    let entered = Entered::Password(begun.secret()?);
    prove(&stored, &entered, added, store, device)
}

/// The last step: from now on it opens on any computer.
fn finish(
    begun: &Begun,
    name: &str,
    unlocked: &Unlocked,
    context: &Context,
) -> Result<Exit, Failure> {
    begun.activate(unlocked).map_err(again)?;
    tell(
        &format!("\"{}\" was added, and opens the backup", words::tame(name)),
        name,
        "protect add",
        unlocked,
        context,
    );
    context.output.say(&format!(
        "{} counts wrong passwords: after ten in a row the password is gone for good, and the other ways in stay",
        begun.guarded.address.origin
    ));
    super::show::next_step(unlocked, crate::context::now_ms(), context);
    Ok(Exit::Done)
}
