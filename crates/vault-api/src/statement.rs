//! What a vault signs: bytes of one length each, every field in its place.

use sha2::{Digest as _, Sha256};

use crate::{Evaluated, Fixed, Identity, NotSigned, Proved, RecordName, VaultIdentity, Witnessed};

const LABEL_EVALUATED: &[u8] = b"heirloom/vault/v1/evaluated";
const LABEL_PROVED: &[u8] = b"heirloom/vault/v1/proved";
const LABEL_WITNESS: &[u8] = b"heirloom/vault/v1/witness";
const LABEL_COMMITMENT: &[u8] = b"heirloom/vault/v1/commitment";

/// Version and number of a guess, hidden until the password was proven.
///
/// Both are bound into the OPAQUE context through `SHA-256(label ‖ opening ‖ record ‖ version ‖ number)`.
/// In the open, they would tell a stranger that a record exists: an unknown one has no history.
#[derive(Clone, Copy, Debug)]
pub struct Commitment<'a> {
    /// 32 random bytes, told with the proof's answer.
    pub opening: &'a Fixed<32>,
    /// Whose guess.
    pub record: &'a RecordName,
    /// Which version of the record was evaluated.
    pub version: u32,
    /// How many guesses the record ever had, this one included.
    pub number: u64,
}

impl Commitment<'_> {
    /// The 32 bytes that go into the context.
    pub fn digest(&self) -> Fixed<32> {
        let Self {
            opening,
            record,
            version,
            number,
        } = self;
        let mut hash = Sha256::new();
        hash.update(LABEL_COMMITMENT);
        hash.update(opening.as_bytes());
        hash.update(record.as_bytes());
        hash.update(version.to_be_bytes());
        hash.update(number.to_be_bytes());
        Fixed(hash.finalize().into())
    }
}

/// One evaluation: `label ‖ record ‖ session ‖ SHA-256(KE1) ‖ SHA-256(KE2) ‖ commitment`.
#[derive(Clone, Copy, Debug)]
pub struct EvaluatedStatement<'a> {
    /// Whose guess.
    pub record: &'a RecordName,
    /// The client's first message.
    pub ke1: &'a Fixed<96>,
    /// The session's id.
    pub session: &'a Fixed<16>,
    /// The vault's message.
    pub ke2: &'a Fixed<320>,
    /// See [`Commitment`].
    pub commitment: &'a Fixed<32>,
}

impl EvaluatedStatement<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self {
            record,
            ke1,
            session,
            ke2,
            commitment,
        } = self;
        [
            LABEL_EVALUATED,
            record.as_bytes(),
            session.as_bytes(),
            &Sha256::digest(ke1.as_bytes()),
            &Sha256::digest(ke2.as_bytes()),
            commitment.as_bytes(),
        ]
        .concat()
    }

    /// Signs it.
    pub fn sign(&self, vault: &VaultIdentity) -> Fixed<64> {
        vault.sign(&self.bytes())
    }

    pub(crate) fn verify(
        record: &RecordName,
        ke1: &Fixed<96>,
        answer: &Evaluated,
        identity: &Identity,
    ) -> Result<(), NotSigned> {
        let Evaluated {
            session,
            ke2,
            commitment,
            signature,
        } = answer;
        let statement = EvaluatedStatement {
            record,
            ke1,
            session,
            ke2,
            commitment,
        };
        identity.verify(&statement.bytes(), signature)
    }
}

/// What a proven password learns: `label ‖ record ‖ session ‖ version ‖ number ‖ failed ‖ log length ‖ log hash`.
#[derive(Clone, Copy, Debug)]
pub struct ProvedStatement<'a> {
    /// Whose guess.
    pub record: &'a RecordName,
    /// The session that was proven.
    pub session: &'a Fixed<16>,
    /// The answer; its own signature and opening are not part of the bytes.
    pub proved: &'a Proved,
}

impl ProvedStatement<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Proved {
            version,
            number,
            opening: _,
            failed,
            log_length,
            log_hash,
            signature: _,
        } = self.proved;
        [
            LABEL_PROVED,
            self.record.as_bytes(),
            self.session.as_bytes(),
            &version.to_be_bytes(),
            &number.to_be_bytes(),
            &failed.to_be_bytes(),
            &log_length.to_be_bytes(),
            log_hash.as_bytes(),
        ]
        .concat()
    }

    /// Signs it.
    pub fn sign(&self, vault: &VaultIdentity) -> Fixed<64> {
        vault.sign(&self.bytes())
    }

    pub(crate) fn verify(&self, identity: &Identity) -> Result<(), NotSigned> {
        identity.verify(&self.bytes(), &self.proved.signature)
    }
}

/// The newest head and keyring of one lineage, over the client's nonce.
///
/// `label ‖ nonce ‖ account ‖ lineage ‖ sequence ‖ head ‖ keyring number ‖ keyring hash ‖ log length ‖ log hash`
#[derive(Clone, Copy, Debug)]
pub struct WitnessStatement<'a> {
    /// 32 random bytes of the client: without them an old statement would pass for a new one.
    pub nonce: &'a Fixed<32>,
    /// What is witnessed; its own signature is not part of the bytes.
    pub witnessed: &'a Witnessed,
}

impl WitnessStatement<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Witnessed {
            account,
            lineage,
            sequence,
            head,
            keyring_number,
            keyring_hash,
            log_length,
            log_hash,
            signature: _,
        } = self.witnessed;
        [
            LABEL_WITNESS,
            self.nonce.as_bytes(),
            account.as_bytes(),
            lineage.as_bytes(),
            &sequence.to_be_bytes(),
            head.as_bytes(),
            &keyring_number.to_be_bytes(),
            keyring_hash.as_bytes(),
            &log_length.to_be_bytes(),
            log_hash.as_bytes(),
        ]
        .concat()
    }

    /// Signs it.
    pub fn sign(&self, vault: &VaultIdentity) -> Fixed<64> {
        vault.sign(&self.bytes())
    }

    /// Whether the pinned vault said this, for this nonce.
    pub fn verify(&self, identity: &Identity) -> Result<(), NotSigned> {
        identity.verify(&self.bytes(), &self.witnessed.signature)
    }
}
