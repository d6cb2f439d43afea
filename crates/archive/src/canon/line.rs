//! Records as canonical lines. Every record is taken apart completely: a new field must be decided about here.

use super::ContentDigest;
use crate::{
    Attachment, Call, ContactCard, Conversation, Deleted, Edit, Location, Message, Participant,
    Poll, PollOption, Raw, Reaction, Receipt, Reply, System,
};

/// A JSON object whose fields are added in alphabetical order; default values are left out.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(key);
        self.0.push_str("\":");
    }

    fn json(mut self, key: &str, json: &str) -> Self {
        self.key(key);
        self.0.push_str(json);
        self
    }

    fn text(self, key: &str, text: &str) -> Self {
        if text.is_empty() {
            self
        } else {
            self.json(key, &quoted(text))
        }
    }

    fn number(self, key: &str, number: impl Into<i128>) -> Self {
        let number = number.into();
        if number == 0 {
            self
        } else {
            self.json(key, &number.to_string())
        }
    }

    fn flag(self, key: &str, flag: bool) -> Self {
        if flag { self.json(key, "true") } else { self }
    }

    fn bytes(self, key: &str, bytes: &[u8]) -> Self {
        self.text(key, &hex::encode(bytes))
    }

    fn list<T>(self, key: &str, list: &[T], each: impl Fn(&T) -> String) -> Self {
        if list.is_empty() {
            return self;
        }
        let list: Vec<String> = list.iter().map(each).collect();
        self.json(key, &format!("[{}]", list.join(",")))
    }

    fn option<T>(self, key: &str, option: Option<&T>, each: impl Fn(&T) -> String) -> Self {
        match option {
            Some(value) => self.json(key, &each(value)),
            None => self,
        }
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn participant(participant: &Participant) -> String {
    let Participant {
        id,
        name,
        phone,
        is_owner,
        aliases,
    } = participant;
    let object = Object::new()
        .list("aliases", aliases, |text| quoted(text))
        .text("id", id)
        .flag("is_owner", *is_owner)
        .text("name", name)
        .text("phone", phone);
    Object::new().json("participant", &object.end()).end()
}

pub(super) fn conversation(conversation: &Conversation) -> String {
    let Conversation {
        id,
        app,
        kind,
        title,
        created_at,
        archived,
        participants,
    } = conversation;
    let object = Object::new()
        .text("app", app)
        .flag("archived", *archived)
        .number("created_at", *created_at)
        .text("id", id)
        .number("kind", *kind)
        .list("participants", participants, |text| quoted(text))
        .text("title", title);
    Object::new().json("conversation", &object.end()).end()
}

/// `digests`: one for each attachment, `None` where the bytes are not there.
pub(super) fn message(message: &Message, digests: &[Option<ContentDigest>]) -> String {
    let Message {
        id,
        author,
        sent_at,
        zone,
        from_owner,
        kind,
        text,
        reply_to,
        edits,
        edited,
        forwarded,
        starred,
        view_once,
        location: place,
        poll: vote,
        contacts,
        call: rang,
        system: event,
        deleted: gone,
        raw: unknown,
        received_at,
        reactions,
        receipts,
        attachments,
    } = message;
    let attachments: Vec<_> = attachments
        .iter()
        .zip(digests.iter().chain(std::iter::repeat(&None)))
        .collect();
    let object = Object::new()
        .list("attachments", &attachments, |(attached, digest)| {
            attachment(attached, **digest)
        })
        .text("author", author)
        .option("call", rang.as_ref(), |rang| call(*rang))
        .list("contacts", contacts, contact)
        .option("deleted", gone.as_ref(), deleted)
        .flag("edited", *edited)
        .list("edits", edits, edit)
        .flag("forwarded", *forwarded)
        .flag("from_owner", *from_owner)
        .text("id", id)
        .number("kind", *kind)
        .option("location", place.as_ref(), location)
        .option("poll", vote.as_ref(), poll)
        .option("raw", unknown.as_ref(), raw)
        .list("reactions", reactions, reaction)
        .list("receipts", receipts, receipt)
        .number("received_at", *received_at)
        .option("reply_to", reply_to.as_ref(), reply)
        .number("sent_at", *sent_at)
        .flag("starred", *starred)
        .option("system", event.as_ref(), system)
        .text("text", text)
        .flag("view_once", *view_once)
        .number("zone", *zone);
    Object::new().json("message", &object.end()).end()
}

fn attachment(attachment: &Attachment, digest: Option<ContentDigest>) -> String {
    let Attachment {
        name,
        media_type,
        bytes,
        presence,
        source_path: _,
        source_sha256,
        duration_ms,
        width,
        height,
        transcription,
        path: _,
        content: _,
    } = attachment;
    let bytes = digest.map_or(*bytes, |digest| digest.bytes);
    let sha256 = digest.map(|digest| digest.sha256);
    Object::new()
        .number("bytes", bytes)
        .number("duration_ms", *duration_ms)
        .number("height", *height)
        .text("media_type", media_type)
        .text("name", name)
        .number("presence", *presence)
        .bytes("sha256", sha256.as_ref().map_or(&[], |sha256| sha256))
        .bytes("source_sha256", source_sha256)
        .text("transcription", transcription)
        .number("width", *width)
        .end()
}

fn call(call: Call) -> String {
    let Call {
        video,
        missed,
        seconds,
    } = call;
    Object::new()
        .flag("missed", missed)
        .number("seconds", seconds)
        .flag("video", video)
        .end()
}

fn contact(contact: &ContactCard) -> String {
    let ContactCard { name, vcard } = contact;
    Object::new().text("name", name).text("vcard", vcard).end()
}

fn deleted(deleted: &Deleted) -> String {
    let Deleted { by, at } = deleted;
    Object::new().number("at", *at).text("by", by).end()
}

fn edit(edit: &Edit) -> String {
    let Edit {
        at,
        before,
        before_known,
    } = edit;
    Object::new()
        .number("at", *at)
        .text("before", before)
        .flag("before_known", *before_known)
        .end()
}

fn location(location: &Location) -> String {
    let Location {
        latitude,
        longitude,
        name,
        address,
        url,
        live_seconds,
    } = location;
    let bits = |degrees: &f64| {
        if degrees.to_bits() == 0 {
            vec![]
        } else {
            degrees.to_be_bytes().to_vec()
        }
    };
    Object::new()
        .text("address", address)
        .bytes("latitude", &bits(latitude))
        .number("live_seconds", *live_seconds)
        .bytes("longitude", &bits(longitude))
        .text("name", name)
        .text("url", url)
        .end()
}

fn poll(poll: &Poll) -> String {
    let Poll {
        question,
        options,
        selectable,
    } = poll;
    Object::new()
        .list("options", options, poll_option)
        .text("question", question)
        .number("selectable", *selectable)
        .end()
}

fn poll_option(option: &PollOption) -> String {
    let PollOption {
        text,
        votes,
        voters,
    } = option;
    Object::new()
        .text("text", text)
        .list("voters", voters, |text| quoted(text))
        .number("votes", *votes)
        .end()
}

fn raw(raw: &Raw) -> String {
    let Raw { kind, data } = raw;
    Object::new().bytes("data", data).text("kind", kind).end()
}

fn reaction(reaction: &Reaction) -> String {
    let Reaction { author, emoji, at } = reaction;
    Object::new()
        .number("at", *at)
        .text("author", author)
        .text("emoji", emoji)
        .end()
}

fn receipt(receipt: &Receipt) -> String {
    let Receipt {
        participant,
        delivered_at,
        read_at,
        played_at,
    } = receipt;
    Object::new()
        .number("delivered_at", *delivered_at)
        .text("participant", participant)
        .number("played_at", *played_at)
        .number("read_at", *read_at)
        .end()
}

fn reply(reply: &Reply) -> String {
    let Reply {
        message,
        author,
        text,
    } = reply;
    Object::new()
        .text("author", author)
        .text("message", message)
        .text("text", text)
        .end()
}

fn system(system: &System) -> String {
    let System {
        event,
        participants,
    } = system;
    Object::new()
        .text("event", event)
        .list("participants", participants, |text| quoted(text))
        .end()
}
