//! Folders in archive form made up from a seed, with every field that the form has.

use std::io::Write as _;
use std::path::Path;

use heirloom_archive::form::{ArchiveWriter, AttachmentFile};
use heirloom_archive::{
    Attachment, Call, ContactCard, Conversation, Deleted, Edit, Location, Message, Participant,
    Poll, PollOption, Presence, Raw, Reaction, Receipt, Reply, System,
};
use sha2::{Digest as _, Sha256};

use super::chance::Chance;
use super::made::words;

/// A folder in archive form with anything in it that the form can say.
pub fn archive(chance: &mut Chance, folder: &Path) -> u64 {
    let mut writer = ArchiveWriter::create(folder, "made up", "made up").unwrap();
    let people: Vec<Participant> = (0..2 + chance.below(5))
        .map(|n| person(chance, n))
        .collect();
    for person in &people {
        writer.participant(person).unwrap();
    }
    let mut entries = Vec::new();
    let mut total = 0;
    for number in 0..=chance.below(4) {
        let conversation = Conversation {
            id: format!("{number}-{}", words(chance)),
            app: (*chance.one_of(&["whatsapp", "signal", ""])).to_owned(),
            kind: i32::try_from(chance.below(6)).unwrap(),
            title: if chance.once_in(4) {
                String::new()
            } else {
                words(chance)
            },
            created_at: time(chance),
            archived: chance.once_in(3),
            participants: people.iter().map(|person| person.id.clone()).collect(),
        };
        let mut chat = writer.conversation(&conversation).unwrap();
        let many = if chance.once_in(6) { 900 } else { 60 };
        let mut messages: Vec<Message> = (0..chance.below(many))
            .map(|n| message(chance, n, &people))
            .collect();
        messages.sort_by(|a, b| (a.sent_at, &a.id).cmp(&(b.sent_at, &b.id)));
        for mut message in messages {
            for attachment in &mut message.attachments {
                if attachment.presence() != Presence::Present {
                    continue;
                }
                let size = match chance.below(30) {
                    0 => 0,
                    1 => 1 << 20,
                    2 => 2_500_000,
                    _ => chance.index(40_000),
                };
                let bytes = chance.bytes(size);
                attachment.bytes = u64::try_from(size).unwrap();
                let key = hash(&bytes);
                let path = chat.attachment_path(attachment, &key);
                let mut file = AttachmentFile::create(folder, &path).unwrap();
                file.write_all(&bytes).unwrap();
                file.finish().unwrap();
                path.as_str().clone_into(&mut attachment.path);
            }
            chat.message(message).unwrap();
            total += 1;
        }
        entries.push(chat.finish().unwrap());
    }
    writer.finish(entries).unwrap();
    total
}

/// Any hash does: the form only asks which contents are equal.
fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn person(chance: &mut Chance, number: u64) -> Participant {
    Participant {
        id: format!("p{number}"),
        name: words(chance),
        phone: if chance.once_in(2) {
            format!("+49{}", chance.below(1 << 40))
        } else {
            String::new()
        },
        is_owner: number == 0,
        aliases: (0..chance.below(3))
            .map(|n| format!("{number}.{n}@lid"))
            .collect(),
    }
}

fn time(chance: &mut Chance) -> i64 {
    match chance.below(20) {
        0 => 0,
        1 => -i64::try_from(chance.below(1 << 40)).unwrap(),
        _ => 1_500_000_000_000 + i64::try_from(chance.below(1 << 38)).unwrap(),
    }
}

fn small(chance: &mut Chance) -> u32 {
    u32::try_from(chance.below(10_000)).unwrap()
}

fn sometimes<T>(chance: &mut Chance, make: impl FnOnce(&mut Chance) -> T) -> Option<T> {
    chance.once_in(6).then(|| make(chance))
}

fn who(chance: &mut Chance, people: &[Participant]) -> String {
    chance.one_of(people).id.clone()
}

/// Mostly none.
fn several(chance: &mut Chance) -> u64 {
    if chance.once_in(5) {
        1 + chance.below(3)
    } else {
        0
    }
}

fn message(chance: &mut Chance, number: u64, people: &[Participant]) -> Message {
    let who = |chance: &mut Chance| who(chance, people);
    Message {
        id: format!("m{number}"),
        author: if chance.once_in(9) {
            String::new()
        } else {
            who(chance)
        },
        sent_at: time(chance),
        zone: i32::from(chance.once_in(2)),
        from_owner: chance.once_in(3),
        kind: i32::try_from(chance.below(17)).unwrap(),
        text: if chance.once_in(9) {
            String::new()
        } else {
            words(chance)
        },
        reply_to: sometimes(chance, |chance| Reply {
            message: format!("m{}", chance.below(number + 2)),
            author: who(chance),
            text: words(chance),
        }),
        edits: (0..several(chance))
            .map(|_| {
                let before_known = chance.once_in(2);
                Edit {
                    at: time(chance),
                    before: if before_known {
                        words(chance)
                    } else {
                        String::new()
                    },
                    before_known,
                }
            })
            .collect(),
        edited: chance.once_in(5),
        forwarded: chance.once_in(5),
        starred: chance.once_in(5),
        view_once: chance.once_in(5),
        received_at: time(chance),
        reactions: (0..several(chance))
            .map(|_| Reaction {
                author: who(chance),
                emoji: "👍🏽".to_owned(),
                at: time(chance),
            })
            .collect(),
        receipts: (0..several(chance))
            .map(|_| Receipt {
                participant: who(chance),
                delivered_at: time(chance),
                read_at: time(chance),
                played_at: time(chance),
            })
            .collect(),
        attachments: (0..several(chance)).map(|_| attachment(chance)).collect(),
        ..special(chance, people)
    }
}

/// What only some kinds of messages have.
fn special(chance: &mut Chance, people: &[Participant]) -> Message {
    let who = |chance: &mut Chance| who(chance, people);
    Message {
        location: sometimes(chance, |chance| Location {
            latitude: f64::from(small(chance)) / 117.0,
            longitude: -f64::from(small(chance)) / 91.0,
            name: words(chance),
            address: words(chance),
            url: String::new(),
            live_seconds: small(chance),
        }),
        poll: sometimes(chance, |chance| Poll {
            question: words(chance),
            options: (0..chance.below(5))
                .map(|_| PollOption {
                    text: words(chance),
                    votes: small(chance),
                    voters: (0..several(chance)).map(|_| who(chance)).collect(),
                })
                .collect(),
            selectable: small(chance),
        }),
        contacts: (0..several(chance))
            .map(|_| ContactCard {
                name: words(chance),
                vcard: "BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD\r\n".to_owned(),
            })
            .collect(),
        call: sometimes(chance, |chance| Call {
            video: chance.once_in(2),
            missed: chance.once_in(2),
            seconds: small(chance),
        }),
        system: sometimes(chance, |chance| System {
            event: format!("action {}", small(chance)),
            participants: (0..several(chance)).map(|_| who(chance)).collect(),
        }),
        deleted: sometimes(chance, |chance| Deleted {
            by: who(chance),
            at: time(chance),
        }),
        raw: sometimes(chance, |chance| {
            let size = chance.index(300);
            Raw {
                kind: format!("message_type {}", small(chance)),
                data: chance.bytes(size),
            }
        }),
        ..Message::default()
    }
}

fn attachment(chance: &mut Chance) -> Attachment {
    let names = [
        "IMG-0001.jpg",
        "a b.pdf",
        "../../etc/passwd",
        "CON",
        "ü\u{202e}gpj.exe",
        "",
        ".hidden",
        "x/y\\z",
    ];
    let source_sha256 = if chance.once_in(3) {
        chance.bytes(32)
    } else {
        Vec::new()
    };
    Attachment {
        name: (*chance.one_of(&names)).to_owned(),
        media_type: (*chance.one_of(&["image/jpeg", ""])).to_owned(),
        bytes: chance.below(1 << 20),
        presence: i32::try_from(chance.below(8).saturating_sub(5)).unwrap(),
        source_path: "Media/x".to_owned(),
        source_sha256,
        duration_ms: small(chance),
        width: small(chance),
        height: small(chance),
        transcription: if chance.once_in(4) {
            words(chance)
        } else {
            String::new()
        },
        path: String::new(),
        content: Vec::new(),
    }
}
