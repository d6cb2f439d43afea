//! `protect check`, `rename`, `remove` and `rotate`: each makes a new keyring; none is replaced.

use heirloom_ceremony::Purpose;
use heirloom_keys::{ChangeError, DeviceInfo, Method, SlotId, SlotInfo, Unlocked};

use super::tell;
use crate::args::manage::{Remove, Rename, Ways};
use crate::context::Context;
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::password;
use crate::repository;
use crate::unlock;
use crate::unlock::own::WAY;
use crate::{keys, secrets, words};

/// A keyring takes 256 bytes.
const NAME_CHARS: usize = 64;

/// Proves a way in by the unlock that was just made.
pub(super) fn check(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open_for(&args.store, &args.unlock, Purpose::Check, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let proven = opened
        .reader
        .keyring()
        .record_proof(&mut keys::rng(), device.act())?;
    let unlocked = device.publish(&*opened.found.store, proven)?;
    let way = opened_with(&unlocked);
    let name = way
        .as_ref()
        .map(|slot| slot.name.clone())
        .unwrap_or_default();
    tell(
        &format!("\"{}\" opens the backup", words::tame(&name)),
        &name,
        "protect check",
        &unlocked,
        context,
    );
    if let Some(next) = way.and_then(|slot| slot.next_check_ms()) {
        context
            .output
            .say(&format!("Its next check is due on {}", words::day(next)));
    }
    super::show::next_step(&unlocked, crate::context::now_ms(), context);
    Ok(Exit::Done)
}

/// The way in that opened a keyring.
fn opened_with(unlocked: &Unlocked) -> Option<SlotInfo> {
    unlocked
        .slots()
        .into_iter()
        .find(|slot| Some(slot.id) == unlocked.opened_with())
}

/// Gives a way in another name.
pub(super) fn rename(args: &Rename, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.ways.store, &args.ways.unlock, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let slots = keyring.slots();
    let slot = find_way(&slots, &args.way)?.ok_or_else(|| no_such(&args.way))?;
    let new_name = &checked_name(&slots, &args.new_name, Some(slot.id))?;
    let successor = keyring.rename_slot(&mut keys::rng(), device.act(), &slot.id, new_name)?;
    let unlocked = device.publish(&*opened.found.store, successor)?;
    tell(
        &format!(
            "\"{}\" is called \"{}\" now",
            words::tame(&slot.name),
            words::tame(new_name)
        ),
        new_name,
        "protect rename",
        &unlocked,
        context,
    );
    Ok(Exit::Done)
}

/// A name that no other way in has: whoever removes one by its name means that one.
pub(super) fn checked_name(
    slots: &[SlotInfo],
    name: &str,
    of: Option<SlotId>,
) -> Result<String, Failure> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Failure::usage("a way in needs a name"));
    }
    if name.chars().count() > NAME_CHARS {
        return Err(Failure::usage(format!(
            "a name has at most {NAME_CHARS} characters"
        )));
    }
    let is_taken = |known: &SlotInfo| Some(known.id) != of && known.name == name;
    if slots.iter().any(is_taken) {
        return Err(Failure::usage(format!(
            "another way in is called \"{}\" already",
            words::tame(name)
        )));
    }
    Ok(name.to_owned())
}

/// What is to be removed.
enum Target {
    Way(SlotInfo),
    /// With whether it keeps a way in for itself.
    Device(DeviceInfo, bool),
}

/// Removes a way in or a device; the root changes at once.
pub(super) fn remove(args: &Remove, context: &Context) -> Result<Exit, Failure> {
    let purpose = Purpose::Remove;
    let opened = repository::open_for(&args.ways.store, &args.ways.unlock, purpose, context)?;
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let target = target(keyring, &args.way, &device)?;
    refuse_before_asking(keyring, &target)?;
    let what = target.what();
    let stays = target.stays(keyring);
    if !args.yes {
        if !context.output.can_ask() {
            return Err(
                Failure::usage("removing is asked for, and nobody is here to ask")
                    .hint("add `--yes`"),
            );
        }
        let consequence = target.consequence();
        context.output.show(&format!("{stays}; {consequence}"));
        if !secrets::ask_yes(&format!("Remove {what}"))? {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
    }
    // First: once the slot is gone nobody would come back to it, and an older copy would still open with it.
    if let Target::Way(slot) = &target
        && let Err(failure) = password::forget(slot, keyring, context)
    {
        if !args.without_server {
            let mut failure = failure;
            let why = failure.message;
            failure.message =
                "the password's server could not be told to forget it, and nothing was removed"
                    .into();
            failure.causes.insert(0, why);
            return Err(failure.hint("run it again when the server answers and this computer is signed in to it; if it is gone for good: `--without-server`"));
        }
        context.output.warn(&format!(
            "the password's server could not be told to forget it: {}; a copy of the store made before now still opens with it while that server runs",
            failure.message
        ));
    }
    let unlocked = remove_now(keyring, &target, &mut device, &*opened.found.store)?;
    if let Target::Way(slot) = &target
        && slot.method == Method::Device(device.credential.device())
    {
        device.state.forget_credential(WAY)?;
    }
    password::follow_rotation(&unlocked, context);
    tell(
        &format!("Removed {what}; {stays}"),
        &args.way,
        "protect remove",
        &unlocked,
        context,
    );
    context.output.hint(target.consequence());
    tell_who_has_not_seen_it(&unlocked, &device, context);
    super::show::next_step(&unlocked, crate::context::now_ms(), context);
    Ok(Exit::Done)
}

/// Records the test unlock that was just made, then removes. Killed between the two, the removal can be run again.
fn remove_now(
    keyring: &Unlocked,
    target: &Target,
    device: &mut Device,
    store: &dyn heirloom_engine::store::Store,
) -> Result<Unlocked, Failure> {
    let mut rng = keys::rng();
    let successor = match target {
        Target::Way(slot) => {
            let tested = keyring.record_proof(&mut rng, device.act())?;
            let tested = device.publish(store, tested)?;
            tested.remove_slot(&mut rng, device.act(), &slot.id)?
        }
        Target::Device(known, _) => keyring.revoke_device(&mut rng, device.act(), &known.id)?,
    };
    device.publish(store, successor)
}

/// What would be refused afterwards is refused before a person is asked, and before anything is written.
fn refuse_before_asking(keyring: &Unlocked, target: &Target) -> Result<(), Failure> {
    let Target::Way(slot) = target else {
        return Ok(());
    };
    let rest: Vec<_> = keyring
        .slots()
        .into_iter()
        .filter(|known| known.id != slot.id)
        .collect();
    if rest.is_empty() {
        return Err(ChangeError::LastWayIn.into());
    }
    // Whoever removes the way they hold may not hold the one that stays.
    if keyring.opened_with() == Some(slot.id) {
        let others: Vec<_> = rest
            .iter()
            .map(|known| {
                let flag = match known.method {
                    Method::Passkey(_) => "`--passkey`",
                    Method::Password(_) => "`--password-file FILE`",
                    Method::Device(_) => "on that computer",
                    _ => "`--recovery-key-file FILE`",
                };
                format!("\"{}\" ({flag})", words::tame(&known.name))
            })
            .collect();
        return Err(
            Failure::usage("a way in cannot remove itself").hint(format!(
                "unlock with one that stays: {}",
                others.join(" or ")
            )),
        );
    }
    // The unlock that was just made proves the way that it was made with.
    let mut proven = rest
        .iter()
        .filter(|known| known.last_proven_ms.is_some() || keyring.opened_with() == Some(known.id));
    if proven.all(SlotInfo::is_extra) {
        return Err(ChangeError::OnlyExtraWays.into());
    }
    Ok(())
}

impl Target {
    fn what(&self) -> String {
        match self {
            Self::Way(slot) => format!("the way in \"{}\"", words::tame(&slot.name)),
            Self::Device(known, _) => format!("the device \"{}\"", words::tame(&known.name)),
        }
    }

    fn stays(&self, keyring: &Unlocked) -> String {
        match self {
            Self::Way(slot) => {
                let rest: Vec<_> = keyring
                    .slots()
                    .iter()
                    .filter(|known| known.id != slot.id)
                    .map(|known| words::tame(&known.name))
                    .collect();
                format!("what opens the backup then: {}", rest.join(", "))
            }
            Self::Device(_, true) => {
                "it opens nothing that is backed up from now on, and can add nothing from when it has seen this".into()
            }
            Self::Device(_, false) => "it can add nothing from when it has seen this".into(),
        }
    }

    /// What the removal does not undo.
    fn consequence(&self) -> &'static str {
        match self {
            Self::Way(slot) if matches!(slot.method, Method::Passkey(_)) => {
                "a copy of the store made before now still opens with it, with all that was backed up until now; what is backed up from now on does not. The passkey stays in your password manager: delete it there yourself"
            }
            Self::Way(slot) if matches!(slot.method, Method::Password(_)) => {
                "its server is told to forget it: then no copy of the store opens with it any more"
            }
            Self::Way(_) => {
                "a copy of the store made before now still opens with it, with all that was backed up until now; what is backed up from now on does not"
            }
            Self::Device(_, true) => {
                "a copy of the store made before now still opens with what it keeps, with all that was backed up until now. What it added stays in the backup; `heirloom devices URL --remove ID` signs it out of a server"
            }
            Self::Device(_, false) => "what it added stays in the backup",
        }
    }
}

/// A removal reaches a device when it reads the store again.
fn tell_who_has_not_seen_it(unlocked: &Unlocked, own: &Device, context: &Context) {
    let number = unlocked.seen().number;
    let devices: Vec<_> = unlocked
        .devices()
        .into_iter()
        .filter(|known| {
            known.revoked_ms.is_none()
                && known.seen_number < number
                && known.id != own.credential.device()
        })
        .map(|known| words::tame(&known.name))
        .collect();
    if !devices.is_empty() {
        context.output.hint(&format!(
            "not seen yet by {}: what they add before their next run reads the store can still be opened with what was removed",
            devices.join(", ")
        ));
    }
}

/// What another computer keeps for itself goes with that computer: it is to open nothing and to add nothing any more.
fn target(keyring: &Unlocked, wish: &str, own: &Device) -> Result<Target, Failure> {
    let slots = keyring.slots();
    let own = own.credential.device();
    let mut devices = keyring.devices().into_iter();
    if let Some(slot) = find_way(&slots, wish)? {
        let of = match slot.method {
            Method::Device(of) if of != own => Some(of),
            _ => None,
        };
        let device = devices.find(|known| Some(known.id) == of);
        return Ok(device.map_or_else(
            || Target::Way(slot.clone()),
            |device| Target::Device(device, true),
        ));
    }
    let named = devices.filter(|known| known.revoked_ms.is_none() && known.name == wish);
    let (itself, others): (Vec<_>, Vec<_>) = named.partition(|known| known.id == own);
    let device = others.into_iter().next().ok_or_else(|| {
        if itself.is_empty() {
            no_such(wish)
        } else {
            not_itself()
        }
    })?;
    let reads = slots
        .iter()
        .any(|slot| slot.method == Method::Device(device.id));
    Ok(Target::Device(device, reads))
}

/// It would make the keys that are to be kept from it.
fn not_itself() -> Failure {
    Failure::usage("a computer cannot remove itself from a backup").hint(
        "remove it on another computer that adds to this backup (`heirloom backup SOURCE --to STORE --join` makes one), or end the backup: `heirloom protect off STORE`",
    )
}

fn no_such(wish: &str) -> Failure {
    Failure::usage(format!(
        "there is no way in and no device called \"{}\"",
        words::tame(wish)
    ))
    .hint("`heirloom protect status STORE` lists them")
}

/// A way in by its name, else by its number. A name that several have is refused: removing the wrong one cannot be undone.
fn find_way<'a>(slots: &'a [SlotInfo], wish: &str) -> Result<Option<&'a SlotInfo>, Failure> {
    let named: Vec<_> = slots.iter().filter(|slot| slot.name == wish).collect();
    match named.as_slice() {
        [one] => Ok(Some(one)),
        [] => Ok(wish
            .parse::<usize>()
            .ok()
            .and_then(|number| slots.get(number.checked_sub(1)?))),
        _ => Err(Failure::usage(format!(
            "{} ways in are called \"{}\"",
            named.len(),
            words::tame(wish)
        ))
        .hint("name it by its number in `heirloom protect status STORE`")),
    }
}

/// Changes the root key; joins two keyrings where two computers made one at once.
pub(super) fn rotate(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let mut found = repository::find(&args.store, context)?;
    let twin = found.twin.take();
    let key = unlock::unlock_one_side(&found, &args.unlock, Purpose::Rotate, context)?;
    let (unlocked, entered) = key.done();
    let other = twin.map(|twin| entered.open(&twin)).transpose()?;
    drop(entered);
    let opened = found.opened(unlocked);
    let (mut device, _lock) = super::device(&opened)?;
    let keyring = opened.reader.keyring();
    let mut rng = keys::rng();
    let successor = match &other {
        None => keyring.rotate(&mut rng, device.act())?,
        Some(other) => keyring.merge_fork(other, &mut rng, device.act())?,
    };
    let unlocked = device.publish(&*opened.found.store, successor)?;
    password::follow_rotation(&unlocked, context);
    let words = if other.is_some() {
        "The two keyrings were joined, and the root key was changed"
    } else {
        "The root key was changed"
    };
    tell(words, "", "protect rotate", &unlocked, context);
    context
        .output
        .hint("this protects what is stored from now on; what was stored before stays as it is");
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use heirloom_engine::keyrings;
    use heirloom_engine::store::Store;
    use heirloom_engine::store::faulty::FaultyStore;
    use heirloom_engine::store::memory::MemoryStore;
    use heirloom_keys::{
        Act, CreateParams, Keyring, LockedKeyring, NewSlot, OpenError, RecoveryKey, UnlockSecret,
    };

    use crate::home::Home;

    /// A backup with two recovery keys, and the computer that made it.
    struct Scene {
        _home: tempfile::TempDir,
        store: Arc<dyn Store>,
        device: Device,
        stays: RecoveryKey,
        goes: RecoveryKey,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::find(Some(folder.path())).unwrap();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let mut rng = keys::rng();
        let (stays, goes) = (
            RecoveryKey::generate(&mut rng),
            RecoveryKey::generate(&mut rng),
        );
        let params = CreateParams {
            device_name: "a",
            recovery: &stays,
            recovery_name: "stays",
        };
        let (bytes, first, credential) = Keyring::create(&mut rng, 1, &params).unwrap();
        keyrings::publish(&*store, 1, &bytes).unwrap();
        let act = Act {
            device: credential.device(),
            now_ms: 2,
        };
        let id = *first.repository().as_bytes();
        let state = home.repository(id, true).unwrap().unwrap();
        let mut device = Device::enrol(state, credential, &first).unwrap();
        let slot = NewSlot {
            name: "goes",
            method: Method::RecoveryKey,
            provider: None,
            secret: &(&goes).into(),
        };
        device
            .publish(&*store, first.add_slot(&mut rng, act, slot).unwrap())
            .unwrap();
        Scene {
            _home: folder,
            store,
            device,
            stays,
            goes,
        }
    }

    #[test]
    fn a_change_of_what_is_not_the_newest_any_more_is_refused_and_stores_nothing() {
        let mut scene = scene();
        let before = scene.open(&scene.stays).unwrap();
        let mut rng = keys::rng();
        let act = scene.device.act();
        let first = before.rotate(&mut rng, act).unwrap();
        let late = before.record_proof(&mut rng, act).unwrap();
        let followed = scene.device.publish(&*scene.store, first).unwrap();
        let listed = keyrings::list(&*scene.store).unwrap().len();
        let refused = scene.device.publish(&*scene.store, late).unwrap_err();
        assert_eq!(refused.exit, Exit::Failed);
        assert_eq!(keyrings::list(&*scene.store).unwrap().len(), listed);
        let seen = scene.device.state.seen().unwrap().unwrap();
        assert_eq!(seen.keyring_number, followed.seen().number);
        // What an older run read does not go behind it.
        repository::remember(&scene.device.state, &before, None).unwrap();
        let seen = scene.device.state.seen().unwrap().unwrap();
        assert_eq!(seen.keyring_number, followed.seen().number);
    }

    impl Scene {
        fn newest(&self) -> LockedKeyring {
            let name = keyrings::list(&*self.store).unwrap().pop().unwrap().name;
            LockedKeyring::parse(&keyrings::load(&*self.store, &name).unwrap()).unwrap()
        }

        fn open(&self, key: &RecoveryKey) -> Result<Unlocked, OpenError> {
            self.newest().unlock(&UnlockSecret::recovery_key(key))
        }

        fn target(&self) -> Target {
            target(&self.open(&self.stays).unwrap(), "goes", &self.device).unwrap()
        }

        /// This computer as a new run finds it, which takes over the newest keyring by its own key.
        fn next_run(&self) -> Device {
            let mut device = Device::load(&self.device.state).unwrap().unwrap();
            device.refresh(&self.newest()).unwrap();
            device
        }
    }

    #[test]
    fn a_removal_that_stops_at_any_write_leaves_the_way_in_or_has_removed_it() {
        for (silent, writes) in [(false, 0), (false, 1), (true, 0), (true, 1)] {
            let mut scene = scene();
            let keyring = scene.open(&scene.stays).unwrap();
            let target = scene.target();
            let faulty = if silent {
                FaultyStore::going_silent_after(scene.store.clone(), writes)
            } else {
                FaultyStore::stopping_after(scene.store.clone(), writes)
            };
            assert!(remove_now(&keyring, &target, &mut scene.device, &faulty).is_err());
            // The way that stays opens it in any case, and the other one exactly when it is still listed.
            let after = scene.open(&scene.stays).unwrap();
            assert_eq!(after.slots().len() == 2, scene.open(&scene.goes).is_ok());
            let mut device = scene.next_run();
            if after.slots().len() == 2 {
                remove_now(&after, &scene.target(), &mut device, &*scene.store).unwrap();
            }
            assert!(scene.open(&scene.goes).is_err());
            let ended = scene.open(&scene.stays).unwrap();
            assert_eq!(ended.slots()[0].name, "stays");
            assert!(
                ended.slots()[0].last_proven_ms.is_some(),
                "the test unlock was recorded"
            );
        }
    }

    #[test]
    fn a_removal_in_two_writes_is_whole() {
        let mut scene = scene();
        let keyring = scene.open(&scene.stays).unwrap();
        let target = scene.target();
        let faulty = FaultyStore::counting(scene.store.clone());
        remove_now(&keyring, &target, &mut scene.device, &faulty).unwrap();
        assert_eq!(faulty.writes(), 2, "the test above stops at each of them");
    }

    #[test]
    fn a_rotation_whose_answer_was_lost_is_followed_by_the_next_run() {
        for silent in [false, true] {
            let mut scene = scene();
            let keyring = scene.open(&scene.stays).unwrap();
            let rotated = keyring
                .rotate(&mut keys::rng(), scene.device.act())
                .unwrap();
            let faulty = if silent {
                FaultyStore::going_silent_after(scene.store.clone(), 0)
            } else {
                FaultyStore::stopping_after(scene.store.clone(), 0)
            };
            assert!(scene.device.publish(&faulty, rotated).is_err());
            let device = scene.next_run();
            let newest = scene.newest();
            assert_eq!(newest.number(), if silent { 3 } else { 2 });
            assert_eq!(device.writer.keyring_number, newest.number());
            scene.open(&scene.stays).unwrap();
            scene.open(&scene.goes).unwrap();
        }
    }

    #[test]
    fn the_way_that_unlocked_is_never_the_one_that_goes() {
        let scene = scene();
        let keyring = scene.open(&scene.goes).unwrap();
        let failure =
            refuse_before_asking(&keyring, &target(&keyring, "goes", &scene.device).unwrap())
                .unwrap_err();
        assert_eq!(failure.message, "a way in cannot remove itself");
        assert_eq!(
            failure.hint.as_deref(),
            Some("unlock with one that stays: \"stays\" (`--recovery-key-file FILE`)")
        );
    }
}
