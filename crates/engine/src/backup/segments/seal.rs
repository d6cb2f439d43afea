//! One segment: compressed, given a term filter, and sealed, unless it is stored already.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, TryLockError};

use heirloom_archive::frames;

use super::{Done, Job, SealedSegment, Streams, lock};
use crate::error::EngineError;
use crate::format::index::ChunkKind;
use crate::format::object::Codec;
use crate::ids::ChunkId;
use crate::ledger::Space;
use crate::packer::{Packer, Stream};
use crate::proto;
use crate::segment::{Fingerprint, Segment};
use crate::terms;

/// Compression of segments: one step lower saves a little time and costs a fifth more bytes of text.
const ZSTD_LEVEL: i32 = 1;

/// Segments that a worker keeps while another one stores a pack: that takes as long as making this many.
const BACKLOG: usize = 16;

/// Compressed segments on their way into the stream that all workers share.
#[derive(Default)]
pub(super) struct Backlog(Vec<Encoded>);

struct Encoded {
    id: ChunkId,
    codec: Codec,
    body: Vec<u8>,
    raw_len: usize,
}

impl Backlog {
    fn push(&mut self, id: ChunkId, raw: Vec<u8>, compressed: Option<Vec<u8>>) {
        let raw_len = raw.len();
        let (codec, mut body) = match compressed {
            Some(body) if body.len() < raw_len => (Codec::Zstd, body),
            _ => (Codec::Stored, raw),
        };
        body.shrink_to_fit();
        self.0.push(Encoded {
            id,
            codec,
            body,
            raw_len,
        });
    }

    /// Adds what waits, unless another worker is busy with the stream and there is room to wait.
    fn settle(&mut self, packer: &Packer<'_>, streams: &Streams) -> Result<(), EngineError> {
        if self.0.len() >= BACKLOG {
            return self.settle_all(packer, streams);
        }
        match streams.text.try_lock() {
            Ok(mut stream) => self.add_to(packer, &mut stream),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Poisoned(stream)) => self.add_to(packer, &mut stream.into_inner()),
        }
    }

    /// Adds all that waits.
    pub(super) fn settle_all(
        &mut self,
        packer: &Packer<'_>,
        streams: &Streams,
    ) -> Result<(), EngineError> {
        if self.0.is_empty() {
            return Ok(());
        }
        self.add_to(packer, &mut lock(&streams.text))
    }

    fn add_to(&mut self, packer: &Packer<'_>, stream: &mut Stream) -> Result<(), EngineError> {
        for encoded in self.0.drain(..) {
            let Encoded {
                id,
                codec,
                body,
                raw_len,
            } = encoded;
            packer.add_encoded(stream, id, ChunkKind::Segment, codec, &body, raw_len)?;
        }
        Ok(())
    }
}

pub(super) fn seal_jobs(
    packer: &Packer<'_>,
    streams: &Streams,
    work: &Mutex<Receiver<Job>>,
    sender: &Sender<Done>,
    failed: &AtomicBool,
    now_ms: i64,
) {
    let mut compressor = match compressor() {
        Ok(compressor) => compressor,
        Err(error) => {
            failed.store(true, Ordering::Relaxed);
            let _ = sender.send(Err(error));
            return;
        }
    };
    let mut backlog = Backlog::default();
    loop {
        let job = lock(work).recv();
        let Ok(job) = job else { break };
        // After a failure the rest is only taken, so that the feeder does not wait for ever.
        if failed.load(Ordering::Relaxed) {
            continue;
        }
        let done = seal(packer, streams, job, &mut compressor, &mut backlog, now_ms);
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        if sender.send(done).is_err() {
            return;
        }
    }
    if failed.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = backlog.settle_all(packer, streams) {
        failed.store(true, Ordering::Relaxed);
        let _ = sender.send(Err(error));
    }
}

pub(super) fn compressor() -> Result<zstd::bulk::Compressor<'static>, EngineError> {
    zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(|source| EngineError::Local {
        path: "a compressed segment".into(),
        source,
    })
}

pub(super) fn seal(
    packer: &Packer<'_>,
    streams: &Streams,
    job: Job,
    compressor: &mut zstd::bulk::Compressor<'static>,
    backlog: &mut Backlog,
    now_ms: i64,
) -> Done {
    let Job {
        conversation,
        number,
        segment,
        delta,
    } = job;
    let Segment {
        plaintext,
        first_at,
        last_at,
        messages,
        attachments,
        contents,
        fingerprints,
        attachments_at,
    } = segment;
    let id = packer.ids.chunk_id(&plaintext);
    let known = known_filter(packer, &id)?;
    let filter = if let Some((filter, _)) = known {
        filter
    } else {
        let filter = make_filter(&plaintext);
        let filter_id = packer.ids.chunk_id(&filter);
        if packer.claim(&filter_id)? {
            packer.add(
                &mut lock(&streams.meta),
                filter_id,
                ChunkKind::Filter,
                &filter,
                None,
            )?;
        }
        if packer.claim(&id)? {
            let compressed = compressor.compress(&plaintext).ok();
            backlog.push(id, plaintext, compressed);
        }
        backlog.settle(packer, streams)?;
        filter_id
    };
    if !known.is_some_and(|(_, complete)| complete) {
        let mut value = filter.0.to_vec();
        value.extend_from_slice(&Fingerprint::encode_all(&fingerprints));
        streams.learn(packer, (Space::Segment, id.short().to_vec(), Some(value)))?;
    }
    let entry = proto::SegmentEntry {
        id: id.0.to_vec(),
        first_at,
        last_at,
        messages,
        attachments,
        filter: filter.0.to_vec(),
        added_at: now_ms,
        contents: contents.concat(),
        delta,
    };
    Ok((
        conversation,
        SealedSegment {
            number,
            entry,
            fingerprints,
            attachments_at,
        },
    ))
}

/// The filter of a segment that is stored together with it, and whether its messages are known too: a device that has
/// joined learns of them when it meets them.
fn known_filter(packer: &Packer<'_>, id: &ChunkId) -> Result<Option<(ChunkId, bool)>, EngineError> {
    if !packer.is_stored(&id.short())? {
        return Ok(None);
    }
    let Some(value) = packer.ledger.get(Space::Segment, &id.short())? else {
        return Ok(None);
    };
    let Some((filter, prints)) = value.split_first_chunk() else {
        return Ok(None);
    };
    let filter = ChunkId(*filter);
    let complete = !prints.is_empty();
    Ok(packer
        .is_stored(&filter.short())?
        .then_some((filter, complete)))
}

/// The term filter of a segment's framed messages.
fn make_filter(plaintext: &[u8]) -> Vec<u8> {
    let mut hashes = Vec::with_capacity(2048);
    for record in frames::split(plaintext).map_while(Result::ok) {
        terms::for_each_text(record, &mut |text| {
            terms::hash_words(text, &mut hashes);
        });
    }
    terms::encode_filter(&mut hashes)
}
