//! What can go wrong in a repository, as sentences that say what to do next.

use heirloom_archive::{HistoryError, SourceError};

use crate::store::StoreError;

/// How an object fails to be what its writer made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The bytes do not have the hash that is the object's name.
    #[error("its bytes do not match its name")]
    NameMismatch,
    /// Not an object of Heirloom.
    #[error("it is not an object of this repository")]
    Foreign,
    /// It belongs to another repository.
    #[error("it belongs to another backup")]
    OtherRepository,
    /// It is of another kind than its place says.
    #[error("it is of another kind than its place says")]
    WrongKind,
    /// Authentication failed.
    #[error("it fails authentication")]
    Unauthentic,
    /// No device of this backup wrote it.
    #[error("it was not written by a device of this backup")]
    UnknownWriter,
    /// The content does not have its id.
    #[error("its content does not match its id")]
    IdMismatch,
    /// A structure that no writer makes.
    #[error("its structure is damaged")]
    Malformed,
    /// Decodes, but a writer would have written other bytes.
    #[error("its encoding is not canonical")]
    NotCanonical,
    /// Larger than the format allows.
    #[error("it is larger than the format allows")]
    TooLarge,
    /// It is not there.
    #[error("it is missing")]
    Missing,
    /// It has another size than its index says.
    #[error("it has another size than the index says")]
    WrongSize,
}

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// There is no backup in the store.
    #[error("there is no backup here")]
    NoBackup,
    /// The store shows an older state than this device has seen.
    #[error("the store shows an older backup than this device has seen: {what}")]
    Rollback {
        /// What is older or gone, in words.
        what: String,
    },
    /// Two histories that both claim the same place.
    #[error("the store shows two different histories: {what}")]
    Forked {
        /// Where they part.
        what: String,
    },
    /// Written by a newer program.
    #[error("{object} was written by a newer version of Heirloom (format {version})")]
    NewerVersion {
        /// The object's name.
        object: String,
        /// Its version.
        version: u8,
    },
    /// An object is damaged.
    #[error("{object} is damaged: {damage}")]
    Damaged {
        /// The object's name.
        object: String,
        /// How.
        damage: Damage,
    },
    /// The keys at hand do not open it.
    #[error("{object} was sealed for a key that is not in this keyring")]
    KeyMissing {
        /// The object's name.
        object: String,
    },
    /// This device has lost its local table and holds no key that can read.
    #[error("this computer's local table does not match the backup")]
    UnlockNeeded,
    /// The store has heads of this device's lineage that its local table does not know, and the device holds no key that
    /// can read: its folder was put back or copied.
    #[error(
        "this computer's local table is older than what was backed up with it: it was put back, or copied to another computer"
    )]
    Overtaken,
    /// Nothing of that name or number.
    #[error("{what}")]
    NotFound {
        /// A sentence.
        what: String,
    },
    /// The store's word.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The source's word.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The local table failed.
    #[error("this computer's local table cannot be used: {0}")]
    Ledger(String),
    /// Writing to the target folder, or to a temporary file, failed.
    #[error("cannot write {path}")]
    Local {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The target folder cannot take it.
    #[error("{what}")]
    Target {
        /// A sentence.
        what: String,
        /// What to do next.
        hint: String,
    },
    /// A prune has deleted meanwhile what the run had stored, or found stored; nothing was published.
    #[error(
        "this backup took so long that a prune on another computer has deleted a part of what it had stored"
    )]
    Swept,
    /// Interrupted by the person; safe to run again.
    #[error("interrupted; it is safe to run this again")]
    Interrupted,
}

impl EngineError {
    /// What a person can do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoBackup => "check the folder or URL; `heirloom backup SOURCE --to STORE` makes a first backup".into(),
            Self::Rollback { .. } => {
                "the store may have been restored from an old copy or tampered with; do not write to it before you know why".into()
            }
            Self::Forked { .. } => "two devices may have used one identity; run `heirloom check STORE`".into(),
            Self::NewerVersion { .. } => "update Heirloom on this computer".into(),
            Self::Damaged { .. } => "run `heirloom check STORE --read-data` to see all that is affected".into(),
            Self::UnlockNeeded => "run it once with `--recovery-key-file FILE`, so that the table can be rebuilt".into(),
            Self::Overtaken => "run it once with `--recovery-key-file FILE`: it then takes over what is there and goes on beside it".into(),
            Self::Swept => "run it again: it stores that part once more".into(),
            Self::Target { hint, .. } => hint.clone(),
            Self::Store(error) => return error.hint(),
            Self::Source(error) => return error.hint(),
            Self::Interrupted
            | Self::KeyMissing { .. }
            | Self::NotFound { .. }
            | Self::Ledger(_)
            | Self::Local { .. } => return None,
        })
    }

    pub(crate) fn damaged(object: impl Into<String>, damage: Damage) -> Self {
        Self::Damaged {
            object: object.into(),
            damage,
        }
    }
}

impl From<EngineError> for HistoryError {
    fn from(error: EngineError) -> Self {
        Self {
            message: error.to_string(),
            source: Some(Box::new(error)),
        }
    }
}
