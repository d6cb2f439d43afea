//! Histories for tests, as folders in archive form.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use heirloom_archive::canon::canonical;
use heirloom_archive::form::{ArchiveReader, ArchiveWriter, AttachmentFile};
use heirloom_archive::{
    Attachment, Call, ContactCard, Conversation, ConversationKind, Deleted, Edit, History,
    Location, Message, MessageKind, Participant, Poll, PollOption, Presence, Raw, Reaction,
    Receipt, Reply, System, Zone,
};

use crate::Progress;

/// A conversation and its messages; the bytes of attachments stand in their `content`.
pub(crate) type Chat = (Conversation, Vec<Message>);

pub(crate) fn go_on(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

pub(crate) fn canon(history: &mut dyn History) -> String {
    let mut text = Vec::new();
    canonical(history, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

pub(crate) fn archive(root: &Path, people: &[Participant], chats: &[Chat]) -> ArchiveReader {
    let mut writer = ArchiveWriter::create(root, "test", "test").unwrap();
    for person in people {
        writer.participant(person).unwrap();
    }
    let mut entries = Vec::new();
    for (conversation, messages) in chats {
        let mut to = writer.conversation(conversation).unwrap();
        let mut messages = messages.clone();
        messages.sort_by(|a, b| (a.sent_at, &a.id).cmp(&(b.sent_at, &b.id)));
        for mut message in messages {
            for attachment in &mut message.attachments {
                if attachment.presence() == Presence::Present {
                    let path = to
                        .attachment_path(attachment, blake3::hash(&attachment.content).as_bytes());
                    path.as_str().clone_into(&mut attachment.path);
                    let mut file = AttachmentFile::create(root, &path).unwrap();
                    file.write_all(&attachment.content).unwrap();
                    file.finish().unwrap();
                }
            }
            to.message(message).unwrap();
        }
        entries.push(to.finish().unwrap());
    }
    writer.finish(entries).unwrap();
    ArchiveReader::open(root).unwrap()
}

pub(crate) fn person(id: &str, name: &str) -> Participant {
    Participant {
        id: id.into(),
        name: name.into(),
        ..Participant::default()
    }
}

pub(crate) fn chat(id: &str, title: &str) -> Conversation {
    Conversation {
        id: id.into(),
        title: title.into(),
        app: "whatsapp".into(),
        ..Conversation::default()
    }
}

/// 2022-03-23 13:31 on a wall clock, and so many minutes later.
pub(crate) fn said(minutes: i64, author: &str, text: &str) -> Message {
    Message {
        id: format!("m{minutes:06}"),
        author: author.into(),
        sent_at: 1_648_042_260_000 + minutes * 60_000,
        zone: Zone::Unknown.into(),
        from_owner: author == "ana",
        text: text.into(),
        ..Message::default()
    }
}

pub(crate) fn file(name: &str, media_type: &str, bytes: &[u8]) -> Attachment {
    Attachment {
        name: name.into(),
        media_type: media_type.into(),
        content: bytes.to_vec(),
        ..Attachment::default()
    }
}

/// A tiny picture that browsers show.
pub(crate) fn picture() -> Vec<u8> {
    const GIF: &[u8] = b"GIF89a\x02\x00\x01\x00\x80\x00\x00\x66\x99\xcc\x33\x66\x99,\x00\x00\x00\x00\x02\x00\x01\x00\x00\x02\x02\x44\x0a\x00;";
    GIF.to_vec()
}

pub(crate) fn people() -> Vec<Participant> {
    vec![
        Participant {
            is_owner: true,
            phone: "+34600000001".into(),
            ..person("ana", "Ana")
        },
        Participant {
            aliases: vec!["ben@lid".into()],
            ..person("ben", "Ben Óg")
        },
        person("mum", "אמא"),
    ]
}

/// One of everything.
#[expect(
    clippy::too_many_lines,
    reason = "one message of each kind, one after the other"
)]
pub(crate) fn family() -> Chat {
    let conversation = Conversation {
        kind: ConversationKind::Group.into(),
        participants: vec!["ana".into(), "ben".into(), "mum".into()],
        created_at: 1_600_000_000_000,
        ..chat("family@g.us", "Family 👪")
    };
    let mut list = Vec::new();
    let mut system = said(0, "", "Ana created the group \"Family\"");
    system.set_kind(MessageKind::System);
    system.system = Some(System {
        event: "action 11".into(),
        participants: vec!["ana".into()],
    });
    list.push(system);
    list.push(said(1, "ana", "Who brings the cake on Sunday?"));
    list.push(said(
        2,
        "ben",
        "Me! Recipe: https://cakes.example/lemon?size=2&for=6.",
    ));
    let mut reply = said(3, "mum", "שבת שלום, אני מביאה את הסלט 🥗");
    reply.reply_to = Some(Reply {
        message: "m000001".into(),
        author: "ana".into(),
        text: "Who brings the cake on Sunday?".into(),
    });
    reply.reactions.push(Reaction {
        author: "ana".into(),
        emoji: "❤️".into(),
        at: 5,
    });
    reply.reactions.push(Reaction {
        author: "ben@lid".into(),
        emoji: "👍".into(),
        at: 0,
    });
    list.push(reply);
    let mut picture_message = said(4, "ben", "The garden today");
    picture_message.set_kind(MessageKind::Picture);
    picture_message.attachments.push(Attachment {
        width: 640,
        height: 320,
        ..file("IMG-20220323-WA0001.gif", "image/gif", &picture())
    });
    list.push(picture_message);
    let mut voice = said(5, "ana", "");
    voice.set_kind(MessageKind::VoiceNote);
    voice.attachments.push(Attachment {
        duration_ms: 65_000,
        transcription: "see you at five".into(),
        ..file("PTT-20220323-WA0002.opus", "audio/ogg", b"OggS not really")
    });
    list.push(voice);
    let mut document = said(6, "ben", "");
    document.set_kind(MessageKind::Document);
    document.forwarded = true;
    document.attachments.push(file(
        "Plan <b>.html",
        "text/html",
        b"<script>alert(1)</script>",
    ));
    list.push(document);
    let mut gone = said(7, "mum", "");
    gone.set_kind(MessageKind::Media);
    gone.attachments.push(Attachment {
        presence: Presence::Absent.into(),
        ..Attachment::default()
    });
    list.push(gone);
    let mut poll = said(1_500, "ana", "");
    poll.set_kind(MessageKind::Poll);
    let option = |text: &str, votes, voters: &[&str]| PollOption {
        text: text.into(),
        votes,
        voters: voters.iter().map(|voter| (*voter).to_owned()).collect(),
    };
    poll.poll = Some(Poll {
        question: "Where?".into(),
        options: vec![
            option("At home", 2, &["ben", "mum"]),
            option("In the park", 1, &["ana"]),
        ],
        selectable: 1,
    });
    list.push(poll);
    let mut place = said(1_501, "ben", "");
    place.set_kind(MessageKind::Location);
    place.location = Some(Location {
        latitude: 40.416_775,
        longitude: -3.703_79,
        name: "Puerta del Sol".into(),
        ..Location::default()
    });
    list.push(place);
    let mut edited = said(1_502, "ana", "At three, not at two");
    edited.edits.push(Edit {
        at: 1_648_132_500_000,
        before: "At two".into(),
        before_known: true,
    });
    edited.edited = true;
    edited.starred = true;
    list.push(edited);
    let mut deleted = said(1_503, "ben", "");
    deleted.set_kind(MessageKind::Deleted);
    deleted.deleted = Some(Deleted {
        by: "ana".into(),
        at: 7,
    });
    list.push(deleted);
    let mut card = said(1_504, "mum", "");
    card.set_kind(MessageKind::Contact);
    card.contacts.push(ContactCard {
        name: "Dr Ruiz".into(),
        vcard: "BEGIN:VCARD\nFN:Dr Ruiz\nEND:VCARD\n".into(),
    });
    list.push(card);
    let mut call = said(1_505, "mum", "");
    call.set_kind(MessageKind::Call);
    call.call = Some(Call {
        video: true,
        missed: false,
        seconds: 3_725,
    });
    list.push(call);
    let mut unknown = said(1_506, "ben", "");
    unknown.set_kind(MessageKind::Unsupported);
    unknown.raw = Some(Raw {
        kind: "message_type 91".into(),
        data: vec![0, 1, 255],
    });
    unknown.received_at = 1_648_132_560_001;
    unknown.receipts.push(Receipt {
        participant: "ana".into(),
        delivered_at: 1,
        read_at: 2,
        played_at: 0,
    });
    list.push(unknown);
    list.push(Message {
        zone: Zone::Utc.into(),
        view_once: true,
        ..said(1_507, "ana", "two\nlines & <tags>")
    });
    (conversation, list)
}

/// Compares with a file that a person approved; with `HEIRLOOM_APPROVE=1` writes it.
pub(crate) fn approved(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("HEIRLOOM_APPROVE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    assert_eq!(
        text,
        std::fs::read_to_string(&path).unwrap(),
        "{name} changed"
    );
}

/// Every file below `root` by its relative path, sorted.
pub(crate) fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.push((
                    path.strip_prefix(root)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                    path,
                ));
            }
        }
    }
    found.sort();
    found
}
