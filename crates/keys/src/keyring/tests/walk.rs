//! Any mix of changes, by several computers, at a store that may show an older keyring, each killed at
//! any point: who may open it opens it, who was removed does not, nothing is lost, and what the owner
//! is told is so.
//!
//! 100,000 steps with `HEIRLOOM_LONG=1`, a sample of 3,000 otherwise. `HEIRLOOM_SEED` names the first
//! walk's seed; a failure prints its own.

mod check;
mod model;
mod world;

use secrecy::ExposeSecret as _;

use super::*;
use crate::{Admission, DeviceWay, EventKind, Freshness, OpenError, RunKey, seal_run_key};
use model::{By, DeviceNo, Kind, Op, State, Way, WayNo};
use world::{Computer, Counts, Node, Run, Slot, World, method, own_credential, provider};

const STEPS_OF_A_WALK: usize = 100;

/// What must have occurred in a sample too: each occurs in its hundreds there, so that no seed is without it.
const ALWAYS_OCCUR: [&str; 8] = [
    "add",
    "killed after storing",
    "prove",
    "remove",
    "remove refused: LastWayIn",
    "run",
    "status AlmostProtected",
    "store showed an older keyring",
];

/// What must have occurred at full counts, or the walk shows less than it says.
const MUST_OCCUR: [&str; 50] = [
    "add",
    "add refused: AlreadyEnrolled",
    "add refused: Retired",
    "add refused: UnknownDevice",
    "admit",
    "admit refused: AlreadyEnrolled",
    "admit refused: UnknownDevice",
    "cancel",
    "cancel refused: NoRemovalPlanned",
    "enrol",
    "forged keyring refused",
    "killed after storing",
    "killed before storing",
    "let a known computer in again",
    "merge",
    "merge of no fork refused",
    "merge refused: LastProvenWay",
    "merge refused: LastWayIn",
    "merge refused: UnknownDevice",
    "plan",
    "plan refused: RemovalPlanned",
    "prove",
    "remove",
    "remove refused: LastProvenWay",
    "remove refused: LastWayIn",
    "remove refused: OnlyExtraWays",
    "remove refused: UnknownSlot",
    "rename a device",
    "rename a way",
    "revoke",
    "revoke refused: UnknownDevice",
    "revoked a computer with its way",
    "revoked computer found no slot",
    "rotate",
    "run",
    "run of a removed backup refused",
    "seen",
    "status AlmostProtected",
    "status CheckDue",
    "status Ending",
    "status Protected",
    "stood on another side of a fork",
    "store showed a fork",
    "store showed an older keyring",
    "told that nothing was proven yet",
    "unlock with a computer's own way",
    "unlock with a removed way refused",
    "unlock with the way of a revoked computer refused",
    "what was removed reads no new run",
    "what was removed reads an old run",
];

#[test]
fn no_walk_locks_its_owner_out_or_lets_anybody_else_in() {
    let is_long = std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1");
    let steps = if is_long { 100_000 } else { 3_000 };
    let first = std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let started = std::time::Instant::now();
    let walks = u64::try_from(steps / STEPS_OF_A_WALK).unwrap();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let walk_every = |from: u64| {
        let mut counts = Counts::default();
        for walk in (from..walks).step_by(threads) {
            walk_once(first + walk, &mut counts);
        }
        counts
    };
    let counts = std::thread::scope(|scope| {
        let walkers: Vec<_> = (0..u64::try_from(threads).unwrap())
            .map(|from| scope.spawn(move || walk_every(from)))
            .collect();
        let each = walkers.into_iter().map(|walker| walker.join().unwrap());
        each.fold(Counts::default(), Counts::and)
    });
    let seconds = started.elapsed().as_secs_f64();
    let rate = f64::from(u32::try_from(steps).unwrap()) / seconds;
    println!(
        "{steps} steps from seed {first} in {seconds:.1} s, {rate:.0} in a second, {threads} threads"
    );
    for (what, count) in &counts.0 {
        println!("{count:7} {what}");
    }
    let expected: &[&str] = if is_long { &MUST_OCCUR } else { &ALWAYS_OCCUR };
    let missing: Vec<_> = expected
        .iter()
        .filter(|what| !counts.0.contains_key(**what))
        .collect();
    assert!(missing.is_empty(), "never occurred: {missing:?}");
}

fn walk_once(seed: u64, counts: &mut Counts) {
    let mut told = Told { seed, step: 0 };
    let mut world = World::new(seed);
    for step in 0..STEPS_OF_A_WALK {
        told.step = step;
        world.step(counts);
    }
    world.check_all(counts);
}

/// Says where a walk failed.
struct Told {
    seed: u64,
    step: usize,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("HEIRLOOM_SEED={} fails at step {}", self.seed, self.step);
        }
    }
}

impl World {
    fn step(&mut self, counts: &mut Counts) {
        self.now_ms += 1 + i64::try_from(self.below(6 * 86_400_000)).unwrap();
        let mut device = self.below(self.computers.len());
        let is_revoked = |world: &Self| !world.nodes[world.nodes.len() - 1].state.is_active(device);
        if is_revoked(self) && self.chance(75) {
            device = self.below(self.computers.len());
        }
        let node = self.shown(device);
        if self.chance(3) {
            return self.refuse_forged(node, counts);
        }
        if !self.follow(device, node, counts) {
            return;
        }
        if self.chance(25) {
            self.run(device, node, counts);
            return;
        }
        let ways: Vec<WayNo> = self.nodes[node].state.ways.keys().copied().collect();
        let all: Vec<WayNo> = (0..self.slots.len()).collect();
        let at_hand: Vec<WayNo> = ways
            .iter()
            .copied()
            .filter(|way| self.was_opened(node, *way))
            .collect();
        let from = match self.below(10) {
            0 => all,
            1..6 if !at_hand.is_empty() => at_hand,
            _ => ways,
        };
        let way = self.pick(&from).unwrap();
        let Some(opened_with) = self.opens(node, way) else {
            let refusal = self.unlock(node, way).unwrap_err();
            assert!(
                matches!(
                    refusal,
                    OpenError::NoMatchingSlot | OpenError::WrongRecoveryKey
                ),
                "{refusal}"
            );
            if matches!(self.slots[way].kind, Kind::Device(no) if self.is_revoked_at(node, no)) {
                counts.add("unlock with the way of a revoked computer refused");
            }
            return counts.add("unlock with a removed way refused");
        };
        if matches!(self.slots[way].kind, Kind::Device(_)) {
            counts.add("unlock with a computer's own way");
        }
        let opened = self.unlock(node, way).unwrap();
        assert_eq!(opened.opened_with(), Some(self.slots[opened_with].id));
        let by = By {
            device,
            opened_with,
            now_ms: self.now_ms,
            epoch: self.epochs,
        };
        self.epochs += 1;
        let other = self
            .tips()
            .into_iter()
            .find(|tip| !self.leads_to(*tip, node) && !self.leads_to(node, *tip));
        match other {
            Some(other) if self.chance(50) => self.merge(&opened, node, other, by, counts),
            _ if self.chance(2) => {
                let earlier = self.below(node + 1);
                if self.leads_to(earlier, node) {
                    self.refuse_to_merge_a_line(&opened, earlier, by, counts);
                }
            }
            _ if self.chance(if self.room < 4 { 12 } else { 3 }) => {
                self.tear(&opened, node, by, counts);
            }
            _ => {
                let (what, op) = self.draw(node);
                let at_kill = self.below(12);
                self.change(&opened, node, by, (what, &op), at_kill, counts);
            }
        }
    }

    /// What the store shows: the newest, what the computer knows already as if nothing were newer,
    /// or anything that it ever held.
    fn shown(&mut self, device: DeviceNo) -> usize {
        let tips = self.tips();
        match self.below(100) {
            0..8 => self.below(self.nodes.len()),
            8..20 if tips.len() < 3 => self.computers[device].node,
            _ => {
                let mine: Vec<_> = tips
                    .iter()
                    .copied()
                    .filter(|tip| self.leads_to(self.computers[device].node, *tip))
                    .collect();
                let from = if mine.is_empty() || self.chance(10) {
                    tips
                } else {
                    mine
                };
                self.pick(&from).unwrap()
            }
        }
    }

    /// The computer looks at what the store shows, as it does before anything else; whether it goes on.
    fn follow(&mut self, device: DeviceNo, node: usize, counts: &mut Counts) -> bool {
        let known = self.computers[device].node;
        let seen = crate::Seen {
            number: self.nodes[known].state.number,
            hash: self.locked[known].hash(),
            events: self.nodes[known].state.events(),
        };
        let expected = if known == node {
            Freshness::Same
        } else if self.nodes[node].state.number < seen.number {
            Freshness::Older
        } else if self.leads_to(known, node) {
            Freshness::Newer
        } else {
            Freshness::Forked
        };
        assert_eq!(
            seen.compare_through(&self.locked[node], &self.locked),
            expected
        );
        let held_number = self.computers[device].held.keyring_number;
        if expected == Freshness::Same && held_number == seen.number && self.chance(70) {
            return true;
        }
        let computer = &self.computers[device];
        let opened = self.locked[node].open_device_slot(&computer.credential, &computer.held);
        match expected {
            Freshness::Older => {
                if self.nodes[node].state.number < held_number {
                    assert!(matches!(opened.unwrap_err(), OpenError::Older { .. }));
                }
                counts.add("store showed an older keyring");
                return false;
            }
            Freshness::Forked => {
                counts.add("store showed a fork");
                return false;
            }
            Freshness::Same | Freshness::Newer => {}
        }
        if !self.nodes[node].state.is_active(device) {
            assert_eq!(opened.unwrap_err(), OpenError::NoMatchingSlot);
            counts.add("revoked computer found no slot");
            return true;
        }
        let held = opened.unwrap();
        assert_eq!(held.removal_due_ms, self.nodes[node].state.due_ms);
        let computer = &mut self.computers[device];
        computer.held = held;
        computer.node = node;
        true
    }

    /// An unattended backup.
    fn run(&mut self, device: DeviceNo, node: usize, counts: &mut Counts) {
        let state = &self.nodes[node].state;
        if !state.is_active(device) {
            return;
        }
        if self.computers[device].held.removal_due_ms.is_some() {
            return counts.add("run of a removed backup refused");
        }
        let epoch = *state.epochs.last().unwrap();
        let removed: Vec<WayNo> = state.removed.iter().copied().collect();
        let key = RunKey::generate(&mut self.rng);
        let held = &self.computers[device].held;
        let sealed = seal_run_key(&held.reader_public, &key, &mut self.rng, &held.repository);
        let sealed = sealed.to_vec();
        if let Some(way) = self
            .pick(&removed)
            .filter(|_| self.runs.len().is_multiple_of(2))
        {
            self.check_removed_reads_nothing(way, node, epoch, &sealed, counts);
        }
        self.runs.push(Run { epoch, key, sealed });
        counts.add("run");
    }

    /// Two removals from one keyring, at two computers or by one that was killed between them.
    fn tear(&mut self, opened: &Unlocked, node: usize, by: By, counts: &mut Counts) {
        let live: Vec<WayNo> = self.nodes[node].state.ways.keys().copied().collect();
        for _ in 0..2 {
            let op = Op::Remove(self.pick(&live).unwrap());
            self.now_ms += 1;
            let (now_ms, epoch) = (self.now_ms, self.epochs);
            self.epochs += 1;
            let by = By {
                now_ms,
                epoch,
                ..by
            };
            self.change(opened, node, by, ("remove", &op), 1, counts);
        }
    }

    /// Makes the change, or is refused as the model says; `at_kill` is 0 or 1 where the computer dies.
    fn change(
        &mut self,
        opened: &Unlocked,
        node: usize,
        by: By,
        (what, op): (&str, &Op),
        at_kill: usize,
        counts: &mut Counts,
    ) {
        let mut rng = TestRng::new(rand_core::Rng::next_u64(&mut self.rng));
        let (rng, act) = (&mut rng, self.act(by.device));
        let mut joined = None;
        let let_in = match op {
            Op::Admit(_, computer, _) if *computer == self.computers.len() => {
                let credential = DeviceCredential::generate(rng, opened.repository());
                let its = DeviceWay::generate(rng, &credential);
                Some((credential, its))
            }
            _ => None,
        };
        let made = match op {
            Op::Add(no, way) => {
                let secret = self.entropy(way.kind, way.credential);
                let slot = NewSlot {
                    name: &way.name,
                    method: method(way.kind, way.credential),
                    provider: provider(way.kind),
                    secret: &secret,
                };
                assert_eq!(*no, self.slots.len());
                opened.add_slot(rng, act, slot)
            }
            Op::Prove => opened.record_proof(rng, act),
            Op::Remove(no) => opened.remove_slot(rng, act, &self.slots[*no].id),
            Op::Rotate => opened.rotate(rng, act),
            Op::RenameWay(no, name) => opened.rename_slot(rng, act, &self.slots[*no].id, name),
            Op::RenameDevice(no, name) => {
                opened.rename_device(rng, act, &self.act(*no).device, name)
            }
            Op::Plan => opened.plan_removal(rng, act),
            Op::Cancel => opened.cancel_removal(rng, act),
            Op::Enrol(_) => {
                opened
                    .add_device(rng, act.now_ms, "another")
                    .map(|(next, credential)| {
                        joined = Some(credential);
                        next
                    })
            }
            Op::Admit(no, computer, way) => {
                assert_eq!(*no, self.slots.len());
                let known = || {
                    let known = &self.computers[*computer];
                    (&known.credential, &known.way)
                };
                let (credential, its) = let_in
                    .as_ref()
                    .map_or_else(known, |(credential, its)| (credential, its));
                // As it travels.
                let asked = its.ask(rng, credential).unwrap().expose_bytes();
                let admission = Admission::from_bytes(asked.expose_secret()).unwrap();
                opened.admit(rng, act, &way.name, &admission)
            }
            Op::Revoke(no) => opened.revoke_device(rng, act, &self.act(*no).device),
            Op::Seen => opened.record_seen(rng, act),
        };
        let expected = self.nodes[node].state.apply(op, by);
        let (made, state) = match (made, expected) {
            (Ok(made), Ok(state)) => (made, state),
            (made, expected) => {
                let refusal = made.map(drop).unwrap_err();
                assert_eq!(refusal, expected.map(drop).unwrap_err(), "{op:?}");
                return counts.add(format!("{what} refused: {refusal:?}"));
            }
        };
        counts.add(what);
        match op {
            Op::Revoke(_) if state.ways.len() < self.nodes[node].state.ways.len() => {
                counts.add("revoked a computer with its way");
            }
            Op::Admit(_, no, _) if *no < self.computers.len() => {
                counts.add("let a known computer in again");
            }
            _ => {}
        }
        if at_kill == 0 {
            return counts.add("killed before storing");
        }
        self.remember_slot(op, &made);
        let mut author = by.device;
        if let Some((credential, way)) = let_in {
            self.remember_computer(credential, way, &made);
        }
        if let Some(credential) = joined {
            author = self.computers.len();
            let way = DeviceWay::generate(rng, &credential);
            let held = made
                .unlocked
                .writer_credentials(&credential.device())
                .unwrap();
            self.computers.push(Computer {
                credential,
                way,
                held,
                node: self.nodes.len(),
                made: 0,
            });
        }
        self.store(made, state, &[(node, opened)], author, at_kill == 1, counts);
    }

    fn remember_slot(&mut self, op: &Op, made: &Successor) {
        if let Op::Add(_, way) | Op::Admit(_, _, way) = op {
            let (kind, credential) = (way.kind, way.credential);
            let id = made.unlocked.slots().last().unwrap().id;
            self.slots.push(Slot {
                kind,
                credential,
                id,
            });
        }
    }

    /// A computer that was let in opens the backup for the first time with the way that it was just given.
    fn remember_computer(
        &mut self,
        credential: DeviceCredential,
        way: DeviceWay,
        made: &Successor,
    ) {
        let opened = LockedKeyring::parse(&made.bytes).unwrap();
        let opened = opened.unlock(&way.unlock_secret()).unwrap();
        self.computers.push(Computer {
            held: opened.writer_credentials(&credential.device()).unwrap(),
            credential,
            way,
            node: self.nodes.len(),
            made: 0,
        });
    }

    /// What a person might do now.
    fn draw(&mut self, node: usize) -> (&'static str, Op) {
        let state: State = self.nodes[node].state.clone();
        let live: Vec<WayNo> = state.ways.keys().copied().collect();
        let name = format!("{}", self.now_ms % 1000);
        let drawn = self.below(25);
        // Where there is room for few ways only, forks come that would leave none.
        match if self.room < 4 && (20..22).contains(&drawn) {
            9
        } else {
            drawn
        } {
            0..4 if live.len() < self.room => ("add", self.draw_way()),
            0..9 => ("prove", Op::Prove),
            9..12 => {
                let all: Vec<WayNo> = (0..self.slots.len()).collect();
                let from = if self.chance(90) { live } else { all };
                ("remove", Op::Remove(self.pick(&from).unwrap()))
            }
            12 => ("rotate", Op::Rotate),
            13..15 => (
                "rename a way",
                Op::RenameWay(self.pick(&live).unwrap(), name),
            ),
            15 => {
                let devices: Vec<DeviceNo> = state.devices.keys().copied().collect();
                (
                    "rename a device",
                    Op::RenameDevice(self.pick(&devices).unwrap(), name),
                )
            }
            19 if self.chance(40) => {
                let devices: Vec<DeviceNo> = state.devices.keys().copied().collect();
                ("revoke", Op::Revoke(self.pick(&devices).unwrap()))
            }
            16 if state.due_ms.is_none() || self.chance(10) => ("plan", Op::Plan),
            16..19 if state.due_ms.is_some() || self.chance(10) => ("cancel", Op::Cancel),
            16..20
                if state
                    .devices
                    .values()
                    .filter(|known| !known.is_revoked)
                    .count()
                    < 4 =>
            {
                ("enrol", Op::Enrol(self.computers.len()))
            }
            22.. if live.len() < self.room + 2 => ("admit", self.draw_admission(&state)),
            _ => ("seen", Op::Seen),
        }
    }

    /// A computer that nobody knows yet, or any other.
    fn draw_admission(&mut self, state: &State) -> Op {
        let is_full = state
            .devices
            .values()
            .filter(|known| !known.is_revoked)
            .count()
            >= 5;
        let computer = if is_full || self.chance(40) {
            self.below(self.computers.len())
        } else {
            self.computers.len()
        };
        let way = Way {
            kind: Kind::Device(computer),
            credential: own_credential(computer),
            name: "let in".into(),
            proofs: 0,
            proven_ms: None,
        };
        Op::Admit(self.slots.len(), computer, way)
    }

    fn is_revoked_at(&self, node: usize, device: DeviceNo) -> bool {
        let devices = &self.nodes[node].state.devices;
        devices.get(&device).is_some_and(|known| known.is_revoked)
    }

    fn draw_way(&mut self) -> Op {
        let used = self.below(self.slots.len());
        let known = &self.slots[used];
        let (kind, credential) =
            if !matches!(known.kind, Kind::Paper | Kind::Device(_)) && self.rng_says_again() {
                (self.slots[used].kind, self.slots[used].credential)
            } else {
                let provider = u8::try_from(self.below(4)).unwrap();
                let (is_synced, is_localhost) = (self.chance(60), self.chance(40));
                let kind = match self.below(10) {
                    0..3 => Kind::Paper,
                    3 => Kind::Password,
                    _ => Kind::Passkey(provider, is_synced, is_localhost),
                };
                self.credentials += 1;
                (kind, self.credentials)
            };
        let way = Way {
            kind,
            credential,
            name: "new".into(),
            proofs: 0,
            proven_ms: None,
        };
        Op::Add(self.slots.len(), way)
    }

    fn rng_says_again(&mut self) -> bool {
        self.chance(20)
    }

    fn merge(&mut self, opened: &Unlocked, node: usize, other: usize, by: By, counts: &mut Counts) {
        counts.add("stood on another side of a fork");
        let theirs: Vec<WayNo> = self.nodes[other].state.ways.keys().copied().collect();
        let way = self.pick(&theirs).unwrap();
        let theirs = self.unlock(other, way).unwrap();
        let mut rng = TestRng::new(rand_core::Rng::next_u64(&mut self.rng));
        let made = opened.merge_fork(&theirs, &mut rng, self.act(by.device));
        let expected = self.nodes[node].state.merge(&self.nodes[other].state, by);
        match (made, expected) {
            (Ok(made), Ok(state)) => {
                counts.add("merge");
                let is_killed = self.below(12) == 0;
                self.store(
                    made,
                    state,
                    &[(node, opened), (other, &theirs)],
                    by.device,
                    is_killed,
                    counts,
                );
            }
            (made, expected) => {
                let refusal = made.map(drop).unwrap_err();
                assert_eq!(refusal, expected.map(drop).unwrap_err());
                counts.add(format!("merge refused: {refusal:?}"));
            }
        }
    }

    fn refuse_to_merge_a_line(
        &mut self,
        opened: &Unlocked,
        earlier: usize,
        by: By,
        counts: &mut Counts,
    ) {
        let ways: Vec<WayNo> = self.nodes[earlier].state.ways.keys().copied().collect();
        let way = self.pick(&ways).unwrap();
        let earlier = self.unlock(earlier, way).unwrap();
        let act = self.act(by.device);
        for (a, b) in [(opened, &*earlier), (&*earlier, opened)] {
            let outcome = a.merge_fork(b, &mut self.rng, act);
            assert_eq!(outcome.map(drop).unwrap_err(), ChangeError::NotAFork);
        }
        counts.add("merge of no fork refused");
    }

    fn store(
        &mut self,
        made: Successor,
        state: State,
        parents: &[(usize, &Unlocked)],
        author: DeviceNo,
        is_killed: bool,
        counts: &mut Counts,
    ) {
        let Successor { bytes, unlocked } = made;
        let node = self.nodes.len();
        let mut line: std::collections::BTreeSet<usize> = [node].into();
        for (parent, _) in parents {
            line.extend(&self.nodes[*parent].line);
        }
        self.locked.push(LockedKeyring::parse(&bytes).unwrap());
        let computer = &mut self.computers[author];
        computer.made = computer.made.max(state.number);
        let device = computer.credential.device();
        if is_killed {
            counts.add("killed after storing");
        } else if unlocked
            .devices()
            .iter()
            .any(|known| known.id == device && known.revoked_ms.is_none())
        {
            // What it holds to write with comes from its own slot, when it looks again.
            computer.node = node;
        }
        assert_eq!(
            unlocked
                .events()
                .last()
                .map(|event| event.kind == EventKind::Merged),
            Some(parents.len() == 2)
        );
        self.nodes.push(Node {
            state,
            parents: parents.iter().map(|(parent, _)| *parent).collect(),
            line,
            bytes,
        });
        self.check(node, &unlocked, parents, counts);
    }
}
