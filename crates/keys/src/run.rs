//! The key of one run, sealed to whoever may read the epoch. `docs/keyring.md`, section 7.

use rand_core::CryptoRng;

use crate::committed::{Info, Secret32};
use crate::ids::RepositoryId;
use crate::kem::{PublicKey, SEAL_OVERHEAD_BYTES};
use crate::root::{Epoch, ReaderPublic};

/// Length of a sealed run key: epoch, X-Wing ciphertext, commitment, sealed key.
pub const SEALED_RUN_KEY_BYTES: usize = EPOCH_BYTES + SEAL_OVERHEAD_BYTES + 32;

const EPOCH_BYTES: usize = 4;

/// The data key of one run, from which the keys of its packs come.
#[derive(Debug)]
pub struct RunKey(Secret32);

impl RunKey {
    /// Makes the key for a new run.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret32::generate(rng))
    }

    /// The 32 bytes, from which pack keys are derived; never to be stored.
    pub fn expose_secret(&self) -> &[u8; 32] {
        self.0.exposed()
    }
}

/// Why a run key stayed sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunKeyError {
    /// The bytes are not as long as a sealed run key, or fail authentication. Never retry.
    #[error("the run key is damaged")]
    Damaged,
    /// The epoch is not in this keyring. A newer keyring may have it.
    #[error("the run was sealed in epoch {epoch}, which this keyring does not know")]
    UnknownEpoch {
        /// The epoch that the sealed key names.
        epoch: u32,
    },
}

/// Seals a run key to the readers of an epoch; needs no secret, and gives none away.
pub fn seal_run_key(
    reader: &ReaderPublic,
    run_key: &RunKey,
    rng: &mut impl CryptoRng,
    repository: &RepositoryId,
) -> [u8; SEALED_RUN_KEY_BYTES] {
    let info = info(repository, reader.epoch, &reader.key);
    let mut bytes = [0; SEALED_RUN_KEY_BYTES];
    let (epoch, sealed) = bytes.split_at_mut(EPOCH_BYTES);
    epoch.copy_from_slice(&reader.epoch.to_be_bytes());
    sealed.copy_from_slice(&reader.key.seal(rng, &[], &info, run_key.0.exposed()));
    bytes
}

/// Opens a sealed run key with whichever of `epochs` it names.
pub(crate) fn open_run_key(
    epochs: &[Epoch],
    repository: &RepositoryId,
    bytes: &[u8],
) -> Result<RunKey, RunKeyError> {
    if bytes.len() != SEALED_RUN_KEY_BYTES {
        return Err(RunKeyError::Damaged);
    }
    let (number, sealed) = bytes.split_first_chunk().ok_or(RunKeyError::Damaged)?;
    let number = u32::from_be_bytes(*number);
    let mut known = false;
    // After a merge two epochs share a number; the commitment tells which is meant.
    for epoch in epochs.iter().filter(|epoch| epoch.number == number) {
        known = true;
        let reader = epoch.reader(repository);
        if let Ok(key) = reader.open(&[], &info(repository, number, reader.public()), sealed) {
            return Secret32::from_slice(&key)
                .map(RunKey)
                .ok_or(RunKeyError::Damaged);
        }
    }
    Err(if known {
        RunKeyError::Damaged
    } else {
        RunKeyError::UnknownEpoch { epoch: number }
    })
}

fn info(repository: &RepositoryId, epoch: u32, reader: &PublicKey) -> Info {
    Info::new("heirloom/v1/run-key")
        .field(repository.as_bytes())
        .u32(epoch)
        .field(&reader.to_bytes())
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(RunKey: Clone, Copy, PartialEq, std::fmt::Display);
