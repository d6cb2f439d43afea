//! `approve`: lets a new computer into the account, after both showed the same words, and into the backup where its owner
//! says so.

use heirloom_ceremony::Purpose;
use heirloom_keys::{Admission, LockedKeyring, Method, Unlocked};
use serde::Serialize;

use super::protect::{free_name, newest};
use crate::args::server::Approve;
use crate::context::Context;
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::repository::{self, Found};
use crate::secrets;
use crate::server::approval::{self, Backup, Letting};
use crate::server::{Account, Address, Client};
use crate::unlock::{self, Entered};
use crate::{keys, words};

/// A way in is called by a name of at most so many characters.
const NAME_CHARS: usize = 48;

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    /// What the new computer is called in the backup, where it was let into it.
    way: Option<&'a str>,
    keyring: Option<u64>,
    seconds: f64,
}

/// Compares words, then seals an invitation to the new computer; takes it into the backup's keyring where that is wanted.
pub(crate) fn run(args: &Approve, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let account = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&account.token));
    let code = match &args.code {
        Some(code) => code.clone(),
        None if context.output.can_ask() => {
            secrets::ask_line("The code that the new computer shows: ")?
        }
        None => {
            return Err(
                Failure::usage("which computer is to be let in? No code was given")
                    .hint("add `--code CODE`: the new computer shows it"),
            );
        }
    };
    // All that can be refused is, before a person compares words.
    let opening = Opening::wanted(args, &address, context)?;
    let letting = Letting {
        identity: account.identity,
        backup: opening.as_ref().map(|opening| opening.told.clone()),
    };
    let asked = approval::let_in(&client, letting, code.trim(), context)?;
    let output = &context.output;
    let let_in = match (&opening, asked) {
        (Some(opening), Some(asked)) => {
            Some(opening.admit(&asked.name, &asked.admission, context)?)
        }
        _ => None,
    };
    if let Some((name, _)) = &let_in {
        output.line(&format!(
            "The new computer was let into your account, and opens the backup as \"{}\"",
            words::tame(name)
        ));
        output.say(&format!(
                "To take that away: `heirloom protect remove {} '{}'`, and `heirloom devices {}` signs it out",
                address.place(),
                words::tame(name),
                address.origin
            ));
    } else {
        output.line("The new computer was let into your account. It opens no backup by that");
        output.say(&format!("`heirloom devices {}` lists it", address.origin));
    }
    output.event(&events::summary(
        "approve",
        Summary {
            server: &address.origin,
            way: let_in.as_ref().map(|(name, _)| name.as_str()),
            keyring: let_in.as_ref().map(|(_, keyring)| keyring.seen().number),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

/// A backup that was unlocked here, to let a computer into it.
struct Opening {
    place: String,
    entered: Entered,
    told: Backup,
}

impl Opening {
    /// Asks whether the new computer is to open the backup, and unlocks it where it is.
    fn wanted(
        args: &Approve,
        address: &Address,
        context: &Context,
    ) -> Result<Option<Self>, Failure> {
        if args.sign_in_only || !(args.open_backup || context.output.can_ask()) {
            return Ok(None);
        }
        let place = address.place();
        let Some(found) = repository::look(&place, context)? else {
            return if args.open_backup {
                Err(repository::no_backup(&place))
            } else {
                Ok(None)
            };
        };
        if !args.open_backup {
            let question = format!(
                "Also let it open the backup in {place}? It can then read every chat, until you remove it. Let it"
            );
            if !secrets::ask_yes(&question)? {
                return Ok(None);
            }
        }
        Self::unlock(&found, args, address, context).map(Some)
    }

    fn unlock(
        found: &Found,
        args: &Approve,
        address: &Address,
        context: &Context,
    ) -> Result<Self, Failure> {
        let place = found.place.clone();
        this_device(found)?;
        let key = unlock::unlock(found, &args.unlock, Purpose::Add, context)?;
        let (unlocked, entered) = key.done();
        refuse_ending(&unlocked)?;
        let told = Backup::of(&unlocked, found, address)?;
        Ok(Self {
            place,
            entered,
            told,
        })
    }

    /// Opens the newest keyring once more, and adds the new computer to it. Ended before the keyring is stored, nothing has
    /// changed; ended afterwards, all is done.
    fn admit(
        &self,
        name: &str,
        admission: &Admission,
        context: &Context,
    ) -> Result<(String, Unlocked), Failure> {
        let found = repository::find(&self.place, context)?;
        if found.twin.is_some() {
            return Err(changed_meanwhile());
        }
        let store = &*found.store;
        let mut device = this_device(&found)?;
        let _lock = device.state.lock()?;
        let mut unlocked = self.entered.open_newest(&found)?;
        refuse_ending(&unlocked)?;
        device.follow(&unlocked)?;
        let mut rng = keys::rng();
        // It asks again: what it kept for itself before is of no use to it any more.
        let own = Method::Device(admission.device());
        let before = unlocked.slots().into_iter().find(|slot| slot.method == own);
        if let Some(slot) = before {
            let successor = unlocked.remove_slot(&mut rng, device.act(), &slot.id)?;
            unlocked = device.publish(store, successor)?;
        }
        let name: String = words::tame(name).trim().chars().take(NAME_CHARS).collect();
        let name = free_name(&unlocked, if name.is_empty() { "Computer" } else { &name });
        let successor = unlocked.admit(&mut rng, device.act(), &name, admission)?;
        let unlocked = device.publish(store, successor)?;
        let stored: LockedKeyring = newest(store, &self.place)?;
        if stored.hash() != unlocked.seen().hash {
            return Err(changed_meanwhile());
        }
        Ok((name, unlocked))
    }
}

/// This computer as a device that may change the keyring.
fn this_device(found: &Found) -> Result<Device, Failure> {
    let device = found
        .state
        .as_ref()
        .map(Device::load)
        .transpose()?
        .flatten();
    device.ok_or_else(|| {
        Failure::new(
            Exit::NeedsUnlock,
            "this computer is no device of the backup, and only a device lets another one in",
        )
        .hint("join it first: `heirloom backup SOURCE --to STORE --recovery-key-file FILE --join`; or let the new computer sign in alone: `--sign-in-only`")
    })
}

fn refuse_ending(unlocked: &Unlocked) -> Result<(), Failure> {
    unlocked
        .removal_due_ms()
        .map_or(Ok(()), |due| Err(device::ending(due)))
}

fn changed_meanwhile() -> Failure {
    Failure::new(Exit::Damage, "another computer changed the ways in at the same time")
        .hint("run `heirloom protect rotate STORE` to join the two, then see `heirloom protect status STORE`")
}
