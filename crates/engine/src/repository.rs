//! The repository as a reader sees it: heads first, then the snapshots that they name, then what those need.

mod fetch;
mod index;
mod load;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Damage, EngineError};
use crate::format::index::Row;
use crate::format::names::{self, Name};
use crate::ids::{ChunkId, LineageId, ObjectHash};
use crate::keys::{IdKeys, ReaderKeys};
use crate::marks::Marks;
use crate::proto;
use crate::store::Store;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fetch::header_len;
pub(crate) use fetch::{Fetcher, open_entry};
pub(crate) use index::{IndexTable, PackPlace};
pub use view::{Selection, View};

/// What a device remembers of the repository, to notice when it is shown an older one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The newest head of each lineage.
    pub heads: Vec<SeenHead>,
}

/// A head that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenHead {
    /// In hexadecimal.
    pub lineage: String,
    /// Its number.
    pub sequence: u64,
    /// In hexadecimal.
    pub hash: String,
}

/// A snapshot with its hash.
#[derive(Debug, Clone)]
pub(crate) struct LoadedSnapshot {
    pub(crate) hash: ObjectHash,
    pub(crate) message: proto::Snapshot,
}

/// A head with its hash.
#[derive(Debug, Clone)]
pub(crate) struct LoadedHead {
    pub(crate) hash: ObjectHash,
    pub(crate) lineage: LineageId,
    pub(crate) message: proto::Head,
}

/// What a list of snapshots shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// In hexadecimal.
    pub hash: String,
    /// In hexadecimal.
    pub lineage: String,
    /// Its number in the lineage.
    pub sequence: u64,
    /// Milliseconds since 1970, UTC.
    pub created_at: i64,
    /// When a run last found it current: later than `created_at` when nothing had changed since.
    pub confirmed_at: i64,
    /// For people.
    pub device_name: String,
    /// The source's app, form and label.
    pub source: (String, String, String),
    /// Conversations, messages, attachments that it holds.
    pub totals: (u64, u64, u64),
    /// What the run added: conversations, messages, attachments.
    pub added: (u64, u64, u64),
    /// Bytes of the packs that the run added.
    pub stored_bytes: u64,
    /// Whether it is the newest of its lineage.
    pub newest: bool,
}

/// An opened repository. Shared by workers.
pub struct Repository {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) reader: Arc<dyn ReaderKeys>,
    pub(crate) ids: IdKeys,
    pub(crate) heads: Vec<LoadedHead>,
    pub(crate) snapshots: Vec<LoadedSnapshot>,
    pub(crate) index: IndexTable,
    pub(crate) fetcher: Fetcher,
    /// What could not be opened, where that is allowed.
    damage: Vec<EngineError>,
}

/// Keeps an error that speaks of damage where damage is allowed, else gives it back.
fn note(damage: &mut Option<&mut Vec<EngineError>>, error: EngineError) -> Result<(), EngineError> {
    let allowed = matches!(
        error,
        EngineError::Damaged { .. }
            | EngineError::KeyMissing { .. }
            | EngineError::Forked { .. }
            | EngineError::Rollback { .. }
    );
    match damage {
        Some(list) if allowed => {
            list.push(error);
            Ok(())
        }
        _ => Err(error),
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repository")
            .field("lineages", &self.heads.len())
            .finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens the newest snapshot of every lineage.
    ///
    /// Cost: one listing, and for each lineage a head and a snapshot, and the index objects that they name. Nothing is
    /// taken that no authenticated head reaches. With `seen`, an older, forked or missing head is an error; without it
    /// nobody can tell, and the caller should say what was found.
    pub fn open(
        store: Arc<dyn Store>,
        reader: Arc<dyn ReaderKeys>,
        seen: Option<&Seen>,
    ) -> Result<Self, EngineError> {
        Self::open_with(store, reader, seen, None)
    }

    /// Opens what can be opened of a damaged repository: of each lineage the newest snapshot that is whole. For `check`,
    /// and for reading an older snapshot on purpose.
    pub fn open_damaged(
        store: Arc<dyn Store>,
        reader: Arc<dyn ReaderKeys>,
        seen: Option<&Seen>,
    ) -> Result<Self, EngineError> {
        let mut damage = Vec::new();
        let mut repository = Self::open_with(store, reader, seen, Some(&mut damage))?;
        repository.damage = damage;
        Ok(repository)
    }

    /// What [`Self::open_damaged`] could not open.
    pub fn damage(&self) -> &[EngineError] {
        &self.damage
    }

    fn open_with(
        store: Arc<dyn Store>,
        reader: Arc<dyn ReaderKeys>,
        seen: Option<&Seen>,
        mut damage: Option<&mut Vec<EngineError>>,
    ) -> Result<Self, EngineError> {
        let fetcher = Fetcher::new(Arc::clone(&store));
        let listed = fetcher.list("heads/")?;
        let mut by_lineage: BTreeMap<LineageId, Vec<(u64, ObjectHash)>> = BTreeMap::new();
        for object in &listed {
            if let Some(Name::Head(lineage, sequence, hash)) = Name::parse(&object.name) {
                by_lineage
                    .entry(lineage)
                    .or_default()
                    .push((sequence, hash));
            }
        }
        if let Some(seen) = seen {
            load::compare_with_seen(&by_lineage, seen)?;
        }
        if by_lineage.is_empty() {
            return Err(EngineError::NoBackup);
        }
        let ids = IdKeys::new(reader.chunk_id_key());
        let mut repository = Self {
            store,
            reader,
            ids,
            heads: Vec::new(),
            snapshots: Vec::new(),
            index: IndexTable::default(),
            fetcher,
            damage: Vec::new(),
        };
        for (lineage, mut heads) in by_lineage {
            heads.sort_unstable();
            let (newest, _) = *heads.last().ok_or(EngineError::NoBackup)?;
            if heads.iter().filter(|(other, _)| *other == newest).count() > 1 {
                let forked = EngineError::Forked {
                    what: format!("lineage {lineage} has two heads with number {newest}"),
                };
                note(&mut damage, forked)?;
            }
            for (sequence, hash) in heads.iter().rev() {
                match repository.load_lineage(&lineage, *sequence, hash) {
                    Ok((head, snapshot)) => {
                        if let Some(seen) = seen {
                            load::check_seen_is_kept(seen, &head, &heads, || {
                                Marks::load(&repository)
                            })?;
                        }
                        repository.heads.push(head);
                        repository.snapshots.extend(snapshot);
                        break;
                    }
                    Err(error) => note(&mut damage, error)?,
                }
            }
        }
        let mut wanted: Vec<proto::ObjectRef> = Vec::new();
        for snapshot in &repository.snapshots {
            for index in &snapshot.message.indexes {
                if !wanted.contains(index) {
                    wanted.push(index.clone());
                }
            }
        }
        for index in wanted {
            let hash = ObjectHash::from_slice(&index.hash)
                .ok_or_else(|| EngineError::damaged("index", Damage::Malformed))?;
            let added = repository.load_index(&hash).and_then(|index| {
                let name = || names::index(&hash);
                repository
                    .index
                    .add(hash, index)
                    .map_err(|damage| EngineError::damaged(name(), damage))
            });
            if let Err(error) = added {
                note(&mut damage, error)?;
            }
        }
        // Within a lineage the newest index is right; one of another device may still list what was stored again elsewhere.
        if repository.heads.len() > 1 && repository.index.is_contested() {
            let marks = Marks::load(&repository)?;
            repository
                .index
                .avoid(|pack| marks.marked_at(&names::pack(pack)).is_some());
        }
        Ok(repository)
    }

    /// A head, and its snapshot unless another lineage has brought it already.
    fn load_lineage(
        &self,
        lineage: &LineageId,
        sequence: u64,
        hash: &ObjectHash,
    ) -> Result<(LoadedHead, Option<LoadedSnapshot>), EngineError> {
        let head = self.load_head(lineage, sequence, hash)?;
        // The head is signed: it proves that a newer keyring was there than the store shows, even to who has seen neither.
        let (known, shown) = (head.message.keyring_number, self.reader.keyring_number());
        if known > shown {
            return Err(EngineError::Rollback {
                what: format!(
                    "the newest backup was made with keyring {known}, and the store shows keyring {shown}"
                ),
            });
        }
        let reference = head.message.snapshot.clone().unwrap_or_default();
        let snapshot = ObjectHash::from_slice(&reference.hash).ok_or_else(|| {
            EngineError::damaged(names::head(lineage, sequence, hash), Damage::Malformed)
        })?;
        if self.snapshots.iter().any(|known| known.hash == snapshot) {
            return Ok((head, None));
        }
        let snapshot = self.load_snapshot(&snapshot)?;
        Ok((head, Some(snapshot)))
    }

    /// What to remember, so that an older state is noticed next time.
    pub fn seen(&self) -> Seen {
        let mut heads: Vec<SeenHead> = self
            .heads
            .iter()
            .map(|head| SeenHead {
                lineage: head.lineage.to_string(),
                sequence: head.message.sequence,
                hash: head.hash.to_string(),
            })
            .collect();
        heads.sort_by(|a, b| a.lineage.cmp(&b.lineage));
        Seen { heads }
    }

    /// Store reads and bytes so far.
    pub fn reads(&self) -> (u64, u64) {
        self.fetcher.counts()
    }

    /// All snapshots that are kept, newest first.
    pub fn snapshots(&self) -> Result<Vec<SnapshotInfo>, EngineError> {
        let marks = Marks::load(self)?;
        let mut infos: Vec<SnapshotInfo> = Vec::new();
        for head in &self.heads {
            let mut confirmed: BTreeMap<Vec<u8>, i64> = BTreeMap::new();
            let mut newest = true;
            let chain = self.head_chain(head, &marks)?;
            for (_, message) in &chain {
                let hash = message.snapshot.clone().unwrap_or_default().hash;
                // The newest head's: an older one may have a later time, from a clock that was ahead.
                confirmed.entry(hash).or_insert(message.created_at);
            }
            let mut done: Vec<Vec<u8>> = Vec::new();
            for (_, message) in chain {
                let reference = message.snapshot.unwrap_or_default().hash;
                if done.contains(&reference) {
                    continue;
                }
                let Some(hash) = ObjectHash::from_slice(&reference) else {
                    continue;
                };
                done.push(reference.clone());
                let Some(snapshot) = self.snapshot_unless_pruned(&hash, &marks)? else {
                    continue;
                };
                let confirmed_at = confirmed
                    .get(&reference)
                    .copied()
                    .unwrap_or(snapshot.message.created_at);
                infos.push(load::info(&snapshot, confirmed_at, newest));
                newest = false;
            }
        }
        infos.sort_by(|a, b| {
            b.created_at
                .cmp(&a.created_at)
                .then_with(|| a.hash.cmp(&b.hash))
        });
        Ok(infos)
    }

    /// A readable view of one snapshot, or of the newest ones of all lineages together.
    pub fn view(self: Arc<Self>, selection: &Selection) -> Result<View, EngineError> {
        View::open(self, selection)
    }

    /// Opens a chunk that an authenticated object names.
    pub(crate) fn chunk(&self, id: &ChunkId) -> Result<Vec<u8>, EngineError> {
        let row = self
            .index
            .row(&id.short())
            .ok_or_else(|| EngineError::damaged(format!("a chunk ({id:?})"), Damage::Missing))?;
        self.fetcher
            .chunk(self.reader.as_ref(), &self.ids, &self.index, row, id)
    }

    /// Where an entry's bytes lie: (pack, offset, length), one after the other.
    pub(crate) fn parts(&self, row: &Row) -> Result<Vec<(u32, u32, u32)>, EngineError> {
        Fetcher::parts(&self.index, row)
    }

    /// A snapshot, or `None` when it was pruned.
    pub(crate) fn snapshot_unless_pruned(
        &self,
        hash: &ObjectHash,
        marks: &Marks,
    ) -> Result<Option<LoadedSnapshot>, EngineError> {
        if let Some(known) = self.snapshots.iter().find(|known| known.hash == *hash) {
            return Ok(Some(known.clone()));
        }
        // What is marked is gone, even while it is still there: what it needs may be half deleted.
        if marks.marked_at(&names::snapshot(hash)).is_some() {
            return Ok(None);
        }
        self.load_snapshot(hash).map(Some)
    }

    /// Whether an entry lies in one pack only.
    pub(crate) fn whole_in_pack(&self, row: &Row) -> bool {
        self.index.pack(row.pack).is_ok_and(|place| {
            row.offset
                .checked_add(row.sealed_len)
                .is_some_and(|end| end <= place.payload_end)
        })
    }

    /// Reads a part of a pack in whole blocks: where it begins, and its bytes.
    pub(crate) fn pack_range(
        &self,
        pack: u32,
        offset: u64,
        end: u64,
    ) -> Result<(u64, Vec<u8>), EngineError> {
        let place = self
            .index
            .pack(pack)
            .map_err(|damage| EngineError::damaged("the index", damage))?;
        let (start, end) =
            fetch::aligned(offset, end.saturating_sub(offset), u64::from(place.bytes));
        Ok((start, self.fetcher.range(place, start, end)?))
    }

    /// Opens an entry whose bytes were read already.
    pub(crate) fn open_row(
        &self,
        row: &Row,
        id: &ChunkId,
        sealed: &mut [u8],
    ) -> Result<Vec<u8>, EngineError> {
        let key = self
            .fetcher
            .pack_key(self.reader.as_ref(), &self.index, row.pack)?;
        fetch::open_entry(&key, &self.ids, &self.reader.repository(), row, id, sealed).map_err(
            |damage| {
                let name = self
                    .index
                    .pack(row.pack)
                    .map(|place| names::pack(&place.hash))
                    .unwrap_or_default();
                EngineError::damaged(name, damage)
            },
        )
    }

    pub(crate) fn tree(
        &self,
        entry: &proto::ConversationEntry,
    ) -> Result<proto::ConversationTree, EngineError> {
        let damaged = |damage| EngineError::damaged("a conversation's tree", damage);
        let id = ChunkId::from_slice(&entry.tree).ok_or_else(|| damaged(Damage::Malformed))?;
        proto::decode_canonical(&self.chunk(&id)?).map_err(damaged)
    }

    pub(crate) fn newest_snapshots(&self) -> &[LoadedSnapshot] {
        &self.snapshots
    }

    /// The index objects themselves: for a device that rebuilds its ledger.
    pub(crate) fn index_objects(
        &self,
    ) -> Result<Vec<(ObjectHash, u64, proto::Index)>, EngineError> {
        let mut objects = Vec::new();
        for hash in self.index.objects() {
            let bytes = self.store.stat(&names::index(hash))?;
            objects.push((*hash, bytes, self.load_index(hash)?));
        }
        Ok(objects)
    }
}
