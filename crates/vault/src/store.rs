//! The vault's rules, as short transactions on the rows of one account.

pub(crate) mod account;
pub(crate) mod act;
pub(crate) mod blob;
pub(crate) mod device;
pub(crate) mod guess;
pub(crate) mod log;
pub(crate) mod operator;
pub(crate) mod passkey;
pub(crate) mod record;
pub(crate) mod register;
pub(crate) mod repeat;
pub(crate) mod sweep;
pub(crate) mod upload;
pub(crate) mod witness;

use heirloom_vault_api::RecordName;
use sha2::{Digest as _, Sha256};

/// The row's shard: 12 bits of SHA-256 of its name.
pub(crate) fn shard(name: &RecordName) -> u32 {
    let hash = Sha256::digest(name.as_bytes());
    let first = hash.first().copied().map_or(0, u32::from);
    let second = hash.get(1).copied().map_or(0, u32::from);
    first << 4 | second >> 4
}
