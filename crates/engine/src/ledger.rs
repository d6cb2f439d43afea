//! What a device remembers of its repository: which chunks are stored, how far its lineage is, which files it has seen.
//!
//! Holds no text; names only sealed under a key of the writer's credentials. Losing it costs reading, never data: it
//! is rebuilt at the next unlock.

#[cfg(feature = "native")]
pub mod sqlite;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::error::EngineError;

#[cfg(feature = "native")]
pub use sqlite::SqliteLedger;

/// The tables of a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Space {
    /// Short chunk id → the pack that holds it (16 bytes of its hash).
    Chunk,
    /// Pack hash → what the index says of it, and whether an index does.
    Pack,
    /// Short segment id → fingerprints of its messages.
    Segment,
    /// Conversation key → its tree's segments.
    Tree,
    /// File key → stamp and content.
    File,
    /// Single values by name.
    State,
}

/// One change: set, or with `None` remove.
pub type Change = (Space, Vec<u8>, Option<Vec<u8>>);

/// Called for each entry of a space.
pub type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), EngineError> + 'a;

/// A small table that survives the run. Shared by workers.
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// The value of a key.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError>;

    /// Makes all changes, or none of them.
    fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError>;

    /// The same, and they survive a power cut right after.
    fn apply_durably(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        self.apply(changes)
    }

    /// Visits all entries in key order. The ledger must not be changed meanwhile.
    fn each(&self, space: Space, visit: &mut Each<'_>) -> Result<(), EngineError>;

    /// Forgets everything.
    fn clear(&self) -> Result<(), EngineError>;
}

type Tables = BTreeMap<(Space, Vec<u8>), Vec<u8>>;

/// A ledger in memory.
#[derive(Debug, Default)]
pub struct MemoryLedger {
    tables: Mutex<Tables>,
}

impl MemoryLedger {
    /// Makes an empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger for MemoryLedger {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, EngineError> {
        Ok(self.lock().get(&(space, key.to_vec())).cloned())
    }

    fn apply(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        let mut tables = self.lock();
        for (space, key, value) in changes {
            match value {
                Some(value) => tables.insert((space, key), value),
                None => tables.remove(&(space, key)),
            };
        }
        Ok(())
    }

    fn each(&self, space: Space, visit: &mut Each<'_>) -> Result<(), EngineError> {
        for ((_, key), value) in self.lock().iter().filter(|((of, _), _)| *of == space) {
            visit(key, value)?;
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), EngineError> {
        self.lock().clear();
        Ok(())
    }
}
