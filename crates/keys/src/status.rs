//! Whether a backup is protected: what its owner is told, as a function of slots and time alone.

use crate::ids::{DeviceId, SlotId};
use crate::slot::Method;

/// After how long a way in should be tried again, by how often it has been: 14 days after the first
/// proof, then after 1, 3 and 6 months (of 30.5 days). A notice, never a wall.
pub const CHECK_INTERVALS_MS: [i64; 4] = {
    const HOUR_MS: i64 = 60 * 60 * 1000;
    [
        14 * 24 * HOUR_MS,
        732 * HOUR_MS,
        3 * 732 * HOUR_MS,
        6 * 732 * HOUR_MS,
    ]
};

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
    /// How many real unlocks were recorded as proofs; the first is when it was proven to work.
    pub proofs: u32,
    /// What is known of a passkey's provider.
    pub provider: Option<Provider>,
}

impl SlotInfo {
    /// When this way in should be tried again, in UTC milliseconds; `None` when it never was.
    pub fn next_check_ms(&self) -> Option<i64> {
        let step = usize::try_from(self.proofs.saturating_sub(1)).unwrap_or(usize::MAX);
        let interval = CHECK_INTERVALS_MS[step.min(CHECK_INTERVALS_MS.len() - 1)];
        self.last_proven_ms.map(|at| at.saturating_add(interval))
    }

    /// Whether it can only ever be an extra way in: a passkey that exists on one device, one for
    /// `localhost`, which is there for trying out, or what a device keeps for itself. Two of them protect nothing, and neither may be
    /// all that remains.
    pub fn is_extra(&self) -> bool {
        match &self.method {
            Method::Passkey(passkey) => {
                let is_synced = self.provider.is_some_and(|known| known.backup_eligible);
                !is_synced || is_localhost(&passkey.rp_id)
            }
            Method::Device(_) => true,
            Method::RecoveryKey | Method::Password(_) => false,
        }
    }
}

fn is_localhost(rp_id: &str) -> bool {
    let rp_id = rp_id.trim_end_matches('.').to_ascii_lowercase();
    rp_id == "localhost" || rp_id.ends_with(".localhost")
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
    /// The whole backup is to be removed at this time, in UTC milliseconds, unless its owner says
    /// otherwise before. Only [`Unlocked::status`](crate::Unlocked::status) says it.
    Ending {
        /// When.
        due_ms: i64,
    },
}

impl Status {
    /// "Protected" takes two proven ways that are independent: of different methods, or passkeys of
    /// two known, different providers (two recovery keys, or two passwords, count as one way), and at
    /// most one of the two is an [extra](SlotInfo::is_extra).
    pub fn of(slots: &[SlotInfo], now_ms: i64) -> Self {
        if slots.is_empty() {
            return Self::Off;
        }
        match next_check_ms(slots) {
            Some(due_ms) if now_ms <= due_ms => Self::Protected,
            Some(_) => Self::CheckDue,
            None => Self::AlmostProtected {
                proven: u8::from(slots.iter().any(|slot| slot.last_proven_ms.is_some())),
            },
        }
    }
}

/// Until when two independent ways have been proven recently enough: the best pair's earlier check.
/// `None` when there is no such pair. A proof from the future comes from a wrong clock, and is a
/// proof all the same.
pub(crate) fn next_check_ms(slots: &[SlotInfo]) -> Option<i64> {
    let pairs = slots.iter().enumerate().flat_map(|(index, a)| {
        let others = slots[index + 1..].iter();
        others.filter_map(move |b| protect_together(a, b).then_some((a, b)))
    });
    pairs
        .filter_map(|(a, b)| Some(a.next_check_ms()?.min(b.next_check_ms()?)))
        .max()
}

/// The one place where it is decided whether two ways in, once proven, make a backup protected.
fn protect_together(a: &SlotInfo, b: &SlotInfo) -> bool {
    are_independent(a, b) && !(a.is_extra() && b.is_extra())
}

fn are_independent(a: &SlotInfo, b: &SlotInfo) -> bool {
    if a.method.number() != b.method.number() {
        return true;
    }
    // Unknown, zero or equal: the same provider.
    match (a.provider, b.provider) {
        (Some(a), Some(b)) => {
            let is_known = |provider: Provider| provider.aaguid != [0; 16];
            is_known(a) && is_known(b) && a.aaguid != b.aaguid
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::{Passkey, Password};

    const NOW: i64 = 1_800_000_000_000;
    const ALMOST: Status = Status::AlmostProtected { proven: 1 };

    fn way(method: Method, proven: Option<i64>) -> SlotInfo {
        SlotInfo {
            id: SlotId::from_bytes([1; 16]),
            method,
            name: String::new(),
            created_ms: 0,
            last_used_ms: proven,
            last_proven_ms: proven,
            proofs: u32::from(proven.is_some()),
            provider: None,
        }
    }

    fn passkey_at(rp_id: &str, aaguid: u8, backup_eligible: bool) -> SlotInfo {
        let binding = Passkey {
            credential_id: vec![aaguid],
            rp_id: rp_id.into(),
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

    fn passkey(aaguid: u8, backup_eligible: bool) -> SlotInfo {
        passkey_at("example.org", aaguid, backup_eligible)
    }

    fn password() -> SlotInfo {
        let method = Method::Password(Password {
            record_id: vec![1],
            server: "example.org".into(),
            opaque_suite: 1,
        });
        way(method, Some(NOW))
    }

    fn device(id: u8) -> SlotInfo {
        way(Method::Device(DeviceId::from_bytes([id; 16])), Some(NOW))
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
        let none = Status::AlmostProtected { proven: 0 };
        assert_eq!(Status::of(&[recovery(None)], NOW), none);
        assert_eq!(Status::of(&[recovery(None), passkey(1, true)], NOW), ALMOST);
    }

    /// The table that decides "Protected"; all of them were proven just now.
    #[test]
    fn two_independent_ways_protect_and_at_most_one_of_them_is_an_extra() {
        let recovery = || recovery(Some(NOW));
        let here = |aaguid, synced| passkey_at("localhost", aaguid, synced);
        for (what, protects, slots) in [
            ("one recovery key", false, vec![recovery()]),
            ("two recovery keys", false, vec![recovery(), recovery()]),
            ("two passwords", false, vec![password(), password()]),
            ("a password and a key", true, vec![password(), recovery()]),
            (
                "a passkey and a key",
                true,
                vec![passkey(1, true), recovery()],
            ),
            (
                "a passkey and a password",
                true,
                vec![passkey(1, true), password()],
            ),
            (
                "two providers",
                true,
                vec![passkey(1, true), passkey(2, true)],
            ),
            (
                "one provider twice",
                false,
                vec![passkey(1, true), passkey(1, true)],
            ),
            (
                "one provider is unknown",
                false,
                vec![passkey(1, true), passkey(0, true)],
            ),
            (
                "both are unknown",
                false,
                vec![passkey(0, true), passkey(0, true)],
            ),
            ("one passkey of one device", false, vec![passkey(1, false)]),
            (
                "a passkey of one device, and a key",
                true,
                vec![passkey(0, false), recovery()],
            ),
            (
                "of one device, and synced",
                true,
                vec![passkey(1, false), passkey(2, true)],
            ),
            (
                "both of one device",
                false,
                vec![passkey(1, false), passkey(2, false)],
            ),
            (
                "a device's own, and a key",
                true,
                vec![device(1), recovery()],
            ),
            ("two devices' own", false, vec![device(1), device(2)]),
            (
                "a device's own, and a passkey of one device",
                false,
                vec![device(1), passkey(1, false)],
            ),
            ("localhost alone", false, vec![here(1, true)]),
            ("localhost and a key", true, vec![here(1, true), recovery()]),
            (
                "localhost and a password",
                true,
                vec![here(1, true), password()],
            ),
            (
                "localhost and another relying party",
                true,
                vec![here(1, true), passkey(2, true)],
            ),
            (
                "localhost twice, two providers",
                false,
                vec![here(1, true), here(2, true)],
            ),
            (
                "localhost, and of one device",
                false,
                vec![here(1, true), passkey(2, false)],
            ),
            (
                "three extras",
                false,
                vec![here(1, true), here(2, true), passkey(3, false)],
            ),
        ] {
            let expected = if protects { Status::Protected } else { ALMOST };
            assert_eq!(Status::of(&slots, NOW), expected, "{what}");
            let reversed: Vec<_> = slots.into_iter().rev().collect();
            assert_eq!(Status::of(&reversed, NOW), expected, "{what}, reversed");
        }
    }

    #[test]
    fn localhost_is_known_however_it_is_spelt() {
        for rp_id in ["localhost", "LocalHost", "localhost.", "app.localhost"] {
            assert!(passkey_at(rp_id, 1, true).is_extra(), "{rp_id}");
        }
        for rp_id in ["localhost.example", "notlocalhost", "example.org"] {
            assert!(!passkey_at(rp_id, 1, true).is_extra(), "{rp_id}");
        }
        assert!(passkey(1, false).is_extra());
        let unknown = SlotInfo {
            provider: None,
            ..passkey(1, true)
        };
        assert!(unknown.is_extra());
        assert!(!recovery(None).is_extra() && !password().is_extra());
    }

    #[test]
    fn checks_come_after_fourteen_days_then_one_three_and_six_months() {
        let day = 24 * 60 * 60 * 1000;
        let days = |proofs| {
            let slot = SlotInfo {
                proofs,
                ..recovery(Some(NOW))
            };
            (slot.next_check_ms().unwrap() - NOW) / day
        };
        assert_eq!(
            [1, 2, 3, 4, 5, u32::MAX].map(days),
            [14, 30, 91, 183, 183, 183]
        );
        assert_eq!(recovery(None).next_check_ms(), None);
    }

    #[test]
    fn an_old_proof_is_to_be_renewed() {
        let slots = [recovery(Some(NOW - 1000)), passkey(1, true)];
        let due = next_check_ms(&slots).unwrap();
        assert_eq!(due, slots[0].next_check_ms().unwrap());
        assert_eq!(Status::of(&slots, due), Status::Protected);
        assert_eq!(Status::of(&slots, due + 1), Status::CheckDue);
        assert_eq!(Status::of(&slots, i64::MAX), Status::CheckDue);
    }

    #[test]
    fn the_best_pair_counts_and_a_third_way_may_be_old() {
        let old = recovery(Some(0));
        let slots = [old, passkey(1, true), passkey(2, true)];
        assert_eq!(Status::of(&slots, NOW), Status::Protected);
        assert_eq!(Status::of(&slots[..2], NOW), Status::CheckDue);
        assert_eq!(next_check_ms(&slots[..1]), None);
    }

    #[test]
    fn a_clock_in_the_past_is_no_alarm() {
        assert_eq!(
            Status::of(&[recovery(Some(i64::MAX)), passkey(1, true)], i64::MIN),
            Status::Protected
        );
    }
}
