//! A head that the ledger knows and the store perhaps not yet: a run can be killed between the two.

use prost::Message as _;

use crate::error::EngineError;
use crate::ledger::{Change, Ledger, Space};
use crate::packer::Packer;
use crate::store::{Store, StoreError};

const KEY: &[u8] = b"unpublished head";

/// The sealed head, under the name that it gets.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UnpublishedHead {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) bytes: Vec<u8>,
    /// The head before it; empty when it is the first.
    #[prost(string, tag = "3")]
    pub(crate) before: String,
}

impl UnpublishedHead {
    pub(crate) fn load(ledger: &dyn Ledger) -> Result<Option<Self>, EngineError> {
        let Some(bytes) = ledger.get(Space::State, KEY)? else {
            return Ok(None);
        };
        Self::decode(bytes.as_slice())
            .map(Some)
            .map_err(|error| EngineError::Ledger(error.to_string()))
    }

    pub(crate) fn change(&self) -> Change {
        (Space::State, KEY.to_vec(), Some(self.encode_to_vec()))
    }

    /// Stores it. The same bytes again change nothing, so that nobody has to know how far a killed run came.
    pub(crate) fn publish(&self, packer: &Packer<'_>) -> Result<(), EngineError> {
        packer.store.put_new(&self.name, &self.bytes)?;
        packer
            .ledger
            .apply(vec![(Space::State, KEY.to_vec(), None)])
    }

    /// Refuses a store that does not hold the head before it: it was put back to an older copy.
    pub(crate) fn follows(&self, store: &dyn Store) -> Result<(), EngineError> {
        if self.before.is_empty() {
            return Ok(());
        }
        must_be_there(store, &self.before)
    }
}

/// Refuses a store that lost a head which was published.
pub(crate) fn must_be_there(store: &dyn Store, head: &str) -> Result<(), EngineError> {
    match store.stat(head) {
        Err(StoreError::NotFound { .. }) => Err(EngineError::Rollback {
            what: format!("{head} is gone"),
        }),
        other => other.map(|_| ()).map_err(EngineError::from),
    }
}
