//! What goes in and what comes out.

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// The longest password in bytes of UTF-8.
const MAX_BYTES: usize = 1024;

/// What a person remembers, in the caller's normal form (`OpaqueString`, RFC 8265: NFC, no control characters).
#[derive(Debug)]
pub struct Password(SecretString);

/// Empty, or longer than 1,024 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a password has 1 to {MAX_BYTES} bytes")]
pub struct PasswordLength;

impl Password {
    /// Takes a password. How good it is, is not looked at here.
    pub fn new(text: SecretString) -> Result<Self, PasswordLength> {
        if (1..=MAX_BYTES).contains(&text.expose_secret().len()) {
            return Ok(Self(text));
        }
        Err(PasswordLength)
    }

    pub(crate) fn exposed(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

/// What a proven password gives to the client alone (RFC 9807, section 4): 64 bytes, the same each time.
#[derive(Debug)]
pub struct ExportKey(SecretSlice<u8>);

impl ExportKey {
    pub(crate) fn new(bytes: &[u8; 64]) -> Self {
        Self(SecretSlice::from(bytes.to_vec()))
    }

    /// The bytes, for `keys` to derive a slot key from.
    pub fn exposed(&self) -> &[u8] {
        self.0.expose_secret()
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(Password: Clone, Copy, PartialEq, std::fmt::Display);
#[cfg(test)]
static_assertions::assert_not_impl_any!(ExportKey: Clone, Copy, PartialEq, std::fmt::Display);
