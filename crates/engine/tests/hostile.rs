//! A store that lies: whatever it changes, hides, swaps or makes up is noticed, and never comes back as a message.
//!
//! `HEIRLOOM_LONG=1` flips every byte; else a sample, whose seed is printed. `HEIRLOOM_SEED` repeats one.
#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    reason = "a test that cannot go on may panic"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use heirloom_archive::History as _;
use heirloom_archive::form::ArchiveReader;
use heirloom_engine::check::{self, CheckOptions, Problem};
use heirloom_engine::keys::WriterKeys;
use heirloom_engine::ledger::MemoryLedger;
use heirloom_engine::progress::Silent;
use heirloom_engine::repository::{Repository, Seen, Selection};
use heirloom_engine::restore::{self, RestoreOptions};
use heirloom_engine::store::Store;
use heirloom_engine::store::memory::MemoryStore;
use heirloom_engine::{EngineError, backup, ids::ObjectHash};
use rand_core::UnwrapErr;
use secrecy::SecretBox;
use support::{
    Lcg, Made, REPOSITORY, Run, TestReader, back_up, canon, canon_of_source, copy_of, shrink,
};

type Objects = BTreeMap<String, Vec<u8>>;

const DAY_MS: i64 = 86_400_000;

/// A small repository with two snapshots and three heads.
struct Fixture {
    objects: Objects,
    /// The objects after the first run.
    older: Objects,
    made: Made,
    canon: String,
    seen: Seen,
    ledger: MemoryLedger,
}

fn day(number: i64) -> Run {
    Run {
        now_ms: 1_700_000_000_000 + number * DAY_MS,
        ..Run::default()
    }
}

fn fixture() -> Fixture {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let ledger = MemoryLedger::new();
    let mut made = Made::new(41, 2, 60);
    shrink(&mut made, 700);
    made.stamp = Some([1; 32]);
    back_up(&store, &ledger, &mut made, &day(0)).unwrap();
    let older = memory.objects();
    let mut rng = Lcg(8);
    for n in 0..12 {
        let message = made.message(
            &mut rng,
            90,
            n,
            1_650_000_000_000 + i64::try_from(n).unwrap(),
        );
        made.conversations[1].1.push(message);
    }
    shrink(&mut made, 700);
    made.stamp = Some([2; 32]);
    back_up(&store, &ledger, &mut made, &day(1)).unwrap();
    back_up(&store, &ledger, &mut made, &day(2)).unwrap();
    let seen = Repository::open(Arc::clone(&store), TestReader::new(), None)
        .unwrap()
        .seen();
    let canon = canon_of_source(&mut made);
    assert!(made.files.len() >= 3, "the fixture has media");
    Fixture {
        objects: memory.objects(),
        older,
        made,
        canon,
        seen,
        ledger,
    }
}

/// What a person would be told about a store.
#[derive(Debug)]
struct Verdict {
    refused: Option<EngineError>,
    problems: Vec<Problem>,
}

impl Verdict {
    fn says(&self) -> String {
        let refused = self.refused.iter().map(ToString::to_string);
        refused
            .chain(
                self.problems
                    .iter()
                    .map(|problem| format!("{}: {}", problem.object, problem.what)),
            )
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn names(&self, object: &str) -> bool {
        self.refused
            .as_ref()
            .is_some_and(|error| error.to_string().contains(object))
            || self.problems.iter().any(|problem| problem.object == object)
    }
}

/// Opens, checks and reads; on the way nothing may panic, and nothing may be read that was not written.
fn judge(fixture: &Fixture, objects: Objects, seen: Option<&Seen>, to_disk: bool) -> Verdict {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(objects));
    let repository = match Repository::open(store, TestReader::new(), seen) {
        Ok(repository) => Arc::new(repository),
        Err(error) => {
            return Verdict {
                refused: Some(error),
                problems: Vec::new(),
            };
        }
    };
    let problems = match check::run(
        &repository,
        &CheckOptions {
            read_data: Some(100),
        },
        &Silent,
    ) {
        Ok(outcome) => outcome.problems,
        Err(error) => {
            return Verdict {
                refused: Some(error),
                problems: Vec::new(),
            };
        }
    };
    let mut view = Arc::clone(&repository).view(&Selection::Newest).unwrap();
    if let Ok(text) = canon(&mut view) {
        assert!(text == fixture.canon, "a lying store was believed");
    }
    if to_disk {
        restore_and_compare(fixture, &repository);
    }
    Verdict {
        refused: None,
        problems,
    }
}

/// All or an error, or all but media that are named.
fn restore_and_compare(fixture: &Fixture, repository: &Arc<Repository>) {
    let dir = tempfile::tempdir().unwrap();
    let mut view = Arc::clone(repository).view(&Selection::Newest).unwrap();
    let Ok(outcome) = restore::run(&mut view, dir.path(), &RestoreOptions::default(), &Silent)
    else {
        return;
    };
    let mut restored = ArchiveReader::open(dir.path()).unwrap();
    if outcome.problems.is_empty() {
        assert_eq!(outcome.missing, 0);
        assert!(
            canon(&mut restored).unwrap() == fixture.canon,
            "a lying store was believed"
        );
        return;
    }
    let mut gone = 0;
    for (conversation, list) in support::expected(&fixture.made) {
        let mut list = list.into_iter();
        restored
            .messages(
                &conversation.id,
                heirloom_archive::MessageQuery::default(),
                &mut |mut message| {
                    let (wanted, bodies) = list.next().expect("no more messages than there were");
                    for (attachment, body) in message.attachments.iter_mut().zip(bodies) {
                        match (std::fs::read(dir.path().join(&attachment.path)), body) {
                            (Ok(bytes), Some(body)) => {
                                assert!(bytes == body, "{} came back changed", attachment.name);
                            }
                            (Err(_), Some(_)) => gone += 1,
                            (_, None) => {}
                        }
                        attachment.path.clear();
                        attachment.source_path.clear();
                    }
                    assert_eq!(message, wanted);
                    Ok(std::ops::ControlFlow::Continue(()))
                },
            )
            .unwrap();
        assert_eq!(list.next(), None);
    }
    assert_eq!(outcome.missing, gone, "what is missing is counted");
}

fn seed() -> u64 {
    std::env::var("HEIRLOOM_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| {
            let elapsed = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap();
            elapsed.as_secs() ^ u64::from(elapsed.subsec_nanos())
        })
}

fn long() -> bool {
    std::env::var_os("HEIRLOOM_LONG").is_some_and(|value| value == "1")
}

/// Which bytes to flip: all of small objects that say what there is, and of all headers; of the rest a sample.
fn offsets(objects: &Objects, seed: u64) -> Vec<(String, usize)> {
    let mut rng = Lcg(seed);
    let total: usize = objects.values().map(Vec::len).sum();
    let mut chosen = Vec::new();
    for (name, bytes) in objects {
        for at in 0..bytes.len() {
            let header = at < 92 || at + 24 > bytes.len();
            // Of the 1,200 bytes that are sealed run key, some are enough.
            let of_these = if header {
                1
            } else {
                u64::try_from(total / 1200).unwrap().max(1)
            };
            if long() || header || rng.next(of_these) == 0 {
                chosen.push((name.clone(), at));
            }
        }
    }
    chosen
}

#[test]
fn a_clean_store_has_no_problem() {
    let fixture = fixture();
    let verdict = judge(&fixture, fixture.objects.clone(), Some(&fixture.seen), true);
    assert_eq!(verdict.says(), "");
}

#[test]
fn every_flipped_byte_is_noticed_and_its_object_named() {
    let fixture = fixture();
    let seed = seed();
    let all = offsets(&fixture.objects, seed);
    println!(
        "{} flips in {} objects, HEIRLOOM_SEED={seed}",
        all.len(),
        fixture.objects.len()
    );
    let mut rng = Lcg(seed ^ 1);
    std::thread::scope(|scope| {
        let halves = all.split_at(all.len() / 2);
        for half in [halves.0, halves.1] {
            let (fixture, mut bits) = (&fixture, Lcg(rng.next(u64::from(u32::MAX))));
            scope.spawn(move || {
                for (number, (name, at)) in half.iter().enumerate() {
                    let mut objects = fixture.objects.clone();
                    let bit = bits.next(8);
                    objects.get_mut(name).unwrap()[*at] ^= 1 << bit;
                    let verdict = judge(fixture, objects, Some(&fixture.seen), number % 16 == 0);
                    assert!(
                        verdict.names(name),
                        "bit {bit} of byte {at} of {name} (seed {seed}): {}",
                        verdict.says()
                    );
                }
            });
        }
    });
}

#[test]
fn every_cut_or_grown_object_is_named() {
    let fixture = fixture();
    for (name, bytes) in &fixture.objects {
        let len = bytes.len();
        for cut in [0, 1, 9, 91, 92, 500, len / 2, len - 17, len - 1] {
            let mut objects = fixture.objects.clone();
            objects.get_mut(name).unwrap().truncate(cut);
            let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
            assert!(
                verdict.names(name),
                "{name} cut to {cut}: {}",
                verdict.says()
            );
        }
        for more in [1, 16, 70_000] {
            let mut objects = fixture.objects.clone();
            objects.get_mut(name).unwrap().resize(len + more, 0);
            let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
            assert!(
                verdict.names(name),
                "{name} with {more} more: {}",
                verdict.says()
            );
        }
    }
}

#[test]
fn swapped_objects_are_named() {
    let fixture = fixture();
    let names: Vec<&String> = fixture.objects.keys().collect();
    for (at, one) in names.iter().enumerate() {
        for other in &names[at + 1..] {
            let mut objects = fixture.objects.clone();
            let bytes = objects
                .insert((*one).clone(), fixture.objects[*other].clone())
                .unwrap();
            objects.insert((*other).clone(), bytes);
            let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
            // Opening stops at the first; a check goes on and names both.
            let said = usize::from(verdict.names(one)) + usize::from(verdict.names(other));
            let enough = if verdict.refused.is_some() { 1 } else { 2 };
            assert!(
                said >= enough,
                "{one} and {other} swapped: {}",
                verdict.says()
            );
        }
    }
}

#[test]
fn every_deleted_object_is_named() {
    let fixture = fixture();
    for name in fixture.objects.keys() {
        let mut objects = fixture.objects.clone();
        objects.remove(name);
        let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
        let newest = &fixture.seen.heads[0];
        if name.ends_with(&newest.hash) {
            assert!(
                matches!(verdict.refused, Some(EngineError::Rollback { .. })),
                "{}",
                verdict.says()
            );
            continue;
        }
        assert!(verdict.names(name), "{name} deleted: {}", verdict.says());
    }
}

#[test]
fn an_object_under_another_name_is_named() {
    let fixture = fixture();
    for (name, bytes) in &fixture.objects {
        let hash = name.rsplit(['/', '-']).next().unwrap();
        let other = ObjectHash([0xab; 32]).to_string();
        let mut names = vec![
            name.replace(hash, &other)
                .replace(&format!("packs/{}/", &hash[..2]), "packs/ab/"),
            format!("{name}.bak"),
        ];
        if name.starts_with("heads/") {
            names.push(name.replace("/00000000", "/00000090"));
            names.push(format!(
                "heads/{}/{}",
                "ab".repeat(16),
                name.rsplit('/').next().unwrap()
            ));
        }
        for place in ["index", "snapshots", "packs/ab"] {
            names.push(format!("{place}/{hash}"));
        }
        for copy in names
            .into_iter()
            .filter(|copy| !fixture.objects.contains_key(copy))
        {
            let mut objects = fixture.objects.clone();
            objects.insert(copy.clone(), bytes.clone());
            let verdict = judge(&fixture, objects, Some(&fixture.seen), false);
            let forked = matches!(verdict.refused, Some(EngineError::Forked { .. }));
            assert!(
                forked && copy.starts_with("heads/") || verdict.names(&copy),
                "{name} again as {copy}: {}",
                verdict.says()
            );
        }
    }
}

#[test]
fn foreign_objects_are_named_and_change_nothing() {
    let fixture = fixture();
    let junk = b"not an object of ours, but with the right hash".to_vec();
    let hash = ObjectHash::of(&junk);
    let hex = hash.to_string();
    for name in [
        "README.txt".to_owned(),
        "packs/readme".to_owned(),
        format!("packs/{}/{hex}", &hex[..2]),
        format!("index/{hex}"),
        format!("snapshots/{hex}"),
        format!("heads/{}/0000000001-{hex}", "ab".repeat(16)),
        format!("heads/{}/0000000001-{hex}", fixture.seen.heads[0].lineage),
        format!("prune/{hex}"),
    ] {
        let mut objects = fixture.objects.clone();
        objects.insert(name.clone(), junk.clone());
        let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
        assert!(verdict.names(&name), "{name}: {}", verdict.says());
    }
}

#[test]
fn an_older_state_is_a_rollback_to_whoever_has_seen_the_newer() {
    let fixture = fixture();
    let verdict = judge(&fixture, fixture.older.clone(), Some(&fixture.seen), false);
    assert!(matches!(
        verdict.refused,
        Some(EngineError::Rollback { .. })
    ));
    assert!(
        verdict.says().contains("ends at 1, it was at 3"),
        "{}",
        verdict.says()
    );
    let verdict = judge(&fixture, Objects::new(), Some(&fixture.seen), false);
    assert!(matches!(
        verdict.refused,
        Some(EngineError::Rollback { .. })
    ));
    assert!(verdict.says().contains("is gone"), "{}", verdict.says());
    assert!(matches!(
        Repository::open(Arc::new(MemoryStore::new()), TestReader::new(), None),
        Err(EngineError::NoBackup)
    ));
    // The limit: whoever has seen nothing cannot know.
    let old: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(fixture.older));
    let repository = Repository::open(old, TestReader::new(), None).unwrap();
    assert_eq!(repository.seen().heads[0].sequence, 1);
}

#[test]
fn an_older_head_under_a_newer_number_is_refused() {
    let fixture = fixture();
    let lineage = &fixture.seen.heads[0].lineage;
    let (name, bytes) = fixture
        .objects
        .iter()
        .find(|(name, _)| name.contains("/0000000001-"))
        .unwrap();
    let hash = ObjectHash::of(bytes);
    for sequence in [4, 9_999_999_999_u64] {
        let mut objects = fixture.objects.clone();
        let again = format!("heads/{lineage}/{sequence:010}-{hash}");
        objects.insert(again.clone(), bytes.clone());
        let verdict = judge(&fixture, objects, Some(&fixture.seen), false);
        assert!(
            verdict.refused.is_some() && verdict.names(&again),
            "{name} as {again}: {}",
            verdict.says()
        );
    }
}

#[test]
fn two_heads_of_one_number_are_a_fork() {
    let mut fixture = fixture();
    let memory = Arc::new(MemoryStore::from_objects(fixture.objects.clone()));
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let (one, other) = (copy_of(&fixture.ledger), copy_of(&fixture.ledger));
    fixture.made.stamp = None;
    back_up(&store, &one, &mut fixture.made, &day(3)).unwrap();
    let seen = Repository::open(Arc::clone(&store), TestReader::new(), None)
        .unwrap()
        .seen();
    let only_one = memory.objects();
    // A copied device does not write where it sees the other's head: the two write to copies of the store.
    let elsewhere = Arc::new(MemoryStore::from_objects(fixture.objects.clone()));
    let beside: Arc<dyn Store> = Arc::clone(&elsewhere) as _;
    let together = || {
        let mut objects = elsewhere.objects();
        objects.extend(memory.objects());
        objects
    };
    back_up(&beside, &other, &mut fixture.made, &day(4)).unwrap();
    let store: Arc<dyn Store> = Arc::new(MemoryStore::from_objects(together()));
    for seen in [None, Some(&fixture.seen), Some(&seen)] {
        let refused = Repository::open(Arc::clone(&store), TestReader::new(), seen).unwrap_err();
        assert!(matches!(refused, EngineError::Forked { .. }), "{refused}");
        assert!(
            refused.to_string().contains("two heads with number 4"),
            "{refused}"
        );
    }
    // The other history goes on, and the store hides the one that was seen, or shows both.
    back_up(&beside, &other, &mut fixture.made, &day(5)).unwrap();
    let both = together();
    let mut hidden = both.clone();
    hidden.retain(|name, _| !name.ends_with(&seen.heads[0].hash));
    for objects in [both.clone(), hidden] {
        let verdict = judge(&fixture, objects, Some(&seen), false);
        assert!(
            matches!(verdict.refused, Some(EngineError::Forked { .. })),
            "{}",
            verdict.says()
        );
    }
    // Whoever has seen neither is told by `check`.
    let verdict = judge(&fixture, both, None, false);
    let forked = format!(
        "heads/{}/0000000004-{}",
        seen.heads[0].lineage, seen.heads[0].hash
    );
    assert!(verdict.names(&forked), "{}", verdict.says());
    assert_eq!(judge(&fixture, only_one, Some(&seen), false).says(), "");
}

#[test]
fn an_object_of_a_newer_version_says_so() {
    let fixture = fixture();
    let lineage = &fixture.seen.heads[0].lineage;
    let (_, bytes) = fixture
        .objects
        .iter()
        .find(|(name, _)| name.contains("/0000000003-"))
        .unwrap();
    let mut bytes = bytes.clone();
    bytes[8] = 2;
    let name = format!("heads/{lineage}/0000000004-{}", ObjectHash::of(&bytes));
    let mut objects = fixture.objects.clone();
    objects.insert(name.clone(), bytes);
    let verdict = judge(&fixture, objects, Some(&fixture.seen), false);
    assert!(
        matches!(&verdict.refused, Some(EngineError::NewerVersion { object, version: 2 }) if *object == name),
        "{}",
        verdict.says()
    );
    assert_eq!(
        verdict.says(),
        format!("{name} was written by a newer version of Heirloom (format 2)")
    );
}

/// Writes with a run key of its own, sealed to the public reader key, as anybody can; but with no key of this backup.
fn forge(device: u8) -> Objects {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let secret = |byte: u8| SecretBox::new(Box::new([byte; 32]));
    let mut sealed = vec![0x5A; 32];
    sealed.resize(1200, 0xEE);
    let keys = WriterKeys::new(
        REPOSITORY,
        [device; 16],
        1,
        [2; 32],
        secret(0x5A),
        sealed,
        secret(201),
        secret(202),
    );
    let mut lies = Made::new(666, 2, 30);
    shrink(&mut lies, 500);
    backup::run(backup::BackupJob {
        store,
        keys: &keys,
        reader: None,
        ledger: &MemoryLedger::new(),
        source: &mut lies,
        rng: &mut UnwrapErr(getrandom::SysRng),
        now_ms: 1_800_000_000_000,
        device_name: "forger",
        options: backup::BackupOptions::default(),
        progress: &Silent,
    })
    .unwrap();
    memory.objects()
}

#[test]
fn what_was_forged_from_public_bytes_is_refused_and_named() {
    let fixture = fixture();
    // A device that is in the keyring, and one that is not.
    for device in [7, 150] {
        let forged = forge(device);
        // The forger's head: a lineage of its own, and the next of a real one.
        let (head, bytes) = forged
            .iter()
            .find(|(name, _)| name.starts_with("heads/"))
            .unwrap();
        let next = format!(
            "heads/{}/0000000004-{}",
            fixture.seen.heads[0].lineage,
            head.rsplit('-').next().unwrap()
        );
        for name in [head.clone(), next] {
            let mut objects = fixture.objects.clone();
            objects.extend(
                forged
                    .iter()
                    .filter(|(name, _)| !name.starts_with("heads/"))
                    .map(|(name, bytes)| (name.clone(), bytes.clone())),
            );
            objects.insert(name.clone(), bytes.clone());
            let verdict = judge(&fixture, objects, Some(&fixture.seen), false);
            assert_eq!(
                verdict.says(),
                format!("{name} is damaged: it was not written by a device of this backup")
            );
        }
        // Without a head nothing leads to the rest.
        for (name, bytes) in forged
            .iter()
            .filter(|(name, _)| !name.starts_with("heads/"))
        {
            let mut objects = fixture.objects.clone();
            objects.insert(name.clone(), bytes.clone());
            let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
            assert!(
                verdict.refused.is_none() && verdict.names(name),
                "{name}: {}",
                verdict.says()
            );
        }
        // In place of a real object of its kind.
        for name in fixture.objects.keys() {
            let kind = name.split('/').next().unwrap();
            let (_, bytes) = forged
                .iter()
                .find(|(name, _)| name.starts_with(kind))
                .unwrap();
            let mut objects = fixture.objects.clone();
            objects.insert(name.clone(), bytes.clone());
            let verdict = judge(&fixture, objects, Some(&fixture.seen), true);
            assert!(verdict.names(name), "{name}: {}", verdict.says());
        }
    }
}

#[test]
fn another_backups_objects_are_refused() {
    let fixture = fixture();
    let mut objects = fixture.objects.clone();
    // The repository's id stands in every header; with another one nothing opens even if its name is right.
    let (name, mut bytes) = objects
        .pop_last()
        .filter(|(name, _)| name.starts_with("snapshots/"))
        .unwrap();
    bytes[12] ^= 1;
    let other = format!("snapshots/{}", ObjectHash::of(&bytes));
    objects.insert(name, fixture.objects.values().next_back().unwrap().clone());
    objects.insert(other.clone(), bytes);
    let verdict = judge(&fixture, objects, Some(&fixture.seen), false);
    assert!(
        verdict.problems.iter().any(
            |problem| problem.object == other && problem.what == "it belongs to another backup"
        ),
        "{}",
        verdict.says()
    );
}

#[test]
fn a_problem_says_what_it_costs() {
    let fixture = fixture();
    let flipped = |name: &str| {
        let mut objects = fixture.objects.clone();
        let at = objects[name].len() - 30;
        objects.get_mut(name).unwrap()[at] ^= 1;
        judge(&fixture, objects, Some(&fixture.seen), true)
    };
    let older = |place: &str| {
        fixture
            .older
            .keys()
            .find(|name| name.starts_with(place))
            .unwrap()
            .clone()
    };
    let newer = |place: &str| {
        fixture
            .objects
            .keys()
            .find(|name| name.starts_with(place) && !fixture.older.contains_key(*name))
            .unwrap()
            .clone()
    };

    let mut packs: Vec<String> = Vec::new();
    for name in fixture
        .objects
        .keys()
        .filter(|name| name.starts_with("packs/"))
    {
        let verdict = flipped(name);
        let [problem] = verdict.problems.as_slice() else {
            panic!("{}", verdict.says())
        };
        assert_eq!(
            (&problem.object, problem.what.as_str()),
            (name, "its bytes do not match its name")
        );
        packs.push(problem.affects.clone());
    }
    let all = packs.join("; ");
    assert!(
        packs
            .iter()
            .any(|affects| affects.contains(" messages") && affects.contains("\"Chat ")),
        "{all}"
    );
    assert!(
        packs
            .iter()
            .any(|affects| affects.contains(" pieces of media of \"Chat ")),
        "{all}"
    );

    let snapshot = older("snapshots/");
    let verdict = flipped(&snapshot);
    let [problem] = verdict.problems.as_slice() else {
        panic!("{}", verdict.says())
    };
    assert_eq!(
        (&problem.object, problem.affects.as_str()),
        (&snapshot, "one older snapshot; newer ones do not need it")
    );

    let index = older("index/");
    let verdict = flipped(&index);
    if verdict.refused.is_none() {
        let [problem] = verdict.problems.as_slice() else {
            panic!("{}", verdict.says())
        };
        assert_eq!(
            (&problem.object, problem.affects.as_str()),
            (&index, "finding what this index lists")
        );
    }

    for name in [newer("snapshots/"), newer("index/")] {
        let verdict = flipped(&name);
        assert_eq!(
            verdict.says(),
            format!("{name} is damaged: its bytes do not match its name")
        );
        let hint = verdict.refused.unwrap().hint().unwrap();
        assert_eq!(
            hint,
            "run `heirloom check STORE --read-data` to see all that is affected"
        );
    }
}

#[test]
fn a_chunk_that_spans_two_packs_is_guarded_on_both_sides() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as _;
    let mut made = Made::new(3, 1, 5);
    shrink(&mut made, 100);
    let mut rng = Lcg(77);
    let body: Vec<u8> = (0..9 * 1024 * 1024 + 5)
        .map(|_| u8::try_from(rng.next(256)).unwrap())
        .collect();
    let message = &mut made.conversations[0].1[0];
    message.attachments = vec![heirloom_archive::Attachment {
        name: "film.mp4".into(),
        bytes: body.len() as u64,
        source_path: "film".into(),
        ..heirloom_archive::Attachment::default()
    }];
    made.files.insert("film".into(), body);
    let ledger = MemoryLedger::new();
    back_up(&store, &ledger, &mut made, &Run::default()).unwrap();
    let repository = Repository::open(Arc::clone(&store), TestReader::new(), None).unwrap();
    let fixture = Fixture {
        objects: memory.objects(),
        older: Objects::new(),
        canon: canon_of_source(&mut made),
        made,
        seen: repository.seen(),
        ledger,
    };
    let full: Vec<&String> = fixture
        .objects
        .iter()
        .filter(|(_, bytes)| bytes.len() == 8 * 1024 * 1024)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        full.len(),
        1,
        "the film fills one pack and goes on in another"
    );
    assert_eq!(
        judge(&fixture, fixture.objects.clone(), None, true).says(),
        ""
    );
    for (name, bytes) in fixture
        .objects
        .iter()
        .filter(|(name, _)| name.starts_with("packs/"))
    {
        let len = bytes.len();
        let near_directory: Vec<usize> = (0..6)
            .map(|n| len - 1100 - n * 300)
            .filter(|_| len > 4000)
            .collect();
        for at in [100, 1300, 1400, len / 2, len - 1, len - 3]
            .into_iter()
            .chain(near_directory)
        {
            let mut objects = fixture.objects.clone();
            objects.get_mut(name).unwrap()[at] ^= 0x10;
            let verdict = judge(&fixture, objects, None, true);
            assert!(
                verdict.names(name),
                "byte {at} of {name}: {}",
                verdict.says()
            );
        }
        let mut objects = fixture.objects.clone();
        objects.remove(name);
        let verdict = judge(&fixture, objects, None, true);
        assert!(verdict.names(name), "{name} deleted: {}", verdict.says());
    }
}
