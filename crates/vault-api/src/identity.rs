//! Who a vault is: an Ed25519 key that the keyring pins.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use secrecy::{ExposeSecret as _, SecretBox};

use crate::Fixed;

/// Length of a vault's public identity.
pub const IDENTITY_BYTES: usize = 32;

/// A vault's public identity, as pinned in the keyring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity(VerifyingKey);

/// Not signed by the vault that was pinned. Never retried: another server answers in its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not signed by this vault")]
pub struct NotSigned;

/// A public key that is one, and not of the few that anybody could sign for.
pub(crate) fn strong_key(bytes: &Fixed<32>) -> Result<VerifyingKey, NotSigned> {
    let key = VerifyingKey::from_bytes(bytes.as_bytes()).map_err(|_| NotSigned)?;
    if key.is_weak() {
        return Err(NotSigned);
    }
    Ok(key)
}

impl Identity {
    /// Takes a public identity; a weak or malformed key is refused.
    pub fn new(bytes: &Fixed<32>) -> Result<Self, NotSigned> {
        strong_key(bytes).map(Self)
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Fixed<32> {
        Fixed(self.0.to_bytes())
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &Fixed<64>) -> Result<(), NotSigned> {
        let signature = Signature::from_bytes(signature.as_bytes());
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| NotSigned)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// A vault's own half of its identity. It signs evaluations, proofs and heads, nothing that a client made up alone.
///
/// Boxed, and wiped when it is dropped. The public half is worked out once: it goes into each signature.
pub struct VaultIdentity(Box<SigningKey>);

impl fmt::Debug for VaultIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultIdentity([REDACTED])")
    }
}

impl VaultIdentity {
    /// Takes the secret seed.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it takes the secret, and wipes it"
    )]
    pub fn new(seed: SecretBox<[u8; 32]>) -> Self {
        Self(Box::new(SigningKey::from_bytes(seed.expose_secret())))
    }

    /// What clients pin.
    pub fn public(&self) -> Identity {
        Identity(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Fixed<64> {
        Fixed(self.0.sign(message).to_bytes())
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(VaultIdentity: Clone, Copy, std::fmt::Display);
