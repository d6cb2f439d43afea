//! Names for ids.

use std::collections::HashMap;

use heirloom_archive::{Conversation, Participant};

/// The people of a history by every id they have.
#[derive(Debug, Default)]
pub(crate) struct People {
    names: HashMap<String, String>,
}

impl People {
    pub(crate) fn new(participants: &[Participant]) -> Self {
        let mut names = HashMap::new();
        for participant in participants {
            let Participant {
                id,
                name,
                phone,
                is_owner: _,
                aliases,
            } = participant;
            let shown = [name, phone, id]
                .into_iter()
                .find(|text| !text.trim().is_empty());
            let shown = shown.cloned().unwrap_or_default();
            for alias in aliases {
                names.entry(alias.clone()).or_insert_with(|| shown.clone());
            }
            names.insert(id.clone(), shown);
        }
        Self { names }
    }

    /// The name that a person is shown by; the id itself when nothing better is known.
    pub(crate) fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    /// What a conversation is called, even if it has no title.
    pub(crate) fn title(&self, conversation: &Conversation) -> String {
        let title = conversation.title.trim();
        if !title.is_empty() {
            return title.to_owned();
        }
        match self.name(&conversation.id).trim() {
            "" => "Chat without a name".to_owned(),
            name => name.to_owned(),
        }
    }
}
