//! The real exports of `../shared/corpus`, against their manifests.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::{Collected, read_all, shared, time_of};
use heirloom_archive::report::Kind;
use heirloom_archive::{MessageKind, Presence, Source};
use heirloom_importers::whatsapp::text::{DateOrder, TextExport, TextOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn manifest(name: &str) -> Option<(std::path::PathBuf, Value)> {
    let folder = shared("_built/dev")?;
    let manifest = std::fs::read(folder.join(format!("{name}.manifest.json"))).unwrap();
    Some((
        folder.join(name),
        serde_json::from_slice(&manifest).unwrap(),
    ))
}

fn equals_its_manifest(source: &mut TextExport, manifest: &Value) -> Collected {
    let found = read_all(source);
    let count = |of: &dyn Fn(&heirloom_archive::Message) -> bool| {
        found.messages.iter().filter(|m| of(m)).count()
    };
    let want = |key: &str| usize::try_from(manifest[key].as_u64().unwrap()).unwrap();
    let system = count(&|m| m.kind() == MessageKind::System);
    assert_eq!(found.messages.len() - system, want("messages"));
    assert_eq!(system, want("system"));
    assert_eq!(
        count(&|m| m.kind() == MessageKind::Deleted),
        want("deleted")
    );
    assert_eq!(count(&|m| m.edited), want("edited"));
    assert_eq!(count(&|m| m.kind() == MessageKind::Poll), want("polls"));
    assert_eq!(
        count(&|m| m.kind() == MessageKind::Location),
        want("locations")
    );
    assert_eq!(count(&|m| !m.attachments.is_empty()), want("attachments"));
    let senders: BTreeSet<_> = found
        .messages
        .iter()
        .filter(|m| !m.author.is_empty())
        .map(|m| &m.author)
        .collect();
    assert_eq!(senders.len(), want("senders"));
    assert_eq!(found.participants.len(), senders.len());
    let times: Vec<i64> = found.messages.iter().map(|m| m.sent_at).collect();
    let text = |ms: i64| time_of(ms).replace('T', " ");
    // iOS writes seconds that the manifest's last minute does not have.
    let minute = |time: &str| time[..16].to_owned();
    assert_eq!(
        minute(&text(*times.iter().min().unwrap())),
        minute(manifest["first"].as_str().unwrap())
    );
    assert_eq!(
        minute(&text(*times.iter().max().unwrap())),
        minute(manifest["last"].as_str().unwrap())
    );
    assert_eq!(
        found.conversation().title,
        manifest["chat"].as_str().unwrap()
    );
    assert_eq!(
        found.conversation().kind(),
        heirloom_archive::ConversationKind::Group
    );
    let ids: BTreeSet<_> = found.messages.iter().map(|m| &m.id).collect();
    assert_eq!(ids.len(), found.messages.len(), "ids are unique");
    let media = source.media();
    let mut hashes = 0;
    for attachment in found.messages.iter().flat_map(|m| &m.attachments) {
        assert_eq!(
            attachment.presence(),
            Presence::Present,
            "{}",
            attachment.name
        );
        assert!(!attachment.media_type.is_empty(), "{}", attachment.name);
        let bytes = crate::common::bytes_of(media.as_ref(), &attachment.source_path);
        assert_eq!(u64::try_from(bytes.len()).unwrap(), attachment.bytes);
        assert_eq!(
            hex::encode(Sha256::digest(&bytes)),
            manifest["media"][&attachment.name].as_str().unwrap()
        );
        hashes += 1;
    }
    assert_eq!(hashes, manifest["media"].as_object().unwrap().len());
    assert!(
        found.report.adds_up() && !found.report.left_out_something_readable(),
        "{:?}",
        found.report
    );
    assert_eq!(
        found.report.counts(Kind::Messages).taken,
        u64::try_from(found.messages.len()).unwrap()
    );
    found
}

#[test]
fn the_android_group_equals_its_manifest() {
    let Some((zip, manifest)) = manifest("whatsapp-android-group.zip") else {
        return;
    };
    let mut source = TextExport::open(&zip, TextOptions::default()).unwrap();
    let found = equals_its_manifest(&mut source, &manifest);
    // Texts of several lines, polls, and captions, which stand on the lines after the file's name.
    let lines = |m: &&heirloom_archive::Message| {
        m.poll.is_some()
            || m.text.contains('\n')
            || (!m.attachments.is_empty() && !m.text.is_empty())
    };
    let multiline = found.messages.iter().filter(lines).count();
    assert_eq!(
        multiline,
        usize::try_from(manifest["multiline"].as_u64().unwrap()).unwrap()
    );
    assert!(source.stamp().unwrap().is_some());
}

#[test]
fn the_ios_group_equals_its_manifest() {
    let Some((zip, manifest)) = manifest("whatsapp-ios-group.zip") else {
        return;
    };
    let mut source = TextExport::open(&zip, TextOptions::default()).unwrap();
    equals_its_manifest(&mut source, &manifest);
}

#[test]
fn an_unpacked_export_and_one_in_memory_give_the_same_messages() {
    let Some((path, _)) = manifest("whatsapp-ios-group.zip") else {
        return;
    };
    let bytes = std::fs::read(&path).unwrap();
    let folder = tempfile::tempdir().unwrap();
    zip::ZipArchive::new(std::io::Cursor::new(bytes.clone()))
        .unwrap()
        .extract(folder.path())
        .unwrap();
    let zipped = read_all(&mut TextExport::open(&path, TextOptions::default()).unwrap());
    let unpacked = read_all(&mut TextExport::open(folder.path(), TextOptions::default()).unwrap());
    let text_alone = read_all(
        &mut TextExport::open(&folder.path().join("_chat.txt"), TextOptions::default()).unwrap(),
    );
    let memory: Arc<[u8]> = bytes.into();
    let in_memory =
        read_all(&mut TextExport::from_bytes("x.zip", memory, TextOptions::default()).unwrap());
    assert_eq!(zipped.messages, unpacked.messages);
    assert_eq!(zipped.messages, text_alone.messages);
    assert_eq!(zipped.messages, in_memory.messages);
}

#[test]
fn every_form_of_another_parser_is_read() {
    let Some(folder) = shared("Pustur+whatsapp-chat-parser") else {
        return;
    };
    let forms: Value =
        serde_json::from_slice(&std::fs::read(folder.join("formats.json")).unwrap()).unwrap();
    let lines = forms["date_lines"].as_array().unwrap();
    assert_eq!(lines.len(), 12);
    for form in lines {
        let line = form["line"].as_str().unwrap();
        let options = TextOptions {
            date_order: Some(DateOrder::DayFirst),
            ..TextOptions::default()
        };
        let found = read_all(
            &mut TextExport::from_bytes("c.txt", line.as_bytes().into(), options).unwrap(),
        );
        assert_eq!(found.messages.len(), 1, "{line}");
        assert_eq!(
            time_of(found.messages[0].sent_at),
            form["local_time"].as_str().unwrap(),
            "{line}"
        );
        assert_eq!(
            found.messages[0].text,
            form["text"].as_str().unwrap(),
            "{line}"
        );
        assert_eq!(
            found.participants[0].name,
            form["author"].as_str().unwrap(),
            "{line}"
        );
    }
    for line in forms["attachment_lines"].as_array().unwrap() {
        let line = line.as_str().unwrap().replace("\\n", "\n");
        let options = TextOptions {
            date_order: Some(DateOrder::DayFirst),
            ..TextOptions::default()
        };
        let found = read_all(
            &mut TextExport::from_bytes("c.txt", line.as_bytes().into(), options).unwrap(),
        );
        assert_eq!(found.messages[0].kind(), MessageKind::Picture, "{line}");
        assert_eq!(
            found.messages[0].attachments[0].presence(),
            Presence::Absent,
            "{line}"
        );
        assert_eq!(found.report.counts(Kind::Attachments).absent, 1);
    }
}

#[test]
fn every_style_of_chat_miner_gives_its_target() {
    let Some(folder) = shared("joweich+chat-miner/test/whatsapp") else {
        return;
    };
    let target: Value =
        serde_json::from_slice(&std::fs::read(folder.join("target.json")).unwrap()).unwrap();
    let mut target: Vec<(String, String, String)> = target
        .as_array()
        .unwrap()
        .iter()
        .map(|m| {
            ["timestamp", "author", "message"]
                .map(|key| m[key].as_str().unwrap().to_owned())
                .into()
        })
        .collect();
    target.reverse();
    let mut files = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        files += 1;
        let found = read_all(&mut TextExport::open(&path, TextOptions::default()).unwrap());
        assert_eq!(found.messages.len(), 9, "{}", path.display());
        let name = |id: &str| {
            found
                .participants
                .iter()
                .find(|p| p.id == id)
                .unwrap()
                .name
                .clone()
        };
        let texts: Vec<_> = found
            .messages
            .iter()
            .filter(|m| m.kind() == MessageKind::Text)
            .map(|m| {
                (
                    time_of(m.sent_at),
                    name(&m.author),
                    m.text.replace('\n', " "),
                )
            })
            .collect();
        assert_eq!(texts, target, "{}", path.display());
    }
    assert_eq!(files, 5);
}
