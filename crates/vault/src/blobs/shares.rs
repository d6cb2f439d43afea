//! How many uploads one account has at a time: slow ones take places from others, and one account must not take all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use heirloom_vault_api::{AccountId, Code, Problem};

use crate::refusal::Refusal;

/// Seconds after which it is worth asking again: objects that honest lines send take about as long.
const AGAIN_S: u64 = 2;

/// Uploads of each account that has any.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    most: usize,
    held: Arc<Mutex<HashMap<AccountId, usize>>>,
}

/// The right to one of them, waiting included, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    account: AccountId,
    of: Shares,
}

impl Shares {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            held: Arc::default(),
        }
    }

    /// One more of this account, which does not wait: whoever may have no more is told when to ask again.
    pub(super) fn take(&self, account: AccountId) -> Result<Share, Refusal> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let number = held.entry(account).or_default();
        if *number >= self.most {
            let problem = Problem::from(Code::TooManyRequests).retry_after(AGAIN_S);
            return Err(problem.into());
        }
        *number += 1;
        Ok(Share {
            account,
            of: self.clone(),
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.of.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = held.get_mut(&self.account) {
            *number = number.saturating_sub(1);
            if *number == 0 {
                held.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use heirloom_vault_api::Fixed;

    use super::*;

    #[test]
    fn an_account_has_its_share_and_no_more_and_another_one_has_its_own() {
        let shares = Shares::new(2);
        let (one, other) = (Fixed([1; 16]), Fixed([2; 16]));
        let first = shares.take(one).unwrap();
        let second = shares.take(one).unwrap();
        let problem = shares.take(one).unwrap_err().problem;
        assert_eq!(problem.code, Code::TooManyRequests);
        assert!(problem.retry_after_s.is_some());
        let others = shares.take(other).unwrap();
        drop(first);
        let third = shares.take(one).unwrap();
        assert!(shares.take(one).is_err());
        drop((second, third, others));
        assert!(shares.held.lock().unwrap().is_empty());
    }
}
