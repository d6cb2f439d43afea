//! Messages back into archive form, by workers, a conversation each. What needs no change goes through as it is.

use std::iter::Enumerate;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::vec::IntoIter;

use heirloom_archive::form::{ArchiveWriter, ConversationEntry, ConversationWriter};
use heirloom_archive::{Conversation, Message, MessageKind, Presence, frames};

use super::media::Wanted;
use super::{RestoreOptions, RestoreOutcome};
use crate::error::{Damage, EngineError};
use crate::progress::{Phase, Progress};
use crate::proto;
use crate::repository::View;
use crate::terms;

const WORKERS: usize = 2;

/// What workers share.
struct Text<'a> {
    view: &'a View,
    dir: &'a Path,
    options: &'a RestoreOptions,
    progress: &'a dyn Progress,
    waiting: Mutex<Waiting<'a>>,
    done: Mutex<Done>,
    failed: Mutex<Option<EngineError>>,
}

/// Conversations that nobody has begun yet, in id order.
struct Waiting<'a> {
    trees: Enumerate<IntoIter<(Conversation, Vec<proto::SegmentEntry>)>>,
    writer: &'a mut ArchiveWriter,
}

#[derive(Default)]
struct Done {
    entries: Vec<(usize, ConversationEntry)>,
    wanted: Vec<(usize, Wanted)>,
    counts: RestoreOutcome,
}

/// Restores the messages; gives the conversations in id order.
pub(super) fn restore(
    view: &View,
    writer: &mut ArchiveWriter,
    options: &RestoreOptions,
    wanted: &mut Wanted,
    outcome: &mut RestoreOutcome,
    progress: &dyn Progress,
    dir: &Path,
) -> Result<Vec<ConversationEntry>, EngineError> {
    let mut chosen: Vec<_> = view
        .entries()
        .filter(|conversation| {
            options.conversations.is_empty()
                || options.conversations.contains(&conversation.entry.id)
        })
        .collect();
    view.read_trees_ahead(&chosen)?;
    chosen.sort_by(|a, b| a.entry.id.cmp(&b.entry.id));
    let mut trees = Vec::with_capacity(chosen.len());
    for conversation in &chosen {
        trees.push(view.tree(conversation)?);
    }
    let text = Text {
        view,
        dir,
        options,
        progress,
        waiting: Mutex::new(Waiting {
            trees: trees.into_iter().enumerate(),
            writer,
        }),
        done: Mutex::default(),
        failed: Mutex::default(),
    };
    let work = || {
        loop {
            let job = match text.begin_next() {
                Ok(Some(job)) => job,
                Ok(None) => return,
                Err(error) => {
                    lock(&text.failed).get_or_insert(error);
                    return;
                }
            };
            if lock(&text.failed).is_some() {
                return;
            }
            if let Err(error) = text.conversation(job) {
                lock(&text.failed).get_or_insert(error);
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..WORKERS {
            scope.spawn(work);
        }
        work();
    });
    let Text { done, failed, .. } = text;
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let Done {
        mut entries,
        wanted: mut parts,
        counts,
    } = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    entries.sort_by_key(|(at, _)| *at);
    parts.sort_by_key(|(at, _)| *at);
    for (_, part) in parts {
        wanted.take(part);
    }
    outcome.conversations += counts.conversations;
    outcome.messages += counts.messages;
    outcome.absent += counts.absent;
    outcome.bytes += counts.bytes;
    Ok(entries.into_iter().map(|(_, entry)| entry).collect())
}

struct Job {
    at: usize,
    out: ConversationWriter,
    segments: Vec<proto::SegmentEntry>,
}

impl Text<'_> {
    /// Begins the next conversation, if one is left. Only those that are being written are open: each has a buffer.
    fn begin_next(&self) -> Result<Option<Job>, EngineError> {
        let mut waiting = lock(&self.waiting);
        let Some((at, (record, segments))) = waiting.trees.next() else {
            return Ok(None);
        };
        // Folders are named in this order, so that a second run gives the same names.
        let out = waiting.writer.conversation(&record);
        let out = out.map_err(|source| self.local(source))?;
        Ok(Some(Job { at, out, segments }))
    }

    fn local(&self, source: std::io::Error) -> EngineError {
        EngineError::Local {
            path: self.dir.display().to_string(),
            source,
        }
    }

    fn conversation(&self, job: Job) -> Result<(), EngineError> {
        let Job {
            at,
            mut out,
            mut segments,
        } = job;
        let RestoreOptions { from, until, .. } = self.options;
        segments.retain(|segment| {
            from.is_none_or(|from| segment.last_at >= from)
                && until.is_none_or(|until| segment.first_at < until)
        });
        let mut part = Part {
            out: &mut out,
            wanted: Wanted::default(),
            counts: RestoreOutcome::default(),
        };
        let bounded = from.is_some() || until.is_some();
        let mut rest = segments.as_slice();
        while !rest.is_empty() {
            let (run, alone) = first_run(rest);
            rest = &rest[run.len()..];
            if alone && !bounded {
                self.segments(run, &mut part)?;
            } else {
                self.messages(run, &mut part)?;
            }
        }
        part.counts.conversations += 1;
        let Part {
            out: _,
            wanted,
            counts,
        } = part;
        let entry = out.finish().map_err(|source| self.local(source))?;
        let mut done = lock(&self.done);
        done.entries.push((at, entry));
        done.wanted.push((at, wanted));
        done.counts.conversations += counts.conversations;
        done.counts.messages += counts.messages;
        done.counts.absent += counts.absent;
        done.counts.bytes += counts.bytes;
        Ok(())
    }

    /// Segments that overlap none: only messages with attachments are decoded, all others are copied.
    fn segments(
        &self,
        run: &[proto::SegmentEntry],
        part: &mut Part<'_>,
    ) -> Result<(), EngineError> {
        self.view.for_each_segment(run, &mut |segment, plaintext| {
            if self.progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
            let mut rest = plaintext.as_slice();
            let (mut copied, mut since) = (plaintext.as_slice(), 0u64);
            let damaged = |_| EngineError::damaged("a segment", Damage::Malformed);
            while segment.attachments > 0
                && let Some((frame, after)) = frames::split_first(rest).map_err(damaged)?
            {
                if has_attachments(frame) {
                    let plain = &copied[..copied.len() - rest.len()];
                    part.copy(plain, since, segment)
                        .map_err(|source| self.local(source))?;
                    self.message(frames::decode(frame).map_err(damaged)?, part)?;
                    (copied, since) = (after, 0);
                } else {
                    since += 1;
                }
                rest = after;
            }
            if segment.attachments == 0 {
                since = u64::from(segment.messages);
            }
            part.copy(copied, since, segment)
                .map_err(|source| self.local(source))?;
            let bytes = u64::try_from(plaintext.len()).unwrap_or(u64::MAX);
            part.counts.bytes += bytes;
            self.progress
                .advance(Phase::RestoringMessages, u64::from(segment.messages), bytes);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// Segments that overlap: their messages are joined.
    fn messages(
        &self,
        run: &[proto::SegmentEntry],
        part: &mut Part<'_>,
    ) -> Result<(), EngineError> {
        let RestoreOptions { from, until, .. } = self.options;
        self.view.for_each_message(run, &mut |message: Message| {
            if self.progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
            let early = from.is_some_and(|from| message.sent_at < from);
            if !early && until.is_none_or(|until| message.sent_at < until) {
                self.message(message, part)?;
                self.progress.advance(Phase::RestoringMessages, 1, 0);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn message(&self, mut message: Message, part: &mut Part<'_>) -> Result<(), EngineError> {
        let kind = message.kind();
        for attachment in &mut message.attachments {
            match attachment.presence() {
                Presence::Present => {
                    let key = blake3::hash(&attachment.content);
                    let path = part.out.attachment_path(attachment, key.as_bytes());
                    path.as_str().clone_into(&mut attachment.path);
                    if self.wants(kind) {
                        part.wanted.add(
                            path,
                            *key.as_bytes(),
                            &attachment.content,
                            attachment.bytes,
                        );
                    } else {
                        part.wanted.unwanted += 1;
                    }
                }
                Presence::Absent | Presence::Unreadable => part.counts.absent += 1,
            }
        }
        part.out
            .message(message)
            .map_err(|source| self.local(source))?;
        part.counts.messages += 1;
        Ok(())
    }

    fn wants(&self, kind: MessageKind) -> bool {
        let RestoreOptions {
            kinds,
            messages_only,
            ..
        } = self.options;
        !messages_only && (kinds.is_empty() || kinds.contains(&kind))
    }
}

/// One conversation's part of the outcome.
struct Part<'a> {
    out: &'a mut ConversationWriter,
    wanted: Wanted,
    counts: RestoreOutcome,
}

impl Part<'_> {
    fn copy(
        &mut self,
        framed: &[u8],
        messages: u64,
        segment: &proto::SegmentEntry,
    ) -> std::io::Result<()> {
        if messages == 0 {
            return Ok(());
        }
        self.counts.messages += messages;
        self.out
            .framed(framed, messages, 0, segment.first_at, segment.last_at)
    }
}

/// The longest run of segments of which none overlaps another (`true`), or else the run of overlapping ones.
fn first_run(segments: &[proto::SegmentEntry]) -> (&[proto::SegmentEntry], bool) {
    let apart =
        |at: usize, last_at: i64| segments.get(at).is_none_or(|next| next.first_at > last_at);
    let mut alone = 0;
    while alone < segments.len() && apart(alone + 1, segments[alone].last_at) {
        alone += 1;
    }
    if alone > 0 {
        return (&segments[..alone], true);
    }
    let (mut end, mut last_at) = (1, segments[0].last_at);
    while !apart(end, last_at) {
        last_at = last_at.max(segments[end].last_at);
        end += 1;
    }
    (&segments[..end], false)
}

/// Whether a `Message` has the attachments field.
fn has_attachments(record: &[u8]) -> bool {
    let mut has = false;
    terms::for_each_field(record, &mut |number, _| has |= number == 40);
    has
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
