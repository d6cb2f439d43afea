//! Exit codes: a stable contract with scripts, see `docs/cli.md`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done,
    /// Failed for a reason that has no code of its own.
    Failed,
    /// The command line does not say enough, or contradicts itself.
    Usage,
    /// Done, and something readable was left out.
    SomeSkipped,
    /// Needs an unlock that was not given.
    NeedsUnlock,
    /// No backup lies there.
    NoBackup,
    /// Another run on this device is at work.
    Busy,
    /// The key does not open it.
    WrongKey,
    /// Something stored is damaged, missing, or older than what was seen.
    Damage,
    /// The destination is full.
    Full,
    /// Interrupted; safe to run again.
    Interrupted,
}

impl Exit {
    /// The process's exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::SomeSkipped => 3,
            Self::NeedsUnlock => 4,
            Self::NoBackup => 10,
            Self::Busy => 11,
            Self::WrongKey => 12,
            Self::Damage => 13,
            Self::Full => 14,
            Self::Interrupted => 130,
        }
    }

    /// The word that stands in JSON events.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::SomeSkipped => "some_skipped",
            Self::NeedsUnlock => "needs_unlock",
            Self::NoBackup => "no_backup",
            Self::Busy => "busy",
            Self::WrongKey => "wrong_key",
            Self::Damage => "damage",
            Self::Full => "full",
            Self::Interrupted => "interrupted",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
