//! A chat history to look into: a backup, or a restored folder.

use std::path::Path;
use std::sync::Arc;

use heirloom_archive::History;
use heirloom_archive::form::ArchiveReader;
use heirloom_archive::history::ListedConversation;
use heirloom_engine::repository::{Repository, Selection, View};

use crate::args::shared::{At, Pick, Unlock};
use crate::context::Context;
use crate::failure::Failure;
use crate::repository;
use crate::words;

/// Where a history comes from.
pub(crate) enum Opened {
    /// A backup.
    Backup(Box<View>),
    /// A folder in archive form.
    Folder(ArchiveReader),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Backup(_) => "Backup",
            Self::Folder(_) => "Folder",
        })
    }
}

impl Opened {
    /// As what it is read.
    pub(crate) fn history(&mut self) -> &mut dyn History {
        match self {
            Self::Backup(view) => view.as_mut(),
            Self::Folder(folder) => folder,
        }
    }
}

/// Opens a store or a restored folder.
pub(crate) fn open(
    source: &str,
    at: &At,
    unlock: &Unlock,
    context: &Context,
) -> Result<Opened, Failure> {
    let folder = Path::new(source);
    if ArchiveReader::is_archive(folder) {
        if at.snapshot.is_some() {
            return Err(
                Failure::usage("a restored folder has no snapshots").hint("leave `--snapshot` out")
            );
        }
        return Ok(Opened::Folder(ArchiveReader::open(folder)?));
    }
    let opened = repository::open(source, unlock, context)?;
    let repository = opened.repository_for(at.snapshot.as_ref())?;
    view(&repository, at, context).map(|view| Opened::Backup(Box::new(view)))
}

/// Opens a state of a backup.
pub(crate) fn view(
    repository: &Arc<Repository>,
    at: &At,
    context: &Context,
) -> Result<View, Failure> {
    let selection = match &at.snapshot {
        Some(prefix) => Selection::Snapshot(prefix.clone()),
        None => Selection::Newest,
    };
    let view = repository.clone().view(&selection)?;
    context.output.detail("the backup is open");
    Ok(view)
}

/// The ids of the chats that a person means. Empty when none was named: all.
pub(crate) fn chosen(history: &mut dyn History, pick: &Pick) -> Result<Vec<String>, Failure> {
    if pick.chat.is_empty() {
        return Ok(Vec::new());
    }
    let known = history.list()?;
    pick.chat
        .iter()
        .map(|wish| find_chat(&known, wish).map(|chat| chat.id.clone()))
        .collect()
}

/// The chat that is meant by an id, a name, or the beginning of a name, whatever the case.
pub(crate) fn find_chat<'a>(
    known: &'a [ListedConversation],
    wish: &str,
) -> Result<&'a ListedConversation, Failure> {
    let lower = wish.to_lowercase();
    let title = |chat: &ListedConversation| chat.title.to_lowercase();
    let by: [&dyn Fn(&ListedConversation) -> bool; 4] = [
        &|chat| chat.id == wish,
        &|chat| title(chat) == lower,
        &|chat| title(chat).starts_with(&lower),
        &|chat| title(chat).contains(&lower),
    ];
    for fits in by {
        let found: Vec<_> = known.iter().filter(|chat| fits(chat)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(one),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .take(5)
                    .map(|chat| format!("{} ({})", words::tame(&chat.title), words::tame(&chat.id)))
                    .collect();
                return Err(Failure::usage(format!(
                    "{} chats are called like \"{wish}\"",
                    several.len()
                ))
                .hint(format!("name one by its id: {}", names.join(", "))));
            }
        }
    }
    Err(
        Failure::usage(format!("there is no chat called \"{wish}\""))
            .hint("`heirloom browse STORE` lists the chats"),
    )
}

/// A conversation's name for people.
pub(crate) fn title(chat: &ListedConversation) -> String {
    words::tame(if chat.title.is_empty() {
        &chat.id
    } else {
        &chat.title
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chats() -> Vec<ListedConversation> {
        [
            ("1@g", "Family"),
            ("2@g", "Family trip"),
            ("3@s", "Ben"),
            ("4@s", "Bentley"),
        ]
        .into_iter()
        .map(|(id, title)| ListedConversation {
            id: id.into(),
            app: String::new(),
            title: title.into(),
            messages: 0,
            span: None,
        })
        .collect()
    }

    #[test]
    fn a_chat_is_found_by_id_name_or_beginning() {
        let chats = chats();
        for (wish, id) in [
            ("3@s", "3@s"),
            ("family", "1@g"),
            ("family t", "2@g"),
            ("TRIP", "2@g"),
            ("ben", "3@s"),
        ] {
            assert_eq!(find_chat(&chats, wish).unwrap().id, id, "{wish}");
        }
    }

    #[test]
    fn a_name_that_fits_several_is_asked_back() {
        assert_eq!(
            find_chat(&chats(), "fam").unwrap_err().message,
            "2 chats are called like \"fam\""
        );
        assert_eq!(
            find_chat(&chats(), "zoe").unwrap_err().message,
            "there is no chat called \"zoe\""
        );
    }
}
