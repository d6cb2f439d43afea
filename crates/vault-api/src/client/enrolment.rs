//! Registration, from the client's side.

use std::fmt;

use opaque_ke::{
    ClientRegistration, ClientRegistrationFinishParameters, Identifiers, RegistrationResponse,
};
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use super::{ExportKey, LoginError, Password};
use crate::suite::{NEWEST, V1, stretching};
use crate::{
    Fixed, Identity, OpaqueRng, OwnerAct, OwnerKey, RecordName, RegistrationFinish,
    RegistrationStart, RegistrationStarted,
};

/// A registration that waits for the vault's answer.
pub struct Enrolment {
    state: ClientRegistration<V1>,
    record: Option<RecordName>,
}

impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Enrolment([REDACTED])")
    }
}

impl Enrolment {
    /// Begins a new record, or a new version of `record`.
    pub fn start(
        password: &Password,
        record: Option<RecordName>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, RegistrationStart), LoginError> {
        let started = ClientRegistration::<V1>::start(&mut OpaqueRng(rng), password.exposed())
            .map_err(|_| LoginError::Internal)?;
        let request = RegistrationStart {
            record,
            suite: NEWEST,
            request: Fixed(started.message.serialize().into()),
        };
        let state = started.state;
        Ok((Self { state, record }, request))
    }

    /// Ends it: the last request, the record's name, and the export key that the new slot is made from.
    ///
    /// `owner` is the key in force (for a new record the one that will be); `next_owner` the one that the
    /// vault shall keep from the activation on. Costs one Argon2id: 64 MiB and about 0.2 s.
    pub fn finish(
        self,
        password: &Password,
        answer: &RegistrationStarted,
        identity: &Identity,
        owner: &OwnerKey,
        next_owner: &OwnerKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(RegistrationFinish, RecordName, ExportKey), LoginError> {
        let RegistrationStarted {
            registration,
            record,
            response,
        } = answer;
        if self.record.is_some_and(|asked| asked != *record) {
            return Err(LoginError::BadAnswer);
        }
        let response = RegistrationResponse::<V1>::deserialize(response.as_bytes())
            .map_err(|_| LoginError::BadAnswer)?;
        let parameters = ClientRegistrationFinishParameters {
            identifiers: Identifiers {
                client: Some(record.as_bytes()),
                server: None,
            },
            ksf: Some(&stretching()),
        };
        let mut finished = self
            .state
            .finish(
                &mut OpaqueRng(rng),
                password.exposed(),
                response,
                parameters,
            )
            .map_err(|_| LoginError::BadAnswer)?;
        let mut bytes: [u8; 64] = finished.export_key.into();
        let export_key = ExportKey::new(&bytes);
        bytes.zeroize();
        finished.export_key.as_mut_slice().zeroize();

        let upload = Fixed::try_from(finished.message.serialize().as_slice())
            .expect("a registration record of suite 1 has 192 bytes");
        let next_owner = next_owner.public().to_bytes();
        let act = OwnerAct::Register {
            registration,
            upload: &upload,
            next_owner: &next_owner,
        };
        let request = RegistrationFinish {
            registration: *registration,
            upload,
            next_owner,
            signature: owner.sign(identity, record, &act),
        };
        Ok((request, *record, export_key))
    }
}
