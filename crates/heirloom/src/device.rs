//! This computer as a device of a backup: enrolling, refreshing itself, publishing keyrings.

use heirloom_engine::keyrings;
use heirloom_engine::store::Store;
use heirloom_keys::{
    Act, DeviceCredential, LockedKeyring, OpenError, Successor, Unlocked, WriterCredentials,
};
use secrecy::ExposeSecret;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::{RepositoryState, Seen};
use crate::repository;
use crate::words;

/// The file of the device's own key.
pub(crate) const CREDENTIAL: &str = "device";
/// The file of what an unattended run needs.
pub(crate) const WRITER: &str = "writer";

/// This computer, enrolled in a backup.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) state: RepositoryState,
    pub(crate) credential: DeviceCredential,
    pub(crate) writer: WriterCredentials,
}

impl Device {
    /// Reads what this computer holds; `None` when it is not enrolled.
    pub(crate) fn load(state: &RepositoryState) -> Result<Option<Self>, Failure> {
        let (Some(credential), Some(writer)) =
            (state.credential(CREDENTIAL)?, state.credential(WRITER)?)
        else {
            return Ok(None);
        };
        let damaged = |_| {
            Failure::new(Exit::NeedsUnlock, format!("this computer's keys in {} are damaged", state.folder().display()))
                .hint("move that folder away and join the backup again: `--recovery-key-file FILE --join`")
        };
        Ok(Some(Self {
            state: state.clone(),
            credential: DeviceCredential::from_bytes(&credential).map_err(damaged)?,
            writer: WriterCredentials::from_bytes(&writer).map_err(damaged)?,
        }))
    }

    /// Takes what a newer keyring says to this computer, without any unlock.
    pub(crate) fn refresh(&mut self, newest: &LockedKeyring) -> Result<(), Failure> {
        let refreshed = newest
            .open_device_slot(&self.credential, &self.writer)
            .map_err(|error| match error {
                OpenError::NoMatchingSlot => Failure::new(
                    Exit::NeedsUnlock,
                    "this computer was removed from the backup",
                )
                .hint("to join it again, unlock it: `--recovery-key-file FILE --join`"),
                other => other.into(),
            })?;
        if refreshed.keyring_number != self.writer.keyring_number {
            self.set_writer(refreshed)?;
            let before = self.state.seen()?.unwrap_or_default();
            self.state.set_seen(&Seen {
                keyring_number: newest.number(),
                keyring_hash: hex::encode(newest.hash().as_bytes()),
                ..before
            })?;
        }
        Ok(())
    }

    /// Refuses to add to a backup that its owner has turned off.
    pub(crate) fn refuse_ending(&self) -> Result<(), Failure> {
        match self.writer.removal_due_ms {
            Some(due_ms) => Err(ending(due_ms)),
            None => Ok(()),
        }
    }

    /// Stores a keyring that follows `before`, and goes on with it.
    pub(crate) fn publish(
        &mut self,
        store: &dyn Store,
        successor: Successor,
    ) -> Result<Unlocked, Failure> {
        let Successor { bytes, unlocked } = successor;
        let newest = keyrings::list(store)?.pop();
        if newest.is_some_and(|newest| newest.number >= unlocked.seen().number) {
            return Err(Failure::new(
                Exit::Failed,
                "the ways in were changed meanwhile, by another computer or another run on this one; nothing was changed now",
            )
            .hint("run it again"));
        }
        keyrings::publish(store, unlocked.seen().number, &bytes)?;
        self.follow(&unlocked)?;
        Ok(unlocked)
    }

    /// Takes over what an unlocked keyring gives this computer, and remembers the keyring.
    pub(crate) fn follow(&mut self, unlocked: &Unlocked) -> Result<(), Failure> {
        let writer = unlocked.writer_credentials(&self.credential.device()).ok_or_else(|| {
            Failure::new(Exit::NeedsUnlock, "this computer was removed from the backup")
                .hint("to join it again: `heirloom backup SOURCE --to STORE --recovery-key-file FILE --join`")
        })?;
        self.set_writer(writer)?;
        repository::remember(&self.state, unlocked, None)
    }

    /// This computer, acting now.
    pub(crate) fn act(&self) -> Act {
        Act {
            device: self.credential.device(),
            now_ms: crate::context::now_ms(),
        }
    }

    /// Stores what a new device holds; before its keyring is published, so that no crash orphans it.
    pub(crate) fn enrol(
        state: RepositoryState,
        credential: DeviceCredential,
        unlocked: &Unlocked,
    ) -> Result<Self, Failure> {
        let writer = unlocked
            .writer_credentials(&credential.device())
            .ok_or_else(|| {
                Failure::new(Exit::Failed, "the new keyring does not know this computer")
            })?;
        state.set_credential(CREDENTIAL, credential.expose_bytes().expose_secret())?;
        let mut device = Self {
            state,
            credential,
            writer,
        };
        device.store_writer()?;
        Ok(device)
    }

    fn set_writer(&mut self, writer: WriterCredentials) -> Result<(), Failure> {
        self.writer = writer;
        self.store_writer()
    }

    fn store_writer(&mut self) -> Result<(), Failure> {
        self.state
            .set_credential(WRITER, self.writer.expose_bytes().expose_secret())
    }
}

/// The failure of who would add to a backup that is to be removed.
pub(crate) fn ending(due_ms: i64) -> Failure {
    Failure::new(
        Exit::Failed,
        format!(
            "this backup was turned off and is to be removed from {} on; nothing is added to it",
            words::day(due_ms)
        ),
    )
    .hint("to keep it after all: `heirloom protect off STORE --undo`")
}

/// What this computer is called: as it was told, else by its host name.
pub(crate) fn name(given: Option<&str>, settings: &crate::settings::Settings) -> String {
    let host = || {
        std::fs::read_to_string("/etc/hostname")
            .or_else(|_| std::env::var("HOSTNAME"))
            .or_else(|_| std::env::var("COMPUTERNAME"))
            .map(|name| name.trim().to_owned())
            .unwrap_or_default()
    };
    let name = given
        .map(str::to_owned)
        .or_else(|| settings.device_name.clone())
        .unwrap_or_else(host);
    if name.trim().is_empty() {
        "This computer".into()
    } else {
        name.trim().chars().take(80).collect()
    }
}
