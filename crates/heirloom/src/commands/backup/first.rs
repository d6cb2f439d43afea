//! The first backup: a new recovery key, a new keyring, and a proof that the key opens it, before any data.

use std::path::{Path, PathBuf};

use heirloom_engine::keyrings;
use heirloom_engine::store::Store;
use heirloom_keys::{
    CreateParams, DeviceCredential, Keyring, LockedKeyring, RecoveryKey, Unlocked,
};
use rand_core::Rng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Began, Ready};
use crate::args::shared::Unlock;
use crate::args::write::How;
use crate::atomic;
use crate::browser::Page;
use crate::commands::protect::passkey;
use crate::context::{Context, now_ms};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home;
use crate::keys::{self, Reader};
use crate::recovery::{self, EnteredKey};
use crate::repository;
use crate::server::ceremony;
use crate::unlock::Entered;

/// Said when the stored keyring was opened by the key.
pub(super) const PROVEN: &str = "The recovery key opens the new backup ✓";
/// What the first way in is called.
const NAME: &str = "Recovery key";

/// A first backup that was begun and not ended: its key file is used again.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    place: String,
    key_file: PathBuf,
}

/// The ways in that a first backup begins with. A recovery key always: a passkey made here is never the only one.
#[derive(Debug, Clone, Copy)]
pub(super) struct NewWays<'a> {
    /// Where the recovery key is written; else it is shown.
    pub(super) key_file: Option<&'a Path>,
    /// Where a passkey is made too.
    pub(super) passkey: Option<&'a Unlock>,
}

/// Makes a backup in a store that has none.
pub(super) fn begin(
    address: &str,
    ways: NewWays<'_>,
    how: &How,
    context: &Context,
) -> Result<Ready, Failure> {
    let NewWays { key_file, passkey } = ways;
    let place = home::place(address);
    if key_file.is_none() && !context.output.can_ask() {
        return Err(Failure::usage(
            "a first backup makes a recovery key, and nobody is here to write it down",
        )
        .hint("add `--new-recovery-key-file FILE`: the key is written there and nowhere else"));
    }
    let pending = key_file
        .map(|path| pending(path, &place, context))
        .transpose()?;
    let key = match (&pending, key_file) {
        (Some(Some(left)), _) => left.key_file_key(context)?,
        _ => None,
    };
    let was_there = Path::new(address).exists();
    let store = repository::open_store(address, true, context)?
        .ok_or_else(|| repository::no_backup(address))?;
    let made = make(&*store, &place, key_file, key, how, context);
    let (mut device, mut unlocked) = match made {
        Ok(made) => made,
        Err(failure) => {
            if !was_there {
                // Only a folder that is still empty goes.
                let _ = std::fs::remove_dir(address);
            }
            return Err(failure);
        }
    };
    let lock = device.state.lock()?;
    if let Some(args) = passkey {
        unlocked = add_passkey(&*store, &place, &unlocked, &mut device, args, context)?;
    }
    Ok(Ready {
        store,
        place,
        device,
        reader: Some(std::sync::Arc::new(Reader::new(unlocked))),
        how: Began::First {
            key_file: key_file.map(Path::to_owned),
        },
        _lock: lock,
    })
}

/// Makes a passkey beside the recovery key, which is proven by now.
fn add_passkey(
    store: &dyn Store,
    address: &str,
    unlocked: &Unlocked,
    device: &mut Device,
    args: &Unlock,
    context: &Context,
) -> Result<Unlocked, Failure> {
    context.output.say(passkey::BEFORE);
    let place = passkey::Place { store, address };
    let locked = passkey::newest(store, address)?;
    let site = ceremony::site(address, args.via, context)?;
    let mut page = Page::open(&locked, address, site.as_ref(), args, context)?;
    match passkey::enrol(&mut page, &place, unlocked, device, None, context) {
        Ok(enrolled) => {
            let saved = enrolled.saved();
            page.end_well(
                &saved,
                "We tested it: it opens your backup. The backup goes on in the terminal. You can close this page.",
            );
            context
                .output
                .say(&format!("{saved}. It was tested: it opens your backup"));
            if let Some(warning) = enrolled.warning() {
                context.output.warn(&warning);
            }
            Ok(enrolled.unlocked)
        }
        Err(mut failure) => {
            page.end_badly(&failure);
            // What the ceremony says of the passkey stays; what it says of the whole command is not true here.
            let hint = failure.hint.take();
            failure
                .causes
                .extend(hint.filter(|hint| !hint.starts_with("nothing was changed")));
            Err(failure.hint("the recovery key is made and works: run the same command again without `--new-passkey`, and add a passkey later: `heirloom protect add passkey STORE`"))
        }
    }
}

fn make(
    store: &dyn Store,
    place: &str,
    key_file: Option<&Path>,
    left: Option<EnteredKey>,
    how: &How,
    context: &Context,
) -> Result<(Device, Unlocked), Failure> {
    let mut rng = keys::rng();
    let entered = match (left, key_file) {
        (Some(entered), _) => entered,
        (None, Some(path)) => {
            let key = RecoveryKey::generate(&mut rng);
            recovery::write_file(&key, path, place)?;
            drop(key);
            // Read back what lies on the disk: that is what will have to open the backup.
            recovery::from_file(path)?
        }
        (None, None) => {
            let key = RecoveryKey::generate(&mut rng);
            let word = rng.next_u32().to_le_bytes();
            recovery::show_once(&key, context, [word[0], word[1]])?;
            EnteredKey::new(key)
        }
    };
    let name = device::name(how.device_name.as_deref(), &context.settings);
    let params = CreateParams {
        device_name: &name,
        recovery: entered.key(),
        recovery_name: NAME,
    };
    let (bytes, unlocked, credential) = Keyring::create(&mut rng, now_ms(), &params)?;
    let (mut device, stored) = enrol_first(store, &bytes, &unlocked, credential, context)?;
    drop(unlocked);
    let entered = Entered::RecoveryKey(entered);
    let unlocked = prove(store, &stored, &entered, &mut device, context)?;
    drop(entered);
    if key_file.is_some() {
        forget(place, context);
    }
    Ok((device, unlocked))
}

/// Stores the first keyring, this computer's own keys before it.
fn enrol_first(
    store: &dyn Store,
    bytes: &[u8],
    unlocked: &Unlocked,
    credential: DeviceCredential,
    context: &Context,
) -> Result<(Device, String), Failure> {
    let id = *unlocked.repository().as_bytes();
    let state = context
        .home
        .repository(id, true)?
        .ok_or_else(|| Failure::new(Exit::Failed, "no state folder"))?;
    let device = Device::enrol(state, credential, unlocked)?;
    let stored = keyrings::publish(store, unlocked.seen().number, bytes)?;
    repository::remember(&device.state, unlocked, None)?;
    Ok((device, stored))
}

/// Opens the stored keyring with the key, as a new computer would, and records that it opened.
fn prove(
    store: &dyn Store,
    stored: &str,
    entered: &Entered,
    device: &mut Device,
    context: &Context,
) -> Result<Unlocked, Failure> {
    let locked = LockedKeyring::parse(&keyrings::load(store, stored)?)?;
    let unlocked = entered.open(&locked)?;
    let proven = unlocked.record_proof(&mut keys::rng(), device.act())?;
    let unlocked = device.publish(store, proven)?;
    context.output.say(PROVEN);
    Ok(unlocked)
}

/// What a first backup to this place left behind; notes the new one.
fn pending(key_file: &Path, place: &str, context: &Context) -> Result<Option<Pending>, Failure> {
    let absolute =
        std::path::absolute(key_file).map_err(|error| Failure::file("use", key_file, &error))?;
    let now = Pending {
        place: place.to_owned(),
        key_file: absolute,
    };
    let path = pending_path(place, context);
    let before: Option<Pending> = std::fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if before.as_ref() == Some(&now) {
        return Ok(before);
    }
    if key_file.exists() {
        return Err(recovery::exists_already(key_file));
    }
    let folder = path.parent().unwrap_or(&path);
    atomic::private_folder(folder).map_err(|error| Failure::file("make", folder, &error))?;
    let bytes = serde_json::to_vec(&now).unwrap_or_default();
    atomic::replace_private(&path, &bytes)
        .map_err(|error| Failure::file("write", &path, &error))?;
    Ok(None)
}

/// The key file of a first backup to this place that was cut off before its key was proven.
pub(super) fn unproven(place: &str, context: &Context) -> Option<PathBuf> {
    let bytes = std::fs::read(pending_path(place, context)).ok()?;
    let Pending { place: _, key_file } = serde_json::from_slice(&bytes).ok()?;
    key_file.exists().then_some(key_file)
}

/// The key was proven: nothing is pending any more.
pub(super) fn forget(place: &str, context: &Context) {
    // What stays is only a note that a later run would find useless.
    let _ = std::fs::remove_file(pending_path(place, context));
}

fn pending_path(place: &str, context: &Context) -> PathBuf {
    let name = hex::encode(&Sha256::digest(place.as_bytes())[..16]);
    context.home.state().join("pending").join(name)
}

impl Pending {
    /// The key that a first backup had written before it was cut off. A file that was cut off itself is removed:
    /// it never opened anything.
    fn key_file_key(&self, context: &Context) -> Result<Option<EnteredKey>, Failure> {
        if !self.key_file.exists() {
            return Ok(None);
        }
        match recovery::from_file(&self.key_file) {
            Ok(entered) if entered.mended.is_none() => {
                context
                    .output
                    .say("Going on with the key of the first backup that was cut off");
                Ok(Some(entered))
            }
            _ if recovery::is_cut_off(&self.key_file) => {
                std::fs::remove_file(&self.key_file)
                    .map_err(|error| Failure::file("remove", &self.key_file, &error))?;
                Ok(None)
            }
            _ => Err(recovery::exists_already(&self.key_file)),
        }
    }
}
