//! `protect add`, `check`, `remove` and `rotate`: each makes a new keyring; none is replaced.

use heirloom_engine::keyrings;
use heirloom_keys::{ChangeError, LockedKeyring, Method, NewSlot, RecoveryKey, Unlocked};
use rand_core::Rng;
use serde::Serialize;

use super::show::status_words;
use crate::args::manage::{self, Add, Remove, Ways};
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::recovery::{self, Entered};
use crate::repository::{self, Opened};
use crate::{keys, secrets, words};

#[derive(Serialize)]
struct Summary<'a> {
    way: &'a str,
    keyring: u64,
    status: &'static str,
    seconds: f64,
}

/// Adds a recovery key and proves it by a real unlock.
pub(super) fn add(args: &Add, context: &Context) -> Result<Exit, Failure> {
    let manage::Method::RecoveryKey = args.method;
    if args.new_key_file.is_none() && !context.output.can_ask() {
        return Err(Failure::usage(
            "a new recovery key has to be written down, and nobody is here to do it",
        )
        .hint("add `--new-key-file FILE`: the key is written there and nowhere else"));
    }
    let opened = repository::open(&args.ways.store, &args.ways.unlock, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let name = args.name.clone().unwrap_or_else(|| free_name(keyring));
    let mut rng = keys::rng();
    let key = RecoveryKey::generate(&mut rng);
    let entered = if let Some(path) = &args.new_key_file {
        recovery::write_file(&key, path, &opened.found.place)?;
        recovery::from_file(path)?
    } else {
        let word = rng.next_u32().to_le_bytes();
        recovery::show_once(&key, context, [word[0], word[1]])?;
        Entered::new(key)
    };
    let secret = entered.key().into();
    let slot = NewSlot {
        name: &name,
        method: Method::RecoveryKey,
        provider: None,
        secret: &secret,
    };
    let successor = keyring.add_slot(&mut rng, device.act(), slot)?;
    let added = device.publish(&*opened.found.store, successor)?;
    // What lies in the store now has to open with the new key, as on a new computer.
    let stored = newest(&opened)?;
    let with_new_key = repository::unlock_one(&stored, &entered)?;
    if with_new_key.seen() != added.seen() {
        return Err(Failure::new(Exit::Damage, "another computer changed the ways in at the same time")
            .hint("run `heirloom protect rotate STORE` to join the two, then see `heirloom protect status STORE`"));
    }
    let unlocked = device.publish(
        &*opened.found.store,
        with_new_key.record_proof(&mut rng, device.act())?,
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

/// Proves a way in by the unlock that was just made.
pub(super) fn check(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let proven = opened
        .reader
        .keyring()
        .record_proof(&mut keys::rng(), device.act())?;
    let unlocked = device.publish(&*opened.found.store, proven)?;
    let way = unlocked
        .slots()
        .into_iter()
        .find(|slot| Some(slot.id) == unlocked.opened_with());
    let name = way.map(|slot| slot.name).unwrap_or_default();
    tell(
        &format!("\"{}\" opens the backup", words::tame(&name)),
        &name,
        "protect check",
        &unlocked,
        context,
    );
    Ok(Exit::Done)
}

/// Removes a way in or a device; the root changes at once.
pub(super) fn remove(args: &Remove, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.ways.store, &args.ways.unlock, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let slots = keyring.slots();
    let by_number = args
        .way
        .parse::<usize>()
        .ok()
        .and_then(|number| slots.get(number.checked_sub(1)?));
    let slot = by_number.or_else(|| slots.iter().find(|slot| slot.name == args.way));
    let other = keyring
        .devices()
        .into_iter()
        .find(|known| known.revoked_ms.is_none() && known.name == args.way);
    let mut rng = keys::rng();
    let (what, stays) = match (slot, &other) {
        (Some(slot), _) => {
            let rest: Vec<_> = slots
                .iter()
                .filter(|known| known.id != slot.id)
                .map(|known| words::tame(&known.name))
                .collect();
            (
                format!("the way in \"{}\"", words::tame(&slot.name)),
                format!("what opens the backup then: {}", rest.join(", ")),
            )
        }
        (None, Some(known)) => (
            format!("the device \"{}\"", words::tame(&known.name)),
            "it can add nothing from when it has seen this".into(),
        ),
        (None, None) => {
            return Err(Failure::usage(format!(
                "there is no way in and no device called \"{}\"",
                args.way
            ))
            .hint("`heirloom protect status STORE` lists them"));
        }
    };
    if slot.is_some_and(|slot| keyring.opened_with() == Some(slot.id)) && slots.len() > 1 {
        // Whoever removes the way they hold may not hold the one that stays.
        return Err(
            Failure::usage("a way in cannot remove itself").hint("unlock with the one that stays")
        );
    }
    if !args.yes {
        if !context.output.can_ask() {
            return Err(
                Failure::usage("removing is asked for, and nobody is here to ask")
                    .hint("add `--yes`"),
            );
        }
        if !secrets::ask_yes(&format!("Remove {what} ({stays})"))? {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
    }
    let successor = match (slot, other) {
        (Some(slot), _) => keyring.remove_slot(&mut rng, device.act(), &slot.id),
        (None, Some(known)) => keyring.revoke_device(&mut rng, device.act(), &known.id),
        (None, None) => Err(ChangeError::UnknownSlot),
    }?;
    let unlocked = device.publish(&*opened.found.store, successor)?;
    tell(
        &format!("Removed {what}; {stays}"),
        &args.way,
        "protect remove",
        &unlocked,
        context,
    );
    context
        .output
        .hint("what it opened before it still opens in copies of the store made before now");
    Ok(Exit::Done)
}

/// Changes the root key; joins two keyrings where two computers made one at once.
pub(super) fn rotate(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let mut found = repository::find(&args.store, context)?;
    let entered = recovery::enter(&args.unlock, context)?;
    let twin = found.twin.take();
    let opened = found.open(&entered, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let mut rng = keys::rng();
    let successor = match &twin {
        None => keyring.rotate(&mut rng, device.act())?,
        Some(twin) => {
            let other = repository::unlock_one(twin, &entered)?;
            keyring.merge_fork(&other, &mut rng, device.act())?
        }
    };
    let unlocked = device.publish(&*opened.found.store, successor)?;
    let words = if twin.is_some() {
        "The two keyrings were joined, and the root key was changed"
    } else {
        "The root key was changed"
    };
    tell(words, "", "protect rotate", &unlocked, context);
    context
        .output
        .hint("this protects what is stored from now on; what was stored before stays as it is");
    Ok(Exit::Done)
}

fn tell(sentence: &str, way: &str, command: &'static str, unlocked: &Unlocked, context: &Context) {
    let (word, status) = status_words(unlocked.status(now_ms()));
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

/// "Recovery key", "Recovery key 2", ….
fn free_name(keyring: &Unlocked) -> String {
    let taken: Vec<String> = keyring.slots().into_iter().map(|slot| slot.name).collect();
    let mut name = "Recovery key".to_owned();
    let mut number = 2;
    while taken.contains(&name) {
        name = format!("Recovery key {number}");
        number += 1;
    }
    name
}

/// The newest keyring as it lies in the store.
fn newest(opened: &Opened) -> Result<LockedKeyring, Failure> {
    let store = &*opened.found.store;
    let name = keyrings::list(store)?
        .pop()
        .ok_or_else(|| repository::no_backup(&opened.found.place))?;
    Ok(LockedKeyring::parse(&keyrings::load(store, &name.name)?)?)
}
