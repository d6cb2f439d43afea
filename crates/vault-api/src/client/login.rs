//! One guess, from the client's side.

use std::fmt;

use opaque_ke::errors::ProtocolError;
use opaque_ke::{ClientLogin, ClientLoginFinishParameters, CredentialResponse, Identifiers};
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

use super::{ExportKey, Password};
use crate::suite::{self, V1, context, stretching};
use crate::{
    Commitment, Evaluated, EvaluatedStatement, Fixed, GuessStart, Identity, OpaqueRng, Proof,
    Proved, ProvedStatement, RecordName, Which,
};

/// What the keyring says about a password: whose record, in which vault, by which suite.
#[derive(Clone, Copy, Debug)]
pub struct Pinned {
    /// The record's name.
    pub record: RecordName,
    /// The vault's identity.
    pub identity: Identity,
    /// The suite's number.
    pub suite: u16,
}

/// Why a password did not open, or was not even sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// Wrong password, or no such record: which of the two, nobody can tell. The guess is spent.
    #[error("wrong password")]
    WrongPassword,
    /// Another server answers in the vault's name. Nothing was derived from its answer.
    #[error("this is not the vault that was pinned")]
    NotThisVault,
    /// The answer is none that a vault gives.
    #[error("the vault's answer makes no sense")]
    BadAnswer,
    /// The keyring names a suite that is below the floor, or too new.
    #[error("this password needs another version of Heirloom")]
    UnsupportedSuite,
    /// A random source or the stretching failed.
    #[error("the password could not be worked on")]
    Internal,
}

/// A guess that waits for the vault's answer.
pub struct Login {
    state: ClientLogin<V1>,
    ke1: Fixed<96>,
    pinned: Pinned,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login([REDACTED])")
    }
}

impl Login {
    /// Begins one guess. Sending the request spends it.
    pub fn start(
        password: &Password,
        pinned: Pinned,
        which: Which,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, GuessStart), LoginError> {
        suite::check(pinned.suite).map_err(|_| LoginError::UnsupportedSuite)?;
        let started = ClientLogin::<V1>::start(&mut OpaqueRng(rng), password.exposed())
            .map_err(|_| LoginError::Internal)?;
        let ke1 = Fixed::try_from(started.message.serialize().as_slice())
            .expect("KE1 of suite 1 has 96 bytes");
        let request = GuessStart {
            record: pinned.record,
            suite: pinned.suite,
            which,
            ke1,
        };
        let state = started.state;
        Ok((Self { state, ke1, pinned }, request))
    }

    /// Opens the answer. The proof must be sent at once: until then the guess counts as a wrong one.
    ///
    /// Costs one Argon2id: 64 MiB and about 0.2 s. Not done for an answer that the pinned vault did not sign.
    pub fn finish(
        self,
        password: &Password,
        answer: &Evaluated,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, LoginError> {
        let Self { state, ke1, pinned } = self;
        EvaluatedStatement::verify(&pinned.record, &ke1, answer, &pinned.identity)
            .map_err(|_| LoginError::NotThisVault)?;
        let Evaluated {
            session,
            ke2,
            commitment,
            signature: _,
        } = answer;
        let response = CredentialResponse::<V1>::deserialize(ke2.as_bytes())
            .map_err(|_| LoginError::BadAnswer)?;
        let context = context(
            pinned.suite,
            &pinned.record,
            &pinned.identity.to_bytes(),
            session,
            commitment,
        );
        let parameters = ClientLoginFinishParameters {
            context: Some(&context),
            identifiers: Identifiers {
                client: Some(pinned.record.as_bytes()),
                server: None,
            },
            ksf: Some(&stretching()),
        };
        let mut finished = state
            .finish(
                &mut OpaqueRng(rng),
                password.exposed(),
                response,
                parameters,
            )
            .map_err(|error| match error {
                ProtocolError::InvalidLoginError => LoginError::WrongPassword,
                _ => LoginError::BadAnswer,
            })?;
        let mut bytes: [u8; 64] = finished.export_key.into();
        let export_key = ExportKey::new(&bytes);
        bytes.zeroize();
        finished.export_key.as_mut_slice().zeroize();
        finished.session_key.as_mut_slice().zeroize();
        let proof = Proof {
            session: *session,
            ke3: Fixed(finished.message.serialize().into()),
        };
        Ok(Opened {
            export_key,
            proof,
            commitment: *commitment,
            pinned,
        })
    }
}

/// The password was right.
#[derive(Debug)]
pub struct Opened {
    /// What the slot opens with.
    pub export_key: ExportKey,
    /// To be sent at once.
    pub proof: Proof,
    commitment: Fixed<32>,
    pinned: Pinned,
}

/// What the vault said after the proof, verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// Which version was opened.
    pub version: u32,
    /// How many guesses the record ever had.
    pub number: u64,
    /// Guesses since the last proof that were not proven: to be shown.
    pub failed: u32,
    /// Entries in the record's log.
    pub log_length: u64,
    /// The hash of the last one.
    pub log_hash: Fixed<32>,
}

impl Opened {
    /// Verifies what the vault answered to the proof.
    ///
    /// Version and number must be those that were committed to before the vault could know who asks.
    pub fn confirm(&self, proved: &Proved) -> Result<Confirmed, LoginError> {
        let statement = ProvedStatement {
            record: &self.pinned.record,
            session: &self.proof.session,
            proved,
        };
        statement
            .verify(&self.pinned.identity)
            .map_err(|_| LoginError::NotThisVault)?;
        let Proved {
            version,
            number,
            opening,
            failed,
            log_length,
            log_hash,
            signature: _,
        } = proved;
        let committed = Commitment {
            opening,
            record: &self.pinned.record,
            version: *version,
            number: *number,
        };
        if committed.digest() != self.commitment {
            return Err(LoginError::BadAnswer);
        }
        Ok(Confirmed {
            version: *version,
            number: *number,
            failed: *failed,
            log_length: *log_length,
            log_hash: *log_hash,
        })
    }
}
