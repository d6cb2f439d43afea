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
        let decided = decide(&snapshots, rules, now_ms);
        let kept_here: HashSet<&str> = decided
            .iter()
            .filter(|choice| choice.keep)
            .map(|choice| choice.snapshot.as_str())
            .collect();
        // By place in the chain: times can be wrong.
        let oldest_kept = chain.iter().rposition(|(_, message)| {
            let hash = message
                .snapshot
                .as_ref()
                .and_then(|reference| ObjectHash::from_slice(&reference.hash));
            hash.is_some_and(|hash| kept_here.contains(hash.to_string().as_str()))
        });
        for (choice, snapshot) in decided.iter().zip(snapshots) {
            if choice.keep {
                live.insert(names::snapshot(&snapshot.hash));
                kept.push(snapshot);
            }
        }
        choices.extend(decided);
        for (at, (hash, message)) in chain.iter().enumerate() {
            // The chain stays whole back to the oldest snapshot that is kept.
            if at == 0 || oldest_kept.is_some_and(|oldest| at <= oldest) {
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
///
/// One whose time cannot be right takes no other's place: it is kept as long as a rule wants its period, and counts for
/// none. So neither a clock that was wrong at a backup nor one that is wrong now lets go of what a right one would keep.
fn decide(snapshots: &[LoadedSnapshot], rules: &KeepRules, now_ms: i64) -> Vec<Choice> {
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
    let times: Vec<i64> = snapshots
        .iter()
        .map(|snapshot| snapshot.message.created_at)
        .collect();
    let in_order = in_order(&times);
    snapshots
        .iter()
        .enumerate()
        .map(|(at, snapshot)| {
            let created_at = snapshot.message.created_at;
            let counts = in_order.contains(&at) && created_at <= now_ms.saturating_add(DAY_MS);
            let mut why = Vec::new();
            if at == 0 {
                why.push("newest".to_owned());
            } else if at < last {
                why.push(format!("one of the last {last}"));
            }
            for ((count, name, period), seen) in periods.iter().zip(&mut seen) {
                let period = period(created_at);
                if seen.len() < *count && !seen.contains(&period) {
                    if counts {
                        seen.insert(period);
                    }
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

/// Which of these times, newest snapshot first, form the longest row that never goes up: the others are from clocks that
/// were wrong. Of two rows of one length the one with the earlier times.
fn in_order(times: &[i64]) -> BTreeSet<usize> {
    // From the oldest on: where the best row of each length ends, and what stands before each in its row.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, time) in times.iter().enumerate().rev() {
        let length = ends.partition_point(|end| times.get(*end).is_some_and(|end| end <= time));
        if let Some(previous) = length.checked_sub(1).and_then(|last| ends.get(last)) {
            before.insert(at, *previous);
        }
        match ends.get_mut(length) {
            Some(end) => *end = at,
            None => ends.push(at),
        }
    }
    std::iter::successors(ends.last().copied(), |at| before.get(at).copied()).collect()
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
            decide(&snapshots, &rules, i64::MAX)
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
            i64::MAX,
        );
        assert!(daily[0].keep && !daily[1].keep && daily[2].keep && !daily[3].keep);
    }

    /// The days of the snapshots that are kept, newest first.
    fn kept_days(days: &[i64], today: i64) -> Vec<i64> {
        let snapshots: Vec<_> = days.iter().map(|day| snapshot(*day, 3)).collect();
        let rules = KeepRules {
            daily: 3,
            ..KeepRules::default()
        };
        let choices = decide(&snapshots, &rules, today * DAY_MS + DAY_MS / 2);
        let kept = choices.iter().filter(|choice| choice.keep);
        kept.map(|choice| choice.created_at / DAY_MS).collect()
    }

    #[test]
    fn a_snapshot_from_a_clock_that_was_wrong_takes_no_others_place() {
        // In the middle, ahead of today, or of a day that has come meanwhile.
        assert_eq!(
            kept_days(&[20_005, 20_004, 47_000, 20_003, 20_002], 20_005),
            [20_005, 20_004, 47_000, 20_003]
        );
        assert_eq!(
            kept_days(&[20_005, 20_004, 20_020, 20_003, 20_002], 20_100),
            [20_005, 20_004, 20_020, 20_003]
        );
        // The rule's window has passed it.
        assert_eq!(
            kept_days(&[20_005, 20_004, 20_003, 47_000, 20_002], 20_005),
            [20_005, 20_004, 20_003]
        );
        // It is the newest one.
        assert_eq!(
            kept_days(&[47_000, 20_004, 20_003, 20_002, 20_001], 20_005),
            [47_000, 20_004, 20_003, 20_002]
        );
        // A clock that began at 1970.
        assert_eq!(
            kept_days(&[20_005, 20_004, 3, 20_003, 20_002], 20_005),
            [20_005, 20_004, 3, 20_003]
        );
        assert_eq!(kept_days(&[3, 20_001], 20_001), [3, 20_001]);
    }

    #[test]
    fn a_prune_whose_own_clock_is_wrong_lets_go_of_nothing_too_much() {
        let days = [20_005, 20_004, 20_003, 20_002, 20_001];
        assert_eq!(kept_days(&days, 3), days);
        assert_eq!(kept_days(&days, 47_000), [20_005, 20_004, 20_003]);
    }

    #[test]
    fn the_longest_row_of_times_is_found() {
        let places = |times: &[i64]| in_order(times).into_iter().collect::<Vec<_>>();
        assert_eq!(places(&[]), [0; 0]);
        assert_eq!(places(&[5]), [0]);
        assert_eq!(places(&[5, 5, 4]), [0, 1, 2]);
        assert_eq!(places(&[6, 9, 5]), [0, 2]);
        assert_eq!(places(&[9, 1, 8, 7]), [0, 2, 3]);
        assert_eq!(places(&[3, 2, 1, 9, 8, 7, 6]), [3, 4, 5, 6]);
    }
}
