//! The client's half with the cheapest stretching there is: a vault cannot tell, and hundreds of tests need no hour.
//! It does not look at signatures; the real one does, and plays in `tests/server` over HTTP.

use heirloom_vault_api::{
    Commitment, Confirmed, Evaluated, Fixed, GuessStart, Identity, LoginError, OpaqueRng, OwnerAct,
    OwnerKey, Pinned, Proof, Proved, RecordName, RegistrationFinish, RegistrationStart,
    RegistrationStarted, Which, suite,
};
use opaque_ke::argon2::{Algorithm, Argon2, Params, Version};
use opaque_ke::errors::ProtocolError;
use opaque_ke::{
    ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialResponse, Identifiers, RegistrationResponse,
};
use rand_core::CryptoRng;

/// What a person remembers.
pub(crate) struct Text(Vec<u8>);

pub(crate) fn password(text: &str) -> Text {
    Text(text.as_bytes().to_vec())
}

/// What a slot would open with.
#[derive(Debug)]
pub(crate) struct ExportKey(Vec<u8>);

impl ExportKey {
    pub(crate) fn exposed(&self) -> &[u8] {
        &self.0
    }
}

fn cheap() -> Argon2<'static> {
    let params = Params::new(8, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn of(record: &RecordName) -> Identifiers<'_> {
    Identifiers {
        client: Some(record.as_bytes()),
        server: None,
    }
}

pub(crate) struct Enrolment(ClientRegistration<suite::V1>);

impl Enrolment {
    pub(crate) fn start(
        text: &Text,
        record: Option<RecordName>,
        rng: &mut impl CryptoRng,
    ) -> (Self, RegistrationStart) {
        let started = ClientRegistration::start(&mut OpaqueRng(rng), &text.0).unwrap();
        let request = RegistrationStart {
            record,
            suite: suite::NEWEST,
            request: Fixed(started.message.serialize().into()),
        };
        (Self(started.state), request)
    }

    pub(crate) fn finish(
        self,
        text: &Text,
        answer: &RegistrationStarted,
        identity: &Identity,
        owner: &OwnerKey,
        next_owner: &OwnerKey,
        rng: &mut impl CryptoRng,
    ) -> Result<(RegistrationFinish, RecordName, ExportKey), LoginError> {
        let response = RegistrationResponse::deserialize(answer.response.as_bytes()).unwrap();
        let ksf = cheap();
        let parameters = ClientRegistrationFinishParameters {
            identifiers: of(&answer.record),
            ksf: Some(&ksf),
        };
        let finished = self
            .0
            .finish(&mut OpaqueRng(rng), &text.0, response, parameters);
        let finished = finished.map_err(|_| LoginError::BadAnswer)?;
        let upload = Fixed::try_from(finished.message.serialize().as_slice()).unwrap();
        let next_owner = next_owner.public().to_bytes();
        let act = OwnerAct::Register {
            registration: &answer.registration,
            upload: &upload,
            next_owner: &next_owner,
        };
        let request = RegistrationFinish {
            registration: answer.registration,
            upload,
            next_owner,
            signature: owner.sign(identity, &answer.record, &act),
        };
        let key = ExportKey(finished.export_key.to_vec());
        Ok((request, answer.record, key))
    }
}

pub(crate) struct Login {
    state: ClientLogin<suite::V1>,
    pinned: Pinned,
}

impl Login {
    pub(crate) fn start(
        text: &Text,
        pinned: Pinned,
        which: Which,
        rng: &mut impl CryptoRng,
    ) -> (Self, GuessStart) {
        let started = ClientLogin::start(&mut OpaqueRng(rng), &text.0).unwrap();
        let ke1 = Fixed::try_from(started.message.serialize().as_slice()).unwrap();
        let request = GuessStart {
            record: pinned.record,
            suite: pinned.suite,
            which,
            ke1,
        };
        let state = started.state;
        (Self { state, pinned }, request)
    }

    pub(crate) fn finish(
        self,
        text: &Text,
        answer: &Evaluated,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, LoginError> {
        let Self { state, pinned } = self;
        let response = CredentialResponse::deserialize(answer.ke2.as_bytes()).unwrap();
        let context = suite::context(
            pinned.suite,
            &pinned.record,
            &pinned.identity.to_bytes(),
            &answer.session,
            &answer.commitment,
        );
        let ksf = cheap();
        let parameters = ClientLoginFinishParameters {
            context: Some(&context),
            identifiers: of(&pinned.record),
            ksf: Some(&ksf),
        };
        let finished = state
            .finish(&mut OpaqueRng(rng), &text.0, response, parameters)
            .map_err(|error| match error {
                ProtocolError::InvalidLoginError => LoginError::WrongPassword,
                _ => LoginError::BadAnswer,
            })?;
        Ok(Opened {
            export_key: ExportKey(finished.export_key.to_vec()),
            proof: Proof {
                session: answer.session,
                ke3: Fixed(finished.message.serialize().into()),
            },
            commitment: answer.commitment,
            pinned,
        })
    }
}

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) export_key: ExportKey,
    pub(crate) proof: Proof,
    commitment: Fixed<32>,
    pinned: Pinned,
}

impl Opened {
    pub(crate) fn confirm(&self, proved: &Proved) -> Confirmed {
        let record = &self.pinned.record;
        let committed = Commitment {
            opening: &proved.opening,
            record,
            version: proved.version,
            number: proved.number,
        };
        assert_eq!(committed.digest(), self.commitment);
        Confirmed {
            version: proved.version,
            number: proved.number,
            failed: proved.failed,
            log_length: proved.log_length,
            log_hash: proved.log_hash,
        }
    }
}
