//! A record's log as its owner follows it: what was seen once cannot be taken back or changed.

use serde::{Deserialize, Serialize};

use crate::{Fixed, LogEntry, RecordName, log_start};

/// An entry of a log that does not stand where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {0} of the log is missing")]
pub struct EntryMissing(pub u64);

/// How far a log was followed: how many entries, and the hash that covers them all (docs/vault.md, section 5).
///
/// What leads to a head that was seen before, or that the vault signed, is what the vault wrote at the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogHead {
    /// Entries.
    pub length: u64,
    /// The hash of the last one.
    pub hash: Fixed<32>,
}

impl LogHead {
    /// Of a log without entries.
    pub fn start(record: &RecordName) -> Self {
        Self {
            length: 0,
            hash: log_start(record),
        }
    }

    /// Goes on by one entry. One that is not the next changes nothing.
    pub fn follow(&mut self, entry: &LogEntry) -> Result<(), EntryMissing> {
        let next = self.length.saturating_add(1);
        if entry.sequence != next {
            return Err(EntryMissing(next));
        }
        *self = Self {
            length: next,
            hash: entry.hash(&self.hash),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LogKind;

    #[test]
    fn a_log_is_followed_entry_by_entry_and_none_is_left_out() {
        let entry = |sequence, kind| LogEntry {
            sequence,
            kind,
            version: 1,
            time_ms: 7,
        };
        let record = Fixed([3; 16]);
        let mut head = LogHead::start(&record);
        head.follow(&entry(1, LogKind::Registered)).unwrap();
        let one = head;
        assert_eq!(
            head.follow(&entry(3, LogKind::Proved)),
            Err(EntryMissing(2))
        );
        assert_eq!(
            head.follow(&entry(1, LogKind::Registered)),
            Err(EntryMissing(2))
        );
        assert_eq!(head, one);
        head.follow(&entry(2, LogKind::Guess)).unwrap();
        let mut other = one;
        other.follow(&entry(2, LogKind::OwnersGuess)).unwrap();
        assert_ne!(head, other);
        assert_ne!(LogHead::start(&record), LogHead::start(&Fixed([4; 16])));
    }
}
