//! When nobody was served, on each server and on all of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::network::NODES;

/// Shorter pauses are no outage.
const PAUSE_MS: u64 = 1000;

/// A time without an acknowledged write, in milliseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    /// Of one server; of all of them.
    pub(super) server: Option<usize>,
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Notes every acknowledged write.
#[derive(Debug)]
pub(super) struct Service {
    begun: Instant,
    /// The newest of each server, and of all.
    newest: [AtomicU64; NODES + 1],
    gaps: Mutex<Vec<Gap>>,
}

impl Service {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            newest: Default::default(),
            gaps: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A write was acknowledged by this server.
    pub(super) fn served(&self, server: usize) {
        let now = self.now();
        for at in [server, NODES] {
            let Some(newest) = self.newest.get(at) else {
                continue;
            };
            let before = newest.fetch_max(now, Ordering::SeqCst);
            self.gap(at, before, now);
        }
    }

    fn gap(&self, at: usize, from: u64, to: u64) {
        if to > from && to - from > PAUSE_MS {
            let server = (at < NODES).then_some(at);
            let gap = Gap { server, from, to };
            self.gaps.lock().expect("no thread panics").push(gap);
        }
    }

    /// Whether every server acknowledged something after this moment; else the first that did not.
    pub(super) fn silent_since(&self, moment: u64) -> Option<usize> {
        let newest = self.newest.iter().take(NODES);
        newest
            .enumerate()
            .find(|(_, newest)| newest.load(Ordering::SeqCst) <= moment)
            .map(|(server, _)| server)
    }

    /// All times without service, the ones that still last included.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let now = self.now();
        for (at, newest) in self.newest.iter().enumerate() {
            let before = newest.fetch_max(now, Ordering::SeqCst);
            self.gap(at, before, now);
        }
        self.gaps.lock().expect("no thread panics").clone()
    }
}

/// The longest, and the sum, in seconds, of what lies between two moments.
pub(super) fn outage(gaps: &[Gap], server: Option<usize>, from: u64, to: u64) -> (f64, f64) {
    let mut longest = 0;
    let mut sum = 0;
    for gap in gaps.iter().filter(|gap| gap.server == server) {
        let part = gap.to.min(to).saturating_sub(gap.from.max(from));
        longest = longest.max(part);
        sum += part;
    }
    let seconds = |ms: u64| f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1000.0;
    (seconds(longest), seconds(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_two_moments_counts() {
        let gap = |server, from, to| Gap { server, from, to };
        let gaps = [
            gap(None, 1000, 4000),
            gap(None, 8000, 9500),
            gap(Some(1), 0, 60_000),
        ];
        assert_eq!(outage(&gaps, None, 0, 10_000), (3.0, 4.5));
        assert_eq!(outage(&gaps, None, 3000, 8500), (1.0, 1.5));
        assert_eq!(outage(&gaps, Some(1), 1000, 2000), (1.0, 1.0));
        assert_eq!(outage(&gaps, Some(0), 0, 60_000), (0.0, 0.0));
    }

    #[test]
    fn a_server_that_never_answered_is_silent() {
        let service = Service::new();
        std::thread::sleep(std::time::Duration::from_millis(5));
        service.served(0);
        service.served(2);
        assert_eq!(service.silent_since(0), Some(1));
    }
}
