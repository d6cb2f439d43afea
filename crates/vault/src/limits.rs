//! How much one address or one account may ask, in memory (a generic cell rate: one number each).
//!
//! Kept rather than `governor`: its keyed limiter has no bound on keys, and needs a second map and a timer for one.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::{AccountId, Fixed};

/// Places kept apart; beyond, new ones share one.
const MOST: usize = 100_000;

/// Who is limited.
pub(crate) trait Who: Copy + Eq + Hash + Debug + Send {
    /// Where it is counted.
    fn place(self) -> Self;
    /// Where those are counted that are too many.
    fn shared() -> Self;
}

impl Who for IpAddr {
    /// The address, or the first 64 bits of one that a single customer has 2⁶⁴ of.
    fn place(self) -> Self {
        match self.to_canonical() {
            Self::V4(address) => address.into(),
            Self::V6(address) => {
                let mut parts = address.segments();
                if let Some(host) = parts.get_mut(4..) {
                    host.fill(0);
                }
                Self::from(parts)
            }
        }
    }

    fn shared() -> Self {
        Self::from([0; 16])
    }
}

impl Who for AccountId {
    fn place(self) -> Self {
        self
    }

    fn shared() -> Self {
        Fixed([0; 16])
    }
}

/// What is left after a request, for the headers of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Requests that would pass now.
    pub(crate) requests: u64,
    /// Seconds until all would pass again.
    pub(crate) reset_s: u64,
}

#[derive(Debug)]
pub(crate) struct RateLimit<K> {
    interval_us: u64,
    burst: u64,
    window_ms: u64,
    /// When a place is even again, in microseconds.
    even: Mutex<HashMap<K, u64>>,
}

impl<K: Who> RateLimit<K> {
    /// `burst` at once, and one more every `window_ms / burst`.
    pub(crate) fn new(burst: u64, window_ms: u64) -> Self {
        let burst = burst.max(1);
        Self {
            interval_us: (window_ms.saturating_mul(1000) / burst).max(1),
            burst,
            window_ms,
            even: Mutex::new(HashMap::new()),
        }
    }

    /// How many in how many seconds, for the headers.
    pub(crate) fn policy(&self) -> (u64, u64) {
        (self.burst, self.window_ms.div_ceil(1000))
    }

    /// `Err`: seconds to wait. `now_ms` is of a clock that nobody sets.
    pub(crate) fn take(&self, who: K, now_ms: u64) -> Result<Left, u64> {
        let now = now_ms.saturating_mul(1000);
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = who.place();
        if even.len() >= MOST && !even.contains_key(&place) {
            even.retain(|_, at| *at > now);
            if even.len() >= MOST {
                place = K::shared();
            }
        }
        let at = even.entry(place).or_insert(now);
        let next = (*at).max(now).saturating_add(self.interval_us);
        let ahead = next.saturating_sub(now);
        let most = self.interval_us.saturating_mul(self.burst);
        if ahead > most {
            return Err((ahead - most).div_ceil(1_000_000).max(1));
        }
        *at = next;
        Ok(Left {
            requests: (most - ahead) / self.interval_us,
            reset_s: ahead.div_ceil(1_000_000),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let limit = RateLimit::new(3, 3000);
        let one: IpAddr = [1, 2, 3, 4].into();
        for left in [2, 1, 0] {
            let reset_s = 3 - left;
            assert_eq!(
                limit.take(one, 10_000),
                Ok(Left {
                    requests: left,
                    reset_s
                })
            );
        }
        assert_eq!(limit.take(one, 10_000), Err(1));
        assert!(limit.take([1, 2, 3, 5].into(), 10_000).is_ok());
        assert!(limit.take(one, 11_000).is_ok());
        assert_eq!(limit.take(one, 11_000), Err(1));
    }

    #[test]
    fn addresses_of_one_customer_share_a_place() {
        let limit = RateLimit::<IpAddr>::new(1, 60_000);
        assert!(limit.take("2001:db8:1:2::1".parse().unwrap(), 0).is_ok());
        assert!(limit.take("2001:db8:1:2:9::7".parse().unwrap(), 0).is_err());
        assert!(limit.take("2001:db8:1:3::1".parse().unwrap(), 0).is_ok());
    }

    #[test]
    fn memory_is_bounded_and_those_who_are_too_many_share() {
        let limit = RateLimit::<AccountId>::new(1, 1000);
        for number in 0..u128::try_from(MOST).unwrap() {
            assert!(limit.take(Fixed((number + 1).to_be_bytes()), 0).is_ok());
        }
        assert!(limit.take(Fixed([0xFF; 16]), 0).is_ok());
        assert!(limit.take(Fixed([0xFE; 16]), 0).is_err());
        assert!(limit.even.lock().unwrap().len() <= MOST + 1);
        // Whoever is even again leaves.
        assert!(limit.take(Fixed([0xFE; 16]), 10_000).is_ok());
        assert!(limit.even.lock().unwrap().len() < 10);
    }
}
