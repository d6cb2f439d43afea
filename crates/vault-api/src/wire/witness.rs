//! What remembers the newest head and keyring.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Fixed, RecordName};

/// A lineage's id, as the repository has it, hidden by the client under a key of its own.
pub type LineageId = Fixed<16>;

/// `POST /v1/witness/advance`: compare-and-set. Sequence and keyring number only grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WitnessPut {
    /// Which lineage.
    pub lineage: LineageId,
    /// The sequence that is there now; 0 for none.
    pub expected_sequence: u64,
    /// The head that is there now; zeros for none.
    pub expected_head: Fixed<32>,
    /// The new sequence: greater, or the same with the same head when only the keyring changed.
    pub sequence: u64,
    /// The new head's hash.
    pub head: Fixed<32>,
    /// The keyring's number: never smaller.
    pub keyring_number: u64,
    /// Its hash: another one only with a greater number.
    pub keyring_hash: Fixed<32>,
    /// Of which password record the log is told; `null` for none.
    pub record: Option<RecordName>,
    /// For the statement that is the answer.
    pub nonce: Fixed<32>,
}

/// `POST /v1/witness/read`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct WitnessRead {
    /// Which lineage.
    pub lineage: LineageId,
    /// 32 random bytes of the client.
    pub nonce: Fixed<32>,
}

/// The newest state, signed over the nonce (see [`crate::WitnessStatement`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Witnessed {
    /// Whose.
    pub account: AccountId,
    /// Which lineage.
    pub lineage: LineageId,
    /// 0: nothing was ever witnessed here.
    pub sequence: u64,
    /// The head's hash.
    pub head: Fixed<32>,
    /// The keyring's number.
    pub keyring_number: u64,
    /// Its hash.
    pub keyring_hash: Fixed<32>,
    /// Entries in the log of the password's record; 0 where there is none.
    pub log_length: u64,
    /// The hash of the last one.
    pub log_hash: Fixed<32>,
    /// By the vault's identity.
    pub signature: Fixed<64>,
}
