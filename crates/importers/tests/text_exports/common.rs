//! What the tests of text exports share: a sink that keeps everything, and the way to `../shared`.

use std::io::Read;
use std::path::{Path, PathBuf};

use heirloom_archive::{
    Conversation, ConversationRef, MediaFile, MediaStore, Message, Participant, Report, Sink,
    SinkError, Source,
};

/// All that a source gave.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) participants: Vec<Participant>,
    pub(crate) conversations: Vec<Conversation>,
    pub(crate) messages: Vec<Message>,
    pub(crate) report: Report,
}

impl Collected {
    pub(crate) fn conversation(&self) -> &Conversation {
        &self.conversations[0]
    }
}

impl Sink for Collected {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.participants.retain(|known| known.id != participant.id);
        self.participants.push(participant);
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        self.conversations
            .retain(|known| known.id != conversation.id);
        self.conversations.push(conversation);
        Ok(ConversationRef(0))
    }

    fn message(&mut self, _: ConversationRef, message: Message) -> Result<(), SinkError> {
        assert!(!message.id.is_empty());
        assert!(
            message.author.is_empty() || self.participants.iter().any(|p| p.id == message.author),
            "{message:?}"
        );
        self.messages.push(message);
        Ok(())
    }
}

/// Reads a source to its end.
pub(crate) fn read_all(source: &mut dyn Source) -> Collected {
    let mut found = Collected::default();
    found.report = source.read(&mut found).unwrap();
    assert!(found.report.adds_up());
    found
}

/// A wall clock's time as people write it.
pub(crate) fn time_of(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .unwrap()
        .to_string()
        .trim_end_matches('Z')
        .to_owned()
}

/// All bytes of a medium.
pub(crate) fn bytes_of(media: &dyn MediaStore, path: &str) -> Vec<u8> {
    match media.open(path).unwrap() {
        MediaFile::File(path) => std::fs::read(path).unwrap(),
        MediaFile::Stream(mut stream) => {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            bytes
        }
    }
}

/// A folder of the corpus, or `None` with a word where there is no corpus.
pub(crate) fn shared(folder: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = root.join("corpus").join(folder);
    if folder.exists() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none_or(|v| v != "1"),
        "../shared is absent"
    );
    println!("skipped: ../shared is absent");
    None
}
