//! What this computer keeps to open a backup by itself, once its owner let it in. `docs/keyring.md`, section 5.1.

use heirloom_keys::{DeviceCredential, DeviceWay, Method, Unlocked};
use secrecy::ExposeSecret;

use crate::device::{CREDENTIAL, Device, WRITER};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::RepositoryState;
use crate::keys;
use crate::repository::Found;

/// The file of this computer's own way in.
pub(crate) const WAY: &str = "way";

/// What this computer has of its own for the newest keyring.
#[derive(Debug)]
pub(crate) enum Own {
    /// Nothing, or nobody has let it in yet.
    None,
    /// It was let in once, and its way in was removed.
    Removed,
    /// It opens the keyring.
    Here(DeviceWay),
}

/// What this computer and a device that is to be let in consist of.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(crate) credential: DeviceCredential,
    pub(crate) way: DeviceWay,
}

fn damaged(state: &RepositoryState) -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        format!(
            "this computer's keys in {} are damaged",
            state.folder().display()
        ),
    )
    .hint("move that folder away and unlock another way")
}

fn read(state: &RepositoryState) -> Result<Option<DeviceWay>, Failure> {
    let Some(bytes) = state.credential(WAY)? else {
        return Ok(None);
    };
    let way = DeviceWay::from_bytes(&bytes).map_err(|_| damaged(state))?;
    if *way.repository().as_bytes() != state.id() {
        return Err(damaged(state));
    }
    Ok(Some(way))
}

/// Looks for this computer's own way in.
pub(crate) fn find(found: &Found) -> Result<Own, Failure> {
    let Some(state) = &found.state else {
        return Ok(Own::None);
    };
    let Some(way) = read(state)? else {
        return Ok(Own::None);
    };
    let own = Method::Device(way.device());
    let is_in = |keyring: &heirloom_keys::LockedKeyring| {
        keyring.slots().iter().any(|slot| *slot.method() == own)
    };
    if is_in(&found.newest) {
        return Ok(Own::Here(way));
    }
    // Before it was let in it has no writer's keys.
    let was_in = state.credential(WRITER)?.is_some();
    Ok(if was_in { Own::Removed } else { Own::None })
}

/// Has this computer take its place as a device, where it was let in and ended before it knew.
pub(crate) fn finish(found: &Found, unlocked: &Unlocked) -> Result<(), Failure> {
    let Some(state) = &found.state else {
        return Ok(());
    };
    if state.credential(WRITER)?.is_some() {
        return Ok(());
    }
    if let Some(bytes) = state.credential(CREDENTIAL)? {
        let credential = DeviceCredential::from_bytes(&bytes).map_err(|_| damaged(state))?;
        Device::enrol(state.clone(), credential, unlocked)?;
        crate::repository::remember(state, unlocked, None)?;
    }
    Ok(())
}

/// What this computer asks to be let in with; it lies on the disk before anybody is asked, so that whoever says yes never
/// lets in a computer that has forgotten its keys. Asked again, it is the same, until it was let in and removed.
pub(crate) fn prepare(state: &RepositoryState, found: &Found) -> Result<Asking, Failure> {
    let mut rng = keys::rng();
    let repository = found.newest.repository();
    let stored = state
        .credential(CREDENTIAL)?
        .map(|bytes| DeviceCredential::from_bytes(&bytes).map_err(|_| damaged(state)))
        .transpose()?;
    let was_in = state.credential(WRITER)?.is_some();
    let is_in = |credential: &DeviceCredential| {
        let device = credential.device();
        found.newest.devices().any(|known| known == device)
    };
    let kept = stored.filter(|credential| {
        credential.repository() == repository && (!was_in || is_in(credential))
    });
    let (credential, way) = match kept {
        Some(credential) => (credential, read(state)?),
        None => (DeviceCredential::generate(&mut rng, repository), None),
    };
    // One that was in the keyring and is no more is not asked for again: it may have been removed for a reason.
    let opens = matches!(find(found)?, Own::Here(_));
    let way = way
        .filter(|way| way.device() == credential.device() && (opens || !was_in))
        .unwrap_or_else(|| DeviceWay::generate(&mut rng, &credential));
    state.set_credential(CREDENTIAL, credential.expose_bytes().expose_secret())?;
    if was_in && !is_in(&credential) {
        state.forget_credential(WRITER)?;
    }
    state.set_credential(WAY, way.expose_bytes().expose_secret())?;
    Ok(Asking { credential, way })
}
