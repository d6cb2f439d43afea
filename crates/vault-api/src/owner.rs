//! Proof of the current root: a key that only the keyring's owner can derive.
//!
//! The client derives the seed from the root key of the newest epoch; the vault holds the public half
//! with the record. Without it, whoever steals a sign-in could replace or destroy a password's record.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::{Digest as _, Sha256};

use crate::identity::strong_key;
use crate::{Fixed, Identity, NotSigned, RecordName};

const LABEL: &[u8] = b"heirloom/vault/v1/owner";

/// What an owner agrees to.
#[derive(Clone, Copy, Debug)]
pub enum OwnerAct<'a> {
    /// A new version of the record, still pending.
    Register {
        /// The id that the vault gave to this registration: used once.
        registration: &'a Fixed<16>,
        /// The client's last message.
        upload: &'a Fixed<192>,
        /// Who will own the record from its activation on.
        next_owner: &'a Fixed<32>,
    },
    /// The pending version takes the place of the active one, which is destroyed.
    Activate {
        /// The pending version.
        version: u32,
    },
    /// Another key, after the root was rotated.
    ChangeOwner {
        /// The key in force.
        owner: &'a Fixed<32>,
        /// The key from now on.
        next_owner: &'a Fixed<32>,
    },
    /// All key material is destroyed, for good.
    Forget,
}

impl OwnerAct<'_> {
    /// `label ‖ vault's identity ‖ record ‖ kind ‖ SHA-256(fields)`.
    fn bytes(&self, identity: &Identity, record: &RecordName) -> Vec<u8> {
        let mut fields = Sha256::new();
        let kind: u8 = match self {
            Self::Register {
                registration,
                upload,
                next_owner,
            } => {
                fields.update(registration.as_bytes());
                fields.update(upload.as_bytes());
                fields.update(next_owner.as_bytes());
                1
            }
            Self::Activate { version } => {
                fields.update(version.to_be_bytes());
                2
            }
            Self::ChangeOwner { owner, next_owner } => {
                fields.update(owner.as_bytes());
                fields.update(next_owner.as_bytes());
                3
            }
            Self::Forget => 4,
        };
        [
            LABEL,
            identity.to_bytes().as_bytes(),
            record.as_bytes(),
            &[kind],
            &fields.finalize(),
        ]
        .concat()
    }
}

/// The owner's secret half.
#[derive(Debug)]
pub struct OwnerKey(SecretBox<[u8; 32]>);

impl OwnerKey {
    /// Takes the seed: 32 bytes that the client derives from the root key.
    pub fn new(seed: SecretBox<[u8; 32]>) -> Self {
        Self(seed)
    }

    /// What the vault keeps.
    pub fn public(&self) -> OwnerPublic {
        OwnerPublic(self.key().verifying_key())
    }

    /// Agrees to `act` on `record`, at the vault of this identity and no other.
    pub fn sign(&self, identity: &Identity, record: &RecordName, act: &OwnerAct<'_>) -> Fixed<64> {
        Fixed(self.key().sign(&act.bytes(identity, record)).to_bytes())
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_bytes(self.0.expose_secret())
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(OwnerKey: Clone, Copy, std::fmt::Display);

/// The owner's public half.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnerPublic(VerifyingKey);

impl OwnerPublic {
    /// Takes a public key; a weak or malformed one is refused.
    pub fn new(bytes: &Fixed<32>) -> Result<Self, NotSigned> {
        strong_key(bytes).map(Self)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Fixed<32> {
        Fixed(self.0.to_bytes())
    }

    /// Whether the owner agreed to exactly this.
    pub fn verify(
        &self,
        identity: &Identity,
        record: &RecordName,
        act: &OwnerAct<'_>,
        signature: &Fixed<64>,
    ) -> Result<(), NotSigned> {
        let signature = Signature::from_bytes(signature.as_bytes());
        self.0
            .verify_strict(&act.bytes(identity, record), &signature)
            .map_err(|_| NotSigned)
    }
}

impl fmt::Debug for OwnerPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnerPublic")
    }
}
