//! Which rows changed since last time, from hashes of the pages they lie on.
//!
//! A changed message costs the re-reading of the page that it lies on, not of the database: see
//! [`AndroidFolder::changed_rows`].

mod btree;
mod changes;
pub(in crate::whatsapp::android) mod code;
mod table;

use heirloom_archive::SourceError;

use super::{AndroidFolder, SchemaKind};
use crate::sqlite::{Schema, Table};
use btree::{Noted, Pages};
use code::EncodedLeaves;

pub(in crate::whatsapp::android) use table::{MessageRows, Next};

/// How the rows of a table lead to messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leads {
    /// This column is the message's row.
    Message(&'static str),
    /// This column is the row of an addition (a reaction, a vote), which leads to the message.
    AddOn(&'static str),
    /// It is a call.
    Call,
}

/// Every table that a message's record is made from. The place in this list is part of the encoding.
const TRACKED: [(&str, Leads); 23] = [
    ("message", Leads::Message("_id")),
    ("message_media", Leads::Message("message_row_id")),
    ("message_quoted", Leads::Message("message_row_id")),
    ("message_location", Leads::Message("message_row_id")),
    ("message_vcard", Leads::Message("message_row_id")),
    ("message_edit_info", Leads::Message("message_row_id")),
    ("message_revoked", Leads::Message("message_row_id")),
    ("message_poll", Leads::Message("message_row_id")),
    ("message_poll_option", Leads::Message("message_row_id")),
    ("message_system", Leads::Message("message_row_id")),
    (
        "message_system_chat_participant",
        Leads::Message("message_row_id"),
    ),
    (
        "message_system_number_change",
        Leads::Message("message_row_id"),
    ),
    ("message_add_on", Leads::Message("parent_message_row_id")),
    ("receipt_user", Leads::Message("message_row_id")),
    ("missed_call_logs", Leads::Message("message_row_id")),
    ("message_future", Leads::Message("message_row_id")),
    ("message_view_once_media", Leads::Message("message_row_id")),
    ("message_forwarded", Leads::Message("message_row_id")),
    ("message_template", Leads::Message("message_row_id")),
    ("message_call_log", Leads::Message("message_row_id")),
    (
        "message_add_on_reaction",
        Leads::AddOn("message_add_on_row_id"),
    ),
    (
        "message_add_on_poll_vote_selected_option",
        Leads::AddOn("message_add_on_row_id"),
    ),
    ("call_log", Leads::Call),
];

/// A hash of one page and all that hangs on it. Keyed, so that the map says nothing to who lacks the key.
type PageHash = [u8; 8];

/// What the pages of a database held at one time. About 12 bytes a page with messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageMap {
    page_bytes: u32,
    /// Names, columns and order of the tracked tables.
    schema: PageHash,
    /// Who the ids up to this row stood for.
    people: Identity,
    /// Which conversations the rows up to this one stood for.
    chats: Identity,
    /// By place in [`TRACKED`].
    tables: Vec<(u8, Vec<Leaf>)>,
}

/// What the rows up to `last` of a table meant to the records of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Identity {
    last: i64,
    hash: PageHash,
}

/// A page with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Leaf {
    first: i64,
    last: i64,
    hash: PageHash,
    /// Where rows lie far apart, or name others: the messages' (or additions') rows that this page speaks of.
    links: Vec<i64>,
}

/// Hashes of the pages of `message`, made while its rows are read.
pub(super) struct MessagePages {
    pub(super) key: [u8; 32],
    /// When all rows were read.
    pub(super) leaves: Option<EncodedLeaves>,
}

impl MessagePages {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            leaves: None,
        }
    }
}

impl AndroidFolder {
    /// Hashes the pages of all tables that messages are read from. `key` must be secret, and the same for maps
    /// that are compared.
    ///
    /// Reads these pages once. `None`: the database has another schema, or pages that are not as they should be.
    pub fn page_map(&self, key: &[u8; 32]) -> Result<Option<PageMap>, SourceError> {
        self.page_map_of(key, |_| true)
    }

    /// The map without the table of messages, for [`PageMap::encoded_with_messages`]: where all of that is read anyway, its
    /// pages are hashed on the way.
    pub(super) fn page_map_beside(&self, key: &[u8; 32]) -> Result<Option<PageMap>, SourceError> {
        self.page_map_of(key, |name| name != "message")
    }

    fn page_map_of(
        &self,
        key: &[u8; 32],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<PageMap>, SourceError> {
        if self.schema != SchemaKind::Modern {
            return Ok(None);
        }
        let at = |source| SourceError::Io {
            path: self.layout.label.clone(),
            source,
        };
        let Some(mut pages) = Pages::open(&self.database.path, key).map_err(at)? else {
            return Ok(None);
        };
        let mut tables = Vec::new();
        for (place, (name, leads)) in (0u8..).zip(TRACKED).filter(|(_, (name, _))| wanted(name)) {
            let Some(table) = self.database.schema.table(name) else {
                continue;
            };
            let Some(noted) = noted_of(table, name, leads) else {
                return Ok(None);
            };
            let Ok(root) = u32::try_from(table.root) else {
                return Ok(None);
            };
            let Some(leaves) = pages.leaves(root, noted).map_err(at)? else {
                return Ok(None);
            };
            tables.push((place, leaves));
        }
        let (people, chats) = self.identities(i64::MAX, i64::MAX)?;
        let schema = schema_hash(&self.database.schema);
        Ok(Some(PageMap {
            page_bytes: pages.page_bytes(),
            schema,
            people,
            chats,
            tables,
        }))
    }
}

/// What to note of a table's rows so that they lead on; `None`: no way.
fn noted_of(table: &Table, name: &str, leads: Leads) -> Option<Noted> {
    if !table.has_row_id {
        return None;
    }
    let column = match leads {
        Leads::Call => return Some(Noted::Span),
        Leads::Message(column) | Leads::AddOn(column) => column,
    };
    Some(if name == "message" {
        Noted::Span
    } else if table.row_id.as_deref() == Some(column) {
        Noted::Rows
    } else {
        // Without the column the reader does not look at the table.
        table
            .columns
            .get(column)
            .map_or(Noted::Span, |place| Noted::Column(*place))
    })
}

/// Whether the leaves of a table carry links.
fn has_links(schema: &Schema, name: &str, leads: Leads) -> bool {
    schema
        .table(name)
        .and_then(|table| noted_of(table, name, leads))
        .is_some_and(|noted| noted != Noted::Span)
}

/// A table or column more or less may change every record.
fn schema_hash(schema: &Schema) -> PageHash {
    let mut hasher = blake3::Hasher::new();
    for (name, _) in TRACKED {
        hasher.update(name.as_bytes()).update(&[0]);
        let Some(table) = schema.table(name) else {
            continue;
        };
        for (column, place) in &table.columns {
            hasher.update(format!("{column} {place}\n").as_bytes());
        }
    }
    for name in ["jid", "jid_map", "lid_display_name", "chat"] {
        hasher.update(&[u8::from(schema.table(name).is_some())]);
    }
    short(&hasher)
}

fn short(hasher: &blake3::Hasher) -> PageHash {
    let mut hash = [0; 8];
    hash.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    hash
}

#[cfg(test)]
mod tests;
