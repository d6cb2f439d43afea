//! Time, as a parameter.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// What tells the time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds since 1970. It may be set back: then waits get longer, and nothing is given back.
    fn now_ms(&self) -> u64;
}

/// The computer's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
    }
}
