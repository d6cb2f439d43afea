//! `backup`: a source in, a new snapshot out.
//!
//! Two passes over the messages and one over the media. The source is read once: its messages go through an external
//! sort, its media are stored meanwhile by workers. Then the sorted messages are cut into segments, and only segments
//! that are not stored yet are sealed. Last come index, snapshot and head, in this order: a run that is killed leaves the
//! snapshot before it whole, and the next run finds what is stored already.

mod base;
mod mark;
mod media;
mod notes;
mod publish;
mod scan;
mod segments;
mod state;
mod trees;
mod unpublished;

pub(crate) use trees::put_in_order;

use std::sync::Arc;

use heirloom_archive::{Kind, Report, Source, SourceError};
use rand_core::CryptoRng;

use crate::error::EngineError;
use crate::keys::{ReaderKeys, WriterKeys};
use crate::ledger::Ledger;
use crate::packer::Packer;
use crate::progress::{Amount, Phase, Progress};
use crate::store::Store;
use base::Base;
use segments::{Merged, SecondPass};

/// What a backup needs.
pub struct BackupJob<'a> {
    /// Where to.
    pub store: Arc<dyn Store>,
    /// What this device may write with.
    pub keys: &'a WriterKeys,
    /// What it may read with, when it is unlocked. Needed once on a device whose ledger is empty.
    pub reader: Option<Arc<dyn ReaderKeys>>,
    /// What this device remembers.
    pub ledger: &'a dyn Ledger,
    /// Where from.
    pub source: &'a mut dyn Source,
    /// Salts and ids.
    pub rng: &'a mut (dyn CryptoRng + Send),
    /// Milliseconds since 1970, UTC.
    pub now_ms: i64,
    /// For people: "Anna's laptop".
    pub device_name: &'a str,
    /// How.
    pub options: BackupOptions,
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}

impl std::fmt::Debug for BackupJob<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupJob")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// How a backup is made.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Workers beside the thread that reads the source; 0 = everything inline.
    pub workers: usize,
    /// Read everything even if the source's files did not change, and store again what the store has lost.
    pub force: bool,
    /// Read, compare and count, but store nothing.
    pub dry_run: bool,
    /// How the source was told to read, in any words: with other ones it is read again although its files did not change.
    pub read_as: String,
    /// Asked for the time before the end, milliseconds since 1970, UTC: a computer may sleep for days in the middle of a
    /// run. `None`: no time passes.
    pub clock: Option<fn() -> i64>,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            workers: if cfg!(feature = "native") { 2 } else { 0 },
            force: false,
            dry_run: false,
            read_as: String::new(),
            clock: None,
        }
    }
}

/// What was not in the backup before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NewCounts {
    /// Conversations.
    pub conversations: u64,
    /// Messages.
    pub messages: u64,
    /// Attachments of those messages.
    pub attachments: u64,
}

/// What a backup did.
#[derive(Debug, Clone)]
pub struct BackupOutcome {
    /// What was found, taken and left out.
    pub report: Report,
    /// What of it is new.
    pub new: NewCounts,
    /// Bytes that went into the store.
    pub stored_bytes: u64,
    /// The snapshot's hash in hexadecimal.
    pub snapshot: String,
    /// The lineage in hexadecimal.
    pub lineage: String,
    /// The head's number in its lineage.
    pub sequence: u64,
    /// The head's hash in hexadecimal. Whoever remembers it notices when the store shows an older one.
    pub head: String,
    /// The source's files had not changed: nothing was read.
    pub unchanged: bool,
    /// When the run before this one says it was made, milliseconds UTC, where that lies more than an hour ahead of this
    /// one: the clock was, or is, wrong.
    pub ahead_ms: Option<i64>,
}

/// Clocks are set back by so much without anybody being wrong.
const CLOCK_SLACK_MS: i64 = 3_600_000;

/// Makes a backup.
///
/// Cost: one pass over the source's messages, one over media that are not known by size and time; memory is bounded
/// whatever the source's size. Leaks to the store: the times of runs and the number and sizes of packs.
pub fn run(job: BackupJob<'_>) -> Result<BackupOutcome, EngineError> {
    let BackupJob {
        store,
        keys,
        reader,
        ledger,
        source,
        rng,
        now_ms,
        device_name,
        options,
        progress,
    } = job;
    store.sweep_unfinished()?;
    let packer = Packer::new(keys, store.as_ref(), ledger, rng, progress, options.dry_run);
    let mut base = base::load(&packer, &store, reader.as_ref(), now_ms)?;
    let ahead_ms = Some(base.state.clock_ms)
        .filter(|before_ms| before_ms.saturating_sub(now_ms) > CLOCK_SLACK_MS);
    let added_ms = base.state.next_added_ms(now_ms);

    let stamp = source.stamp().map_err(|error| SourceError::Io {
        path: source.info().label,
        source: error,
    })?;
    let mut source_name = format!("source {:?}", source.info());
    if !options.read_as.is_empty() {
        source_name.push_str(" read as ");
        source_name.push_str(&options.read_as);
    }
    let source_key = packer
        .ids
        .keyed(crate::keys::purpose::FILE, source_name.as_bytes());
    if options.force {
        base::forget_lost(&packer, &mut base)?;
    }
    if let (Some(stamp), false) = (stamp, options.force)
        && let Some(outcome) = publish::renew_if_unchanged(
            &packer,
            &base,
            &source_key,
            &stamp,
            now_ms,
            options.dry_run,
        )?
    {
        return Ok(BackupOutcome {
            ahead_ms,
            ..outcome
        });
    }

    let mark = if options.force || !base.dirty.is_empty() {
        None
    } else {
        mark::load(&packer, &source_key)?
    };
    let pass = SecondPass {
        reader: reader.as_ref(),
        store: &store,
        source_key: &source_key,
        options: &options,
        piled_up: false,
        now_ms,
        added_ms,
    };
    let merged = both_passes(&packer, source, mark.as_deref(), &mut base, pass)?;
    if options.dry_run {
        return Ok(BackupOutcome {
            report: merged.report,
            new: merged.new,
            stored_bytes: packer.stored_bytes(),
            snapshot: String::new(),
            lineage: base.lineage().to_string(),
            sequence: base.state.sequence,
            head: String::new(),
            unchanged: false,
            ahead_ms,
        });
    }
    progress.phase(Phase::Publishing, None);
    base::refuse_swept(
        &packer,
        &base,
        options.clock.map_or(now_ms, |clock| clock()),
    )?;
    let outcome = publish::run(
        &packer,
        base,
        merged,
        publish::About {
            source: source.info(),
            source_key,
            stamp,
            device_name,
            now_ms,
        },
    )?;
    Ok(BackupOutcome {
        ahead_ms,
        ..outcome
    })
}

/// Reads what changed since `mark`, or everything, and stores what is new of it.
fn both_passes(
    packer: &Packer<'_>,
    source: &mut dyn Source,
    mark: Option<&[u8]>,
    base: &mut Base,
    mut pass: SecondPass<'_>,
) -> Result<Merged, EngineError> {
    // The second pass need not read again what the first one has read.
    let mut files = Vec::new();
    for mark in [mark, None] {
        packer.progress.phase(Phase::Reading, None);
        let mut scanned = scan::run(packer, source, mark, pass.options, pass.now_ms)?;
        files.append(&mut scanned.files);
        scanned.files.clone_from(&files);
        let messages = Amount {
            items: scanned.sorted.len(),
            bytes: 0,
        };
        packer
            .progress
            .phase(Phase::SealingMessages, Some(messages));
        if let Some(merged) = segments::run(packer, scanned, base, &pass)? {
            return Ok(merged);
        }
        pass.piled_up = true;
    }
    Err(EngineError::Source(SourceError::Unsupported {
        file: source.info().label,
        what: "it gives a part when asked for the whole".to_owned(),
    }))
}

/// The counts of a report, in the order conversations, messages, attachments.
fn kinds() -> [Kind; 3] {
    [Kind::Conversations, Kind::Messages, Kind::Attachments]
}
