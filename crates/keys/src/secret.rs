//! What may open a slot: secrets that nobody can guess.

use secrecy::{ExposeSecret, SecretSlice};

use crate::prf::PrfOutput;
use crate::recovery::RecoveryKey;

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
/// A password can never become one by itself: only these sources do.
#[derive(Debug)]
pub struct HighEntropySecret(SecretSlice<u8>);

impl HighEntropySecret {
    pub(crate) fn exposed(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// What a device keeps for its own way in.
    pub(crate) fn of_device(secret: &crate::committed::Secret32) -> Self {
        Self(SecretSlice::from(secret.exposed().to_vec()))
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
        Self::checked(output.exposed())
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
