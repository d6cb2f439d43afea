//! Text as WhatsApp for Android exports it, one folder a chat with its media, for programs that read that.
//!
//! `23/03/2022, 13:31 - Ana: text`: day first, 24 hours. Times are what the wall clock showed where the history has only
//! that, else UTC; the text itself has no place to say which, so `about.txt` in the export's folder does. The form has no place either for
//! replies, reactions, receipts, earlier versions, votes by name and seconds: use [`crate::jsonl`] to keep everything.

mod lines;

use std::io::Write as _;
use std::path::Path;

use heirloom_archive::History;
use heirloom_archive::form::FolderNames;

use crate::filter::{Filter, Walk};
use crate::media::MediaFolder;
use crate::outcome::{ExportError, Outcome, ProgressFn};
use crate::people::People;
use crate::target::Target;

const ABOUT: &str = "\
These folders hold chats in the form of WhatsApp's \"Export chat\", written by Heirloom.

Times: dd/mm/yyyy, hh:mm in 24 hours. Where the history knew the instant, in UTC; else what the wall clock showed.
Left out, because the form has no place for it: replies, reactions, receipts, earlier versions, seconds.
";

/// Exports a history as WhatsApp-like text into a new or empty folder.
pub fn export(
    history: &mut dyn History,
    filter: &Filter,
    to: &Path,
    progress: &mut ProgressFn<'_>,
) -> Result<Outcome, ExportError> {
    let target = Target::create(to)?;
    let conversations = filter.conversations(history)?;
    let people = People::new(&history.participants()?);
    let mut walk = Walk::new(filter, &conversations, progress);
    let mut folders = FolderNames::default();
    for summary in &conversations {
        let conversation = &summary.conversation;
        let wished = format!("WhatsApp Chat with {}", people.title(conversation));
        let folder = folders.give(&wished, blake3::hash(conversation.id.as_bytes()).as_bytes());
        let text = format!("{folder}.txt");
        let mut media = MediaFolder::default();
        media.reserve(&text);
        let path = target.work().join(&folder);
        let name = format!("{folder}/{text}");
        let mut file = target.file(&name)?;
        walk.messages(history, &conversation.id, &mut |walk, history, message| {
            let mut files = Vec::new();
            for attachment in &message.attachments {
                files.push(media.copy(walk, history, attachment, &path)?);
            }
            let mut cards = Vec::new();
            for card in &message.contacts {
                cards.push(media.write(
                    &format!("{}.vcf", card.name),
                    card.vcard.as_bytes(),
                    &path,
                )?);
            }
            let lines = lines::message(&message, &files, &cards, &people);
            file.write_all(lines.as_bytes())
                .map_err(ExportError::writing(Path::new(&name)))
        })?;
        file.flush()
            .map_err(ExportError::writing(Path::new(&name)))?;
        walk.outcome.conversations += 1;
    }
    walk.tell()?;
    target.write("about.txt", ABOUT.as_bytes())?;
    let outcome = walk.outcome;
    target.finish("about.txt")?;
    Ok(outcome)
}

#[cfg(test)]
mod tests;
