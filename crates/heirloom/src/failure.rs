//! What went wrong, in words for a person: a sentence, its causes, and what to do next.

use std::error::Error;

use crate::exit::Exit;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code it ends with.
    pub(crate) exit: Exit,
    /// One sentence without a final period.
    pub(crate) message: String,
    /// What lies beneath, outermost first.
    pub(crate) causes: Vec<String>,
    /// The next step, when there is one.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// Begins with a sentence.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
        }
    }

    /// A command line that does not say enough.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// A file of this computer that could not be read or written.
    pub(crate) fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        let exit = if is_full(error) {
            Exit::Full
        } else {
            Exit::Failed
        };
        let mut failure = Self::new(exit, format!("cannot {doing} {}", path.display()));
        failure.causes.push(io_words(error));
        failure.hint = io_hint(error);
        failure
    }

    /// Adds the next step.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the next step where there is one and none was said yet.
    #[must_use]
    pub(crate) fn or_hint(mut self, hint: Option<String>) -> Self {
        self.hint = self.hint.or(hint);
        self
    }

    /// Adds an error and what lies beneath it as causes.
    #[must_use]
    pub(crate) fn because(mut self, error: &(dyn Error + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(cause) = next {
            let words = cause
                .downcast_ref::<std::io::Error>()
                .map_or_else(|| cause.to_string(), io_words);
            if !self.causes.contains(&words) && words != self.message {
                self.causes.push(words);
            }
            next = cause.source();
        }
        self
    }
}

/// Whether an error of the file system says that there is no room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull
            | std::io::ErrorKind::QuotaExceeded
            | std::io::ErrorKind::FileTooLarge
    )
}

/// An error of the file system in plain words, without its number.
pub(crate) fn io_words(error: &std::io::Error) -> String {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::NotFound => "there is no such file or folder".into(),
        K::PermissionDenied => "permission denied".into(),
        K::AlreadyExists => "it exists already".into(),
        K::StorageFull => "no space left on the disk".into(),
        K::QuotaExceeded => "the quota is used up".into(),
        K::ReadOnlyFilesystem => "the disk is read-only".into(),
        K::IsADirectory => "it is a folder, not a file".into(),
        K::NotADirectory => "it is a file, not a folder".into(),
        _ => {
            let words = error.to_string();
            words
                .split(" (os error")
                .next()
                .unwrap_or(&words)
                .to_lowercase()
        }
    }
}

/// What to do about an error of the file system.
pub(crate) fn io_hint(error: &std::io::Error) -> Option<String> {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::StorageFull | K::QuotaExceeded => Some(
            "free some space and run the same command again; what is stored already is used again"
                .into(),
        ),
        K::PermissionDenied => Some("check who owns it and who may read and write it".into()),
        _ => None,
    }
}
