//! The password as a way in: what a person types, a server that counts wrong ones, and what comes out.

mod enrol;
mod entry;
mod guess;
mod owner;
mod records;
mod watch;

use heirloom_keys::{Password as Slot, PasswordRecord};
use heirloom_vault_api::{Fixed, Identity, Pinned, suite};

use crate::server::Address;

pub(crate) use enrol::{Begun, Stands, gone, register, stands, version_in_force};
pub(crate) use entry::{enter_new, file_or_ask, refuse_same};
pub(crate) use guess::open;
pub(crate) use owner::{change_owner, follow_rotation, forget};
pub(crate) use records::one_of;
pub(crate) use watch::{Guess, Guesses, Watched, watch};

/// A password's slot in which everything makes sense: which record, in which vault, where.
#[derive(Debug, Clone)]
pub(crate) struct Guarded {
    /// The slot as it is.
    pub(crate) slot: Slot,
    /// The server's address.
    pub(crate) address: Address,
    /// Record and vault.
    pub(crate) pinned: Pinned,
    /// The version that the slot opens with.
    pub(crate) version: u32,
}

impl Guarded {
    /// Reads what a store may have written: `None` when it is of no use, or below the floor.
    pub(crate) fn of(slot: &Slot) -> Option<Self> {
        let PasswordRecord {
            name,
            vault,
            version,
        } = slot.record()?;
        let address = Address::parse(&slot.server).ok()?;
        let number = u16::try_from(slot.opaque_suite).ok()?;
        if address.place() != slot.server || !address.prefix.is_empty() {
            return None;
        }
        suite::check(number).ok()?;
        Some(Self {
            slot: slot.clone(),
            address,
            pinned: Pinned {
                record: Fixed(name),
                identity: Identity::new(&Fixed(vault)).ok()?,
                suite: number,
            },
            version,
        })
    }

    /// Describes a version of a record as a slot.
    pub(crate) fn new(address: &Address, pinned: Pinned, version: u32) -> Self {
        let record = PasswordRecord {
            name: *pinned.record.as_bytes(),
            vault: *pinned.identity.to_bytes().as_bytes(),
            version,
        };
        let slot = Slot {
            record_id: record.to_bytes(),
            server: address.origin.clone(),
            opaque_suite: pinned.suite.into(),
        };
        Self {
            slot,
            address: Address {
                origin: address.origin.clone(),
                prefix: String::new(),
            },
            pinned,
            version,
        }
    }
}
