//! Messages back into archive form. Segments without attachments go through as they are.

use std::ops::ControlFlow;
use std::path::Path;

use heirloom_archive::form::{ArchiveWriter, ConversationEntry, ConversationWriter};
use heirloom_archive::{Message, Presence};

use super::media::Wanted;
use super::{RestoreOptions, RestoreOutcome};
use crate::error::EngineError;
use crate::progress::{Phase, Progress};
use crate::proto;
use crate::repository::View;

pub(super) fn restore(
    view: &View,
    writer: &mut ArchiveWriter,
    options: &RestoreOptions,
    wanted: &mut Wanted,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
    dir: &Path,
) -> Result<Vec<ConversationEntry>, EngineError> {
    let local = |source: std::io::Error| EngineError::Local { path: dir.display().to_string(), source };
    let mut entries = Vec::new();
    let mut chosen: Vec<_> = view
        .entries()
        .filter(|conversation| options.conversations.is_empty() || options.conversations.contains(&conversation.entry.id))
        .collect();
    view.read_trees_ahead(&chosen)?;
    chosen.sort_by(|a, b| a.entry.id.cmp(&b.entry.id));
    for conversation in chosen {
        if progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let (record, mut segments) = view.tree(conversation)?;
        segments.retain(|segment| {
            options.from.is_none_or(|from| segment.last_at >= from) && options.until.is_none_or(|until| segment.first_at < until)
        });
        let mut out = writer.conversation(&record).map_err(local)?;
        let bounded = options.from.is_some() || options.until.is_some();
        for run in runs(&segments) {
            let plain = run.len() == 1 && run[0].attachments == 0 && !bounded;
            if plain {
                copy(view, run, &mut out, outcome, progress, dir)?;
            } else {
                rewrite(view, run, &mut out, options, wanted, outcome, progress, dir)?;
            }
        }
        outcome.conversations += 1;
        entries.push(out.finish().map_err(local)?);
    }
    Ok(entries)
}

/// Runs of segments: each that overlaps no other alone or with neighbours of its sort, overlapping ones together.
fn runs(segments: &[proto::SegmentEntry]) -> Vec<&[proto::SegmentEntry]> {
    let mut runs = Vec::new();
    let (mut start, mut last_at) = (0, i64::MIN);
    for (at, segment) in segments.iter().enumerate() {
        if at > start && segment.first_at > last_at {
            runs.push(&segments[start..at]);
            start = at;
        }
        last_at = last_at.max(segment.last_at);
    }
    if start < segments.len() {
        runs.push(&segments[start..]);
    }
    runs
}

fn copy(
    view: &View,
    run: &[proto::SegmentEntry],
    out: &mut ConversationWriter,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
    dir: &Path,
) -> Result<(), EngineError> {
    view.for_each_segment(run, &mut |segment, plaintext| {
        let messages = u64::from(segment.messages);
        out.framed(&plaintext, messages, 0, segment.first_at, segment.last_at)
            .map_err(|source| EngineError::Local { path: dir.display().to_string(), source })?;
        outcome.messages += messages;
        let bytes = u64::try_from(plaintext.len()).unwrap_or(u64::MAX);
        outcome.bytes += bytes;
        progress.advance(Phase::RestoringMessages, messages, bytes);
        Ok(ControlFlow::Continue(()))
    })
}

#[expect(clippy::too_many_arguments, reason = "the state of one restore, passed down once")]
fn rewrite(
    view: &View,
    run: &[proto::SegmentEntry],
    out: &mut ConversationWriter,
    options: &RestoreOptions,
    wanted: &mut Wanted,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
    dir: &Path,
) -> Result<(), EngineError> {
    view.for_each_message(run, &mut |mut message: Message| {
        let early = options.from.is_some_and(|from| message.sent_at < from);
        let late = options.until.is_some_and(|until| message.sent_at >= until);
        if early || late {
            return Ok(ControlFlow::Continue(()));
        }
        let kind = message.kind();
        for attachment in &mut message.attachments {
            match attachment.presence() {
                Presence::Present => {
                    let key = blake3::hash(&attachment.content);
                    let path = out.attachment_path(attachment, key.as_bytes());
                    attachment.path = path.as_str().to_owned();
                    let asked = !options.messages_only && (options.kinds.is_empty() || options.kinds.contains(&kind));
                    if asked {
                        wanted.add(path, *key.as_bytes(), &attachment.content, attachment.bytes);
                    } else {
                        wanted.unwanted += 1;
                    }
                }
                Presence::Absent | Presence::Unreadable => outcome.absent += 1,
            }
        }
        out.message(message).map_err(|source| EngineError::Local { path: dir.display().to_string(), source })?;
        outcome.messages += 1;
        progress.advance(Phase::RestoringMessages, 1, 0);
        Ok(if progress.interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if progress.interrupted() { Err(EngineError::Interrupted) } else { Ok(()) }
}
