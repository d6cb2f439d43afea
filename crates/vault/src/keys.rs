//! The server's own secrets, behind a trait: a file now, an HSM later.

mod pkcs11;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce, Tag};
use heirloom_vault_api::{OpaqueRng, RecordName, VaultIdentity, suite};
use hkdf::Hkdf;
use opaque_ke::ServerSetup;
use rand_core::CryptoRng;
use secrecy::{ExposeSecret as _, SecretBox};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use self::pkcs11::{Pkcs11, Pkcs11Error, Pkcs11Keys};
use crate::generation::sync_folder;

const MAGIC: &[u8; 8] = b"HLVAULT1";
const SETUP_BYTES: usize = 128;
const FILE_BYTES: usize = 8 + 3 * 32 + SETUP_BYTES;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Where a sealed value lies: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Table and column.
    pub column: &'static str,
    /// The record.
    pub record: &'a RecordName,
    /// Its version; for a session its number.
    pub version: u64,
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self {
            column,
            record,
            version,
        } = self;
        [
            b"heirloom/vault/v1/sealed/".as_slice(),
            column.as_bytes(),
            &[0],
            record.as_bytes(),
            &version.to_be_bytes(),
        ]
        .concat()
    }
}

/// A secret could not be used. It says no more: whoever holds the database could learn from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value of the database does not open under the server's key")]
pub struct KeysError;

/// What the server keeps outside its database.
///
/// A stolen database gives no guess without it, and a destroyed row none with it.
pub trait ServerKeys: Send + Sync + fmt::Debug {
    /// Seals a value to its place.
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError>;
    /// Opens it there.
    fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError>;
    /// The OPRF key material of a name that nobody registered: always the same one.
    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]>;
    /// OPAQUE's key pair, and the public key that fake records have: the same after a restart.
    fn setup(&self) -> &ServerSetup<suite::V1>;
    /// Who signs.
    fn identity(&self) -> &VaultIdentity;
}

/// All secrets in one file of mode 0600: safe from a thief of the database, not from one of the machine.
pub struct KeyFile {
    wrapping: SecretBox<[u8; 32]>,
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
        let mut file = match OpenOptions::new().read(true).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                create(path, rng)?;
                OpenOptions::new().read(true).open(path)?
            }
            Err(error) => return Err(error.into()),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(KeyFileError::ReadByOthers);
            }
        }
        let mut bytes = Zeroizing::new(vec![0; FILE_BYTES + 1]);
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..)
            && !rest.is_empty()
        {
            match file.read(rest)? {
                0 => break,
                more => filled += more,
            }
        }
        let bytes = bytes
            .get(..filled)
            .filter(|bytes| bytes.len() == FILE_BYTES)
            .ok_or(KeyFileError::Malformed)?;
        Self::parse(bytes).ok_or(KeyFileError::Malformed)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(MAGIC)?;
        let (wrapping, rest) = rest.split_first_chunk::<32>()?;
        let (fake, rest) = rest.split_first_chunk::<32>()?;
        let (identity, setup) = rest.split_first_chunk::<32>()?;
        Some(Self {
            wrapping: secret(wrapping),
            fake: secret(fake),
            identity: VaultIdentity::new(secret(identity)),
            setup: ServerSetup::deserialize(setup).ok()?,
        })
    }
}

fn secret(bytes: &[u8; 32]) -> SecretBox<[u8; 32]> {
    SecretBox::init_with_mut(|secret: &mut [u8; 32]| secret.copy_from_slice(bytes))
}

fn create(path: &Path, rng: &mut impl CryptoRng) -> io::Result<()> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES));
    bytes.extend_from_slice(MAGIC);
    let mut random = Zeroizing::new([0; 96]);
    rng.fill_bytes(random.as_mut_slice());
    bytes.extend_from_slice(random.as_slice());
    let setup = ServerSetup::<suite::V1>::new(&mut OpaqueRng(rng));
    let mut serialized = setup.serialize();
    bytes.extend_from_slice(&serialized);
    zeroize::Zeroize::zeroize(serialized.as_mut_slice());

    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    // Under another name first: a half-written key file must never be taken for the vault's.
    let part = path.with_extension("part");
    let _ = std::fs::remove_file(&part);
    let mut file = options.open(&part)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    // Never over a file that is there.
    std::fs::hard_link(&part, path)?;
    std::fs::remove_file(&part)?;
    path.parent().map_or(Ok(()), sync_folder)
}

impl ServerKeys for KeyFile {
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError> {
        let cipher = Aes256Gcm::new(self.wrapping.expose_secret().into());
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
        let cipher = Aes256Gcm::new(self.wrapping.expose_secret().into());
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
mod tests {
    use getrandom::SysRng;
    use getrandom::rand_core::UnwrapErr;
    use heirloom_vault_api::Fixed;

    use super::*;

    fn place(record: &RecordName, version: u64) -> Place<'_> {
        Place {
            column: "vault_record.sealed",
            record,
            version,
        }
    }

    #[test]
    fn a_sealed_value_opens_in_its_place_alone_and_under_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let mut rng = UnwrapErr(SysRng);
        let path = folder.path().join("keys");
        let keys = KeyFile::open_or_create(&path, &mut rng).unwrap();
        let (one, two) = (Fixed([1; 16]), Fixed([2; 16]));
        let sealed = keys.seal(&place(&one, 1), b"oprf").unwrap();
        assert_eq!(*keys.open(&place(&one, 1), &sealed).unwrap(), b"oprf");
        assert!(keys.open(&place(&two, 1), &sealed).is_err());
        assert!(keys.open(&place(&one, 2), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(keys.open(&place(&one, 1), &altered).is_err(), "{at}");
            assert!(keys.open(&place(&one, 1), &sealed[..at]).is_err(), "{at}");
        }
        let again = KeyFile::open_or_create(&path, &mut rng).unwrap();
        assert_eq!(*again.open(&place(&one, 1), &sealed).unwrap(), b"oprf");
        assert_eq!(again.identity().public(), keys.identity().public());
        assert_eq!(again.fake_material(&one), keys.fake_material(&one));
        let other = KeyFile::open_or_create(&folder.path().join("other"), &mut rng).unwrap();
        assert!(other.open(&place(&one, 1), &sealed).is_err());
        assert_ne!(other.fake_material(&one), keys.fake_material(&one));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let opened = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng));
        assert!(matches!(opened, Err(KeyFileError::ReadByOthers)));
    }

    #[test]
    fn a_key_file_of_another_length_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), FILE_BYTES);
        bytes.push(0);
        std::fs::write(&path, &bytes).unwrap();
        let opened = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng));
        assert!(matches!(opened, Err(KeyFileError::Malformed)));
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
