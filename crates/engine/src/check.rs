//! `check`: is everything there, and is it what was written? Says what a damage costs.

mod data;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::error::EngineError;
use crate::format::names::{self, Name};
use crate::format::{MAX_OBJECT_BYTES, PACK_BYTES};
use crate::ids::{ChunkId, ObjectHash, ShortId};
use crate::marks::Marks;
use crate::progress::{Amount, Phase, Progress};
use crate::proto;
use crate::repository::{LoadedSnapshot, Repository};

/// How thoroughly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Read so many percent of the packs; `None` = only what says where things lie.
    pub read_data: Option<u8>,
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object's name.
    pub object: String,
    /// What is wrong with it.
    pub what: String,
    /// What that costs, in words; empty when nothing.
    pub affects: String,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckOutcome {
    /// All that is wrong.
    pub problems: Vec<Problem>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Packs that no snapshot needs: left by an interrupted run, or waiting to be pruned.
    pub unused_packs: u64,
}

/// What lies in a pack, for saying what its loss costs.
#[derive(Debug, Default)]
struct Holds {
    messages: u64,
    media: u64,
    conversations: BTreeSet<String>,
    other: bool,
}

/// Checks a repository. Never fails because of damage: damage is what it is for.
///
/// Cost: every object but packs is read; of packs, those that `read_data` says.
pub fn run(
    repository: &Repository,
    options: &CheckOptions,
    progress: &dyn Progress,
) -> Result<CheckOutcome, EngineError> {
    let mut check = Check {
        repository,
        outcome: CheckOutcome::default(),
        holds: HashMap::new(),
        needed: BTreeSet::new(),
    };
    let listed: BTreeMap<String, u64> = repository
        .store
        .list("")?
        .into_iter()
        .map(|object| (object.name, object.bytes))
        .collect();
    progress.phase(
        Phase::Checking,
        Some(Amount {
            items: u64::try_from(listed.len()).unwrap_or(0),
            bytes: 0,
        }),
    );
    let marks = Marks::load(repository)?;
    for name in &marks.refused {
        check.problem(
            name,
            "it was not written by a device of this backup",
            "nothing: it is not heeded",
        );
    }
    for error in repository.damage() {
        let affects = match error {
            EngineError::Damaged { object, .. } if object.starts_with("index/") => {
                "finding what this index lists"
            }
            EngineError::Damaged { .. } | EngineError::KeyMissing { .. } => {
                "the newest snapshot of its lineage; an older one can be read with `--snapshot`"
            }
            _ => "which history is the right one",
        };
        check.error("heads", error, affects);
    }
    let snapshots = check.chains(&marks);
    check.snapshots(&snapshots, &marks);
    check.objects(&listed, &marks, progress)?;
    check.packs(&listed, &marks);
    if let Some(percent) = options.read_data {
        data::run(&mut check, &listed, percent, progress)?;
    }
    let mut outcome = check.outcome;
    outcome.problems.sort();
    outcome.problems.dedup();
    Ok(outcome)
}

struct Check<'a> {
    repository: &'a Repository,
    outcome: CheckOutcome,
    holds: HashMap<ObjectHash, Holds>,
    /// Objects that something authentic refers to.
    needed: BTreeSet<String>,
}

impl Check<'_> {
    fn problem(&mut self, object: &str, what: &str, affects: &str) {
        self.outcome.problems.push(Problem {
            object: object.to_owned(),
            what: what.to_owned(),
            affects: affects.to_owned(),
        });
    }

    fn error(&mut self, object: &str, error: &EngineError, affects: &str) {
        let (object, what) = match error {
            EngineError::Damaged { object, damage } => (object.as_str(), damage.to_string()),
            other => (object, other.to_string()),
        };
        self.outcome.problems.push(Problem {
            object: object.to_owned(),
            what,
            affects: affects.to_owned(),
        });
    }

    /// Heads back to the oldest; gives all snapshots that they name.
    fn chains(&mut self, marks: &Marks) -> Vec<LoadedSnapshot> {
        let mut snapshots: Vec<LoadedSnapshot> = self.repository.newest_snapshots().to_vec();
        for head in &self.repository.heads {
            let chain = match self.repository.head_chain(head, marks) {
                Ok(chain) => chain,
                Err(error) => {
                    self.error(
                        &format!("heads/{}", head.lineage),
                        &error,
                        "the older snapshots of this lineage",
                    );
                    vec![(head.hash, head.message.clone())]
                }
            };
            for (hash, message) in chain {
                self.needed
                    .insert(names::head(&head.lineage, message.sequence, &hash));
                let reference = message.snapshot.unwrap_or_default();
                let Some(snapshot) = ObjectHash::from_slice(&reference.hash) else {
                    continue;
                };
                self.needed.insert(names::snapshot(&snapshot));
                if snapshots.iter().any(|known| known.hash == snapshot) {
                    continue;
                }
                match self.repository.snapshot_unless_pruned(&snapshot, marks) {
                    Ok(Some(snapshot)) => snapshots.push(snapshot),
                    Ok(None) => {}
                    Err(error) => self.error(
                        &names::snapshot(&snapshot),
                        &error,
                        "one older snapshot; newer ones do not need it",
                    ),
                }
            }
        }
        snapshots
    }

    /// Everything that a snapshot refers to must be in the index.
    fn snapshots(&mut self, snapshots: &[LoadedSnapshot], marks: &Marks) {
        let mut trees: BTreeSet<Vec<u8>> = BTreeSet::new();
        for snapshot in snapshots {
            let name = names::snapshot(&snapshot.hash);
            for index in &snapshot.message.indexes {
                let Some(hash) = ObjectHash::from_slice(&index.hash) else {
                    continue;
                };
                let index = names::index(&hash);
                if self.needed.insert(index.clone())
                    && marks.marked_at(&index).is_none()
                    && let Err(error) = self.repository.load_index(&hash)
                {
                    self.error(&index, &error, "finding what this index lists");
                }
            }
            for id in &snapshot.message.participants {
                self.chunk(&name, id, "the names of people", |holds| holds.other = true);
            }
            for id in snapshot.message.notes.iter().flat_map(|note| &note.chunks) {
                let what = "nothing that was backed up: a new computer has to read more";
                self.chunk(&name, id, what, |holds| holds.other = true);
            }
            for entry in &snapshot.message.conversations {
                if trees.insert(entry.tree.clone()) {
                    self.tree(&name, entry);
                }
            }
        }
    }

    fn tree(&mut self, snapshot: &str, entry: &proto::ConversationEntry) {
        let title = entry.title.clone();
        self.chunk(
            snapshot,
            &entry.tree,
            &format!("the conversation \"{title}\""),
            |holds| {
                holds.conversations.insert(title.clone());
                holds.other = true;
            },
        );
        let tree = match self.repository.tree(entry) {
            Ok(tree) => tree,
            Err(error) => {
                self.error(snapshot, &error, &format!("the conversation \"{title}\""));
                return;
            }
        };
        for segment in tree.segments {
            let messages = u64::from(segment.messages);
            self.chunk(
                snapshot,
                &segment.id,
                &format!("{messages} messages of \"{title}\""),
                |holds| {
                    holds.messages += messages;
                    holds.conversations.insert(title.clone());
                },
            );
            self.chunk(
                snapshot,
                &segment.filter,
                &format!("searching in \"{title}\""),
                |holds| holds.other = true,
            );
            for content in segment.contents.as_chunks::<16>().0 {
                self.short(
                    snapshot,
                    content,
                    &format!("a medium of \"{title}\""),
                    |holds| {
                        holds.media += 1;
                        holds.conversations.insert(title.clone());
                    },
                );
            }
        }
    }

    fn chunk(&mut self, by: &str, id: &[u8], what: &str, note: impl FnMut(&mut Holds)) {
        match ChunkId::from_slice(id) {
            Some(id) => self.short(by, &id.short(), what, note),
            None => self.problem(by, "its structure is damaged", what),
        }
    }

    fn short(&mut self, by: &str, id: &ShortId, what: &str, mut note: impl FnMut(&mut Holds)) {
        let Some(row) = self.repository.index.row(id) else {
            self.problem(by, "a chunk that it needs is in no index", what);
            return;
        };
        match self.repository.parts(row) {
            Ok(parts) => {
                for (pack, _, _) in parts {
                    if let Ok(place) = self.repository.index.pack(pack) {
                        self.needed.insert(names::pack(&place.hash));
                        note(self.holds.entry(place.hash).or_default());
                    }
                }
            }
            Err(error) => self.error(by, &error, what),
        }
    }

    /// Every object besides packs: its bytes must have its name's hash.
    fn objects(
        &mut self,
        listed: &BTreeMap<String, u64>,
        marks: &Marks,
        progress: &dyn Progress,
    ) -> Result<(), EngineError> {
        for (name, bytes) in listed {
            if progress.interrupted() {
                return Err(EngineError::Interrupted);
            }
            progress.advance(Phase::Checking, 1, 0);
            self.outcome.objects += 1;
            let Some(parsed) = Name::parse(name) else {
                self.problem(name, "it is not an object of Heirloom", "nothing");
                continue;
            };
            if matches!(parsed, Name::Pack(_)) {
                continue;
            }
            let content = match self.repository.store.get(name, MAX_OBJECT_BYTES) {
                Ok(content) => content,
                Err(error) => {
                    self.problem(name, &error.to_string(), "");
                    continue;
                }
            };
            self.outcome.bytes += bytes;
            if ObjectHash::of(&content) != parsed.hash() {
                // Whoever needs it has said so already, and what that costs.
                if !self
                    .outcome
                    .problems
                    .iter()
                    .any(|known| known.object == *name)
                {
                    let affects = match parsed {
                        Name::Keyring(_) => "unlocking with this keyring",
                        _ if self.needed.contains(name) => "opening this backup",
                        _ => "nothing that a snapshot needs",
                    };
                    self.problem(name, "its bytes do not match its name", affects);
                }
                continue;
            }
            if !self.needed.contains(name) && marks.marked_at(name).is_none() {
                self.unneeded(name, parsed, content);
            }
        }
        Ok(())
    }

    /// An object that nothing leads to and no prune has marked: left by an interrupted run, or else not ours.
    fn unneeded(&mut self, name: &str, parsed: Name, content: Vec<u8>) {
        let opened = match parsed {
            Name::Head(lineage, sequence, hash) => self
                .repository
                .load_head(&lineage, sequence, &hash)
                .map(|_| ()),
            Name::Snapshot(_) => self
                .repository
                .open_signed::<proto::Snapshot>(name, content)
                .map(|_| ()),
            Name::Index(_) => self
                .repository
                .open_signed::<proto::Index>(name, content)
                .map(|_| ()),
            Name::Keyring(_) | Name::Pack(_) | Name::PruneMark(_) => return,
        };
        match (opened, parsed) {
            // Authentic, and on no chain: two histories of one lineage.
            (Ok(()), Name::Head(..)) => self.problem(
                name,
                "no newer head of its lineage leads to it",
                "which history is the right one",
            ),
            (Ok(()), _) => {}
            (Err(error), _) => self.error(name, &error, "nothing: it is not heeded"),
        }
    }

    /// Every pack that an index names must be there, with its size.
    fn packs(&mut self, listed: &BTreeMap<String, u64>, marks: &Marks) {
        let places: Vec<(ObjectHash, u32)> = self
            .repository
            .index
            .packs()
            .iter()
            .map(|place| (place.hash, place.bytes))
            .collect();
        for (hash, bytes) in places {
            let name = names::pack(&hash);
            match listed.get(&name) {
                Some(found) if *found == u64::from(bytes) => {}
                Some(_) => self.problem(
                    &name,
                    "it has another size than the index says",
                    &self.cost(&hash),
                ),
                None if marks.marked_at(&name).is_some() && !self.needed.contains(&name) => {}
                None => self.problem(&name, "it is missing", &self.cost(&hash)),
            }
        }
        for (name, bytes) in listed {
            if let Some(Name::Pack(_)) = Name::parse(name)
                && !self.needed.contains(name)
            {
                self.outcome.unused_packs += 1;
                if usize::try_from(*bytes).map_or(true, |bytes| bytes > PACK_BYTES) {
                    self.problem(name, "it is larger than a pack can be", "nothing");
                }
            }
        }
    }

    /// What the loss of a pack costs, in words.
    fn cost(&self, pack: &ObjectHash) -> String {
        let Some(Holds {
            messages,
            media,
            conversations,
            other,
        }) = self.holds.get(pack)
        else {
            return "nothing that a snapshot needs".to_owned();
        };
        let mut parts = Vec::new();
        if *messages > 0 {
            parts.push(format!("{messages} messages"));
        }
        if *media > 0 {
            parts.push(format!("{media} pieces of media"));
        }
        if *other {
            parts.push("lists".to_owned());
        }
        let mut names: Vec<String> = conversations
            .iter()
            .take(3)
            .map(|title| format!("\"{title}\""))
            .collect();
        if conversations.len() > 3 {
            names.push(format!("{} more", conversations.len() - 3));
        }
        if names.is_empty() {
            parts.join(", ")
        } else {
            format!("{} of {}", parts.join(", "), names.join(", "))
        }
    }
}
