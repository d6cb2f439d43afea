//! Reads an export back.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use heirloom_archive::history::{ConversationSummary, Visit};
use heirloom_archive::paths::RelativePath;
use heirloom_archive::{
    Attachment, Conversation, History, HistoryError, Message, MessageQuery, Participant, Presence,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::records::{JsonConversation, JsonExport, JsonMessage, JsonParticipant, Time};
use super::{CONVERSATIONS, FORMAT, MANIFEST, MESSAGES, PARTICIPANTS, VERSION, convert};

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 64 * 1024 * 1024;

/// An export as a history. Untrusted: nothing outside its folder is opened.
#[derive(Debug)]
pub struct JsonlHistory {
    root: PathBuf,
    chats: Vec<Chat>,
    by_id: HashMap<String, usize>,
}

/// A conversation and where its messages lie in `messages.jsonl`.
#[derive(Debug)]
struct Chat {
    conversation: Conversation,
    messages: u64,
    span: Option<(i64, i64)>,
    runs: Vec<(u64, u64)>,
}

/// As much of a message as an index needs.
#[derive(Deserialize)]
struct Head {
    conversation: String,
    sent_at: Time,
}

/// Opens an export. Reads `messages.jsonl` once, to know where each conversation lies.
pub fn read(root: &Path) -> Result<JsonlHistory, HistoryError> {
    let mut about = String::new();
    open(root, MANIFEST)?
        .take(MAX_LINE_BYTES)
        .read_to_string(&mut about)
        .map_err(|e| failed(MANIFEST, e))?;
    let about: JsonExport =
        serde_json::from_str(&about).map_err(|error| failed(MANIFEST, error))?;
    if about.format != FORMAT || about.version != VERSION {
        return Err(plain(format!(
            "{MANIFEST} is of a format or version that this program does not read"
        )));
    }
    let mut history = JsonlHistory {
        root: root.to_owned(),
        chats: Vec::new(),
        by_id: HashMap::new(),
    };
    each_line(root, CONVERSATIONS, |line: JsonConversation| {
        let (conversation, _) = convert::to_conversation(line)?;
        history
            .by_id
            .insert(conversation.id.clone(), history.chats.len());
        history.chats.push(Chat {
            conversation,
            messages: 0,
            span: None,
            runs: Vec::new(),
        });
        Ok(())
    })?;
    history.index()?;
    Ok(history)
}

impl JsonlHistory {
    fn index(&mut self) -> Result<(), HistoryError> {
        let mut lines = LineReader::new(open(&self.root, MESSAGES)?);
        let mut start = 0;
        while let Some(line) = lines.next_line().map_err(|error| failed(MESSAGES, error))? {
            let head: Head =
                serde_json::from_slice(line).map_err(|error| failed(MESSAGES, error))?;
            let end = lines.consumed;
            let chat = self
                .by_id
                .get(&head.conversation)
                .and_then(|index| self.chats.get_mut(*index));
            let chat = chat.ok_or_else(|| {
                plain(format!(
                    "{MESSAGES} names a conversation that {CONVERSATIONS} does not"
                ))
            })?;
            match chat.runs.last_mut() {
                Some(run) if run.1 == start => run.1 = end,
                _ => chat.runs.push((start, end)),
            }
            chat.messages += 1;
            let at = head.sent_at.ms;
            chat.span = Some(
                chat.span
                    .map_or((at, at), |(first, last)| (first.min(at), last.max(at))),
            );
            start = end;
        }
        Ok(())
    }
}

impl History for JsonlHistory {
    fn conversations(&mut self) -> Result<Vec<ConversationSummary>, HistoryError> {
        let mut list: Vec<_> = self
            .chats
            .iter()
            .map(|chat| ConversationSummary {
                conversation: chat.conversation.clone(),
                messages: chat.messages,
                span: chat.span,
            })
            .collect();
        list.sort_by_key(|summary| std::cmp::Reverse(summary.span.map(|(_, newest)| newest)));
        Ok(list)
    }

    fn participants(&mut self) -> Result<Vec<Participant>, HistoryError> {
        let mut list = Vec::new();
        each_line(&self.root, PARTICIPANTS, |line: JsonParticipant| {
            list.push(convert::to_participant(line));
            Ok(())
        })?;
        list.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(list)
    }

    fn messages(
        &mut self,
        conversation: &str,
        query: MessageQuery,
        visit: &mut Visit<'_>,
    ) -> Result<(), HistoryError> {
        let chat = self
            .by_id
            .get(conversation)
            .and_then(|index| self.chats.get(*index));
        let chat =
            chat.ok_or_else(|| plain(format!("no conversation has the id {conversation}")))?;
        let mut window: VecDeque<Message> = VecDeque::new();
        for (start, end) in &chat.runs {
            let mut file = open(&self.root, MESSAGES)?;
            file.seek(SeekFrom::Start(*start))
                .map_err(|error| failed(MESSAGES, error))?;
            let mut lines = LineReader::new(file.take(end - start));
            while let Some(line) = lines.next_line().map_err(|error| failed(MESSAGES, error))? {
                let json: JsonMessage =
                    serde_json::from_slice(line).map_err(|error| failed(MESSAGES, error))?;
                let message = convert::to_message(json)
                    .map_err(|what| plain(format!("{MESSAGES}: {what}")))?;
                if !query.covers(message.sent_at) {
                    continue;
                }
                match query.last {
                    None => {
                        if visit(message)?.is_break() {
                            return Ok(());
                        }
                    }
                    Some(0) => return Ok(()),
                    Some(last) => {
                        if window.len() >= last {
                            window.pop_front();
                        }
                        window.push_back(message);
                    }
                }
            }
        }
        for message in window {
            if visit(message)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        attachment: &Attachment,
    ) -> Result<Option<Box<dyn Read + '_>>, HistoryError> {
        if attachment.presence != i32::from(Presence::Present) {
            return Ok(None);
        }
        Ok(Some(Box::new(open(&self.root, &attachment.path)?)))
    }
}

fn each_line<T: DeserializeOwned>(
    root: &Path,
    name: &str,
    mut each: impl FnMut(T) -> Result<(), String>,
) -> Result<(), HistoryError> {
    let mut lines = LineReader::new(open(root, name)?);
    while let Some(line) = lines.next_line().map_err(|error| failed(name, error))? {
        let line = serde_json::from_slice(line).map_err(|error| failed(name, error))?;
        each(line).map_err(|what| plain(format!("{name}: {what}")))?;
    }
    Ok(())
}

/// Opens a plain file below the root, and nothing else.
fn open(root: &Path, name: &str) -> Result<BufReader<File>, HistoryError> {
    let path = RelativePath::parse(name)
        .ok_or_else(|| plain(format!("the path {name:?} is not allowed")))?;
    let file = path.below_without_links(root).and_then(|path| {
        if path.is_file() {
            File::open(path)
        } else {
            Err(io::Error::other("not a plain file"))
        }
    });
    file.map(BufReader::new)
        .map_err(|error| failed(name, error))
}

/// Lines of bounded length.
struct LineReader<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    consumed: u64,
}

impl<R: Read> LineReader<R> {
    fn new(read: R) -> Self {
        Self {
            read: BufReader::new(read),
            line: Vec::new(),
            consumed: 0,
        }
    }

    fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let got = (&mut self.read)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut self.line)?;
        let got = u64::try_from(got).unwrap_or(u64::MAX);
        if got == MAX_LINE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a line is too long",
            ));
        }
        self.consumed += got;
        Ok((got > 0).then_some(&self.line))
    }
}

fn plain(message: String) -> HistoryError {
    HistoryError {
        message,
        source: None,
    }
}

fn failed(name: &str, error: impl std::error::Error + Send + Sync + 'static) -> HistoryError {
    HistoryError {
        message: format!("cannot read {name}"),
        source: Some(Box::new(error)),
    }
}
