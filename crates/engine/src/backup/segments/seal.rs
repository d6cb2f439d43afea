//! One segment: compressed, given a term filter, and sealed, unless it is stored already.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use heirloom_archive::frames;

use super::{Done, Job, SealedSegment, Streams, lock};
use crate::error::EngineError;
use crate::format::index::ChunkKind;
use crate::ids::ChunkId;
use crate::ledger::Space;
use crate::packer::Packer;
use crate::proto;
use crate::segment::{Fingerprint, Segment};
use crate::terms;

/// Compression of segments: one step lower saves a little time and costs a fifth more bytes of text.
const ZSTD_LEVEL: i32 = 1;

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
    loop {
        let job = lock(work).recv();
        let Ok(job) = job else { return };
        // After a failure the rest is only taken, so that the feeder does not wait for ever.
        if failed.load(Ordering::Relaxed) {
            continue;
        }
        let done = seal(packer, streams, job, &mut compressor, now_ms);
        if done.is_err() {
            failed.store(true, Ordering::Relaxed);
        }
        if sender.send(done).is_err() {
            return;
        }
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
            packer.add(
                &mut lock(&streams.text),
                id,
                ChunkKind::Segment,
                &plaintext,
                compressed.as_deref(),
            )?;
        }
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
