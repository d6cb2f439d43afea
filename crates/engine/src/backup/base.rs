//! What a run begins from: the newest snapshot of this device's lineage, or, on a device that joins or was put back, of
//! all lineages.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use prost::Message as _;

use super::state::{Conversations, IndexState, LineageState, open_local};
use super::unpublished::{UnpublishedHead, must_be_there};
use crate::error::EngineError;
use crate::format::index::ROW_BYTES;
use crate::format::names;
use crate::ids::{ChunkId, LineageId, ObjectHash};
use crate::keys::ReaderKeys;
use crate::ledger::{Change, Space};
use crate::packer::{PackRecord, Packer, rows_of};
use crate::proto;
use crate::prune::GRACE_MS;
use crate::repository::Repository;
use crate::store::{Store, StoreError};

/// After so many grace times a mark is looked at no more.
const MARK_WAITS: i64 = 10;

/// What a run begins from.
pub(crate) struct Base {
    pub(crate) state: LineageState,
    /// By conversation key.
    pub(crate) conversations: BTreeMap<Vec<u8>, proto::ConversationEntry>,
    /// Trees that must be written even if the source does not touch them: merged ones of a device that joins.
    pub(crate) dirty: BTreeMap<Vec<u8>, proto::ConversationTree>,
    /// The prune marks that were there when the run began.
    pub(crate) marks: BTreeSet<String>,
}

impl Base {
    pub(crate) fn lineage(&self) -> LineageId {
        self.state.lineage()
    }
}

pub(crate) fn load(
    packer: &Packer<'_>,
    store: &Arc<dyn Store>,
    reader: Option<&Arc<dyn ReaderKeys>>,
    now_ms: i64,
) -> Result<Base, EngineError> {
    let known = LineageState::load(packer.ledger)?;
    let base = match known {
        Some(state) if is_overtaken(store.as_ref(), &state)? => {
            if reader.is_none() {
                return Err(EngineError::Overtaken);
            }
            // What it says is stored may be long gone.
            if !packer.is_dry_run() {
                packer.ledger.clear()?;
            }
            begin_lineage(packer, store, reader, now_ms)?
        }
        Some(state) => {
            go_on(packer, store.as_ref(), &state)?;
            let conversations = packer
                .ledger
                .get(Space::State, b"conversations")?
                .and_then(|sealed| open_local(&packer.ids, &sealed))
                .and_then(|bytes| Conversations::decode(bytes.as_slice()).ok())
                .ok_or(EngineError::UnlockNeeded)?;
            let conversations = conversations
                .entries
                .into_iter()
                .map(|entry| (entry.key.clone(), entry))
                .collect();
            Base {
                state,
                conversations,
                dirty: BTreeMap::new(),
                marks: BTreeSet::new(),
            }
        }
        None => begin_lineage(packer, store, reader, now_ms)?,
    };
    heed_prune_marks(packer, store.as_ref(), base, now_ms)
}

/// Whether the store has heads of this lineage that the ledger does not know: it was put back from a copy of this
/// computer, or taken to another one, and there the lineage went on. Two heads of one number would stop every reader.
fn is_overtaken(store: &dyn Store, state: &LineageState) -> Result<bool, EngineError> {
    let lineage = state.lineage();
    let listed = store.list(&format!("heads/{lineage}/"))?;
    Ok(listed
        .iter()
        .any(|listed| match names::Name::parse(&listed.name) {
            Some(names::Name::Head(of, sequence, hash)) => {
                of == lineage
                    && (sequence > state.sequence
                        || sequence == state.sequence && hash.0 != state.head.as_slice())
            }
            _ => false,
        }))
}

/// Publishes what a killed run left unpublished, and refuses a store that was put back to an older copy: it has no longer
/// what the ledger says is stored, and what a run wrote that trusted the ledger would lead nowhere.
fn go_on(packer: &Packer<'_>, store: &dyn Store, state: &LineageState) -> Result<(), EngineError> {
    if let Some(unpublished) = UnpublishedHead::load(packer.ledger)? {
        unpublished.follows(store)?;
        return if packer.is_dry_run() {
            Ok(())
        } else {
            unpublished.publish(packer)
        };
    }
    let Some(head) = ObjectHash::from_slice(&state.head) else {
        return Ok(());
    };
    must_be_there(store, &names::head(&state.lineage(), state.sequence, &head))
}

/// The first run of a device, or of one whose lineage went on without it: a new lineage, which takes over what the others
/// hold.
fn begin_lineage(
    packer: &Packer<'_>,
    store: &Arc<dyn Store>,
    reader: Option<&Arc<dyn ReaderKeys>>,
    _now_ms: i64,
) -> Result<Base, EngineError> {
    let state = LineageState {
        lineage: packer.random::<16>().to_vec(),
        oldest: 1,
        ..LineageState::default()
    };
    let mut base = Base {
        state,
        conversations: BTreeMap::new(),
        dirty: BTreeMap::new(),
        marks: BTreeSet::new(),
    };
    if store.list("heads/")?.is_empty() {
        return Ok(base);
    }
    let reader = reader.ok_or(EngineError::UnlockNeeded)?;
    // What an interrupted first run stored stays known: those packs are listed by no index yet.
    let repository = Repository::open(Arc::clone(store), Arc::clone(reader), None)?;
    rebuild_ledger(packer, &repository, &mut base)?;
    Ok(base)
}

fn rebuild_ledger(
    packer: &Packer<'_>,
    repository: &Repository,
    base: &mut Base,
) -> Result<(), EngineError> {
    for (hash, bytes, index) in repository.index_objects()? {
        let mut changes: Vec<Change> = Vec::new();
        let mut records: Vec<PackRecord> = index
            .packs
            .iter()
            .map(|pack| PackRecord {
                index: hash.0.to_vec(),
                bytes: pack.bytes,
                salt: pack.salt.clone(),
                commitment: pack.commitment.clone(),
                payload_end: pack.payload_end,
                next: pack.next.clone(),
                sealed_run_key: usize::try_from(pack.run_key)
                    .ok()
                    .and_then(|at| index.run_keys.get(at))
                    .cloned()
                    .unwrap_or_default(),
                rows: Vec::new(),
            })
            .collect();
        let mut rows = 0;
        for bytes in index.rows.as_chunks::<ROW_BYTES>().0 {
            let Some(mut row) = crate::format::index::Row::parse(bytes) else {
                continue;
            };
            let Some(at) = usize::try_from(row.pack)
                .ok()
                .filter(|at| *at < records.len())
            else {
                continue;
            };
            row.pack = 0;
            row.write(&mut records[at].rows);
            changes.push((
                Space::Chunk,
                row.id.to_vec(),
                index.packs[at].hash.get(..16).map(<[u8]>::to_vec),
            ));
            rows += 1;
        }
        for (pack, record) in index.packs.iter().zip(&records) {
            changes.push((Space::Pack, pack.hash.clone(), Some(record.encode_to_vec())));
        }
        packer.ledger.apply(changes)?;
        base.state.indexes.push(IndexState {
            hash: hash.0.to_vec(),
            bytes,
            rows,
        });
    }
    // Largest first: that is the order in which they are merged.
    base.state
        .indexes
        .sort_by(|a, b| b.rows.cmp(&a.rows).then_with(|| a.hash.cmp(&b.hash)));

    let mut snapshots: Vec<_> = repository.newest_snapshots().iter().collect();
    snapshots.sort_by_key(|snapshot| snapshot.message.created_at);
    super::notes::take_over(packer, repository, &snapshots, &mut base.state)?;
    for snapshot in repository.newest_snapshots() {
        base.state.merged.push(snapshot.hash.0.to_vec());
        let taken_ms = snapshot.message.created_at;
        base.state.created_at = base.state.created_at.max(taken_ms);
        base.state.clock_ms = base.state.clock_ms.max(taken_ms);
        for participants in &snapshot.message.participants {
            if !base.state.participants.contains(participants) {
                base.state.participants.push(participants.clone());
            }
        }
        for entry in &snapshot.message.conversations {
            let tree = repository.tree(entry)?;
            // A clock that was ahead once may have gone back since: what it wrote is still there.
            let added_ms = tree.segments.iter().map(|segment| segment.added_at).max();
            base.state.created_at = base.state.created_at.max(added_ms.unwrap_or(i64::MIN));
            match base.conversations.get(&entry.key) {
                None => {
                    base.conversations.insert(entry.key.clone(), entry.clone());
                    remember_tree(packer, &entry.key, &tree)?;
                }
                Some(known) if known.tree == entry.tree => {}
                Some(known) => {
                    let mut union = match base.dirty.remove(&entry.key) {
                        Some(union) => union,
                        None => repository.tree(known)?,
                    };
                    union.segments.extend(tree.segments);
                    super::trees::put_in_order(&mut union.segments);
                    remember_tree(packer, &entry.key, &union)?;
                    base.dirty.insert(entry.key.clone(), union);
                }
            }
        }
    }
    Ok(())
}

fn remember_tree(
    packer: &Packer<'_>,
    key: &[u8],
    tree: &proto::ConversationTree,
) -> Result<(), EngineError> {
    let mut changes = vec![super::trees::ledger_change(key, tree)];
    for segment in &tree.segments {
        // Of its messages nothing is known yet, but that it need not be made again.
        let Some(id) = ChunkId::from_slice(&segment.id) else {
            continue;
        };
        if packer.ledger.get(Space::Segment, &id.short())?.is_none() {
            let filter = segment.filter.clone();
            changes.push((Space::Segment, id.short().to_vec(), Some(filter)));
        }
    }
    packer.ledger.apply(changes)
}

/// Forgets what a prune is about to delete, so that nothing new refers to it.
///
/// What is stored already may refer to it still: by a backup that began before the mark, or because the mark is forged,
/// which a device that cannot read does not see. So the index goes on listing a marked pack until the pack is gone.
fn heed_prune_marks(
    packer: &Packer<'_>,
    store: &dyn Store,
    mut base: Base,
    now_ms: i64,
) -> Result<Base, EngineError> {
    for listed in store.list("prune/")? {
        base.marks.insert(listed.name.clone());
        if base.state.heeded.contains(&listed.name) {
            continue;
        }
        let Some(mark) = read_mark(store, &listed.name) else {
            continue;
        };
        let age = now_ms.saturating_sub(mark.created_at);
        let mut waits = false;
        for object in &mark.objects {
            let Some(names::Name::Pack(hash)) = names::Name::parse(object) else {
                continue;
            };
            if packer.ledger.get(Space::Pack, &hash.0)?.is_none() {
                continue;
            }
            let gone =
                age >= GRACE_MS && matches!(store.stat(object), Err(StoreError::NotFound { .. }));
            forget_pack(packer, &hash, gone)?;
            waits |= !gone;
        }
        // A pack that is still there so late is needed by something, and stays.
        if !waits || age >= MARK_WAITS * GRACE_MS {
            base.state.heeded.push(listed.name);
        }
    }
    Ok(base)
}

/// A forged mark costs an upload, nothing else, so that it need not be verified here.
fn read_mark(store: &dyn Store, name: &str) -> Option<proto::PruneMark> {
    let bytes = store.get(name, crate::format::MAX_OBJECT_BYTES).ok()?;
    proto::PruneMark::decode(bytes.as_slice()).ok()
}

/// Refuses to publish what leads to something that a prune has deleted since the run began, or may delete at any moment:
/// a computer can sleep for days in the middle of a run. The ledger forgets it, so that the next run stores it again.
pub(crate) fn refuse_swept(
    packer: &Packer<'_>,
    base: &Base,
    now_ms: i64,
) -> Result<(), EngineError> {
    let mut swept = false;
    for listed in packer.store.list("prune/")? {
        if base.marks.contains(&listed.name) {
            continue;
        }
        let Some(mark) = read_mark(packer.store, &listed.name) else {
            continue;
        };
        let over = now_ms.saturating_sub(mark.created_at) >= GRACE_MS;
        for object in &mark.objects {
            let gone = || matches!(packer.store.stat(object), Err(StoreError::NotFound { .. }));
            match names::Name::parse(object) {
                Some(names::Name::Pack(hash)) => {
                    if packer.ledger.get(Space::Pack, &hash.0)?.is_none() {
                        continue;
                    }
                    let gone = gone();
                    if gone || over {
                        swept |= forget_pack(packer, &hash, gone)?;
                    }
                }
                // One of another lineage, that this device has taken over.
                Some(names::Name::Index(hash)) => {
                    let used = base.state.indexes.iter().any(|index| index.hash == hash.0);
                    swept |= used && (over || gone());
                }
                _ => {}
            }
        }
    }
    if swept {
        Err(EngineError::Swept)
    } else {
        Ok(())
    }
}

/// Forgets the packs that the store has lost, so that what they held is stored again where the source still has it.
pub(crate) fn forget_lost(packer: &Packer<'_>, base: &mut Base) -> Result<(), EngineError> {
    let there: HashMap<ObjectHash, u64> = packer
        .store
        .list("packs/")?
        .into_iter()
        .filter_map(|listed| match names::Name::parse(&listed.name) {
            Some(names::Name::Pack(hash)) => Some((hash, listed.bytes)),
            _ => None,
        })
        .collect();
    let mut lost: HashSet<ObjectHash> = HashSet::new();
    let mut going_on: Vec<(ObjectHash, PackRecord)> = Vec::new();
    let mut listing: HashSet<Vec<u8>> = HashSet::new();
    let decoded = |value: &[u8]| {
        PackRecord::decode(value).map_err(|error| EngineError::Ledger(error.to_string()))
    };
    packer.ledger.each(Space::Pack, &mut |hash, value| {
        let Some(hash) = ObjectHash::from_slice(hash) else {
            return Ok(());
        };
        let record = decoded(value)?;
        if there.get(&hash) != Some(&u64::from(record.bytes)) {
            lost.insert(hash);
            listing.insert(record.index);
        } else if !record.next.is_empty() {
            going_on.push((hash, record));
        }
        Ok(())
    })?;
    if lost.is_empty() {
        return Ok(());
    }
    for hash in &lost {
        forget_pack(packer, hash, true)?;
    }
    // Entries that begin in a pack that is there and end in one that is not.
    let mut broken = lost;
    loop {
        let more = going_on.iter().position(|(_, record)| {
            ObjectHash::from_slice(&record.next).is_some_and(|next| broken.contains(&next))
        });
        let Some(at) = more else { break };
        let (hash, record) = going_on.swap_remove(at);
        let cut = |row: &crate::format::index::Row| {
            u64::from(row.offset) + u64::from(row.sealed_len) > u64::from(record.payload_end)
        };
        let changes: Vec<Change> = rows_of(&record)
            .filter(cut)
            .map(|row| (Space::Chunk, row.id.to_vec(), None))
            .collect();
        if changes.is_empty() {
            broken.insert(hash);
        }
        packer.ledger.apply(changes)?;
    }
    // Readers must not be led to them: the other packs of those indexes are listed anew.
    let mut changes: Vec<Change> = Vec::new();
    packer.ledger.each(Space::Pack, &mut |hash, value| {
        let mut record = decoded(value)?;
        if listing.contains(&record.index) {
            record.index.clear();
            changes.push((Space::Pack, hash.to_vec(), Some(record.encode_to_vec())));
        }
        Ok(())
    })?;
    changes.push(super::mark::forgot(packer)?);
    packer.ledger.apply(changes)?;
    let state = &mut base.state;
    state.indexes.retain(|index| !listing.contains(&index.hash));
    let mut notes = Vec::new();
    for note in std::mem::take(&mut state.notes) {
        let chunks = note.note.iter().flat_map(|note| &note.chunks);
        let mut whole = true;
        for id in chunks.filter_map(|id| ChunkId::from_slice(id)) {
            whole &= packer.is_stored(&id.short())?;
        }
        if whole {
            notes.push(note);
        }
    }
    state.notes = notes;
    Ok(())
}

/// Forgets that its chunks are stored; once it is gone, forgets the pack itself. Whether it held something.
fn forget_pack(packer: &Packer<'_>, hash: &ObjectHash, gone: bool) -> Result<bool, EngineError> {
    let Some(record) = packer.ledger.get(Space::Pack, &hash.0)? else {
        return Ok(false);
    };
    let record = PackRecord::decode(record.as_slice()).unwrap_or_default();
    let mut changes: Vec<Change> = Vec::new();
    if gone {
        changes.push((Space::Pack, hash.0.to_vec(), None));
    }
    for row in rows_of(&record) {
        let here = packer
            .ledger
            .get(Space::Chunk, &row.id)?
            .is_some_and(|pack| pack == hash.0[..16]);
        if here {
            changes.push((Space::Chunk, row.id.to_vec(), None));
        }
    }
    let held = changes.iter().any(|(space, _, _)| *space == Space::Chunk);
    if held {
        changes.push(super::mark::forgot(packer)?);
    }
    packer.ledger.apply(changes)?;
    Ok(held)
}
