//! Who owns a password's record at a vault: whoever can open the backup, shown by a key of the newest root.

use heirloom_keys::{Method, SlotInfo, Unlocked};
use heirloom_vault_api::{ChangeOwner, Code, Forget, OwnerAct, OwnerKey, Pinned};
use serde::de::IgnoredAny;

use super::Guarded;
use crate::context::Context;
use crate::failure::Failure;
use crate::server::{Account, CallError, Client};

/// The owner's keys, the newest epoch's first.
pub(super) fn owners(keyring: &Unlocked) -> Vec<OwnerKey> {
    keyring
        .vault_owner_seeds()
        .into_iter()
        .map(OwnerKey::new)
        .collect()
}

/// Acts as the owner that the vault knows: the newest, or one before it when a rotation did not reach the vault.
pub(super) fn as_owner(
    keyring: &Unlocked,
    act: impl Fn(&OwnerKey) -> Result<(), CallError>,
) -> Result<(), CallError> {
    let mut last = Ok(());
    for owner in owners(keyring) {
        last = act(&owner);
        if !last
            .as_ref()
            .is_err_and(|error| error.code() == Some(Code::OwnerProofNeeded))
        {
            break;
        }
    }
    last
}

/// Tells the vaults of all passwords who owns their records after a rotation.
///
/// Until a vault has heard it, whoever was removed and kept an old root could replace the password's record there, and
/// still open nothing: so what fails is said, and stops nothing.
pub(crate) fn follow_rotation(keyring: &Unlocked, context: &Context) {
    for slot in keyring.slots() {
        let Method::Password(slot) = &slot.method else {
            continue;
        };
        let Some(guarded) = Guarded::of(slot) else {
            continue;
        };
        if let Err(failure) = change_owner(&guarded, keyring, context) {
            context.output.warn(&format!(
                "{} could not be told of the new root key: {}; run `heirloom protect rotate STORE` again later",
                guarded.address.origin, failure.message
            ));
        }
    }
}

/// Tells one vault; no harm is done where it knows already.
pub(crate) fn change_owner(
    guarded: &Guarded,
    keyring: &Unlocked,
    context: &Context,
) -> Result<(), Failure> {
    let account = Account::needed(&guarded.address, context)?;
    let client = Client::new(&guarded.address, Some(&account.token));
    let Pinned {
        record, identity, ..
    } = &guarded.pinned;
    let Some(next) = owners(keyring).into_iter().next() else {
        return Ok(());
    };
    let next_owner = next.public().to_bytes();
    let told = as_owner(keyring, |owner| {
        let act = OwnerAct::ChangeOwner {
            owner: &owner.public().to_bytes(),
            next_owner: &next_owner,
        };
        let request = ChangeOwner {
            record: *record,
            next_owner,
            signature: owner.sign(identity, record, &act),
        };
        client
            .post_once::<_, IgnoredAny>("/v1/records/owner", &request)
            .map(drop)
    });
    told.map_err(|error| error.failure(client.origin()))
}

/// Has a password's vault destroy its record, before its slot goes: what it opened it opens no more, in no copy either.
///
/// Nothing is done for other ways in, and where another slot still needs the record: a change that was cut off leaves two.
pub(crate) fn forget(
    slot: &SlotInfo,
    keyring: &Unlocked,
    context: &Context,
) -> Result<(), Failure> {
    let Some(guarded) = of(slot) else {
        return Ok(());
    };
    let is_needed = keyring
        .slots()
        .iter()
        .filter(|other| other.id != slot.id)
        .filter_map(of)
        .any(|other| other.is_version_of(&guarded));
    if is_needed {
        return Ok(());
    }
    let Pinned {
        record, identity, ..
    } = &guarded.pinned;
    let account = Account::needed(&guarded.address, context)?;
    let client = Client::new(&guarded.address, Some(&account.token));
    let told = as_owner(keyring, |owner| {
        let request = Forget {
            record: *record,
            signature: owner.sign(identity, record, &OwnerAct::Forget),
        };
        client
            .post_once::<_, IgnoredAny>("/v1/records/forget", &request)
            .map(drop)
    });
    match told {
        Ok(()) => Ok(()),
        // A removal that was cut off had it forgotten already.
        Err(error) if error.code() == Some(Code::NotFound) => Ok(()),
        Err(error) => Err(error.failure(client.origin())),
    }
}

fn of(slot: &SlotInfo) -> Option<Guarded> {
    match &slot.method {
        Method::Password(password) => Guarded::of(password),
        _ => None,
    }
}
