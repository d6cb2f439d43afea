//! Power cuts on SQLite: what had reached the disk at an instant while the server ran is all there is. Every count
//! and every head that somebody had heard of before must be in it.
//!
//! The database lies on ext4 in a file on XFS; a cut is a clone of that file (`cp --reflink`), mounted and opened:
//! ext4 replays its journal, SQLite its log. Ten cuts, 300 with `HEIRLOOM_LONG=1`. It needs root, loop devices and
//! Debian's `xfsprogs`. All mounts are in a name space of their own, which ends with the process.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heirloom_vault_api::*;
use rusqlite::{Connection, OpenFlags};

use super::attack::{Dice, Process, set};
use super::client::Client;
use super::person::{Login, password};
use crate::vault::{random, rng};

const FOLDER: &str = "HEIRLOOM_POWER_FOLDER";
const CUTS: &str = "HEIRLOOM_POWER_CUTS";
/// Says that commits are not to wait for the disk.
const NORMAL: &str = "HEIRLOOM_POWER_NORMAL";
const GUESSERS: usize = 8;
const LINEAGE: LineageId = Fixed([7; 16]);

/// What clients had heard of.
#[derive(Clone, Debug, Default)]
struct Heard {
    guesses: HashMap<RecordName, u64>,
    head: u64,
}

/// What the cuts came to.
#[derive(Clone, Copy, Debug, Default)]
struct Came {
    cuts: u64,
    heard: u64,
    /// Cuts that lost something.
    bad: u64,
    lost: u64,
    lost_heads: u64,
}

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let done = Command::new(program).args(args).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    Err(format!("{program} {}: {}", args.join(" "), words.trim()))
}

/// A file system in a file, mounted.
struct Disk {
    place: PathBuf,
}

impl Disk {
    fn mount(file: &Path, place: PathBuf) -> Result<Self, String> {
        fs::create_dir_all(&place).unwrap();
        let (from, to) = (file.to_str().unwrap(), place.to_str().unwrap());
        run("mount", &["-o", "loop,noatime", from, to])?;
        Ok(Self { place })
    }

    fn make(
        kind: &str,
        options: &[&str],
        bytes: u64,
        file: &Path,
        place: PathBuf,
    ) -> Result<Self, String> {
        fs::File::create(file).unwrap().set_len(bytes).unwrap();
        let args = [options, &[file.to_str().unwrap()]].concat();
        run(&format!("mkfs.{kind}"), &args)?;
        Self::mount(file, place)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.place.to_str().unwrap()]);
    }
}

/// Guesses at names of its own, four at each: the fifth would have to wait.
fn guess(client: &Client, identity: Identity, heard: &Mutex<Heard>, over: &AtomicBool) {
    let mut rng = rng();
    let text = password("wrong");
    while !over.load(Ordering::SeqCst) {
        let record: RecordName = random();
        let pinned = Pinned {
            record,
            identity,
            suite: suite::NEWEST,
        };
        let (_, start) = Login::start(&text, pinned, Which::Active, &mut rng);
        for _ in 0..4 {
            let answer = client.post("/v1/guesses", &start);
            if answer.is_ok_and(|answer| answer.status == 200) {
                *heard.lock().unwrap().guesses.entry(record).or_default() += 1;
            }
        }
    }
}

/// Advances one lineage, step after step.
fn advance(client: &Client, heard: &Mutex<Heard>, over: &AtomicBool) {
    let head_of = |sequence: u64| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&sequence.to_be_bytes());
        Fixed(bytes)
    };
    let mut sequence = 0;
    while !over.load(Ordering::SeqCst) {
        let put = WitnessPut {
            lineage: LINEAGE,
            expected_sequence: sequence,
            expected_head: head_of(sequence),
            sequence: sequence + 1,
            head: head_of(sequence + 1),
            keyring_number: 0,
            keyring_hash: Fixed([0; 32]),
            record: None,
            nonce: random(),
        };
        let answer = client.post("/v1/witness/advance", &put).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        sequence += 1;
        heard.lock().unwrap().head = sequence;
    }
}

/// What the cut left, held against what had been heard of.
fn compare(data: &Path, heard: &Heard, came: &mut Came) {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(data.join("vault.sqlite"), flags).unwrap();
    let verdict: String = database
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .unwrap();
    assert_eq!(verdict, "ok");
    let mut statement = database
        .prepare("SELECT name, guesses FROM vault_record")
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            let name: Vec<u8> = row.get(0)?;
            let guesses: i64 = row.get(1)?;
            Ok((name, guesses))
        })
        .unwrap();
    let there: HashMap<RecordName, u64> = rows
        .map(|row| {
            let (name, guesses) = row.unwrap();
            let name = Fixed::try_from(name.as_slice()).unwrap();
            (name, u64::try_from(guesses).unwrap())
        })
        .collect();
    let newest: i64 = database
        .query_row(
            "SELECT COALESCE(max(sequence), 0) FROM vault_head",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let newest = u64::try_from(newest).unwrap();
    let lost: u64 = heard
        .guesses
        .iter()
        .map(|(name, guesses)| guesses.saturating_sub(there.get(name).copied().unwrap_or(0)))
        .sum();
    let lost_heads = heard.head.saturating_sub(newest);
    came.cuts += 1;
    came.heard = heard.guesses.values().sum();
    came.lost += lost;
    came.lost_heads += lost_heads;
    came.bad += u64::from(lost > 0 || lost_heads > 0);
}

/// The server starts on what the cut left, and takes it for no copy: a stranger is answered.
fn starts(folder: &Path) {
    let process = Process::start(folder);
    let client = Client::new(process.address);
    let pinned = Pinned {
        record: random(),
        identity: client.identity(),
        suite: suite::NEWEST,
    };
    let (_, start) = Login::start(&password("x"), pinned, Which::Active, &mut rng());
    let answer = client.post("/v1/guesses", &start).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Not a test: the rig, in a name space of its own, when a test below asks for it.
#[test]
fn rig_process() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let cuts: u64 = std::env::var(CUTS).unwrap().parse().unwrap();
    let is_normal = std::env::var_os(NORMAL).is_some();
    let mib = 1 << 20;
    let host = Disk::make(
        "xfs",
        &["-q", "-m", "reflink=1"],
        1024 * mib,
        &folder.join("host.img"),
        folder.join("host"),
    );
    let host = match host {
        Ok(host) => host,
        Err(why) => {
            println!("no rig: {why}");
            return;
        }
    };
    let image = host.place.join("disk.img");
    let disk = Disk::make(
        "ext4",
        &["-q", "-F"],
        256 * mib,
        &image,
        folder.join("disk"),
    );
    let disk = disk.unwrap();
    let came = cut(&folder, &host, &disk, &image, (cuts, is_normal));
    println!(
        "came {} {} {} {} {}",
        came.cuts, came.heard, came.bad, came.lost, came.lost_heads
    );
}

fn cut(
    folder: &Path,
    host: &Disk,
    disk: &Disk,
    image: &Path,
    (cuts, is_normal): (u64, bool),
) -> Came {
    set(&disk.place.join("clock"), 1_700_000_000_000);
    if is_normal {
        fs::write(disk.place.join("normal"), "").unwrap();
    }
    let process = Process::start(&disk.place);
    let mut client = Client::new(process.address);
    let identity = client.identity();
    let signed_in: SignedIn = client
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap()
        .json();
    client.token = Some(signed_in.token);
    // The key file and the folders are older than the cut.
    run("sync", &["-f", disk.place.to_str().unwrap()]).unwrap();
    let seed = std::env::var("HEIRLOOM_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut dice = Dice(seed);
    let (heard, over) = (Mutex::new(Heard::default()), AtomicBool::new(false));
    let mut came = Came::default();
    std::thread::scope(|scope| {
        // Also where a cut below fails.
        let _ends = Ends(&over);
        let (heard, over, client) = (&heard, &over, &client);
        for _ in 0..GUESSERS {
            scope.spawn(move || guess(client, identity, heard, over));
        }
        scope.spawn(move || advance(client, heard, over));
        for number in 0..cuts {
            std::thread::sleep(Duration::from_micros(20_000 + dice.roll(80_000)));
            let known = heard.lock().unwrap().clone();
            let clone = host.place.join("cut.img");
            let (from, to) = (image.to_str().unwrap(), clone.to_str().unwrap());
            run("cp", &["--reflink=always", from, to]).unwrap();
            let after = Disk::mount(&clone, folder.join("cut")).unwrap();
            if !is_normal && number % 10 == 0 {
                starts(&after.place);
            }
            compare(&after.place.join("data"), &known, &mut came);
            drop(after);
            fs::remove_file(&clone).unwrap();
        }
    });
    process.kill();
    came
}

/// Tells the others that it is over, however it ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Cuts the power so often. `None`: this machine has no such rig.
fn rig(cuts: u64, is_normal: bool) -> Option<Came> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "tests::power::rig_process"])
        .args(["--nocapture", "--test-threads=1"])
        .env(FOLDER, folder.path())
        .env(CUTS, cuts.to_string());
    if is_normal {
        command.env(NORMAL, "1");
    }
    let done = command.output();
    let (output, success) = match &done {
        Ok(done) => (
            String::from_utf8_lossy(&done.stdout).into_owned(),
            done.status.success(),
        ),
        Err(error) => (format!("no rig: unshare: {error}"), false),
    };
    let errors = done.map_or(String::new(), |done| {
        String::from_utf8_lossy(&done.stderr).into_owned()
    });
    let line = output.lines().find_map(|line| line.split_once("came "));
    if let Some((_, line)) = line {
        let mut numbers = line.split(' ').map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        return Some(Came {
            cuts: next(),
            heard: next(),
            bad: next(),
            lost: next(),
            lost_heads: next(),
        });
    }
    // Whether a file system may be mounted is no package's matter: then it says so, and is not held against anybody.
    let has_no_rig = output.contains("no rig: ")
        || (!success && errors.contains("unshare failed"))
        || (!success && errors.contains("Operation not permitted"));
    assert!(has_no_rig, "{output}\n{errors}");
    println!("the power-cut rig did not run: {output}{errors}");
    None
}

#[test]
fn v2_a_power_cut_loses_nothing_that_was_answered() {
    let is_long = std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1");
    if let Some(came) = rig(if is_long { 300 } else { 10 }, false) {
        println!("synchronous=FULL: {came:?}");
        assert!(came.heard > 0, "{came:?}");
        assert_eq!((came.bad, came.lost, came.lost_heads), (0, 0, 0));
    }
}

/// The control: the same cuts find a database whose commits do not wait for the disk.
#[test]
fn power_cuts_find_a_database_that_does_not_wait_for_the_disk() {
    let is_long = std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1");
    if let Some(came) = rig(if is_long { 100 } else { 6 }, true) {
        println!("synchronous=NORMAL: {came:?}");
        assert!(came.lost > 0, "{came:?}");
    }
}
