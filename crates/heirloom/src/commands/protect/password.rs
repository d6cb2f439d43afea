//! `protect add password`: registered, proven by a login, stored in a keyring, put in force; in this order, so that it
//! can be stopped anywhere and run again.

use heirloom_ceremony::Purpose;
use heirloom_keys::{Method, NewSlot, Unlocked};

use super::add::{free_name, newest, prove, refuse_ending};
use super::change::checked_name;
use super::tell;
use crate::args::manage::Add;
use crate::args::shared::Unlock;
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::password::{self, Begun, Guarded};
use crate::repository::{self, Opened};
use crate::server::{Account, Address};
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
    let name = match &args.name {
        Some(name) => checked_name(&keyring.slots(), name, None)?,
        None => free_name(keyring, "Password"),
    };
    let password = password::enter_new(file, context)?;
    context
        .output
        .say(&format!("Setting the password up with {}…", server.origin));
    let begun = password::register(&server, &account, keyring, &password)?;
    drop(password);
    let unlocked = store(&begun, &name, keyring, &opened, &mut device)?;
    finish(&begun, &name, &unlocked, context)
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
        .hint("to have another one, remove it first: `heirloom protect remove STORE WAY`")
    };
    let guarded = guarded.filter(|guarded| guarded.address.origin == account.server);
    let guarded = guarded.ok_or_else(there_is_one)?;
    let file = args.ways.unlock.password_file.as_deref();
    if !Begun::is_left_behind(&guarded, account)? {
        return Err(there_is_one());
    }
    let password = password::file_or_ask(file, context)?;
    let begun = Begun::go_on(guarded, account, &password)?;
    drop(password);
    let keyring = opened.reader.keyring();
    let entered = Entered::Password(begun.secret()?);
    let stored = newest(&*opened.found.store, &opened.found.place)?;
    let unlocked = prove(&stored, &entered, keyring, &*opened.found.store, device)?;
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
    let stored = newest(store, &opened.found.place)?;
    prove(
        &stored,
        &Entered::Password(begun.secret()?),
        &added,
        store,
        device,
    )
}

/// The last step: from now on it opens on any computer.
fn finish(
    begun: &Begun,
    name: &str,
    unlocked: &Unlocked,
    context: &Context,
) -> Result<Exit, Failure> {
    begun.activate(unlocked).map_err(|failure| {
        failure.hint("run the same command again: it goes on where it stopped")
    })?;
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
