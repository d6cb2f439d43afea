//! `protect add`: another way in, proven by a real unlock of what lies in the store.

use heirloom_ceremony::{LOCALHOST, Purpose, Site};
use heirloom_engine::keyrings;
use heirloom_engine::store::Store;
use heirloom_keys::{LockedKeyring, Method, NewSlot, RecoveryKey, Unlocked};
use rand_core::Rng;

use super::change::checked_name;
use super::tell;
use super::{passkey, password};
use crate::args::manage::{self, Add};
use crate::browser::Page;
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::recovery::{self, EnteredKey};
use crate::repository;
use crate::server::{Account, Address, ceremony, refuse_what_is_not_offered};
use crate::unlock::{self, Entered};
use crate::{keys, words};

/// Adds a way in.
pub(super) fn add(args: &Add, context: &Context) -> Result<Exit, Failure> {
    match args.method {
        manage::Method::RecoveryKey => add_recovery_key(args, context),
        manage::Method::Passkey => add_passkey(args, context),
        manage::Method::Password => password::add(args, context),
    }
}

fn add_recovery_key(args: &Add, context: &Context) -> Result<Exit, Failure> {
    if args.new_key_file.is_none() && !context.output.can_ask() {
        return Err(Failure::usage(
            "a new recovery key has to be written down, and nobody is here to do it",
        )
        .hint("add `--new-key-file FILE`: the key is written there and nowhere else"));
    }
    ask_server("recovery-key", args, context)?;
    let opened = repository::open_for(&args.ways.store, &args.ways.unlock, Purpose::Add, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    refuse_ending(keyring)?;
    let name = match &args.name {
        Some(name) => checked_name(&keyring.slots(), name, None)?,
        None => free_name(keyring, "Recovery key"),
    };
    let mut rng = keys::rng();
    let key = RecoveryKey::generate(&mut rng);
    let entered = if let Some(path) = &args.new_key_file {
        recovery::write_file(&key, path, &opened.found.place)?;
        recovery::from_file(path)?
    } else {
        let word = rng.next_u32().to_le_bytes();
        recovery::show_once(&key, context, [word[0], word[1]])?;
        EnteredKey::new(key)
    };
    let secret = entered.key().into();
    let slot = NewSlot {
        name: &name,
        method: Method::RecoveryKey,
        provider: None,
        secret: &secret,
    };
    let store = &*opened.found.store;
    let added = device.publish(store, keyring.add_slot(&mut rng, device.act(), slot)?)?;
    // What lies in the store now has to open with the new key, as on a new computer.
    let stored = newest(store, &opened.found.place)?;
    let unlocked = prove(
        &stored,
        &Entered::RecoveryKey(entered),
        &added,
        store,
        &mut device,
    )?;
    if let Some(path) = &args.new_key_file {
        context.output.say(&format!(
            "The new key is in {}: move it away from this computer",
            path.display()
        ));
    }
    tell(
        &format!("\"{}\" was added, and opens the backup", words::tame(&name)),
        &name,
        "protect add",
        &unlocked,
        context,
    );
    Ok(Exit::Done)
}

fn add_passkey(args: &Add, context: &Context) -> Result<Exit, Failure> {
    if args.new_key_file.is_some() {
        return Err(
            Failure::usage("a passkey is kept by your password manager, not in a file")
                .hint("leave `--new-key-file` out"),
        );
    }
    ask_server("passkey", args, context)?;
    let found = repository::find(&args.ways.store, context)?;
    let site = ceremony::site(&found.place, args.ways.unlock.via, context)?;
    let rp_id = site.as_ref().map_or(LOCALHOST, Site::rp_id);
    let (unlocked, page) =
        unlock::unlock(&found, &args.ways.unlock, Purpose::Add, context)?.keep_page();
    let opened = found.opened(unlocked);
    // All that can be refused is, before a passkey is made that nobody uses.
    let ready = super::device(&opened).and_then(|ready| {
        let keyring = opened.reader.keyring();
        refuse_ending(keyring)?;
        let name = args.name.as_deref();
        let name = name.map(|name| checked_name(&keyring.slots(), name, None));
        Ok((ready, name.transpose()?))
    });
    let ((mut device, _lock), name) = match ready {
        Ok(ready) => ready,
        Err(failure) => {
            if let Some(page) = page {
                page.end_badly(&failure);
            }
            return Err(failure);
        }
    };
    // A new passkey is for the server's domain, where the old one may be for a page of this computer.
    let page = match page {
        Some(page) if page.rp_id() != rp_id => {
            page.end_well(
                "Your backup is unlocked",
                "Go back to the terminal: the new passkey is saved on another page.",
            );
            None
        }
        page => page,
    };
    context.output.say(passkey::BEFORE);
    let mut page = match page {
        Some(page) => page,
        None => Page::open(
            &opened.found.newest,
            &opened.found.place,
            site.as_ref(),
            &args.ways.unlock,
            context,
        )?,
    };
    let place = passkey::Place {
        store: &*opened.found.store,
        address: &opened.found.place,
    };
    let enrolled = passkey::enrol(
        &mut page,
        &place,
        opened.reader.keyring(),
        &mut device,
        name.as_deref(),
        context,
    );
    let enrolled = match enrolled {
        Ok(enrolled) => enrolled,
        Err(failure) => {
            page.end_badly(&failure);
            return Err(failure);
        }
    };
    page.end_well(
        &enrolled.saved(),
        "We tested it: it opens your backup. Go back to the terminal. You can close this page.",
    );
    context.output.say(&format!(
        "{}. It was tested: it opens your backup",
        enrolled.saved()
    ));
    if let Some(warning) = enrolled.warning() {
        context.output.warn(&warning);
    }
    tell(
        &format!(
            "\"{}\" was added, and opens the backup",
            words::tame(&enrolled.name)
        ),
        &enrolled.name,
        "protect add",
        &enrolled.unlocked,
        context,
    );
    super::show::next_step(&enrolled.unlocked, crate::context::now_ms(), context);
    Ok(Exit::Done)
}

/// Where the backup lies on a server, that server says what it offers to add.
fn ask_server(feature: &str, args: &Add, context: &Context) -> Result<(), Failure> {
    if !Address::is_one(&args.ways.store) {
        return Ok(());
    }
    let address = Address::parse(&args.ways.store)?;
    let account = Account::needed(&address, context)?;
    refuse_what_is_not_offered(feature, &address, &account, context)
}

/// Nothing is added to a backup that is to be removed.
pub(super) fn refuse_ending(keyring: &Unlocked) -> Result<(), Failure> {
    match keyring.removal_due_ms() {
        Some(due) => Err(crate::device::ending(due)),
        None => Ok(()),
    }
}

/// Opens the stored keyring by the new way in, as on a new computer, and records that it opened.
pub(super) fn prove(
    stored: &LockedKeyring,
    entered: &Entered,
    added: &Unlocked,
    store: &dyn Store,
    device: &mut Device,
) -> Result<Unlocked, Failure> {
    let unlocked = entered.open(stored)?;
    if unlocked.seen() != added.seen() {
        return Err(Failure::new(Exit::Damage, "another computer changed the ways in at the same time")
            .hint("run `heirloom protect rotate STORE` to join the two, then see `heirloom protect status STORE`"));
    }
    let proven = unlocked.record_proof(&mut keys::rng(), device.act())?;
    device.publish(store, proven)
}

/// "Recovery key", "Recovery key 2", ….
pub(crate) fn free_name(keyring: &Unlocked, wish: &str) -> String {
    let taken: Vec<String> = keyring.slots().into_iter().map(|slot| slot.name).collect();
    let mut name = wish.to_owned();
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("{wish} {number}");
        number += 1;
    }
    name
}

/// The newest keyring as it lies in the store.
pub(crate) fn newest(store: &dyn Store, place: &str) -> Result<LockedKeyring, Failure> {
    let name = keyrings::list(store)?
        .pop()
        .ok_or_else(|| repository::no_backup(place))?;
    Ok(LockedKeyring::parse(&keyrings::load(store, &name.name)?)?)
}
