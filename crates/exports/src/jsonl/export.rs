//! Writes the export.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use heirloom_archive::form::FolderNames;
use heirloom_archive::{Attachment, History, Presence};
use serde::Serialize;

use super::records::{JsonAttachment, JsonExport};
use super::{
    ATTACHMENTS, CONVERSATIONS, FORMAT, MANIFEST, MESSAGES, PARTICIPANTS, SCHEMAS, VERSION, convert,
};
use crate::filter::{Filter, Walk};
use crate::media::{MediaFolder, Medium};
use crate::outcome::{ExportError, Outcome, ProgressFn};
use crate::people::People;
use crate::target::Target;

/// Exports a history as JSONL into a new or empty folder.
///
/// Memory: the lists of conversations and participants, and a page of messages.
pub fn export(
    history: &mut dyn History,
    filter: &Filter,
    to: &Path,
    progress: &mut ProgressFn<'_>,
) -> Result<Outcome, ExportError> {
    let target = Target::create(to)?;
    let conversations = filter.conversations(history)?;
    let participants = history.participants()?;
    let people = People::new(&participants);
    let mut lines = Lines::create(&target, PARTICIPANTS)?;
    for participant in &participants {
        lines.put(&convert::from_participant(participant))?;
    }
    lines.finish()?;

    let mut walk = Walk::new(filter, &conversations, progress);
    let mut folders = FolderNames::default();
    let mut chats = Lines::create(&target, CONVERSATIONS)?;
    let mut messages = Lines::create(&target, MESSAGES)?;
    for summary in &conversations {
        let conversation = &summary.conversation;
        let folder = folders.give(
            &people.title(conversation),
            blake3::hash(conversation.id.as_bytes()).as_bytes(),
        );
        let folder = format!("{ATTACHMENTS}/{folder}");
        let mut media = MediaFolder::default();
        let before = walk.outcome.messages;
        walk.messages(history, &conversation.id, &mut |walk, history, message| {
            let mut attachments = Vec::with_capacity(message.attachments.len());
            for attachment in &message.attachments {
                let medium = media.copy(walk, history, attachment, &target.work().join(&folder))?;
                attachments.push(line(attachment, medium, &folder));
            }
            messages.put(&convert::from_message(
                message,
                &conversation.id,
                attachments,
            ))
        })?;
        chats.put(&convert::from_conversation(
            conversation,
            walk.outcome.messages - before,
        ))?;
        walk.outcome.conversations += 1;
    }
    chats.finish()?;
    messages.finish()?;
    walk.tell()?;
    let outcome = walk.outcome;
    for (name, schema) in SCHEMAS {
        target.write(&format!("schema/{name}"), schema.as_bytes())?;
    }
    let about = JsonExport {
        format: FORMAT.to_owned(),
        version: VERSION,
        made_by: concat!("heirloom ", env!("CARGO_PKG_VERSION")).to_owned(),
        conversations: outcome.conversations,
        participants: u64::try_from(participants.len()).unwrap_or(u64::MAX),
        messages: outcome.messages,
        attachments: outcome.attachments,
        absent: outcome.absent,
        unreadable: outcome.unreadable,
    };
    let mut about = serde_json::to_vec_pretty(&about).expect("numbers and text are JSON");
    about.push(b'\n');
    target.write(MANIFEST, &about)?;
    target.finish(MANIFEST)?;
    Ok(outcome)
}

fn line(attachment: &Attachment, medium: Medium, folder: &str) -> JsonAttachment {
    let line = convert::from_attachment(attachment);
    match medium {
        Medium::Written { name, digest } => JsonAttachment {
            bytes: digest.bytes,
            presence: None,
            sha256: Some(hex::encode(digest.sha256)),
            path: Some(format!("{folder}/{name}")),
            ..line
        },
        // A present one that the filter left out is absent from this export.
        Medium::Absent if line.presence.is_none() => {
            from_presence(line, attachment, Presence::Absent)
        }
        Medium::Unreadable if line.presence.is_none() => {
            from_presence(line, attachment, Presence::Unreadable)
        }
        Medium::Absent | Medium::Unreadable => line,
    }
}

fn from_presence(
    line: JsonAttachment,
    attachment: &Attachment,
    presence: Presence,
) -> JsonAttachment {
    let with = Attachment {
        presence: presence.into(),
        ..attachment.clone()
    };
    JsonAttachment {
        presence: convert::from_attachment(&with).presence,
        ..line
    }
}

/// A file of lines being written.
struct Lines {
    file: BufWriter<File>,
    name: &'static str,
}

impl Lines {
    fn create(target: &Target, name: &'static str) -> Result<Self, ExportError> {
        Ok(Self {
            file: target.file(name)?,
            name,
        })
    }

    fn put(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        let name = self.name;
        serde_json::to_writer(&mut self.file, line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.file.write_all(b"\n"))
            .map_err(ExportError::writing(Path::new(name)))
    }

    fn finish(mut self) -> Result<(), ExportError> {
        self.file
            .flush()
            .map_err(ExportError::writing(Path::new(self.name)))
    }
}
