//! The libraries' errors as failures: exit codes and words for a person.

use heirloom_archive::{HistoryError, SourceError};
use heirloom_engine::EngineError;
use heirloom_engine::store::StoreError;
use heirloom_exports::ExportError;
use heirloom_keys::{ChangeError, KeyringError, OpenError};

use crate::exit::Exit;
use crate::failure::{Failure, io_hint, is_full};

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let exit = match &error {
            StoreError::Full => Exit::Full,
            StoreError::NotFound { .. } | StoreError::TooLarge { .. } => Exit::Damage,
            StoreError::BadAddress { .. } => Exit::Usage,
            _ => Exit::Failed,
        };
        let hint = match &error {
            StoreError::Full => Some(FULL.into()),
            other => other.hint(),
        };
        Self::new(exit, error.to_string()).or_hint(hint)
    }
}

/// An account is full of what was deleted, too: `docs/vault.md`, on quotas.
const FULL: &str = "make room there, then run the same command again: it goes on where it stopped; what is deleted from an account on a server is kept there for some days, and may count until they are over";

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        let exit = match &error {
            SourceError::AmbiguousDates { .. } | SourceError::BadKey { .. } => Exit::Usage,
            SourceError::KeyNeeded { .. } => Exit::NeedsUnlock,
            SourceError::WrongKey { .. } => Exit::WrongKey,
            SourceError::Sink(sink) => return from_sink(&error, sink),
            SourceError::Io { source, .. } => {
                return Self::new(Exit::Failed, error.to_string())
                    .because(source)
                    .or_hint(io_hint(source));
            }
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string()).or_hint(error.hint())
    }
}

/// The sink is the engine: what stopped it is what counts.
fn from_sink(error: &SourceError, sink: &heirloom_archive::SinkError) -> Failure {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&*sink.0);
    while let Some(cause) = next {
        if let Some(engine) = cause.downcast_ref::<EngineError>() {
            return from_engine(engine);
        }
        next = cause.source();
    }
    Failure::new(Exit::Failed, error.to_string())
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Store(error) => error.into(),
            EngineError::Source(error) => error.into(),
            other => from_engine(&other),
        }
    }
}

fn from_engine(error: &EngineError) -> Failure {
    let exit = match error {
        EngineError::NoBackup => Exit::NoBackup,
        EngineError::Rollback { .. }
        | EngineError::Forked { .. }
        | EngineError::Damaged { .. }
        | EngineError::KeyMissing { .. } => Exit::Damage,
        EngineError::UnlockNeeded | EngineError::Overtaken => Exit::NeedsUnlock,
        EngineError::Interrupted => return interrupted(),
        EngineError::NotFound { .. } | EngineError::Target { .. } => Exit::Usage,
        EngineError::Local { source, .. } => {
            let exit = if is_full(source) {
                Exit::Full
            } else {
                Exit::Failed
            };
            return Failure::new(exit, error.to_string())
                .because(source)
                .or_hint(io_hint(source));
        }
        EngineError::Store(StoreError::Full) => {
            return Failure::new(Exit::Full, error.to_string()).hint(FULL);
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string()).or_hint(error.hint())
}

/// The end after Ctrl-C.
pub(crate) fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted")
        .hint("it is safe to run this again: it goes on with what is stored already")
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        if let Some(engine) = error
            .source
            .as_deref()
            .and_then(|source| source.downcast_ref::<EngineError>())
        {
            return from_engine(engine);
        }
        let failure = Self::new(Exit::Failed, error.message.clone());
        match error.source.as_deref() {
            Some(source) => failure.because(source),
            None => failure,
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        let hint = error.hint().map(ToOwned::to_owned);
        match error {
            ExportError::History(error) => error.into(),
            ExportError::Interrupted => interrupted(),
            ExportError::NotEmpty(_) | ExportError::NoSuchConversation(_) => {
                Self::new(Exit::Usage, error.to_string()).or_hint(hint)
            }
            ExportError::Write { ref source, .. } => {
                let exit = if is_full(source) {
                    Exit::Full
                } else {
                    Exit::Failed
                };
                Self::new(exit, error.to_string())
                    .because(source)
                    .or_hint(io_hint(source))
            }
            _ => Self::new(Exit::Failed, error.to_string()).or_hint(hint),
        }
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::TooNew { .. } => {
                Self::new(Exit::Failed, error.to_string()).hint("update Heirloom on this computer")
            }
            KeyringError::Malformed { .. } => Self::new(Exit::Damage, error.to_string()),
            _ => Self::new(Exit::Damage, format!("the keyring is damaged: {error}")),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let (exit, hint) = match error {
            OpenError::WrongRecoveryKey => (
                Exit::WrongKey,
                Some("check which backup the key belongs to; its kit names it"),
            ),
            OpenError::NoMatchingSlot | OpenError::WrongSecret => (Exit::WrongKey, None),
            OpenError::UnlockNeeded => (
                Exit::NeedsUnlock,
                Some("run it once with `--recovery-key-file FILE`"),
            ),
            OpenError::Older { .. } => (
                Exit::Damage,
                Some(
                    "the store may have been restored from an old copy or tampered with; do not write to it before you know why",
                ),
            ),
            OpenError::Forked { .. } => (
                Exit::Damage,
                Some(
                    "two computers changed the ways in at once; `heirloom protect rotate STORE` joins the two",
                ),
            ),
            _ => (Exit::Damage, None),
        };
        Self::new(exit, error.to_string()).or_hint(hint.map(ToOwned::to_owned))
    }
}

impl From<ChangeError> for Failure {
    fn from(error: ChangeError) -> Self {
        let hint = match error {
            ChangeError::LastWayIn => Some("`heirloom protect add recovery-key STORE`"),
            ChangeError::LastProvenWay => {
                Some("`heirloom protect check STORE` with the way in that is to stay")
            }
            ChangeError::OnlyExtraWays => Some(
                "a passkey of this computer's own page, or of one device, is good beside another way in, not alone; to have a recovery key: `heirloom protect add recovery-key STORE`",
            ),
            ChangeError::RemovalPlanned => {
                Some("to keep it after all: `heirloom protect off STORE --undo`")
            }
            _ => None,
        };
        Self::new(Exit::Failed, error.to_string()).or_hint(hint.map(ToOwned::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let exit = |error: EngineError| Failure::from(error).exit;
        assert_eq!(exit(EngineError::NoBackup), Exit::NoBackup);
        assert_eq!(exit(EngineError::Interrupted), Exit::Interrupted);
        assert_eq!(exit(EngineError::UnlockNeeded), Exit::NeedsUnlock);
        assert_eq!(exit(EngineError::Overtaken), Exit::NeedsUnlock);
        assert_eq!(exit(EngineError::Store(StoreError::Full)), Exit::Full);
        let full = Failure::from(StoreError::Full).hint.unwrap();
        assert!(full.ends_with("may count until they are over"), "{full}");
        assert_eq!(
            exit(EngineError::Rollback {
                what: String::new()
            }),
            Exit::Damage
        );
        assert_eq!(
            exit(EngineError::NewerVersion {
                object: String::new(),
                version: 9
            }),
            Exit::Failed
        );
        assert_eq!(
            Failure::from(OpenError::WrongRecoveryKey).exit,
            Exit::WrongKey
        );
    }

    #[test]
    fn what_the_engine_meant_is_found_beneath_a_source_and_a_history() {
        let sink = heirloom_archive::SinkError(Box::new(EngineError::Interrupted));
        assert_eq!(
            Failure::from(SourceError::Sink(sink)).exit,
            Exit::Interrupted
        );
        let history = HistoryError::from(EngineError::Store(StoreError::Full));
        assert_eq!(Failure::from(history).exit, Exit::Full);
    }

    #[test]
    fn a_full_disk_below_a_restore_is_full_too() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let failure = Failure::from(EngineError::Local {
            path: "out/a.jpg".into(),
            source,
        });
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (Exit::Full, "cannot write out/a.jpg")
        );
        assert_eq!(failure.causes, ["no space left on the disk"]);
    }
}
