use std::path::Path;
use std::sync::{Arc, Mutex};

use heirloom_vault_api::OperatorKey;
use secrecy::SecretBox;

use super::*;

struct World {
    folder: tempfile::TempDir,
    lines: Arc<Mutex<Vec<String>>>,
    rollout: Rollout,
}

fn operator(seed: u8) -> OperatorKey {
    OperatorKey::new(SecretBox::new(Box::new([seed; 32])))
}

fn flags(passkey: &str) -> String {
    format!(
        r#"{{"flags":{{"passkey":{{"state":"{passkey}","variants":{{"on":true,"off":false}},"defaultVariant":"on",
        "targeting":{{"if":[{{"==":[{{"var":"region"}},"eu"]}},"on","off"]}}}}}}}}"#
    )
}

fn write(folder: &Path, version: u64, rules: &str) {
    let stamp = operator(1).stamp(version, 0, rules.as_bytes());
    std::fs::write(folder.join("rules"), stamp.file(rules.as_bytes())).unwrap();
}

fn open(folder: &Path, lines: &Arc<Mutex<Vec<String>>>) -> (Rollout, Log) {
    let written = Arc::clone(lines);
    let log = Log::new(move |line| written.lock().unwrap().push(line.to_owned()));
    let config = RolloutConfig {
        file: folder.join("rules"),
        operator: operator(1).public(),
        region: Some("eu".to_owned()),
    };
    let rollout = Rollout::open(Some(config), folder.join("rollout.seen"), &log);
    (rollout, log)
}

impl World {
    fn new(rules: Option<(u64, &str)>) -> (Self, Log) {
        let folder = tempfile::tempdir().unwrap();
        if let Some((version, rules)) = rules {
            write(folder.path(), version, rules);
        }
        let lines = Arc::default();
        let (rollout, log) = open(folder.path(), &lines);
        let world = Self {
            folder,
            lines,
            rollout,
        };
        (world, log)
    }

    fn has(&self, feature: &str) -> Option<bool> {
        let (_, offers) = self.rollout.offers(Asker::default())?;
        let offer = offers.iter().find(|offer| offer.feature == feature);
        Some(offer.unwrap().offered)
    }

    fn faults(&self) -> String {
        self.rollout.standing().fault.unwrap_or_default()
    }
}

#[test]
fn without_rules_everything_is_offered() {
    let lines = Arc::default();
    let (_, log) = open(tempfile::tempdir().unwrap().path(), &lines);
    let rollout = Rollout::open(None, "nowhere".into(), &log);
    let (stamp, offers) = rollout.offers(Asker::default()).unwrap();
    assert_eq!(stamp, None);
    assert!(offers.iter().all(|offer| offer.offered));
    assert_eq!(offers.len(), FEATURES.len());
}

#[test]
fn rules_that_are_wanted_and_missing_offer_nothing_until_they_come() {
    let (world, log) = World::new(None);
    assert_eq!(world.has("passkey"), None);
    assert!(
        world.faults().contains("cannot be read"),
        "{}",
        world.faults()
    );
    write(world.folder.path(), 1, &flags("ENABLED"));
    world.rollout.look(&log);
    assert_eq!(
        (world.has("passkey"), world.has("password")),
        (Some(true), Some(true))
    );
    assert_eq!(
        world.rollout.standing(),
        Standing {
            version: 1,
            fault: None
        }
    );
}

#[test]
fn a_change_is_taken_while_it_runs_and_a_bad_file_keeps_what_was() {
    let (world, log) = World::new(Some((1, &flags("ENABLED"))));
    assert_eq!(world.has("passkey"), Some(true));
    write(world.folder.path(), 2, &flags("DISABLED"));
    world.rollout.look(&log);
    assert_eq!(world.has("passkey"), Some(false), "the kill switch");
    let file = world.folder.path().join("rules");
    let good = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    for bad in [
        Vec::new(),
        flags("ENABLED").into_bytes(),
        flipped(20),
        flipped(good.len() - 1),
        operator(2).stamp(9, 0, b"{}").file(b"{}"),
        operator(1).stamp(9, 0, b"{}").file(b"{}"),
        vec![b' '; MAX_FILE_BYTES + 1],
    ] {
        std::fs::write(&file, bad).unwrap();
        for _ in 0..3 {
            world.rollout.look(&log);
        }
        assert_eq!(world.has("passkey"), Some(false), "{}", world.faults());
        assert_eq!(world.rollout.standing().version, 2);
        assert!(!world.faults().is_empty());
    }
    std::fs::remove_file(&file).unwrap();
    world.rollout.look(&log);
    assert_eq!(world.has("passkey"), Some(false));
    std::fs::write(&file, good).unwrap();
    world.rollout.look(&log);
    assert_eq!(world.faults(), "");
    let lines = world.lines.lock().unwrap();
    assert!(
        lines
            .iter()
            .any(|line| line.contains("version 2 stays in force")),
        "{lines:?}"
    );
    let mut told = lines.clone();
    told.dedup();
    assert_eq!(told, *lines, "each fault is told once");
}

#[test]
fn a5_older_rules_are_refused_also_after_a_restart() {
    let (world, log) = World::new(Some((7, &flags("DISABLED"))));
    write(world.folder.path(), 6, &flags("ENABLED"));
    world.rollout.look(&log);
    assert_eq!(world.has("passkey"), Some(false));
    assert!(
        world.faults().contains("version 7 was seen already"),
        "{}",
        world.faults()
    );
    let (rollout, log) = open(world.folder.path(), &world.lines);
    assert_eq!(
        rollout.offers(Asker::default()),
        None,
        "the old ones are not taken, and no others are there"
    );
    write(world.folder.path(), 7, &flags("ENABLED"));
    rollout.look(&log);
    assert!(
        rollout
            .standing()
            .fault
            .unwrap()
            .contains("two different rules of version 7")
    );
    write(world.folder.path(), 8, &flags("ENABLED"));
    rollout.look(&log);
    assert_eq!(
        rollout.standing(),
        Standing {
            version: 8,
            fault: None
        }
    );
}

#[test]
fn a_damaged_memory_of_what_was_seen_takes_no_rules_at_all() {
    let (world, _) = World::new(Some((7, &flags("DISABLED"))));
    let seen = world.folder.path().join("rollout.seen");
    let whole = std::fs::read(&seen).unwrap();
    std::fs::write(&seen, &whole[..whole.len() - 1]).unwrap();
    write(world.folder.path(), 6, &flags("ENABLED"));
    let (rollout, _) = open(world.folder.path(), &world.lines);
    assert_eq!(rollout.offers(Asker::default()), None);
    assert!(rollout.standing().fault.unwrap().contains("makes no sense"));
}

type Act<'a> = &'a dyn Fn();

#[test]
fn a_kill_switch_that_met_a_passing_fault_of_the_disk_is_taken_after_it() {
    let (world, log) = World::new(Some((1, &flags("ENABLED"))));
    let seen = world.folder.path().join("rollout.seen");
    let whole = std::fs::read(&seen).unwrap();
    let part = seen.with_extension("part");
    let faults: [(u64, Act<'_>, Act<'_>); 2] = [
        // It cannot be read …
        (2, &|| std::fs::write(&seen, b"{").unwrap(), &|| {
            std::fs::write(&seen, &whole).unwrap();
        }),
        // … or not be written.
        (3, &|| std::fs::create_dir(&part).unwrap(), &|| {
            std::fs::remove_dir(&part).unwrap();
        }),
    ];
    for (version, break_it, mend_it) in faults {
        let before = world.rollout.standing().version;
        let state = if version == 2 { "DISABLED" } else { "ENABLED" };
        write(world.folder.path(), version, &flags(state));
        break_it();
        for _ in 0..3 {
            world.rollout.look(&log);
        }
        assert_eq!(world.rollout.standing().version, before);
        assert!(
            world.faults().contains("rollout.seen"),
            "{}",
            world.faults()
        );
        mend_it();
        world.rollout.look(&log);
        assert_eq!(
            world.rollout.standing(),
            Standing {
                version,
                fault: None
            }
        );
        assert_eq!(world.has("passkey"), Some(version == 3));
    }
    let mut told = world.lines.lock().unwrap().clone();
    told.dedup();
    assert_eq!(
        told,
        *world.lines.lock().unwrap(),
        "each fault is told once"
    );
}
