//! All of the server's secrets in one file.
//!
//! `HLVAULT1 ‖ wrapping 32 ‖ fake 32 ‖ identity 32 ‖ OPAQUE 128`, or, once the wrapping key was changed,
//! `HLVAULT2 ‖ count u8 ‖ wrapping keys, the newest first ‖ fake 32 ‖ identity 32 ‖ OPAQUE 128`.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use heirloom_vault_api::{OpaqueRng, RecordName, VaultIdentity, suite};
use hkdf::Hkdf;
use opaque_ke::ServerSetup;
use rand_core::CryptoRng;
use secrecy::{ExposeSecret, SecretBox};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

use super::{
    Custody, KeysError, MOST_KEYS, NONCE_BYTES, Place, RotateError, ServerKeys, TAG_BYTES,
};
use crate::generation::sync_folder;

const MAGIC: &[u8; 8] = b"HLVAULT1";
const MAGIC_SEVERAL: &[u8; 8] = b"HLVAULT2";
const KEY_BYTES: usize = 32;
const SETUP_BYTES: usize = 128;
/// What stands behind the wrapping keys.
const REST_BYTES: usize = 2 * KEY_BYTES + SETUP_BYTES;
const MOST_BYTES: usize = 8 + 1 + MOST_KEYS * KEY_BYTES + REST_BYTES;

type WrappingKey = SecretBox<[u8; KEY_BYTES]>;

/// All secrets in one file of mode 0600: safe from a thief of the database, not from one of the machine.
pub struct KeyFile {
    path: PathBuf,
    /// The newest first; never empty.
    wrapping: RwLock<Vec<WrappingKey>>,
    fake: SecretBox<[u8; 32]>,
    identity: VaultIdentity,
    setup: ServerSetup<suite::V1>,
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyFile([REDACTED])")
    }
}

/// Why the server's keys cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error("the server's key file cannot be used: {0}")]
    Io(#[from] io::Error),
    /// Others may read it.
    #[error("the server's key file can be read by others: it must have mode 0600")]
    ReadByOthers,
    /// It is no key file.
    #[error("the server's key file makes no sense")]
    Malformed,
}

impl KeyFile {
    /// Opens the key file, or makes it where there is none.
    ///
    /// A vault whose key file is lost has lost every password; one whose key file is replaced is refused
    /// by every client.
    pub fn open_or_create(path: &Path, rng: &mut impl CryptoRng) -> Result<Self, KeyFileError> {
        let bytes = match read(path) {
            Err(KeyFileError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                create(path, rng)?;
                read(path)?
            }
            read => read?,
        };
        let Parts { wrapping, rest } = Parts::of(&bytes).ok_or(KeyFileError::Malformed)?;
        let (fake, more) = rest.split_first_chunk().ok_or(KeyFileError::Malformed)?;
        let (identity, setup) = more.split_first_chunk().ok_or(KeyFileError::Malformed)?;
        Ok(Self {
            path: path.to_owned(),
            wrapping: RwLock::new(wrapping.iter().map(secret).collect()),
            fake: secret(fake),
            identity: VaultIdentity::new(secret(identity)),
            setup: ServerSetup::deserialize(setup).map_err(|_| KeyFileError::Malformed)?,
        })
    }

    /// Writes the file anew with these keys, whole or not at all; gives the one before.
    fn replace(&self, keys: &[&[u8; KEY_BYTES]]) -> io::Result<File> {
        let other = |_| io::Error::other("the file is not the one that this server began with");
        let before = read(&self.path).map_err(other)?;
        let parts = Parts::of(&before).ok_or_else(|| other(KeyFileError::Malformed))?;
        let count = u8::try_from(keys.len()).map_err(io::Error::other)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES));
        bytes.extend_from_slice(MAGIC_SEVERAL);
        bytes.push(count);
        for key in keys {
            bytes.extend_from_slice(*key);
        }
        bytes.extend_from_slice(parts.rest);
        let part = write_part(&self.path, &bytes)?;
        let old = OpenOptions::new().write(true).open(&self.path)?;
        std::fs::rename(&part, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_folder)?;
        Ok(old)
    }
}

/// A key file, taken apart.
struct Parts<'a> {
    wrapping: &'a [[u8; KEY_BYTES]],
    rest: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (count, keys) = if let Some(keys) = bytes.strip_prefix(MAGIC) {
            (1, keys)
        } else {
            let (count, keys) = bytes.strip_prefix(MAGIC_SEVERAL)?.split_first()?;
            (usize::from(*count), keys)
        };
        if count == 0 || count > MOST_KEYS {
            return None;
        }
        let (wrapping, rest) = keys.split_at_checked(count * KEY_BYTES)?;
        let (wrapping, _) = wrapping.as_chunks();
        (rest.len() == REST_BYTES).then_some(Self { wrapping, rest })
    }
}

fn secret(bytes: &[u8; 32]) -> SecretBox<[u8; 32]> {
    SecretBox::init_with_mut(|secret: &mut [u8; 32]| secret.copy_from_slice(bytes))
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mut file = File::open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if file.metadata()?.permissions().mode() & 0o077 != 0 {
            return Err(KeyFileError::ReadByOthers);
        }
    }
    // In full size from the start: a buffer that grew would leave pieces behind.
    let mut bytes = Zeroizing::new(vec![0; MOST_BYTES + 1]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..)
        && !rest.is_empty()
    {
        match file.read(rest)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn create(path: &Path, rng: &mut impl CryptoRng) -> io::Result<()> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES));
    bytes.extend_from_slice(MAGIC);
    let mut random = Zeroizing::new([0; 96]);
    rng.fill_bytes(random.as_mut_slice());
    bytes.extend_from_slice(random.as_slice());
    let setup = ServerSetup::<suite::V1>::new(&mut OpaqueRng(rng));
    let mut serialized = setup.serialize();
    bytes.extend_from_slice(&serialized);
    serialized.as_mut_slice().zeroize();
    let part = write_part(path, &bytes)?;
    // Never over a file that is there.
    std::fs::hard_link(&part, path)?;
    std::fs::remove_file(&part)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Under another name first: a half-written key file must never be taken for the vault's.
fn write_part(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut file = options.open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(part)
}

/// Overwrites a file that has no name any more. As far as it goes: a disk may keep older copies.
fn wipe(mut file: &File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(MOST_BYTES);
    file.write_all(&vec![0; length.min(MOST_BYTES)])?;
    file.sync_all()
}

fn open_under(
    key: &WrappingKey,
    place: &Place<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let cipher = Aes256Gcm::new(key.expose_secret().into());
    let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(KeysError)?;
    let (body, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(KeysError)?;
    let mut body = Zeroizing::new(body.to_vec());
    cipher
        .decrypt_inout_detached(
            &Nonce::from(*nonce),
            &place.bytes(),
            body.as_mut_slice().into(),
            &Tag::from(*tag),
        )
        .map_err(|_| KeysError)?;
    Ok(body)
}

impl ServerKeys for KeyFile {
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError> {
        let keys = self.wrapping.read().map_err(|_| KeysError)?;
        let key = keys.first().ok_or(KeysError)?;
        let cipher = Aes256Gcm::new(key.expose_secret().into());
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| KeysError)?;
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = cipher
            .encrypt_inout_detached(
                &Nonce::from(nonce),
                &place.bytes(),
                body.as_mut_slice().into(),
            )
            .map_err(|_| KeysError)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let keys = self.wrapping.read().map_err(|_| KeysError)?;
        keys.iter()
            .find_map(|key| open_under(key, place, sealed).ok())
            .ok_or(KeysError)
    }

    fn probe(&self) -> Result<(), KeysError> {
        Ok(())
    }

    fn is_newest(&self, place: &Place<'_>, sealed: &[u8]) -> bool {
        let Ok(keys) = self.wrapping.read() else {
            return false;
        };
        keys.first()
            .is_some_and(|key| open_under(key, place, sealed).is_ok())
    }

    fn wrapping_keys(&self) -> usize {
        let keys = self.wrapping.read();
        keys.unwrap_or_else(PoisonError::into_inner).len()
    }

    fn rotate(&self) -> Result<(), RotateError> {
        let mut keys = self
            .wrapping
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MOST_KEYS {
            return Err(RotateError::Several(keys.len()));
        }
        let mut fresh = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(fresh.as_mut_slice())
            .map_err(|_| io::Error::other("there is no randomness"))?;
        let mut all: Vec<&[u8; KEY_BYTES]> = vec![&*fresh];
        all.extend(keys.iter().map(ExposeSecret::expose_secret));
        // On the disk before it seals anything.
        self.replace(&all)?;
        let fresh = secret(&fresh);
        keys.insert(0, fresh);
        Ok(())
    }

    fn retire(&self) -> Result<(), RotateError> {
        let mut keys = self
            .wrapping
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let newest: Vec<_> = keys
            .iter()
            .take(1)
            .map(ExposeSecret::expose_secret)
            .collect();
        let before = self.replace(&newest)?;
        keys.truncate(1);
        // The new one is in its place: what cannot be wiped of the old one changes nothing.
        let _ = wipe(&before);
        Ok(())
    }

    fn custody(&self) -> Custody {
        Custody::File
    }

    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]> {
        let mut material = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, self.fake.expose_secret())
            .expand_multi_info(
                &[b"heirloom/vault/v1/fake", record.as_bytes()],
                material.as_mut_slice(),
            )
            .expect("32 bytes is a valid HKDF-SHA256 length");
        material
    }

    fn subject(&self, tenant: &str, subject: &str) -> [u8; 32] {
        let mut hash = [0; 32];
        // A tenant's name has no zero byte.
        Hkdf::<Sha256>::new(None, self.fake.expose_secret())
            .expand_multi_info(
                &[
                    b"heirloom/vault/v1/subject",
                    tenant.as_bytes(),
                    &[0],
                    subject.as_bytes(),
                ],
                &mut hash,
            )
            .expect("32 bytes is a valid HKDF-SHA256 length");
        hash
    }

    fn setup(&self) -> &ServerSetup<suite::V1> {
        &self.setup
    }

    fn identity(&self) -> &VaultIdentity {
        &self.identity
    }
}

#[cfg(test)]
static_assertions::assert_not_impl_any!(KeyFile: Clone, fmt::Display);

#[cfg(test)]
mod tests;
