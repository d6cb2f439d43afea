//! A restore brings back what was there, in parts or as a whole, whatever stops it, and nothing beside its folder.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use heirloom_archive::form::ArchiveReader;
use heirloom_archive::{
    Attachment, Conversation, History as _, Kind, MediaFile, MediaStore, Message, MessageKind,
    MessageQuery, Presence, Report, Sink, Source, SourceError, SourceInfo,
};
use heirloom_engine::EngineError;
use heirloom_engine::backup::{self, BackupJob, BackupOptions};
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::{Amount, Phase, Progress, Silent};
use heirloom_engine::repository::{Repository, Selection, View};
use heirloom_engine::restore::{self, RestoreOptions, RestoreOutcome};
use heirloom_engine::store::memory::MemoryStore;
use heirloom_engine::store::{Listed, Put, Store, StoreError};
use rand_core::UnwrapErr;
use support::{Made, Run, TestReader, back_up, canon, canon_of_source, read_all, shrink, writer};

fn stored(made: &mut Made) -> Arc<dyn Store> {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    back_up(&store, &MemoryLedger::new(), made, &Run::default()).unwrap();
    store
}

fn view(store: &Arc<dyn Store>) -> View {
    Arc::new(Repository::open(Arc::clone(store), TestReader::new(), None).unwrap())
        .view(&Selection::Newest)
        .unwrap()
}

fn restore(
    store: &Arc<dyn Store>,
    dir: &Path,
    options: &RestoreOptions,
) -> Result<RestoreOutcome, EngineError> {
    restore::run(&mut view(store), dir, options, &Silent)
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_restored_equals_the_source() {
    for seed in [1, 2, 3] {
        let mut made = Made::new(seed, 4, 1500);
        let store = stored(&mut made);
        let dir = tempfile::tempdir().unwrap();
        let outcome = restore(&store, dir.path(), &RestoreOptions::default()).unwrap();
        assert_eq!((outcome.conversations, outcome.messages), (4, made.total()));
        assert_eq!((outcome.missing, outcome.problems.len()), (0, 0));
        let present = made
            .conversations
            .iter()
            .flat_map(|(_, list)| list)
            .flat_map(|message| &message.attachments);
        let (there, gone): (Vec<_>, Vec<_>) =
            present.partition(|attachment| attachment.presence() == Presence::Present);
        assert_eq!(
            (outcome.attachments, outcome.absent),
            (there.len() as u64, gone.len() as u64)
        );
        let mut restored = ArchiveReader::open(dir.path()).unwrap();
        assert!(canon(&mut restored).unwrap() == canon_of_source(&mut made));
        assert!(
            files_below(dir.path())
                .iter()
                .all(|file| !file.to_string_lossy().contains(".part-"))
        );
    }
}

#[test]
fn a_restore_can_be_limited_to_conversations() {
    let mut made = Made::new(4, 4, 800);
    let store = stored(&mut made);
    let dir = tempfile::tempdir().unwrap();
    let options = RestoreOptions {
        conversations: vec!["chat2".into(), "chat0".into()],
        ..RestoreOptions::default()
    };
    let outcome = restore(&store, dir.path(), &options).unwrap();
    assert_eq!(outcome.conversations, 2);
    made.conversations
        .retain(|(conversation, _)| options.conversations.contains(&conversation.id));
    let mut restored = ArchiveReader::open(dir.path()).unwrap();
    assert!(canon(&mut restored).unwrap() == canon_of_source(&mut made));
}

#[test]
fn a_restore_can_be_limited_to_dates() {
    let mut made = Made::new(5, 2, 1200);
    let store = stored(&mut made);
    let times: Vec<i64> = made.conversations[0]
        .1
        .iter()
        .map(|message| message.sent_at)
        .collect();
    for (from, until) in [
        (Some(times[300]), Some(times[700])),
        (None, Some(times[10])),
        (Some(times[1100]), None),
        (Some(times[5]), Some(times[5])),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let outcome = restore(
            &store,
            dir.path(),
            &RestoreOptions {
                from,
                until,
                ..RestoreOptions::default()
            },
        )
        .unwrap();
        let mut part = made.clone();
        for (_, list) in &mut part.conversations {
            list.retain(|message| {
                from.is_none_or(|from| message.sent_at >= from)
                    && until.is_none_or(|until| message.sent_at < until)
            });
        }
        assert_eq!(outcome.messages, part.total());
        let mut restored = ArchiveReader::open(dir.path()).unwrap();
        assert!(
            canon(&mut restored).unwrap() == canon_of_source(&mut part),
            "{from:?} to {until:?}"
        );
    }
}

#[test]
fn a_restore_can_be_limited_to_media_of_some_kinds_or_none() {
    let mut made = Made::new(6, 2, 1000);
    // Every third medium is a voice note.
    let mut number = 0;
    for message in made
        .conversations
        .iter_mut()
        .flat_map(|(_, list)| list)
        .filter(|message| message.kind() == MessageKind::Picture)
    {
        number += 1;
        if number % 3 == 0 {
            message.set_kind(MessageKind::VoiceNote);
        }
    }
    let store = stored(&mut made);
    for (kinds, messages_only) in [
        (vec![MessageKind::VoiceNote], false),
        (vec![MessageKind::Video], false),
        (Vec::new(), true),
        (vec![MessageKind::Picture], true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let options = RestoreOptions {
            kinds: kinds.clone(),
            messages_only,
            ..RestoreOptions::default()
        };
        let outcome = restore(&store, dir.path(), &options).unwrap();
        assert_eq!(
            (outcome.messages, outcome.problems.len()),
            (made.total(), 0)
        );
        let (mut there, mut missing) = (0, 0);
        for message in made.conversations.iter().flat_map(|(_, list)| list) {
            let wanted = !messages_only && kinds.contains(&message.kind());
            for attachment in message
                .attachments
                .iter()
                .filter(|attachment| attachment.presence() == Presence::Present)
            {
                if wanted {
                    there += 1;
                } else {
                    missing += 1;
                }
                assert!(made.files.contains_key(&attachment.source_path));
            }
        }
        assert!(there > 0 || messages_only || kinds == [MessageKind::Video]);
        assert_eq!(
            (outcome.attachments, outcome.missing),
            (there, missing),
            "{kinds:?} {messages_only}"
        );
        let media = files_below(dir.path())
            .iter()
            .filter(|file| file.parent().unwrap().ends_with("attachments"))
            .count();
        assert!(media as u64 <= there && (media > 0) == (there > 0));
        // The text is whole all the same.
        let mut restored = ArchiveReader::open(dir.path()).unwrap();
        let texts = |list: &mut Vec<(String, String)>, message: Message| {
            list.push((message.id, message.text));
        };
        let (mut got, mut wanted) = (Vec::new(), Vec::new());
        for (conversation, list) in &made.conversations {
            restored
                .messages(&conversation.id, MessageQuery::default(), &mut |message| {
                    texts(&mut got, message);
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            list.iter()
                .cloned()
                .for_each(|message| texts(&mut wanted, message));
        }
        assert_eq!(got.len(), wanted.len());
        got.sort();
        wanted.sort();
        assert!(got == wanted);
    }
}

/// Stops at the n-th question.
struct StopAfter(AtomicU64);

impl Progress for StopAfter {
    fn phase(&self, _: Phase, _: Option<Amount>) {}
    fn advance(&self, _: Phase, _: u64, _: u64) {}
    fn warn(&self, _: &str) {}
    fn interrupted(&self) -> bool {
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_err()
    }
}

#[test]
fn an_interrupted_restore_is_taken_up_again_and_ends_equal() {
    let mut made = Made::new(7, 3, 400);
    shrink(&mut made, 40_000);
    let store = stored(&mut made);
    let wanted = canon_of_source(&mut made);
    let (mut steps, mut interrupted) = (0, 0);
    loop {
        let dir = tempfile::tempdir().unwrap();
        let stopped = restore::run(
            &mut view(&store),
            dir.path(),
            &RestoreOptions::default(),
            &StopAfter(AtomicU64::new(steps)),
        );
        match stopped {
            Ok(_) => break,
            Err(EngineError::Interrupted) => interrupted += 1,
            Err(other) => panic!("after {steps} steps: {other}"),
        }
        assert!(
            ArchiveReader::open(dir.path()).is_err(),
            "an unfinished restore does not pass for a whole one"
        );
        // A second time stopped, a little later.
        let _ = restore::run(
            &mut view(&store),
            dir.path(),
            &RestoreOptions::default(),
            &StopAfter(AtomicU64::new(steps + 3)),
        );
        if ArchiveReader::open(dir.path()).is_err() {
            let outcome = restore(&store, dir.path(), &RestoreOptions::default()).unwrap();
            assert_eq!((outcome.messages, outcome.missing), (made.total(), 0));
        }
        assert!(
            canon(&mut ArchiveReader::open(dir.path()).unwrap()).unwrap() == wanted,
            "stopped after {steps} steps"
        );
        assert!(
            files_below(dir.path())
                .iter()
                .all(|file| !file.to_string_lossy().contains(".part-")),
            "stopped after {steps} steps"
        );
        steps += 1 + steps / 40;
    }
    assert!(
        interrupted > 15,
        "{interrupted} interruptions, {steps} steps"
    );
}

#[test]
fn a_restore_of_something_else_does_not_mix_with_what_was_begun() {
    let mut made = Made::new(8, 2, 300);
    let store = stored(&mut made);
    let dir = tempfile::tempdir().unwrap();
    restore::run(
        &mut view(&store),
        dir.path(),
        &RestoreOptions::default(),
        &StopAfter(AtomicU64::new(3)),
    )
    .unwrap_err();
    let other = RestoreOptions {
        messages_only: true,
        ..RestoreOptions::default()
    };
    let refused = restore(&store, dir.path(), &other).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("holds an unfinished archive of another snapshot or selection"),
        "{refused}"
    );
    assert!(refused.hint().is_some());
}

#[test]
fn a_folder_that_is_not_empty_is_refused_and_left_as_it_is() {
    let mut made = Made::new(9, 1, 100);
    let store = stored(&mut made);
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("diary.txt"), "mine").unwrap();
    let refused = restore(&store, dir.path(), &RestoreOptions::default()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        format!("{} is not empty", dir.path().display())
    );
    assert_eq!(files_below(dir.path()), [dir.path().join("diary.txt")]);

    let whole = tempfile::tempdir().unwrap();
    restore(&store, whole.path(), &RestoreOptions::default()).unwrap();
    let refused = restore(&store, whole.path(), &RestoreOptions::default()).unwrap_err();
    assert!(
        refused
            .to_string()
            .ends_with("already holds a complete archive"),
        "{refused}"
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(
        restore(&store, file.path(), &RestoreOptions::default()),
        Err(EngineError::Local { .. })
    ));
}

/// Remembers which packs were read, in order.
#[derive(Debug)]
struct Recording {
    inner: Arc<dyn Store>,
    packs: Mutex<Vec<String>>,
}

impl Recording {
    fn new(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(inner),
            packs: Mutex::default(),
        })
    }

    fn note(&self, name: &str) {
        if name.starts_with("packs/") {
            self.packs.lock().unwrap().push(name.to_owned());
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.packs.lock().unwrap())
    }
}

impl Store for Recording {
    fn put_new(&self, name: &str, bytes: &[u8]) -> Result<Put, StoreError> {
        self.inner.put_new(name, bytes)
    }
    fn get(&self, name: &str, limit: u64) -> Result<Vec<u8>, StoreError> {
        self.note(name);
        self.inner.get(name, limit)
    }
    fn get_range(&self, name: &str, offset: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        self.note(name);
        self.inner.get_range(name, offset, len)
    }
    fn list(&self, prefix: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(prefix)
    }
    fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name)
    }
    fn stat(&self, name: &str) -> Result<u64, StoreError> {
        self.inner.stat(name)
    }
}

#[test]
fn text_is_complete_before_the_first_medium_is_read() {
    let mut made = Made::new(10, 3, 2000);
    let inner = stored(&mut made);
    let recording = Recording::new(&inner);
    let store: Arc<dyn Store> = Arc::clone(&recording) as _;
    // Which packs hold media: those that are read beyond the text.
    let only_text = RestoreOptions {
        messages_only: true,
        ..RestoreOptions::default()
    };
    restore(&store, tempfile::tempdir().unwrap().path(), &only_text).unwrap();
    let text: BTreeSet<String> = recording.take().into_iter().collect();
    let mut view = view(&store);
    let mut attachments: Vec<Attachment> = Vec::new();
    for (conversation, _) in &made.conversations {
        view.messages(&conversation.id, MessageQuery::default(), &mut |message| {
            attachments.extend(message.attachments);
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    }
    recording.take();
    for attachment in &attachments {
        if let Some(mut reader) = view.open(attachment).unwrap() {
            io::copy(&mut reader, &mut io::sink()).unwrap();
        }
    }
    let media: BTreeSet<String> = recording.take().into_iter().collect();
    assert!(media.len() > 1 && !text.is_empty());
    assert!(
        media.is_disjoint(&text),
        "messages alone read no pack with media"
    );

    restore(
        &store,
        tempfile::tempdir().unwrap().path(),
        &RestoreOptions::default(),
    )
    .unwrap();
    let reads = recording.take();
    let first_medium = reads.iter().position(|name| media.contains(name)).unwrap();
    assert!(
        reads[first_medium..]
            .iter()
            .all(|name| !text.contains(name)),
        "text was read after a medium"
    );
}

#[test]
fn a_damaged_medium_is_named_and_all_else_restored() {
    let mut made = Made::new(11, 2, 800);
    shrink(&mut made, 200_000);
    let memory = Arc::new(MemoryStore::new());
    let inner: Arc<dyn Store> = Arc::clone(&memory) as _;
    back_up(
        &inner,
        &MemoryLedger::new(),
        &mut made,
        &Run {
            workers: 0,
            ..Run::default()
        },
    )
    .unwrap();
    let recording = Recording::new(&inner);
    let store: Arc<dyn Store> = Arc::clone(&recording) as _;
    restore(
        &store,
        tempfile::tempdir().unwrap().path(),
        &RestoreOptions {
            messages_only: true,
            ..RestoreOptions::default()
        },
    )
    .unwrap();
    let text: BTreeSet<String> = recording.take().into_iter().collect();
    let objects = memory.objects();
    let (pack, bytes) = objects
        .iter()
        .find(|(name, _)| name.starts_with("packs/") && !text.contains(*name))
        .unwrap();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 3] ^= 1;
    memory.tamper(pack, damaged);

    let dir = tempfile::tempdir().unwrap();
    let outcome = restore(&store, dir.path(), &RestoreOptions::default()).unwrap();
    let [problem] = outcome.problems.as_slice() else {
        panic!("{:?}", outcome.problems)
    };
    assert!(
        problem.contains(&format!(": {pack} is damaged: it fails authentication")),
        "{problem}"
    );
    let name = problem.split(": ").next().unwrap();
    assert!(!dir.path().join(name).exists());
    assert!(outcome.missing >= 1 && outcome.messages == made.total());
    // Everything else is there: the damage undone, the same restore says what one medium it lacks.
    let mut restored = ArchiveReader::open(dir.path()).unwrap();
    let mut gone = 0;
    for (conversation, list) in support::expected(&made) {
        let mut expected = list.into_iter();
        restored
            .messages(&conversation.id, MessageQuery::default(), &mut |message| {
                let (wanted, bodies) = expected.next().unwrap();
                assert_eq!((&message.id, &message.text), (&wanted.id, &wanted.text));
                for (attachment, body) in message
                    .attachments
                    .iter()
                    .zip(bodies)
                    .filter(|(_, body)| body.is_some())
                {
                    match fs::read(dir.path().join(&attachment.path)) {
                        Ok(bytes) => assert!(Some(bytes) == body),
                        Err(_) => gone += 1,
                    }
                }
                Ok(ControlFlow::Continue(()))
            })
            .unwrap();
        assert!(expected.next().is_none());
    }
    assert_eq!(gone, outcome.missing);
}

#[test]
fn hostile_names_never_leave_the_folder() {
    let names = [
        "../../../evil",
        "/etc/passwd",
        "..",
        ".",
        "",
        "a/b\\c",
        "nul\0byte",
        "CON",
        "con.txt",
        "-rf",
        " lead",
        "trail. ",
        "\u{202e}gpj.exe",
        "C:\\Windows\\x",
        "line\nbreak",
        ".part-x",
        ".hidden",
        "😀".repeat(90).as_str(),
        "x".repeat(5000).as_str(),
        "IMG.jpg",
        "img.JPG",
        "IMG.jpg",
    ]
    .map(str::to_owned);
    let mut made = Made::new(12, 0, 0);
    for (number, name) in names.iter().enumerate() {
        let conversation = Conversation {
            id: format!("../{name}"),
            title: name.clone(),
            app: name.clone(),
            ..Conversation::default()
        };
        let list = names
            .iter()
            .enumerate()
            .map(|(n, name)| {
                let path = format!("m{number}-{n}");
                made.files
                    .insert(path.clone(), format!("body {n}").into_bytes());
                let attachment = Attachment {
                    name: name.clone(),
                    bytes: made.files[&path].len() as u64,
                    source_path: path,
                    ..Attachment::default()
                };
                Message {
                    id: format!("../{name}/{n}"),
                    author: format!("../{name}"),
                    sent_at: i64::try_from(n).unwrap(),
                    attachments: vec![attachment],
                    ..Message::default()
                }
            })
            .collect();
        if !made
            .conversations
            .iter()
            .any(|(known, _): &(Conversation, Vec<Message>)| known.id == conversation.id)
        {
            made.conversations.push((conversation, list));
        }
    }
    let store = stored(&mut made);
    let outside = tempfile::tempdir().unwrap();
    let dir = outside.path().join("a/b/c/target");
    let outcome = restore(&store, &dir, &RestoreOptions::default()).unwrap();
    assert_eq!(outcome.problems, Vec::<String>::new());
    for file in files_below(outside.path()) {
        assert!(file.starts_with(&dir), "{} lies outside", file.display());
    }
    assert!(canon(&mut ArchiveReader::open(&dir).unwrap()).unwrap() == canon_of_source(&mut made));
}

/// A folder in archive form as a source.
struct Folder(PathBuf);

#[derive(Debug)]
struct FolderMedia(PathBuf);

impl MediaStore for FolderMedia {
    fn open(&self, path: &str) -> io::Result<MediaFile> {
        Ok(MediaFile::File(self.0.join(path)))
    }
    fn stamp(&self, _: &str) -> io::Result<Option<heirloom_archive::Stamp>> {
        Ok(None)
    }
}

impl Source for Folder {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            app: "test",
            form: "heirloom-archive",
            label: "restored".into(),
        }
    }
    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        let mut reader = ArchiveReader::open(&self.0).unwrap();
        let mut report = Report::default();
        for participant in reader.participants().unwrap() {
            sink.participant(participant)?;
        }
        for summary in reader.conversations().unwrap() {
            report.take(Kind::Conversations);
            let handle = sink.conversation(summary.conversation.clone())?;
            reader
                .messages(
                    &summary.conversation.id,
                    MessageQuery::default(),
                    &mut |mut message| {
                        report.take(Kind::Messages);
                        for attachment in &mut message.attachments {
                            attachment.source_path = std::mem::take(&mut attachment.path);
                            if attachment.presence() == Presence::Present {
                                report.take(Kind::Attachments);
                            } else {
                                report.absent();
                            }
                        }
                        sink.message(handle, message).unwrap();
                        Ok(ControlFlow::Continue(()))
                    },
                )
                .unwrap();
        }
        Ok(report)
    }
    fn media(&self) -> Arc<dyn MediaStore> {
        Arc::new(FolderMedia(self.0.clone()))
    }
}

#[test]
fn what_was_restored_backed_up_again_adds_nothing() {
    let mut made = Made::new(13, 3, 1500);
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let ledger = MemoryLedger::new();
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    restore(&store, dir.path(), &RestoreOptions::default()).unwrap();
    let before = read_all(&mut view(&store));
    let outcome = backup::run(BackupJob {
        store: Arc::clone(&store),
        keys: &writer(7),
        reader: Some(TestReader::new()),
        ledger: &ledger,
        source: &mut Folder(dir.path().to_owned()),
        rng: &mut UnwrapErr(getrandom::SysRng),
        now_ms: 1_700_000_100_000,
        device_name: "test device",
        options: BackupOptions::default(),
        progress: &Silent,
    })
    .unwrap();
    assert_eq!(
        (
            outcome.new.messages,
            outcome.new.attachments,
            outcome.new.conversations
        ),
        (0, 0, 0)
    );
    assert_eq!(outcome.report.counts(Kind::Messages).taken, made.total());
    assert!(
        outcome.stored_bytes < 30_000,
        "{} bytes",
        outcome.stored_bytes
    );
    assert!(read_all(&mut view(&store)) == before);
}
