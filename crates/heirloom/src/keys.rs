//! Between the keyring and the engine: who may read, who may write.

use heirloom_engine::keys::{Key, KeyRefused, ReaderKeys, WriterKeys};
use heirloom_keys::{DeviceId, RunKey, Unlocked, WriterCredentials, seal_run_key};
use rand_core::{CryptoRng, UnwrapErr};
use secrecy::SecretBox;

/// The operating system's random source.
pub(crate) fn rng() -> UnwrapErr<getrandom::SysRng> {
    UnwrapErr(getrandom::SysRng)
}

/// An unlocked keyring as the engine's reader.
#[derive(Debug)]
pub(crate) struct Reader {
    unlocked: Unlocked,
    chunk_id_key: Key,
}

impl Reader {
    pub(crate) fn new(unlocked: Unlocked) -> Self {
        let chunk_id_key = boxed(unlocked.chunk_id_key().expose_secret());
        Self {
            unlocked,
            chunk_id_key,
        }
    }

    /// The keyring.
    pub(crate) fn keyring(&self) -> &Unlocked {
        &self.unlocked
    }
}

impl ReaderKeys for Reader {
    fn repository(&self) -> [u8; 16] {
        *self.unlocked.repository().as_bytes()
    }

    fn keyring_number(&self) -> u64 {
        self.unlocked.seen().number
    }

    fn chunk_id_key(&self) -> &Key {
        &self.chunk_id_key
    }

    fn writer_keys(&self, device: &[u8; 16], sealed_run_key: &[u8]) -> Vec<Key> {
        // A sealed run key begins with its epoch: docs/keyring.md, section 7.
        let Some(epoch) = sealed_run_key
            .first_chunk()
            .map(|bytes| u32::from_be_bytes(*bytes))
        else {
            return Vec::new();
        };
        let keys = self
            .unlocked
            .writer_keys(&DeviceId::from_bytes(*device), epoch);
        keys.iter().map(|key| boxed(key.expose_secret())).collect()
    }

    fn open_run_key(&self, sealed: &[u8]) -> Result<Key, KeyRefused> {
        let key = self.unlocked.open_run_key(sealed).map_err(|_| KeyRefused)?;
        Ok(boxed(key.expose_secret()))
    }
}

/// Draws the keys of one run from what an unattended device holds.
pub(crate) fn for_one_run(credentials: &WriterCredentials, rng: &mut impl CryptoRng) -> WriterKeys {
    let run_key = RunKey::generate(rng);
    let sealed = seal_run_key(
        &credentials.reader_public,
        &run_key,
        rng,
        &credentials.repository,
    );
    WriterKeys::new(
        *credentials.repository.as_bytes(),
        *credentials.device.as_bytes(),
        credentials.keyring_number,
        *credentials.keyring_hash.as_bytes(),
        boxed(run_key.expose_secret()),
        sealed.to_vec(),
        boxed(credentials.writer_key.expose_secret()),
        boxed(credentials.chunk_id_key.expose_secret()),
    )
}

fn boxed(key: &[u8; 32]) -> Key {
    SecretBox::init_with_mut(|to: &mut [u8; 32]| to.copy_from_slice(key))
}
