//! Why a request was not done, as the client hears it.

use heirloom_vault_api::{Code, Problem};

use crate::db::StoreError;
use crate::keys::KeysError;
use crate::store::register;

/// A problem, and the line that the log gets.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) problem: Box<Problem>,
    pub(crate) line: Option<String>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        Self::from(Problem::from(code))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            problem: Box::new(problem),
            line: None,
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Failed(_) => Code::Unavailable,
            StoreError::Unknown => Code::OutcomeUnknown,
        };
        Self {
            problem: Box::new(Problem::from(code).retry_after(5)),
            line: Some(error.to_string()),
        }
    }
}

impl From<KeysError> for Refusal {
    fn from(error: KeysError) -> Self {
        Self::internal(&error)
    }
}

impl From<register::Refused> for Refusal {
    fn from(refused: register::Refused) -> Self {
        Self::from(match refused {
            register::Refused::NotFound => Code::NotFound,
            register::Refused::OwnerProofNeeded => Code::OwnerProofNeeded,
            register::Refused::Conflict => Code::Conflict,
            register::Refused::Destroyed => Code::Destroyed,
        })
    }
}

impl Refusal {
    /// The same, of a guess that was counted: never as if nothing had happened.
    pub(crate) fn after_count(self) -> Self {
        let Self { problem: _, line } = self;
        Self {
            problem: Box::new(Problem::from(Code::OutcomeUnknown).retry_after(5)),
            line,
        }
    }

    /// The server's own fault: told to the log, not to the client.
    pub(crate) fn internal(error: &dyn std::fmt::Display) -> Self {
        Self {
            problem: Box::new(Problem::from(Code::Unavailable).retry_after(5)),
            line: Some(error.to_string()),
        }
    }
}
