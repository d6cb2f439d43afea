//! The new computer, once it is signed in: it takes its place in a backup that another one lets it open.

use std::time::{Duration, Instant};

use heirloom_engine::keyrings;
use heirloom_keys::Unlocked;

use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::{RepositoryState, Seen};
use crate::keys;
use crate::repository::{self, Found};
use crate::server::approval::Offered;
use crate::server::{Address, Client};
use crate::unlock;
use crate::unlock::own::{self, Own};

/// How long it is waited for, once it was asked: the other computer asks nobody any more.
const TIME: Duration = Duration::from_mins(2);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(700);

/// A backup that this computer opens by itself.
pub(super) struct LetIn {
    pub(super) place: String,
}

/// Whether this computer was let in already, and ended before it knew; then nobody is asked again.
pub(super) fn already(address: &Address, context: &Context) -> Result<Option<LetIn>, Failure> {
    let Some(found) = repository::look(&address.place(), context)? else {
        return Ok(None);
    };
    match own::find(&found)? {
        Own::Here(_) => finish(&found, context).map(Some),
        Own::None | Own::Removed => Ok(None),
    }
}

/// Asks to be taken into the backup, waits until that is done, opens it, and takes its place as a device.
pub(super) fn enter(
    offered: Offered,
    name: String,
    client: &Client,
    context: &Context,
) -> Result<LetIn, Failure> {
    let place = offered.backup.address(client.origin())?.place();
    let state = trusted(&offered, context)?;
    // From here on the store cannot show less than the other computer has seen.
    let found = repository::look(&place, context)?.ok_or_else(|| another(&place))?;
    if *found.newest.repository().as_bytes() != state.id() {
        return Err(another(&place));
    }
    let own::Asking { credential, way } = own::prepare(&state, &found)?;
    let admission = way
        .ask(&mut keys::rng(), &credential)
        .ok_or_else(|| another(&place))?;
    let asked = found.newest.hash();
    offered.ask(name, &admission, client, context)?;
    let since = Instant::now();
    while since.elapsed() < TIME {
        std::thread::sleep(LOOK);
        let found = repository::find(&place, context)?;
        if found.newest.hash() != asked && matches!(own::find(&found)?, Own::Here(_)) {
            return finish(&found, context);
        }
    }
    Err(Failure::new(
        Exit::NeedsUnlock,
        format!("signed in, and the other computer has not let this one into {place}"),
    )
    .hint("run the same command again: what was done stays done"))
}

/// Remembers what the other computer has seen of the backup, as if it had been seen here.
fn trusted(offered: &Offered, context: &Context) -> Result<RepositoryState, Failure> {
    let state = context
        .home
        .repository(offered.backup.repository(), true)?
        .ok_or_else(|| Failure::new(Exit::Failed, "the state folder could not be made"))?;
    let before = state.seen()?.unwrap_or_default();
    state.set_seen(&newest_of(before, offered.backup.seen()))?;
    Ok(state)
}

/// What either has seen: the higher keyring, and the higher head of each lineage.
fn newest_of(own: Seen, told: Seen) -> Seen {
    let (mut seen, other) = if own.keyring_number >= told.keyring_number {
        (own, told)
    } else {
        (told, own)
    };
    for head in other.heads {
        let known = seen
            .heads
            .iter_mut()
            .find(|known| known.lineage == head.lineage);
        match known {
            None => seen.heads.push(head),
            Some(known) if known.sequence < head.sequence => *known = head,
            Some(_) => {}
        }
    }
    seen
}

/// Opens the backup by what this computer keeps, as it will from now on, and records that it did.
fn finish(found: &Found, context: &Context) -> Result<LetIn, Failure> {
    let state = found.state.as_ref().ok_or_else(|| another(&found.place))?;
    let _lock = state.lock()?;
    let (unlocked, _) = unlock::by_this_computer(found)?;
    prove(&unlocked, state, found, context)?;
    state.note(|notes| {
        notes.stores.retain(|known| *known != found.place);
        notes.stores.push(found.place.clone());
    })?;
    Ok(LetIn {
        place: found.place.clone(),
    })
}

/// The proof is for `protect status`: the computer opens the backup also without it.
fn prove(
    unlocked: &Unlocked,
    state: &RepositoryState,
    found: &Found,
    context: &Context,
) -> Result<(), Failure> {
    let Some(mut device) = Device::load(state)? else {
        return Ok(());
    };
    let is_proven = |unlocked: &Unlocked| {
        let opened = unlocked.opened_with();
        let mut slots = unlocked.slots().into_iter();
        slots.any(|slot| Some(slot.id) == opened && slot.last_proven_ms.is_some())
    };
    if is_proven(unlocked) || unlocked.removal_due_ms().is_some() {
        return Ok(());
    }
    let newest = keyrings::list(&*found.store)?
        .last()
        .map(|name| name.number);
    if newest != Some(unlocked.seen().number) {
        context
            .output
            .say("The ways in changed meanwhile: `heirloom protect check STORE` proves this one");
        return Ok(());
    }
    let proven = unlocked.record_proof(&mut keys::rng(), device.act())?;
    device.publish(&*found.store, proven).map(drop)
}

fn another(place: &str) -> Failure {
    Failure::new(
        Exit::Damage,
        format!("{place} does not show the backup that the other computer sees there"),
    )
    .hint("the sign-in is done, and nothing was asked of the backup; ask who runs the server")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::SeenHead;

    fn seen(keyring_number: u64, heads: &[(&str, u64)]) -> Seen {
        let head = |(lineage, sequence): &(&str, u64)| SeenHead {
            lineage: (*lineage).into(),
            sequence: *sequence,
            hash: format!("{keyring_number}"),
        };
        Seen {
            keyring_number,
            keyring_hash: format!("{keyring_number}"),
            events: keyring_number,
            heads: heads.iter().map(head).collect(),
        }
    }

    #[test]
    fn what_is_told_never_takes_back_what_was_seen_here() {
        let merged = newest_of(
            seen(5, &[("a", 3), ("b", 1)]),
            seen(7, &[("a", 2), ("c", 4)]),
        );
        assert_eq!(
            (merged.keyring_number, merged.keyring_hash.as_str()),
            (7, "7")
        );
        let mut heads: Vec<_> = merged
            .heads
            .iter()
            .map(|head| (head.lineage.as_str(), head.sequence, head.hash.as_str()))
            .collect();
        heads.sort_unstable();
        assert_eq!(heads, [("a", 3, "5"), ("b", 1, "5"), ("c", 4, "7")]);
        assert_eq!(newest_of(seen(5, &[]), seen(4, &[])), seen(5, &[]));
        assert_eq!(
            newest_of(Seen::default(), seen(4, &[("a", 1)])),
            seen(4, &[("a", 1)])
        );
    }
}
