//! `prune`: lets go of snapshots, and then of what only they needed. In two phases: objects are marked first, and deleted
//! by a later prune, so that a backup that runs meanwhile never loses what it has just found stored.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use rand_core::CryptoRng;

use crate::error::EngineError;
use crate::format::names::{self, Name};
use crate::ids::{ChunkId, ObjectHash, ShortId};
use crate::keys::WriterKeys;
use crate::marks::{self, Marks};
use crate::progress::{Amount, Phase, Progress};
use crate::proto;
use crate::repository::{LoadedSnapshot, Repository};

/// Which snapshots stay. The newest of every lineage always does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepRules {
    /// So many of the newest.
    pub last: usize,
    /// The newest of each of so many days (UTC).
    pub daily: usize,
    /// The newest of each of so many weeks.
    pub weekly: usize,
    /// The newest of each of so many months.
    pub monthly: usize,
    /// The newest of each of so many years.
    pub yearly: usize,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Its hash in hexadecimal.
    pub snapshot: String,
    /// When it was made, milliseconds UTC.
    pub created_at: i64,
    /// Whether it stays.
    pub keep: bool,
    /// Why, in words.
    pub why: String,
}

/// What a prune would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrunePlan {
    /// All snapshots, newest first.
    pub snapshots: Vec<Choice>,
    /// Objects that are marked now.
    pub marked_objects: u64,
    /// Objects that are deleted now: they were marked long enough ago.
    pub swept_objects: u64,
    /// Bytes of those that are deleted now.
    pub freed_bytes: u64,
    mark: Vec<String>,
    sweep: Vec<String>,
    now_ms: i64,
}

/// What a prune did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PruneOutcome {
    /// Objects marked.
    pub marked_objects: u64,
    /// Objects deleted.
    pub swept_objects: u64,
    /// Bytes deleted.
    pub freed_bytes: u64,
}

/// Between mark and deletion: longer than any backup runs.
pub const GRACE_MS: i64 = 3 * 24 * 3600 * 1000;

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Finds out what a prune would do. Changes nothing.
///
/// Cost: all kept snapshots and their trees are read, no message and no medium.
pub fn plan(
    repository: &Repository,
    rules: &KeepRules,
    now_ms: i64,
) -> Result<PrunePlan, EngineError> {
    let marks = Marks::load(repository)?;
    let mut choices = Vec::new();
    let mut live: BTreeSet<String> = BTreeSet::new();
    let mut kept: Vec<LoadedSnapshot> = Vec::new();
    for head in &repository.heads {
        let chain = repository.head_chain(head, &marks)?;
        let mut snapshots: Vec<LoadedSnapshot> = Vec::new();
        for (_, message) in &chain {
            let hash = message
                .snapshot
                .as_ref()
                .and_then(|reference| ObjectHash::from_slice(&reference.hash));
            if let Some(hash) = hash
                && !snapshots.iter().any(|known| known.hash == hash)
                && let Some(snapshot) = repository.snapshot_unless_pruned(&hash, &marks)?
            {
                snapshots.push(snapshot);
            }
        }
        let decided = decide(&snapshots, rules);
        let oldest_kept = decided
            .iter()
            .filter(|choice| choice.keep)
            .map(|choice| choice.created_at)
            .min();
        for (choice, snapshot) in decided.iter().zip(snapshots) {
            if choice.keep {
                live.insert(names::snapshot(&snapshot.hash));
                kept.push(snapshot);
            }
        }
        choices.extend(decided);
        for (at, (hash, message)) in chain.iter().enumerate() {
            // The chain stays whole back to the oldest snapshot that is kept.
            if at == 0 || oldest_kept.is_some_and(|oldest| message.created_at >= oldest) {
                live.insert(names::head(&head.lineage, message.sequence, hash));
            }
        }
    }
    live_objects(repository, &kept, &mut live)?;

    let (mut mark, mut sweep, mut freed_bytes) = (Vec::new(), Vec::new(), 0);
    for place in ["packs/", "index/", "snapshots/", "heads/"] {
        for listed in repository.store.list(place)? {
            if live.contains(&listed.name) || Name::parse(&listed.name).is_none() {
                continue;
            }
            match marks.marked_at(&listed.name) {
                Some(at) if now_ms.saturating_sub(at) >= GRACE_MS => {
                    freed_bytes += listed.bytes;
                    sweep.push(listed.name);
                }
                Some(_) => {}
                None => mark.push(listed.name),
            }
        }
    }
    choices.sort_by(|a, b| {
        b.created_at
            .cmp(&a.created_at)
            .then_with(|| a.snapshot.cmp(&b.snapshot))
    });
    let count = |list: &[String]| u64::try_from(list.len()).unwrap_or(u64::MAX);
    Ok(PrunePlan {
        snapshots: choices,
        marked_objects: count(&mark),
        swept_objects: count(&sweep),
        freed_bytes,
        mark,
        sweep,
        now_ms,
    })
}

/// Does what was planned. Marks come first; killed at any point, the next prune goes on.
pub fn apply(
    repository: &Repository,
    plan: PrunePlan,
    keys: &WriterKeys,
    _rng: &mut dyn CryptoRng,
    progress: &dyn Progress,
) -> Result<PruneOutcome, EngineError> {
    let PrunePlan {
        snapshots: _,
        marked_objects,
        swept_objects,
        freed_bytes,
        mark,
        sweep,
        now_ms,
    } = plan;
    if !mark.is_empty() {
        let (name, bytes) = marks::make(mark, keys, now_ms);
        repository.store.put_new(&name, &bytes)?;
    }
    progress.phase(
        Phase::Deleting,
        Some(Amount {
            items: swept_objects,
            bytes: freed_bytes,
        }),
    );
    // Snapshots and heads go before the packs they need: whoever is stopped half-way leaves nothing that cannot be read.
    let (packs, others): (Vec<String>, Vec<String>) = sweep
        .into_iter()
        .partition(|name| name.starts_with("packs/"));
    for name in others.into_iter().chain(packs) {
        if progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        repository.store.delete(&name)?;
        progress.advance(Phase::Deleting, 1, 0);
    }
    Ok(PruneOutcome {
        marked_objects,
        swept_objects,
        freed_bytes,
    })
}

/// The period that a time lies in.
type Period = fn(i64) -> (i64, i64);

/// `snapshots` are those of one lineage, newest first.
fn decide(snapshots: &[LoadedSnapshot], rules: &KeepRules) -> Vec<Choice> {
    let KeepRules {
        last,
        daily,
        weekly,
        monthly,
        yearly,
    } = *rules;
    let periods: [(usize, &str, Period); 4] = [
        (daily, "day", |at| (at.div_euclid(DAY_MS), 0)),
        // 1970-01-01 was a Thursday: weeks begin on Mondays.
        (weekly, "week", |at| {
            ((at.div_euclid(DAY_MS) + 3).div_euclid(7), 0)
        }),
        (monthly, "month", |at| year_and_month(at)),
        (yearly, "year", |at| (year_and_month(at).0, 0)),
    ];
    let mut seen: [BTreeSet<(i64, i64)>; 4] = std::array::from_fn(|_| BTreeSet::new());
    snapshots
        .iter()
        .enumerate()
        .map(|(at, snapshot)| {
            let created_at = snapshot.message.created_at;
            let mut why = Vec::new();
            if at == 0 {
                why.push("newest".to_owned());
            } else if at < last {
                why.push(format!("one of the last {last}"));
            }
            for ((count, name, period), seen) in periods.iter().zip(&mut seen) {
                if seen.len() < *count && seen.insert(period(created_at)) {
                    why.push(format!("newest of its {name}"));
                }
            }
            let keep = !why.is_empty();
            let why = if keep {
                why.join(", ")
            } else {
                "no rule keeps it".to_owned()
            };
            Choice {
                snapshot: snapshot.hash.to_string(),
                created_at,
                keep,
                why,
            }
        })
        .collect()
}

/// Civil year and month of a time in UTC (H. Hinnant, "chrono-compatible low-level date algorithms").
fn year_and_month(at_ms: i64) -> (i64, i64) {
    let days = at_ms.div_euclid(DAY_MS) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// Adds what the kept snapshots need: index objects, and the packs that hold their chunks.
fn live_objects(
    repository: &Repository,
    kept: &[LoadedSnapshot],
    live: &mut BTreeSet<String>,
) -> Result<(), EngineError> {
    let mut chunks: HashSet<ShortId> = HashSet::new();
    let mut trees: BTreeMap<Vec<u8>, proto::ConversationEntry> = BTreeMap::new();
    for snapshot in kept {
        for index in &snapshot.message.indexes {
            if let Some(hash) = ObjectHash::from_slice(&index.hash) {
                live.insert(names::index(&hash));
            }
        }
        let notes = &snapshot.message.notes;
        let others = notes.iter().flat_map(|note| &note.chunks);
        chunks.extend(
            snapshot
                .message
                .participants
                .iter()
                .chain(others)
                .filter_map(|id| ChunkId::from_slice(id))
                .map(|id| id.short()),
        );
        for entry in &snapshot.message.conversations {
            trees
                .entry(entry.tree.clone())
                .or_insert_with(|| entry.clone());
        }
    }
    for (id, entry) in &trees {
        chunks.extend(ChunkId::from_slice(id).map(|id| id.short()));
        for segment in repository.tree(entry)?.segments {
            chunks.extend(ChunkId::from_slice(&segment.id).map(|id| id.short()));
            chunks.extend(ChunkId::from_slice(&segment.filter).map(|id| id.short()));
            chunks.extend(segment.contents.as_chunks::<16>().0.iter().copied());
        }
    }
    for row in repository.index.rows() {
        if chunks.contains(&row.id) {
            for (pack, _, _) in repository.parts(row)? {
                if let Ok(place) = repository.index.pack(pack) {
                    live.insert(names::pack(&place.hash));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_and_years_are_those_of_the_calendar() {
        assert_eq!(year_and_month(0), (1970, 1));
        assert_eq!(year_and_month(951_782_400_000), (2000, 2)); // 2000-02-29
        assert_eq!(year_and_month(951_868_800_000), (2000, 3)); // 2000-03-01
        assert_eq!(year_and_month(1_798_761_599_000), (2026, 12)); // 2026-12-31
        assert_eq!(year_and_month(-1), (1969, 12));
    }

    fn snapshot(day: i64, hour: i64) -> LoadedSnapshot {
        let message = proto::Snapshot {
            created_at: day * DAY_MS + hour * 3_600_000,
            ..proto::Snapshot::default()
        };
        LoadedSnapshot {
            hash: ObjectHash([u8::try_from(day % 251).unwrap(); 32]),
            message,
        }
    }

    #[test]
    fn rules_keep_the_newest_of_each_period_and_always_the_newest() {
        let snapshots: Vec<_> = (0..100)
            .rev()
            .flat_map(|day| [snapshot(20_000 + day, 20), snapshot(20_000 + day, 3)])
            .collect();
        let kept = |rules: KeepRules| {
            decide(&snapshots, &rules)
                .iter()
                .filter(|choice| choice.keep)
                .count()
        };
        assert_eq!(kept(KeepRules::default()), 1);
        assert_eq!(
            kept(KeepRules {
                last: 5,
                ..KeepRules::default()
            }),
            5
        );
        assert_eq!(
            kept(KeepRules {
                daily: 7,
                ..KeepRules::default()
            }),
            7
        );
        assert_eq!(
            kept(KeepRules {
                weekly: 3,
                ..KeepRules::default()
            }),
            3
        );
        assert_eq!(
            kept(KeepRules {
                daily: 7,
                weekly: 4,
                ..KeepRules::default()
            }),
            7 + 4 - 2
        );
        let daily = decide(
            &snapshots,
            &KeepRules {
                daily: 2,
                ..KeepRules::default()
            },
        );
        assert!(daily[0].keep && !daily[1].keep && daily[2].keep && !daily[3].keep);
    }
}
