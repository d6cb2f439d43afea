//! What ought to be true of one keyring, kept without any key.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::ChangeError;

/// A slot, wherever it appears.
pub(super) type WayNo = usize;
/// A device, wherever it appears.
pub(super) type DeviceNo = usize;

/// What kind of secret opens a way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Paper,
    Password,
    /// The first byte of the AAGUID, BE, and whether the relying party is `localhost`.
    Passkey(u8, bool, bool),
    /// What a computer that was let in keeps for itself.
    Device(DeviceNo),
}

impl Kind {
    pub(super) fn is_extra(self) -> bool {
        matches!(
            self,
            Self::Passkey(_, false, _) | Self::Passkey(_, _, true) | Self::Device(_)
        )
    }

    /// What two ways must not share to be independent; passkeys of unknown provider share it with all.
    fn shares_fate(self, other: Self) -> bool {
        match (self, other) {
            (Self::Passkey(a, ..), Self::Passkey(b, ..)) => a == b || a == 0 || b == 0,
            (Self::Device(_), Self::Device(_)) => true,
            (a, b) => a == b,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) kind: Kind,
    /// Two slots may have been made for one credential, on two sides of a fork.
    pub(super) credential: u64,
    pub(super) name: String,
    pub(super) proofs: u32,
    pub(super) proven_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    pub(super) seen: u64,
    pub(super) is_revoked: bool,
}

/// One change that a device makes.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Add(WayNo, Way),
    Prove,
    Remove(WayNo),
    Rotate,
    RenameWay(WayNo, String),
    RenameDevice(DeviceNo, String),
    Plan,
    Cancel,
    Enrol(DeviceNo),
    /// Lets a computer in that made its own secrets, with a way in of its own.
    Admit(WayNo, DeviceNo, Way),
    Revoke(DeviceNo),
    Seen,
}

/// Who makes it, when, and what an epoch that begins with it is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    pub(super) device: DeviceNo,
    pub(super) opened_with: WayNo,
    pub(super) now_ms: i64,
    pub(super) epoch: usize,
}

/// What the owner is told of a log entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Did {
    RenamedWay(WayNo),
    RenamedDevice(DeviceNo),
    Cancelled,
    Else,
    /// The second entry of one change.
    Also,
}

/// One keyring, as it ought to be.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) number: u64,
    pub(super) ways: BTreeMap<WayNo, Way>,
    pub(super) removed: BTreeSet<WayNo>,
    retired: BTreeSet<u64>,
    pub(super) devices: BTreeMap<DeviceNo, Device>,
    pub(super) due_ms: Option<i64>,
    pub(super) epochs: BTreeSet<usize>,
    /// Each entry of the log by the moment at which it happened, which no two share.
    log: BTreeSet<(i64, Did)>,
}

impl State {
    pub(super) fn first(now_ms: i64, way: Way, device_name: &str) -> Self {
        let device = Device {
            name: device_name.into(),
            seen: 1,
            is_revoked: false,
        };
        let created = [0, 1, 2].map(|at| (now_ms - at, Did::Else));
        Self {
            number: 1,
            ways: [(0, way)].into(),
            devices: [(0, device)].into(),
            epochs: [0].into(),
            log: created.into(),
            ..Self::default()
        }
    }

    pub(super) fn events(&self) -> u64 {
        u64::try_from(self.log.len()).unwrap()
    }

    pub(super) fn is_active(&self, device: DeviceNo) -> bool {
        self.devices
            .get(&device)
            .is_some_and(|known| !known.is_revoked)
    }

    /// The rule that no change may break once it holds.
    pub(super) fn has_proven_way(&self) -> Result<(), ChangeError> {
        let mut proven = self.ways.values().filter(|way| way.proven_ms.is_some());
        match (self.ways.len(), proven.clone().count()) {
            (0, _) => Err(ChangeError::LastWayIn),
            (_, 0) => Err(ChangeError::LastProvenWay),
            _ if proven.all(|way| way.kind.is_extra()) => Err(ChangeError::OnlyExtraWays),
            _ => Ok(()),
        }
    }

    /// The highest of all pairs' earlier checks, in UTC milliseconds.
    pub(super) fn next_check_ms(&self) -> Option<i64> {
        let hours = |way: &Way| match way.proofs {
            0 | 1 => 14 * 24,
            2 => 732,
            3 => 2196,
            _ => 4392,
        };
        let mut best = None;
        for (a_no, a) in &self.ways {
            for (b_no, b) in &self.ways {
                let counts = a_no < b_no
                    && !a.kind.shares_fate(b.kind)
                    && (!a.kind.is_extra() || !b.kind.is_extra());
                if let (true, Some(at), Some(bt)) = (counts, a.proven_ms, b.proven_ms) {
                    let due = |way: &Way, at: i64| at + hours(way) * 3_600_000;
                    best = best.max(Some(due(a, at).min(due(b, bt))));
                }
            }
        }
        best
    }

    pub(super) fn apply(&self, op: &Op, by: By) -> Result<Self, ChangeError> {
        let By {
            device,
            opened_with,
            now_ms,
            epoch,
        } = by;
        let mut next = self.clone();
        next.number += 1;
        let mut author = device;
        if !matches!(op, Op::Enrol(_)) && !self.is_active(device) {
            return Err(ChangeError::UnknownDevice);
        }
        let mut did = Did::Else;
        match op {
            Op::Add(no, way) => {
                let has_it = |known: &Way| known.credential == way.credential;
                if way.kind != Kind::Paper && self.ways.values().any(has_it) {
                    return Err(ChangeError::AlreadyEnrolled);
                }
                if self.retired.contains(&way.credential) {
                    return Err(ChangeError::Retired);
                }
                next.ways.insert(*no, way.clone());
            }
            Op::Prove => {
                let way = next.ways.get_mut(&opened_with).unwrap();
                way.proofs += 1;
                way.proven_ms = Some(now_ms);
            }
            Op::Remove(no) => {
                let way = next.ways.remove(no).ok_or(ChangeError::UnknownSlot)?;
                next.has_proven_way()?;
                next.removed.insert(*no);
                if matches!(way.kind, Kind::Passkey(..)) {
                    next.retired.insert(way.credential);
                }
                next.epochs.insert(epoch);
            }
            Op::Rotate => drop(next.epochs.insert(epoch)),
            Op::RenameWay(no, name) => {
                let way = next.ways.get_mut(no).ok_or(ChangeError::UnknownSlot)?;
                way.name.clone_from(name);
                did = Did::RenamedWay(*no);
            }
            Op::RenameDevice(no, name) => {
                let known = next.devices.get_mut(no);
                known
                    .ok_or(ChangeError::UnknownDevice)?
                    .name
                    .clone_from(name);
                did = Did::RenamedDevice(*no);
            }
            Op::Plan if self.due_ms.is_some() => return Err(ChangeError::RemovalPlanned),
            Op::Plan => next.due_ms = Some(now_ms + 30 * 86_400_000),
            Op::Cancel => {
                next.due_ms.take().ok_or(ChangeError::NoRemovalPlanned)?;
                did = Did::Cancelled;
            }
            Op::Enrol(no) => {
                author = *no;
                let (name, seen) = ("another".into(), 0);
                next.devices.insert(
                    *no,
                    Device {
                        name,
                        seen,
                        is_revoked: false,
                    },
                );
            }
            Op::Admit(way_no, no, way) => next.admit(*way_no, *no, way, now_ms)?,
            Op::Revoke(no) => {
                if !self.is_active(*no) {
                    return Err(ChangeError::UnknownDevice);
                }
                next.devices.get_mut(no).unwrap().is_revoked = true;
                next.lose_its_way(*no, now_ms);
                next.epochs.insert(epoch);
            }
            Op::Seen => {}
        }
        next.log.insert((now_ms, did));
        next.devices.get_mut(&author).unwrap().seen = next.number;
        Ok(next)
    }

    fn admit(
        &mut self,
        way_no: WayNo,
        no: DeviceNo,
        way: &Way,
        now_ms: i64,
    ) -> Result<(), ChangeError> {
        if self.devices.get(&no).is_some_and(|known| known.is_revoked) {
            return Err(ChangeError::UnknownDevice);
        }
        if self.ways.values().any(|known| known.kind == way.kind) {
            return Err(ChangeError::AlreadyEnrolled);
        }
        if let Entry::Vacant(place) = self.devices.entry(no) {
            place.insert(Device {
                name: way.name.clone(),
                seen: 0,
                is_revoked: false,
            });
            self.log.insert((now_ms, Did::Also));
        }
        self.ways.insert(way_no, way.clone());
        Ok(())
    }

    /// What a device keeps for itself goes with it.
    fn lose_its_way(&mut self, no: DeviceNo, now_ms: i64) {
        let own = self
            .ways
            .iter()
            .find(|(_, way)| way.kind == Kind::Device(no));
        if let Some(own) = own.map(|(own, _)| *own) {
            self.ways.remove(&own);
            self.removed.insert(own);
            self.log.insert((now_ms, Did::Also));
        }
    }

    /// The fork of this one and `other`, merged.
    pub(super) fn merge(&self, other: &Self, by: By) -> Result<Self, ChangeError> {
        let mut next = self.clone();
        next.number = self.number.max(other.number) + 1;
        next.retired.extend(&other.retired);
        next.removed.extend(&other.removed);
        next.epochs.extend(&other.epochs);
        let only = |a: &Self, b: &Self, did: &Did| {
            let mut entries = a.log.iter();
            entries.any(|entry| entry.1 == *did && !b.log.contains(entry))
        };
        for (no, way) in &other.ways {
            let renamed = Did::RenamedWay(*no);
            let takes_name = only(other, self, &renamed) && !only(self, other, &renamed);
            if let Some(known) = next.ways.get_mut(no) {
                known.proofs = known.proofs.max(way.proofs);
                known.proven_ms = known.proven_ms.max(way.proven_ms);
                if takes_name {
                    known.name.clone_from(&way.name);
                }
            }
        }
        next.ways.retain(|no, _| !other.removed.contains(no));
        for (no, way) in &other.ways {
            let twin =
                |known: &Way| known.kind != Kind::Paper && known.credential == way.credential;
            if !self.removed.contains(no) && !next.ways.values().any(twin) {
                next.ways.entry(*no).or_insert_with(|| way.clone());
            }
        }
        let retired = next.retired.clone();
        next.ways.retain(|_, way| {
            !matches!(way.kind, Kind::Passkey(..)) || !retired.contains(&way.credential)
        });
        for (no, device) in &other.devices {
            let renamed = Did::RenamedDevice(*no);
            let takes_name = only(other, self, &renamed) && !only(self, other, &renamed);
            let known = next.devices.entry(*no).or_insert_with(|| device.clone());
            known.seen = known.seen.max(device.seen);
            known.is_revoked |= device.is_revoked;
            if takes_name {
                known.name.clone_from(&device.name);
            }
        }
        let devices = next.devices.clone();
        let is_active = |no: &DeviceNo| devices.get(no).is_some_and(|known| !known.is_revoked);
        next.ways.retain(|_, way| match way.kind {
            Kind::Device(no) => is_active(&no),
            Kind::Paper | Kind::Password | Kind::Passkey(..) => true,
        });
        let is_cancelled = only(self, other, &Did::Cancelled) || only(other, self, &Did::Cancelled);
        next.due_ms = self.due_ms.max(other.due_ms);
        if self.due_ms != other.due_ms && is_cancelled {
            next.due_ms = None;
        }
        if self.has_proven_way().is_ok() || other.has_proven_way().is_ok() {
            next.has_proven_way()?;
        } else if next.ways.is_empty() {
            return Err(ChangeError::LastWayIn);
        }
        if !next.is_active(by.device) {
            return Err(ChangeError::UnknownDevice);
        }
        next.epochs.insert(by.epoch);
        next.log.extend(other.log.clone());
        next.log.insert((by.now_ms, Did::Else));
        next.devices.get_mut(&by.device).unwrap().seen = next.number;
        Ok(next)
    }
}
