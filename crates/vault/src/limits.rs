//! How much one address may ask, in memory (a generic cell rate: one number an address).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// Addresses kept apart; beyond, new ones share one place.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(crate) struct RateLimit {
    interval_us: u64,
    burst: u64,
    /// When an address is even again, in microseconds.
    even: Mutex<HashMap<IpAddr, u64>>,
}

impl RateLimit {
    /// `burst` at once, and one more every `window_ms / burst`.
    pub(crate) fn new(burst: u64, window_ms: u64) -> Self {
        let burst = burst.max(1);
        Self {
            interval_us: window_ms.saturating_mul(1000) / burst,
            burst,
            even: Mutex::new(HashMap::new()),
        }
    }

    /// `Err`: seconds to wait.
    pub(crate) fn take(&self, address: IpAddr, now_ms: u64) -> Result<(), u64> {
        let now = now_ms.saturating_mul(1000);
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let mut place = network(address);
        if even.len() >= MOST && !even.contains_key(&place) {
            even.retain(|_, at| *at > now);
            if even.len() >= MOST {
                place = IpAddr::from([0; 16]);
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
        Ok(())
    }
}

/// The address, or the first 64 bits of one that a single customer has 2⁶⁴ of.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let mut parts = address.segments();
            if let Some(host) = parts.get_mut(4..) {
                host.fill(0);
            }
            IpAddr::from(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_one_an_interval() {
        let limit = RateLimit::new(3, 3000);
        let one: IpAddr = [1, 2, 3, 4].into();
        for _ in 0..3 {
            assert_eq!(limit.take(one, 10_000), Ok(()));
        }
        assert_eq!(limit.take(one, 10_000), Err(1));
        assert_eq!(limit.take([1, 2, 3, 5].into(), 10_000), Ok(()));
        assert_eq!(limit.take(one, 11_000), Ok(()));
        assert_eq!(limit.take(one, 11_000), Err(1));
    }

    #[test]
    fn addresses_of_one_customer_share_a_place() {
        let limit = RateLimit::new(1, 60_000);
        assert!(limit.take("2001:db8:1:2::1".parse().unwrap(), 0).is_ok());
        assert!(limit.take("2001:db8:1:2:9::7".parse().unwrap(), 0).is_err());
        assert!(limit.take("2001:db8:1:3::1".parse().unwrap(), 0).is_ok());
    }
}
