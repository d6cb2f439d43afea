//! A record's life: registered, activated, changed, forgotten; its log.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Fixed;

/// A record's name: 128 random bits that the vault chose and that lie with the backup.
pub type RecordName = Fixed<16>;

/// `GET /v1/vault`: what a client pins, after it asked its user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VaultInfo {
    /// The vault's public identity (Ed25519).
    pub identity: Fixed<32>,
    /// Suites it answers.
    pub suites: Vec<u16>,
    /// Guesses between two proofs, for a signed-in owner.
    pub guesses: u32,
    /// Of these, for anyone else.
    pub strangers_guesses: u32,
}

/// `POST /v1/registrations`: a new record, or a new version of `record`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistrationStart {
    /// `null` for a new record.
    pub record: Option<RecordName>,
    /// The suite's number.
    pub suite: u16,
    /// OPAQUE's registration request.
    pub request: Fixed<32>,
}

/// The vault's half of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistrationStarted {
    /// For the second half; good for five minutes, once.
    pub registration: Fixed<16>,
    /// The record's name.
    pub record: RecordName,
    /// OPAQUE's registration response.
    pub response: Fixed<64>,
}

/// `POST /v1/registrations/finish`: the version is stored, and pending.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RegistrationFinish {
    /// Which registration.
    pub registration: Fixed<16>,
    /// OPAQUE's registration record.
    pub upload: Fixed<192>,
    /// Who owns the record from its activation on (Ed25519).
    pub next_owner: Fixed<32>,
    /// By the owner in force; by `next_owner` itself when the record is new.
    pub signature: Fixed<64>,
}

/// The new version's place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// The record's name.
    pub record: RecordName,
    /// The version, which only grows.
    pub version: u32,
}

/// `POST /v1/records/activate`: a proven pending version comes into force; the one before is destroyed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Activate {
    /// Whose.
    pub record: RecordName,
    /// The pending version.
    pub version: u32,
    /// By the owner in force, or by the pending one's when there is none.
    pub signature: Fixed<64>,
}

/// It is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Activated {
    /// The version in force.
    pub version: u32,
}

/// `POST /v1/records/owner`: another owner key, after a rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeOwner {
    /// Whose.
    pub record: RecordName,
    /// The key from now on.
    pub next_owner: Fixed<32>,
    /// By the owner in force.
    pub signature: Fixed<64>,
}

/// `POST /v1/records/forget`: destroys the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Forget {
    /// Whose.
    pub record: RecordName,
    /// By the owner in force.
    pub signature: Fixed<64>,
}

/// `POST /v1/records/status`: for the signed-in owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct StatusRead {
    /// Whose.
    pub record: RecordName,
}

/// How many guesses are left, and until when to wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RecordStatus {
    /// The version in force; `null` before the first activation and after destruction.
    pub version: Option<u32>,
    /// The version that is not in force yet.
    pub pending: Option<u32>,
    /// Whether a wrong password too many, or the owner, destroyed it.
    pub destroyed: bool,
    /// Guesses since the last proof.
    pub guesses: u32,
    /// Guesses left for the signed-in owner.
    pub left: u32,
    /// Guesses left for anyone else.
    pub left_for_strangers: u32,
    /// Seconds until the next guess is answered.
    pub wait_s: u64,
    /// Unproven guesses that are left in the record's life.
    pub lifetime_left: u32,
    /// Entries in its log.
    pub log_length: u64,
    /// The hash of the last one.
    pub log_hash: Fixed<32>,
}

/// `POST /v1/records/log`: entries after the first `from`, for the signed-in owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogRead {
    /// Whose.
    pub record: RecordName,
    /// How many entries the reader has.
    pub from: u64,
}

/// At most 100 entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogPage {
    /// In order.
    pub entries: Vec<LogEntry>,
}

/// What happened to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LogKind {
    /// A version was registered.
    Registered,
    /// A guess was counted, from outside.
    Guess,
    /// A guess was counted, with the owner's sign-in.
    OwnersGuess,
    /// A guess was proven.
    Proved,
    /// A pending version was proven.
    PendingProved,
    /// A version came into force and the one before was destroyed.
    Activated,
    /// The owner key was replaced.
    OwnerChanged,
    /// All key material was destroyed.
    Destroyed,
}

impl LogKind {
    /// The number in the database and in the hash.
    pub fn number(self) -> u8 {
        match self {
            Self::Registered => 1,
            Self::Guess => 2,
            Self::OwnersGuess => 3,
            Self::Proved => 4,
            Self::PendingProved => 5,
            Self::Activated => 6,
            Self::OwnerChanged => 7,
            Self::Destroyed => 8,
        }
    }

    /// The other way.
    pub fn from_number(number: u8) -> Option<Self> {
        [
            Self::Registered,
            Self::Guess,
            Self::OwnersGuess,
            Self::Proved,
            Self::PendingProved,
            Self::Activated,
            Self::OwnerChanged,
            Self::Destroyed,
        ]
        .into_iter()
        .find(|kind| kind.number() == number)
    }
}

/// One entry of a record's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    /// Its place, from 1.
    pub sequence: u64,
    /// What happened.
    pub kind: LogKind,
    /// To which version; 0 where it concerns none.
    pub version: u32,
    /// When, by the vault's clock, in milliseconds since 1970.
    pub time_ms: u64,
}

const LABEL_LOG: &[u8] = b"heirloom/vault/v1/log";

/// The hash before the first entry: `SHA-256(label ‖ record)`.
pub fn log_start(record: &RecordName) -> Fixed<32> {
    Fixed(Sha256::digest([LABEL_LOG, record.as_bytes()].concat()).into())
}

impl LogEntry {
    /// `SHA-256(label ‖ hash before ‖ sequence ‖ kind ‖ version ‖ time)`.
    pub fn hash(&self, before: &Fixed<32>) -> Fixed<32> {
        let Self {
            sequence,
            kind,
            version,
            time_ms,
        } = self;
        let mut hash = Sha256::new();
        hash.update(LABEL_LOG);
        hash.update(before.as_bytes());
        hash.update(sequence.to_be_bytes());
        hash.update([kind.number()]);
        hash.update(version.to_be_bytes());
        hash.update(time_ms.to_be_bytes());
        Fixed(hash.finalize().into())
    }
}
