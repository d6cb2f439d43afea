//! The schema up to 2021: one wide table `messages`.

use std::collections::{HashMap, HashSet};

use heirloom_archive::report::Kind;
use heirloom_archive::{
    Call, Conversation, ConversationKind, ConversationRef, Deleted, Location, Message, MessageKind,
    Participant, Raw, Reply, Report, Sink, SourceError, System,
};
use rusqlite::Row;

use super::OWNER;
use super::build::{MediaFacts, contact, refine};
use super::files::{Files, Found};
use super::kinds::{action_words, conversation_kind, is_medium, message_kind, phone_of};
use super::once::Once;
use super::people::{Names, owner};
use crate::sqlite::{Database, Values};

/// Columns behind `_id`.
const COLUMNS: [&str; 25] = [
    "key_remote_jid",
    "key_from_me",
    "key_id",
    "status",
    "data",
    "timestamp",
    "received_timestamp",
    "media_wa_type",
    "media_mime_type",
    "media_size",
    "media_name",
    "media_caption",
    "media_hash",
    "media_duration",
    "media_url",
    "origin",
    "latitude",
    "longitude",
    "remote_resource",
    "thumb_image",
    "quoted_row_id",
    "starred",
    "forwarded",
    "edit_version",
    "raw_data",
];
/// The `status` of an event; its number stands in `media_size`.
const STATUS_EVENT: i64 = 6;
const RAW_MAX_BYTES: usize = 1 << 20;
/// Names of people that were given to the sink.
const GIVEN_MAX: usize = 200_000;

/// Reads everything.
pub(super) fn read(
    database: &Database,
    names: &Names,
    files: &Files,
    sink: &mut dyn Sink,
    report: &mut Report,
) -> Result<(), SourceError> {
    sink.participant(owner())?;
    let mut reader = Reader {
        database,
        names,
        files,
        sink,
        report,
        values: Values::default(),
        chats: HashMap::new(),
        given: HashSet::new(),
        once: Once::new(i64::MAX, false),
    };
    reader.conversations()?;
    reader.messages()?;
    for _ in 0..reader.values.mended {
        reader
            .report
            .note("texts that are not valid UTF-8; what could not be read is shown as \u{FFFD}");
    }
    Ok(())
}

struct Reader<'a> {
    database: &'a Database,
    names: &'a Names,
    files: &'a Files,
    sink: &'a mut dyn Sink,
    report: &'a mut Report,
    values: Values,
    chats: HashMap<String, ConversationRef>,
    given: HashSet<String>,
    once: Once,
}

impl Reader<'_> {
    /// From `chat_list`, or from `chat` and `jid` in files from the time of the change.
    fn conversations(&mut self) -> Result<(), SourceError> {
        let schema = &self.database.schema;
        let sql = if let Some(sql) = schema.select(
            "chat_list",
            "key_remote_jid",
            &["subject", "creation", "archived"],
        ) {
            sql
        } else if schema.has("chat", "jid_row_id") && schema.has("jid", "raw_string") {
            let chat = |column: &str| schema.column("chat", "c", column);
            format!(
                "SELECT j.raw_string, {}, {}, {} FROM chat c JOIN jid j ON j._id = c.jid_row_id ORDER BY c._id",
                chat("subject"),
                chat("created_timestamp"),
                chat("archived")
            )
        } else {
            return Ok(());
        };
        let failed = |error| self.database.failure(error);
        let mut query = self.database.connection.prepare(&sql).map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let jid = self.values.text(row, 0);
            if jid.is_empty() || jid == "-1" || self.chats.contains_key(&jid) {
                continue;
            }
            let subject = self.values.text(row, 1);
            self.conversation(&jid, subject, Values::time(row, 2), Values::flag(row, 3))?;
        }
        Ok(())
    }

    fn conversation(
        &mut self,
        jid: &str,
        subject: String,
        created_at: i64,
        archived: bool,
    ) -> Result<ConversationRef, SourceError> {
        if let Some(known) = self.chats.get(jid) {
            return Ok(*known);
        }
        let kind = conversation_kind(jid);
        let title = if subject.is_empty() {
            let name = self
                .names
                .of(jid)
                .map(str::to_owned)
                .or_else(|| phone_of(jid));
            name.unwrap_or_else(|| jid.split('@').next().unwrap_or_default().to_owned())
        } else {
            subject
        };
        let mut participants = Vec::new();
        if kind == ConversationKind::Direct {
            self.person(jid)?;
            participants.push(jid.to_owned());
        }
        let mut conversation = Conversation {
            id: jid.to_owned(),
            app: "whatsapp".to_owned(),
            title,
            created_at,
            archived,
            participants,
            ..Conversation::default()
        };
        conversation.set_kind(kind);
        let handle = self.sink.conversation(conversation)?;
        self.report.take(Kind::Conversations);
        self.chats.insert(jid.to_owned(), handle);
        Ok(handle)
    }

    fn person(&mut self, jid: &str) -> Result<(), SourceError> {
        if self.given.contains(jid) {
            return Ok(());
        }
        let name = self.names.of(jid).unwrap_or_default().to_owned();
        let phone = phone_of(jid).unwrap_or_default();
        self.sink.participant(Participant {
            id: jid.to_owned(),
            name,
            phone,
            ..Participant::default()
        })?;
        if self.given.len() >= GIVEN_MAX {
            self.given.clear();
        }
        self.given.insert(jid.to_owned());
        Ok(())
    }

    fn messages(&mut self) -> Result<(), SourceError> {
        let failed = |error| self.database.failure(error);
        let schema = &self.database.schema;
        let Some(select) = schema.select("messages", "_id", &COLUMNS) else {
            return Ok(());
        };
        let quotes = schema.select(
            "messages_quotes",
            "_id",
            &[
                "key_remote_jid",
                "key_from_me",
                "key_id",
                "data",
                "remote_resource",
            ],
        );
        let connection = &self.database.connection;
        let mut quotes = quotes
            .map(|sql| connection.prepare(&format!("{sql} WHERE t._id = ?1")))
            .transpose()
            .map_err(failed)?;
        let mut query = connection
            .prepare(&format!("{select} ORDER BY t._id"))
            .map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let id = Values::number(row, 0);
            let jid = self.values.text(row, 1);
            if jid == "-1" {
                continue;
            }
            let conversation = self.conversation(&jid, String::new(), 0, false)?;
            let mut message = self.message(row, &jid)?;
            let answers_row = Values::number(row, 21);
            if let (Some(quotes), true) = (&mut quotes, answers_row > 0) {
                let mut quotes = quotes.query([answers_row]).map_err(failed)?;
                if let Some(quote) = quotes.next().map_err(failed)? {
                    let chat = self.values.text(quote, 1);
                    let sender = self.values.text(quote, 5);
                    message.reply_to = Some(Reply {
                        message: self.values.text(quote, 3),
                        author: author(Values::flag(quote, 2), &chat, sender),
                        text: self.values.text(quote, 4),
                    });
                }
            }
            let key = self.values.text(row, 3);
            message.id = if key.is_empty() {
                format!("row/{id}")
            } else if self.once.maybe_seen(conversation.0, &key)
                && (!self.once.may_look_up() || self.is_earlier(id, &jid, &key)?)
            {
                self.report
                    .note("messages with the id of an earlier one; both are kept");
                format!("{key}/{id}")
            } else {
                key
            };
            self.sink.message(conversation, message)?;
            self.report.take(Kind::Messages);
        }
        Ok(())
    }

    fn is_earlier(&self, id: i64, jid: &str, key: &str) -> Result<bool, SourceError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM messages WHERE key_remote_jid = ?1 AND key_id = ?2 AND _id < ?3)";
        let found = self
            .database
            .connection
            .query_row(sql, (jid, key, id), |row| row.get(0));
        found.map_err(|error| self.database.failure(error))
    }

    fn message(&mut self, row: &Row<'_>, jid: &str) -> Result<Message, SourceError> {
        let from_me = Values::flag(row, 2);
        let number = Values::integer(row, 8).unwrap_or(0);
        let is_event = number == 7 || Values::number(row, 4) == STATUS_EVENT && number == 0;
        let sender = self.values.text(row, 19);
        let author = if is_event {
            String::new()
        } else {
            author(from_me, jid, sender.clone())
        };
        if !author.is_empty() && author != OWNER {
            self.person(&author)?;
        }
        let kind = if is_event {
            Some(MessageKind::System)
        } else {
            message_kind(number)
        };
        let mut kind = kind.unwrap_or(MessageKind::Unsupported);
        let mut message = Message {
            author,
            sent_at: Values::time(row, 6),
            received_at: Values::time(row, 7),
            from_owner: from_me && !is_event,
            text: self.values.text(row, 5),
            starred: Values::flag(row, 22),
            forwarded: Values::flag(row, 23),
            edited: Values::flag(row, 24) && !matches!(Values::number(row, 24), 7 | 8),
            view_once: super::kinds::is_view_once(number),
            ..Message::default()
        };
        match kind {
            MessageKind::System => {
                let action = Values::number(row, 10);
                if message.text.is_empty() {
                    action_words(action).clone_into(&mut message.text);
                }
                let participants = if sender.is_empty() {
                    Vec::new()
                } else {
                    vec![sender]
                };
                for person in &participants {
                    self.person(person)?;
                }
                message.system = Some(System {
                    event: format!("action {action}"),
                    participants,
                });
            }
            MessageKind::Location | MessageKind::LiveLocation => {
                let live = kind == MessageKind::LiveLocation;
                if message.text.is_empty() {
                    message.text = self.values.text(row, 12);
                }
                message.location = Some(Location {
                    latitude: Values::real(row, 17),
                    longitude: Values::real(row, 18),
                    name: self.values.text(row, 11),
                    url: self.values.text(row, 15),
                    live_seconds: if live { Values::count(row, 14) } else { 0 },
                    ..Location::default()
                });
            }
            MessageKind::Contact => {
                let vcard = std::mem::take(&mut message.text);
                message
                    .contacts
                    .push(contact(vcard, &self.values.text(row, 11)));
            }
            MessageKind::Call => {
                let seconds = Values::count(row, 14);
                let video = self.values.text(row, 12) == "video";
                message.call = Some(Call {
                    video,
                    missed: !from_me && seconds == 0,
                    seconds,
                });
            }
            MessageKind::Deleted => message.deleted = Some(Deleted::default()),
            MessageKind::Unsupported => {
                let data = Values::bytes(row, 25);
                let data = data[..data.len().min(RAW_MAX_BYTES)].to_vec();
                message.raw = Some(Raw {
                    kind: format!("message_type {number}"),
                    data,
                });
            }
            _ if is_medium(kind) => self.medium(row, &mut kind, from_me, &mut message),
            _ => {}
        }
        message.set_kind(kind);
        Ok(message)
    }

    fn medium(
        &mut self,
        row: &Row<'_>,
        kind: &mut MessageKind,
        from_me: bool,
        message: &mut Message,
    ) {
        let caption = self.values.text(row, 12);
        if message.text.is_empty() {
            message.text = caption;
        }
        let name = self.values.text(row, 11);
        let path =
            path_in(Values::bytes(row, 20)).unwrap_or_else(|| self.path_of(*kind, &name, from_me));
        *kind = refine(*kind, &path, Values::number(row, 16) == 1);
        let facts = MediaFacts {
            path,
            name,
            media_type: self.values.text(row, 9),
            hash: self.values.text(row, 13),
            bytes: u64::try_from(Values::number(row, 10)).unwrap_or(0),
            seconds: Values::count(row, 14),
            ..MediaFacts::default()
        };
        message
            .attachments
            .push(facts.attach(*kind, self.files, self.report));
    }

    /// Where a file of that name would lie.
    fn path_of(&self, kind: MessageKind, name: &str, from_me: bool) -> String {
        let folder = match kind {
            MessageKind::Picture => "WhatsApp Images",
            MessageKind::Video => "WhatsApp Video",
            MessageKind::Audio => "WhatsApp Audio",
            MessageKind::Document => "WhatsApp Documents",
            MessageKind::Gif => "WhatsApp Animated Gifs",
            MessageKind::Sticker => "WhatsApp Stickers",
            _ => return String::new(),
        };
        if name.is_empty() || name.contains('/') {
            return String::new();
        }
        let sent = format!("Media/{folder}/Sent/{name}");
        let received = format!("Media/{folder}/{name}");
        let order = if from_me {
            [sent, received]
        } else {
            [received, sent]
        };
        order
            .into_iter()
            .find(|path| matches!(self.files.look(path), Found::File(_)))
            .unwrap_or_default()
    }
}

fn author(from_me: bool, chat: &str, sender: String) -> String {
    if from_me {
        OWNER.to_owned()
    } else if sender.contains('@') {
        sender
    } else if conversation_kind(chat) == ConversationKind::Group {
        String::new()
    } else {
        chat.to_owned()
    }
}

/// The path in `thumb_image`, a Java object with a `File` in it: `t ‖ length 2 ‖ text`.
fn path_in(object: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"Media/WhatsApp ";
    /// No path of a phone has more before its "Media".
    const BEFORE_MAX: usize = 300;
    let at = object
        .windows(MARK.len())
        .position(|window| window == MARK)?;
    // A "t" inside the path is followed by letters, which make a length that leads out of the object.
    (at.saturating_sub(BEFORE_MAX)..at)
        .rev()
        .filter(|start| object[*start] == b't')
        .find_map(|start| {
            let length =
                usize::from(*object.get(start + 1)?) << 8 | usize::from(*object.get(start + 2)?);
            let text = std::str::from_utf8(object.get(start + 3..start + 3 + length)?).ok()?;
            let whole =
                start + 3 + length >= at + MARK.len() && !text.chars().any(char::is_control);
            whole.then(|| super::files::relative(text).to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_in_a_java_object() {
        let path = "/storage/emulated/0/WhatsApp/Media/WhatsApp Images/IMG-1.jpg";
        let mut object = b"\xAC\xED\0\x05sr\0\x0Cjava.io.File\x04t\0".to_vec();
        object.push(u8::try_from(path.len()).unwrap());
        object.extend(path.as_bytes());
        object.extend(b"w\x02\0/x");
        assert_eq!(
            path_in(&object).as_deref(),
            Some("Media/WhatsApp Images/IMG-1.jpg")
        );
        for cut in 0..object.len() {
            let _ = path_in(&object[..cut]);
        }
        assert_eq!(path_in(b"tMedia/WhatsApp x"), None);
    }
}
