//! Whatever goes into a backup comes out of it: `canon(source) == canon(export(restore(backup(source))))`, by the
//! release program, for every WhatsApp source of the corpus and for made-up ones.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails"
)]

#[path = "support/e2e.rs"]
mod e2e;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use e2e::canon;
use e2e::chance::{self, Chance};
use e2e::corpus::{self, Case, json, shared};
use e2e::made::{self, Export};
use e2e::made_archive;
use e2e::session::{Session, sample};
use e2e::tree;
use serde_json::Value;

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];
const KINDS: [&str; 3] = ["messages", "attachments", "conversations"];

/// Runs, and wants this exit code.
fn run(session: &Session, args: &[&str], code: i32) -> Value {
    let ended = session.run(&[args, &["--json"]].concat());
    assert_eq!(
        ended.code, code,
        "{args:?}: {}\n{}",
        ended.stderr, ended.stdout
    );
    ended.summary()
}

fn backup(session: &Session, case: &Case, more: &[&str]) -> Value {
    let args = case.args();
    let args: Vec<&str> = args
        .iter()
        .map(String::as_str)
        .chain(["--to", "store"])
        .collect();
    let summary = run(session, &[&args, more].concat(), 0);
    for kind in KINDS {
        let count = |name: &str| summary[kind][name].as_u64().unwrap();
        assert_eq!(
            count("found"),
            count("taken") + count("skipped"),
            "{}: {summary}",
            case.name
        );
    }
    // A restored folder may say of an attachment that it could not be read when it was backed up.
    for skip in summary["skipped"].as_array().unwrap() {
        assert_eq!(
            (&skip["kind"], &skip["readable"]),
            (&"attachments".into(), &false.into()),
            "{}: {summary}",
            case.name
        );
    }
    summary
}

/// What came back.
struct Trip {
    session: Session,
    canon: String,
    first: Value,
}

impl Trip {
    /// The JSONL export of the restored folder.
    fn export(&self) -> PathBuf {
        self.session.path("open")
    }

    fn lines(&self, file: &str) -> Vec<Value> {
        fs::read_to_string(self.export().join(file))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// There and back again; on the way nothing may change, and the same source again adds nothing.
fn round_trip(case: &Case) -> Trip {
    let mut session = Session::new();
    let truth = canon::of_source(case);
    let first = backup(&session, case, &["--new-recovery-key-file", "key.txt"]);
    session.move_to("another-computer");
    run(
        &session,
        &[&["restore", "store", "--to", "restored"][..], &KEY].concat(),
        0,
    );
    canon::assert_same(
        &format!("{}: restored", case.name),
        &truth,
        &canon::of_restored(&session.path("restored")),
    );
    run(
        &session,
        &["export", "restored", "--format", "jsonl", "--to", "open"],
        0,
    );
    canon::assert_same(
        &format!("{}: exported", case.name),
        &truth,
        &canon::of_export(&session.path("open")),
    );
    let direct = ["export", "store", "--format", "jsonl", "--to", "direct"];
    run(&session, &[&direct[..], &KEY].concat(), 0);
    canon::assert_same(
        &format!("{}: exported without restoring", case.name),
        &truth,
        &canon::of_export(&session.path("direct")),
    );
    session.move_to("home");
    let again = backup(&session, case, &["--force"]);
    let from_restored = backup(&session, &Case::new(&session.path("restored")), &[]);
    for kind in KINDS {
        assert_eq!(
            first[kind]["new"], first[kind]["taken"],
            "{}: {first}",
            case.name
        );
        assert_eq!(
            again[kind]["new"], 0,
            "{}: the same again: {again}",
            case.name
        );
        assert_eq!(
            from_restored[kind]["new"], 0,
            "{}: restored: {from_restored}",
            case.name
        );
    }
    Trip {
        session,
        canon: truth,
        first,
    }
}

fn of_kind(messages: &[Value], kind: &str) -> u64 {
    many(messages, |message| u64::from(message["kind"] == kind))
}

fn many(messages: &[Value], of: impl Fn(&Value) -> u64) -> u64 {
    messages.iter().map(of).sum()
}

fn length(value: &Value) -> u64 {
    value.as_array().unwrap().len().try_into().unwrap()
}

/// Each attachment of an export as (name, SHA-256 of its file), which has to be the one that its line states.
fn media(trip: &Trip, messages: &[Value]) -> Vec<(String, String)> {
    let attachments = messages
        .iter()
        .flat_map(|message| message["attachments"].as_array().unwrap())
        .filter(|attachment| attachment["path"].is_string());
    attachments
        .map(|attachment| {
            let bytes = fs::read(trip.export().join(attachment["path"].as_str().unwrap())).unwrap();
            assert_eq!(attachment["sha256"], tree::sha256(&bytes), "{attachment}");
            assert_eq!(attachment["bytes"], bytes.len(), "{attachment}");
            (
                attachment["name"].as_str().unwrap().to_owned(),
                tree::sha256(&bytes),
            )
        })
        .collect()
}

fn exported_chat_equals_its_manifest(name: &str) {
    let Some(folder) = shared("_built/dev") else {
        return;
    };
    let manifest = json(&folder.join(format!("{name}.manifest.json")));
    let trip = round_trip(&Case::new(&folder.join(name)));
    let messages = trip.lines("messages.jsonl");
    let system = of_kind(&messages, "system");
    let total = u64::try_from(messages.len()).unwrap();
    assert_eq!(system, manifest["system"]);
    assert_eq!(total - system, manifest["messages"]);
    assert_eq!(trip.first["messages"]["taken"], total);
    assert_eq!(of_kind(&messages, "deleted"), manifest["deleted"]);
    assert_eq!(of_kind(&messages, "poll"), manifest["polls"]);
    assert_eq!(of_kind(&messages, "location"), manifest["locations"]);
    let edited = many(&messages, |message| u64::from(message["edited"] == true));
    assert_eq!(edited, manifest["edited"]);
    let conversations = trip.lines("conversations.jsonl");
    assert_eq!(conversations.len(), 1);
    assert_eq!(conversations[0]["title"], manifest["chat"]);
    let senders: BTreeSet<_> = messages
        .iter()
        .map(|message| message["author"].as_str().unwrap())
        .filter(|author| !author.is_empty())
        .collect();
    assert_eq!(u64::try_from(senders.len()).unwrap(), manifest["senders"]);
    assert_eq!(trip.lines("participants.jsonl").len(), senders.len());
    let mut media = media(&trip, &messages);
    media.sort();
    let mut wanted: Vec<(String, String)> = manifest["media"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, hash)| (name.clone(), hash.as_str().unwrap().to_owned()))
        .collect();
    // A dependency of the tests alone has JSON objects keep their order.
    wanted.sort();
    assert_eq!(media, wanted);
    assert_eq!(u64::try_from(media.len()).unwrap(), manifest["attachments"]);
}

#[test]
fn the_android_group_comes_back_with_every_count_of_its_manifest() {
    exported_chat_equals_its_manifest("whatsapp-android-group.zip");
}

#[test]
fn the_ios_group_comes_back_with_every_count_of_its_manifest() {
    exported_chat_equals_its_manifest("whatsapp-ios-group.zip");
}

#[test]
fn the_android_folder_comes_back_with_every_count_of_its_manifest() {
    let Some(folder) = shared("_built/dev/msgstore") else {
        return;
    };
    let manifest = json(&folder.join("manifest.json"));
    let trip = round_trip(&Case::new(&folder));
    let messages = trip.lines("messages.jsonl");
    let system = of_kind(&messages, "system");
    assert_eq!(system, manifest["system"]);
    assert_eq!(
        u64::try_from(messages.len()).unwrap() - system,
        manifest["messages"]
    );
    assert_eq!(
        u64::try_from(trip.lines("conversations.jsonl").len()).unwrap(),
        manifest["chats"]
    );
    assert_eq!(of_kind(&messages, "text"), manifest["text"]);
    assert_eq!(of_kind(&messages, "deleted"), manifest["revoked"]);
    assert_eq!(of_kind(&messages, "poll"), manifest["polls"]);
    assert_eq!(of_kind(&messages, "location"), manifest["locations"]);
    assert_eq!(of_kind(&messages, "unsupported"), 0);
    assert_eq!(
        many(&messages, |m| length(&m["reactions"])),
        manifest["reactions"]
    );
    assert_eq!(
        many(&messages, |m| u64::from(!m["reply_to"].is_null())),
        manifest["quotes"]
    );
    assert_eq!(many(&messages, |m| length(&m["edits"])), manifest["edited"]);
    assert_eq!(
        many(&messages, |m| length(&m["attachments"])),
        manifest["media"]
    );
    let known_by_lid = trip
        .lines("participants.jsonl")
        .iter()
        .filter(|person| !person["aliases"].is_null())
        .count();
    assert_eq!(
        u64::try_from(known_by_lid).unwrap(),
        manifest["lid_senders"]
    );
    let mut hashes: Vec<String> = media(&trip, &messages)
        .into_iter()
        .map(|(_, hash)| hash)
        .collect();
    hashes.sort();
    let mut wanted: Vec<String> = manifest["media_files"]
        .as_object()
        .unwrap()
        .values()
        .map(|hash| hash.as_str().unwrap().to_owned())
        .collect();
    wanted.sort();
    assert_eq!(hashes, wanted);
}

#[test]
fn every_encrypted_form_comes_back_as_the_database_it_was_made_of() {
    for (folder, messages) in [
        ("_built/dev/msgstore", 8274),
        (
            "_made-with-third-party-tools/wa-crypt-of-whatsapp-viewer",
            0,
        ),
    ] {
        let Some(folder) = shared(folder) else {
            return;
        };
        let scratch = tempfile::tempdir().unwrap();
        let alone = scratch.path().join("alone");
        fs::create_dir(&alone).unwrap();
        fs::copy(folder.join("msgstore.db"), alone.join("msgstore.db")).unwrap();
        let plain = round_trip(&Case::new(&alone));
        let found = plain.lines("messages.jsonl").len();
        assert!(found == messages || messages == 0 && found > 0, "{found}");
        let sealed = if folder.join("crypt").exists() {
            folder.join("crypt")
        } else {
            folder
        };
        for case in corpus::encrypted(&sealed, scratch.path()) {
            let trip = round_trip(&case);
            canon::assert_same(&case.name, &plain.canon, &trip.canon);
        }
    }
}

#[test]
fn the_legacy_database_comes_back() {
    let Some(statements) = shared("andreas-mausch+whatsapp-viewer/data") else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let trip = round_trip(&corpus::legacy(&statements, &scratch.path().join("legacy")));
    let messages = trip.lines("messages.jsonl");
    assert_eq!(messages.len(), 42);
    assert_eq!(trip.lines("conversations.jsonl").len(), 21);
    assert!(
        messages
            .iter()
            .any(|m| m["text"] == "Haha\u{FFFD}\u{FFFD}\u{FFFD}"),
        "bytes that are no UTF-8 are shown as such"
    );
}

#[test]
fn five_styles_of_one_chat_come_back_with_the_same_words() {
    let Some(folder) = shared("joweich+chat-miner/test/whatsapp") else {
        return;
    };
    let wanted = json(&folder.join("target.json"));
    let mut texts = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "txt") {
            continue;
        }
        let trip = round_trip(&Case::new(&path));
        let messages = trip.lines("messages.jsonl");
        assert_eq!(messages.len(), 9, "{}", path.display());
        let said: Vec<String> = messages
            .iter()
            .filter(|m| m["kind"] != "system")
            .map(|m| m["text"].as_str().unwrap().replace('\n', " "))
            .collect();
        for message in target_texts(&wanted) {
            assert!(
                said.contains(&message),
                "{}: {message:?} in {said:?}",
                path.display()
            );
        }
        texts += 1;
    }
    assert_eq!(texts, 5);
}

/// Every "message" of a file of expectations, whatever its shape.
fn target_texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(all) => all.iter().flat_map(target_texts).collect(),
        Value::Object(fields) => match &fields.get("message") {
            Some(Value::String(text)) => vec![text.clone()],
            _ => fields.values().flat_map(target_texts).collect(),
        },
        _ => Vec::new(),
    }
}

#[test]
fn every_known_form_of_a_line_comes_back_with_its_time() {
    let Some(file) = shared("Pustur+whatsapp-chat-parser/formats.json") else {
        return;
    };
    let formats = json(&file);
    let scratch = tempfile::tempdir().unwrap();
    let write = |number: usize, line: &str, medium: Option<&str>| {
        let folder = scratch.path().join(format!("{number}/export"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("WhatsApp Chat with a.txt"), format!("{line}\n")).unwrap();
        if let Some(name) = medium {
            fs::write(folder.join(name), name).unwrap();
        }
        // What one line alone cannot show, a person says.
        let order = if ["3/6/", "03-06-"].iter().all(|date| !line.contains(date)) {
            None
        } else {
            Some("dmy")
        };
        Case {
            name: line.to_owned(),
            date_order: order,
            ..Case::new(&folder)
        }
    };
    let lines = formats["date_lines"].as_array().unwrap();
    for (number, wanted) in lines.iter().enumerate() {
        let line = wanted["line"].as_str().unwrap();
        let trip = round_trip(&write(number, line, None));
        let messages = trip.lines("messages.jsonl");
        assert_eq!(messages.len(), 1, "{line}");
        assert_eq!(messages[0]["sent_at"], wanted["local_time"], "{line}");
        assert_eq!(messages[0]["zone"], "unknown", "{line}");
        assert_eq!(messages[0]["text"], wanted["text"], "{line}");
        assert_eq!(
            trip.lines("participants.jsonl")[0]["name"],
            wanted["author"],
            "{line}"
        );
    }
    let media = [
        "00000042-PHOTO-2020-06-07-15-13-20.jpg",
        "IMG-20210428-WA0001.jpg",
        "2015-08-04-PHOTO-00004762.jpg",
        "4f2680f1db95a8454775cc2eefc95bfc.jpg",
    ];
    let lines = formats["attachment_lines"].as_array().unwrap();
    assert_eq!(lines.len(), media.len());
    for (number, (line, name)) in (100..).zip(lines.iter().zip(media)) {
        // One of them stands with the escape of the source that it was taken from.
        let line = &line.as_str().unwrap().replace("\\n", "\n");
        let trip = round_trip(&write(number, line, Some(name)));
        let attachments = trip.lines("messages.jsonl")[0]["attachments"].clone();
        assert_eq!(length(&attachments), 1, "{line}");
        assert_eq!(attachments[0]["name"], name, "{line}");
        assert_eq!(
            attachments[0]["sha256"],
            tree::sha256(name.as_bytes()),
            "{line}"
        );
    }
}

#[test]
fn the_sample_chat_comes_back() {
    let trip = round_trip(&Case::new(&sample()));
    assert_eq!(trip.lines("messages.jsonl").len(), 121);
    assert_eq!(media(&trip, &trip.lines("messages.jsonl")).len(), 8);
}

#[test]
fn a_damaged_database_and_a_wrong_key_are_refused_in_their_own_words_and_nothing_is_written() {
    let scratch = tempfile::tempdir().unwrap();
    let stranger = scratch.path().join("stranger.txt");
    fs::write(&stranger, "5a".repeat(32)).unwrap();
    #[cfg(unix)]
    fs::set_permissions(
        &stranger,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    for folder in [
        "_built/dev/msgstore/crypt",
        "_made-with-third-party-tools/wa-crypt-of-whatsapp-viewer",
    ] {
        let Some(folder) = shared(folder) else {
            return;
        };
        let right = corpus::private(&folder, "encrypted_backup.key", scratch.path());
        for (file, key, words, code) in [
            ("BAD-flipped.db.crypt15", &right, "error: damaged file: ", 1),
            (
                "BAD-truncated.db.crypt15",
                &right,
                "error: damaged file: ",
                1,
            ),
            ("msgstore.db.crypt15", &stranger, "error: wrong key: ", 12),
            ("msgstore.db.crypt14", &stranger, "error: wrong key: ", 12),
        ] {
            let session = Session::new();
            let case = Case::with_key(&copied(&folder.join(file), scratch.path()), key);
            let args = case.args();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let more = ["--to", "store", "--new-recovery-key-file", "key.txt"];
            let ended = session.run(&[&args[..], &more].concat());
            assert_eq!(ended.code, code, "{file}: {ended:?}");
            assert!(ended.stderr.starts_with(words), "{file}: {ended:?}");
            assert!(ended.stderr.contains("\nhint: "), "{file}: {ended:?}");
            for name in ["store", "key.txt", "home"] {
                assert!(!session.path(name).exists(), "{file} left {name}");
            }
        }
    }
}

/// Alone in a folder, as a person has it who copied one file from the phone.
fn copied(file: &Path, scratch: &Path) -> PathBuf {
    let folder = scratch.join("copied");
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let ending = file.extension().unwrap().to_str().unwrap();
    let path = folder.join(format!("msgstore.db.{ending}"));
    fs::copy(file, &path).unwrap();
    path
}

#[test]
fn an_overlapping_export_adds_only_what_is_new() {
    let Some(zip) = shared("_built/dev/whatsapp-android-group.zip") else {
        return;
    };
    let scratch = tempfile::tempdir().unwrap();
    let [whole, early, late] =
        ["whole", "early", "late"].map(|name| scratch.path().join(name).join("export"));
    let mut zip = zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap();
    let mut text = String::new();
    let mut text_name = String::new();
    let mut files = Vec::new();
    for number in 0..zip.len() {
        let mut entry = zip.by_index(number).unwrap();
        let name = entry.name().unwrap().into_owned();
        if Path::new(&name)
            .extension()
            .is_some_and(|ending| ending == "txt")
            && name.starts_with("WhatsApp")
        {
            entry.read_to_string(&mut text).unwrap();
            text_name = name;
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.push((name, bytes));
    }
    let heads: Vec<usize> = text
        .match_indices('\n')
        .map(|(at, _)| at + 1)
        .filter(|at| {
            let line = text[*at..].lines().next().unwrap_or_default();
            line.starts_with(|c: char| c.is_ascii_digit()) && line.contains(" - ")
        })
        .collect();
    let (from, until) = (heads[heads.len() * 4 / 10], heads[heads.len() * 6 / 10]);
    for (folder, part) in [
        (&whole, &text[..]),
        (&early, &text[..until]),
        (&late, &text[from..]),
    ] {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(&text_name), part).unwrap();
        for (name, bytes) in files
            .iter()
            .filter(|(name, _)| part.contains(name.as_str()))
        {
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
    overlap(&Case::new(&early), &Case::new(&late), &Case::new(&whole));
    overlap(&Case::new(&late), &Case::new(&early), &Case::new(&whole));
}

/// Two exports of one chat that have a part in common are together the whole one, and only what is new is stored.
fn overlap(one: &Case, other: &Case, whole: &Case) {
    let session = Session::new();
    let first = backup(&session, one, &["--new-recovery-key-file", "key.txt"]);
    let second = backup(&session, other, &[]);
    let all = canon::of_source(whole);
    let messages = all
        .lines()
        .filter(|line| line.starts_with("{\"message\""))
        .count();
    let new = |summary: &Value| summary["messages"]["new"].as_u64().unwrap();
    assert_eq!(new(&first) + new(&second), u64::try_from(messages).unwrap());
    assert!(second["messages"]["taken"].as_u64().unwrap() > new(&second));
    run(
        &session,
        &[&["restore", "store", "--to", "restored"][..], &KEY].concat(),
        0,
    );
    // Who is in the chat is what the last export says; all that was written is from both.
    let written = |canon: &str| -> String {
        let is_written = |line: &&str| !line.starts_with("{\"conversation\"");
        canon.split_inclusive('\n').filter(is_written).collect()
    };
    canon::assert_same(
        "both together",
        &written(&all),
        &written(&canon::of_restored(&session.path("restored"))),
    );
}

#[test]
fn any_made_up_export_comes_back() {
    let mut chance = Chance::of_this_run("any_made_up_export_comes_back");
    for round in 0..chance::times(6, 100) {
        let style = *chance.one_of(made::STYLES);
        let most = if chance.once_in(5) { 4_000 } else { 300 };
        let messages = 30 + chance.index(most);
        let media = chance.index(9);
        let export = Export::new(&mut chance, style, messages, media, 30_000);
        let scratch = tempfile::tempdir().unwrap();
        let path = if chance.once_in(2) {
            let path = scratch.path().join("WhatsApp Chat with Sea.zip");
            export.write_zip(&path);
            path
        } else {
            let path = scratch.path().join("export");
            export.write(&path);
            path
        };
        println!(
            "round {round}: {style:?}, {messages} messages, {}",
            path.display()
        );
        let trip = round_trip(&Case::new(&path));
        assert_eq!(trip.lines("messages.jsonl").len(), messages);
        assert_eq!(media_names(&trip), export.files.keys().cloned().collect());

        let [early, late] = ["early", "late"].map(|name| scratch.path().join(name).join("export"));
        export.part(0..messages * 2 / 3).write(&early);
        export.part(messages / 3..messages).write(&late);
        let whole = scratch.path().join("whole/export");
        export.write(&whole);
        overlap(&Case::new(&early), &Case::new(&late), &Case::new(&whole));
    }
}

fn media_names(trip: &Trip) -> BTreeSet<String> {
    media(trip, &trip.lines("messages.jsonl"))
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

#[test]
fn any_made_up_archive_comes_back() {
    let mut chance = Chance::of_this_run("any_made_up_archive_comes_back");
    for round in 0..chance::times(8, 150) {
        let seed = chance.number();
        println!("round {round}: seed {seed}");
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join("archive");
        made_archive::archive(&mut Chance::with_seed(seed), &folder);
        round_trip(&Case::new(&folder));
    }
}
