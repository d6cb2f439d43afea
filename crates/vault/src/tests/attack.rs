//! The guess limit under attack: 64 clients at once against a real server process that is killed at random
//! instants, while its clock is set forth and back and the owner changes the password. What counts is what clients
//! received.
//!
//! The server is this program, run again as [`process::server_process`]. Ten kills, 500 with `HEIRLOOM_LONG=1`.

mod people;
mod process;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use heirloom_vault_api::*;

use self::people::{Change, Owner, STEPS, Seen, Step, attack};
pub(super) use self::process::{Process, set};
use super::client::Client;
use super::cluster::Cluster;
use super::harness::{DAY, Engine, Rows};
use crate::Isolation;

const CLIENTS: usize = 64;
/// Lives that have seen most of theirs: so the cap of a life is reached in a sample, too.
const AGED: u32 = 80;

pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// SplitMix64.
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

/// What an attack came to.
#[derive(Debug, Default)]
struct Came {
    kills: u32,
    proofs: u32,
    /// Proofs by the tenth guess.
    by_the_last: u32,
    destroyed: u32,
    /// Of these, by the hundredth unproven evaluation of a life.
    worn_out: u32,
    changes: u32,
    /// Of these, in force during the attack.
    activated: u32,
    answered: u32,
    /// Of these, with a password that had been replaced.
    older: u32,
    /// The most evaluations that were answered between two proven successes.
    most: u32,
    /// The most of one record's life.
    most_in_life: u32,
}

/// Writes down where the servers find their rows.
fn tell_rows(rows: &Rows, folder: &Path) {
    if let Rows::Server {
        cluster,
        schema,
        isolation,
        deadline: _,
    } = rows
    {
        fs::write(folder.join("address"), cluster.address(schema)).unwrap();
        if *isolation == Isolation::Serializable {
            fs::write(folder.join("serializable"), "").unwrap();
        }
    }
}

/// Somebody with an account and a password, from a server that is gone again.
fn first_owner(folder: &Path) -> Owner {
    let process = Process::start(folder);
    let mut client = Client::new(process.address);
    let signed_in: SignedIn = client
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap()
        .json();
    client.token = Some(signed_in.token);
    let mut owner = Owner {
        identity: client.identity(),
        client,
        record: Fixed([0; 16]),
        first: 0,
        active: 0,
        unknown: None,
        passwords: 0,
    };
    owner.enrol();
    process.kill();
    owner
}

/// What one life of the server is to see.
struct Round {
    is_control: bool,
    /// The step of the owner's change before which the attack begins.
    change: Option<Step>,
    /// Whether the owner keeps an evaluation of the version before.
    keeps: bool,
    /// Whether the kill waits for the change.
    waits: bool,
    rest: Duration,
    /// Which way the clock goes, and how far back.
    turns: Vec<(u64, u64)>,
}

impl Round {
    fn roll(dice: &mut Dice, number: u32, is_control: bool) -> Self {
        // Shorter and longer lives; a control is given time to fail on a slow machine.
        let rest = dice.roll(150_000) + if is_control { 400_000 } else { 0 };
        let steps = dice.roll(6);
        let turns = (0..steps).map(|_| (dice.roll(4), dice.roll(DAY))).collect();
        let step = STEPS[usize::try_from(dice.roll(4)).unwrap()];
        let changes = !is_control && dice.roll(3) == 0;
        let first = !is_control && number == 0;
        Self {
            is_control,
            // The first one is sure to come about: the attack begins when all but the last step is done.
            change: if first {
                Some(Step::Activates)
            } else {
                changes.then_some(step)
            },
            keeps: dice.roll(2) == 0,
            waits: first || dice.roll(2) == 0,
            rest: Duration::from_micros(rest),
            turns,
        }
    }
}

/// The attack, until the server is killed.
fn live(
    folder: &Path,
    now: &mut u64,
    owner: &mut Owner,
    dice: &mut Dice,
    round: &Round,
) -> (Seen, Change) {
    let clock = folder.join("clock");
    let process = Process::start(folder);
    owner.client.address = process.address;
    if round.is_control {
        fs::write(folder.join("control"), "").unwrap();
    }
    let seen = Seen::default();
    seen.replaced.store(owner.active, Ordering::SeqCst);
    let begun = AtomicBool::new(round.change.is_none());
    let (pinned, first, client) = (owner.pinned(), owner.first, owner.client.clone());
    let dices: Vec<_> = (0..CLIENTS).map(|_| Dice(dice.roll(u64::MAX))).collect();
    let changed = Mutex::new(Change::default());
    std::thread::scope(|scope| {
        let (seen, begun, client, changed) = (&seen, &begun, &client, &changed);
        for dice in dices {
            scope.spawn(move || {
                while !begun.load(Ordering::SeqCst) && !seen.over.load(Ordering::SeqCst) {
                    std::thread::sleep(Duration::from_micros(100));
                }
                attack(client, pinned, first, dice, seen);
            });
        }
        let owners = round.change.map(|at| {
            let keeps = round.keeps;
            scope.spawn(move || {
                let reached = |step: Step| {
                    if step == at {
                        begun.store(true, Ordering::SeqCst);
                    }
                };
                let change = owner.change(keeps, seen, reached);
                begun.store(true, Ordering::SeqCst);
                *changed.lock().unwrap_or_else(PoisonError::into_inner) = change;
            })
        });
        if let (true, Some(owners)) = (round.waits, owners) {
            while !owners.is_finished() {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        let pause = round.rest / u32::try_from(round.turns.len() + 1).unwrap();
        // The clock goes on by days, so that back-off lets guesses through, and sometimes back.
        for (way, by) in &round.turns {
            *now = if *way == 0 { *now - by } else { *now + DAY };
            set(&clock, *now);
            std::thread::sleep(pause);
        }
        std::thread::sleep(pause);
        process.kill();
        seen.over.store(true, Ordering::SeqCst);
    });
    let change = changed.into_inner().unwrap();
    (seen, change)
}

/// An attack, with what is counted over all lives of the server.
struct Run {
    rows: Rows,
    dice: Dice,
    now: u64,
    owner: Owner,
    came: Came,
    since_proof: u32,
    in_life: u32,
    /// Whether the owner of this record comes back before the tenth guess.
    is_careful: bool,
}

impl Run {
    fn count(&mut self, answered: u32) {
        self.since_proof += answered;
        self.in_life += answered;
        self.came.most = self.came.most.max(self.since_proof);
        self.came.most_in_life = self.came.most_in_life.max(self.in_life);
    }

    /// A record from here on, while no server runs.
    fn begin(&mut self) {
        self.since_proof = 0;
        self.in_life = 0;
        self.is_careful = self.dice.roll(2) == 0;
        if self.dice.roll(2) == 0 {
            self.rows
                .sql(&format!("UPDATE vault_record SET lifetime = {AGED}"));
            self.in_life = AGED;
        }
    }

    /// The owner comes back, when every wait is over.
    fn come_back(&mut self, folder: &Path) {
        let clock = folder.join("clock");
        self.now += 2 * DAY;
        set(&clock, self.now);
        let process = Process::start(folder);
        self.owner.client.address = process.address;
        self.came.activated += u32::from(self.owner.learn());
        match self.owner.login() {
            Ok(confirmed) => {
                // Nothing that was answered is missing from the count.
                assert!(
                    confirmed.failed >= self.since_proof,
                    "{confirmed:?} {}",
                    self.since_proof
                );
                self.came.proofs += 1;
                self.came.by_the_last += u32::from(confirmed.failed == 9);
                self.since_proof = 0;
                let (first, active) = (self.owner.first, self.owner.active);
                if active > first && self.dice.roll(2) == 0 {
                    let older = first + self.dice.roll(active - first);
                    if self.owner.tries_an_older_one(older) {
                        self.came.older += 1;
                        self.count(1);
                    }
                }
                process.kill();
            }
            Err(code) => {
                assert_eq!(code, Code::Destroyed);
                self.came.destroyed += 1;
                let status = self.owner.status();
                assert!(status.destroyed);
                self.came.worn_out += u32::from(status.lifetime_left == 0);
                // For good: the right password, a new version, time.
                self.now += 30 * DAY;
                set(&clock, self.now);
                assert_eq!(self.owner.login().unwrap_err(), Code::Destroyed);
                assert!(!self.owner.can_register());
                self.owner.enrol();
                process.kill();
                self.begin();
            }
        }
    }
}

fn run(engine: Engine, kills: u32, is_control: bool, seed: u64) -> Came {
    println!("HEIRLOOM_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let now = 1_700_000_000_000;
    set(&folder.join("clock"), now);
    fs::create_dir(folder.join("data")).unwrap();
    let rows = Rows::on(engine, &folder.join("data"));
    tell_rows(&rows, folder);
    let mut run = Run {
        owner: first_owner(folder),
        rows,
        dice: Dice(seed),
        now,
        came: Came::default(),
        since_proof: 0,
        in_life: 0,
        is_careful: false,
    };
    if !is_control {
        run.begin();
    }
    for number in 0..kills {
        run.now += 2 * DAY;
        set(&folder.join("clock"), run.now);
        let round = Round::roll(&mut run.dice, number, is_control);
        let (life, change) = live(folder, &mut run.now, &mut run.owner, &mut run.dice, &round);
        run.came.kills += 1;
        run.came.changes += u32::from(round.change.is_some());
        run.came.activated += u32::from(change.is_activated);
        run.came.answered += life.answered.load(Ordering::SeqCst);
        run.came.older += life.older.load(Ordering::SeqCst);
        run.count(life.answered.load(Ordering::SeqCst) + change.unproven);
        if is_control {
            continue;
        }
        let (since_proof, in_life) = (run.since_proof, run.in_life);
        assert!(since_proof <= 10, "{since_proof} evaluations were answered");
        assert!(in_life <= 100, "{in_life} in the record's life");
        if run.is_careful || run.dice.roll(3) == 0 || number + 1 == kills {
            run.come_back(folder);
        }
    }
    println!("{engine:?}: {:?}", run.came);
    run.came
}

fn seed() -> u64 {
    std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap())
}

fn is_long() -> bool {
    std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1")
}

fn kills() -> u32 {
    if is_long() { 500 } else { 10 }
}

/// What a run must have seen to say something; of a sample only what no chance decides.
fn said_something(came: &Came) {
    assert!(came.proofs + came.destroyed > 0, "{came:?}");
    if is_long() {
        let seen = [came.activated, came.older, came.worn_out, came.by_the_last];
        assert!(seen.iter().all(|times| *times > 0), "{came:?}");
    }
}

#[test]
fn v1_v2_v7_64_attackers_and_kills_never_get_more_than_ten_sqlite() {
    let came = run(Engine::Sqlite, kills(), false, seed());
    said_something(&came);
    // The first change of the password is activated under attack whatever the dice say.
    assert!(came.activated > 0, "{came:?}");
}

#[test]
fn v1_v2_v7_64_attackers_and_kills_never_get_more_than_ten_postgres() {
    if Cluster::shared().is_some() {
        said_something(&run(Engine::Postgres, kills(), false, seed()));
    }
}

#[test]
fn v1_v2_v7_64_attackers_and_kills_never_get_more_than_ten_serializable() {
    if Cluster::shared().is_some() {
        let came = run(Engine::Serializable, kills().div_ceil(3), false, seed());
        assert!(came.proofs + came.destroyed > 0, "{came:?}");
    }
}

/// The control: the same attack finds a server that counts after it answered.
#[test]
fn the_attack_finds_a_server_that_counts_after_it_answered() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if engine == Engine::Sqlite || Cluster::shared().is_some() {
            let found =
                (0..20).any(|try_| run(engine, 1, true, seed().wrapping_add(try_)).most > 10);
            assert!(found, "{engine:?}");
        }
    }
}
