//! One message, from its row and those beside it.

use heirloom_archive::{
    Call, Deleted, Edit, Location, Message, MessageKind, Poll, PollOption, Raw, Reaction, Receipt,
    Reply, System,
};

use super::super::build::{MediaFacts, contact, refine};
use super::super::kinds::{action_words, is_medium, is_view_once, message_kind};
use super::super::sides::{Side, Sides};
use super::chats::Chat;
use super::{FROM_ME, ORIGIN, RECEIVED, Reader, SENDER, STARRED, Stop, TEXT, TIME, TYPE};
use crate::sqlite::{Cells, Values};

/// How much of what is not understood is kept of one message.
const RAW_MAX_BYTES: usize = 1 << 20;
const ADD_ON_REACTION: i64 = 56;
const ADD_ON_POLL_VOTE: i64 = 67;

impl Reader<'_> {
    /// Builds the record; its id is the caller's.
    pub(super) fn message(
        &mut self,
        id: i64,
        row: &impl Cells,
        chat: &Chat,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<Message, Stop> {
        let number = Values::integer(row, TYPE);
        let known = number.and_then(message_kind);
        let from_me = Values::flag(row, FROM_ME);
        let sender = Values::number(row, SENDER);
        let is_event = known == Some(MessageKind::System);
        let author = if is_event {
            None
        } else {
            self.author(chat, from_me, sender)?
        };
        let mut message = Message {
            author: author.map(|author| author.to_string()).unwrap_or_default(),
            sent_at: Values::time(row, TIME),
            received_at: Values::time(row, RECEIVED),
            from_owner: from_me && !is_event,
            text: self.values.text(row, TEXT),
            starred: Values::flag(row, STARRED),
            view_once: number.is_some_and(is_view_once),
            ..Message::default()
        };
        let mut kind = known.unwrap_or(MessageKind::Unsupported);
        self.media(
            id,
            &mut kind,
            Values::number(row, ORIGIN),
            &mut message,
            sides,
        )?;
        self.content(id, &mut kind, &mut message, sides)?;
        if is_event {
            self.event(id, sender, &mut message, sides)?;
        }
        if kind == MessageKind::Poll {
            self.poll(id, &mut message, chat, sides)?;
        }
        self.around(id, &mut kind, &mut message, chat, sides)?;
        if kind == MessageKind::Unsupported {
            let mut data = Vec::new();
            sides.each(Side::Future, id, |row| {
                let found = (1..4)
                    .map(|column| Values::bytes(row, column))
                    .find(|bytes| !bytes.is_empty());
                let found = found.unwrap_or_default();
                data = found[..found.len().min(RAW_MAX_BYTES)].to_vec();
                Ok::<(), Stop>(())
            })?;
            let number = number.map_or_else(|| "unknown".to_owned(), |number| number.to_string());
            message.raw = Some(Raw {
                kind: format!("message_type {number}"),
                data,
            });
        }
        message.set_kind(kind);
        Ok(message)
    }

    fn media(
        &mut self,
        id: i64,
        kind: &mut MessageKind,
        origin: i64,
        message: &mut Message,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let (files, report, values) = (self.files, &mut *self.report, &mut self.values);
        let medium = is_medium(*kind);
        let any = sides.each(Side::Media, id, |row| {
            let bytes =
                u64::try_from(Values::number(row, 5).max(Values::number(row, 6))).unwrap_or(0);
            let facts = MediaFacts {
                path: values.text(row, 1),
                name: values.text(row, 2),
                media_type: values.text(row, 3),
                hash: values.text(row, 4),
                bytes,
                seconds: Values::count(row, 7),
                width: Values::count(row, 8),
                height: Values::count(row, 9),
                transcription: values.text(row, 10),
            };
            if message.text.is_empty() {
                message.text = values.text(row, 11);
            }
            *kind = refine(*kind, &facts.path, origin == 1);
            // Texts with a preview have such a row as well, and no file.
            if medium
                || !facts.path.is_empty()
                || *kind == MessageKind::Unsupported && !facts.hash.is_empty()
            {
                message.attachments.push(facts.attach(*kind, files, report));
            }
            Ok::<(), Stop>(())
        })?;
        if !any && medium {
            message
                .attachments
                .push(MediaFacts::default().attach(*kind, files, report));
        }
        Ok(())
    }

    fn content(
        &mut self,
        id: i64,
        kind: &mut MessageKind,
        message: &mut Message,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let values = &mut self.values;
        if matches!(*kind, MessageKind::Location | MessageKind::LiveLocation) {
            sides.each(Side::Location, id, |row| {
                message.location = Some(Location {
                    latitude: Values::real(row, 1),
                    longitude: Values::real(row, 2),
                    name: values.text(row, 3),
                    address: values.text(row, 4),
                    url: values.text(row, 5),
                    live_seconds: Values::count(row, 6),
                });
                Ok::<(), Stop>(())
            })?;
        }
        if *kind == MessageKind::Contact {
            sides.each(Side::Contact, id, |row| {
                message.contacts.push(contact(values.text(row, 1), ""));
                Ok::<(), Stop>(())
            })?;
            if message.contacts.is_empty() && message.text.starts_with("BEGIN:VCARD") {
                message
                    .contacts
                    .push(contact(std::mem::take(&mut message.text), ""));
            }
        }
        let text = &mut message.text;
        sides.each(Side::Template, id, |row| {
            if text.is_empty() {
                *text = values.text(row, 1);
                let footer = values.text(row, 2);
                if !footer.is_empty() {
                    *text = format!("{text}\n{footer}");
                }
            }
            Ok::<(), Stop>(())
        })?;
        let mut call = None;
        sides.each(Side::Call, id, |row| {
            let (seconds, from_me) = (Values::count(row, 2), Values::flag(row, 3));
            call = Some(Call {
                video: Values::flag(row, 1),
                missed: !from_me && seconds == 0,
                seconds,
            });
            Ok::<(), Stop>(())
        })?;
        sides.each(Side::MissedCall, id, |row| {
            call = Some(Call {
                video: Values::flag(row, 1),
                missed: true,
                seconds: 0,
            });
            Ok::<(), Stop>(())
        })?;
        if call.is_some() && *kind == MessageKind::Unsupported {
            *kind = MessageKind::Call;
        }
        if *kind == MessageKind::Call {
            message.call = Some(call.unwrap_or_default());
        }
        Ok(())
    }

    fn event(
        &mut self,
        id: i64,
        sender: i64,
        message: &mut Message,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let mut event = System::default();
        let text = &mut message.text;
        sides.each(Side::System, id, |row| {
            let action = Values::number(row, 1);
            event.event = format!("action {action}");
            if text.is_empty() {
                action_words(action).clone_into(text);
            }
            Ok::<(), Stop>(())
        })?;
        let mut rows = vec![sender];
        for side in [Side::SystemPeople, Side::NumberChange] {
            sides.each(side, id, |row| {
                rows.push(Values::number(row, 1));
                if side == Side::NumberChange {
                    rows.push(Values::number(row, 2));
                }
                Ok::<(), Stop>(())
            })?;
        }
        for row in rows {
            if let Some(person) = self.people.person(row, self.sink)?
                && !event.participants.iter().any(|known| **known == *person)
            {
                event.participants.push(person.to_string());
            }
        }
        message.system = Some(event);
        Ok(())
    }

    fn poll(
        &mut self,
        id: i64,
        message: &mut Message,
        chat: &Chat,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<(), Stop> {
        let mut poll = Poll {
            question: std::mem::take(&mut message.text),
            ..Poll::default()
        };
        sides.each(Side::Poll, id, |row| {
            poll.selectable = Values::count(row, 1);
            Ok::<(), Stop>(())
        })?;
        let mut rows = Vec::new();
        let values = &mut self.values;
        sides.each(Side::PollOption, id, |row| {
            rows.push(Values::number(row, 1));
            poll.options.push(PollOption {
                text: values.text(row, 2),
                votes: Values::count(row, 3),
                voters: Vec::new(),
            });
            Ok::<(), Stop>(())
        })?;
        sides.each(Side::PollVote, id, |row| {
            let voter = self.author(chat, Values::flag(row, 1), Values::number(row, 2))?;
            let option = rows
                .iter()
                .position(|option| *option == Values::number(row, 3));
            if let (Some(voter), Some(option)) = (
                voter,
                option.and_then(|option| poll.options.get_mut(option)),
            ) {
                option.voters.push(voter.to_string());
            }
            Ok::<(), Stop>(())
        })?;
        for option in &mut poll.options {
            option.votes = option
                .votes
                .max(u32::try_from(option.voters.len()).unwrap_or(u32::MAX));
        }
        message.poll = Some(poll);
        Ok(())
    }

    /// What any message can have: a quote, edits, reactions, receipts; and that it was deleted.
    fn around(
        &mut self,
        id: i64,
        kind: &mut MessageKind,
        message: &mut Message,
        chat: &Chat,
        sides: &mut Sides<'_, '_, '_>,
    ) -> Result<(), Stop> {
        sides.each(Side::Quoted, id, |row| {
            let author = self.author(chat, Values::flag(row, 1), Values::number(row, 2))?;
            message.reply_to = Some(Reply {
                message: self.values.text(row, 3),
                author: author.map(|author| author.to_string()).unwrap_or_default(),
                text: self.values.text(row, 4),
            });
            Ok::<(), Stop>(())
        })?;
        sides.each(Side::Edit, id, |row| {
            message.edited = true;
            message.edits.push(Edit {
                at: Values::time(row, 1),
                ..Edit::default()
            });
            Ok::<(), Stop>(())
        })?;
        let mut deleted = (*kind == MessageKind::Deleted).then(Deleted::default);
        sides.each(Side::Revoked, id, |row| {
            let by = self.people.person(Values::number(row, 1), self.sink)?;
            let by = by
                .map(|by| by.to_string())
                .filter(|by| *by != message.author)
                .unwrap_or_default();
            deleted = Some(Deleted {
                by,
                at: Values::time(row, 2),
            });
            Ok::<(), Stop>(())
        })?;
        if deleted.is_some() {
            *kind = MessageKind::Deleted;
            message.deleted = deleted;
        }
        message.forwarded = sides.each(Side::Forwarded, id, |_| Ok::<(), Stop>(()))?;
        message.view_once |= sides.each(Side::ViewOnce, id, |_| Ok::<(), Stop>(()))?;
        sides.each(Side::AddOn, id, |row| {
            let emoji = self.values.text(row, 5);
            match Values::number(row, 3) {
                ADD_ON_POLL_VOTE => {}
                // A reaction that was taken back is an empty one.
                ADD_ON_REACTION if emoji.is_empty() => {}
                _ if !emoji.is_empty() => {
                    let author = self.author(chat, Values::flag(row, 1), Values::number(row, 2))?;
                    let sent = Values::time(row, 6);
                    message.reactions.push(Reaction {
                        author: author.map(|author| author.to_string()).unwrap_or_default(),
                        emoji,
                        at: if sent > 0 { sent } else { Values::time(row, 4) },
                    });
                }
                other => self.report.note(&format!(
                    "additions to messages of kind {other}, which are not kept"
                )),
            }
            Ok::<(), Stop>(())
        })?;
        let mut rows = Vec::new();
        sides.each(Side::Receipt, id, |row| {
            if let Some(person) = self.people.person(Values::number(row, 1), self.sink)? {
                let receipt = Receipt {
                    participant: person.to_string(),
                    delivered_at: Values::time(row, 2),
                    read_at: Values::time(row, 3),
                    played_at: Values::time(row, 4),
                };
                rows.push((Values::number(row, 5), receipt));
            }
            Ok::<(), Stop>(())
        })?;
        // In the order in which they were written.
        rows.sort_by_key(|(row, _)| *row);
        message
            .receipts
            .extend(rows.into_iter().map(|(_, receipt)| receipt));
        Ok(())
    }
}
