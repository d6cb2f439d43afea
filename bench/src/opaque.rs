//! A person's side of OPAQUE, without the stretching that is the person's own computer's work: for those who measure
//! the server.

use anyhow::{Result, anyhow};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault_api::{
    Activate, Evaluated, Fixed, Identity, OpaqueRng, OwnerAct, OwnerKey, Proof, RecordName,
    RegistrationFinish, RegistrationStart, RegistrationStarted, suite,
};
use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse,
};
use secrecy::SecretBox;

pub(crate) fn random() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

fn wrong(error: ProtocolError) -> anyhow::Error {
    anyhow!("{error:?}")
}

/// As cheap as it gets: the vault cannot tell, and the stretching is not what is looked at.
pub(crate) fn cheap() -> Result<Argon2<'static>> {
    let params = Params::new(8, 1, 1, None).map_err(|error| anyhow!("{error}"))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn identifiers(record: &RecordName) -> Identifiers<'_> {
    Identifiers {
        client: Some(record.as_bytes()),
        server: None,
    }
}

/// The one owner of all records here.
pub(crate) fn owner() -> OwnerKey {
    OwnerKey::new(SecretBox::new(Box::new([1; 32])))
}

/// A registration that has begun.
pub(crate) struct Registering<'a> {
    password: &'a [u8],
    state: ClientRegistration<suite::V1>,
    pub(crate) request: RegistrationStart,
}

impl<'a> Registering<'a> {
    pub(crate) fn start(password: &'a [u8]) -> Result<Self> {
        let started =
            ClientRegistration::<suite::V1>::start(&mut OpaqueRng(&mut random()), password)
                .map_err(wrong)?;
        Ok(Self {
            password,
            state: started.state,
            request: RegistrationStart {
                record: None,
                suite: suite::NEWEST,
                request: Fixed(started.message.serialize().into()),
            },
        })
    }

    pub(crate) fn finish(
        self,
        answer: &RegistrationStarted,
        identity: &Identity,
    ) -> Result<RegistrationFinish> {
        let response =
            RegistrationResponse::deserialize(answer.response.as_bytes()).map_err(wrong)?;
        let ksf = cheap()?;
        let parameters = ClientRegistrationFinishParameters {
            identifiers: identifiers(&answer.record),
            ksf: Some(&ksf),
        };
        let finished = self
            .state
            .finish(
                &mut OpaqueRng(&mut random()),
                self.password,
                response,
                parameters,
            )
            .map_err(wrong)?;
        let upload = Fixed::try_from(finished.message.serialize().as_slice())
            .map_err(|_| anyhow!("192 bytes"))?;
        let next_owner = owner().public().to_bytes();
        let act = OwnerAct::Register {
            registration: &answer.registration,
            upload: &upload,
            next_owner: &next_owner,
        };
        let signature = owner().sign(identity, &answer.record, &act);
        Ok(RegistrationFinish {
            registration: answer.registration,
            upload,
            next_owner,
            signature,
        })
    }
}

/// What puts a proven password in force.
pub(crate) fn activation(record: RecordName, version: u32, identity: &Identity) -> Activate {
    let act = OwnerAct::Activate { version };
    Activate {
        record,
        version,
        signature: owner().sign(identity, &record, &act),
    }
}

/// A login that has begun.
#[derive(Clone)]
pub(crate) struct Login<'a> {
    password: &'a [u8],
    state: ClientLogin<suite::V1>,
    pub(crate) ke1: Fixed<96>,
}

impl<'a> Login<'a> {
    pub(crate) fn start(password: &'a [u8]) -> Result<Self> {
        let started = ClientLogin::<suite::V1>::start(&mut OpaqueRng(&mut random()), password)
            .map_err(wrong)?;
        Ok(Self {
            password,
            ke1: Fixed::try_from(started.message.serialize().as_slice())
                .map_err(|_| anyhow!("96 bytes"))?,
            state: started.state,
        })
    }

    /// What proves the password. `None`: it was wrong.
    pub(crate) fn proof(
        self,
        record: RecordName,
        identity: &Identity,
        answer: &Evaluated,
    ) -> Result<Option<Proof>> {
        let response = CredentialResponse::deserialize(answer.ke2.as_bytes()).map_err(wrong)?;
        let context = suite::context(
            suite::NEWEST,
            &record,
            &identity.to_bytes(),
            &answer.session,
            &answer.commitment,
        );
        let ksf = cheap()?;
        let parameters = ClientLoginFinishParameters {
            context: Some(&context),
            identifiers: identifiers(&record),
            ksf: Some(&ksf),
        };
        let finished = self.state.finish(
            &mut OpaqueRng(&mut random()),
            self.password,
            response,
            parameters,
        );
        Ok(finished.ok().map(|finished| Proof {
            session: answer.session,
            ke3: Fixed(finished.message.serialize().into()),
        }))
    }
}
