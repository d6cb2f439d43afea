//! The keys that the engine is given, and what it derives from them.
//!
//! The engine does not know how a backup is unlocked: the program hands it [`WriterKeys`] (enough to
//! add, not to read) or a [`ReaderKeys`].

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq as _;

use crate::ids::ChunkId;

/// 32 secret bytes, wiped on drop.
pub type Key = SecretBox<[u8; 32]>;

/// The reader does not hold the key that opens a run key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key at hand opens this run key")]
pub struct KeyRefused;

/// Opens what was sealed in this backup.
pub trait ReaderKeys: Send + Sync {
    /// The backup that these keys belong to.
    fn repository(&self) -> [u8; 16];
    /// The number of the keyring that was opened.
    fn keyring_number(&self) -> u64;
    /// The key of the chunk ids.
    fn chunk_id_key(&self) -> &Key;
    /// The keys with which a device may have signed in the epoch to which `sealed_run_key` was sealed. Empty when there
    /// was no such device; several only after a fork was merged.
    fn writer_keys(&self, device: &[u8; 16], sealed_run_key: &[u8]) -> Vec<Key>;
    /// Opens a run key that was sealed to an epoch's reader public key.
    fn open_run_key(&self, sealed: &[u8]) -> Result<Key, KeyRefused>;
}

/// What a device needs to add to a backup. It opens nothing that was written before.
#[derive(Debug)]
pub struct WriterKeys {
    pub(crate) repository: [u8; 16],
    pub(crate) device: [u8; 16],
    pub(crate) keyring_number: u64,
    pub(crate) keyring_hash: [u8; 32],
    pub(crate) run_key: Key,
    pub(crate) sealed_run_key: Vec<u8>,
    pub(crate) writer_key: Key,
    pub(crate) chunk_id_key: Key,
}

impl WriterKeys {
    /// Takes the keys of one run. `run_key` must be fresh and random, `sealed_run_key` the same key sealed to
    /// the newest epoch's reader public key.
    #[expect(
        clippy::too_many_arguments,
        reason = "one constructor, called in one place"
    )]
    pub fn new(
        repository: [u8; 16],
        device: [u8; 16],
        keyring_number: u64,
        keyring_hash: [u8; 32],
        run_key: Key,
        sealed_run_key: Vec<u8>,
        writer_key: Key,
        chunk_id_key: Key,
    ) -> Self {
        Self {
            repository,
            device,
            keyring_number,
            keyring_hash,
            run_key,
            sealed_run_key,
            writer_key,
            chunk_id_key,
        }
    }

    /// The device that writes.
    pub fn device(&self) -> [u8; 16] {
        self.device
    }

    /// The backup that is written to.
    pub fn repository(&self) -> [u8; 16] {
        self.repository
    }
}

/// The keys of one pack or object: what seals it, and what commits to the key.
pub(crate) struct ObjectKeys {
    pub(crate) content: Key,
    pub(crate) directory: Key,
    pub(crate) padding: Key,
    pub(crate) commitment: [u8; 32],
}

const LABEL_OBJECT: &[u8] = b"heirloom/v1/object";
const LABEL_IDS: &str = "heirloom/v1 2026 conversation and segment keys";
const LABEL_MAC: &[u8] = b"heirloom/v1/writer-mac";

/// `HKDF-SHA256(salt, run key, "heirloom/v1/object" ‖ kind ‖ repository)`, 128 bytes: see docs/format.md,
/// "Sealed objects".
pub(crate) fn derive_object_keys(
    run_key: &Key,
    salt: &[u8; 32],
    kind: u8,
    repository: &[u8; 16],
) -> ObjectKeys {
    let hkdf = Hkdf::<Sha256>::new(Some(salt), run_key.expose_secret());
    let mut okm = SecretBox::new(Box::new([0u8; 128]));
    hkdf.expand_multi_info(
        &[LABEL_OBJECT, &[kind], repository],
        okm.expose_secret_mut(),
    )
    .expect("128 bytes is a valid HKDF-SHA256 length");
    let part = |at: usize| {
        SecretBox::init_with_mut(|key: &mut [u8; 32]| {
            key.copy_from_slice(&okm.expose_secret()[at..at + 32]);
        })
    };
    let mut commitment = [0; 32];
    commitment.copy_from_slice(&okm.expose_secret()[96..]);
    ObjectKeys {
        content: part(0),
        directory: part(32),
        padding: part(64),
        commitment,
    }
}

/// Names chunks and cuts segments. The keys confirm nothing about the store to who lacks them.
pub(crate) struct IdKeys {
    chunk: Key,
    derived: Key,
    /// Of what never leaves the device.
    local: SecretBox<[u8; 16]>,
}

impl IdKeys {
    pub(crate) fn new(chunk_id_key: &Key) -> Self {
        let copy =
            |key: &[u8; 32]| SecretBox::init_with_mut(|to: &mut [u8; 32]| to.copy_from_slice(key));
        let chunk = copy(chunk_id_key.expose_secret());
        let derived = copy(&blake3::derive_key(LABEL_IDS, chunk_id_key.expose_secret()));
        let mut ids = Self {
            chunk,
            derived,
            local: SecretBox::new(Box::new([0; 16])),
        };
        let local = ids.keyed(purpose::CONTENT, b"fingerprints");
        ids.local.expose_secret_mut().copy_from_slice(&local[..16]);
        ids
    }

    /// Keyed BLAKE3 of the plaintext.
    pub(crate) fn chunk_id(&self, plaintext: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(self.chunk.expose_secret(), plaintext).as_bytes())
    }

    /// A keyed hash for everything that is not a chunk: boundaries, conversation keys, fingerprints.
    pub(crate) fn keyed(&self, purpose: u8, bytes: &[u8]) -> [u8; 32] {
        // Most inputs are short: hashed in one piece, they cost a third.
        let mut piece = [0; 128];
        if let Some(rest) = piece.get_mut(1..=bytes.len()) {
            rest.copy_from_slice(bytes);
            piece[0] = purpose;
            let hash = blake3::keyed_hash(self.derived.expose_secret(), &piece[..=bytes.len()]);
            return *hash.as_bytes();
        }
        let mut hasher = blake3::Hasher::new_keyed(self.derived.expose_secret());
        hasher.update(&[purpose]).update(bytes);
        *hasher.finalize().as_bytes()
    }

    /// SipHash-2-4, for what is compared on this device alone: no other reader needs to make the same.
    pub(crate) fn local(&self, bytes: &[u8]) -> u64 {
        SipHasher24::new_with_key(self.local.expose_secret()).hash(bytes)
    }
}

/// The purposes of [`IdKeys::keyed`]; the byte stands before the input.
pub(crate) mod purpose {
    pub(crate) const CONVERSATION: u8 = 1;
    pub(crate) const MESSAGE: u8 = 2;
    pub(crate) const CONTENT: u8 = 3;
    pub(crate) const FILE: u8 = 4;
    pub(crate) const LOCAL: u8 = 5;
}

/// `HMAC-SHA-256(writer key, "heirloom/v1/writer-mac" ‖ kind ‖ bytes)`.
pub(crate) fn writer_mac(writer_key: &Key, kind: u8, bytes: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(writer_key.expose_secret())
        .expect("HMAC takes a key of any length");
    mac.update(LABEL_MAC);
    mac.update(&[kind]);
    mac.update(bytes);
    mac.finalize().into_bytes().into()
}

/// Compares in constant time.
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
