//! Any mix of changes: who may open it opens it, who was removed does not, nothing is lost.

use proptest::prelude::*;

use super::*;
use crate::{Freshness, RunKey, seal_run_key, verify_successor};

const STEPS: usize = 100;

/// 2,000 changes in the long run, a sample of 400 otherwise.
fn cases() -> u32 {
    if std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1") {
        20
    } else {
        4
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Add,
    Prove(prop::sample::Index),
    Remove(prop::sample::Index),
    Rotate,
    Device,
    Revoke(prop::sample::Index),
    /// Both sides remove or add something, then they are merged.
    Fork(prop::sample::Index, prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Add),
        3 => any::<prop::sample::Index>().prop_map(Step::Prove),
        3 => any::<prop::sample::Index>().prop_map(Step::Remove),
        1 => Just(Step::Rotate),
        1 => Just(Step::Device),
        1 => any::<prop::sample::Index>().prop_map(Step::Revoke),
        2 => any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(a, b)| Step::Fork(a, b)),
    ]
}

/// What ought to be true, kept beside the keyring.
struct Model {
    owner: Owner,
    live: Vec<u8>,
    removed: Vec<u8>,
    next_id: u8,
    runs: Vec<(Vec<u8>, RunKey)>,
}

impl Model {
    fn secret(id: u8) -> UnlockSecret {
        UnlockSecret::passkey(passkey(id), prf(id))
    }

    fn slot_of(unlocked: &Unlocked, id: u8) -> SlotId {
        let is_it = |slot: &&crate::SlotInfo| slot.method == Method::Passkey(passkey(id));
        unlocked.slots().iter().find(is_it).unwrap().id
    }

    fn add(&mut self, to: &Unlocked) -> Option<Successor> {
        if self.live.len() >= 6 || self.next_id == u8::MAX {
            return None;
        }
        let id = self.next_id;
        self.next_id += 1;
        self.live.push(id);
        let act = self.owner.act();
        Some(
            to.add_slot(&mut self.owner.rng, act, passkey_slot(id, &prf(id)))
                .unwrap(),
        )
    }

    fn remove(&mut self, from: &Unlocked, index: prop::sample::Index) -> Option<Successor> {
        let known = |id: &&u8| {
            from.slots()
                .iter()
                .any(|slot| slot.method == Method::Passkey(passkey(**id)))
        };
        let candidates: Vec<u8> = self.live.iter().filter(known).copied().collect();
        if candidates.is_empty() {
            return None;
        }
        let id = candidates[index.index(candidates.len())];
        self.live.retain(|live| *live != id);
        self.removed.push(id);
        let act = self.owner.act();
        Some(
            from.remove_slot(&mut self.owner.rng, act, &Self::slot_of(from, id))
                .unwrap(),
        )
    }

    fn change(&mut self, step: Step) -> Option<Successor> {
        let now = open(&self.owner.bytes, &self.owner.secret()).unwrap();
        let act = self.owner.act();
        match step {
            Step::Add => self.add(&now),
            Step::Remove(index) => self.remove(&now, index),
            Step::Rotate => Some(now.rotate(&mut self.owner.rng, act).unwrap()),
            Step::Prove(index) => {
                let opened = match self.live.len() {
                    0 => now,
                    count => open(
                        &self.owner.bytes,
                        &Self::secret(self.live[index.index(count)]),
                    )
                    .unwrap(),
                };
                let next = opened.record_proof(&mut self.owner.rng, act).unwrap();
                let slots = next.unlocked.slots();
                let proven = slots
                    .iter()
                    .find(|slot| Some(slot.id) == opened.opened_with())
                    .unwrap();
                assert_eq!(proven.last_proven_ms, Some(act.now_ms));
                Some(next)
            }
            Step::Device
                if now
                    .devices()
                    .iter()
                    .filter(|device| device.revoked_ms.is_none())
                    .count()
                    < 4 =>
            {
                Some(
                    now.add_device(&mut self.owner.rng, NOW, "another")
                        .unwrap()
                        .0,
                )
            }
            Step::Revoke(index) => {
                let devices = now.devices();
                let others = devices[1..]
                    .iter()
                    .filter(|device| device.revoked_ms.is_none())
                    .collect::<Vec<_>>();
                let device = others.get(index.index(others.len().max(1)))?;
                Some(
                    now.revoke_device(&mut self.owner.rng, act, &device.id)
                        .unwrap(),
                )
            }
            Step::Fork(a, b) => {
                let left = self.remove(&now, a).or_else(|| self.add(&now))?;
                let right = if b.index(2) == 0 {
                    self.add(&now)
                } else {
                    self.remove(&now, b)
                };
                let Some(right) = right else {
                    return Some(left);
                };
                let (left, right) = (left.unlocked, right.unlocked);
                self.run(&left);
                self.run(&right);
                let merged = left.merge_fork(&right, &mut self.owner.rng, act).unwrap();
                let locked = LockedKeyring::parse(&merged.bytes).unwrap();
                for side in [&left, &right] {
                    assert_eq!(verify_successor(side, &locked), Ok(()));
                    assert_eq!(side.seen().compare(&locked), Freshness::Newer);
                }
                Some(merged)
            }
            Step::Device => None,
        }
    }

    fn run(&mut self, unlocked: &Unlocked) {
        let key = RunKey::generate(&mut self.owner.rng);
        let sealed = seal_run_key(
            &unlocked.reader_public(),
            &key,
            &mut self.owner.rng,
            &unlocked.repository(),
        );
        self.runs.push((sealed.to_vec(), key));
    }

    fn check(&self, before: &Unlocked, is_fork: bool, all: bool) {
        let bytes = &self.owner.bytes;
        let now = open(bytes, &self.owner.secret()).unwrap();
        let some = |ids: &[u8]| ids[if all { 0 } else { ids.len().saturating_sub(1) }..].to_vec();
        for id in &some(&self.live) {
            let opened = open(bytes, &Self::secret(*id)).unwrap();
            assert_eq!(opened.events(), now.events());
        }
        for id in &self.removed {
            assert_eq!(
                open(bytes, &Self::secret(*id)).unwrap_err(),
                OpenError::NoMatchingSlot
            );
        }
        for (sealed, key) in &self.runs[if all {
            0
        } else {
            self.runs.len().saturating_sub(3)
        }..]
        {
            assert_eq!(
                now.open_run_key(sealed).unwrap().expose_secret(),
                key.expose_secret()
            );
        }
        assert_eq!(
            now.chunk_id_key().expose_secret(),
            before.chunk_id_key().expose_secret()
        );
        assert_eq!(now.prf_input(), before.prf_input());
        assert!(now.events().starts_with(before.events()));
        if !is_fork {
            let locked = LockedKeyring::parse(bytes).unwrap();
            assert_eq!(verify_successor(before, &locked), Ok(()));
            assert_eq!(before.seen().compare(&locked), Freshness::Newer);
            assert_eq!(now.seen().compare(&locked), Freshness::Same);
            let device = self.owner.credential.device();
            let held = before.writer_credentials(&device).unwrap();
            let fresh = locked
                .open_device_slot(&self.owner.credential, &held)
                .unwrap();
            assert_eq!(
                fresh.writer_key.expose_secret(),
                now.writer_key(&device).expose_secret()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn two_thousand_changes_lose_nothing_and_let_nobody_in(
        seed: u64, steps in prop::collection::vec(step(), STEPS),
    ) {
        let mut owner = Owner::new(seed);
        owner.prove_recovery();
        let mut model = Model { owner, live: vec![], removed: vec![], next_id: 1, runs: vec![] };
        for (index, step) in steps.into_iter().enumerate() {
            let before = open(&model.owner.bytes, &model.owner.secret()).unwrap();
            if let Some(next) = model.change(step) {
                model.owner.take(next);
            }
            if model.owner.unlocked.seen() == before.seen() {
                continue;
            }
            if model.runs.len() < 40 {
                let unlocked = open(&model.owner.bytes, &model.owner.secret()).unwrap();
                model.run(&unlocked);
            }
            model.check(&before, matches!(step, Step::Fork(..)), index % 10 == 9);
        }
    }
}
