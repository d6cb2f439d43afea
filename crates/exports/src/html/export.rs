//! Writes the pages.

use std::path::Path;

use heirloom_archive::History;
use heirloom_archive::form::FolderNames;

use super::chat::ChatPages;
use super::index::{Listed, index};
use crate::filter::{Filter, Walk};
use crate::media::MediaFolder;
use crate::outcome::{ExportError, Outcome, ProgressFn};
use crate::people::People;
use crate::target::Target;

const STYLE: &str = include_str!("style.css");

/// Exports a history as paged HTML into a new or empty folder.
///
/// Memory: a page of messages, and 12 bytes for each message of the chat being written (where replies lead).
pub fn export(
    history: &mut dyn History,
    filter: &Filter,
    to: &Path,
    progress: &mut ProgressFn<'_>,
) -> Result<Outcome, ExportError> {
    let target = Target::create(to)?;
    target.write("style.css", STYLE.as_bytes())?;
    let conversations = filter.conversations(history)?;
    let people = People::new(&history.participants()?);
    let mut walk = Walk::new(filter, &conversations, progress);
    let mut folders = FolderNames::default();
    // The list and the style sheet have their names already.
    for taken in ["index.html", "style.css"] {
        folders.give(taken, &[0xff; 32]);
    }
    let mut listed = Vec::new();
    for summary in &conversations {
        let conversation = &summary.conversation;
        let title = people.title(conversation);
        let folder = folders.give(&title, blake3::hash(conversation.id.as_bytes()).as_bytes());
        let media_folder = target.work().join(&folder).join("media");
        let mut media = MediaFolder::default();
        media.harmless = true;
        let mut pages = ChatPages::new(&target, &people, folder.clone(), title.clone());
        let before = walk.outcome.messages;
        let mut span: Option<(i64, i64)> = None;
        walk.messages(history, &conversation.id, &mut |walk, history, message| {
            let mut copied = Vec::with_capacity(message.attachments.len());
            for attachment in &message.attachments {
                copied.push(media.copy(walk, history, attachment, &media_folder)?);
            }
            span = Some((
                span.map_or(message.sent_at, |(first, _)| first),
                message.sent_at,
            ));
            pages.message(&message, &copied)
        })?;
        let messages = walk.outcome.messages - before;
        pages.finish(conversation, messages)?;
        walk.outcome.conversations += 1;
        listed.push(Listed {
            summary,
            title,
            folder,
            messages,
            span,
        });
    }
    walk.tell()?;
    target.write("index.html", index(&listed).as_bytes())?;
    let outcome = walk.outcome;
    target.finish("index.html")?;
    Ok(outcome)
}
