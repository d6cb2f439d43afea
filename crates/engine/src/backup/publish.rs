//! The end of a run: index, snapshot, head, in this order; then the ledger hears of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use heirloom_archive::{Kind, Report, SourceInfo};
use prost::Message as _;

use super::base::Base;
use super::segments::Merged;
use super::state::{Conversations, IndexState, LineageState, seal_local};
use super::unpublished::UnpublishedHead;
use super::{BackupOutcome, NewCounts, kinds};
use crate::error::EngineError;
use crate::format::header::Kind as ObjectKind;
use crate::format::index::Row;
use crate::format::{names, object};
use crate::ids::ObjectHash;
use crate::keys::writer_mac;
use crate::ledger::{Change, Space};
use crate::packer::{PackRecord, Packer, rows_of};
use crate::proto;

/// An index is merged into the next one unless it has this many times as many rows.
const INDEX_FACTOR: u64 = 4;

pub(crate) struct About<'a> {
    pub(crate) source: SourceInfo,
    pub(crate) source_key: [u8; 32],
    pub(crate) stamp: Option<[u8; 32]>,
    pub(crate) device_name: &'a str,
    pub(crate) now_ms: i64,
}

#[expect(
    clippy::too_many_lines,
    reason = "the order of these writes is the point"
)]
pub(crate) fn run(
    packer: &Packer<'_>,
    base: Base,
    merged: Merged,
    about: About<'_>,
) -> Result<BackupOutcome, EngineError> {
    let Base {
        mut state,
        mut conversations,
        dirty: _,
        marks: _,
    } = base;
    let Merged {
        report,
        new,
        trees,
        participants,
        participant_count,
        remembered,
        mark,
        notes,
    } = merged;
    let mut changes: Vec<Change> = remembered;
    for tree in trees {
        conversations.insert(tree.entry.key.clone(), tree.entry);
    }
    write_index(packer, &mut state, &mut changes)?;

    let entries: Vec<proto::ConversationEntry> = conversations.into_values().collect();
    let sequence = state.sequence + 1;
    let About {
        source,
        source_key,
        stamp,
        device_name,
        now_ms,
    } = about;
    let mut snapshot = proto::Snapshot {
        repository: packer.keys.repository.to_vec(),
        lineage: state.lineage.clone(),
        sequence,
        parent: state
            .snapshot
            .as_ref()
            .map(|parent| parent.hash.clone())
            .unwrap_or_default(),
        created_at: now_ms,
        device: packer.keys.device.to_vec(),
        device_name: device_name.to_owned(),
        source: Some(proto::SourceNote {
            app: source.app.into(),
            form: source.form.into(),
            label: source.label,
        }),
        report: Some(report_note(&report, new)),
        keyring_number: packer.keys.keyring_number,
        keyring_hash: packer.keys.keyring_hash.to_vec(),
        merged: std::mem::take(&mut state.merged),
        conversations: entries,
        participants: participants.clone(),
        indexes: state
            .indexes
            .iter()
            .map(|index| proto::ObjectRef {
                hash: index.hash.clone(),
                bytes: index.bytes,
            })
            .collect(),
        packs: packer.packs(),
        notes: notes.iter().filter_map(|note| note.note.clone()).collect(),
        mac: Vec::new(),
    };
    snapshot.mac = writer_mac(
        &packer.keys.writer_key,
        ObjectKind::Snapshot.byte(),
        &snapshot.encode_to_vec(),
    )
    .to_vec();
    let (hash, bytes) = put_object(
        packer,
        ObjectKind::Snapshot,
        &snapshot.encode_to_vec(),
        names::snapshot,
    )?;
    state.snapshot = Some(proto::ObjectRef {
        hash: hash.0.to_vec(),
        bytes,
    });
    state.participants = participants;
    state.participant_count = participant_count;
    state.notes = notes;
    state.stored = state.stored.saturating_add(packer.stored_bytes());
    let list = Conversations {
        entries: snapshot.conversations,
    }
    .encode_to_vec();
    changes.push((
        Space::State,
        b"conversations".to_vec(),
        Some(seal_local(&packer.ids, packer.salt(), list)),
    ));
    if let Some(stamp) = stamp {
        let mut value = stamp.to_vec();
        value.extend_from_slice(&super::mark::forgotten(packer)?);
        value.extend_from_slice(&snapshot.report.unwrap_or_default().encode_to_vec());
        changes.push((Space::State, source_key.to_vec(), Some(value)));
    }
    changes.push(super::mark::change(packer, &source_key, mark)?);
    write_head(packer, &mut state, changes, now_ms)?;
    Ok(BackupOutcome {
        report,
        new,
        stored_bytes: packer.stored_bytes(),
        snapshot: hash.to_string(),
        lineage: state.lineage().to_string(),
        sequence,
        head: hex_of(&state.head),
        unchanged: false,
        ahead_ms: None,
    })
}

/// The source's files are as they were: a new head says that the backup is current, and nothing else is stored.
pub(crate) fn renew_if_unchanged(
    packer: &Packer<'_>,
    base: &Base,
    source_key: &[u8; 32],
    stamp: &[u8; 32],
    now_ms: i64,
    dry_run: bool,
) -> Result<Option<BackupOutcome>, EngineError> {
    let mut state = base.state.clone();
    let Some(snapshot) = &state.snapshot else {
        return Ok(None);
    };
    let snapshot = ObjectHash::from_slice(&snapshot.hash).ok_or(EngineError::UnlockNeeded)?;
    let known = packer.ledger.get(Space::State, source_key)?;
    // As with a mark: what was forgotten is stored again only by a run that reads.
    let forgotten = super::mark::forgotten(packer)?;
    let Some(note) = known
        .as_deref()
        .and_then(|value| value.strip_prefix(stamp.as_slice()))
        .and_then(|value| value.strip_prefix(forgotten.as_slice()))
    else {
        return Ok(None);
    };
    let Ok(note) = proto::RunReport::decode(note) else {
        return Ok(None);
    };
    if !dry_run {
        write_head(packer, &mut state, Vec::new(), now_ms)?;
    }
    Ok(Some(BackupOutcome {
        report: report_of(&note),
        new: NewCounts::default(),
        stored_bytes: packer.stored_bytes(),
        snapshot: snapshot.to_string(),
        lineage: state.lineage().to_string(),
        sequence: state.sequence,
        head: hex_of(&state.head),
        unchanged: true,
        ahead_ms: None,
    }))
}

fn hex_of(head: &[u8]) -> String {
    ObjectHash::from_slice(head).map_or_else(String::new, |hash| hash.to_string())
}

/// Seals and stores an object; returns its hash and size.
pub(crate) fn put_object(
    packer: &Packer<'_>,
    kind: ObjectKind,
    message: &[u8],
    name: impl Fn(&ObjectHash) -> String,
) -> Result<(ObjectHash, u64), EngineError> {
    let bytes = packer.with_rng(|rng| object::seal(kind, message, packer.keys, rng));
    let hash = ObjectHash::of(&bytes);
    let len = bytes.len();
    packer.store.put_new(&name(&hash), &bytes)?;
    packer.count_stored(len);
    Ok((hash, u64::try_from(len).expect("fits")))
}

/// Publishes a head, and tells the ledger all that comes with it.
///
/// The ledger hears of it first and keeps the head's bytes until they are stored: a run that is killed in between must not
/// write another head of the same number, which would be a second history.
fn write_head(
    packer: &Packer<'_>,
    state: &mut LineageState,
    mut changes: Vec<Change>,
    now_ms: i64,
) -> Result<(), EngineError> {
    let lineage = state.lineage();
    let before = ObjectHash::from_slice(&state.head)
        .map(|head| names::head(&lineage, state.sequence, &head))
        .unwrap_or_default();
    let sequence = state.sequence + 1;
    let mut head = proto::Head {
        repository: packer.keys.repository.to_vec(),
        lineage: state.lineage.clone(),
        sequence,
        parent: state.head.clone(),
        created_at: now_ms,
        device: packer.keys.device.to_vec(),
        snapshot: state.snapshot.clone(),
        keyring_number: packer.keys.keyring_number,
        keyring_hash: packer.keys.keyring_hash.to_vec(),
        oldest: state.oldest,
        mac: Vec::new(),
    };
    head.mac = writer_mac(
        &packer.keys.writer_key,
        ObjectKind::Head.byte(),
        &head.encode_to_vec(),
    )
    .to_vec();
    let bytes = packer
        .with_rng(|rng| object::seal(ObjectKind::Head, &head.encode_to_vec(), packer.keys, rng));
    let hash = ObjectHash::of(&bytes);
    state.sequence = sequence;
    state.head = hash.0.to_vec();
    state.clock_ms = now_ms;
    changes.push(state.change());
    let unpublished = UnpublishedHead {
        name: names::head(&lineage, sequence, &hash),
        bytes,
        before,
    };
    changes.push(unpublished.change());
    packer.ledger.apply_durably(changes)?;
    packer.count_stored(unpublished.bytes.len());
    unpublished.publish(packer)
}

/// Lists the packs that no index lists yet, together with those of small indexes: so there are never many of them.
#[expect(clippy::too_many_lines, reason = "one table, gathered and written")]
pub(crate) fn write_index(
    packer: &Packer<'_>,
    state: &mut LineageState,
    changes: &mut Vec<Change>,
) -> Result<(), EngineError> {
    let mut pending: BTreeMap<Vec<u8>, PackRecord> = BTreeMap::new();
    let mut rows = 0u64;
    let mut take = |merge: &HashSet<Vec<u8>>| -> Result<u64, EngineError> {
        let mut more = 0;
        packer.ledger.each(Space::Pack, &mut |hash, value| {
            let record = PackRecord::decode(value)
                .map_err(|error| EngineError::Ledger(error.to_string()))?;
            if merge.contains(&record.index) && !pending.contains_key(hash) {
                more += u64::try_from(rows_of(&record).count()).expect("fits");
                pending.insert(hash.to_vec(), record);
            }
            Ok(())
        })?;
        Ok(more)
    };
    rows += take(&HashSet::from([Vec::new()]))?;
    if rows == 0 {
        return Ok(());
    }
    let mut merge = HashSet::new();
    while let Some(last) = state.indexes.last() {
        if last.rows >= rows * INDEX_FACTOR {
            break;
        }
        rows += last.rows;
        merge.insert(last.hash.clone());
        state.indexes.pop();
    }
    if !merge.is_empty() {
        take(&merge)?;
    }

    let mut index = proto::Index {
        repository: packer.keys.repository.to_vec(),
        device: packer.keys.device.to_vec(),
        ..proto::Index::default()
    };
    let mut run_keys: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut table: Vec<Row> = Vec::new();
    for (number, (hash, record)) in (0u32..).zip(&pending) {
        let next = u32::try_from(run_keys.len()).expect("fits");
        let run_key = *run_keys
            .entry(record.sealed_run_key.clone())
            .or_insert_with(|| {
                index.run_keys.push(record.sealed_run_key.clone());
                next
            });
        index.packs.push(proto::IndexPack {
            hash: hash.clone(),
            bytes: record.bytes,
            run_key,
            salt: record.salt.clone(),
            commitment: record.commitment.clone(),
            payload_end: record.payload_end,
            next: record.next.clone(),
        });
        table.extend(rows_of(record).map(|row| Row {
            pack: number,
            ..row
        }));
    }
    // A chunk that was stored again, because its pack was marked: the ledger knows only the new place.
    let hashes: Vec<&Vec<u8>> = pending.keys().collect();
    let is_current = |row: &Row| -> bool {
        let pack = usize::try_from(row.pack)
            .ok()
            .and_then(|pack| hashes.get(pack))
            .and_then(|hash| hash.get(..16));
        packer
            .ledger
            .get(Space::Chunk, &row.id)
            .is_ok_and(|known| known.as_deref() == pack)
    };
    table.sort_by_key(|row| row.id);
    table.dedup_by(|later, kept| {
        let same = later.id == kept.id;
        if same && is_current(later) {
            *kept = *later;
        }
        same
    });
    for row in &table {
        row.write(&mut index.rows);
    }
    index.mac = writer_mac(
        &packer.keys.writer_key,
        ObjectKind::Index.byte(),
        &index.encode_to_vec(),
    )
    .to_vec();
    let (hash, bytes) = put_object(
        packer,
        ObjectKind::Index,
        &index.encode_to_vec(),
        names::index,
    )?;
    for (pack, mut record) in pending {
        record.index = hash.0.to_vec();
        changes.push((Space::Pack, pack, Some(record.encode_to_vec())));
    }
    state.indexes.push(IndexState {
        hash: hash.0.to_vec(),
        bytes,
        rows: u64::try_from(table.len()).expect("fits"),
    });
    Ok(())
}

fn report_note(report: &Report, new: NewCounts) -> proto::RunReport {
    let count = |kind: Kind| {
        let counts = report.counts(kind);
        proto::CountNote {
            found: counts.found,
            taken: counts.taken,
            skipped: counts.skipped,
            absent: counts.absent,
        }
    };
    let [conversations, messages, attachments] = kinds().map(count);
    proto::RunReport {
        conversations: Some(conversations),
        messages: Some(messages),
        attachments: Some(attachments),
        skips: report
            .skips()
            .map(|skip| proto::SkipNote {
                kind: kind_name(skip.kind).into(),
                reason: skip.reason.clone(),
                count: skip.count,
                readable: skip.readable,
            })
            .collect(),
        added: Some(proto::AddedNote {
            conversations: new.conversations,
            messages: new.messages,
            attachments: new.attachments,
        }),
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Conversations => "conversations",
        Kind::Messages => "messages",
        Kind::Attachments => "attachments",
    }
}

fn report_of(note: &proto::RunReport) -> Report {
    let mut report = Report::default();
    for (kind, counts) in
        kinds()
            .into_iter()
            .zip([&note.conversations, &note.messages, &note.attachments])
    {
        let counts = counts.unwrap_or_default();
        report.take_many(kind, counts.taken, counts.absent);
        for skip in note
            .skips
            .iter()
            .filter(|skip| skip.kind == kind_name(kind))
        {
            report.skip_many(kind, &skip.reason, skip.readable, skip.count);
        }
    }
    report
}
