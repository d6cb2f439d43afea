//! A new password at the vault: registered, proven, in force.

use heirloom_keys::{HighEntropySecret, UnlockSecret, Unlocked};
use heirloom_vault_api::{
    Activate, Activated, Enrolment, ExportKey, Identity, LoginError, OwnerAct, Password, Pinned,
    RecordName, Registered, RegistrationStarted, VaultInfo, suite,
};

use super::Guarded;
use super::guess::{another_server, entropy, guess_pending, secret, status};
use super::owner::{as_owner, owners};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::keys;
use crate::server::{Account, Address, CallError, Client};

/// A password that is registered and proven, and not in force yet.
#[derive(Debug)]
pub(crate) struct Begun {
    /// Its slot.
    pub(crate) guarded: Guarded,
    export_key: ExportKey,
    client: Client,
}

/// How a version of a password stands at its vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stands {
    /// It opens on any computer.
    InForce,
    /// It was never put in force: an earlier run was cut off.
    Pending,
    /// The vault has another version, or destroyed it.
    Gone,
}

/// Registers a new password, or a new version of `record`, and proves it by a login. Nothing opens with it yet.
pub(crate) fn register(
    address: &Address,
    account: &Account,
    keyring: &Unlocked,
    password: &Password,
    record: Option<RecordName>,
) -> Result<Begun, Failure> {
    let client = Client::new(address, Some(&account.token));
    let failed = |error: CallError| error.failure(&address.origin);
    let info: VaultInfo = client.get("/v1/vault").map_err(failed)?;
    if info.identity != account.identity {
        return Err(another_server(&address.origin));
    }
    let identity = Identity::new(&info.identity).map_err(|_| another_server(&address.origin))?;
    let owner = owners(keyring).into_iter().next();
    let owner = owner.ok_or_else(|| Failure::new(Exit::Failed, "the keyring has no root"))?;
    let mut rng = keys::rng();
    let local = |error: LoginError| Failure::new(Exit::Failed, error.to_string());
    let (enrolment, start) = Enrolment::start(password, record, &mut rng).map_err(local)?;
    let started: RegistrationStarted = client
        .post_once("/v1/registrations", &start)
        .map_err(failed)?;
    let (finish, record, export_key) = enrolment
        .finish(password, &started, &identity, &owner, &owner, &mut rng)
        .map_err(local)?;
    // The proof below gives the same key, or the password is not taken.
    drop(export_key);
    let registered: Registered = client
        .post_once("/v1/registrations/finish", &finish)
        .map_err(failed)?;
    if registered.record != record {
        return Err(local(LoginError::BadAnswer));
    }
    let pinned = Pinned {
        record,
        identity,
        suite: suite::NEWEST,
    };
    let guarded = Guarded::new(address, pinned, registered.version);
    let export_key = guess_pending(&client, &guarded, password)?;
    Ok(Begun {
        guarded,
        export_key,
        client,
    })
}

/// Which version opens on any computer; `None` before the first was put in force. One that is gone for good is refused.
pub(crate) fn version_in_force(
    guarded: &Guarded,
    account: &Account,
) -> Result<Option<u32>, Failure> {
    let client = Client::new(&guarded.address, Some(&account.token));
    let status = status(&client, guarded).map_err(|error| error.failure(client.origin()))?;
    if status.destroyed {
        return Err(gone());
    }
    Ok(status.version)
}

/// How a password's slot stands, where this computer is signed in to its server and that answers.
pub(crate) fn stands(slot: &heirloom_keys::Password, context: &Context) -> Option<Stands> {
    let guarded = Guarded::of(slot)?;
    let account = Account::find(&guarded.address, context).ok()??;
    if account.identity != guarded.pinned.identity.to_bytes() {
        return None;
    }
    Begun::stands(&guarded, &account).ok()
}

/// The failure of a password that its server knows no more.
pub(crate) fn gone() -> Failure {
    Failure::new(
        Exit::NeedsUnlock,
        "its server has destroyed this password, or has another version of it",
    )
    .hint("remove it and add another: `heirloom protect remove STORE WAY`, then `heirloom protect add password STORE`")
}

impl Begun {
    /// How the version of a slot that lies in the keyring stands at the vault.
    pub(crate) fn stands(guarded: &Guarded, account: &Account) -> Result<Stands, Failure> {
        let client = Client::new(&guarded.address, Some(&account.token));
        let status = status(&client, guarded).map_err(|error| error.failure(client.origin()))?;
        let version = Some(guarded.version);
        Ok(if status.version == version {
            Stands::InForce
        } else if status.pending == version {
            Stands::Pending
        } else {
            Stands::Gone
        })
    }

    /// Goes on with it: proves it once more.
    pub(crate) fn go_on(
        guarded: Guarded,
        account: &Account,
        password: &Password,
    ) -> Result<Self, Failure> {
        let client = Client::new(&guarded.address, Some(&account.token));
        let export_key = guess_pending(&client, &guarded, password)?;
        Ok(Self {
            guarded,
            export_key,
            client,
        })
    }

    /// What the slot is made from.
    pub(crate) fn entropy(&self) -> Result<HighEntropySecret, Failure> {
        entropy(&self.export_key)
    }

    /// What opens the slot.
    pub(crate) fn secret(&self) -> Result<UnlockSecret, Failure> {
        secret(&self.guarded, &self.export_key)
    }

    /// Puts it in force: from now on it opens on any computer.
    pub(crate) fn activate(&self, keyring: &Unlocked) -> Result<(), Failure> {
        let version = self.guarded.version;
        let Pinned {
            record, identity, ..
        } = &self.guarded.pinned;
        let act = OwnerAct::Activate { version };
        as_owner(keyring, |owner| {
            let request = Activate {
                record: *record,
                version,
                signature: owner.sign(identity, record, &act),
            };
            self.client
                .post_again::<_, Activated>("/v1/records/activate", &request)
                .map(drop)
        })
        .map_err(|error| error.failure(self.client.origin()))
    }
}
