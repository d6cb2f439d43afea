//! Removing the whole backup: planned, and undone until it is due. `docs/keyring.md`, section 6.6.

use rand_core::CryptoRng;

use super::Successor;
use super::change::{Act, ChangeError};
use super::contents::Contents;
use super::unlock::Unlocked;
use crate::events::EventKind;

/// How long after its planning a backup may be removed: 30 days.
pub const REMOVAL_DELAY_MS: i64 = 30 * 24 * 60 * 60 * 1000;

impl Unlocked {
    /// Plans the removal of keyring and objects, [`REMOVAL_DELAY_MS`] from now.
    ///
    /// Nothing is removed by this, and every way in goes on to open what is there. Each device learns
    /// it from its own slot ([`WriterCredentials::removal_due_ms`](crate::WriterCredentials)), and
    /// adds nothing from then on.
    pub fn plan_removal(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        if next.removal_due_ms.is_some() {
            return Err(ChangeError::RemovalPlanned);
        }
        // 0 stands for nothing planned, and a clock before 1970 is wrong anyway.
        next.removal_due_ms = Some(act.now_ms.saturating_add(REMOVAL_DELAY_MS).max(1));
        next.happen(act.happening(EventKind::RemovalPlanned, &[]));
        self.publish(next, rng, act)
    }

    /// Keeps the backup after all.
    pub fn cancel_removal(
        &self,
        rng: &mut impl CryptoRng,
        act: Act,
    ) -> Result<Successor, ChangeError> {
        let mut next = self.next(act)?;
        next.removal_due_ms
            .take()
            .ok_or(ChangeError::NoRemovalPlanned)?;
        next.happen(act.happening(EventKind::RemovalCancelled, &[]));
        self.publish(next, rng, act)
    }

    /// When keyring and objects are to be removed, in UTC milliseconds; `None` while nothing is
    /// planned.
    pub fn removal_due_ms(&self) -> Option<i64> {
        self.contents.removal_due_ms
    }
}

/// What holds after a merge: a cancellation on either side wins over a plan, a later plan over an
/// earlier one.
pub(super) fn merged_removal(mine: &Contents, theirs: &Contents) -> Option<i64> {
    let cancelled = |side: &Contents, other: &Contents| {
        let events = side.events.only_here(&other.events);
        events
            .iter()
            .any(|event| event.kind == EventKind::RemovalCancelled)
    };
    if mine.removal_due_ms != theirs.removal_due_ms
        && (cancelled(mine, theirs) || cancelled(theirs, mine))
    {
        return None;
    }
    mine.removal_due_ms.max(theirs.removal_due_ms)
}
