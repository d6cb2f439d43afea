//! What a passkey's `prf` extension gives, whichever way it is asked. `docs/keyring.md`, section 4.1.

use rand_core::CryptoRng;
use secrecy::{ExposeSecret, SecretBox};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::committed::{hmac_sha256, sha256};

const CONTEXT: &[u8] = b"WebAuthn PRF\x00";

/// `SHA-256("WebAuthn PRF" ‖ 0x00 ‖ input)`: the salt that a browser hands to an authenticator.
///
/// With it a security key over CTAP2 `hmac-secret` gives the value that a browser's `prf` extension
/// gives for `input`. An API that is called with a *salt* wants this; one that is called with an
/// *input* applies it by itself. `WebAuthn` level 3, section "Pseudo-random function extension".
pub fn prf_salt(input: &[u8]) -> [u8; 32] {
    sha256(&[CONTEXT, input].concat())
}

/// What a passkey's `prf` extension gave in an authentication (never in a registration).
#[derive(Debug)]
pub struct PrfOutput(SecretBox<[u8; 32]>);

impl PrfOutput {
    /// Takes the first output of the extension; fill it in place, so that no copy stays behind.
    pub fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        Self(SecretBox::init_with_mut(fill))
    }

    /// Whether two authentications gave the same, in constant time. A passkey that does not repeat
    /// itself must not become a way in.
    pub fn agrees_with(&self, other: &Self) -> bool {
        self.exposed().ct_eq(other.exposed()).into()
    }

    pub(crate) fn exposed(&self) -> &[u8; 32] {
        self.0.expose_secret()
    }
}

/// What an authenticator with CTAP2 `hmac-secret` keeps for one credential and for users that it has
/// verified ("`CredRandomWithUV`"): for an authenticator in software.
///
/// Neither `Clone` nor `Serialize`; the output for any salt follows from it.
#[derive(Debug)]
pub struct CredRandom(SecretBox<[u8; 32]>);

impl CredRandom {
    /// Draws a fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::filled(|bytes| rng.fill_bytes(bytes))
    }

    /// Takes a stored one; fill it in place, so that no copy stays behind.
    pub fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        Self(SecretBox::init_with_mut(fill))
    }

    /// `HMAC-SHA256(CredRandom, salt)`; for an input of the `prf` extension the salt is
    /// [`prf_salt`] of it.
    pub fn output(&self, salt: &[u8; 32]) -> PrfOutput {
        let output = Zeroizing::new(hmac_sha256(self.0.expose_secret(), salt));
        PrfOutput::filled(|bytes| bytes.copy_from_slice(output.as_slice()))
    }
}

#[cfg(test)]
mod tests;
