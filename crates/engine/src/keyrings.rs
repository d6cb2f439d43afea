//! Keyring objects as bytes: the engine stores and finds them, the keys crate understands them.

use crate::error::{Damage, EngineError};
use crate::ids::ObjectHash;
use crate::store::{Put, Store};

/// The largest keyring that a reader accepts.
pub const MAX_KEYRING_BYTES: u64 = 4 * 1024 * 1024;

/// A keyring in the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyringName {
    /// Its number, as the name states it.
    pub number: u64,
    /// The object's name.
    pub name: String,
}

/// All keyrings, oldest number first. Names of another form are left out; `check` names them.
pub fn list(store: &dyn Store) -> Result<Vec<KeyringName>, EngineError> {
    let mut found: Vec<_> = store
        .list("keyring/")?
        .into_iter()
        .filter_map(|object| {
            let number = parse_name(&object.name)?.0;
            Some(KeyringName {
                number,
                name: object.name,
            })
        })
        .collect();
    found.sort();
    Ok(found)
}

/// Reads a keyring and checks that it has the bytes that its name says.
pub fn load(store: &dyn Store, name: &str) -> Result<Vec<u8>, EngineError> {
    let (_, hash) = parse_name(name).ok_or_else(|| EngineError::damaged(name, Damage::Foreign))?;
    let bytes = store.get(name, MAX_KEYRING_BYTES)?;
    if ObjectHash::of(&bytes) != hash {
        return Err(EngineError::damaged(name, Damage::NameMismatch));
    }
    Ok(bytes)
}

/// Stores a keyring and returns its name.
pub fn publish(store: &dyn Store, number: u64, bytes: &[u8]) -> Result<String, EngineError> {
    let name = format!("keyring/{number:08}-{}", ObjectHash::of(bytes));
    match store.put_new(&name, bytes)? {
        Put::Created | Put::AlreadyThere => Ok(name),
    }
}

pub(crate) fn parse_name(name: &str) -> Option<(u64, ObjectHash)> {
    let (number, hash) = name.strip_prefix("keyring/")?.split_once('-')?;
    if number.len() != 8 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((number.parse().ok()?, ObjectHash::from_hex(hash)?))
}
