//! Whether a keyring is newer than what was seen. `docs/keyring.md`, section 9.

use std::collections::HashMap;

use crate::ids::KeyringHash;
use crate::keyring::LockedKeyring;

/// The newest keyring that somebody knows of: a client, or its witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: KeyringHash,
    /// How many events its log held, when it was unlocked.
    pub events: u64,
}

/// How a keyring stands to what was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Freshness {
    /// It is the one.
    Same,
    /// It claims to come after it. Still to be unlocked, and each keyring on the way to be checked
    /// with [`verify_successor`](crate::verify_successor).
    Newer,
    /// It comes before it: the store may have been rolled back. Never accept it.
    Older,
    /// Another line of keyrings began before it. An owner who opens both can merge them.
    Forked,
}

impl Seen {
    /// Compares by the clear header, whose word about itself is not to be trusted before an unlock.
    pub fn compare(&self, keyring: &LockedKeyring) -> Freshness {
        let (number, hash) = (keyring.number(), keyring.hash());
        if hash == self.hash {
            Freshness::Same
        } else if number < self.number {
            Freshness::Older
        } else if number == self.number
            || (number == self.number + 1 && !keyring.previous_hashes().contains(&self.hash))
        {
            Freshness::Forked
        } else {
            Freshness::Newer
        }
    }

    /// Compares `newest` by walking back through `others` (any order) to the one that was seen.
    ///
    /// `Forked` also when a keyring on the way is not among them: what cannot be followed is not
    /// known to follow.
    pub fn compare_through(&self, newest: &LockedKeyring, others: &[LockedKeyring]) -> Freshness {
        let direct = self.compare(newest);
        if direct != Freshness::Newer || self.is_behind(newest, others) {
            direct
        } else {
            Freshness::Forked
        }
    }

    fn is_behind(&self, newest: &LockedKeyring, others: &[LockedKeyring]) -> bool {
        let mut unreached: HashMap<KeyringHash, &LockedKeyring> = others
            .iter()
            .filter(|other| other.number() > self.number)
            .map(|other| (other.hash(), other))
            .collect();
        let mut reached = vec![newest];
        while let Some(keyring) = reached.pop() {
            if keyring.previous_hashes().contains(&self.hash) {
                return true;
            }
            let before = keyring.previous_hashes().iter();
            reached.extend(before.filter_map(|hash| unreached.remove(hash)));
        }
        false
    }
}
