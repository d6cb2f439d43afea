//! Whether destroyed keys may still lie where a database keeps what it wrote before: its write-ahead log, its free
//! space. They leave with the next sweep that succeeds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Due from the start: who was here before may have ended in between.
#[derive(Clone, Debug)]
pub(crate) struct ScrubDue(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    asked: AtomicU64,
    done: AtomicU64,
}

/// An operation that may destroy keys. However it ends, also when nobody waits for it any more, the database is
/// scrubbed after it.
#[derive(Debug)]
pub(crate) struct MayDestroy(ScrubDue);

impl Drop for MayDestroy {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl ScrubDue {
    pub(crate) fn at_start() -> Self {
        Self(Arc::new(Counts {
            asked: AtomicU64::new(1),
            done: AtomicU64::new(0),
        }))
    }

    pub(crate) fn ask(&self) {
        self.0.asked.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn may_destroy(&self) -> MayDestroy {
        MayDestroy(self.clone())
    }

    /// What a scrub that begins now is good for.
    pub(crate) fn asked(&self) -> u64 {
        self.0.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn is_done(&self, asked: u64) {
        self.0.done.fetch_max(asked, Ordering::SeqCst);
    }

    pub(crate) fn is_due(&self) -> bool {
        self.0.done.load(Ordering::SeqCst) < self.asked()
    }
}

#[cfg(test)]
mod tests {
    use super::ScrubDue;

    #[test]
    fn what_was_destroyed_while_a_scrub_ran_asks_for_another() {
        let due = ScrubDue::at_start();
        assert!(due.is_due());
        let first = due.asked();
        drop(due.may_destroy());
        due.is_done(first);
        assert!(due.is_due());
        due.is_done(due.asked());
        assert!(!due.is_due());
        // One that began before and ends late takes nothing back.
        due.is_done(first);
        assert!(!due.is_due());
    }
}
