//! What may open a slot: secrets that nobody can guess.

use secrecy::{ExposeSecret, SecretBox, SecretSlice};

use crate::recovery::RecoveryKey;

/// What a passkey's `prf` extension gave in an authentication (never in a registration).
#[derive(Debug)]
pub struct PrfOutput(SecretBox<[u8; 32]>);

impl PrfOutput {
    /// Takes the first output of the extension; fill it in place, so that no copy stays behind.
    pub fn filled(fill: impl FnOnce(&mut [u8; 32])) -> Self {
        Self(SecretBox::init_with_mut(fill))
    }
}

/// What a finished OPAQUE login gives to the client alone (RFC 9807: 64 bytes).
#[derive(Debug)]
pub struct ExportKey(SecretSlice<u8>);

impl ExportKey {
    /// Takes the export key; `None` when it is not 64 bytes.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        let bytes = SecretSlice::from(bytes);
        (bytes.expose_secret().len() == 64).then_some(Self(bytes))
    }
}

/// The secret is all zeros: what an uninitialised PRF gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the secret is all zeros")]
pub struct WeakSecret;

/// A secret of at least 224 bits that no person chose, from which a slot key may be derived.
///
/// A password can never become one by itself: only these three sources do.
#[derive(Debug)]
pub struct HighEntropySecret(SecretSlice<u8>);

impl HighEntropySecret {
    pub(crate) fn exposed(&self) -> &[u8] {
        self.0.expose_secret()
    }

    fn checked(bytes: &[u8]) -> Result<Self, WeakSecret> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(WeakSecret);
        }
        Ok(Self(SecretSlice::from(bytes.to_vec())))
    }
}

impl From<&RecoveryKey> for HighEntropySecret {
    fn from(key: &RecoveryKey) -> Self {
        // A recovery key of zeros cannot be made: see `RecoveryKey`.
        Self(SecretSlice::from(key.exposed().to_vec()))
    }
}

impl TryFrom<PrfOutput> for HighEntropySecret {
    type Error = WeakSecret;

    fn try_from(output: PrfOutput) -> Result<Self, WeakSecret> {
        Self::checked(output.0.expose_secret())
    }
}

impl TryFrom<ExportKey> for HighEntropySecret {
    type Error = WeakSecret;

    fn try_from(key: ExportKey) -> Result<Self, WeakSecret> {
        Self::checked(key.0.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(HighEntropySecret: Clone, Copy, PartialEq, std::fmt::Display);
    static_assertions::assert_not_impl_any!(PrfOutput: Clone, Copy, PartialEq, std::fmt::Display);
    static_assertions::assert_not_impl_any!(ExportKey: Clone, Copy, PartialEq, std::fmt::Display);

    #[test]
    fn zero_prf_output_is_refused() {
        assert_eq!(
            HighEntropySecret::try_from(PrfOutput::filled(|_| ())).unwrap_err(),
            WeakSecret
        );
        assert_eq!(
            HighEntropySecret::try_from(ExportKey::new(vec![0; 64]).unwrap()).unwrap_err(),
            WeakSecret
        );
    }

    #[test]
    fn an_export_key_of_another_length_is_refused() {
        assert!(ExportKey::new(vec![1; 32]).is_none());
    }

    #[test]
    fn debug_shows_no_byte() {
        let secret =
            HighEntropySecret::try_from(PrfOutput::filled(|bytes| bytes.fill(0xab))).unwrap();
        let shown = format!(
            "{secret:?}{:?}",
            PrfOutput::filled(|bytes| bytes.fill(0xab))
        );
        assert!(
            !shown.contains("171") && !shown.to_lowercase().contains("ab,"),
            "{shown}"
        );
    }
}
