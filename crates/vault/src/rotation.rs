//! Wraps what lies under an old wrapping key anew, a few records at a time, while the vault answers.
//!
//! It remembers nothing on the disk: killed anywhere, it begins its walk again, and what was done stays done.
//! The old key goes when a whole walk met nothing that needs it, and had begun so long after the new key came
//! that nothing sealed before can still be on its way to the database.

use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::RecordName;

use crate::keys::{KeysError, Place, ServerKeys};
use crate::refusal::Refusal;
use crate::store::operator::{self, Column, SealedRecord};
use crate::vault::{SESSION, Vault, of_version};

/// Longer than any request lives.
pub(crate) const SETTLE_MS: u64 = 10 * 60_000;

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// There is one wrapping key, and nothing to do.
    Idle,
    /// Some records were looked at; there are more.
    More,
    /// All were looked at. Old values may come for a while yet, or some open under no key at all.
    Waits,
    /// The old key was destroyed.
    Retired,
}

/// How far it got, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Values that were wrapped anew by this process.
    pub(crate) wrapped: u64,
    /// Values that no key opens: they keep the old key.
    pub(crate) unreadable: u64,
}

/// The walk.
#[derive(Debug, Default)]
pub(crate) struct Rotation(Mutex<Walk>);

#[derive(Debug, Default)]
struct Walk {
    after: Option<RecordName>,
    /// When two keys were first seen, and when this walk began.
    since: Option<u64>,
    began: u64,
    /// What this walk met that is not under the newest key.
    met: u64,
    unreadable: u64,
    progress: Progress,
}

impl Rotation {
    pub(crate) fn progress(&self) -> Progress {
        let walk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        walk.progress
    }

    /// Looks at up to 50 records. `uptime_ms` is of a clock that nobody sets. One caller at a time.
    pub(crate) async fn step(&self, vault: &Vault, uptime_ms: u64) -> Result<Step, Refusal> {
        if vault.with_keys(|keys| Ok(keys.wrapping_keys())).await? < 2 {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Walk {
                progress: self.progress(),
                ..Walk::default()
            };
            return Ok(Step::Idle);
        }
        let after = {
            let mut walk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            walk.since.get_or_insert(uptime_ms);
            if walk.after.is_none() {
                (walk.began, walk.met, walk.unreadable) = (uptime_ms, 0, 0);
            }
            walk.after
        };
        let page = vault
            .run(move |sql| operator::sealed(sql, after.as_ref()))
            .await?;
        let last = page.last().map(|record| record.name);
        let (mut met, mut unreadable) = (0, 0);
        let wrap = move |keys: &dyn ServerKeys| {
            let old = page
                .iter()
                .map(|record| (record.name, old_values(keys, record)));
            Ok(old.collect::<Vec<_>>())
        };
        for (name, values) in vault.with_keys(wrap).await? {
            for (column, wrapped) in values {
                match wrapped {
                    Ok((old, new)) => {
                        vault
                            .run(move |sql| operator::wrap(sql, &name, column, (&old, &new)))
                            .await?;
                        met += 1;
                    }
                    Err(KeysError) => unreadable += 1,
                }
            }
        }
        let is_clean = {
            let mut walk = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            walk.met += met;
            walk.unreadable += unreadable;
            walk.progress.wrapped += met;
            walk.after = last;
            if last.is_some() {
                return Ok(Step::More);
            }
            walk.progress.unreadable = walk.unreadable;
            let settled = walk.since.unwrap_or(uptime_ms).saturating_add(SETTLE_MS);
            walk.met == 0 && walk.unreadable == 0 && walk.began >= settled
        };
        // What was wrapped under the old key still lies in the write-ahead log.
        if !is_clean || !vault.scrub().await {
            return Ok(Step::Waits);
        }
        let retired = vault.change_keys(|keys| keys.retire()).await;
        retired.map_err(|error| Refusal::internal(&error))?;
        Ok(Step::Retired)
    }
}

type Wrapped = Result<(Vec<u8>, Vec<u8>), KeysError>;

/// A record's values that are not under the newest key, with what takes their place.
fn old_values(keys: &dyn ServerKeys, record: &SealedRecord) -> Vec<(Column, Wrapped)> {
    let SealedRecord {
        name,
        version,
        sealed,
        pending_version,
        pending_sealed,
        session_state,
    } = record;
    let wrap = |place: &Place<'_>, sealed: &[u8]| {
        if keys.is_newest(place, sealed) {
            return None;
        }
        let plain = keys.open(place, sealed);
        Some(plain.and_then(|plain| keys.seal(place, &plain)))
    };
    let mut values = Vec::new();
    for (column, version, sealed) in [
        (Column::Sealed, version, sealed),
        (Column::Pending, pending_version, pending_sealed),
    ] {
        let place = of_version(name, *version);
        if let Some(old) = sealed
            && let Some(new) = wrap(&place, old)
        {
            values.push((column, new.map(|new| (old.clone(), new))));
        }
    }
    if let Some(old) = session_state {
        // The guess's number stands before what is sealed.
        let Some((number, sealed)) = old.split_first_chunk::<8>() else {
            values.push((Column::Session, Err(KeysError)));
            return values;
        };
        let place = Place {
            column: SESSION,
            record: name,
            version: u64::from_be_bytes(*number),
        };
        if let Some(new) = wrap(&place, sealed) {
            let new = new.map(|new| (old.clone(), [number.as_slice(), &new].concat()));
            values.push((Column::Session, new));
        }
    }
    values
}
