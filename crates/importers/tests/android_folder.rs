//! The Android folder against the manifests of real and realistic databases.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails"
)]

#[path = "support/android.rs"]
mod android_support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use android_support::{Collected, collect, shared, sql_database};
use heirloom_archive::report::Kind;
use heirloom_archive::{ConversationKind, MediaFile, MessageKind, Presence, Source, SourceError};
use heirloom_importers::whatsapp::android::AndroidFolder;
use heirloom_importers::whatsapp::crypt::WaKey;
use sha2::{Digest, Sha256};

fn of_kind(collected: &Collected, kind: MessageKind) -> usize {
    collected
        .messages
        .iter()
        .filter(|(_, message)| message.kind() == kind)
        .count()
}

fn number(manifest: &serde_json::Value, field: &str) -> usize {
    usize::try_from(manifest[field].as_u64().unwrap()).unwrap()
}

#[test]
fn every_count_of_the_modern_folder_equals_its_manifest() {
    let Some(root) = shared("corpus/_built/dev/msgstore") else {
        return;
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("manifest.json")).unwrap()).unwrap();
    let mut folder = AndroidFolder::open(&root, None).unwrap();
    let all = collect(&mut folder);
    assert!(all.report.adds_up());
    let system = number(&manifest, "system");
    assert_eq!(all.messages.len(), number(&manifest, "messages") + system);
    assert_eq!(
        all.report.counts(Kind::Messages).taken,
        u64::try_from(all.messages.len()).unwrap()
    );
    assert_eq!(all.report.counts(Kind::Messages).skipped, 0);
    assert_eq!(all.conversations.len(), number(&manifest, "chats"));
    assert_eq!(
        all.report.counts(Kind::Conversations).taken,
        manifest["chats"].as_u64().unwrap()
    );
    assert_eq!(of_kind(&all, MessageKind::Text), number(&manifest, "text"));
    assert_eq!(
        of_kind(&all, MessageKind::Deleted),
        number(&manifest, "revoked")
    );
    assert_eq!(of_kind(&all, MessageKind::Poll), number(&manifest, "polls"));
    assert_eq!(
        of_kind(&all, MessageKind::Location),
        number(&manifest, "locations")
    );
    assert_eq!(of_kind(&all, MessageKind::System), system);
    assert_eq!(of_kind(&all, MessageKind::Unsupported), 0);
    let count = |f: fn(&heirloom_archive::Message) -> usize| {
        all.messages.iter().map(|(_, m)| f(m)).sum::<usize>()
    };
    assert_eq!(count(|m| m.reactions.len()), number(&manifest, "reactions"));
    assert_eq!(
        count(|m| usize::from(m.reply_to.is_some())),
        number(&manifest, "quotes")
    );
    assert_eq!(
        count(|m| usize::from(m.edited && m.edits.len() == 1)),
        number(&manifest, "edited")
    );
    assert_eq!(count(|m| m.attachments.len()), number(&manifest, "media"));
    assert_eq!(
        count(|m| m.poll.as_ref().map_or(0, |poll| poll.options.len())),
        33
    );

    // Quotes lead to messages that exist, reactions and authors to people who were given.
    let ids: BTreeSet<_> = all
        .messages
        .iter()
        .map(|(conversation, m)| (*conversation, m.id.as_str()))
        .collect();
    assert_eq!(ids.len(), all.messages.len());
    for (conversation, message) in &all.messages {
        if let Some(reply) = &message.reply_to {
            assert!(ids.contains(&(*conversation, reply.message.as_str())));
        }
        let authors = message
            .reactions
            .iter()
            .map(|reaction| &reaction.author)
            .chain([&message.author]);
        for author in authors.filter(|author| !author.is_empty()) {
            assert!(all.participants.contains_key(author), "{author}");
        }
        assert!(message.author.is_empty() == (message.kind() == MessageKind::System));
    }
}

#[test]
fn people_known_by_lid_are_one_with_their_number() {
    let Some(root) = shared("corpus/_built/dev/msgstore") else {
        return;
    };
    let all = collect(&mut AndroidFolder::open(&root, None).unwrap());
    let with_lid: Vec<_> = all
        .participants
        .values()
        .filter(|person| !person.aliases.is_empty())
        .collect();
    assert_eq!(with_lid.len(), 69);
    for person in &with_lid {
        assert!(person.aliases.iter().all(|alias| alias.ends_with("@lid")));
        assert!(
            person.id.ends_with("@s.whatsapp.net")
                && !person.name.is_empty()
                && person.phone.starts_with('+')
        );
    }
    assert!(!all.participants.keys().any(|id| id.ends_with("@lid")));
    let writers: BTreeSet<_> = all
        .messages
        .iter()
        .map(|(_, message)| &message.author)
        .collect();
    assert!(with_lid.iter().all(|person| writers.contains(&person.id)));
    assert_eq!(
        all.participants
            .values()
            .filter(|person| person.is_owner)
            .count(),
        1
    );
    assert!(
        all.conversations
            .values()
            .any(|c| c.kind() == ConversationKind::Group && c.title == "Ubuntu Help 🐧")
    );
}

#[test]
fn each_medium_is_found_and_is_what_its_row_says() {
    let Some(root) = shared("corpus/_built/dev/msgstore") else {
        return;
    };
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(root.join("manifest.json")).unwrap()).unwrap();
    let mut folder = AndroidFolder::open(&root, None).unwrap();
    let all = collect(&mut folder);
    let media = folder.media();
    let expected: BTreeMap<String, String> =
        serde_json::from_value(manifest["media_files"].clone()).unwrap();
    let mut found = BTreeMap::new();
    for attachment in all
        .messages
        .iter()
        .flat_map(|(_, message)| &message.attachments)
    {
        assert_eq!(attachment.presence(), Presence::Present);
        let MediaFile::File(path) = media.open(&attachment.source_path).unwrap() else {
            panic!("not a file")
        };
        let bytes = std::fs::read(path).unwrap();
        assert_eq!(u64::try_from(bytes.len()).unwrap(), attachment.bytes);
        let hash = Sha256::digest(&bytes);
        assert_eq!(hash.as_slice(), attachment.source_sha256);
        assert_eq!(
            media.stamp(&attachment.source_path).unwrap().unwrap().len,
            attachment.bytes
        );
        found.insert(attachment.source_path.clone(), hex::encode(hash));
    }
    assert_eq!(found, expected);
    assert_eq!(of_kind(&all, MessageKind::VoiceNote), 56);
}

#[test]
fn the_encrypted_folder_gives_what_the_plain_one_gives() {
    let Some(root) = shared("corpus/_built/dev/msgstore") else {
        return;
    };
    let plain = collect(&mut AndroidFolder::open(&root.join("msgstore.db"), None).unwrap());
    let crypt = root.join("crypt");
    let key =
        |name: &str| WaKey::from_bytes(&std::fs::read(crypt.join(name)).unwrap(), name).unwrap();
    let sealed = crypt.join("msgstore.db.crypt15");
    let opened = collect(&mut AndroidFolder::open(&sealed, Some(key("key64.txt"))).unwrap());
    assert_eq!(opened.messages.len(), plain.messages.len());
    assert_eq!(opened.messages[17].1.id, plain.messages[17].1.id);
    let missing = AndroidFolder::open(&sealed, None).unwrap_err();
    assert!(
        matches!(missing, SourceError::KeyNeeded { .. }),
        "{missing}"
    );
    let wrong = AndroidFolder::open(&sealed, Some(key("key"))).unwrap_err();
    assert!(matches!(wrong, SourceError::WrongKey { .. }), "{wrong}");
    // The whole folder: the newest form is read, the others are named.
    let mut folder = AndroidFolder::open(&crypt, Some(key("key64.txt"))).unwrap();
    let all = collect(&mut folder);
    assert_eq!(all.messages.len(), plain.messages.len());
    let notes: Vec<_> = all
        .report
        .notes()
        .map(|(note, _)| note.to_owned())
        .collect();
    assert!(
        notes.contains(&"left aside: msgstore.db.crypt14, another copy of the database".to_owned()),
        "{notes:?}"
    );
    assert_eq!(all.report.counts(Kind::Attachments).absent, 210);
}

#[test]
fn every_count_of_the_legacy_database_equals_what_is_known_of_it() {
    let Some(root) = shared("corpus/andreas-mausch+whatsapp-viewer/data") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    // Lines of the dump that say what a virtual table is made of are no SQL.
    let schema = read("msgstore.db.schema.sql");
    sql_database(
        &dir.path().join("msgstore.db"),
        &[&schema, &read("test-database.sql")],
    );
    let all = collect(&mut AndroidFolder::open(dir.path(), None).unwrap());
    assert!(all.report.adds_up());
    assert_eq!(all.messages.len(), 42);
    assert_eq!(all.conversations.len(), 21);
    assert_eq!(of_kind(&all, MessageKind::Text), 20);
    assert_eq!(of_kind(&all, MessageKind::Picture), 6);
    assert_eq!(of_kind(&all, MessageKind::Call), 4);
    assert_eq!(of_kind(&all, MessageKind::LiveLocation), 2);
    let text = |id: &str| {
        all.messages
            .iter()
            .find(|(_, m)| m.id == id)
            .unwrap()
            .1
            .text
            .clone()
    };
    assert_eq!(text("keyId-0005-001"), "Haha\u{FFFD}\u{FFFD}\u{FFFD}");
    assert!(text("keyId-0004-001").starts_with("💞Handbook 2013💞"));
    let quoting = all
        .messages
        .iter()
        .find_map(|(_, message)| message.reply_to.as_ref())
        .unwrap();
    assert_eq!(
        (&*quoting.message, &*quoting.text),
        ("keyId-0006-001", "Text of first user")
    );
    let card = all
        .messages
        .iter()
        .find_map(|(_, message)| message.contacts.first())
        .unwrap();
    assert_eq!(card.name, "John Doe");
    assert!(
        all.report
            .notes()
            .any(|(note, count)| note.contains("not valid UTF-8") && count == 1)
    );
}

#[test]
fn the_stamp_changes_with_any_file_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    android_support::small_folder(dir.path());
    let stamp = || {
        AndroidFolder::open(dir.path(), None)
            .unwrap()
            .stamp()
            .unwrap()
            .unwrap()
    };
    let before = stamp();
    assert_eq!(stamp(), before);
    let media = dir.path().join("WhatsApp/Media/WhatsApp Images/a.jpg");
    let added = media.with_file_name("b.jpg");
    std::fs::write(&added, b"b").unwrap();
    let with = stamp();
    assert_ne!(with, before);
    std::fs::remove_file(&added).unwrap();
    assert_eq!(stamp(), before);
    std::fs::write(&media, b"other bytes").unwrap();
    assert_ne!(stamp(), before);
}

#[test]
fn nothing_is_written_into_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    android_support::small_folder(dir.path());
    let names = |path: &Path| -> BTreeSet<String> {
        std::fs::read_dir(path)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let before = names(dir.path());
    let mut folder = AndroidFolder::open(dir.path(), None).unwrap();
    collect(&mut folder);
    assert_eq!(names(dir.path()), before);
}
