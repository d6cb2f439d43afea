//! Where objects lie: a folder, later a cloud. The store is an adversary: nothing read from it is trusted.

pub mod contract;
pub mod faulty;
pub mod memory;
#[cfg(feature = "native")]
pub mod operator;

#[cfg(feature = "native")]
pub use operator::open;

/// Whether [`Store::put_new`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Created,
    /// There was one of that name; it was left as it is.
    AlreadyThere,
}

/// An object's name and size, as the store states them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// The full name, with `/` between its parts.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No object of that name.
    #[error("{name} is not in the store")]
    NotFound {
        /// The name.
        name: String,
    },
    /// No room, or the quota is used up.
    #[error("the store is full")]
    Full,
    /// No permission.
    #[error("the store does not permit this: {what}")]
    Denied {
        /// What was refused.
        what: String,
    },
    /// Larger than the caller allows.
    #[error("{name} is larger than it may be")]
    TooLarge {
        /// The name.
        name: String,
    },
    /// The address is not one.
    #[error("{address} is not a store: {why}")]
    BadAddress {
        /// What was given.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// Everything else. `temporary`: worth trying again.
    #[error("the store failed at {name}: {why}")]
    Failed {
        /// The object.
        name: String,
        /// The store's words.
        why: String,
        /// Worth trying again.
        temporary: bool,
    },
}

impl StoreError {
    /// Whether the same call may go through later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Failed {
                temporary: true,
                ..
            }
        )
    }

    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Full => Some(
                "make room there, then run the same command again: it goes on where it stopped"
                    .into(),
            ),
            Self::Denied { .. } => {
                Some("check who owns the folder and what you may do there".into())
            }
            Self::Failed {
                temporary: true, ..
            } => Some("run the same command again: it goes on where it stopped".into()),
            Self::NotFound { .. }
            | Self::TooLarge { .. }
            | Self::BadAddress { .. }
            | Self::Failed { .. } => None,
        }
    }
}

/// A place for objects. Blocking: an ADR says why. Shared by several workers.
///
/// Names are relative, parts separated by `/`, of the characters `[a-z0-9._-]`.
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Writes an object that must not exist yet, whole or not at all; durable when it returns.
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError>;

    /// Reads a whole object of at most `limit` bytes.
    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError>;

    /// Reads a part; shorter when the object ends before it does, empty beyond its end.
    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError>;

    /// Lists all objects whose names begin with `prefix`, which is empty or ends with `/`, in name order.
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError>;

    /// Deletes; no error when it is not there.
    fn delete(&self, name: &str) -> Result<(), StoreError>;

    /// The size of an object.
    fn stat(&self, name: &str) -> Result<u64, StoreError>;

    /// Removes what interrupted writes left behind, if the store keeps such things.
    fn sweep_unfinished(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}

/// Whether a name is one that Heirloom makes; anything else never reaches a store.
pub(crate) fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 512
        && name.split('/').all(|part| {
            !part.is_empty()
                && part != "."
                && part != ".."
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        })
}
