//! Reads an archive form. Whatever a folder holds, nothing outside it is opened.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::manifest::{Manifest, VERSION};
use super::{
    CONVERSATION, CONVERSATIONS, ConversationEntry, FrameReader, MANIFEST, MESSAGES, PARTICIPANTS,
    Totals,
};
use crate::history::{ConversationSummary, Visit};
use crate::paths::RelativePath;
use crate::{
    Attachment, Conversation, History, HistoryError, Message, MessageQuery, Participant, Presence,
};

/// An archive-form folder as a [`History`].
#[derive(Debug)]
pub struct ArchiveReader {
    root: PathBuf,
    totals: Totals,
    entries: Vec<ConversationEntry>,
    by_id: HashMap<String, usize>,
    mark: Option<Mark>,
}

/// Where the last visit stopped: every message of `sent_at` or later lies at or behind `offset`.
#[derive(Debug, Clone, Copy)]
struct Mark {
    entry: usize,
    sent_at: i64,
    offset: u64,
}

impl ArchiveReader {
    /// Whether the folder says that it is an archive, complete or not.
    pub fn is_archive(root: &Path) -> bool {
        root.join(MANIFEST).is_file()
    }

    /// Opens a complete archive.
    pub fn open(root: &Path) -> Result<Self, HistoryError> {
        let shown = root.display();
        let manifest = Manifest::read(root)
            .map_err(|error| failed(format!("{shown} is not an archive that can be read"), error))?
            .ok_or_else(|| plain(format!("{shown} is not an archive: it has no {MANIFEST}")))?;
        if manifest.version != VERSION {
            return Err(plain(format!(
                "{shown} was written by a newer version of Heirloom"
            )));
        }
        if !manifest.complete {
            return Err(plain(format!(
                "{shown} is unfinished: run the same restore again to complete it"
            )));
        }
        let mut by_id = HashMap::new();
        for (index, entry) in manifest.conversations.iter().enumerate() {
            if by_id.insert(entry.id.clone(), index).is_some() {
                return Err(plain(format!("{shown} names a conversation twice")));
            }
        }
        Ok(Self {
            root: root.to_owned(),
            totals: manifest.totals,
            entries: manifest.conversations,
            by_id,
            mark: None,
        })
    }

    /// The archive's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the archive says that it holds.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Where an attachment's bytes lie; `None` when its presence says that there are none.
    pub fn locate(&self, attachment: &Attachment) -> Result<Option<PathBuf>, HistoryError> {
        if attachment.presence != i32::from(Presence::Present) {
            return Ok(None);
        }
        let name = &attachment.name;
        let path = RelativePath::parse(&attachment.path).ok_or_else(|| {
            plain(format!(
                "the attachment {name} has a path that is not allowed"
            ))
        })?;
        let path = path
            .below_without_links(&self.root)
            .map_err(|error| failed(format!("cannot open the attachment {path}"), error))?;
        Ok(Some(path))
    }

    /// Whether a visit that stopped can be gone on with.
    #[cfg(test)]
    pub(super) fn goes_on(&self) -> bool {
        self.mark.is_some_and(|mark| mark.offset > 0)
    }

    fn conversation(&self, entry: &ConversationEntry) -> Result<Conversation, HistoryError> {
        let mut frames = self.frames(&[CONVERSATIONS, &entry.folder, CONVERSATION], 0)?;
        let conversation: Option<Conversation> = frames
            .next_decoded()
            .map_err(|error| damaged(&entry.folder, error))?;
        conversation
            .filter(|conversation| conversation.id == entry.id)
            .ok_or_else(|| {
                plain(format!(
                    "{} does not hold the conversation that {MANIFEST} names",
                    entry.folder
                ))
            })
    }

    fn frames(
        &self,
        names: &[&str],
        start: u64,
    ) -> Result<FrameReader<BufReader<File>>, HistoryError> {
        let path = names.join("/");
        let safe = RelativePath::parse(&path)
            .ok_or_else(|| plain(format!("the path {path:?} is not allowed")))?;
        let file = safe
            .below_without_links(&self.root)
            .and_then(File::open)
            .and_then(|mut file| file.seek(SeekFrom::Start(start)).map(|_| file))
            .map_err(|error| failed(format!("cannot read {path}"), error))?;
        Ok(FrameReader::new(BufReader::with_capacity(1 << 17, file)))
    }
}

impl History for ArchiveReader {
    fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError> {
        let mut list = Vec::new();
        for entry in &self.entries {
            let conversation = self.conversation(entry)?;
            list.push(ConversationSummary {
                conversation,
                messages: entry.messages,
                span: entry.first.zip(entry.last),
            });
        }
        list.sort_by(|a, b| {
            let newest = |summary: &ConversationSummary| summary.span.map(|(_, newest)| newest);
            newest(b)
                .cmp(&newest(a))
                .then_with(|| a.conversation.id.cmp(&b.conversation.id))
        });
        Ok(list)
    }

    fn participants(&mut self) -> Result<Vec<Participant>, HistoryError> {
        let mut frames = self.frames(&[PARTICIPANTS], 0)?;
        let mut list: Vec<Participant> = Vec::new();
        while let Some(participant) = frames
            .next_decoded()
            .map_err(|error| damaged(PARTICIPANTS, error))?
        {
            list.push(participant);
        }
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    fn messages(
        &mut self,
        conversation: &str,
        query: MessageQuery,
        visit: &mut Visit<'_>,
    ) -> Result<(), HistoryError> {
        let index = *self
            .by_id
            .get(conversation)
            .ok_or_else(|| plain(format!("no conversation has the id {conversation}")))?;
        let entry = self
            .entries
            .get(index)
            .ok_or_else(|| plain(format!("no conversation has the id {conversation}")))?;
        // Whoever reads page by page goes on where the last page ended.
        let start = self
            .mark
            .filter(|mark| {
                mark.entry == index && query.from.is_some_and(|from| from >= mark.sent_at)
            })
            .map_or(0, |mark| mark.offset);
        let mut frames = self.frames(&[CONVERSATIONS, &entry.folder, MESSAGES], start)?;
        let mut window: VecDeque<Message> = VecDeque::new();
        let mut mark = Mark {
            entry: index,
            sent_at: i64::MIN,
            offset: start,
        };
        loop {
            let offset = start + frames.consumed();
            let Some(message) = frames
                .next_decoded::<Message>()
                .map_err(|error| damaged(&entry.folder, error))?
            else {
                break;
            };
            if message.sent_at > mark.sent_at {
                mark = Mark {
                    sent_at: message.sent_at,
                    offset,
                    ..mark
                };
            }
            if !query.covers(message.sent_at) {
                continue;
            }
            match query.last {
                None => {
                    if visit(message)?.is_break() {
                        self.mark = Some(mark);
                        return Ok(());
                    }
                }
                Some(0) => return Ok(()),
                Some(last) => {
                    if window.len() >= last {
                        window.pop_front();
                    }
                    window.push_back(message);
                }
            }
        }
        for message in window {
            if visit(message)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        attachment: &Attachment,
    ) -> Result<Option<Box<dyn Read + '_>>, HistoryError> {
        let Some(path) = self.locate(attachment)? else {
            return Ok(None);
        };
        let is_file = std::fs::symlink_metadata(&path).is_ok_and(|data| data.is_file());
        if !is_file {
            // A named pipe would make the reader wait for ever.
            return Err(plain(format!(
                "the attachment {} is not a plain file",
                attachment.path
            )));
        }
        let file = File::open(&path)
            .map_err(|error| failed(format!("cannot open {}", attachment.path), error))?;
        Ok(Some(Box::new(file)))
    }
}

fn plain(message: String) -> HistoryError {
    HistoryError {
        message,
        source: None,
    }
}

fn failed(message: String, error: io::Error) -> HistoryError {
    HistoryError {
        message,
        source: Some(Box::new(error)),
    }
}

fn damaged(what: &str, error: io::Error) -> HistoryError {
    failed(format!("the records in {what} are damaged"), error)
}
