//! `drill`: a test restore on purpose. A sample of the conversations and media goes through the real restore and is read
//! back from the disk.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::Path;

use heirloom_archive::form::ArchiveReader;
use heirloom_archive::{Attachment, History, MessageQuery, Presence};
use rand_core::CryptoRng;

use crate::error::EngineError;
use crate::progress::Progress;
use crate::repository::View;
use crate::restore::{self, RestoreOptions, engine_error};

/// How large the sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrillOptions {
    /// Media to restore at most.
    pub attachments: usize,
}

impl Default for DrillOptions {
    fn default() -> Self {
        Self { attachments: 20 }
    }
}

/// What a drill brought back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrillOutcome {
    /// Messages restored and read back.
    pub messages: u64,
    /// Media restored and compared.
    pub attachments: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// What did not come back, in words.
    pub problems: Vec<String>,
}

/// Conversations are taken at random until they have so many messages.
const MESSAGES: u64 = 5_000;

/// Restores a random sample into `folder`, which must be empty, and reads it back.
pub fn run(
    view: &mut View,
    folder: &Path,
    options: &DrillOptions,
    rng: &mut dyn CryptoRng,
    progress: &dyn Progress,
) -> Result<DrillOutcome, EngineError> {
    let mut shuffled: BTreeMap<u64, (String, u64)> = BTreeMap::new();
    for conversation in view.entries() {
        shuffled.insert(
            rng.next_u64(),
            (conversation.entry.id.clone(), conversation.entry.messages),
        );
    }
    let (mut conversations, mut promised) = (Vec::new(), 0);
    for (id, messages) in shuffled.into_values() {
        if promised >= MESSAGES {
            break;
        }
        promised += messages;
        conversations.push(id);
    }
    let mut outcome = DrillOutcome::default();
    if conversations.is_empty() {
        return Ok(outcome);
    }
    let only_text = RestoreOptions {
        conversations: conversations.clone(),
        messages_only: true,
        ..RestoreOptions::default()
    };
    let restored = restore::run(view, folder, &only_text, progress)?;
    outcome.problems.extend(restored.problems);
    outcome.bytes += restored.bytes;

    let local = |source: std::io::Error| EngineError::Local {
        path: folder.display().to_string(),
        source,
    };
    let mut reader = ArchiveReader::open(folder).map_err(engine_error)?;
    let mut sample: BTreeMap<u64, Attachment> = BTreeMap::new();
    for id in &conversations {
        reader
            .messages(id, MessageQuery::default(), &mut |_| {
                outcome.messages += 1;
                Ok(ControlFlow::Continue(()))
            })
            .map_err(engine_error)?;
        view.messages(id, MessageQuery::default(), &mut |message| {
            for attachment in message.attachments {
                if attachment.presence() == Presence::Present {
                    sample.insert(rng.next_u64(), attachment);
                    if sample.len() > options.attachments {
                        sample.pop_last();
                    }
                }
            }
            Ok(ControlFlow::Continue(()))
        })
        .map_err(engine_error)?;
    }
    if outcome.messages != restored.messages {
        outcome.problems.push(format!(
            "{} messages were restored and {} read back",
            restored.messages, outcome.messages
        ));
    }
    if restored.messages < promised {
        outcome.problems.push(format!(
            "{promised} messages are in the backup and {} came back",
            restored.messages
        ));
    }
    for (number, attachment) in sample.into_values().enumerate() {
        if progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let path = folder.join(format!("drill-{number}"));
        let mut bytes = Vec::new();
        let opened = view.open(&attachment).map_err(engine_error)?;
        let read = opened.map_or(Ok(0), |mut reader| reader.read_to_end(&mut bytes));
        let same = read
            .and_then(|_| std::fs::write(&path, &bytes))
            .and_then(|()| std::fs::read(&path))
            .map(|back| back == bytes);
        std::fs::remove_file(&path)
            .or_else(|error| {
                if error.kind() == std::io::ErrorKind::NotFound {
                    Ok(())
                } else {
                    Err(error)
                }
            })
            .map_err(local)?;
        match same {
            Ok(true) if u64::try_from(bytes.len()).ok() == Some(attachment.bytes) => {
                outcome.attachments += 1;
                outcome.bytes += attachment.bytes;
            }
            Ok(_) => outcome
                .problems
                .push(format!("{} came back with other bytes", attachment.name)),
            Err(error) => outcome
                .problems
                .push(format!("{}: {error}", attachment.name)),
        }
    }
    Ok(outcome)
}
