//! A store that is damaged or lies, as a person meets it: `check --read-data` names what is wrong and what it costs,
//! `restore` gives back nothing that was not backed up, and whoever has seen the newest is not shown an older one.
//!
//! Every byte of every object is flipped in the engine's own tests; here the release program meets each kind of object.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails"
)]

#[path = "support/e2e.rs"]
mod e2e;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use e2e::canon;
use e2e::chance::{self, Chance};
use e2e::corpus::Case;
use e2e::made::{Export, Style};
use e2e::session::{Ended, Session};
use e2e::tree;

type Objects = BTreeMap<String, Vec<u8>>;

const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

/// A repository with two snapshots, and all that is true of it.
struct Scene {
    session: Session,
    objects: Objects,
    /// The store after the first run.
    older: Objects,
    lines: BTreeSet<String>,
    media: BTreeSet<String>,
}

impl Scene {
    fn new(chance: &mut Chance) -> Self {
        let mut session = Session::new();
        let whole = Export::new(chance, Style::Android, 300, 12, 30_000);
        whole.part(0..150).write(&session.path("source"));
        let backup = ["backup", "source", "--to", "store"];
        let ended = session.run(&[&backup[..], &["--new-recovery-key-file", "key.txt"]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let older = tree::files(&session.path("store"));
        fs::remove_dir_all(session.path("source")).unwrap();
        whole.write(&session.path("source"));
        let ended = session.run(&backup);
        assert_eq!(ended.code, 0, "{ended:?}");
        let objects = tree::files(&session.path("store"));
        let truth = canon::of_source(&Case::new(&session.path("source")));
        // Damage is met by somebody who has the key and a new computer; what the old one remembers is kept.
        tree::copy(&session.path("home"), &session.path("remembers"));
        session.move_to("nothing");
        Self {
            session,
            objects,
            older,
            lines: truth.lines().map(without_attachments).collect(),
            media: whole
                .files
                .values()
                .map(|bytes| tree::sha256(bytes))
                .collect(),
        }
    }

    fn run(&self, args: &[&str]) -> Ended {
        self.session.run(&[args, &KEY].concat())
    }

    /// Makes the store hold just this.
    fn hold(&self, objects: &Objects) {
        write_all(&self.session.path("store"), objects);
        // Whatever an earlier command remembered.
        let _ = fs::remove_dir_all(self.session.path("nothing"));
        let _ = fs::remove_dir_all(self.session.path("restored"));
    }

    /// Whatever came back was backed up.
    fn nothing_false_came_back(&self, why: &str) {
        let folder = self.session.path("restored");
        for (name, bytes) in tree::files(&folder) {
            let is_attachment = name.contains("/attachments/") && !name.contains("/.part-");
            assert!(
                !is_attachment || self.media.contains(&tree::sha256(&bytes)),
                "{why}: {name} is not what was backed up"
            );
        }
        let text = canon::text_of_restored(&folder).unwrap_or_default();
        for line in text.lines().map(without_attachments) {
            assert!(
                self.lines.contains(&line),
                "{why}: {line} was never backed up"
            );
        }
    }

    /// `check` names `object` and what it costs, `restore` says so or needs it not.
    fn is_noticed(&self, objects: &Objects, names: &[&str], why: &str) {
        self.hold(objects);
        let check = self.run(&["check", "store", "--read-data"]);
        no_panic(&check, why);
        let said = format!("{}{}", check.stdout, check.stderr);
        assert_eq!(check.code, 13, "{why}: {check:?}");
        assert!(
            names.iter().any(|name| said.contains(name)),
            "{why}: none of {names:?} in {check:?}"
        );
        if check.stdout.contains("damaged: ") {
            assert!(check.stdout.contains("; affects "), "{why}: {check:?}");
        }
        let restore = self.run(&["restore", "store", "--to", "restored"]);
        no_panic(&restore, why);
        if restore.code == 0 {
            // Not needed for the newest snapshot: then all of it is there.
            let canon = canon::of_restored(&self.session.path("restored"));
            let lines: BTreeSet<String> = canon.lines().map(without_attachments).collect();
            assert_eq!(lines, self.lines, "{why}: {restore:?}");
            assert!(!canon.contains("\"presence\":2"), "{why}: {restore:?}");
        } else {
            let said = restore.stderr.contains("error: ") || restore.stderr.contains("warning: ");
            assert!(said, "{why}: {restore:?}");
        }
        self.nothing_false_came_back(why);
    }
}

/// An attachment that is lost is marked in its message, which is the one change that is allowed.
fn without_attachments(line: &str) -> String {
    let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
    if let Some(message) = value
        .get_mut("message")
        .and_then(|message| message.as_object_mut())
    {
        message.remove("attachments");
    }
    // With JSON objects that keep their order (a dependency of the tests asks for it) a removal leaves them disordered.
    value.sort_all_objects();
    value.to_string()
}

fn no_panic(ended: &Ended, why: &str) {
    assert!((0..=14).contains(&ended.code), "{why}: {ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{why}: {ended:?}");
}

fn write_all(root: &Path, objects: &Objects) {
    let _ = fs::remove_dir_all(root);
    for (name, bytes) in objects {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// `keyring/…`, `heads/…`, `snapshots/…`, `index/…`, `packs/…`.
fn kind(name: &str) -> &str {
    name.split('/').next().unwrap()
}

fn all_of<'a>(objects: &'a Objects, wanted: &str) -> Vec<&'a String> {
    objects.keys().filter(|name| kind(name) == wanted).collect()
}

#[test]
fn one_wrong_byte_anywhere_is_named_and_comes_back_nowhere() {
    let mut chance = Chance::of_this_run("one_wrong_byte");
    let scene = Scene::new(&mut chance);
    let kinds: BTreeSet<&str> = scene.objects.keys().map(|name| kind(name)).collect();
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        ["heads", "index", "keyring", "packs", "snapshots"]
    );
    for (name, bytes) in &scene.objects {
        for _ in 0..chance::times(1, 12) {
            let at = chance.index(bytes.len());
            let mut objects = scene.objects.clone();
            objects.get_mut(name).unwrap()[at] ^= 1 << chance.below(8);
            scene.is_noticed(
                &objects,
                &[name],
                &format!("{name}: byte {at} of {}", bytes.len()),
            );
        }
    }
}

#[test]
fn an_object_that_is_cut_longer_or_empty_is_named() {
    let mut chance = Chance::of_this_run("an_object_that_is_cut");
    let scene = Scene::new(&mut chance);
    for (name, bytes) in &scene.objects {
        let cut = chance.index(bytes.len());
        for (what, changed) in [
            ("cut", bytes[..cut].to_vec()),
            ("empty", Vec::new()),
            ("longer", [&bytes[..], &[0]].concat()),
        ] {
            let mut objects = scene.objects.clone();
            objects.insert(name.clone(), changed);
            scene.is_noticed(&objects, &[name], &format!("{name} {what}"));
        }
    }
}

#[test]
fn two_objects_that_changed_places_are_named() {
    let mut chance = Chance::of_this_run("two_objects_that_changed_places");
    let scene = Scene::new(&mut chance);
    for wanted in ["keyring", "heads", "snapshots", "index", "packs"] {
        let names = all_of(&scene.objects, wanted);
        assert!(names.len() > 1, "{wanted}: {names:?}");
        let mut objects = scene.objects.clone();
        objects.insert(names[0].clone(), scene.objects[names[1]].clone());
        objects.insert(names[1].clone(), scene.objects[names[0]].clone());
        scene.is_noticed(
            &objects,
            &[names[0], names[1]],
            &format!("{wanted}: two changed places"),
        );
    }
}

#[test]
fn an_object_that_is_gone_is_named() {
    let mut chance = Chance::of_this_run("an_object_that_is_gone");
    let scene = Scene::new(&mut chance);
    let newest = |wanted: &str| (*all_of(&scene.objects, wanted).iter().max().unwrap()).clone();
    // The newest of these only somebody can miss who has seen it: see the next tests.
    let unseen = [newest("keyring"), newest("heads")];
    for name in scene.objects.keys().filter(|name| !unseen.contains(name)) {
        let mut objects = scene.objects.clone();
        objects.remove(name);
        let number = name.split('-').next().unwrap();
        scene.is_noticed(&objects, &[name, number], &format!("{name} is gone"));
    }
}

#[test]
fn an_older_state_is_refused_by_who_has_seen_the_newest() {
    let mut chance = Chance::of_this_run("an_older_state");
    let mut scene = Scene::new(&mut chance);
    let newest = |wanted: &str| (*all_of(&scene.objects, wanted).iter().max().unwrap()).clone();
    let without = |name: String| {
        let mut objects = scene.objects.clone();
        objects.remove(&name);
        objects
    };
    let cases = [
        ("the whole store of the day before", scene.older.clone()),
        ("without the newest head", without(newest("heads"))),
        ("without the newest keyring", without(newest("keyring"))),
    ];
    scene.session.move_to("remembers");
    for (why, objects) in cases {
        scene.hold(&objects);
        for args in [
            &["restore", "store", "--to", "restored", KEY[0], KEY[1]][..],
            &["check", "store", "--read-data", KEY[0], KEY[1]],
            &["snapshots", "store", KEY[0], KEY[1]],
            &["backup", "source", "--to", "store"],
        ] {
            let ended = scene.session.run(args);
            assert_eq!(ended.code, 13, "{why}: {args:?}: {ended:?}");
            assert!(
                ended.stderr.starts_with(
                    "error: the store shows an older backup than this device has seen"
                ),
                "{why}: {args:?}: {ended:?}"
            );
            assert!(
                ended.stderr.contains("hint: "),
                "{why}: {args:?}: {ended:?}"
            );
        }
        assert!(!scene.session.path("restored").exists(), "{why}");
        assert_eq!(
            tree::files(&scene.session.path("store")),
            objects,
            "{why}: nothing was written"
        );
    }
    scene.hold(&scene.objects);
    let ended = scene.session.run(&["backup", "source", "--to", "store"]);
    assert_eq!(ended.code, 0, "the newest is taken again: {ended:?}");
}

#[test]
fn a_forged_keyring_is_named_and_not_taken() {
    let mut chance = Chance::of_this_run("a_forged_keyring");
    let mut scene = Scene::new(&mut chance);
    let stranger = Session::new();
    stranger.first_backup();
    let foreign = tree::files(&stranger.path("store/keyring"));
    let keyrings = all_of(&scene.objects, "keyring");
    let (older, newest) = (
        &scene.objects[keyrings[0]],
        &scene.objects[*keyrings.last().unwrap()],
    );
    let mut changed = newest.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let hash = |bytes: &[u8]| heirloom_engine::ids::ObjectHash::of(bytes).to_string();
    let mut forged = vec![
        ("random bytes", 9, chance.bytes(newest.len())),
        (
            "random bytes without a number between",
            3,
            chance.bytes(200),
        ),
        ("a copy of the first", 3, older.clone()),
        ("a copy of the newest", 3, newest.clone()),
        ("a changed copy of the newest", 3, changed),
        ("nothing", 3, Vec::new()),
    ];
    for bytes in foreign.into_values() {
        forged.push(("one of another repository", 3, bytes));
    }
    for (why, number, bytes) in forged {
        for right_name in [true, false] {
            let of = if right_name {
                hash(&bytes)
            } else {
                hash(b"something else")
            };
            let name = format!("keyring/{number:08}-{of}");
            let mut objects = scene.objects.clone();
            objects.insert(name.clone(), bytes.clone());
            let why = format!("{why} as {name}");
            for home in ["nothing", "remembers"] {
                scene.session.move_to(home);
                scene.hold(&objects);
                let check = scene.run(&["check", "store", "--read-data"]);
                no_panic(&check, &why);
                assert_eq!(check.code, 13, "{home}: {why}: {check:?}");
                let said = format!("{}{}", check.stdout, check.stderr);
                assert!(said.contains(&name), "{home}: {why}: {check:?}");
                let restore = scene.run(&["restore", "store", "--to", "restored"]);
                no_panic(&restore, &why);
                assert!(
                    restore.code != 0 || !restore.stderr.contains(&format!("keyring {number} of")),
                    "{home}: {why}: {restore:?}"
                );
                scene.nothing_false_came_back(&why);
            }
        }
    }
}

#[test]
fn an_empty_home_is_told_number_date_and_lineage_of_what_was_found() {
    let mut chance = Chance::of_this_run("an_empty_home");
    let scene = Scene::new(&mut chance);
    let lineage = all_of(&scene.objects, "heads")[0]
        .split('/')
        .nth(1)
        .unwrap()
        .to_owned();
    for (objects, number) in [(&scene.objects, "2"), (&scene.older, "1")] {
        scene.hold(objects);
        let ended = scene.run(&["restore", "store", "--to", "restored"]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let found: Vec<&str> = ended
            .stderr
            .lines()
            .filter(|line| line.starts_with("Found: "))
            .collect();
        println!("{found:?}");
        let snapshot = found
            .iter()
            .find(|line| line.contains("newest snapshot"))
            .unwrap();
        assert!(snapshot.contains(number), "{found:?}");
        assert!(
            found.iter().any(|line| line.contains(&lineage[..8])),
            "{found:?}"
        );
        assert!(
            found.iter().any(|line| line.contains("keyring 2 of ")),
            "{found:?}"
        );
        let year = jiff::Timestamp::now().strftime("%Y-").to_string();
        assert!(found.iter().any(|line| line.contains(&year)), "{found:?}");
    }
}
