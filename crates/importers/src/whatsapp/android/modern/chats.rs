//! The conversations.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use heirloom_archive::report::Kind;
use heirloom_archive::{
    Conversation, ConversationKind, ConversationRef, Report, Sink, SourceError,
};

use super::super::OWNER;
use super::super::kinds::{conversation_kind, phone_of};
use super::super::people::People;
use super::super::rows::ByRow;
use super::Stop;
use crate::sqlite::{Database, Values};

/// People of groups that are kept while conversations are read.
const MEMBERS_MAX: usize = 1_000_000;

/// A conversation during a run.
#[derive(Debug, Clone)]
pub(super) struct Chat {
    pub(super) conversation: ConversationRef,
    /// Who writes where no sender is named: the other one of two, or the channel.
    pub(super) other: Option<Arc<str>>,
}

/// All conversations of the file.
#[derive(Debug)]
pub(super) struct Chats {
    pub(super) owner: Arc<str>,
    by_row: ByRow<Chat>,
    /// By row of `jid`.
    by_jid: HashMap<i64, i64>,
    /// Ids that are taken.
    ids: HashSet<String>,
    /// Of calls in no conversation.
    of_calls: HashMap<i64, ConversationRef>,
}

/// One row of `chat`.
struct Found {
    row: i64,
    jid: i64,
    subject: String,
    created_at: i64,
    archived: bool,
}

impl Chats {
    pub(super) fn read(
        database: &Database,
        people: &mut People<'_>,
        values: &mut Values,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Result<Self, Stop> {
        let mut chats = Self {
            owner: OWNER.into(),
            by_row: ByRow::default(),
            by_jid: HashMap::new(),
            ids: HashSet::new(),
            of_calls: HashMap::new(),
        };
        let found = rows(database, values)?;
        let mut members = members(database)?;
        let titles = channel_titles(database, values)?;
        let ids = ids(&found, people)?;
        for (chat, id) in found.into_iter().zip(ids) {
            let kind = conversation_kind(&id);
            let mut participants = Vec::new();
            if kind == ConversationKind::Direct {
                participants.extend(people.person(chat.jid, sink)?.map(|id| id.to_string()));
            }
            for member in members.remove(&chat.jid).unwrap_or_default() {
                participants.extend(people.person(member, sink)?.map(|id| id.to_string()));
            }
            participants.sort();
            participants.dedup();
            let title = if chat.subject.is_empty() {
                people
                    .name_of(chat.jid)?
                    .or_else(|| titles.get(&chat.row).cloned())
                    .or_else(|| phone_of(&id))
                    .unwrap_or_else(|| id.split('@').next().unwrap_or_default().to_owned())
            } else {
                chat.subject
            };
            let other = matches!(kind, ConversationKind::Direct | ConversationKind::Channel)
                .then(|| Arc::clone(&id));
            let id = chats.free_id(&id, chat.row);
            let mut conversation = Conversation {
                id,
                app: "whatsapp".to_owned(),
                title,
                created_at: chat.created_at,
                archived: chat.archived,
                participants,
                ..Conversation::default()
            };
            conversation.set_kind(kind);
            let conversation = sink.conversation(conversation)?;
            report.take(Kind::Conversations);
            chats.by_jid.insert(chat.jid, chat.row);
            chats.by_row.insert(
                chat.row,
                Chat {
                    conversation,
                    other,
                },
            );
        }
        Ok(chats)
    }

    /// The conversation of a row of `chat`; where that is missing, one is made so that its messages are kept.
    pub(super) fn of(
        &mut self,
        row: i64,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Result<Chat, SourceError> {
        if let Some(chat) = self.by_row.get(row) {
            return Ok(chat.clone());
        }
        report.note("conversations that the list of conversations does not have");
        let id = self.free_id(&format!("chat/{row}"), row);
        let conversation = Self::make(id, format!("Conversation {row}"), sink, report)?;
        let chat = Chat {
            conversation,
            other: None,
        };
        self.by_row.insert(row, chat.clone());
        Ok(chat)
    }

    /// The conversation of a row, if it has one.
    pub(super) fn known(&self, row: i64) -> Option<Chat> {
        self.by_row.get(row).cloned()
    }

    /// The conversation with a person or group, for calls.
    pub(super) fn of_jid(
        &mut self,
        jid: i64,
        people: &mut People<'_>,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Result<ConversationRef, SourceError> {
        if let Some(chat) = self.by_jid.get(&jid).and_then(|row| self.by_row.get(*row)) {
            return Ok(chat.conversation);
        }
        if let Some(conversation) = self.of_calls.get(&jid) {
            return Ok(*conversation);
        }
        let id = people
            .id_of(jid)?
            .unwrap_or_else(|| format!("call/{jid}").into());
        people.person(jid, sink)?;
        let title = people
            .name_of(jid)?
            .or_else(|| phone_of(&id))
            .unwrap_or_else(|| id.to_string());
        let id = self.free_id(&id, jid);
        let conversation = Self::make(id, title, sink, report)?;
        self.of_calls.insert(jid, conversation);
        Ok(conversation)
    }

    fn make(
        id: String,
        title: String,
        sink: &mut dyn Sink,
        report: &mut Report,
    ) -> Result<ConversationRef, SourceError> {
        let kind = conversation_kind(&id);
        let mut conversation = Conversation {
            id,
            app: "whatsapp".to_owned(),
            title,
            ..Conversation::default()
        };
        conversation.set_kind(kind);
        report.take(Kind::Conversations);
        Ok(sink.conversation(conversation)?)
    }

    /// The id, or one beside it where two conversations claim the same.
    fn free_id(&mut self, id: &str, row: i64) -> String {
        let mut id = id.to_owned();
        while !self.ids.insert(id.clone()) {
            id = format!("{id}/{row}");
        }
        id
    }
}

/// What each row of `chat` stands for: part of what messages are told apart by.
pub(in super::super) fn chat_identities(
    database: &Database,
    people: &mut People<'_>,
) -> Result<Vec<(i64, Arc<str>)>, SourceError> {
    let found = rows(database, &mut Values::default()).map_err(|stop| stop.into(database))?;
    let ids = ids(&found, people)?;
    Ok(found.into_iter().map(|chat| chat.row).zip(ids).collect())
}

/// A conversation keeps its id when `WhatsApp` turns a number into a "…@lid", unless both exist.
fn ids(found: &[Found], people: &mut People<'_>) -> Result<Vec<Arc<str>>, SourceError> {
    let mut own_ids = HashSet::new();
    for chat in found {
        own_ids.extend(people.jid(chat.jid)?);
    }
    let mut ids = Vec::with_capacity(found.len());
    for chat in found {
        ids.push(match (people.jid(chat.jid)?, people.id_of(chat.jid)?) {
            (Some(own), Some(person)) if own != person && !own_ids.contains(&person) => person,
            (Some(own), _) => own,
            (None, _) => format!("chat/{}", chat.row).into(),
        });
    }
    Ok(ids)
}

fn rows(database: &Database, values: &mut Values) -> Result<Vec<Found>, Stop> {
    let columns = ["jid_row_id", "subject", "created_timestamp", "archived"];
    let Some(sql) = database.schema.select("chat", "_id", &columns) else {
        return Ok(Vec::new());
    };
    let mut query = database
        .connection
        .prepare(&format!("{sql} ORDER BY t._id"))?;
    let mut rows = query.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Found {
            row: Values::number(row, 0),
            jid: Values::number(row, 1),
            subject: values.text(row, 2),
            created_at: Values::time(row, 3),
            archived: Values::flag(row, 4),
        });
    }
    Ok(found)
}

/// Rows of `jid` in each group, by the group's row.
fn members(database: &Database) -> Result<HashMap<i64, Vec<i64>>, Stop> {
    let mut members: HashMap<i64, Vec<i64>> = HashMap::new();
    let sql = database.schema.select(
        "group_participant_user",
        "group_jid_row_id",
        &["user_jid_row_id"],
    );
    let Some(sql) = sql else { return Ok(members) };
    let mut query = database
        .connection
        .prepare(&format!("{sql} LIMIT {MEMBERS_MAX}"))?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        members
            .entry(Values::number(row, 0))
            .or_default()
            .push(Values::number(row, 1));
    }
    Ok(members)
}

fn channel_titles(database: &Database, values: &mut Values) -> Result<HashMap<i64, String>, Stop> {
    let mut titles = HashMap::new();
    let Some(sql) = database
        .schema
        .select("newsletter", "chat_row_id", &["name"])
    else {
        return Ok(titles);
    };
    let mut query = database.connection.prepare(&sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let name = values.text(row, 1);
        if !name.is_empty() {
            titles.insert(Values::number(row, 0), name);
        }
    }
    Ok(titles)
}
