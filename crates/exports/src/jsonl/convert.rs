//! Between records and lines. Every record is taken apart completely: a new field must be decided about here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heirloom_archive::{
    Attachment, Call, ContactCard, Conversation, ConversationKind, Deleted, Edit, Location,
    Message, MessageKind, Participant, Poll, PollOption, Presence, Raw, Reaction, Receipt, Reply,
    System, Zone,
};

use super::records::{
    JsonAttachment, JsonCall, JsonContact, JsonConversation, JsonDeleted, JsonEdit, JsonLocation,
    JsonMessage, JsonParticipant, JsonPoll, JsonPollOption, JsonRaw, JsonReaction, JsonReceipt,
    JsonReply, JsonSystem, Time,
};
use crate::times;

/// What a number is called that no name is known for.
const OTHER: &str = "other-";

/// `MESSAGE_KIND_VOICE_NOTE` as `voice_note`.
fn word(name: Option<&str>, prefix: &str, number: i32) -> String {
    name.and_then(|name| name.strip_prefix(prefix))
        .map_or_else(|| format!("{OTHER}{number}"), str::to_ascii_lowercase)
}

fn number(word: &str, prefix: &str, known: impl Fn(&str) -> Option<i32>) -> Result<i32, String> {
    if let Some(number) = word.strip_prefix(OTHER) {
        return number
            .parse()
            .map_err(|_| format!("an unknown word: {word}"));
    }
    known(&format!("{prefix}{}", word.to_ascii_uppercase()))
        .ok_or_else(|| format!("an unknown word: {word}"))
}

const KIND: &str = "MESSAGE_KIND_";
const CONVERSATION_KIND: &str = "CONVERSATION_KIND_";
const PRESENCE: &str = "PRESENCE_";
const ZONE: &str = "ZONE_";

fn ms(time: Option<Time>) -> i64 {
    time.map_or(0, |time| time.ms)
}

pub(super) fn from_conversation(conversation: &Conversation, messages: u64) -> JsonConversation {
    let Conversation {
        id,
        app,
        kind,
        title,
        created_at,
        archived,
        participants,
    } = conversation;
    let name = ConversationKind::try_from(*kind)
        .ok()
        .map(|kind| kind.as_str_name());
    JsonConversation {
        id: id.clone(),
        app: app.clone(),
        kind: word(name, CONVERSATION_KIND, *kind),
        title: title.clone(),
        created_at: Time::known(*created_at),
        archived: *archived,
        participants: participants.clone(),
        messages,
    }
}

pub(super) fn to_conversation(json: JsonConversation) -> Result<(Conversation, u64), String> {
    let JsonConversation {
        id,
        app,
        kind,
        title,
        created_at,
        archived,
        participants,
        messages,
    } = json;
    let kind = number(&kind, CONVERSATION_KIND, |name| {
        ConversationKind::from_str_name(name).map(i32::from)
    })?;
    let conversation = Conversation {
        id,
        app,
        kind,
        title,
        created_at: ms(created_at),
        archived,
        participants,
    };
    Ok((conversation, messages))
}

pub(super) fn from_participant(participant: &Participant) -> JsonParticipant {
    let Participant {
        id,
        name,
        phone,
        is_owner,
        aliases,
    } = participant.clone();
    JsonParticipant {
        id,
        name,
        phone,
        is_owner,
        aliases,
    }
}

pub(super) fn to_participant(json: JsonParticipant) -> Participant {
    let JsonParticipant {
        id,
        name,
        phone,
        is_owner,
        aliases,
    } = json;
    Participant {
        id,
        name,
        phone,
        is_owner,
        aliases,
    }
}

/// `attachments` are those of the message, converted already.
pub(super) fn from_message(
    message: Message,
    conversation: &str,
    attachments: Vec<JsonAttachment>,
) -> JsonMessage {
    let wall_clock = times::is_wall_clock(&message);
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
        location,
        poll,
        contacts,
        call,
        system,
        deleted,
        raw,
        received_at,
        reactions,
        receipts,
        attachments: _,
    } = message;
    let kind_name = MessageKind::try_from(kind)
        .ok()
        .map(|kind| kind.as_str_name());
    let zone_name = Zone::try_from(zone).ok().map(|zone| zone.as_str_name());
    JsonMessage {
        id,
        conversation: conversation.to_owned(),
        author,
        sent_at: Time {
            ms: sent_at,
            wall_clock,
        },
        zone: (zone != i32::from(Zone::Utc)).then(|| word(zone_name, ZONE, zone)),
        from_owner,
        kind: word(kind_name, KIND, kind),
        text,
        reply_to: reply_to.map(
            |Reply {
                 message,
                 author,
                 text,
             }| JsonReply {
                message,
                author,
                text,
            },
        ),
        reactions: reactions.into_iter().map(from_reaction).collect(),
        edits: edits.into_iter().map(from_edit).collect(),
        attachments,
        edited,
        forwarded,
        starred,
        view_once,
        location: location.map(from_location),
        poll: poll.map(from_poll),
        contacts: contacts
            .into_iter()
            .map(|ContactCard { name, vcard }| JsonContact { name, vcard })
            .collect(),
        call: call.map(
            |Call {
                 video,
                 missed,
                 seconds,
             }| JsonCall {
                video,
                missed,
                seconds,
            },
        ),
        system: system.map(
            |System {
                 event,
                 participants,
             }| JsonSystem {
                event,
                participants,
            },
        ),
        deleted: deleted.map(|Deleted { by, at }| JsonDeleted {
            by,
            at: Time::known(at),
        }),
        raw: raw.map(|Raw { kind, data }| JsonRaw {
            kind,
            data: STANDARD.encode(data),
        }),
        received_at: Time::known(received_at),
        receipts: receipts.into_iter().map(from_receipt).collect(),
    }
}

pub(super) fn to_message(json: JsonMessage) -> Result<Message, String> {
    let JsonMessage {
        id,
        conversation: _,
        author,
        sent_at,
        zone,
        from_owner,
        kind,
        text,
        reply_to,
        reactions,
        edits,
        attachments,
        edited,
        forwarded,
        starred,
        view_once,
        location,
        poll,
        contacts,
        call,
        system,
        deleted,
        raw,
        received_at,
        receipts,
    } = json;
    let zone = zone.map_or(Ok(0), |zone| {
        number(&zone, ZONE, |name| Zone::from_str_name(name).map(i32::from))
    })?;
    Ok(Message {
        id,
        author,
        sent_at: sent_at.ms,
        zone,
        from_owner,
        kind: number(&kind, KIND, |name| {
            MessageKind::from_str_name(name).map(i32::from)
        })?,
        text,
        reply_to: reply_to.map(
            |JsonReply {
                 message,
                 author,
                 text,
             }| Reply {
                message,
                author,
                text,
            },
        ),
        edits: edits.into_iter().map(to_edit).collect(),
        edited,
        forwarded,
        starred,
        view_once,
        location: location.map(to_location),
        poll: poll.map(to_poll),
        contacts: contacts
            .into_iter()
            .map(|JsonContact { name, vcard }| ContactCard { name, vcard })
            .collect(),
        call: call.map(
            |JsonCall {
                 video,
                 missed,
                 seconds,
             }| Call {
                video,
                missed,
                seconds,
            },
        ),
        system: system.map(
            |JsonSystem {
                 event,
                 participants,
             }| System {
                event,
                participants,
            },
        ),
        deleted: deleted.map(|JsonDeleted { by, at }| Deleted { by, at: ms(at) }),
        raw: raw.map(to_raw).transpose()?,
        received_at: ms(received_at),
        reactions: reactions.into_iter().map(to_reaction).collect(),
        receipts: receipts.into_iter().map(to_receipt).collect(),
        attachments: attachments
            .into_iter()
            .map(to_attachment)
            .collect::<Result<_, _>>()?,
    })
}

/// `presence`, `bytes`, `sha256` and `path` are what the export found.
pub(super) fn from_attachment(attachment: &Attachment) -> JsonAttachment {
    let Attachment {
        name,
        media_type,
        bytes,
        presence,
        source_path,
        source_sha256,
        duration_ms,
        width,
        height,
        transcription,
        path: _,
        content: _,
    } = attachment;
    let presence_name = Presence::try_from(*presence)
        .ok()
        .map(|presence| presence.as_str_name());
    JsonAttachment {
        name: name.clone(),
        media_type: media_type.clone(),
        bytes: *bytes,
        presence: (*presence != i32::from(Presence::Present))
            .then(|| word(presence_name, PRESENCE, *presence)),
        sha256: None,
        path: None,
        source_path: source_path.clone(),
        source_sha256: hex::encode(source_sha256),
        duration_ms: *duration_ms,
        width: *width,
        height: *height,
        transcription: transcription.clone(),
    }
}

fn to_attachment(json: JsonAttachment) -> Result<Attachment, String> {
    let JsonAttachment {
        name,
        media_type,
        bytes,
        presence,
        sha256: _,
        path,
        source_path,
        source_sha256,
        duration_ms,
        width,
        height,
        transcription,
    } = json;
    let known = |name: &str| Presence::from_str_name(name).map(i32::from);
    Ok(Attachment {
        name,
        media_type,
        bytes,
        presence: presence.map_or(Ok(0), |presence| number(&presence, PRESENCE, known))?,
        source_path,
        source_sha256: hex::decode(source_sha256)
            .map_err(|_| "a source_sha256 that is not hexadecimal".to_owned())?,
        duration_ms,
        width,
        height,
        transcription,
        path: path.unwrap_or_default(),
        content: Vec::new(),
    })
}

fn from_reaction(Reaction { author, emoji, at }: Reaction) -> JsonReaction {
    JsonReaction {
        author,
        emoji,
        at: Time::known(at),
    }
}

fn to_reaction(JsonReaction { author, emoji, at }: JsonReaction) -> Reaction {
    Reaction {
        author,
        emoji,
        at: ms(at),
    }
}

fn from_edit(
    Edit {
        at,
        before,
        before_known,
    }: Edit,
) -> JsonEdit {
    let (before, forgotten) = if before_known {
        (Some(before), String::new())
    } else {
        (None, before)
    };
    JsonEdit {
        at: Time::known(at),
        before,
        forgotten,
    }
}

fn to_edit(
    JsonEdit {
        at,
        before,
        forgotten,
    }: JsonEdit,
) -> Edit {
    Edit {
        at: ms(at),
        before_known: before.is_some(),
        before: before.unwrap_or(forgotten),
    }
}

fn from_location(
    Location {
        latitude,
        longitude,
        name,
        address,
        url,
        live_seconds,
    }: Location,
) -> JsonLocation {
    let number = |degrees: f64| degrees.is_finite().then_some(degrees);
    JsonLocation {
        latitude: number(latitude),
        longitude: number(longitude),
        name,
        address,
        url,
        live_seconds,
    }
}

fn to_location(
    JsonLocation {
        latitude,
        longitude,
        name,
        address,
        url,
        live_seconds,
    }: JsonLocation,
) -> Location {
    let degrees = |number: Option<f64>| number.unwrap_or(f64::NAN);
    Location {
        latitude: degrees(latitude),
        longitude: degrees(longitude),
        name,
        address,
        url,
        live_seconds,
    }
}

fn from_poll(
    Poll {
        question,
        options,
        selectable,
    }: Poll,
) -> JsonPoll {
    let option = |PollOption {
                      text,
                      votes,
                      voters,
                  }| JsonPollOption {
        text,
        votes,
        voters,
    };
    JsonPoll {
        question,
        options: options.into_iter().map(option).collect(),
        selectable,
    }
}

fn to_poll(
    JsonPoll {
        question,
        options,
        selectable,
    }: JsonPoll,
) -> Poll {
    let option = |JsonPollOption {
                      text,
                      votes,
                      voters,
                  }| PollOption {
        text,
        votes,
        voters,
    };
    Poll {
        question,
        options: options.into_iter().map(option).collect(),
        selectable,
    }
}

fn to_raw(JsonRaw { kind, data }: JsonRaw) -> Result<Raw, String> {
    let data = STANDARD
        .decode(data)
        .map_err(|_| "raw data that is not base64".to_owned())?;
    Ok(Raw { kind, data })
}

fn from_receipt(
    Receipt {
        participant,
        delivered_at,
        read_at,
        played_at,
    }: Receipt,
) -> JsonReceipt {
    JsonReceipt {
        participant,
        delivered_at: Time::known(delivered_at),
        read_at: Time::known(read_at),
        played_at: Time::known(played_at),
    }
}

fn to_receipt(
    JsonReceipt {
        participant,
        delivered_at,
        read_at,
        played_at,
    }: JsonReceipt,
) -> Receipt {
    Receipt {
        participant,
        delivered_at: ms(delivered_at),
        read_at: ms(read_at),
        played_at: ms(played_at),
    }
}
