//! The canonical form: a whole history as text that is equal exactly when the histories are.
//!
//! One JSON object a line, without spaces, keys in alphabetical order, fields with default values left out, text as
//! it is (only what JSON must escape is escaped), numbers of enumerations as numbers, floats as 16 hexadecimal digits of
//! their bits, bytes in hexadecimal. First `{"participant":…}` by id; then for each conversation by id
//! `{"conversation":…}` and its `{"message":…}` by (`sent_at`, id, line). A present attachment has the `bytes` and `sha256`
//! of its content. Where an attachment came from or lies (`source_path`, `path`, `content`) is not part of it.

mod line;
mod sink;

use std::io::{self, Read, Write};
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};

pub use sink::CanonSink;

use crate::{Attachment, History, HistoryError, Message, MessageQuery, Presence};

/// What the content of an attachment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentDigest {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
}

impl ContentDigest {
    /// Reads to the end.
    pub fn of(read: &mut dyn Read) -> io::Result<Self> {
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            let got = match read.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hasher.update(&buffer[..got]);
            bytes += u64::try_from(got).unwrap_or(u64::MAX);
        }
        Ok(Self {
            bytes,
            sha256: hasher.finalize().into(),
        })
    }
}

/// Writes the canonical form of a whole history. Reads every attachment; memory: messages of one instant and id.
pub fn canonical(history: &mut dyn History, write: &mut dyn Write) -> Result<(), HistoryError> {
    for participant in history.participants()? {
        put(write, &line::participant(&participant))?;
    }
    let mut conversations: Vec<_> = history
        .conversations()?
        .into_iter()
        .map(|summary| summary.conversation)
        .collect();
    conversations.sort_by(|a, b| a.id.cmp(&b.id));
    for conversation in &conversations {
        put(write, &line::conversation(conversation))?;
        messages(history, &conversation.id, write)?;
    }
    Ok(())
}

/// The messages come in pages, because a history cannot open attachments while it visits messages.
fn messages(
    history: &mut dyn History,
    id: &str,
    write: &mut dyn Write,
) -> Result<(), HistoryError> {
    let mut group: Vec<(i64, String, String)> = Vec::new();
    let mut flush = |group: &mut Vec<(i64, String, String)>| {
        group.sort();
        group
            .drain(..)
            .try_for_each(|(_, _, line)| put(write, &line))
    };
    let mut last: Option<i64> = None;
    let mut failure = None;
    crate::pages::in_pages(
        history,
        id,
        MessageQuery::default(),
        &mut |history, page| {
            for message in page {
                if last.is_some_and(|last| message.sent_at < last) {
                    failure = Some(HistoryError {
                        message: format!("the messages of {id} are not in order"),
                        source: None,
                    });
                    return Ok(ControlFlow::Break(()));
                }
                if last != Some(message.sent_at) {
                    flush(&mut group)?;
                }
                last = Some(message.sent_at);
                let digests = digests(history, &message)?;
                group.push((
                    message.sent_at,
                    message.id.clone(),
                    line::message(&message, &digests),
                ));
            }
            Ok(ControlFlow::Continue(()))
        },
    )?;
    failure.map_or(Ok(()), Err)?;
    flush(&mut group)
}

fn digests(
    history: &mut dyn History,
    message: &Message,
) -> Result<Vec<Option<ContentDigest>>, HistoryError> {
    message
        .attachments
        .iter()
        .map(|attachment| digest(history, attachment))
        .collect()
}

fn digest(
    history: &mut dyn History,
    attachment: &Attachment,
) -> Result<Option<ContentDigest>, HistoryError> {
    if attachment.presence != i32::from(Presence::Present) {
        return Ok(None);
    }
    let name = &attachment.name;
    let mut read = history.open(attachment)?.ok_or_else(|| HistoryError {
        message: format!("the attachment {name} should be there and is not"),
        source: None,
    })?;
    let digest = ContentDigest::of(&mut read).map_err(|error| HistoryError {
        message: format!("the attachment {name} cannot be read"),
        source: Some(Box::new(error)),
    })?;
    Ok(Some(digest))
}

fn put(write: &mut dyn Write, line: &str) -> Result<(), HistoryError> {
    writeln!(write, "{line}").map_err(|error| HistoryError {
        message: "cannot write the canonical form".to_owned(),
        source: Some(Box::new(error)),
    })
}
