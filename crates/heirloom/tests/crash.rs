//! A run that is killed (`SIGKILL`) at any instant loses nothing: the snapshot before it opens, the same command line
//! goes on and completes, and what it left behind is at most one pack a worker.
//!
//! `HEIRLOOM_LONG=1` kills at 200 instants of a backup; else a sample, whose seed is printed.

#![cfg(unix)]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails"
)]

#[path = "support/e2e.rs"]
mod e2e;

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use e2e::canon;
use e2e::chance::{self, Chance};
use e2e::corpus::Case;
use e2e::made::{Export, STYLES};
use e2e::session::{Ended, Session};
use e2e::tree;

/// Threads that store media at once: as many packs can be stored when a run is killed that it did not note yet.
const WORKERS: usize = 3;
/// Packs of a run that are not full: one of each worker, one of text, one of what leads to it. How many of the workers
/// have one is chance, for they race.
const UNFILLED: usize = WORKERS + 2;
const FIRST: [&str; 6] = [
    "backup",
    "source",
    "--to",
    "store",
    "--new-recovery-key-file",
    "key.txt",
];
const LATER: [&str; 4] = ["backup", "grown", "--to", "store"];
const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

/// A session with two sources, `source` and `grown`, which has more of the same chat.
struct Scene {
    session: Session,
    source: String,
    grown: String,
}

impl Scene {
    /// The media are so many that a run lasts long enough to be hit anywhere.
    fn new(chance: &mut Chance) -> Self {
        let session = Session::new();
        let style = *chance.one_of(STYLES);
        let whole = Export::new(chance, style, 4_000, 40, 800_000);
        whole.part(0..2_000).write(&session.path("source"));
        whole.write(&session.path("grown"));
        let [source, grown] =
            ["source", "grown"].map(|name| canon::of_source(&Case::new(&session.path(name))));
        Self {
            session,
            source,
            grown,
        }
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.session.run(args)
    }

    fn must(&self, args: &[&str], why: &str) -> Ended {
        let ended = self.run(args);
        assert_eq!(ended.code, 0, "{why}: {args:?}: {ended:?}");
        ended
    }

    /// Kills a run after some part of `run`; whether it was still at work. If not, `run` becomes shorter: the machine
    /// was busier when it was measured.
    fn kill_within(&self, args: &[&str], after: Duration, run: &mut Duration) -> bool {
        let killed = self.kill(args, after);
        if !killed {
            *run = after;
        }
        killed
    }

    /// Kills a run after some time; whether it was still at work.
    fn kill(&self, args: &[&str], after: Duration) -> bool {
        let mut command = self.session.command();
        command
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(after);
        let killed = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
        child.wait().unwrap();
        killed
    }

    /// How long a run takes that nobody kills.
    fn measure(&self, args: &[&str]) -> Duration {
        let begun = Instant::now();
        self.must(args, "nobody kills this one");
        begun.elapsed()
    }

    /// Puts store, home and key back to what they were.
    fn put_back(&self, kept: &Path) {
        self.forget(&["store", "home", "key.txt"]);
        tree::copy(&kept.join("store"), &self.session.path("store"));
        tree::copy(&kept.join("home"), &self.session.path("home"));
        std::fs::copy(kept.join("key.txt"), self.session.path("key.txt")).unwrap();
    }

    fn keep(&self, kept: &Path) {
        std::fs::create_dir_all(kept).unwrap();
        tree::copy(&self.session.path("store"), &kept.join("store"));
        tree::copy(&self.session.path("home"), &kept.join("home"));
        std::fs::copy(self.session.path("key.txt"), kept.join("key.txt")).unwrap();
    }

    fn forget(&self, names: &[&str]) {
        for name in names {
            let path = self.session.path(name);
            let _ = std::fs::remove_dir_all(&path);
            let _ = std::fs::remove_file(&path);
        }
    }

    /// What comes back with the key alone.
    fn restored(&self, why: &str) -> String {
        self.forget(&["restored"]);
        self.must(
            &[&["restore", "store", "--to", "restored"][..], &KEY].concat(),
            why,
        );
        canon::of_restored(&self.session.path("restored"))
    }

    /// All contents are sound; how many packs nothing needs.
    fn checked(&self, why: &str) -> usize {
        let check = ["check", "store", "--read-data", "--json"];
        let summary = self.must(&[&check[..], &KEY].concat(), why).summary();
        assert_eq!(
            (&summary["ok"], &summary["problems"]),
            (&true.into(), &0.into()),
            "{why}"
        );
        usize::try_from(summary["unused_packs"].as_u64().unwrap()).unwrap()
    }

    fn packs(&self) -> usize {
        tree::names(&self.session.path("store"), "packs/").len()
    }

    /// Unfinished writes; makes them old, so that the next run sweeps them.
    fn unfinished(&self) -> usize {
        let mut count = 0;
        for entry in std::fs::read_dir(self.session.path("store/tmp"))
            .into_iter()
            .flatten()
        {
            let file = std::fs::File::options()
                .write(true)
                .open(entry.unwrap().path())
                .unwrap();
            file.set_modified(SystemTime::now() - Duration::from_hours(48))
                .unwrap();
            count += 1;
        }
        count
    }

    /// The same command line goes on, and nothing is lost.
    fn goes_on(&self, args: &[&str], wanted: &str, undisturbed: usize, why: &str) {
        let unfinished = self.unfinished();
        assert!(
            unfinished <= WORKERS,
            "{why}: {unfinished} unfinished writes"
        );
        self.must(args, why);
        let unused = self.checked(why);
        assert!(
            unused <= WORKERS,
            "{why}: {unused} packs that nothing needs"
        );
        let packs = self.packs();
        assert!(
            packs <= undisturbed + 2 * UNFILLED,
            "{why}: {packs} packs, {undisturbed} without a kill"
        );
        assert_eq!(self.unfinished(), 0, "{why}: unfinished writes are swept");
        canon::assert_same(why, wanted, &self.restored(why));
    }
}

fn instant(chance: &mut Chance, run: Duration) -> Duration {
    let micros = u64::try_from(run.as_micros()).unwrap().max(1);
    Duration::from_micros(chance.below(micros))
}

#[test]
fn a_first_backup_that_was_killed_anywhere_goes_on() {
    let mut chance = Chance::of_this_run("a_first_backup_that_was_killed_anywhere_goes_on");
    let scene = Scene::new(&mut chance);
    let mut run = scene.measure(&FIRST);
    let packs = scene.packs();
    let mut hit = 0;
    let wanted = chance::times(6, 100);
    for _ in 0..wanted * 4 {
        if hit == wanted {
            break;
        }
        scene.forget(&["store", "home", "key.txt"]);
        let after = instant(&mut chance, run);
        hit += u64::from(scene.kill_within(&FIRST, after, &mut run));
        let why = format!("killed after {after:?} of {run:?}");
        scene.goes_on(&FIRST, &scene.source, packs, &why);
    }
    println!("{hit} runs were killed at work");
    // A run that has become quicker than the one that was measured may end before it is hit.
    assert!(
        hit * 2 >= wanted,
        "only {hit} of {wanted} runs were killed at work"
    );
}

#[test]
fn a_later_backup_that_was_killed_anywhere_leaves_the_one_before_it_and_goes_on() {
    let mut chance = Chance::of_this_run("a_later_backup_that_was_killed_anywhere");
    let scene = Scene::new(&mut chance);
    let kept = scene.session.path("kept");
    scene.must(&FIRST, "the first backup");
    scene.keep(&kept);
    let mut run = scene.measure(&LATER);
    let packs = scene.packs();
    let mut hit = 0;
    let wanted = chance::times(12, 200);
    for number in 0..wanted * 4 {
        if hit == wanted {
            break;
        }
        scene.put_back(&kept);
        let after = instant(&mut chance, run);
        hit += u64::from(scene.kill_within(&LATER, after, &mut run));
        let why = format!("killed after {after:?} of {run:?}");
        if number % 3 == 0 {
            scene.checked(&why);
            let found = scene.restored(&why);
            // The head may have been published already: then the run was as good as done.
            assert!(
                found == scene.source || found == scene.grown,
                "{why}: neither the snapshot before nor the new one opens"
            );
        }
        scene.goes_on(&LATER, &scene.grown, packs, &why);
    }
    println!("{hit} runs were killed at work");
    // A run that has become quicker than the one that was measured may end before it is hit.
    assert!(
        hit * 2 >= wanted,
        "only {hit} of {wanted} runs were killed at work"
    );
}

#[test]
fn a_run_that_is_killed_again_and_again_leaves_no_more_than_one_that_was_killed_once() {
    let mut chance = Chance::of_this_run("a_run_that_is_killed_again_and_again");
    let scene = Scene::new(&mut chance);
    let run = scene.measure(&FIRST);
    let packs = scene.packs();
    scene.forget(&["store", "home", "key.txt"]);
    let kills = chance::times(5, 40);
    for _ in 0..kills {
        scene.kill(&FIRST, instant(&mut chance, run));
        scene.unfinished();
    }
    scene.must(&FIRST, "after many kills");
    let unused = scene.checked("after many kills");
    let most = WORKERS * usize::try_from(kills).unwrap();
    assert!(
        unused <= most && scene.packs() <= packs + UNFILLED * (1 + usize::try_from(kills).unwrap()),
        "{} packs, {packs} without a kill, {unused} that nothing needs",
        scene.packs()
    );
    canon::assert_same(
        "after many kills",
        &scene.source,
        &scene.restored("after many kills"),
    );
}

#[test]
fn a_restore_that_was_killed_anywhere_goes_on() {
    let mut chance = Chance::of_this_run("a_restore_that_was_killed_anywhere_goes_on");
    let scene = Scene::new(&mut chance);
    scene.must(&FIRST, "the backup");
    let args = [&["restore", "store", "--to", "restored"][..], &KEY].concat();
    let mut run = scene.measure(&args);
    let mut hit = 0;
    let wanted = chance::times(8, 100);
    for _ in 0..wanted * 4 {
        if hit == wanted {
            break;
        }
        scene.forget(&["restored"]);
        let after = instant(&mut chance, run);
        hit += u64::from(scene.kill_within(&args, after, &mut run));
        let why = format!("killed after {after:?} of {run:?}");
        let again = scene.run(&args);
        // Killed between the last word of the run and its end: all is there, and nothing is written over it.
        let was_done = again.code == 2 && again.stderr.contains("complete");
        assert!(again.code == 0 || was_done, "{why}: {again:?}");
        let folder = scene.session.path("restored");
        canon::assert_same(&why, &scene.source, &canon::of_restored(&folder));
        let left: Vec<String> = tree::files(&folder)
            .into_keys()
            .filter(|name| name.contains(".part"))
            .collect();
        assert!(left.is_empty(), "{why}: {left:?}");
    }
    println!("{hit} runs were killed at work");
    // A run that has become quicker than the one that was measured may end before it is hit.
    assert!(
        hit * 2 >= wanted,
        "only {hit} of {wanted} runs were killed at work"
    );
}

#[test]
fn a_lock_dies_with_its_run() {
    let mut chance = Chance::of_this_run("a_lock_dies_with_its_run");
    let scene = Scene::new(&mut chance);
    scene.must(&FIRST, "the first backup");
    let mut child = scene
        .session
        .command()
        .args(LATER)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Long enough to hold the lock; a machine that is quicker than this proves nothing and fails nothing.
    std::thread::sleep(Duration::from_millis(25));
    let meanwhile = scene.run(&LATER);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!([0, 11].contains(&meanwhile.code), "{meanwhile:?}");
    scene.must(&LATER, "after the run that held the lock was killed");
}
