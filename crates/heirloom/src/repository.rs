//! Finding a backup in a store, and opening it, without ever going back behind what this computer has seen.

use std::sync::Arc;

use heirloom_ceremony::Purpose;
use heirloom_engine::backup::BackupOutcome;
use heirloom_engine::repository::Repository;
use heirloom_engine::store::{self, Store, StoreError};
use heirloom_engine::{EngineError, keyrings};
use heirloom_keys::{
    Freshness, KeyringHash, LockedKeyring, Unlocked, log_extends, verify_successor,
};

use crate::args::shared::Unlock;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::{self, RepositoryState, Seen, SeenHead};
use crate::keys::Reader;
use crate::server::witness::parse_head;
use crate::server::{Account, Address, Client, RemoteStore, Witness, WitnessedStore};
use crate::unlock;

/// A backup that was found in a store, still locked.
#[derive(Debug)]
pub(crate) struct Found {
    /// The store.
    pub(crate) store: Arc<dyn Store>,
    /// Its place as it is remembered.
    pub(crate) place: String,
    /// The newest keyring.
    pub(crate) newest: LockedKeyring,
    /// Another one of the same number: two computers changed the ways in at once.
    pub(crate) twin: Option<LockedKeyring>,
    /// What this computer knows of the backup.
    pub(crate) state: Option<RepositoryState>,
    /// What the server of the store remembers for every computer.
    witness: Option<Arc<Witness>>,
    /// The keyrings from the one that this computer, or the witness, knows to the newest.
    between: Vec<LockedKeyring>,
}

/// A backup that was unlocked.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) found: Found,
    pub(crate) reader: Arc<Reader>,
}

/// Opens a store. One that is not there is `None`.
pub(crate) fn open_store(
    address: &str,
    create: bool,
    context: &Context,
) -> Result<Option<Arc<dyn Store>>, Failure> {
    if Address::is_one(address) {
        return open_remote(&Address::parse(address)?, context).map(Some);
    }
    match store::open(address, create) {
        Ok(store) => Ok(Some(store)),
        Err(StoreError::NotFound { .. }) if !create => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Opens an account's objects on a server, and finds out at once whether the sign-in is good.
fn open_remote(address: &Address, context: &Context) -> Result<Arc<dyn Store>, Failure> {
    let account = Account::needed(address, context)?;
    let client = Client::new(address, Some(&account.token));
    let _: heirloom_vault_api::Account = client
        .get("/v1/account")
        .map_err(|error| error.failure(client.origin()))?;
    Ok(Arc::new(WitnessedStore {
        store: RemoteStore::new(client, address),
        witness: Witness::new(address, &account)?,
    }))
}

/// Looks for a backup. Reads only the newest keyrings; trusts nothing in them yet.
pub(crate) fn look(address: &str, context: &Context) -> Result<Option<Found>, Failure> {
    let place = home::place(address);
    let Some(store) = open_store(address, false, context)? else {
        return missing(&place, context).map(|()| None);
    };
    let names = keyrings::list(&*store)?;
    let Some(number) = names.last().map(|name| name.number) else {
        for folder in ["heads/", "packs/", "snapshots/"] {
            if !store.list(folder)?.is_empty() {
                return Err(Failure::new(Exit::Damage, format!("{address} holds parts of a backup, and no keyring"))
                    .hint("without a keyring nothing opens them: bring back the folder `keyring` from a copy of the store"));
            }
        }
        return missing(&place, context).map(|()| None);
    };
    let mut newest = Vec::new();
    for name in names.iter().filter(|name| name.number == number).take(3) {
        let keyring = load(&*store, &name.name)?;
        if keyring.number() != number {
            return Err(foreign(
                &name.name,
                &format!("it is keyring {}", keyring.number()),
            ));
        }
        newest.push(keyring);
    }
    let mut newest = newest.into_iter();
    let (Some(first), twin, None) = (newest.next(), newest.next(), newest.next()) else {
        return Err(Failure::new(
            Exit::Damage,
            format!("{address} holds more than two keyrings of number {number}"),
        ));
    };
    let state = context
        .home
        .repository(*first.repository().as_bytes(), false)?;
    let mut found = Found {
        store,
        newest: first,
        twin,
        state,
        witness: Witness::of(&place, context)?,
        place,
        between: Vec::new(),
    };
    if let Some(seen) = found.seen()? {
        found.load_between(&names, seen.number)?;
        found.take_other_side(&seen);
        found.refuse_older(&seen, "this computer has seen")?;
    }
    if let Some(witness) = &found.witness
        && let Some((number, hash)) = witness.keyring(*found.newest.repository().as_bytes())?
    {
        let seen = heirloom_keys::Seen {
            number,
            hash: KeyringHash::from_bytes(hash),
            events: 0,
        };
        let who = format!("the witness of {} has signed", witness.origin());
        found.load_between(&names, seen.number)?;
        found.refuse_older(&seen, &who)?;
    }
    Ok(Some(found))
}

/// Of keyrings that are read to follow what happened: hundreds of changes.
const MOST_BETWEEN_BYTES: usize = 64 << 20;

fn load(store: &dyn Store, name: &str) -> Result<LockedKeyring, Failure> {
    load_counted(store, name).map(|(keyring, _)| keyring)
}

/// Reads a keyring, and says how long it is; a failure names the object, which a person may have to bring back or move
/// away.
fn load_counted(store: &dyn Store, name: &str) -> Result<(LockedKeyring, usize), Failure> {
    let bytes = keyrings::load(store, name).map_err(Failure::from);
    let parsed = bytes.and_then(|bytes| Ok((LockedKeyring::parse(&bytes)?, bytes.len())));
    parsed.map_err(|failure| match failure.exit {
        Exit::Damage => foreign(name, &failure.message),
        _ => failure,
    })
}

/// The failure of an object among the keyrings that is none, or not the one that its name says.
fn foreign(name: &str, why: &str) -> Failure {
    let message = if why.contains(name) {
        why.to_owned()
    } else {
        format!("{name} is not what this store should hold: {why}")
    };
    Failure::new(Exit::Damage, message).hint("bring this object back from a copy of the store; if nobody on your computers wrote it, move it out of the store")
}

/// Looks for a backup that has to be there.
pub(crate) fn find(address: &str, context: &Context) -> Result<Found, Failure> {
    look(address, context)?.ok_or_else(|| no_backup(address))
}

/// The failure of who looked in vain.
pub(crate) fn no_backup(address: &str) -> Failure {
    Failure::new(Exit::NoBackup, format!("there is no backup in {address}"))
        .hint("check the folder or URL; `heirloom backup SOURCE --to STORE` makes a first backup")
}

/// Looks for a backup and unlocks it, to read it.
pub(crate) fn open(address: &str, unlock: &Unlock, context: &Context) -> Result<Opened, Failure> {
    open_for(address, unlock, Purpose::Unlock, context)
}

/// Looks for a backup and unlocks it, for whatever is to be done with it.
pub(crate) fn open_for(
    address: &str,
    unlock: &Unlock,
    purpose: Purpose,
    context: &Context,
) -> Result<Opened, Failure> {
    let found = find(address, context)?;
    let (unlocked, _) = unlock::unlock(&found, unlock, purpose, context)?.done();
    Ok(found.opened(unlocked))
}

/// Refuses when this computer remembers a backup at this place: a new one would hide that the old one is gone.
fn missing(place: &str, context: &Context) -> Result<(), Failure> {
    for state in context.home.all() {
        let is_here = state.notes()?.stores.iter().any(|known| known == place);
        if is_here && crate::commands::protect::finish_forgetting(&state)? {
            continue;
        }
        if is_here && state.seen()?.is_some() {
            return Err(Failure::new(Exit::NoBackup, format!("the backup that was in {place} is not there any more"))
                .hint("check that the disk is connected and the folder is the right one; to begin anew, name another folder"));
        }
    }
    Ok(())
}

impl Found {
    /// Reads the keyrings from number `first` to the newest, where they are not read yet.
    fn load_between(&mut self, names: &[keyrings::KeyringName], first: u64) -> Result<(), Failure> {
        let mut bytes = 0;
        let mut between = Vec::new();
        let is_between = |number: u64| number >= first && number < self.newest.number();
        for name in names.iter().filter(|name| is_between(name.number)) {
            let (keyring, length) = load_counted(&*self.store, &name.name)?;
            bytes += length;
            if bytes > MOST_BETWEEN_BYTES {
                return Err(Failure::new(
                    Exit::Damage,
                    format!(
                        "{} holds more keyrings from number {first} on than owners make",
                        self.place
                    ),
                )
                .hint("look into its folder `keyring`: what nobody on your computers wrote, move out of the store"));
            }
            between.push(keyring);
        }
        if between.len() > self.between.len() {
            self.between = between;
        }
        Ok(())
    }

    /// Where another side of a fork went further than the one that this computer knows, that one is the twin: its owner
    /// may join the two.
    fn take_other_side(&mut self, seen: &heirloom_keys::Seen) {
        let is_forked = seen.compare_through(&self.newest, &self.between) == Freshness::Forked;
        if !is_forked || self.twin.is_some() {
            return;
        }
        let own = self
            .between
            .iter()
            .position(|keyring| keyring.hash() == seen.hash);
        self.twin = own.map(|own| self.between.swap_remove(own));
    }

    /// Checks that each keyring since the one that this computer knows was made by somebody who could open the one before
    /// it: whoever was removed still knows an old root, and could go on from there. `docs/keyring.md`, section 9.1.
    ///
    /// A keyring that the same way in does not open, because it was added later, shows nothing.
    pub(crate) fn verify_succession(
        &self,
        unlocked: &Unlocked,
        open: impl Fn(&LockedKeyring) -> Result<Unlocked, Failure>,
    ) -> Result<(), Failure> {
        let mut reached = vec![&self.newest];
        let mut at = 0;
        while let Some(keyring) = reached.get(at).copied() {
            at += 1;
            for before in &self.between {
                if !keyring.previous_hashes().contains(&before.hash()) {
                    continue;
                }
                match open(before) {
                    Ok(before) => {
                        let follows = verify_successor(&before, keyring).is_ok();
                        if !follows || !log_extends(&before, unlocked) {
                            return Err(not_a_successor(keyring.number()));
                        }
                    }
                    Err(failure) if matches!(failure.exit, Exit::WrongKey | Exit::NeedsUnlock) => {}
                    Err(failure) => return Err(failure),
                }
                if !reached.iter().any(|known| known.hash() == before.hash()) {
                    reached.push(before);
                }
            }
        }
        Ok(())
    }

    /// Refuses a store that shows an older state than `who` knows.
    fn refuse_older(&self, seen: &heirloom_keys::Seen, who: &str) -> Result<(), Failure> {
        match seen.compare_through(&self.newest, &self.between) {
            Freshness::Same | Freshness::Newer => Ok(()),
            Freshness::Older => Err(rollback(format!(
                "keyring {} is its newest, and {who} keyring {}",
                self.newest.number(),
                seen.number
            ))),
            // A twin that was seen is one side of a fork, which its owner may join.
            _ if self
                .twin
                .as_ref()
                .is_some_and(|twin| twin.hash() == seen.hash) =>
            {
                Ok(())
            }
            _ => Err(Failure::from(EngineError::Forked {
                what: format!(
                    "keyring {} does not follow the one that {who}",
                    self.newest.number()
                ),
            })),
        }
    }

    fn seen(&self) -> Result<Option<heirloom_keys::Seen>, Failure> {
        let Some(seen) = self
            .state
            .as_ref()
            .map(RepositoryState::seen)
            .transpose()?
            .flatten()
        else {
            return Ok(None);
        };
        let mut hash = [0; 32];
        if hex::decode_to_slice(&seen.keyring_hash, &mut hash).is_err() {
            return Ok(None);
        }
        Ok(Some(heirloom_keys::Seen {
            number: seen.keyring_number,
            hash: KeyringHash::from_bytes(hash),
            events: seen.events,
        }))
    }

    /// Hands on what reads.
    pub(crate) fn opened(self, unlocked: Unlocked) -> Opened {
        Opened {
            found: self,
            reader: Arc::new(Reader::new(unlocked)),
        }
    }
}

/// The failure of a keyring that an owner did not make.
fn not_a_successor(number: u64) -> Failure {
    Failure::new(
        Exit::Damage,
        format!("keyring {number} was not made by an owner of this backup"),
    )
    .hint("somebody who was removed from the backup may have written it; do not back up to this store, and move that keyring out of its folder `keyring` once you know who did")
}

/// The failure of a store that went back in time.
pub(crate) fn rollback(what: String) -> Failure {
    Failure::from(EngineError::Rollback { what })
}

impl Opened {
    /// Opens the repository itself: heads, snapshots, index.
    pub(crate) fn repository(&self) -> Result<Arc<Repository>, Failure> {
        self.repository_if_any()?.ok_or_else(|| {
            Failure::new(
                Exit::NoBackup,
                format!(
                    "the first backup to {} did not end, and nothing can be read yet",
                    self.found.place
                ),
            )
            .hint("run the same `heirloom backup` again: it goes on with what is stored already")
        })
    }

    /// Opens what can be opened of a damaged repository: to check it, or to read an older snapshot on purpose.
    pub(crate) fn repository_damaged(&self) -> Result<Arc<Repository>, Failure> {
        let reader: Arc<dyn heirloom_engine::keys::ReaderKeys> = self.reader.clone();
        let seen = self.seen_heads()?;
        let repository = Repository::open_damaged(self.found.store.clone(), reader, seen.as_ref())?;
        if repository.damage().is_empty() {
            self.remember(&repository)?;
        }
        Ok(Arc::new(repository))
    }

    /// Opens the repository to read a snapshot: the newest must be whole, an older one may be read beside damage.
    pub(crate) fn repository_for(
        &self,
        snapshot: Option<&String>,
    ) -> Result<Arc<Repository>, Failure> {
        match snapshot {
            Some(_) => self.repository_damaged(),
            None => self.repository(),
        }
    }

    /// The same; `None` where a keyring was stored and no backup to it has ended yet.
    pub(crate) fn repository_if_any(&self) -> Result<Option<Arc<Repository>>, Failure> {
        let reader: Arc<dyn heirloom_engine::keys::ReaderKeys> = self.reader.clone();
        let seen = self.seen_heads()?;
        let repository = match Repository::open(self.found.store.clone(), reader, seen.as_ref()) {
            Ok(repository) => Arc::new(repository),
            Err(EngineError::NoBackup) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        self.remember(&repository)?;
        Ok(Some(repository))
    }

    /// The heads that this computer has seen, and those that the witness has signed.
    fn seen_heads(&self) -> Result<Option<heirloom_engine::repository::Seen>, Failure> {
        let state = self.found.state.as_ref();
        let seen = state.map(known_heads).transpose()?.flatten();
        let mut heads = seen.map(|seen| seen.heads).unwrap_or_default();
        heads.extend(self.witnessed_heads()?);
        Ok((!heads.is_empty()).then_some(heirloom_engine::repository::Seen { heads }))
    }

    /// What the witness has signed of each lineage that the store shows.
    fn witnessed_heads(&self) -> Result<Vec<heirloom_engine::repository::SeenHead>, Failure> {
        let Some(witness) = &self.found.witness else {
            return Ok(Vec::new());
        };
        let listed = self.found.store.list("heads/")?;
        let mut lineages: Vec<_> = listed
            .iter()
            .filter_map(|object| parse_head(&object.name))
            .map(|(lineage, _)| lineage)
            .collect();
        lineages.dedup();
        let mut heads = Vec::new();
        for lineage in lineages {
            if let Some((sequence, hash)) = witness.head(lineage)? {
                heads.push(heirloom_engine::repository::SeenHead {
                    lineage: lineage.to_owned(),
                    sequence,
                    hash: hex::encode(hash),
                });
            }
        }
        Ok(heads)
    }

    /// Remembers the newest state, where this computer knows the backup at all.
    fn remember(&self, repository: &Repository) -> Result<(), Failure> {
        let Some(state) = &self.found.state else {
            return Ok(());
        };
        remember(state, self.reader.keyring(), Some(heads(repository)))
    }
}

fn engine_head(head: SeenHead) -> heirloom_engine::repository::SeenHead {
    let SeenHead {
        lineage,
        sequence,
        hash,
    } = head;
    heirloom_engine::repository::SeenHead {
        lineage,
        sequence,
        hash,
    }
}

/// The heads that a computer has seen; `None` where there are none.
pub(crate) fn known_heads(
    state: &RepositoryState,
) -> Result<Option<heirloom_engine::repository::Seen>, Failure> {
    let heads: Vec<_> = state
        .seen()?
        .into_iter()
        .flat_map(|seen| seen.heads)
        .map(engine_head)
        .collect();
    Ok((!heads.is_empty()).then_some(heirloom_engine::repository::Seen { heads }))
}

/// The heads of an opened repository, to be remembered.
pub(crate) fn heads(repository: &Repository) -> Vec<SeenHead> {
    let head = |head: heirloom_engine::repository::SeenHead| {
        let heirloom_engine::repository::SeenHead {
            lineage,
            sequence,
            hash,
        } = head;
        SeenHead {
            lineage,
            sequence,
            hash,
        }
    };
    repository.seen().heads.into_iter().map(head).collect()
}

/// Remembers the head that this run wrote: a run without a key reads no other, and a store that forgets this one has to
/// be found out.
pub(crate) fn remember_head(
    state: &RepositoryState,
    outcome: &BackupOutcome,
) -> Result<(), Failure> {
    let mut seen = state.seen()?.unwrap_or_default();
    seen.heads.retain(|head| head.lineage != outcome.lineage);
    seen.heads.push(SeenHead {
        lineage: outcome.lineage.clone(),
        sequence: outcome.sequence,
        hash: outcome.head.clone(),
    });
    state.set_seen(&seen)
}

/// Remembers a keyring that was unlocked, and the heads when they were read.
pub(crate) fn remember(
    state: &RepositoryState,
    unlocked: &Unlocked,
    heads: Option<Vec<SeenHead>>,
) -> Result<(), Failure> {
    let seen = unlocked.seen();
    let before = state.seen()?.unwrap_or_default();
    if before.keyring_number > seen.number {
        // Another run on this computer went on meanwhile: what it saw stays seen.
        return state.set_seen(&Seen {
            heads: heads.unwrap_or(before.heads),
            ..before
        });
    }
    state.set_seen(&Seen {
        keyring_number: seen.number,
        keyring_hash: hex::encode(seen.hash.as_bytes()),
        events: seen.events,
        heads: heads.unwrap_or(before.heads),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use heirloom_engine::store::memory::MemoryStore;
    use heirloom_keys::{Act, CreateParams, Keyring, RecoveryKey, Successor, UnlockSecret};

    use super::*;

    fn locked(bytes: &[u8]) -> LockedKeyring {
        LockedKeyring::parse(bytes).unwrap()
    }

    #[test]
    fn a_keyring_whose_maker_knew_another_root_than_the_one_before_is_refused() {
        let mut rng = crate::keys::rng();
        let key = RecoveryKey::generate(&mut rng);
        let params = CreateParams {
            device_name: "a",
            recovery: &key,
            recovery_name: "key",
        };
        let (first_bytes, first, credential) = Keyring::create(&mut rng, 1, &params).unwrap();
        let act = |now_ms| Act {
            device: credential.device(),
            now_ms,
        };
        let Successor {
            bytes: second_bytes,
            unlocked: second,
        } = first.rotate(&mut rng, act(2)).unwrap();
        let Successor {
            bytes: third_bytes,
            unlocked: third,
        } = second.rotate(&mut rng, act(3)).unwrap();
        let found = Found {
            store: Arc::new(MemoryStore::default()),
            place: "store".into(),
            newest: locked(&third_bytes),
            twin: None,
            state: None,
            witness: None,
            between: vec![locked(&second_bytes), locked(&first_bytes)],
        };
        let secret = UnlockSecret::recovery_key(&key);
        let open = |keyring: &LockedKeyring| Ok(keyring.unlock(&secret)?);
        found.verify_succession(&third, open).unwrap();
        // As if the second had another root than the one under which the third names it.
        let other_root = |_: &LockedKeyring| open(&locked(&first_bytes));
        let refused = found.verify_succession(&third, other_root).unwrap_err();
        assert_eq!(refused.exit, Exit::Damage);
        // One that the way in does not open shows nothing.
        let other = RecoveryKey::generate(&mut rng);
        let other = UnlockSecret::recovery_key(&other);
        let closed = |keyring: &LockedKeyring| Ok(keyring.unlock(&other)?);
        found.verify_succession(&third, closed).unwrap();
    }
}
