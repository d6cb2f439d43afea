//! One guess: KE1, KE2, KE3.

use serde::{Deserialize, Serialize};

use crate::{Fixed, RecordName};

/// Which version of a record is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The one in force.
    Active,
    /// The one that is not in force yet; for the signed-in owner alone.
    Pending,
}

/// `POST /v1/guesses`: asks for one evaluation. It counts from the moment the vault has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct GuessStart {
    /// Whose.
    pub record: RecordName,
    /// The suite's number.
    pub suite: u16,
    /// Which version.
    pub which: Which,
    /// OPAQUE's first message.
    pub ke1: Fixed<96>,
}

/// The evaluation. The same for a record that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Evaluated {
    /// For the proof; good for two minutes, once.
    pub session: Fixed<16>,
    /// OPAQUE's second message.
    pub ke2: Fixed<320>,
    /// See [`crate::Commitment`].
    pub commitment: Fixed<32>,
    /// See [`crate::EvaluatedStatement`].
    pub signature: Fixed<64>,
}

/// `POST /v1/proofs`: shows that the password was right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Which guess.
    pub session: Fixed<16>,
    /// OPAQUE's third message.
    pub ke3: Fixed<64>,
}

/// The guesses are given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Proved {
    /// Which version was opened.
    pub version: u32,
    /// How many guesses the record ever had, this one included.
    pub number: u64,
    /// Opens the commitment.
    pub opening: Fixed<32>,
    /// Guesses since the last proof that were not proven, this one left out.
    pub failed: u32,
    /// Entries in the record's log.
    pub log_length: u64,
    /// The hash of the last one.
    pub log_hash: Fixed<32>,
    /// See [`crate::ProvedStatement`].
    pub signature: Fixed<64>,
}
