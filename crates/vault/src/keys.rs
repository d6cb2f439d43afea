//! The server's own secrets, behind a trait: a file, or an HSM for the wrapping key.
//!
//! While a wrapping key is changed there are several: the newest seals, and each opens what it sealed. Values do
//! not say which; GCM does, for a value opens under one key alone.

mod file;
mod pkcs11;

use std::{fmt, io};

use heirloom_vault_api::{RecordName, VaultIdentity, suite};
use opaque_ke::ServerSetup;
use zeroize::Zeroizing;

pub use self::file::{KeyFile, KeyFileError};
pub use self::pkcs11::{Pkcs11, Pkcs11Error, Pkcs11Keys};

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
    /// Seals a value to its place, under the newest wrapping key.
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError>;
    /// Opens it there, under whichever key sealed it.
    fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError>;
    /// Opens something small, as long as a record's version, where the wrapping key is in an HSM; where it is in a
    /// file there is nothing that could have gone.
    ///
    /// Asked before a guess counts: one that cannot be evaluated should not. Asked again where a name has nothing to
    /// open, so that it costs what others cost.
    fn probe(&self) -> Result<(), KeysError>;
    /// Whether the newest wrapping key sealed it.
    fn is_newest(&self, place: &Place<'_>, sealed: &[u8]) -> bool;
    /// How many wrapping keys there are: more than one while old values are wrapped anew.
    fn wrapping_keys(&self) -> usize;
    /// Makes a new wrapping key beside those there are. It is kept for good before this returns; from then on it
    /// seals everything.
    fn rotate(&self) -> Result<(), RotateError>;
    /// Destroys all wrapping keys but the newest. Only after a whole scan found nothing that needs them.
    fn retire(&self) -> Result<(), RotateError>;
    /// Where the wrapping key lies, for the operator.
    fn custody(&self) -> Custody;
    /// The OPRF key material of a name that nobody registered: always the same one.
    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]>;
    /// A keyed hash of whom a messenger vouches for: the database names nobody.
    fn subject(&self, tenant: &str, subject: &str) -> [u8; 32];
    /// OPAQUE's key pair, and the public key that fake records have: the same after a restart.
    fn setup(&self) -> &ServerSetup<suite::V1>;
    /// Who signs.
    fn identity(&self) -> &VaultIdentity;
}

/// Where the wrapping key lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Custody {
    /// In the server's key file.
    File,
    /// In an HSM.
    Hsm,
}

/// Why a wrapping key was not changed. Those before stay in force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotateError {
    /// The key file cannot be written.
    #[error("the server's key file cannot be written: {0}")]
    Io(#[from] io::Error),
    /// The HSM says no.
    #[error("the HSM cannot change its key: {0}")]
    Hsm(String),
    /// Old ones are still needed.
    #[error("{0} wrapping keys are in use: wait until old values are wrapped anew")]
    Several(usize),
}

/// The most wrapping keys at a time. A new one only comes when the one before took everything over.
pub(crate) const MOST_KEYS: usize = 2;
