//! The schema since 2021: `message` and the tables around it.

mod chats;
mod message;

use std::ops::RangeInclusive;
use std::sync::Arc;

use heirloom_archive::report::Kind;
use heirloom_archive::{Call, Message, MessageKind, Report, Sink, SourceError};
use rusqlite::{Row, Statement};

use super::files::Files;
use super::once::Once;
use super::pages::{MessagePages, MessageRows, Next};
use super::people::{Names, People};
use super::ranges::RowRanges;
use super::sides::{Cursors, Sides, Statements, open};
use super::since::Tally;
use crate::sqlite::{Cells, Database, Values};
use chats::{Chat, Chats};

pub(super) use chats::chat_identities;

/// What is read.
pub(super) struct Wanted<'w> {
    pub(super) rows: &'w RowRanges,
    /// Where all rows are read: the hashes of their pages are put here.
    pub(super) hashes: Option<&'w mut MessagePages>,
}

/// Reads the messages of the rows, and all people with names and all conversations.
pub(super) fn read(
    database: &Database,
    names: &Names,
    files: &Files,
    wanted: Wanted<'_>,
    sink: &mut dyn Sink,
    report: &mut Report,
    tally: &mut Tally,
) -> Result<(), SourceError> {
    let mut people = People::read(database, names)?;
    people.give_named(sink)?;
    let mut values = Values::default();
    let chats = Chats::read(database, &mut people, &mut values, sink, report)
        .map_err(|stop| stop.into(database))?;
    tally.listed = report.counts(Kind::Conversations).taken;
    let indexed = finds_keys(database);
    let newest = "SELECT coalesce(max(_id), 0) FROM message";
    let newest = database.connection.query_row(newest, [], |row| row.get(0));
    let once = Once::new(newest.unwrap_or(i64::MAX), indexed);
    let mut reader = Reader {
        database,
        people,
        chats,
        files,
        values,
        sink,
        report,
        tally,
        once,
        indexed,
        earlier: None,
    };
    let rows = wanted.rows;
    reader
        .messages(wanted)
        .map_err(|stop| stop.into(database))?;
    reader.calls(rows).map_err(|stop| stop.into(database))?;
    for _ in 0..reader.values.mended {
        reader
            .report
            .note("texts that are not valid UTF-8; what could not be read is shown as \u{FFFD}");
    }
    Ok(())
}

/// Why reading stopped.
enum Stop {
    Sql(rusqlite::Error),
    Source(SourceError),
}

impl Stop {
    fn into(self, database: &Database) -> SourceError {
        match self {
            Self::Sql(error) => database.failure(error),
            Self::Source(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

impl From<heirloom_archive::SinkError> for Stop {
    fn from(error: heirloom_archive::SinkError) -> Self {
        Self::Source(error.into())
    }
}

/// The columns of `message`, in the order in which they are selected behind `_id`.
const COLUMNS: [&str; 9] = [
    "chat_row_id",
    "from_me",
    "key_id",
    "sender_jid_row_id",
    "timestamp",
    "received_timestamp",
    "message_type",
    "text_data",
    "starred",
];
const CHAT: usize = 1;
const FROM_ME: usize = 2;
const KEY: usize = 3;
const SENDER: usize = 4;
const TIME: usize = 5;
const RECEIVED: usize = 6;
const TYPE: usize = 7;
const TEXT: usize = 8;
const STARRED: usize = 9;
const ORIGIN: usize = 10;

struct Reader<'a> {
    database: &'a Database,
    people: People<'a>,
    chats: Chats,
    files: &'a Files,
    values: Values,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    tally: &'a mut Tally,
    once: Once,
    /// Whether rows are found by their key.
    indexed: bool,
    /// Asks for earlier rows with the same key.
    earlier: Option<Statement<'a>>,
}

impl Reader<'_> {
    fn messages(&mut self, wanted: Wanted<'_>) -> Result<(), Stop> {
        let Wanted { rows, mut hashes } = wanted;
        let ranges = rows.messages();
        let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
            return Ok(());
        };
        let span = *first.start()..=*last.end();
        let database = self.database;
        let mut statements = Statements::prepare(&database.connection, &database.schema)?;
        let (seekable, mut others) = statements.split(&span)?;
        let mut columns = COLUMNS.to_vec();
        columns.push("origin");
        let select = database
            .schema
            .select("message", "_id", &columns)
            .unwrap_or_default();
        let sql = format!("{select} WHERE t._id BETWEEN ?1 AND ?2 ORDER BY t._id");
        let mut query = database.connection.prepare(&sql)?;
        let mut before = (!rows.is_all() && !self.indexed)
            .then(|| Before::prepare(database))
            .transpose()?;
        let mut before = before
            .as_mut()
            .map(|before| before.query([*span.end()]))
            .transpose()?;
        let mut pending = None;
        columns.insert(0, "_id");
        let mut table = if rows.is_all() {
            MessageRows::open(database, &columns, hashes.as_deref())
        } else {
            None
        };
        for range in ranges {
            let mut cursors = open(seekable, &range)?;
            let mut from = *range.start();
            if let Some(mut table) = table.take() {
                if self.past_sqlite(&mut table, &mut query, &mut cursors, &mut others)? {
                    if let Some(hashes) = &mut hashes {
                        hashes.leaves = table.into_hashes();
                    }
                    continue;
                }
                // From the broken page on, SQLite says what is wrong.
                from = table.last().map_or(from, |last| last.saturating_add(1));
            }
            let mut found = query.query([from, *range.end()])?;
            while let Some(row) = found.next()? {
                let id: i64 = row.get(0)?;
                if let Some(before) = &mut before {
                    self.note_until(id, before, &mut pending)?;
                }
                self.one(id, row, rows.is_all(), &mut cursors, &mut others)?;
            }
        }
        Ok(())
    }

    /// Reads all messages from the pages of their table; `false` where that is broken.
    fn past_sqlite(
        &mut self,
        table: &mut MessageRows,
        query: &mut Statement<'_>,
        seekable: &mut Cursors<'_>,
        others: &mut Cursors<'_>,
    ) -> Result<bool, Stop> {
        loop {
            match table.next() {
                Next::Row(row) => self.one(row.row, &row, true, seekable, others)?,
                Next::Other(id) => {
                    let mut found = query.query([id, id])?;
                    if let Some(row) = found.next()? {
                        self.one(id, row, true, seekable, others)?;
                    }
                }
                Next::End => return Ok(true),
                Next::Broken => return Ok(false),
            }
        }
    }

    fn one(
        &mut self,
        id: i64,
        row: &impl Cells,
        all: bool,
        seekable: &mut Cursors<'_>,
        others: &mut Cursors<'_>,
    ) -> Result<(), Stop> {
        let key = self.values.text(row, KEY);
        let chat_row = Values::number(row, CHAT);
        // The row that WhatsApp puts first into every database.
        if chat_row == -1 && key == "-1" {
            return Ok(());
        }
        let chat = self.chats.of(chat_row, self.sink, self.report)?;
        // Asked early, for its answer comes from far away in memory.
        let by_filter = all || !self.indexed;
        let seen = by_filter && self.once.maybe_seen(chat.conversation.0, &key);
        let mut sides = Sides { seekable, others };
        let before = self.report.counts(Kind::Attachments);
        let mut message = self.message(id, row, &chat, &mut sides)?;
        self.tally
            .attachments(id, before, self.report.counts(Kind::Attachments));
        let again = if by_filter {
            seen && (!self.once.may_look_up() || self.is_earlier(id, row, &chat, &message, &key)?)
        } else {
            self.is_earlier(id, row, &chat, &message, &key)?
        };
        message.id = match (key.is_empty(), again) {
            (true, _) => format!("row/{id}"),
            (false, true) => {
                self.report
                    .note("messages with the id of an earlier one; both are kept");
                format!("{key}/{id}")
            }
            (false, false) => key,
        };
        self.sink.message(chat.conversation, message)?;
        self.report.take(Kind::Messages);
        Ok(())
    }

    /// Who wrote a row: nobody for events, the owner, the sender, or the other one of two.
    fn author(
        &mut self,
        chat: &Chat,
        from_me: bool,
        sender: i64,
    ) -> Result<Option<Arc<str>>, SourceError> {
        if from_me {
            return Ok(Some(Arc::clone(&self.chats.owner)));
        }
        match self.people.person(sender, self.sink)? {
            Some(person) => Ok(Some(person)),
            None => Ok(chat.other.clone()),
        }
    }

    /// Whether an earlier row has the same conversation, author and key.
    fn is_earlier(
        &mut self,
        id: i64,
        row: &impl Cells,
        chat: &Chat,
        message: &Message,
        key: &str,
    ) -> Result<bool, Stop> {
        if !self.database.schema.has("message", "key_id") {
            return Ok(false);
        }
        let mut statement = match self.earlier.take() {
            Some(statement) => statement,
            None => self.database.connection.prepare(&format!(
                "SELECT 0, 0, {}, 0, {}, 0, 0, {} FROM message t
                 WHERE chat_row_id = ?1 AND key_id = ?2 AND _id < ?3 AND from_me IN (0, 1) LIMIT 1000",
                self.database.schema.column("message", "t", "from_me"),
                self.database.schema.column("message", "t", "sender_jid_row_id"),
                self.database.schema.column("message", "t", "message_type"),
            ))?,
        };
        let mut found = false;
        {
            let mut rows = statement.query((Values::number(row, CHAT), key, id))?;
            while let Some(other) = rows.next()? {
                found |= self.author_of_row(chat, other)? == message.author;
            }
        }
        self.earlier = Some(statement);
        Ok(found)
    }

    /// The author of a row of which only [`FROM_ME`], [`SENDER`] and [`TYPE`] were read. Gives nobody to the sink.
    fn author_of_row(&mut self, chat: &Chat, row: &Row<'_>) -> Result<String, SourceError> {
        if super::kinds::message_kind(Values::integer(row, TYPE).unwrap_or(-1))
            == Some(MessageKind::System)
        {
            return Ok(String::new());
        }
        if Values::flag(row, FROM_ME) {
            return Ok(self.chats.owner.to_string());
        }
        let sender = Values::number(row, SENDER);
        let person = if sender > 0 {
            self.people.id_of(sender)?
        } else {
            None
        };
        Ok(person
            .or_else(|| chat.other.clone())
            .map(|id| id.to_string())
            .unwrap_or_default())
    }

    /// Notes the keys of all rows before `id`: for files without an index over keys, of which a part is read.
    fn note_until(
        &mut self,
        id: i64,
        before: &mut rusqlite::Rows<'_>,
        pending: &mut Option<i64>,
    ) -> Result<(), Stop> {
        // `pending` is a row that was reached and is not before the last `id`.
        if pending.is_some_and(|pending| pending >= id) {
            return Ok(());
        }
        while let Some(row) = before.next()? {
            let at: i64 = row.get(0)?;
            if at >= id {
                *pending = Some(at);
                return Ok(());
            }
            let Some(chat) = self.chats.known(Values::number(row, CHAT)) else {
                continue;
            };
            let key = self.values.text(row, KEY);
            self.once.maybe_seen(chat.conversation.0, &key);
        }
        Ok(())
    }

    /// Calls that have no message: the call list is a table of its own.
    fn calls(&mut self, rows: &RowRanges) -> Result<(), Stop> {
        let schema = &self.database.schema;
        let columns = [
            "jid_row_id",
            "group_jid_row_id",
            "from_me",
            "call_id",
            "timestamp",
            "video_call",
            "duration",
        ];
        let Some(select) = schema.select("call_log", "_id", &columns) else {
            return Ok(());
        };
        let linked = if schema.has("message_call_log", "call_log_row_id") {
            "AND t._id NOT IN (SELECT call_log_row_id FROM message_call_log WHERE call_log_row_id IS NOT NULL)"
        } else {
            ""
        };
        let sql = format!("{select} WHERE t._id BETWEEN ?1 AND ?2 {linked} ORDER BY t._id");
        let mut query = self.database.connection.prepare(&sql)?;
        for range in rows.calls() {
            self.calls_of(&mut query, &range)?;
        }
        Ok(())
    }

    fn calls_of(
        &mut self,
        query: &mut Statement<'_>,
        range: &RangeInclusive<i64>,
    ) -> Result<(), Stop> {
        let mut rows = query.query([*range.start(), *range.end()])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            let (with, group, from_me) = (
                Values::number(row, 1),
                Values::number(row, 2),
                Values::flag(row, 3),
            );
            let place = if group > 0 { group } else { with };
            let conversation =
                self.chats
                    .of_jid(place, &mut self.people, self.sink, self.report)?;
            let seconds = Values::count(row, 7);
            let chat = Chat {
                conversation,
                other: None,
            };
            let author = self.author(&chat, from_me, with)?;
            let call_id = self.values.text(row, 4);
            let mut message = Message {
                // Row numbers keep apart what one call may have several of.
                id: format!("call/{id}/{call_id}"),
                author: author.map(|author| author.to_string()).unwrap_or_default(),
                sent_at: Values::time(row, 5),
                from_owner: from_me,
                call: Some(Call {
                    video: Values::flag(row, 6),
                    missed: !from_me && seconds == 0,
                    seconds,
                }),
                ..Message::default()
            };
            message.set_kind(MessageKind::Call);
            self.sink.message(conversation, message)?;
            self.report.take(Kind::Messages);
            self.tally.calls += 1;
        }
        Ok(())
    }
}

/// Whether rows are found by their key without reading the table.
fn finds_keys(database: &Database) -> bool {
    let with_key = |index: &Vec<String>| {
        index
            .iter()
            .take_while(|column| matches!(column.as_str(), "chat_row_id" | "from_me" | "key_id"))
            .any(|column| column == "key_id")
    };
    database
        .schema
        .table("message")
        .is_some_and(|table| table.indexes.iter().any(with_key))
}

/// All keys in order, for a file in which none is found.
struct Before;

impl Before {
    fn prepare(database: &Database) -> rusqlite::Result<Statement<'_>> {
        let columns = ["chat_row_id", "from_me", "key_id"];
        let sql = database
            .schema
            .select("message", "_id", &columns)
            .unwrap_or_default();
        database
            .connection
            .prepare(&format!("{sql} WHERE t._id <= ?1 ORDER BY t._id"))
    }
}
