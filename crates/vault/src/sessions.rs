//! What waits for a client's next message: bounded, good once, for a time.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use heirloom_vault_api::Fixed;

/// More do not wait at a time; the oldest goes.
const MOST: usize = 100_000;

/// Values by id.
pub(crate) struct Sessions<T> {
    life_ms: u64,
    inner: Mutex<Inner<T>>,
}

struct Inner<T> {
    values: HashMap<Fixed<16>, (u64, T)>,
    order: VecDeque<(u64, Fixed<16>)>,
}

impl<T> fmt::Debug for Sessions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

impl<T> Sessions<T> {
    pub(crate) fn new(life_ms: u64) -> Self {
        let inner = Inner {
            values: HashMap::new(),
            order: VecDeque::new(),
        };
        Self {
            life_ms,
            inner: Mutex::new(inner),
        }
    }

    pub(crate) fn put(&self, id: Fixed<16>, value: T, now: u64) {
        self.put_back(id, (now.saturating_add(self.life_ms), value), now);
    }

    /// Puts back what was taken out. It is good as long as it was.
    pub(crate) fn put_back(&self, id: Fixed<16>, (until, value): (u64, T), now: u64) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((until, oldest)) = inner.order.front().copied()
            && (until <= now || inner.order.len() >= MOST)
        {
            inner.order.pop_front();
            inner.values.remove(&oldest);
        }
        inner.order.push_back((until, id));
        inner.values.insert(id, (until, value));
    }

    /// Takes a value out: the same id gives nothing again.
    pub(crate) fn take(&self, id: &Fixed<16>, now: u64) -> Option<T> {
        self.take_until(id, now).map(|(_, value)| value)
    }

    /// The same, with the time until which it is good.
    pub(crate) fn take_until(&self, id: &Fixed<16>, now: u64) -> Option<(u64, T)> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = inner.values.remove(id)?;
        (now < until).then_some((until, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_given_once_and_in_time() {
        let sessions = Sessions::new(100);
        sessions.put(Fixed([1; 16]), "one", 0);
        sessions.put(Fixed([2; 16]), "two", 0);
        assert_eq!(sessions.take(&Fixed([1; 16]), 99), Some("one"));
        assert_eq!(sessions.take(&Fixed([1; 16]), 99), None);
        assert_eq!(sessions.take(&Fixed([2; 16]), 100), None);
    }

    #[test]
    fn a_value_that_is_put_back_is_good_no_longer_than_before() {
        let sessions = Sessions::new(100);
        sessions.put(Fixed([1; 16]), "one", 0);
        for now in [50, 99] {
            let taken = sessions.take_until(&Fixed([1; 16]), now).unwrap();
            sessions.put_back(Fixed([1; 16]), taken, now);
        }
        assert_eq!(sessions.take(&Fixed([1; 16]), 100), None);
        sessions.put(Fixed([2; 16]), "two", 1000);
        let inner = sessions.inner.lock().unwrap();
        assert_eq!((inner.values.len(), inner.order.len()), (1, 1));
    }

    #[test]
    fn what_is_over_leaves_memory() {
        let sessions = Sessions::new(100);
        for number in 0..50_u8 {
            sessions.put(Fixed([number; 16]), (), u64::from(number));
        }
        sessions.put(Fixed([99; 16]), (), 1000);
        let inner = sessions.inner.lock().unwrap();
        assert_eq!((inner.values.len(), inner.order.len()), (1, 1));
    }
}
