//! The event log of a keyring: what changed, when, by which device. `docs/keyring.md`, section 6.

use std::collections::{HashMap, HashSet};

use crate::committed::{self, Info};
use crate::ids::{DeviceId, RepositoryId};
use crate::proto;
use crate::root::Epoch;

const MAX_SUBJECT_BYTES: usize = 32;
const NO_EVENT: [u8; 32] = [0; 32];

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The repository got its first keyring.
    Created,
    /// A way in was added; the subject is the slot.
    SlotAdded,
    /// A way in was removed; the subject is the slot.
    SlotRemoved,
    /// A way in was proven by a real unlock; the subject is the slot.
    SlotProven,
    /// A device was enrolled; the subject is the device.
    DeviceAdded,
    /// A device was revoked; the subject is the device.
    DeviceRevoked,
    /// A new root began; no subject.
    Rotated,
    /// A fork was merged; the subject is the hash of the other keyring.
    Merged,
    /// A device has seen the keyring that this one follows; the subject is the device.
    Seen,
    /// A way in got another name; the subject is the slot.
    SlotRenamed,
    /// A device got another name; the subject is the device.
    DeviceRenamed,
    /// The whole backup is to be removed; no subject.
    RemovalPlanned,
    /// It is to stay after all; no subject.
    RemovalCancelled,
}

impl EventKind {
    const ALL: [Self; 13] = [
        Self::Created,
        Self::SlotAdded,
        Self::SlotRemoved,
        Self::SlotProven,
        Self::DeviceAdded,
        Self::DeviceRevoked,
        Self::Rotated,
        Self::Merged,
        Self::Seen,
        Self::SlotRenamed,
        Self::DeviceRenamed,
        Self::RemovalPlanned,
        Self::RemovalCancelled,
    ];

    fn number(self) -> u32 {
        match self {
            Self::Created => 1,
            Self::SlotAdded => 2,
            Self::SlotRemoved => 3,
            Self::SlotProven => 4,
            Self::DeviceAdded => 5,
            Self::DeviceRevoked => 6,
            Self::Rotated => 7,
            Self::Merged => 8,
            Self::Seen => 9,
            Self::SlotRenamed => 10,
            Self::DeviceRenamed => 11,
            Self::RemovalPlanned => 12,
            Self::RemovalCancelled => 13,
        }
    }

    fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log, counted from 1.
    pub seq: u64,
    /// When the device says it happened, in UTC milliseconds.
    pub time_ms: i64,
    /// The device that did it.
    pub device: DeviceId,
    /// What happened.
    pub kind: EventKind,
    /// To what: a slot id, a device id or a hash, as its kind says.
    pub subject: Vec<u8>,
    epoch: u32,
    previous: [u8; 32],
    mac: [u8; 32],
}

impl Event {
    /// What makes it the same thing, wherever in a log it stands.
    fn happening(&self) -> (i64, DeviceId, u32, &[u8], u32) {
        let kind = self.kind.number();
        (self.time_ms, self.device, kind, &self.subject, self.epoch)
    }

    /// What the MAC covers.
    fn message(&self, repository: &RepositoryId) -> Info {
        Info::new("heirloom/v1/event")
            .field(repository.as_bytes())
            .u64(self.seq)
            .field(&self.time_ms.to_be_bytes())
            .field(self.device.as_bytes())
            .u32(self.epoch)
            .u32(self.kind.number())
            .field(&self.subject)
            .field(&self.previous)
    }

    /// What the next entry calls this one: SHA-256 of the message and the MAC.
    fn hash(&self, repository: &RepositoryId) -> [u8; 32] {
        committed::sha256(&[self.message(repository).as_bytes(), self.mac.as_slice()].concat())
    }
}

/// An event before it has a place in a log.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) time_ms: i64,
    pub(crate) device: DeviceId,
    pub(crate) kind: EventKind,
    pub(crate) subject: Vec<u8>,
}

/// All entries, oldest first, each naming the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventLog(Vec<Event>);

impl EventLog {
    pub(crate) fn entries(&self) -> &[Event] {
        &self.0
    }

    pub(crate) fn append(
        &mut self,
        repository: &RepositoryId,
        epoch: &Epoch,
        happening: Happening,
    ) {
        let Happening {
            time_ms,
            device,
            kind,
            subject,
        } = happening;
        let (seq, previous) = self
            .0
            .last()
            .map_or((1, NO_EVENT), |last| (last.seq + 1, last.hash(repository)));
        let mut event = Event {
            seq,
            time_ms,
            device,
            kind,
            subject,
            epoch: epoch.number,
            previous,
            mac: [0; 32],
        };
        event.mac = committed::mac(
            &epoch.writer(repository, &device).0,
            &event.message(repository),
        );
        self.0.push(event);
    }

    /// What only this log holds and the other does not, in its order.
    pub(crate) fn only_here(&self, other: &Self) -> Vec<&Event> {
        let shared = self
            .0
            .iter()
            .zip(&other.0)
            .take_while(|(mine, theirs)| mine == theirs)
            .count();
        let theirs: HashSet<_> = other.0[shared..].iter().map(Event::happening).collect();
        let mine = self.0[shared..].iter();
        mine.filter(|event| !theirs.contains(&event.happening()))
            .collect()
    }

    /// Whether this log goes on from `earlier`: begins with all of its entries, or, where a merge lies
    /// between, holds all of them.
    pub(crate) fn extends(&self, earlier: &Self) -> bool {
        let mut pairs = self.0.iter().zip(&earlier.0);
        let same = pairs
            .by_ref()
            .take_while(|(a, b)| a.happening() == b.happening());
        let same = same.count();
        let is_merged = || {
            let mut since = self.0[same..].iter();
            since.any(|event| event.kind == EventKind::Merged)
        };
        same == earlier.0.len() || (is_merged() && earlier.only_here(self).is_empty())
    }

    /// Puts behind this log what only the other one holds, in its order; `epochs` are the other's.
    pub(crate) fn append_divergent(
        &mut self,
        repository: &RepositoryId,
        other: &Self,
        epochs: &[Epoch],
    ) {
        for event in other.only_here(self) {
            // Two epochs can share a number; the one that made the entry made its MAC.
            let made_by = epochs
                .iter()
                .find(|epoch| is_made_under(event, repository, epoch));
            if let Some(epoch) = made_by {
                let Event {
                    seq: _,
                    time_ms,
                    device,
                    kind,
                    ref subject,
                    epoch: _,
                    previous: _,
                    mac: _,
                } = *event;
                self.append(
                    repository,
                    epoch,
                    Happening {
                        time_ms,
                        device,
                        kind,
                        subject: subject.clone(),
                    },
                );
            }
        }
    }

    pub(crate) fn to_proto(&self) -> Vec<proto::Event> {
        let entry = |event: &Event| proto::Event {
            seq: event.seq,
            time_ms: event.time_ms,
            device: event.device.as_bytes().to_vec(),
            epoch: event.epoch,
            kind: event.kind.number(),
            subject: event.subject.clone(),
            previous: event.previous.to_vec(),
            mac: event.mac.to_vec(),
        };
        self.0.iter().map(entry).collect()
    }

    /// `None` when an entry is missing, added, moved or altered.
    pub(crate) fn from_proto(
        entries: Vec<proto::Event>,
        repository: &RepositoryId,
        epochs: &[Epoch],
    ) -> Option<Self> {
        let mut log = Self::default();
        let mut keys = WriterKeys::default();
        for entry in entries {
            let proto::Event {
                seq,
                time_ms,
                device,
                epoch,
                kind,
                subject,
                previous,
                mac,
            } = entry;
            let event = Event {
                seq,
                time_ms,
                device: DeviceId::from_slice(&device)?,
                kind: EventKind::from_number(kind)?,
                subject,
                epoch,
                previous: previous.try_into().ok()?,
                mac: mac.try_into().ok()?,
            };
            let (expected_seq, expected) = log
                .0
                .last()
                .map_or((1, NO_EVENT), |last| (last.seq + 1, last.hash(repository)));
            let in_place = event.seq == expected_seq && event.previous == expected;
            if !in_place
                || event.subject.len() > MAX_SUBJECT_BYTES
                || !keys.made(&event, repository, epochs)
            {
                return None;
            }
            log.0.push(event);
        }
        Some(log)
    }
}

fn is_made_under(event: &Event, repository: &RepositoryId, epoch: &Epoch) -> bool {
    epoch.number == event.epoch
        && committed::mac_is_right(
            &epoch.writer(repository, &event.device).0,
            &event.message(repository),
            &event.mac,
        )
}

/// Writer keys by (epoch, device), so that a long log does not derive the same key again and again.
#[derive(Default)]
struct WriterKeys(HashMap<(u32, DeviceId), Vec<crate::root::WriterKey>>);

impl WriterKeys {
    fn made(&mut self, event: &Event, repository: &RepositoryId, epochs: &[Epoch]) -> bool {
        let keys = self
            .0
            .entry((event.epoch, event.device))
            .or_insert_with(|| {
                let same = epochs.iter().filter(|epoch| epoch.number == event.epoch);
                same.map(|epoch| epoch.writer(repository, &event.device))
                    .collect()
            });
        let message = event.message(repository);
        keys.iter()
            .any(|key| committed::mac_is_right(&key.0, &message, &event.mac))
    }
}
