//! `restore`: a view of the repository back into a folder in archive form. Text first, then media.

mod media;
mod text;

use std::collections::BTreeSet;
use std::path::Path;

use heirloom_archive::form::{ArchiveWriter, FormError};
use heirloom_archive::{History as _, MessageKind};

use crate::error::EngineError;
use crate::ids::ObjectHash;
use crate::progress::{Amount, Phase, Progress};
use crate::repository::View;

/// What to restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Ids of conversations; empty = all.
    pub conversations: Vec<String>,
    /// From this `sent_at` on.
    pub from: Option<i64>,
    /// Up to, and not including, this `sent_at`.
    pub until: Option<i64>,
    /// Media of messages of these kinds only; empty = all.
    pub kinds: Vec<MessageKind>,
    /// No media at all.
    pub messages_only: bool,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreOutcome {
    /// Conversations written.
    pub conversations: u64,
    /// Messages written.
    pub messages: u64,
    /// Attachments that are there.
    pub attachments: u64,
    /// Attachments that the source never had.
    pub absent: u64,
    /// Attachments that are in the backup and were not restored: not asked for, or damaged.
    pub missing: u64,
    /// Bytes of messages and media.
    pub bytes: u64,
    /// The snapshot, in hexadecimal; several with a comma between them when lineages were joined.
    pub snapshot: String,
    /// What could not be restored, in words.
    pub problems: Vec<String>,
}

/// Restores into `dir`, which must be new, empty, or what an interrupted restore of the same left.
///
/// Messages are complete before the first medium is read. A damaged medium is named and left out; everything else is
/// restored. Cost: every needed byte of every pack is read once.
pub fn run(
    view: &mut View,
    dir: &Path,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreOutcome, EngineError> {
    let snapshots: BTreeSet<String> = view
        .snapshots()
        .map(|snapshot| ObjectHash::to_string(&snapshot))
        .collect();
    let snapshot = snapshots.into_iter().collect::<Vec<_>>().join(",");
    let origin = format!("{snapshot} {options:?}");
    let local = |source: std::io::Error| EngineError::Local {
        path: dir.display().to_string(),
        source,
    };
    let mut writer = ArchiveWriter::create(
        dir,
        concat!("heirloom ", env!("CARGO_PKG_VERSION")),
        &origin,
    )
    .map_err(from_form)?;

    let total: u64 = view
        .entries()
        .map(|conversation| conversation.entry.messages)
        .sum();
    progress.phase(
        Phase::RestoringMessages,
        Some(Amount {
            items: total,
            bytes: 0,
        }),
    );
    for participant in view.participants().map_err(engine_error)? {
        writer.participant(&participant).map_err(local)?;
    }
    let mut outcome = RestoreOutcome {
        snapshot,
        ..RestoreOutcome::default()
    };
    let mut wanted = media::Wanted::default();
    let conversations = text::restore(
        view,
        &mut writer,
        options,
        &mut wanted,
        &mut outcome,
        progress,
        dir,
    )?;
    outcome.missing += wanted.unwanted;
    media::restore(view, dir, wanted, &mut outcome, progress)?;
    writer.finish(conversations).map_err(local)?;
    Ok(outcome)
}

fn from_form(error: FormError) -> EngineError {
    match error {
        FormError::Io { path, source } => EngineError::Local {
            path: path.display().to_string(),
            source,
        },
        other => EngineError::Target {
            what: other.to_string(),
            hint: other.hint().unwrap_or_default().to_owned(),
        },
    }
}

pub(crate) fn engine_error(error: heirloom_archive::HistoryError) -> EngineError {
    let message = error.message.clone();
    match error.source.map(
        <dyn std::error::Error + std::marker::Send + std::marker::Sync + 'static>::downcast::<
            EngineError,
        >,
    ) {
        Some(Ok(error)) => *error,
        _ => EngineError::NotFound { what: message },
    }
}
