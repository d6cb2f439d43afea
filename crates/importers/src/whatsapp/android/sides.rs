//! The tables around `message`, as cursors that move along with it.

use std::ops::RangeInclusive;

use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, Row, Rows, Statement};

use crate::sqlite::Schema;

/// A table beside `message`; the number of its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Media,
    Quoted,
    Location,
    Contact,
    Edit,
    Revoked,
    Poll,
    PollOption,
    System,
    SystemPeople,
    NumberChange,
    AddOn,
    PollVote,
    Receipt,
    MissedCall,
    Call,
    Future,
    ViewOnce,
    Forwarded,
    Template,
}

const SIDES: usize = 20;

/// The plain ones: side, table, key, columns.
const PLAIN: [(Side, &str, &str, &[&str]); 17] = [
    (
        Side::Media,
        "message_media",
        "message_row_id",
        &[
            "file_path",
            "media_name",
            "mime_type",
            "file_hash",
            "file_size",
            "file_length",
            "media_duration",
            "width",
            "height",
            "raw_transcription_text",
            "media_caption",
        ],
    ),
    (
        Side::Quoted,
        "message_quoted",
        "message_row_id",
        &["from_me", "sender_jid_row_id", "key_id", "text_data"],
    ),
    (
        Side::Location,
        "message_location",
        "message_row_id",
        &[
            "latitude",
            "longitude",
            "place_name",
            "place_address",
            "url",
            "live_location_share_duration",
        ],
    ),
    (Side::Contact, "message_vcard", "message_row_id", &["vcard"]),
    (
        Side::Edit,
        "message_edit_info",
        "message_row_id",
        &["edited_timestamp"],
    ),
    (
        Side::Revoked,
        "message_revoked",
        "message_row_id",
        &["admin_jid_row_id", "revoke_timestamp"],
    ),
    (
        Side::Poll,
        "message_poll",
        "message_row_id",
        &["selectable_options_count"],
    ),
    (
        Side::PollOption,
        "message_poll_option",
        "message_row_id",
        &["_id", "option_name", "vote_total"],
    ),
    (
        Side::System,
        "message_system",
        "message_row_id",
        &["action_type"],
    ),
    (
        Side::SystemPeople,
        "message_system_chat_participant",
        "message_row_id",
        &["user_jid_row_id"],
    ),
    (
        Side::NumberChange,
        "message_system_number_change",
        "message_row_id",
        &["old_jid_row_id", "new_jid_row_id"],
    ),
    (
        Side::Receipt,
        "receipt_user",
        "message_row_id",
        &[
            "receipt_user_jid_row_id",
            "receipt_timestamp",
            "read_timestamp",
            "played_timestamp",
        ],
    ),
    (
        Side::MissedCall,
        "missed_call_logs",
        "message_row_id",
        &["video_call"],
    ),
    (
        Side::Future,
        "message_future",
        "message_row_id",
        &["data", "future_proof_stanza", "message_stanza_data"],
    ),
    (
        Side::ViewOnce,
        "message_view_once_media",
        "message_row_id",
        &["state"],
    ),
    (
        Side::Forwarded,
        "message_forwarded",
        "message_row_id",
        &["forward_score"],
    ),
    (
        Side::Template,
        "message_template",
        "message_row_id",
        &["content_text_data", "footer_text_data"],
    ),
];

/// The statements for all tables that a database has.
pub(super) struct Statements<'c> {
    /// Found by key: opened anew for each range.
    seekable: Vec<(Side, Statement<'c>)>,
    /// Found by reading the table: opened once.
    others: Vec<(Side, Statement<'c>)>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection, schema: &Schema) -> rusqlite::Result<Self> {
        let mut all = Self {
            seekable: Vec::new(),
            others: Vec::new(),
        };
        for (side, table, key, columns) in PLAIN {
            if let Some(sql) = schema.select(table, key, columns) {
                // Rows of one message in the order in which they were written.
                let then = if schema.table(table).is_some_and(|table| table.has_row_id) {
                    ", t.rowid"
                } else {
                    ""
                };
                let (sql, then) = if side == Side::Receipt && !then.is_empty() {
                    // There are many, and their index holds them in another order: their reader sorts the few of a message.
                    (sql.replacen(" FROM ", ", t.rowid FROM ", 1), "")
                } else {
                    (sql, then)
                };
                let sql =
                    format!("{sql} WHERE t.\"{key}\" BETWEEN ?1 AND ?2 ORDER BY t.\"{key}\"{then}");
                all.push(side, connection.prepare(&sql)?, schema.seekable(table, key));
            }
        }
        let add_on = |column: &str| schema.column("message_add_on", "a", column);
        if schema.has("message_add_on", "parent_message_row_id")
            && schema.has("message_add_on", "_id")
        {
            let reactions = schema.has("message_add_on_reaction", "message_add_on_row_id");
            let reaction = |column: &str| schema.column("message_add_on_reaction", "r", column);
            let sql = format!(
                "SELECT a.parent_message_row_id, {}, {}, {}, {}, {}, {} FROM message_add_on a {}
                 WHERE a.parent_message_row_id BETWEEN ?1 AND ?2 ORDER BY a.parent_message_row_id, a._id",
                add_on("from_me"),
                add_on("sender_jid_row_id"),
                add_on("message_add_on_type"),
                add_on("timestamp"),
                if reactions { reaction("reaction") } else { "NULL".to_owned() },
                if reactions { reaction("sender_timestamp") } else { "NULL".to_owned() },
                if reactions {
                    "LEFT JOIN message_add_on_reaction r ON r.message_add_on_row_id = a._id"
                } else {
                    ""
                },
            );
            let seekable = schema.seekable("message_add_on", "parent_message_row_id");
            all.push(Side::AddOn, connection.prepare(&sql)?, seekable);
            let votes = "message_add_on_poll_vote_selected_option";
            if schema.has(votes, "message_add_on_row_id")
                && schema.has(votes, "message_poll_option_id")
            {
                // CROSS keeps the order: the few votes first, each with its row of the many.
                let sql = format!(
                    "SELECT a.parent_message_row_id, {}, {}, o.message_poll_option_id FROM {votes} o CROSS JOIN
                     message_add_on a ON a._id = o.message_add_on_row_id
                     WHERE a.parent_message_row_id BETWEEN ?1 AND ?2 ORDER BY a.parent_message_row_id, a._id, o.rowid",
                    add_on("from_me"),
                    add_on("sender_jid_row_id"),
                );
                all.push(Side::PollVote, connection.prepare(&sql)?, false);
            }
        }
        if schema.has("message_call_log", "message_row_id")
            && schema.has("message_call_log", "call_log_row_id")
            && schema.has("call_log", "_id")
        {
            let call = |column: &str| schema.column("call_log", "c", column);
            let sql = format!(
                "SELECT m.message_row_id, {}, {}, {} FROM message_call_log m JOIN call_log c ON c._id = m.call_log_row_id
                 WHERE m.message_row_id BETWEEN ?1 AND ?2 ORDER BY m.message_row_id",
                call("video_call"),
                call("duration"),
                call("from_me"),
            );
            let seekable = schema.seekable("message_call_log", "message_row_id");
            all.push(Side::Call, connection.prepare(&sql)?, seekable);
        }
        Ok(all)
    }

    fn push(&mut self, side: Side, statement: Statement<'c>, seekable: bool) {
        if seekable {
            self.seekable.push((side, statement));
        } else {
            self.others.push((side, statement));
        }
    }

    /// Both groups, the second opened over `span`.
    pub(super) fn split(
        &mut self,
        span: &RangeInclusive<i64>,
    ) -> rusqlite::Result<(&mut [(Side, Statement<'c>)], Cursors<'_>)> {
        let Self { seekable, others } = self;
        Ok((seekable, open(others, span)?))
    }
}

/// One cursor a table.
pub(super) type Cursors<'s> = [Option<Cursor<'s>>; SIDES];

/// Opens each statement over a range of messages.
pub(super) fn open<'s>(
    statements: &'s mut [(Side, Statement<'_>)],
    range: &RangeInclusive<i64>,
) -> rusqlite::Result<Cursors<'s>> {
    let mut cursors: Cursors<'s> = [const { None }; SIDES];
    for (side, statement) in statements {
        let mut cursor = Cursor {
            rows: statement.query([*range.start(), *range.end()])?,
            next: None,
        };
        cursor.step()?;
        cursors[place(*side)] = Some(cursor);
    }
    Ok(cursors)
}

/// Rows of one table in the order of their messages.
pub(super) struct Cursor<'s> {
    rows: Rows<'s>,
    next: Option<i64>,
}

impl Cursor<'_> {
    fn step(&mut self) -> rusqlite::Result<()> {
        self.rows.advance()?;
        self.next = match self.rows.get() {
            Some(row) => Some(row.get(0)?),
            None => None,
        };
        Ok(())
    }
}

/// All cursors, at one message after the other.
pub(super) struct Sides<'r, 'a, 'b> {
    pub(super) seekable: &'r mut Cursors<'a>,
    pub(super) others: &'r mut Cursors<'b>,
}

impl Sides<'_, '_, '_> {
    /// Calls `take` for each row that belongs to `message`; whether there was one. Messages must come in order.
    #[inline]
    pub(super) fn each<E: From<rusqlite::Error>>(
        &mut self,
        side: Side,
        message: i64,
        mut take: impl FnMut(&Row<'_>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let place = place(side);
        if let Some(cursor) = &mut self.seekable[place] {
            return each(cursor, message, &mut take);
        }
        if let Some(cursor) = &mut self.others[place] {
            return each(cursor, message, &mut take);
        }
        Ok(false)
    }
}

#[inline]
fn each<E: From<rusqlite::Error>>(
    cursor: &mut Cursor<'_>,
    message: i64,
    take: &mut impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    while cursor.next.is_some_and(|next| next < message) {
        cursor.step()?;
    }
    let mut any = false;
    while cursor.next == Some(message) {
        if let Some(row) = cursor.rows.get() {
            take(row)?;
        }
        any = true;
        cursor.step()?;
    }
    Ok(any)
}

fn place(side: Side) -> usize {
    match side {
        Side::Media => 0,
        Side::Quoted => 1,
        Side::Location => 2,
        Side::Contact => 3,
        Side::Edit => 4,
        Side::Revoked => 5,
        Side::Poll => 6,
        Side::PollOption => 7,
        Side::System => 8,
        Side::SystemPeople => 9,
        Side::NumberChange => 10,
        Side::AddOn => 11,
        Side::PollVote => 12,
        Side::Receipt => 13,
        Side::MissedCall => 14,
        Side::Call => 15,
        Side::Future => 16,
        Side::ViewOnce => 17,
        Side::Forwarded => 18,
        Side::Template => 19,
    }
}
