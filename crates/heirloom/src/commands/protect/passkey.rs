//! A new passkey: made, asked twice, added, and proven by opening what lies in the store then.

use heirloom_ceremony::{CeremonyError, Known, LOCALHOST, Purpose, Registered};
use heirloom_engine::store::Store;
use heirloom_keys::{HighEntropySecret, Method, NewSlot, Passkey, Provider, SlotInfo, Unlocked};

use super::add::{free_name, prove};

pub(crate) use super::add::newest;

use crate::browser::{self, Page};
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::unlock::offers::known;
use crate::{keys, unlock, words};

/// Said before the browser asks where to save it.
pub(crate) const BEFORE: &str = "Next, your browser asks where to save the passkey. Choose the password manager that you use every day.\nThen it asks for the passkey three times: twice to see that it always answers alike, once to open your backup with it.";

/// Where the backup lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// As a store.
    pub(crate) store: &'a dyn Store,
    /// In words.
    pub(crate) address: &'a str,
}

/// A passkey that was added and proven.
#[derive(Debug)]
pub(crate) struct Enrolled {
    /// The keyring that knows it as proven.
    pub(crate) unlocked: Unlocked,
    /// What it is called.
    pub(crate) name: String,
    provider: Provider,
    provider_name: Option<&'static str>,
    rp_id: String,
}

impl Enrolled {
    /// "Passkey saved in …".
    pub(crate) fn saved(&self) -> String {
        match self.provider_name {
            Some(provider) => format!("Passkey saved in {provider}"),
            None => "Passkey saved".into(),
        }
    }

    /// What its owner should know of it, in one line.
    pub(crate) fn warning(&self) -> Option<String> {
        let is_only = self.unlocked.slots().len() < 2;
        warning(&self.rp_id, self.provider, is_only)
    }
}

fn warning(rp_id: &str, provider: Provider, is_only: bool) -> Option<String> {
    let mut parts = Vec::new();
    if rp_id == LOCALHOST {
        parts.push("this passkey works in browsers on computers, not on a phone");
    }
    if !provider.backup_eligible {
        parts.push("it is only on this device, and gone with it");
    } else if !provider.backup_state {
        parts.push("it is not synced to your other devices yet");
    }
    if is_only {
        parts.push("it is the only way into this backup: if it is deleted, nobody can open the backup, not even you");
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Makes a passkey where the backup has none, adds it, and opens the stored keyring with it.
///
/// Nothing is added unless two authentications agreed. A third one that disagrees takes it out again.
pub(crate) fn enrol(
    page: &mut Page,
    place: &Place<'_>,
    keyring: &Unlocked,
    device: &mut Device,
    name: Option<&str>,
    context: &Context,
) -> Result<Enrolled, Failure> {
    let slots = keyring.slots();
    let display_name = format!("Chat backup in {}", words::tame(place.address));
    let Registered {
        passkey,
        provider,
        prf,
        provider_name,
        public_key: _,
    } = page
        .register(&enrolled_already(&slots), &display_name)
        .map_err(browser::failure)?;
    let secret = HighEntropySecret::try_from(prf)
        .map_err(|_| browser::failure(CeremonyError::UnusablePasskey))?;
    let name = name.map_or_else(
        || free_name(keyring, provider_name.unwrap_or("Passkey")),
        str::to_owned,
    );
    let rp_id = passkey.rp_id.clone();
    let slot = NewSlot {
        name: &name,
        method: Method::Passkey(passkey.clone()),
        provider: Some(provider),
        secret: &secret,
    };
    let mut rng = keys::rng();
    let added = keyring.add_slot(&mut rng, device.act(), slot)?;
    drop(secret);
    let added = device.publish(place.store, added)?;
    let unlocked = try_it(page, place, &passkey, &added, device, context)?;
    Ok(Enrolled {
        unlocked,
        name,
        provider,
        provider_name,
        rp_id,
    })
}

/// The real unlock: what lies in the store, opened by the passkey alone.
fn try_it(
    page: &mut Page,
    place: &Place<'_>,
    passkey: &Passkey,
    added: &Unlocked,
    device: &mut Device,
    context: &Context,
) -> Result<Unlocked, Failure> {
    context
        .output
        .say("Now the passkey opens your backup: confirm once more");
    let stored = newest(place.store, place.address)?;
    let entered = unlock::answer(page, std::slice::from_ref(passkey), Purpose::Confirm)
        .map_err(|error| not_tried(&browser::failure(error)))?;
    match prove(&stored, &entered, added, place.store, device) {
        Err(failure) if failure.exit == Exit::WrongKey => {
            Err(take_out(place, passkey, added, device))
        }
        proven => proven,
    }
}

/// It was added, and the person did not go on: it counts for nothing until it was tried.
fn not_tried(why: &Failure) -> Failure {
    let mut failure = Failure::new(
        Exit::NeedsUnlock,
        "the passkey was added and not tried, so it does not count yet",
    )
    .hint("try it: `heirloom protect check STORE --passkey`; or take it out: `heirloom protect remove`");
    failure.causes.push(why.message.clone());
    failure
}

/// It gave the same answer twice and another one now: no way in.
fn take_out(
    place: &Place<'_>,
    passkey: &Passkey,
    added: &Unlocked,
    device: &mut Device,
) -> Failure {
    let slot = added.slots().into_iter().find(|slot| {
        matches!(&slot.method, Method::Passkey(known) if known.credential_id == passkey.credential_id)
    });
    let removed = slot.map(|slot| {
        let removed = added.remove_slot(&mut keys::rng(), device.act(), &slot.id)?;
        device.publish(place.store, removed)
    });
    let failure = browser::failure(CeremonyError::FaultyProvider);
    match removed {
        Some(Err(error)) => {
            let mut failure = failure.hint(
                "take it out: `heirloom protect remove STORE WAY`; then try a different password manager, a phone, or a security key",
            );
            failure.causes.push(error.message);
            failure
        }
        Some(Ok(_)) | None => failure,
    }
}

/// The passkeys that the backup has, so that none is made beside them in the same place.
fn enrolled_already(slots: &[SlotInfo]) -> Vec<Known> {
    slots
        .iter()
        .filter_map(|slot| match &slot.method {
            Method::Passkey(passkey) => Some(known(passkey, Some(words::tame(&slot.name)))),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(backup_eligible: bool, backup_state: bool) -> Provider {
        Provider {
            aaguid: [1; 16],
            backup_eligible,
            backup_state,
        }
    }

    #[test]
    fn a_synced_passkey_of_a_real_site_needs_no_warning() {
        assert_eq!(warning("example.org", provider(true, true), false), None);
    }

    #[test]
    fn each_caveat_is_said_in_one_line() {
        assert_eq!(
            warning(LOCALHOST, provider(false, false), true).unwrap(),
            "this passkey works in browsers on computers, not on a phone; it is only on this device, and gone with it; it is the only way into this backup: if it is deleted, nobody can open the backup, not even you"
        );
        assert_eq!(
            warning(LOCALHOST, provider(true, false), false).unwrap(),
            "this passkey works in browsers on computers, not on a phone; it is not synced to your other devices yet"
        );
        assert!(
            !warning(LOCALHOST, provider(true, true), true)
                .unwrap()
                .contains('\n')
        );
    }
}
