//! Both halves against each other, the vault's half being `opaque-ke` alone.

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use opaque_ke::{
    CredentialFinalization, CredentialRequest, Identifiers, RegistrationRequest,
    RegistrationUpload, ServerLogin, ServerLoginParameters, ServerRegistration, ServerSetup,
};
use secrecy::SecretBox;

use super::*;
use crate::suite::{SUITE_1, V1, context};
use crate::*;

fn password(text: &str) -> Password {
    Password::new(text.to_owned().into()).unwrap()
}

fn owner() -> OwnerKey {
    OwnerKey::new(SecretBox::new(Box::new([9; 32])))
}

struct Server {
    setup: ServerSetup<V1>,
    identity: VaultIdentity,
    record: RecordName,
    stored: Option<ServerRegistration<V1>>,
}

impl Server {
    fn new() -> Self {
        Self {
            setup: ServerSetup::new(&mut OpaqueRng(&mut UnwrapErr(SysRng))),
            identity: VaultIdentity::new(SecretBox::new(Box::new([3; 32]))),
            record: Fixed([4; 16]),
            stored: None,
        }
    }

    fn pinned(&self) -> Pinned {
        Pinned {
            record: self.record,
            identity: self.identity.public(),
            suite: SUITE_1,
        }
    }

    fn enrol(&mut self, text: &str) -> ExportKey {
        let mut rng = UnwrapErr(SysRng);
        let (enrolment, request) = Enrolment::start(&password(text), None, &mut rng).unwrap();
        let request = RegistrationRequest::deserialize(request.request.as_bytes()).unwrap();
        let started =
            ServerRegistration::<V1>::start(&self.setup, request, self.record.as_bytes()).unwrap();
        let answer = RegistrationStarted {
            registration: Fixed([5; 16]),
            record: self.record,
            response: Fixed(started.message.serialize().into()),
        };
        let identity = self.identity.public();
        let (finish, record, key) = enrolment
            .finish(
                &password(text),
                &answer,
                &identity,
                &owner(),
                &owner(),
                &mut rng,
            )
            .unwrap();
        assert_eq!(record, self.record);
        let act = OwnerAct::Register {
            registration: &finish.registration,
            upload: &finish.upload,
            next_owner: &finish.next_owner,
        };
        owner()
            .public()
            .verify(&identity, &record, &act, &finish.signature)
            .unwrap();
        let upload = RegistrationUpload::deserialize(finish.upload.as_bytes()).unwrap();
        self.stored = Some(ServerRegistration::finish(upload));
        key
    }

    fn evaluate(&self, guess: &GuessStart) -> (Evaluated, ServerLogin<V1>, Vec<u8>) {
        let session = Fixed([6; 16]);
        let commitment = Commitment {
            opening: &Fixed([7; 32]),
            record: &guess.record,
            version: 1,
            number: 8,
        }
        .digest();
        let identity = self.identity.public().to_bytes();
        let context = context(guess.suite, &guess.record, &identity, &session, &commitment);
        let started = ServerLogin::start(
            &mut OpaqueRng(&mut UnwrapErr(SysRng)),
            &self.setup,
            self.stored.clone(),
            CredentialRequest::deserialize(guess.ke1.as_bytes()).unwrap(),
            guess.record.as_bytes(),
            ServerLoginParameters {
                context: Some(&context),
                identifiers: Identifiers {
                    client: Some(guess.record.as_bytes()),
                    server: None,
                },
            },
        )
        .unwrap();
        let ke2 = Fixed::try_from(started.message.serialize().as_slice()).unwrap();
        let statement = EvaluatedStatement {
            record: &guess.record,
            ke1: &guess.ke1,
            session: &session,
            ke2: &ke2,
            commitment: &commitment,
        };
        let signature = statement.sign(&self.identity);
        let answer = Evaluated {
            session,
            ke2,
            commitment,
            signature,
        };
        (answer, started.state, context)
    }

    fn proved(&self, opening: [u8; 32], number: u64) -> Proved {
        let mut proved = Proved {
            version: 1,
            number,
            opening: Fixed(opening),
            failed: 2,
            log_length: 12,
            log_hash: Fixed([1; 32]),
            signature: Fixed([0; 64]),
        };
        proved.signature = ProvedStatement {
            record: &self.record,
            session: &Fixed([6; 16]),
            proved: &proved,
        }
        .sign(&self.identity);
        proved
    }
}

#[test]
fn the_right_password_gives_the_same_export_key_and_a_proof_that_the_vault_accepts() {
    let mut server = Server::new();
    let key = server.enrol("correct horse");
    let mut rng = UnwrapErr(SysRng);
    let text = password("correct horse");
    let (login, guess) = Login::start(&text, server.pinned(), Which::Active, &mut rng).unwrap();
    let (answer, state, context) = server.evaluate(&guess);
    let opened = login.finish(&text, &answer, &mut rng).unwrap();
    assert_eq!(opened.export_key.exposed(), key.exposed());
    let parameters = ServerLoginParameters {
        context: Some(&context),
        identifiers: Identifiers {
            client: Some(server.record.as_bytes()),
            server: None,
        },
    };
    let ke3 = CredentialFinalization::deserialize(opened.proof.ke3.as_bytes()).unwrap();
    assert!(state.finish(ke3, parameters).is_ok());

    assert_eq!(
        opened.confirm(&server.proved([7; 32], 8)).unwrap().failed,
        2
    );
    // Another number than the one committed to, another opening, another signature:
    for lie in [server.proved([7; 32], 7), server.proved([6; 32], 8)] {
        assert_eq!(opened.confirm(&lie), Err(LoginError::BadAnswer));
    }
    let mut unsigned = server.proved([7; 32], 8);
    unsigned.failed = 0;
    assert_eq!(opened.confirm(&unsigned), Err(LoginError::NotThisVault));
}

#[test]
fn a_wrong_password_and_a_missing_record_look_the_same() {
    let mut server = Server::new();
    server.enrol("correct horse");
    let mut rng = UnwrapErr(SysRng);
    let text = password("battery staple");
    for _ in 0..2 {
        let (login, guess) = Login::start(&text, server.pinned(), Which::Active, &mut rng).unwrap();
        let (answer, _, _) = server.evaluate(&guess);
        assert_eq!(
            login.finish(&text, &answer, &mut rng).unwrap_err(),
            LoginError::WrongPassword
        );
        server.stored = None;
    }
}

#[test]
fn v13_an_answer_of_another_vault_is_refused_before_the_password_is_stretched() {
    let mut server = Server::new();
    server.enrol("correct horse");
    let pinned = server.pinned();
    server.identity = VaultIdentity::new(SecretBox::new(Box::new([8; 32])));
    let mut rng = UnwrapErr(SysRng);
    let text = password("correct horse");
    let (login, guess) = Login::start(&text, pinned, Which::Active, &mut rng).unwrap();
    let (answer, _, _) = server.evaluate(&guess);
    assert_eq!(
        login.finish(&text, &answer, &mut rng).unwrap_err(),
        LoginError::NotThisVault
    );
}

#[test]
fn an_answer_to_another_guess_is_refused() {
    let mut server = Server::new();
    server.enrol("correct horse");
    let mut rng = UnwrapErr(SysRng);
    let text = password("correct horse");
    let (_, first) = Login::start(&text, server.pinned(), Which::Active, &mut rng).unwrap();
    let (login, _) = Login::start(&text, server.pinned(), Which::Active, &mut rng).unwrap();
    let (answer, _, _) = server.evaluate(&first);
    assert!(login.finish(&text, &answer, &mut rng).is_err());
}

#[test]
fn a_keyring_cannot_lower_the_suite() {
    let pinned = Pinned {
        suite: 0,
        ..Server::new().pinned()
    };
    let started = Login::start(
        &password("x"),
        pinned,
        Which::Active,
        &mut UnwrapErr(SysRng),
    );
    assert_eq!(started.unwrap_err(), LoginError::UnsupportedSuite);
}

#[test]
fn an_owners_signature_is_good_for_one_act_one_record_and_one_vault() {
    let identity = VaultIdentity::new(SecretBox::new(Box::new([3; 32]))).public();
    let other = VaultIdentity::new(SecretBox::new(Box::new([4; 32]))).public();
    let (record, act) = (Fixed([1; 16]), OwnerAct::Activate { version: 2 });
    let signature = owner().sign(&identity, &record, &act);
    let public = owner().public();
    assert!(public.verify(&identity, &record, &act, &signature).is_ok());
    assert!(public.verify(&other, &record, &act, &signature).is_err());
    assert!(
        public
            .verify(&identity, &Fixed([2; 16]), &act, &signature)
            .is_err()
    );
    let next = OwnerAct::Activate { version: 3 };
    assert!(
        public
            .verify(&identity, &record, &next, &signature)
            .is_err()
    );
    assert!(
        public
            .verify(&identity, &record, &OwnerAct::Forget, &signature)
            .is_err()
    );
}

#[test]
fn passwords_have_a_length() {
    assert!(Password::new(String::new().into()).is_err());
    assert!(Password::new("x".repeat(1025).into()).is_err());
    assert!(Password::new("x".repeat(1024).into()).is_ok());
}

#[test]
fn v12_debug_output_shows_no_secret() {
    let text = password("canary-password");
    let mut rng = UnwrapErr(SysRng);
    let server = Server::new();
    let (login, guess) = Login::start(&text, server.pinned(), Which::Active, &mut rng).unwrap();
    let (enrolment, _) = Enrolment::start(&text, None, &mut rng).unwrap();
    let shown = format!("{text:?} {login:?} {enrolment:?} {guess:?} {:?}", owner());
    assert!(!shown.contains("canary"));
    assert!(!shown.contains("oprf"));
}
