//! Whether a backup is protected: what its owner is told, as a function of slots and time alone.

use crate::ids::{DeviceId, SlotId};
use crate::slot::Method;

/// After how long a proven way in should be tried again: 180 days.
pub const CHECK_DUE_MS: i64 = 180 * 24 * 60 * 60 * 1000;

/// One way in, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SlotInfo {
    /// The slot.
    pub id: SlotId,
    /// How it is opened.
    pub method: Method,
    /// What its owner calls it.
    pub name: String,
    /// When it was added, in UTC milliseconds.
    pub created_ms: i64,
    /// When it last opened the keyring for something that was recorded.
    pub last_used_ms: Option<i64>,
    /// When a real unlock last proved it; never at its making.
    pub last_proven_ms: Option<i64>,
    /// What is known of a passkey's provider.
    pub provider: Option<Provider>,
}

/// Where a passkey lives. For display, and to lower the status; never for trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The authenticator's model; zero when it does not say.
    pub aaguid: [u8; 16],
    /// Whether it can be synced to other devices (BE).
    pub backup_eligible: bool,
    /// Whether it is (BS).
    pub backup_state: bool,
}

/// One device, as the owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// The device.
    pub id: DeviceId,
    /// What its owner calls it.
    pub name: String,
    /// When it was enrolled, in UTC milliseconds.
    pub added_ms: i64,
    /// The newest keyring it is known to have seen: a removal reaches it from then on.
    pub seen_number: u64,
    /// When it was revoked.
    pub revoked_ms: Option<i64>,
    /// The first epoch that it has no part in, once it was revoked.
    pub revoked_epoch: Option<u32>,
}

/// The first line that an owner reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// There is no way in.
    Off,
    /// Fewer than two independent ways have been proven.
    AlmostProtected {
        /// How many have: 0 or 1, of 2.
        proven: u8,
    },
    /// Two independent ways have been proven by a real unlock.
    Protected,
    /// They have, and too long ago.
    CheckDue,
}

impl Status {
    /// Two ways are independent when they are of different methods, or are passkeys of two known,
    /// different providers. Two recovery keys, or two passwords, count as one way.
    pub fn of(slots: &[SlotInfo], now_ms: i64) -> Self {
        if slots.is_empty() {
            return Self::Off;
        }
        let proven: Vec<_> = slots
            .iter()
            .filter(|slot| slot.last_proven_ms.is_some())
            .collect();
        // A proof from the future comes from a wrong clock, and is a proof all the same.
        let recent = |slot: &&SlotInfo| {
            slot.last_proven_ms
                .is_some_and(|at| now_ms.saturating_sub(at) <= CHECK_DUE_MS)
        };
        let recently: Vec<_> = proven.iter().copied().filter(recent).collect();
        if has_independent_pair(&recently) {
            Self::Protected
        } else if has_independent_pair(&proven) {
            Self::CheckDue
        } else {
            Self::AlmostProtected {
                proven: u8::from(!proven.is_empty()),
            }
        }
    }
}

fn has_independent_pair(slots: &[&SlotInfo]) -> bool {
    slots
        .iter()
        .enumerate()
        .any(|(index, a)| slots[index + 1..].iter().any(|b| are_independent(a, b)))
}

fn are_independent(a: &SlotInfo, b: &SlotInfo) -> bool {
    if a.method.number() != b.method.number() {
        return true;
    }
    // Unknown, zero or equal: the same provider.
    match (a.provider, b.provider) {
        (Some(a), Some(b)) => {
            let is_known = |provider: Provider| provider.aaguid != [0; 16];
            is_known(a)
                && is_known(b)
                && a.aaguid != b.aaguid
                && (a.backup_eligible || b.backup_eligible)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Passkey;

    const NOW: i64 = 1_800_000_000_000;

    fn way(method: Method, proven: Option<i64>) -> SlotInfo {
        SlotInfo {
            id: SlotId::from_bytes([1; 16]),
            method,
            name: String::new(),
            created_ms: 0,
            last_used_ms: proven,
            last_proven_ms: proven,
            provider: None,
        }
    }

    fn passkey(aaguid: u8, backup_eligible: bool) -> SlotInfo {
        let binding = Passkey {
            credential_id: vec![aaguid],
            rp_id: "example.org".into(),
            transports: vec![],
        };
        SlotInfo {
            provider: Some(Provider {
                aaguid: [aaguid; 16],
                backup_eligible,
                backup_state: backup_eligible,
            }),
            ..way(Method::Passkey(binding), Some(NOW))
        }
    }

    fn recovery(proven: Option<i64>) -> SlotInfo {
        way(Method::RecoveryKey, proven)
    }

    #[test]
    fn no_way_in_is_off() {
        assert_eq!(Status::of(&[], NOW), Status::Off);
    }

    #[test]
    fn a_way_in_that_was_never_tried_does_not_count() {
        assert_eq!(
            Status::of(&[recovery(None)], NOW),
            Status::AlmostProtected { proven: 0 }
        );
        assert_eq!(
            Status::of(&[recovery(None), passkey(1, true)], NOW),
            Status::AlmostProtected { proven: 1 }
        );
    }

    #[test]
    fn two_methods_that_were_proven_protect() {
        assert_eq!(
            Status::of(&[recovery(Some(NOW)), passkey(0, false)], NOW),
            Status::Protected
        );
    }

    #[test]
    fn two_of_the_same_count_as_one() {
        let almost = Status::AlmostProtected { proven: 1 };
        assert_eq!(
            Status::of(&[recovery(Some(NOW)), recovery(Some(NOW))], NOW),
            almost
        );
        assert_eq!(
            Status::of(&[passkey(1, true), passkey(1, true)], NOW),
            almost
        );
        assert_eq!(
            Status::of(&[passkey(1, true), passkey(0, true)], NOW),
            almost
        );
        assert_eq!(
            Status::of(&[passkey(1, false), passkey(2, false)], NOW),
            almost
        );
        assert_eq!(
            Status::of(&[passkey(1, true), passkey(2, true)], NOW),
            Status::Protected
        );
    }

    #[test]
    fn an_old_proof_is_to_be_renewed() {
        let slots = [recovery(Some(NOW - CHECK_DUE_MS - 1)), passkey(1, true)];
        assert_eq!(Status::of(&slots, NOW), Status::CheckDue);
        assert_eq!(Status::of(&slots, NOW - 1), Status::Protected);
    }

    #[test]
    fn a_clock_in_the_past_is_no_alarm() {
        assert_eq!(
            Status::of(&[recovery(Some(i64::MAX)), passkey(1, true)], i64::MIN),
            Status::Protected
        );
    }
}
