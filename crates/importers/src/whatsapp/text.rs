//! WhatsApp's *Export chat*: one text with one line or more a message, and the media beside it.
//!
//! The text is read twice and never held in memory: the first pass decides what its dates mean, the second
//! gives the messages. WhatsApp publishes no description of the form; the tests are the examples.

mod author;
mod content;
mod dates;
mod files;
mod header;
mod lines;
mod media_type;
mod survey;
mod title;
mod words;

use std::collections::{BTreeSet, HashSet};
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use heirloom_archive::identity::DerivedIds;
use heirloom_archive::report::Kind;
use heirloom_archive::{
    Conversation, ConversationKind, ConversationRef, MediaStore, MessageKind, Presence, Report,
    Sink, Source, SourceError, SourceInfo,
};

pub use dates::DateOrder;

use self::content::Context;
use self::files::{Files, Names, TextAlone};
use self::header::{Header, Wrapper};
use self::lines::Lines;
use self::survey::{NoTime, Survey, SurveyError};
use crate::zipped::{Bytes, ZipMedia};

/// What a person can say about an export.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextOptions {
    /// The order of dates, for a text that does not show it. What the text shows comes first.
    pub date_order: Option<DateOrder>,
    /// The chat's title, instead of the one that the export gives.
    pub title: Option<String>,
}

/// An exported chat, as zip, as folder, or as the text alone.
pub struct TextExport {
    files: Arc<dyn Files>,
    label: String,
    /// Whether files that no message names are part of the export.
    whole: bool,
    text: String,
    options: TextOptions,
}

impl std::fmt::Debug for TextExport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextExport")
            .field("label", &self.label)
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

/// A message's text is kept up to here; the longest that WhatsApp sends is 65,536 characters.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Lines of a file that are looked at to see whether it is a chat.
const PROBED_LINES: usize = 200;

/// Text files of an export that are looked at.
const PROBED_FILES: usize = 2_000;

/// Participants that a conversation lists, and that are remembered as given.
const MAX_PARTICIPANTS: usize = 50_000;

impl TextExport {
    /// Opens a zip, a folder, or a text file.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn open(path: &std::path::Path, options: TextOptions) -> Result<Self, SourceError> {
        let label = path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        );
        let shown = path.display().to_string();
        let io = |source| SourceError::Io {
            path: shown.clone(),
            source,
        };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if metadata.is_dir() {
            let folder = files::Folder::open(path, None).map_err(io)?;
            return Self::among(Arc::new(folder), &shown, label, options);
        }
        if !metadata.is_file() {
            return Err(not_a_chat(&shown, NOT_EXPORT));
        }
        let mut head = [0; 4];
        let read = std::fs::File::open(path)
            .and_then(|file| read_up_to(file, &mut head))
            .map_err(io)?;
        if is_zip(&head[..read]) {
            let zip = ZipMedia::open(crate::zipped::OnDisk(path.to_path_buf()))
                .map_err(|error| bad_zip(&shown, error))?;
            return Self::among(Arc::new(zip), &shown, label, options);
        }
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => std::path::Path::new("."),
        };
        let folder = files::Folder::open(parent, Some(label.clone())).map_err(io)?;
        if probe(&folder, &label).unwrap_or(0) == 0 {
            return Err(not_a_chat(&shown, NOT_EXPORT));
        }
        Ok(Self {
            files: Arc::new(folder),
            text: label.clone(),
            label,
            whole: false,
            options,
        })
    }

    /// Reads an export from memory: a zip, or a text. For the web app and for tests.
    pub fn from_bytes(
        name: &str,
        bytes: Arc<[u8]>,
        options: TextOptions,
    ) -> Result<Self, SourceError> {
        if is_zip(&bytes) {
            let zip = ZipMedia::open(Bytes(bytes)).map_err(|error| bad_zip(name, error))?;
            return Self::among(Arc::new(zip), name, name.to_owned(), options);
        }
        Self::among(
            Arc::new(TextAlone::new(name, bytes)),
            name,
            name.to_owned(),
            options,
        )
    }

    /// Finds the one text of an export, whatever its name.
    fn among(
        files: Arc<dyn Files>,
        shown: &str,
        label: String,
        options: TextOptions,
    ) -> Result<Self, SourceError> {
        let stem = label
            .rsplit_once('.')
            .map_or(label.as_str(), |(stem, _)| stem);
        let mut candidates: Vec<(bool, bool, usize, u64, &str)> = Vec::new();
        let alone = files.entries().len() == 1;
        let texts = files.entries().iter().filter(|entry| {
            let is_text = entry
                .path
                .rsplit_once('.')
                .is_some_and(|(_, ending)| ending.eq_ignore_ascii_case("txt"));
            (is_text || alone) && !files::is_junk(&entry.path)
        });
        for entry in texts.take(PROBED_FILES) {
            // An unreadable document is no reason to refuse the chat beside it.
            let headers = probe(files.as_ref(), &entry.path).unwrap_or(0);
            if headers > 0 {
                let name = entry.path.rsplit('/').next().unwrap_or(&entry.path);
                let same = name.strip_suffix(".txt").is_some_and(|name| name == stem);
                candidates.push((
                    same || name == "_chat.txt",
                    words::is_export_name(name),
                    headers,
                    entry.len,
                    &entry.path,
                ));
            }
        }
        candidates.sort_unstable();
        let Some(best) = candidates.pop() else {
            return Err(not_a_chat(shown, NOT_EXPORT));
        };
        if let Some(second) = candidates.last()
            && (second.0, second.1) == (best.0, best.1)
            && best.1
        {
            return Err(not_a_chat(
                shown,
                "it holds several exported chats; give each chat's own zip or folder",
            ));
        }
        let text = best.4.to_owned();
        Ok(Self {
            files,
            label,
            whole: true,
            text,
            options,
        })
    }

    fn lines(&self) -> Result<Lines<BufReader<Box<dyn Read + Send>>>, SourceError> {
        let reader =
            files::reader(self.files.as_ref(), &self.text).map_err(|error| self.io(error))?;
        Ok(Lines::new(BufReader::with_capacity(64 * 1024, reader)))
    }

    fn io(&self, error: io::Error) -> SourceError {
        match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput => SourceError::Damaged {
                file: self.text.clone(),
                why: error.to_string(),
            },
            io::ErrorKind::Unsupported => SourceError::Unsupported {
                file: self.text.clone(),
                what: error.to_string(),
            },
            _ => SourceError::Io {
                path: self.text.clone(),
                source: error,
            },
        }
    }

    fn survey(&self) -> Result<Survey, SourceError> {
        Survey::of(self.lines()?, self.options.date_order).map_err(|error| match error {
            SurveyError::NoHeader => not_a_chat(&self.label, NOT_EXPORT),
            SurveyError::Ambiguous(example) => SourceError::AmbiguousDates {
                file: self.text.clone(),
                example,
            },
            SurveyError::Impossible(example) => SourceError::Unsupported {
                file: self.text.clone(),
                what: format!("dates of an unknown calendar ({example})"),
            },
            SurveyError::Io(error) => self.io(error),
        })
    }
}

impl Source for TextExport {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            app: "whatsapp",
            form: "whatsapp-text-export",
            label: self.label.clone(),
        }
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        let survey = self.survey()?;
        let title = title::of(
            self.options.title.as_deref(),
            &self.text,
            &self.label,
            &survey,
        );
        let id = format!("whatsapp-text:{}", title::normal(&title));
        let mut conversation = Conversation {
            id: id.clone(),
            app: "whatsapp".to_owned(),
            kind: title::kind(&title, &survey).into(),
            title,
            participants: survey.writers.iter().map(|name| author::id(name)).collect(),
            ..Conversation::default()
        };
        conversation.participants.sort();
        let names = Names::new(self.files.entries(), &self.text);
        let mut report = Report::default();
        report.take(Kind::Conversations);
        let handle = sink.conversation(conversation.clone())?;
        let mut reading = Reading {
            export: self,
            context: Context {
                names: &names,
                entries: self.files.entries(),
                repeated: &survey.repeated,
                ios: survey.shape.wrapper == Wrapper::Bracket,
            },
            survey: &survey,
            ids: DerivedIds::new(&id),
            conversation: handle,
            sink,
            report,
            named: vec![false; self.files.entries().len()],
            given: HashSet::new(),
            listed: BTreeSet::new(),
            last: None,
        };
        reading.all()?;
        reading.unnamed_files();
        let Reading {
            report,
            listed,
            sink,
            ..
        } = reading;
        conversation.participants = listed.into_iter().collect();
        if conversation.participants.len() > 2 {
            conversation.set_kind(ConversationKind::Group);
        }
        sink.conversation(conversation)?;
        Ok(report)
    }

    fn media(&self) -> Arc<dyn MediaStore> {
        let files: Arc<dyn Files> = Arc::clone(&self.files);
        files
    }

    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        self.files.digest()
    }
}

/// The second pass.
struct Reading<'a> {
    export: &'a TextExport,
    context: Context<'a>,
    survey: &'a Survey,
    ids: DerivedIds,
    conversation: ConversationRef,
    sink: &'a mut dyn Sink,
    report: Report,
    /// Which files a message names.
    named: Vec<bool>,
    /// Names that the sink has seen.
    given: HashSet<String>,
    listed: BTreeSet<String>,
    last: Option<i64>,
}

/// A message whose continuation lines may follow.
struct Pending {
    sent_at: i64,
    text: String,
    cut: bool,
}

/// What continuation lines belong to.
enum State {
    Before,
    Message(Pending),
    Skipped,
}

impl Reading<'_> {
    fn all(&mut self) -> Result<(), SourceError> {
        let mut lines = self.export.lines()?;
        let mut state = State::Before;
        while let Some(line) = lines.next().map_err(|error| self.export.io(error))? {
            let parsed = Header::parse(&line.text);
            let refused = match &parsed {
                Some(header) if header.shape == self.survey.shape => match self.survey.time(header)
                {
                    Ok(sent_at) => {
                        let pending = Pending {
                            sent_at,
                            text: header.rest.to_owned(),
                            cut: line.cut,
                        };
                        self.finish(std::mem::replace(&mut state, State::Message(pending)))?;
                        continue;
                    }
                    Err(NoTime::NoSuchDay) => Some("a header with a day that does not exist"),
                    Err(NoTime::UnknownHalf) => {
                        Some("a header with an unknown word for morning or evening")
                    }
                },
                Some(header)
                    if matches!(header.shape.wrapper, Wrapper::Bracket | Wrapper::Dash)
                        && !header.rest.is_empty() =>
                {
                    Some("a header of another form than the file's")
                }
                _ if header::looks_like_header(&line.text) => Some("a header of an unknown form"),
                _ => None,
            };
            if let Some(reason) = refused {
                self.finish(std::mem::replace(&mut state, State::Skipped))?;
                self.report.skip(
                    Kind::Messages,
                    reason,
                    true,
                    format!("line {}", line.number),
                );
                continue;
            }
            match &mut state {
                State::Message(pending) => pending.push(&line.text, line.cut),
                State::Before if !line.text.trim().is_empty() => {
                    self.report.skip(
                        Kind::Messages,
                        "text before the first message",
                        true,
                        format!("line {}", line.number),
                    );
                    state = State::Skipped;
                }
                State::Before | State::Skipped => {}
            }
        }
        self.finish(state)
    }

    fn finish(&mut self, state: State) -> Result<(), SourceError> {
        let State::Message(Pending { sent_at, text, cut }) = state else {
            return Ok(());
        };
        if cut {
            self.report
                .note("messages that were longer than Heirloom keeps, and were cut");
        }
        if text.contains('\u{FFFD}') {
            self.report.note("messages with bytes that are no text");
        }
        if self.last.is_some_and(|last| sent_at < last) {
            self.report.note("messages that step back in time");
        }
        self.last = Some(sent_at);
        let split = author::split(&text, &self.survey.long_names);
        let (name, body) = split.map_or((None, text.as_str()), |(name, body)| (Some(name), body));
        let (mut message, file) = content::message(sent_at, name, body, &self.context);
        if content::is_unsure(&message, &self.context) {
            self.report.note(
                "messages that end in the same words in <…> again and again, kept as text; they may say that a file was left out, or a message edited, in words that Heirloom does not know",
            );
        }
        let is_notice = message.kind() == MessageKind::System;
        if is_notice
            && let Some(system) = &mut message.system
            && let Some(chat) = &self.survey.notice_author
        {
            let chat = author::id(chat);
            system.participants.retain(|about| *about != chat);
        }
        if let Some(name) = name
            && message
                .system
                .as_ref()
                .is_none_or(|system| !system.participants.is_empty())
        {
            self.give(name)?;
        }
        if let Some(named) = file.and_then(|file| self.named.get_mut(file)) {
            *named = true;
        }
        for attachment in &mut message.attachments {
            if attachment.presence() == Presence::Absent {
                self.report.absent();
                continue;
            }
            if attachment.media_type.is_empty() {
                let head = self.export.head(&attachment.source_path);
                media_type::by_magic(&head).clone_into(&mut attachment.media_type);
            }
            self.report.take(Kind::Attachments);
        }
        self.ids.assign(&mut message);
        self.sink.message(self.conversation, message)?;
        self.report.take(Kind::Messages);
        Ok(())
    }

    /// Gives a participant before the first message that names it.
    fn give(&mut self, name: &str) -> Result<(), SourceError> {
        if self.given.contains(name) {
            return Ok(());
        }
        if self.given.len() >= MAX_PARTICIPANTS {
            // Given twice is harmless, remembered without a limit is not.
            self.given.clear();
        }
        self.given.insert(name.to_owned());
        let participant = author::participant(name);
        if self.listed.len() < MAX_PARTICIPANTS {
            self.listed.insert(participant.id.clone());
        }
        self.sink.participant(participant)?;
        Ok(())
    }

    fn unnamed_files(&mut self) {
        for name in self.export.files.refused() {
            self.report.skip(
                Kind::Attachments,
                "a file whose name leads out of the export",
                true,
                name.as_str(),
            );
        }
        if !self.export.whole {
            return;
        }
        for (entry, named) in self.export.files.entries().iter().zip(&self.named) {
            if !named && entry.path != self.export.text && !files::is_junk(&entry.path) {
                self.report.note("files that no message names");
                self.report.skip(
                    Kind::Attachments,
                    "a file that no message names",
                    true,
                    entry.path.as_str(),
                );
            }
        }
    }
}

impl Pending {
    fn push(&mut self, line: &str, cut: bool) {
        self.cut |= cut;
        if self.text.len() + line.len() >= MAX_MESSAGE {
            self.cut = true;
            return;
        }
        self.text.push('\n');
        self.text.push_str(line);
    }
}

impl TextExport {
    /// A file's first bytes; none when it cannot be read.
    fn head(&self, path: &str) -> Vec<u8> {
        let mut head = [0; 16];
        let read = files::reader(self.files.as_ref(), path)
            .and_then(|reader| read_up_to(reader, &mut head));
        head.get(..read.unwrap_or(0)).unwrap_or_default().to_vec()
    }
}

const NOT_EXPORT: &str = "give the zip that WhatsApp's *Export chat* made, the folder it was unpacked to, or WhatsApp's folder from an Android phone";

fn not_a_chat(path: &str, hint: &str) -> SourceError {
    SourceError::NotAChat {
        path: path.to_owned(),
        hint: hint.to_owned(),
    }
}

fn bad_zip(path: &str, error: io::Error) -> SourceError {
    match error.kind() {
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput => {
            SourceError::Damaged {
                file: path.to_owned(),
                why: format!("the zip cannot be opened: {error}"),
            }
        }
        _ => SourceError::Io {
            path: path.to_owned(),
            source: error,
        },
    }
}

fn is_zip(head: &[u8]) -> bool {
    head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06")
}

fn read_up_to(mut reader: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// How many of a file's first lines are headers.
fn probe(files: &dyn Files, path: &str) -> io::Result<usize> {
    let mut lines = Lines::new(BufReader::new(files::reader(files, path)?));
    let mut headers = 0;
    for _ in 0..PROBED_LINES {
        let Some(line) = lines.next()? else { break };
        headers += usize::from(Header::parse(&line.text).is_some_and(|header| !header.doubtful));
    }
    Ok(headers)
}
