//! The first pass: messages into the sorter, media to the workers.

use std::collections::{BTreeMap, HashMap};

use heirloom_archive::{
    Conversation, ConversationRef, Message, Participant, Presence, Reading, Report, Sink,
    SinkError, Source, SourceError, frames,
};
use prost::Message as _;

use super::BackupOptions;
use super::media::{Done, Media, Results};
use crate::error::EngineError;
use crate::keys::purpose;
use crate::packer::Packer;
use crate::progress::Phase;
use crate::sorter::{Sorted, Sorter};

/// A conversation of this run.
pub(crate) struct ScannedConversation {
    pub(crate) record: Conversation,
    /// Keyed hash of its id.
    pub(crate) key: [u8; 16],
    pub(crate) rank: u64,
}

/// What the first pass gives.
pub(crate) struct Scanned {
    pub(crate) sorted: Sorted,
    pub(crate) conversations: Vec<ScannedConversation>,
    pub(crate) participants: BTreeMap<String, Participant>,
    pub(crate) media: Results,
    /// Framed records of the files that were read.
    pub(crate) files: Vec<u8>,
    pub(crate) report: Report,
    /// Whether every message of the source is among them.
    pub(crate) whole: bool,
    /// What the source was like.
    pub(crate) mark: Option<Vec<u8>>,
}

/// Reads all of the source, or what changed since `mark`.
pub(crate) fn run(
    packer: &Packer<'_>,
    source: &mut dyn Source,
    mark: Option<&[u8]>,
    options: &BackupOptions,
    now_ms: i64,
) -> Result<Scanned, EngineError> {
    let mark_key = packer.ids.keyed(purpose::FILE, b"what a source was like");
    let files = source.media();
    let media = Media::new(
        packer,
        files.as_ref(),
        options.workers,
        now_ms.saturating_mul(1_000_000),
        options.force,
    );
    let mut sink = ScanSink {
        packer,
        media: &media,
        sorter: packer.with_rng(|rng| Sorter::new(rng)),
        conversations: Vec::new(),
        by_id: HashMap::new(),
        participants: BTreeMap::new(),
        body: Vec::new(),
        unheard: 0,
        failed: None,
    };
    let read = if options.workers == 0 {
        source.read_since(mark, &mark_key, &mut sink)
    } else {
        std::thread::scope(|scope| {
            // One more than there is work for: they wait for disks.
            for _ in 0..=options.workers {
                if let Err(error) = crate::workers::spawn(scope, "media", || media.work()) {
                    media.close();
                    return Err(error);
                }
            }
            let read = source.read_since(mark, &mark_key, &mut sink);
            media.close();
            Ok(read)
        })?
    };
    let ScanSink {
        sorter,
        conversations,
        participants,
        failed,
        unheard,
        ..
    } = sink;
    packer.progress.advance(Phase::Reading, unheard, 0);
    let stored = media.finish();
    let Reading {
        report,
        whole,
        mark,
    } = match read {
        Ok(reading) => reading,
        Err(SourceError::Sink(error)) => {
            // The sink stopped the source: its own reason counts, or that of a media worker.
            return Err(failed
                .or(stored.err())
                .unwrap_or(EngineError::Source(SourceError::Sink(error))));
        }
        Err(error) => return Err(error.into()),
    };
    let Done {
        results: media,
        files,
    } = stored?;
    Ok(Scanned {
        sorted: sorter.finish()?,
        conversations,
        participants,
        media,
        files,
        report,
        whole,
        mark,
    })
}

struct ScanSink<'a, 'p> {
    packer: &'a Packer<'p>,
    media: &'a Media<'a, 'p>,
    sorter: Sorter,
    conversations: Vec<ScannedConversation>,
    by_id: HashMap<String, u32>,
    participants: BTreeMap<String, Participant>,
    body: Vec<u8>,
    unheard: u64,
    failed: Option<EngineError>,
}

/// Messages between two looks at the progress.
const HEAR_EVERY: u64 = 512;

impl ScanSink<'_, '_> {
    fn stop(&mut self, error: EngineError) -> SinkError {
        let text = error.to_string();
        self.failed = Some(error);
        SinkError(text.into())
    }
}

impl Sink for ScanSink<'_, '_> {
    fn participant(&mut self, participant: Participant) -> Result<(), SinkError> {
        self.participants
            .insert(participant.id.clone(), participant);
        Ok(())
    }

    fn conversation(&mut self, conversation: Conversation) -> Result<ConversationRef, SinkError> {
        if let Some(known) = self.by_id.get(&conversation.id) {
            let known = *known;
            self.conversations[usize::try_from(known).expect("fits")].record = conversation;
            return Ok(ConversationRef(known));
        }
        let number = u32::try_from(self.conversations.len())
            .map_err(|_| SinkError("too many conversations".into()))?;
        let hash = self
            .packer
            .ids
            .keyed(purpose::CONVERSATION, conversation.id.as_bytes());
        let key: [u8; 16] = hash[..16].try_into().expect("16 bytes");
        let rank = u64::from_le_bytes(hash[16..24].try_into().expect("8 bytes"));
        self.by_id.insert(conversation.id.clone(), number);
        self.conversations.push(ScannedConversation {
            record: conversation,
            key,
            rank,
        });
        Ok(ConversationRef(number))
    }

    fn message(
        &mut self,
        conversation: ConversationRef,
        mut message: Message,
    ) -> Result<(), SinkError> {
        let Some(known) = usize::try_from(conversation.0)
            .ok()
            .and_then(|at| self.conversations.get(at))
        else {
            return Err(SinkError("a message of an unknown conversation".into()));
        };
        if message.id.is_empty() {
            return Err(SinkError("a message without an id".into()));
        }
        let rank = known.rank;
        let attachments = std::mem::take(&mut message.attachments);
        self.body.clear();
        self.body.extend_from_slice(&[0; 4]);
        message.encode(&mut self.body).expect("a vector grows");
        let len = u32::try_from(self.body.len() - 4)
            .ok()
            .filter(|len| usize::try_from(*len).is_ok_and(|len| len <= frames::MAX_RECORD_BYTES));
        let Some(len) = len else {
            return Err(SinkError("a message longer than the format allows".into()));
        };
        self.body[..4].copy_from_slice(&len.to_le_bytes());
        for mut attachment in attachments {
            attachment.content.clear();
            if attachment.presence() == Presence::Present
                && !attachment.source_path.is_empty()
                && self.media.want(&attachment.source_path).is_err()
            {
                return Err(SinkError("storing media failed".into()));
            }
            frames::push(&attachment, &mut self.body);
        }
        if let Err(error) = self.sorter.push(
            rank,
            conversation.0,
            message.sent_at,
            message.id.as_bytes(),
            &self.body,
        ) {
            return Err(self.stop(error));
        }
        self.unheard += 1;
        if self.unheard == HEAR_EVERY {
            self.packer.progress.advance(Phase::Reading, HEAR_EVERY, 0);
            self.unheard = 0;
            if self.packer.progress.interrupted() {
                return Err(self.stop(EngineError::Interrupted));
            }
        }
        Ok(())
    }
}
