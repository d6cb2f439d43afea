//! What must hold at every keyring of a walk.

use super::*;
use crate::verify_successor;

impl World {
    /// Opens a keyring that was just made as its owner would, and holds it against the model.
    pub(super) fn check(
        &mut self,
        node: usize,
        made: &Unlocked,
        parents: &[(usize, &Unlocked)],
        counts: &mut Counts,
    ) {
        let state = self.nodes[node].state.clone();
        let live: Vec<WayNo> = state.ways.keys().copied().collect();
        let proven: Vec<WayNo> = live
            .iter()
            .copied()
            .filter(|way| state.ways[way].proven_ms.is_some())
            .collect();
        let status = made.status(self.now_ms);
        // At least one proven way opens it, or the owner is told that there is none yet; and once
        // there was one, there is one for ever.
        let way = if let Some(way) = self.pick(&proven) {
            way
        } else {
            let told = [
                Status::AlmostProtected { proven: 0 },
                Status::Ending {
                    due_ms: state.due_ms.unwrap_or_default(),
                },
            ];
            assert!(told.contains(&status), "{status:?}");
            counts.add("told that nothing was proven yet");
            self.pick(&live).unwrap()
        };
        for (parent, _) in parents {
            let before = &self.nodes[*parent].state;
            assert!(before.has_proven_way().is_err() || state.has_proven_way().is_ok());
        }
        let opened = self.unlock(node, way).unwrap();
        assert_eq!(opened.seen(), made.seen());
        assert_eq!(opened.seen().events, state.events());
        self.check_contents(&opened, &state);
        self.check_status(status, &state, counts);
        assert_eq!(opened.status(self.now_ms), status);
        let some = self.below(100).is_multiple_of(4);
        self.check_reads(&opened, &state, if some { 3 } else { 0 });
        for (_, before) in parents {
            assert_eq!(verify_successor(before, &self.locked[node]), Ok(()));
            assert_eq!(before.seen().compare(&self.locked[node]), Freshness::Newer);
            assert!(crate::log_extends(before, &opened));
            assert_eq!(before.prf_input(), opened.prf_input());
            assert_eq!(
                before.chunk_id_key().expose_secret(),
                opened.chunk_id_key().expose_secret()
            );
        }
        if node.is_multiple_of(16) {
            self.check_every_way(node, &opened);
        }
    }

    pub(super) fn check_all(&mut self, counts: &mut Counts) {
        for tip in self.tips() {
            let way = *self.nodes[tip].state.ways.keys().next().unwrap();
            let opened = self.unlock(tip, way).unwrap();
            let state = self.nodes[tip].state.clone();
            self.check_every_way(tip, &opened);
            self.check_reads(&opened, &state, self.runs.len());
            counts.add("walk's end");
        }
    }

    fn check_every_way(&self, node: usize, opened: &Unlocked) {
        for way in 0..self.slots.len() {
            match (self.unlock(node, way), self.opens(node, way)) {
                (Ok(with), Some(_)) => assert_eq!(with.events(), opened.events()),
                (with, expected) => assert!(with.is_err() && expected.is_none(), "way {way}"),
            }
        }
    }

    fn check_contents(&self, opened: &Unlocked, state: &State) {
        let mut slots: Vec<_> = opened
            .slots()
            .into_iter()
            .map(|slot| {
                let no = self
                    .slots
                    .iter()
                    .position(|known| known.id == slot.id)
                    .unwrap();
                assert_eq!(slot.is_extra(), self.slots[no].kind.is_extra());
                assert_eq!(slot.last_used_ms, slot.last_proven_ms);
                let way = Way {
                    kind: self.slots[no].kind,
                    credential: self.slots[no].credential,
                    name: slot.name,
                    proofs: slot.proofs,
                    proven_ms: slot.last_proven_ms,
                };
                (no, way)
            })
            .collect();
        slots.sort_by_key(|(no, _)| *no);
        assert_eq!(slots, state.ways.clone().into_iter().collect::<Vec<_>>());
        let devices: std::collections::BTreeMap<_, _> = opened
            .devices()
            .into_iter()
            .map(|device| {
                let no = self.device_no(&device.id);
                // Never more than what the computer has really seen.
                let truth = self.nodes[self.computers[no].node].state.number;
                assert!(device.seen_number <= truth.max(self.computers[no].made));
                let is_revoked = device.revoked_ms.is_some();
                let (name, seen) = (device.name, device.seen_number);
                (
                    no,
                    model::Device {
                        name,
                        seen,
                        is_revoked,
                    },
                )
            })
            .collect();
        assert_eq!(devices, state.devices);
        assert_eq!(opened.removal_due_ms(), state.due_ms);
        let epoch = opened.place.epoch;
        for no in devices.keys() {
            let device = self.computers[*no].credential.device();
            assert_eq!(
                opened.writer_keys(&device, epoch).is_empty(),
                !state.is_active(*no)
            );
        }
    }

    fn check_status(&self, status: Status, state: &State, counts: &mut Counts) {
        let due = state.next_check_ms();
        let expected = match (state.due_ms, due) {
            (Some(due_ms), _) => Status::Ending { due_ms },
            (None, Some(due)) if self.now_ms <= due => Status::Protected,
            (None, Some(_)) => Status::CheckDue,
            (None, None) => Status::AlmostProtected {
                proven: u8::from(state.ways.values().any(|way| way.proven_ms.is_some())),
            },
        };
        assert_eq!(status, expected);
        let word = format!("{status:?}");
        let word = word.split([' ', '{']).next().unwrap();
        counts.add(format!("status {word}"));
    }

    /// Of the runs, the newest and as many of the others open exactly where their epoch is known.
    fn check_reads(&mut self, opened: &Unlocked, state: &State, count: usize) {
        for at in 0..count.min(self.runs.len()) {
            let run = if at == 0 || count >= self.runs.len() {
                self.runs.len() - 1 - at
            } else {
                self.below(self.runs.len())
            };
            let run = &self.runs[run];
            match opened.open_run_key(&run.sealed) {
                Ok(key) => {
                    assert!(state.epochs.contains(&run.epoch));
                    assert_eq!(key.expose_secret(), run.key.expose_secret());
                }
                Err(error) => assert!(!state.epochs.contains(&run.epoch), "{error}"),
            }
        }
    }

    /// `way` was removed in what a computer has seen at `node`; it opens what it opened, in old copies,
    /// and none of them reads what the computer has just sealed.
    pub(super) fn check_removed_reads_nothing(
        &self,
        way: WayNo,
        node: usize,
        epoch: usize,
        sealed: &[u8],
        counts: &mut Counts,
    ) {
        let is_live = |at: &usize| self.nodes[*at].state.ways.contains_key(&way);
        for at in (0..self.nodes.len()).filter(is_live) {
            assert!(
                !self.nodes[at].state.epochs.contains(&epoch),
                "{way} at {at}, from {node}"
            );
        }
        let Some(old) = (0..self.nodes.len()).rev().find(is_live) else {
            return;
        };
        let opened = self.unlock(old, way).unwrap();
        assert!(opened.open_run_key(sealed).is_err());
        counts.add("what was removed reads no new run");
        let known = &self.nodes[old].state.epochs;
        for run in self
            .runs
            .iter()
            .filter(|run| known.contains(&run.epoch))
            .take(1)
        {
            assert!(opened.open_run_key(&run.sealed).is_ok());
            counts.add("what was removed reads an old run");
        }
    }

    /// A store that writes bytes of its own: nothing opens, or says that it follows.
    pub(super) fn refuse_forged(&mut self, node: usize, counts: &mut Counts) {
        let mut bytes = self.nodes[node].bytes.clone();
        let at = self.below(bytes.len());
        bytes[at] ^= 1 << self.below(8);
        let ways: Vec<WayNo> = self.nodes[node].state.ways.keys().copied().collect();
        let way = self.pick(&ways).unwrap();
        let slot = &self.slots[way];
        let secret = self.secret(slot.kind, slot.credential);
        if let Ok(forged) = LockedKeyring::parse(&bytes) {
            assert!(forged.unlock(&secret).is_err(), "byte {at}");
        }
        counts.add("forged keyring refused");
    }
}
