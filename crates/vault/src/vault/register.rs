//! Registration, and what the owner's signature allows.

use std::sync::Arc;

use heirloom_vault_api::{
    AccountId, Activate, Activated, ChangeOwner, Code, Fixed, Forget, RecordName, Registered,
    RegistrationFinish, RegistrationStart, RegistrationStarted, suite,
};
use opaque_ke::generic_array::GenericArray;
use opaque_ke::{RegistrationRequest, ServerRegistration};
use rand_core::Rng as _;
use zeroize::Zeroizing;

use super::guess::of_version;
use super::{Vault, evaluate, random, rng};
use crate::keys::ServerKeys;
use crate::refusal::Refusal;
use crate::store::register::{self, NewVersion, Wish};
use crate::store::repeat::Once;

/// A registration that waits for its second half.
pub(super) struct Registration {
    name: RecordName,
    account: AccountId,
    version: u32,
    material: Zeroizing<[u8; 32]>,
}

impl Vault {
    /// Begins a record, or the next version of one of the account's.
    pub(crate) async fn start_registration(
        &self,
        start: RegistrationStart,
        account: AccountId,
        once: Option<Arc<Once>>,
    ) -> Result<RegistrationStarted, Refusal> {
        let RegistrationStart {
            record,
            suite: number,
            request,
        } = start;
        suite::check(number).map_err(|_| Code::UnsupportedSuite)?;
        let request = RegistrationRequest::<suite::V1>::deserialize(request.as_bytes())
            .map_err(|_| Code::BadRequest)?;
        let (name, version) = match record {
            Some(name) => {
                let next = self.run(move |sql| register::next_version(sql, &name, &account));
                (name, next.await??)
            }
            None => (random(), 1),
        };
        let mut material = Zeroizing::new([0; 32]);
        rng().fill_bytes(material.as_mut_slice());
        let started = ServerRegistration::<suite::V1>::start_with_key_material(
            self.keys.setup(),
            GenericArray::from(*material),
            request,
        )
        .map_err(|_| Code::BadRequest)?;
        let registration = random();
        let waiting = Registration {
            name,
            account,
            version,
            material,
        };
        self.registrations.put(registration, waiting, self.now());
        let started = RegistrationStarted {
            registration,
            record: name,
            response: Fixed(started.message.serialize().into()),
        };
        if once.is_none() {
            return Ok(started);
        }
        self.run_once(once, move |_| Ok(Ok::<_, Code>(started.clone())))
            .await
    }

    /// Stores it as pending, with the owner's agreement.
    pub(crate) async fn finish_registration(
        &self,
        finish: RegistrationFinish,
        account: AccountId,
        once: Option<Arc<Once>>,
    ) -> Result<Registered, Refusal> {
        let RegistrationFinish {
            registration,
            upload,
            next_owner,
            signature,
        } = finish;
        // A registration is good once: it is not there any more when the same request comes again.
        if let Some(registered) = self.repeated(once.as_ref()).await? {
            return Ok(registered);
        }
        let now = self.now();
        let waiting = self
            .registrations
            .take(&registration, now)
            .filter(|waiting| waiting.account == account)
            .ok_or(Code::NotFound)?;
        let Registration {
            name,
            account,
            version,
            material,
        } = waiting;
        if !evaluate::is_upload(&upload) {
            return Err(Code::BadRequest.into());
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(32 + 192));
        plain.extend_from_slice(material.as_slice());
        plain.extend_from_slice(upload.as_bytes());
        let seal = move |keys: &dyn ServerKeys| keys.seal(&of_version(&name, version), &plain);
        let new = NewVersion {
            name,
            account,
            version,
            sealed: self.with_keys(seal).await?,
            registration,
            upload,
            next_owner,
            signature,
            identity: self.keys.identity().public(),
            generation: self.standing().generation,
            now,
        };
        let registered = Registered {
            record: name,
            version,
        };
        // One that was registered before and never came into force gives way to this.
        let _destroys = (version > 1).then(|| self.may_destroy());
        self.run_once(once, move |sql| {
            Ok(register::pend(sql, &new)?.map(|()| registered.clone()))
        })
        .await
    }

    /// Brings a proven pending version into force.
    pub(crate) async fn activate(
        &self,
        activate: Activate,
        account: AccountId,
    ) -> Result<Activated, Refusal> {
        let Activate {
            record,
            version,
            signature,
        } = activate;
        self.obey(record, account, Wish::Activate(version), signature)
            .await?;
        Ok(Activated { version })
    }

    /// Replaces the owner key.
    pub(crate) async fn change_owner(
        &self,
        change: ChangeOwner,
        account: AccountId,
    ) -> Result<(), Refusal> {
        let ChangeOwner {
            record,
            next_owner,
            signature,
        } = change;
        self.obey(record, account, Wish::ChangeOwner(next_owner), signature)
            .await
    }

    /// Destroys a record at its owner's wish.
    pub(crate) async fn forget(&self, forget: Forget, account: AccountId) -> Result<(), Refusal> {
        let Forget { record, signature } = forget;
        self.obey(record, account, Wish::Forget, signature).await?;
        self.scrub().await;
        Ok(())
    }

    async fn obey(
        &self,
        name: RecordName,
        account: AccountId,
        wish: Wish,
        signature: Fixed<64>,
    ) -> Result<(), Refusal> {
        let identity = self.keys.identity().public();
        let now = self.now();
        let _destroys = match wish {
            // Of the first version there is none before.
            Wish::Activate(version) => version > 1,
            Wish::Forget => true,
            Wish::ChangeOwner(_) => false,
        }
        .then(|| self.may_destroy());
        Ok(self
            .run(move |sql| {
                register::obey(sql, &name, &account, wish, (&identity, &signature), now)
            })
            .await??)
    }
}
