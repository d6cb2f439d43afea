//! Written, read back, interrupted, and forged.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::canon::canonical;
use crate::paths::RelativePath;
use crate::{
    Attachment, Conversation, History, Message, MessageKind, MessageQuery, Participant, Presence,
};

/// What a test puts into one conversation: messages, each with (name, bytes) of its attachments.
type Chat = (Conversation, Vec<(Message, Vec<(String, Vec<u8>)>)>);

fn chat(id: &str, title: &str) -> Conversation {
    Conversation {
        id: id.into(),
        title: title.into(),
        app: "whatsapp".into(),
        ..Conversation::default()
    }
}

fn text(id: &str, sent_at: i64, text: &str) -> Message {
    Message {
        id: id.into(),
        author: "ana".into(),
        sent_at,
        text: text.into(),
        ..Message::default()
    }
}

fn write(root: &Path, chats: &[Chat]) {
    let mut writer = ArchiveWriter::create(root, "test", "origin").unwrap();
    writer
        .participant(&Participant {
            id: "ana".into(),
            name: "Ana".into(),
            ..Participant::default()
        })
        .unwrap();
    let mut entries = Vec::new();
    for (conversation, messages) in chats {
        let mut to = writer.conversation(conversation).unwrap();
        for (message, media) in messages {
            let mut message = message.clone();
            for (name, bytes) in media {
                let key = *blake3::hash(bytes).as_bytes();
                let mut attachment = Attachment {
                    name: name.clone(),
                    content: key.to_vec(),
                    ..Attachment::default()
                };
                let path = to.attachment_path(&attachment, &key);
                attachment.path = path.as_str().to_owned();
                message.attachments.push(attachment);
                let mut file = AttachmentFile::create(root, &path).unwrap();
                file.write_all(bytes).unwrap();
                file.finish().unwrap();
            }
            to.message(message).unwrap();
        }
        entries.push(to.finish().unwrap());
    }
    writer.finish(entries).unwrap();
}

fn read(reader: &mut ArchiveReader, id: &str, query: MessageQuery) -> Vec<Message> {
    let mut list = Vec::new();
    reader
        .messages(id, query, &mut |message| {
            list.push(message);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    list
}

fn bytes_of(reader: &mut ArchiveReader, attachment: &Attachment) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader
        .open(attachment)
        .unwrap()
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn folders(root: &Path) -> Vec<String> {
    let list = std::fs::read_dir(root.join(CONVERSATIONS)).unwrap();
    let mut list: Vec<_> = list
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    list.sort();
    list
}

#[test]
fn two_chats_of_one_title_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let chats = [("1", "one"), ("2", "two")]
        .map(|(id, said)| (chat(id, "Ana"), vec![(text("m", 1, said), vec![])]));
    write(dir.path(), &chats);
    let mut reader = ArchiveReader::open(dir.path()).unwrap();
    assert_eq!(reader.conversations().unwrap().len(), 2);
    assert_eq!(
        read(&mut reader, "1", MessageQuery::default())[0].text,
        "one"
    );
    assert_eq!(
        read(&mut reader, "2", MessageQuery::default())[0].text,
        "two"
    );
    assert!(
        folders(dir.path())
            .iter()
            .all(|name| name.starts_with("Ana-"))
    );
}

#[test]
fn a_title_cannot_lead_out_of_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    write(
        &root,
        &[
            (chat("1", "../../up"), vec![]),
            (chat("2", "\u{202E}txt.exe"), vec![]),
            (chat("3", ""), vec![]),
        ],
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    assert_eq!(folders(&root).len(), 3);
    assert!(
        folders(&root)
            .iter()
            .all(|name| RelativePath::parse(name).is_some()),
        "{:?}",
        folders(&root)
    );
}

#[test]
fn equal_names_with_other_content_are_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let media = |bytes: &[u8]| vec![("scan.pdf".to_owned(), bytes.to_vec())];
    let messages = vec![
        (text("1", 1, ""), media(b"first")),
        (text("2", 2, ""), media(b"second")),
        (text("3", 3, ""), media(b"first")),
    ];
    write(dir.path(), &[(chat("c", "C"), messages)]);
    let mut reader = ArchiveReader::open(dir.path()).unwrap();
    let list = read(&mut reader, "c", MessageQuery::default());
    let found: Vec<_> = list
        .iter()
        .map(|m| bytes_of(&mut reader, &m.attachments[0]))
        .collect();
    assert_eq!(
        found,
        [b"first".to_vec(), b"second".to_vec(), b"first".to_vec()]
    );
    assert_eq!(list[0].attachments[0].path, list[2].attachments[0].path);
    assert!(
        list[0].attachments[0]
            .path
            .ends_with("/attachments/scan.pdf")
    );
    assert!(list.iter().all(|m| m.attachments[0].content.is_empty()));
}

#[test]
fn a_query_gives_a_span_and_the_last_ones() {
    let dir = tempfile::tempdir().unwrap();
    let messages = (0..100)
        .map(|n| (text(&n.to_string(), n, ""), vec![]))
        .collect();
    write(dir.path(), &[(chat("c", "C"), messages)]);
    let mut reader = ArchiveReader::open(dir.path()).unwrap();
    let mut ids = |from, until, last| -> Vec<i64> {
        let query = MessageQuery { from, until, last };
        read(&mut reader, "c", query)
            .into_iter()
            .map(|message| message.sent_at)
            .collect()
    };
    assert_eq!(ids(Some(97), None, None), [97, 98, 99]);
    assert_eq!(ids(None, Some(2), None), [0, 1]);
    assert_eq!(ids(None, Some(50), Some(3)), [47, 48, 49]);
    assert_eq!(ids(None, None, Some(0)), Vec::<i64>::new());
    assert_eq!(reader.conversations().unwrap()[0].span, Some((0, 99)));
}

#[test]
fn pages_go_on_where_the_last_one_ended() {
    let dir = tempfile::tempdir().unwrap();
    let messages = (0..3_500)
        .map(|n| (text(&format!("{n:05}"), n / 3, "x"), vec![]))
        .collect();
    write(dir.path(), &[(chat("c", "C"), messages)]);
    let mut reader = ArchiveReader::open(dir.path()).unwrap();
    let mut ids = Vec::new();
    crate::pages::in_pages(&mut reader, "c", MessageQuery::default(), &mut |_, page| {
        ids.extend(page.into_iter().map(|message| message.id));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(
        ids,
        (0..3_500).map(|n| format!("{n:05}")).collect::<Vec<_>>()
    );
    assert!(reader.goes_on(), "every page began at the beginning");
    assert_eq!(read(&mut reader, "c", MessageQuery::default()).len(), 3_500);
}

#[test]
fn an_unfinished_archive_is_refused_and_can_be_completed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let begun = ArchiveWriter::create(root, "test", "origin").unwrap();
    let path = RelativePath::of(&[CONVERSATIONS, "x", ATTACHMENTS, "a.jpg"]);
    let mut whole = AttachmentFile::create(root, &path).unwrap();
    whole.write_all(b"123").unwrap();
    assert!(
        !is_there(root, &path, 3),
        "an unfinished file has its name already"
    );
    whole.finish().unwrap();
    drop(AttachmentFile::create(root, &RelativePath::of(&["half.jpg"])).unwrap());
    drop(begun);
    assert!(
        ArchiveReader::open(root)
            .unwrap_err()
            .message
            .contains("is unfinished")
    );
    assert!(is_there(root, &path, 3) && !is_there(root, &path, 4));
    write(
        root,
        &[(chat("c", "C"), vec![(text("m", 1, "hi"), vec![])])],
    );
    assert_eq!(ArchiveReader::open(root).unwrap().totals().messages, 1);
    assert!(!root.join(format!("{PART}half.jpg")).exists());
}

#[test]
fn folders_with_something_else_in_them_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let open = |origin| {
        ArchiveWriter::create(dir.path(), "test", origin)
            .map(|_| ())
            .unwrap_err()
    };
    std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
    assert!(matches!(open("a"), FormError::NotEmpty(_)));
    std::fs::write(dir.path().join(MANIFEST), "{\"format\":\"other\"}").unwrap();
    assert!(matches!(open("a"), FormError::NotEmpty(_)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);

    let dir = tempfile::tempdir().unwrap();
    let open = |origin| {
        ArchiveWriter::create(dir.path(), "test", origin)
            .map(|_| ())
            .unwrap_err()
    };
    drop(ArchiveWriter::create(dir.path(), "test", "a").unwrap());
    assert!(matches!(open("b"), FormError::OtherOrigin(_)));
    std::fs::remove_dir_all(dir.path()).unwrap();
    write(dir.path(), &[]);
    assert!(matches!(open("origin"), FormError::Complete(_)));
}

/// Writes an archive whose one message has this attachment path.
fn forged(root: &Path, path: &str) -> (ArchiveReader, Attachment) {
    let mut writer = ArchiveWriter::create(root, "test", "origin").unwrap();
    let mut to = writer.conversation(&chat("c", "C")).unwrap();
    let attachment = Attachment {
        name: "x".into(),
        path: path.into(),
        ..Attachment::default()
    };
    to.message(Message {
        attachments: vec![attachment],
        ..text("m", 1, "")
    })
    .unwrap();
    let entry = to.finish().unwrap();
    writer.finish(vec![entry]).unwrap();
    let mut reader = ArchiveReader::open(root).unwrap();
    let attachment = read(&mut reader, "c", MessageQuery::default())[0].attachments[0].clone();
    (reader, attachment)
}

#[test]
fn attachment_paths_that_lead_elsewhere_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("secret"), "secret").unwrap();
    for path in [
        "../secret",
        "/etc/hostname",
        "a/../../secret",
        "",
        "conversations",
        "heirloom-archive.json/x",
    ] {
        let root = outside.path().join("archive");
        let (mut reader, attachment) = forged(&root, path);
        assert!(reader.open(&attachment).is_err(), "{path}");
        std::fs::remove_dir_all(root).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("archive");
    std::fs::write(dir.path().join("secret"), "secret").unwrap();
    let (mut reader, attachment) = forged(&root, "conversations/link");
    std::os::unix::fs::symlink(dir.path().join("secret"), root.join("conversations/link")).unwrap();
    assert!(reader.open(&attachment).is_err());
    let (mut attachment, below) = (attachment, root.join("conversations/folder"));
    std::os::unix::fs::symlink(dir.path(), below).unwrap();
    attachment.path = "conversations/folder/secret".into();
    assert!(reader.open(&attachment).is_err());
    std::fs::remove_file(root.join(MANIFEST)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join(MANIFEST)).unwrap();
    assert!(ArchiveReader::open(&root).is_err());
}

#[test]
fn a_manifest_that_lies_is_an_error_and_no_panic() {
    for manifest in [
        "",
        "[]",
        r#"{"format":"heirloom-archive","version":2,"complete":true}"#,
        r#"{"format":"heirloom-archive","version":1,"complete":true,"conversations":[{"id":"c","folder":"../..","messages":1}]}"#,
        r#"{"format":"heirloom-archive","version":1,"complete":true,"conversations":[{"id":"c","folder":"gone","messages":1}]}"#,
        r#"{"format":"heirloom-archive","version":1,"complete":true,"conversations":[{"id":"c","folder":"a","messages":1},{"id":"c","folder":"a","messages":1}]}"#,
    ] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(MANIFEST), manifest).unwrap();
        let opened = ArchiveReader::open(dir.path()).and_then(|mut reader| reader.conversations());
        assert!(opened.is_err(), "{manifest}");
    }
}

#[test]
fn absent_attachments_need_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut message = text("m", 1, "");
    message.set_kind(MessageKind::Media);
    message.attachments.push(Attachment {
        presence: Presence::Absent.into(),
        ..Attachment::default()
    });
    write(dir.path(), &[(chat("c", "C"), vec![(message, vec![])])]);
    let mut reader = ArchiveReader::open(dir.path()).unwrap();
    let attachment = read(&mut reader, "c", MessageQuery::default())[0].attachments[0].clone();
    assert!(reader.open(&attachment).unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_was_written_is_read_again(
        texts in proptest::collection::vec((".{0,30}", proptest::collection::vec((".{0,12}", proptest::collection::vec(any::<u8>(), 0..6)), 0..3)), 0..12),
        titles in proptest::collection::vec(".{0,20}", 1..4),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let messages: Vec<_> = (0..)
            .zip(&texts)
            .map(|(n, (said, media))| (text(&format!("{n:03}"), n, said), media.clone()))
            .collect();
        let chats: Vec<Chat> = titles.iter().enumerate().map(|(n, title)| (chat(&n.to_string(), title), messages.clone())).collect();
        write(dir.path(), &chats);
        let mut reader = ArchiveReader::open(dir.path()).unwrap();
        for (conversation, messages) in &chats {
            let found = read(&mut reader, &conversation.id, MessageQuery::default());
            prop_assert_eq!(found.len(), messages.len());
            for (found, (written, media)) in found.into_iter().zip(messages) {
                for (attachment, (name, bytes)) in found.attachments.iter().zip(media) {
                    prop_assert_eq!(&attachment.name, name);
                    prop_assert_eq!(&bytes_of(&mut reader, attachment), bytes);
                }
                prop_assert_eq!(Message { attachments: vec![], ..found }, written.clone());
            }
        }
        let mut canon = Vec::new();
        canonical(&mut reader, &mut canon).unwrap();
        let lines = String::from_utf8(canon).unwrap();
        prop_assert_eq!(lines.lines().count(), 1 + chats.len() * (1 + messages.len()));
        for line in lines.lines() {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
        }
    }

    #[test]
    fn a_damaged_archive_is_an_error_or_another_history_and_no_panic(at in 0_usize..400, to in any::<u8>()) {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(chat("c", "C"), vec![(text("m", 1, "hello"), vec![("a.jpg".into(), vec![1])])])]);
        let folder = dir.path().join(CONVERSATIONS).join(&folders(dir.path())[0]);
        for file in [folder.join(MESSAGES), folder.join(CONVERSATION), dir.path().join(MANIFEST)] {
            let mut bytes = std::fs::read(&file).unwrap();
            let at = at % bytes.len();
            bytes[at] = to;
            std::fs::write(&file, bytes).unwrap();
        }
        if let Ok(mut reader) = ArchiveReader::open(dir.path()) {
            let _ = canonical(&mut reader, &mut Vec::new());
        }
    }
}

#[test]
fn what_a_run_left_that_was_killed_at_its_first_write_is_taken_up() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(format!("{PART}{MANIFEST}")), b"{\"for").unwrap();
    ArchiveWriter::create(dir.path(), "test", "origin").unwrap();
}
