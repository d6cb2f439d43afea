//! The format is what its pages say: a reader in Python, written from docs/format.md and docs/keyring.md without a look at
//! this program, opens repositories that the program made, and finds in them what `restore` brings back.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails, and one that is skipped says so"
)]

#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/session.rs"]
mod session;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use heirloom_archive::canon;
use heirloom_archive::form::{ArchiveReader, ArchiveWriter, AttachmentFile};
use heirloom_archive::{
    Attachment, Call, ContactCard, Conversation, Deleted, Edit, Location, Message, Participant,
    Poll, PollOption, Presence, Raw, Reaction, Receipt, Reply, System, Zone,
};
use heirloom_engine::keyrings;
use heirloom_keys::{
    Act, CredRandom, LockedKeyring, Method, NewSlot, Passkey, Provider, RecoveryEntry, RecoveryKey,
    UnlockSecret, prf_salt,
};
use session::{Ended, Session, sample};
use sha2::{Digest, Sha256};

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

/// A computer with the program, and the reader.
struct Scene {
    session: Session,
    python: OsString,
}

impl Scene {
    /// None, with a word on the output, where Python or one of its packages is absent.
    fn new() -> Option<Self> {
        let python = std::env::var_os("HEIRLOOM_PYTHON").unwrap_or_else(|| "python3".into());
        let there = Command::new(&python)
            .args(["-c", "import blake3, cryptography, kyber_py, zstandard"])
            .output()
            .is_ok_and(|output| output.status.success());
        if !there {
            skip("Python with blake3, cryptography, kyber-py and zstandard is absent");
            return None;
        }
        Some(Self {
            session: Session::new(),
            python,
        })
    }

    fn done(&self, args: &[&str]) -> Ended {
        let ended = self.session.run(args);
        assert!([0, 3].contains(&ended.code), "{args:?}: {ended:?}");
        ended
    }

    fn first_backup(&self, source: &Path) {
        let key = ["--new-recovery-key-file", "key.txt"];
        self.done(
            &[
                &["backup", source.to_str().unwrap(), "--to", "store"][..],
                &key,
            ]
            .concat(),
        );
    }

    /// Gives the snapshot's name.
    fn backup(&self, source: &Path) -> String {
        let backup = [
            "backup",
            source.to_str().unwrap(),
            "--to",
            "store",
            "--json",
        ];
        let summary = self.done(&backup).summary();
        summary["snapshot"].as_str().unwrap().to_owned()
    }

    /// From here on another computer is at work, which has joined with this backup.
    fn join_from(&mut self, home: &str, source: &Path) {
        self.session.move_to(home);
        let backup = [
            "backup",
            source.to_str().unwrap(),
            "--to",
            "store",
            "--join",
        ];
        self.done(&[&backup[..], &KEY].concat());
    }

    fn reader(&self, key: &str) -> Ended {
        self.reader_of(key, None)
    }

    fn reader_of(&self, key: &str, snapshot: Option<&str>) -> Ended {
        let mut command = self.script("reader.py");
        command
            .args([self.session.path("store"), self.session.path(key)])
            .arg(root("crates"))
            .args(snapshot);
        self.session.finish(&mut command)
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg("-B").arg(root("testdata/reader").join(name));
        command
    }

    /// The reader finds what `restore` brings back. Gives the canonical form of it.
    fn assert_reads(&self) -> String {
        self.assert_reads_snapshot(None)
    }

    fn assert_reads_snapshot(&self, snapshot: Option<&str>) -> String {
        let restored = self.session.path("restored");
        fs::remove_dir_all(&restored).ok();
        let restore = ["restore", "store", "--to", "restored"];
        let chosen = snapshot.map(|name| ["--snapshot", name]);
        let chosen = chosen.as_ref().map_or(&[][..], |args| &args[..]);
        self.done(&[&restore[..], chosen, &KEY].concat());
        let mut wanted = Vec::new();
        canon::canonical(&mut ArchiveReader::open(&restored).unwrap(), &mut wanted).unwrap();
        let wanted = String::from_utf8(wanted).unwrap();
        let read = self.reader_of("key.txt", snapshot);
        assert_eq!((read.code, read.stderr.as_str()), (0, ""));
        let lines = wanted.lines().count().max(read.stdout.lines().count());
        for at in 0..lines {
            let (wanted, read) = (wanted.lines().nth(at), read.stdout.lines().nth(at));
            assert_eq!(read, wanted, "line {at} of {lines}");
        }
        wanted
    }

    /// The reader refuses, says so in words, and hands out nothing.
    fn assert_refuses(&self, key: &str, case: &str) -> String {
        let read = self.reader(key);
        assert_eq!(read.code, 1, "{case}: {read:?}");
        assert!(read.stderr.starts_with("refused: "), "{case}: {read:?}");
        assert_eq!(read.stdout, "", "{case}");
        read.stderr
    }

    /// Every object of the store.
    fn objects(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.session.path("store")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

/// A path in this repository.
fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// Says that a test was skipped, or fails where nothing may be.
fn skip(why: &str) {
    assert!(
        std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none_or(|value| value != "1"),
        "{why}"
    );
    println!("skipped: {why}");
}

/// A path in `../shared/corpus`.
fn corpus(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let found = root.join("corpus").join(path);
    if found.exists() {
        return Some(found);
    }
    skip("../shared is absent");
    None
}

/// An exported chat with these lines and one file.
fn export(folder: &Path, lines: &[&str], name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("WhatsApp Chat with Ben.txt"), lines.join("\n")).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

/// Bytes that no compression makes shorter.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// A message that uses every field.
fn full_message() -> Message {
    Message {
        id: "m-full".into(),
        author: "ana".into(),
        sent_at: -5,
        zone: Zone::Unknown.into(),
        from_owner: true,
        kind: 11,
        text: "quotes \" and \\ and / and \u{7}\u{8}\u{b}\u{c}\u{1f} and \u{7f}\t\r\n and 👩‍👩‍👧 and \u{2028}".into(),
        reply_to: Some(Reply {
            message: "m-0".into(),
            author: "ben".into(),
            text: "before".into(),
        }),
        edits: vec![
            Edit {
                at: 7,
                before: "first".into(),
                before_known: true,
            },
            Edit::default(),
        ],
        edited: true,
        forwarded: true,
        starred: true,
        view_once: true,
        location: Some(Location {
            latitude: -33.856_784,
            longitude: 151.215_297,
            name: "Opera".into(),
            address: "Bennelong Point".into(),
            url: "https://example.org".into(),
            live_seconds: u32::MAX,
        }),
        poll: Some(Poll {
            question: "When?".into(),
            options: vec![
                PollOption {
                    text: "now".into(),
                    votes: 2,
                    voters: vec!["ana".into(), String::new()],
                },
                PollOption::default(),
            ],
            selectable: 1,
        }),
        contacts: vec![ContactCard {
            name: "Ben".into(),
            vcard: "BEGIN:VCARD".into(),
        }],
        call: Some(Call {
            video: true,
            missed: true,
            seconds: 61,
        }),
        system: Some(System::default()),
        deleted: Some(Deleted {
            by: "ben".into(),
            at: i64::MIN,
        }),
        raw: Some(Raw {
            kind: "message_type 91".into(),
            data: vec![0, 255, 16],
        }),
        received_at: i64::MAX,
        reactions: vec![Reaction {
            author: "ben".into(),
            emoji: "❤️".into(),
            at: 9,
        }],
        receipts: vec![Receipt {
            participant: "ben".into(),
            delivered_at: 1,
            read_at: 2,
            played_at: 3,
        }],
        attachments: vec![Attachment {
            name: "gone.mp4".into(),
            media_type: "video/mp4".into(),
            bytes: 5_000_000_000,
            presence: Presence::Absent.into(),
            source_path: "Media/gone.mp4".into(),
            source_sha256: vec![7; 32],
            duration_ms: 1,
            width: 2,
            height: 3,
            transcription: "la la".into(),
            ..Attachment::default()
        }],
    }
}

/// A history in archive form: Ana's name, and messages with the bytes of their attachment, when it is there.
fn history(root: &Path, ana: &str, messages: Vec<(Message, Option<&[u8]>)>) {
    let mut writer = ArchiveWriter::create(root, "a test", "a test").unwrap();
    let participant = Participant {
        id: "ana".into(),
        name: ana.into(),
        phone: "+49 30 1".into(),
        is_owner: true,
        aliases: vec!["1@lid".into()],
    };
    writer.participant(&participant).unwrap();
    let conversation = Conversation {
        id: "chat".into(),
        app: "test".into(),
        kind: 2,
        title: format!("Chat of {ana}"),
        created_at: 1,
        archived: true,
        participants: vec!["ana".into(), "ben".into()],
    };
    let mut folder = writer.conversation(&conversation).unwrap();
    for (mut message, content) in messages {
        if let Some(bytes) = content {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&bytes.len().to_le_bytes());
            let path = folder.attachment_path(&message.attachments[0], &key);
            path.as_str().clone_into(&mut message.attachments[0].path);
            let file = AttachmentFile::create(root, &path).unwrap();
            std::io::Write::write_all(&mut file.file(), bytes).unwrap();
            file.finish().unwrap();
        }
        folder.message(message).unwrap();
    }
    let entry = folder.finish().unwrap();
    writer.finish(vec![entry]).unwrap();
}

fn text(id: &str, sent_at: i64, text: &str) -> (Message, Option<&'static [u8]>) {
    let message = Message {
        id: id.into(),
        author: "ana".into(),
        sent_at,
        text: text.into(),
        ..Message::default()
    };
    (message, None)
}

fn photo<'a>(text_of: &str, content: Option<&'a [u8]>) -> (Message, Option<&'a [u8]>) {
    let (mut message, _) = text("photo", 50, text_of);
    message.attachments.push(Attachment {
        name: "photo.jpg".into(),
        bytes: content.map_or(0, |bytes| bytes.len().try_into().unwrap()),
        presence: if content.is_some() {
            Presence::Present
        } else {
            Presence::Absent
        }
        .into(),
        ..Attachment::default()
    });
    (message, content)
}

#[test]
fn the_reader_opens_the_vectors_of_keys_and_refuses_what_must_be_refused() {
    let Some(scene) = Scene::new() else { return };
    let mut command = scene.script("vectors.py");
    command.args([root("testdata/vectors/keys"), root("crates")]);
    let ended = scene.session.finish(&mut command);
    assert_eq!(ended.code, 0, "{ended:?}");
    println!("{}", ended.stdout);
}

#[test]
fn the_reader_finds_the_sample_chat() {
    let Some(scene) = Scene::new() else { return };
    scene.first_backup(&sample());
    let found = scene.assert_reads();
    assert_eq!(found.matches("\"sha256\":").count(), 8);
    assert_eq!(
        found
            .lines()
            .filter(|line| line.starts_with("{\"message\":"))
            .count(),
        121
    );
}

#[test]
fn the_reader_finds_every_field_as_it_was() {
    let Some(scene) = Scene::new() else { return };
    let source = scene.session.path("source");
    let messages = vec![(full_message(), None), photo("empty", Some(b""))];
    history(&source, "Ana", messages);
    scene.first_backup(&source);
    let found = scene.assert_reads();
    assert!(found.contains("\"latitude\":\"c040eda"), "{found}");
    assert!(
        found.contains("\"received_at\":9223372036854775807"),
        "{found}"
    );
}

#[test]
fn the_reader_merges_runs_devices_and_versions() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let source = |name: &str| scene.session.path(name);
    let sources = ["one", "two", "three", "four"].map(source);
    history(
        &sources[0],
        "Ana",
        vec![
            text("a", 10, "helo"),
            text("b", 20, "two"),
            photo("look", None),
        ],
    );
    history(
        &sources[1],
        "Ana B.",
        vec![
            text("a", 10, "hello"),
            photo("look!", Some(b"a photo")),
            text("c", 60, "three"),
        ],
    );
    history(
        &sources[2],
        "Anna",
        vec![
            text("a", 10, "hello!"),
            text("b", 20, "two"),
            photo("LOOK", None),
            text("d", 5, "early"),
        ],
    );
    history(
        &sources[3],
        "Ana",
        vec![text("a", 10, "helo"), text("e", 70, "last")],
    );
    scene.first_backup(&sources[0]);
    scene.assert_reads();
    scene.backup(&sources[1]);
    let second = scene.assert_reads();
    assert!(second.contains("\"before\":\"helo\""), "{second}");
    scene.done(&[&["protect", "rotate", "store"][..], &KEY].concat());
    scene.join_from("another", &sources[2]);
    let third = scene.assert_reads();
    assert!(
        third.contains("Anna") && third.contains("\"text\":\"look!\""),
        "{third}"
    );
    scene.backup(&sources[3]);
    scene.session.move_to("home");
    scene.backup(&sample());
    let last = scene.assert_reads();
    assert!(
        last.contains("\"id\":\"b\"") && last.contains("\"id\":\"e\""),
        "{last}"
    );
    let lineages = fs::read_dir(scene.session.path("store/heads")).unwrap();
    assert_eq!(lineages.count(), 2);
}

/// Messages of few ids, times and texts, so that runs often give versions of one message.
fn chance_messages(chance: &mut impl FnMut(u64) -> usize) -> Vec<(Message, Option<&'static [u8]>)> {
    const TEXTS: [&str; 4] = ["", "one", "two", "three"];
    const CONTENTS: [&[u8]; 3] = [b"", b"a photo", b"another photo"];
    let mut messages = Vec::new();
    for _ in 0..chance(12) {
        let sent_at = [10, 20, 30][chance(3)];
        let (mut message, mut content) =
            text(["a", "b", "c"][chance(3)], sent_at, TEXTS[chance(4)]);
        message.author = ["ana", "ben", ""][chance(3)].into();
        if chance(2) == 0 {
            content = [None, Some(CONTENTS[chance(3)])][chance(2)];
            message.attachments = photo("", content).0.attachments;
        }
        if chance(3) == 0 {
            message.edits.push(Edit {
                at: 5,
                before: TEXTS[chance(4)].into(),
                before_known: chance(2) == 0,
            });
        }
        messages.push((message, content));
    }
    messages.sort_by(|(a, _), (b, _)| {
        (a.sent_at, &a.id, &a.author).cmp(&(b.sent_at, &b.id, &b.author))
    });
    messages
}

#[test]
fn the_reader_merges_histories_made_by_chance() {
    let seed = std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let rounds = if std::env::var_os("HEIRLOOM_LONG").is_some() {
        100
    } else {
        5
    };
    let mut state: u64 = seed | 1;
    let mut chance = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below).unwrap()
    };
    for round in 0..rounds {
        println!("seed {seed}, round {round}");
        let Some(mut scene) = Scene::new() else {
            return;
        };
        for run in 0..4 {
            let source = scene.session.path(&format!("source-{run}"));
            let name = ["Ana", "Anna"][chance(2)];
            history(&source, name, chance_messages(&mut chance));
            match run {
                0 => scene.first_backup(&source),
                2 => scene.join_from("another", &source),
                _ => drop(scene.backup(&source)),
            }
        }
        scene.assert_reads();
    }
}

#[test]
fn the_reader_follows_lists_of_pieces_from_pack_to_pack() {
    let Some(scene) = Scene::new() else { return };
    let source = scene.session.path("export");
    let lines = [
        "31/05/2024, 18:00 - Ben: look",
        "31/05/2024, 18:01 - Ben: VID-20240531-WA0001.mp4 (file attached)",
    ];
    let bytes = noise((66 << 20) + 12_345);
    export(&source, &lines, "VID-20240531-WA0001.mp4", &bytes);
    scene.first_backup(&source);
    let found = scene.assert_reads();
    assert!(
        found.contains(&format!("\"bytes\":{}", bytes.len())),
        "{found}"
    );
    let packs = scene.objects();
    let full = packs
        .iter()
        .filter(|path| fs::metadata(path).unwrap().len() == 8 << 20);
    assert_eq!(full.count(), 8, "66 MiB take eight full packs and the rest");
}

#[test]
fn the_reader_finds_what_the_corpus_holds() {
    let Some(mut scene) = Scene::new() else {
        return;
    };
    let Some(built) = corpus("_built/dev") else {
        return;
    };
    scene.first_backup(&built.join("whatsapp-android-group.zip"));
    scene.backup(&built.join("whatsapp-ios-group.zip"));
    scene.assert_reads();
    scene.backup(&built.join("msgstore"));
    scene.assert_reads();
    scene.join_from("another", &built.join("whatsapp-android-group.zip"));
    scene.assert_reads();
}

#[test]
fn the_reader_refuses_a_wrong_key_and_mends_one_group() {
    let Some(scene) = Scene::new() else { return };
    scene.first_backup(&sample());
    let text = fs::read_to_string(scene.session.path("key.txt")).unwrap();
    let digits = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let mut groups: Vec<String> = digits.split(' ').map(str::to_owned).collect();
    let other = |group: &str| {
        group
            .chars()
            .rev()
            .map(|c| if c == '0' { '1' } else { '0' })
            .collect()
    };
    groups[3] = other(&groups[3]);
    fs::write(
        scene.session.path("mended.txt"),
        groups.join("-").to_uppercase(),
    )
    .unwrap();
    let read = scene.reader("mended.txt");
    assert_eq!((read.code, read.stderr.as_str()), (0, ""));
    groups[9] = other(&groups[9]);
    fs::write(scene.session.path("wrong.txt"), groups.join(" ")).unwrap();
    scene.assert_refuses("wrong.txt", "two wrong groups");
    let elsewhere = Scene::new().unwrap();
    elsewhere.first_backup(&sample());
    fs::copy(
        elsewhere.session.path("key.txt"),
        scene.session.path("other.txt"),
    )
    .unwrap();
    let words = scene.assert_refuses("other.txt", "the key of another backup");
    assert!(words.contains("does not open"), "{words}");
}

#[test]
fn the_reader_refuses_a_flipped_byte_in_any_object() {
    let Some(scene) = Scene::new() else { return };
    scene.first_backup(&sample());
    let objects = scene.objects();
    assert!(objects.len() >= 8, "{objects:?}");
    for (count, path) in objects.iter().enumerate() {
        let right = fs::read(path).unwrap();
        let mut wrong = right.clone();
        let at = (count * 7919 + 100) % wrong.len();
        wrong[at] ^= 1;
        fs::write(path, wrong).unwrap();
        scene.assert_refuses("key.txt", &path.display().to_string());
        fs::write(path, right).unwrap();
    }
    assert_eq!(scene.reader("key.txt").code, 0, "all is as it was");
}

#[test]
fn the_reader_refuses_a_store_that_lacks_an_object() {
    let Some(scene) = Scene::new() else { return };
    scene.first_backup(&sample());
    // Nothing needs the keyring before the newest one.
    let needed = |path: &&PathBuf| !path.to_str().unwrap().contains("keyring/00000001-");
    for path in scene.objects().iter().filter(needed) {
        let away = path.with_extension("away");
        fs::rename(path, &away).unwrap();
        scene.assert_refuses("key.txt", &path.display().to_string());
        fs::rename(&away, path).unwrap();
    }
}

#[test]
fn the_reader_finds_older_snapshots_and_what_prune_keeps() {
    let Some(scene) = Scene::new() else { return };
    let source = |name: &str| scene.session.path(name);
    let [one, two, three] = ["one", "two", "three"].map(source);
    let old = "a long text that only the first runs saw ".repeat(50);
    history(
        &one,
        "Ana",
        vec![text("a", 10, &old), photo("look", Some(b"a photo"))],
    );
    history(&two, "Ana", vec![text("a", 10, &old), text("b", 20, "two")]);
    history(
        &three,
        "Ana",
        vec![text("a", 10, "short"), text("c", 30, "three")],
    );
    scene.first_backup(&one);
    let second = scene.backup(&two);
    scene.backup(&three);
    let newest = scene.assert_reads();
    let older = scene.assert_reads_snapshot(Some(&second));
    assert!(
        newest.contains("three") && !older.contains("three"),
        "{older}"
    );
    scene.done(&[&["prune", "store", "--keep-last", "1", "--yes"][..], &KEY].concat());
    assert!(scene.session.path("store/prune").is_dir(), "a prune mark");
    assert_eq!(scene.assert_reads(), newest);
    scene.backup(&two);
    scene.assert_reads();
}

/// Adds a passkey to the newest keyring of the store, as an owner's program does; gives its credential id and
/// what its authenticator gives for the repository's PRF input.
fn add_passkey(store: &Path, key_file: &Path) -> (Vec<u8>, Vec<u8>) {
    let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
    let store = heirloom_engine::store::open(store.to_str().unwrap(), false).unwrap();
    let newest = keyrings::list(&*store).unwrap().pop().unwrap();
    let locked = LockedKeyring::parse(&keyrings::load(&*store, &newest.name).unwrap()).unwrap();
    let text = fs::read_to_string(key_file).unwrap();
    let digits = text.lines().find(|line| !line.starts_with('#')).unwrap();
    let RecoveryEntry::Exact(recovery) = RecoveryKey::parse(digits) else {
        panic!("the key file holds no key")
    };
    let opened = locked
        .unlock(&UnlockSecret::recovery_key(&recovery))
        .unwrap();
    let random: [u8; 32] = noise(32).try_into().unwrap();
    let salt = prf_salt(opened.prf_input());
    let authenticator = || CredRandom::filled(|bytes| *bytes = random);
    let secret = authenticator().output(&salt).try_into().unwrap();
    let passkey = Passkey {
        credential_id: noise(20),
        rp_id: "chat.example".into(),
        transports: vec!["internal".into()],
    };
    let provider = Some(Provider {
        aaguid: [7; 16],
        backup_eligible: true,
        backup_state: true,
    });
    let slot = NewSlot {
        name: "phone",
        method: Method::Passkey(passkey.clone()),
        provider,
        secret: &secret,
    };
    let act = Act {
        device: opened.devices()[0].id,
        now_ms: opened.made_ms() + 1,
    };
    let next = opened.add_slot(rng, act, slot).unwrap();
    keyrings::publish(&*store, next.unlocked.seen().number, &next.bytes).unwrap();
    (passkey.credential_id, hmac_sha256(&random, &salt))
}

/// As the specification has it: not by what the program does it with.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block
            .iter_mut()
            .zip(key)
            .for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = Sha256::digest([&padded(0x36), message].concat());
    Sha256::digest([&padded(0x5c)[..], &inner].concat()).to_vec()
}

/// A file with an output in hex, as the reader wants it.
fn write_output(path: &Path, output: &[u8], mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, hex::encode(output)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_reader_opens_a_repository_by_what_a_passkey_gave() {
    let Some(scene) = Scene::new() else { return };
    scene.first_backup(&sample());
    let (credential, output) =
        add_passkey(&scene.session.path("store"), &scene.session.path("key.txt"));
    // Before anything is opened it says what to ask for.
    let mut command = scene.script("passkeys.py");
    command.arg(scene.session.path("store")).arg(root("crates"));
    let listed = scene.session.finish(&mut command);
    let passkey: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let chosen = passkey["credential_id"].as_str().unwrap();
    assert_eq!(
        (chosen, &passkey["rp_id"]),
        (hex::encode(&credential).as_str(), &"chat.example".into())
    );

    let by_passkey = |file: &str, mode: u32, output: &[u8]| {
        write_output(&scene.session.path(file), output, mode);
        let mut command = scene.script("reader.py");
        command
            .args([scene.session.path("store"), scene.session.path(file)])
            .arg(root("crates"))
            .args(["--passkey", chosen]);
        scene.session.finish(&mut command)
    };
    let read = by_passkey("output.txt", 0o600, &output);
    assert_eq!((read.code, read.stderr.as_str()), (0, ""));
    assert_eq!(read.stdout, scene.assert_reads());

    let mut other = output.clone();
    other[0] ^= 1;
    for (output, mode, words) in [
        (&other, 0o600, "the passkey does not open this backup"),
        (&vec![0; 32], 0o600, "an output of a passkey that is none"),
        (&output, 0o644, "others may read"),
    ] {
        let read = by_passkey("refused.txt", mode, output);
        assert_eq!((read.code, read.stdout.as_str()), (1, ""), "{words}");
        assert!(read.stderr.contains(words), "{words}: {}", read.stderr);
    }
}
