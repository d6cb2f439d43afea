//! The wrapping key in an HSM (PKCS#11 2.40): AES-256-GCM with a key that does not leave it.
//!
//! The key file still holds the identity, OPAQUE's key pair and the fake secret: whoever has it can pose
//! as the vault, and cannot open a record. The layout of a sealed value is that of the key file's.

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use heirloom_vault_api::{RecordName, VaultIdentity, suite};
use opaque_ke::ServerSetup;
use zeroize::Zeroizing;

use super::{KeyFile, KeysError, NONCE_BYTES, Place, ServerKeys};

const LABEL: &[u8] = b"heirloom-vault-wrapping";
const KEY_BYTES: u64 = 32;
const TAG_BITS: u64 = 128;

/// Which HSM.
#[derive(Clone, Debug)]
pub struct Pkcs11 {
    /// The maker's library.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// A file with the user's PIN in its first line.
    pub pin_file: PathBuf,
}

/// Why the HSM cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Pkcs11Error {
    /// The module or the token says no.
    #[error("the HSM cannot be used: {0}")]
    Module(#[from] Error),
    /// The PIN's file cannot be read.
    #[error("the file with the HSM's PIN cannot be read: {0}")]
    Pin(#[from] std::io::Error),
    /// No token has this label.
    #[error("the HSM has no token of this label")]
    NoToken,
    /// Several keys have our label: which one sealed the records is not ours to guess.
    #[error("the token has several keys of the label heirloom-vault-wrapping")]
    SeveralKeys,
}

enum Act {
    Seal([u8; NONCE_BYTES]),
    Open([u8; NONCE_BYTES]),
}

struct Job {
    act: Act,
    place: Vec<u8>,
    text: Zeroizing<Vec<u8>>,
    done: Sender<Result<Zeroizing<Vec<u8>>, KeysError>>,
}

/// The server's keys, the wrapping key in an HSM. A session is one thread's, so one thread has it.
pub struct Pkcs11Keys {
    file: KeyFile,
    jobs: Mutex<Sender<Job>>,
}

impl fmt::Debug for Pkcs11Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pkcs11Keys([REDACTED])")
    }
}

impl Pkcs11Keys {
    /// Logs in to the token; makes the wrapping key where there is none. `file` has all other secrets.
    pub fn open(hsm: &Pkcs11, file: KeyFile) -> Result<Self, Pkcs11Error> {
        let hsm = hsm.clone();
        let (jobs, queue) = channel();
        let (ready, is_ready) = sync_channel(1);
        std::thread::Builder::new()
            .name("heirloom-vault-hsm".to_owned())
            .spawn(move || match log_in(&hsm) {
                Ok((session, key)) => {
                    let _ = ready.send(Ok(()));
                    work(&session, key, &queue);
                }
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
            })?;
        is_ready.recv().map_err(|_| Pkcs11Error::NoToken)??;
        Ok(Self {
            file,
            jobs: Mutex::new(jobs),
        })
    }

    fn ask(
        &self,
        act: Act,
        place: &Place<'_>,
        text: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let (done, waits) = channel();
        let job = Job {
            act,
            place: place.bytes(),
            text: Zeroizing::new(text.to_vec()),
            done,
        };
        let jobs = self.jobs.lock().map_err(|_| KeysError)?.clone();
        jobs.send(job).map_err(|_| KeysError)?;
        waits.recv().map_err(|_| KeysError)?
    }
}

fn log_in(hsm: &Pkcs11) -> Result<(Session, ObjectHandle), Pkcs11Error> {
    let module = Module::new(&hsm.module)?;
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => (),
        Err(error) => return Err(error.into()),
    }
    let slot = module
        .get_slots_with_token()?
        .into_iter()
        .find(|slot| {
            let info = module.get_token_info(*slot);
            info.is_ok_and(|info| info.label().trim_end() == hsm.token)
        })
        .ok_or(Pkcs11Error::NoToken)?;
    let session = module.open_rw_session(slot)?;
    let text = Zeroizing::new(std::fs::read_to_string(&hsm.pin_file)?);
    let pin = AuthPin::new(text.lines().next().unwrap_or_default().into());
    match session.login(UserType::User, Some(&pin)) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => (),
        Err(error) => return Err(error.into()),
    }
    let found = session.find_objects(&[
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Label(LABEL.to_vec()),
    ])?;
    let key = match found.as_slice() {
        [key] => *key,
        [] => session.generate_key(&Mechanism::AesKeyGen, &template())?,
        _ => return Err(Pkcs11Error::SeveralKeys),
    };
    Ok((session, key))
}

fn template() -> Vec<Attribute> {
    vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::ValueLen(KEY_BYTES.into()),
        Attribute::Label(LABEL.to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
    ]
}

/// Until nobody can ask any more.
fn work(session: &Session, key: ObjectHandle, queue: &Receiver<Job>) {
    while let Ok(job) = queue.recv() {
        let Job {
            act,
            place,
            text,
            done,
        } = job;
        let _ = done.send(run(session, key, &act, &place, &text));
    }
}

fn run(
    session: &Session,
    key: ObjectHandle,
    act: &Act,
    place: &[u8],
    text: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let (Act::Seal(nonce) | Act::Open(nonce)) = act;
    let mut iv = *nonce;
    let parameters = GcmParams::new(&mut iv, place, TAG_BITS.into()).map_err(|_| KeysError)?;
    let mechanism = Mechanism::AesGcm(parameters);
    let done = match act {
        Act::Seal(_) => session.encrypt(&mechanism, key, text),
        Act::Open(_) => session.decrypt(&mechanism, key, text),
    };
    done.map(Zeroizing::new).map_err(|_| KeysError)
}

impl ServerKeys for Pkcs11Keys {
    fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, KeysError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| KeysError)?;
        let body = self.ask(Act::Seal(nonce), place, plain)?;
        Ok([nonce.as_slice(), &body].concat())
    }

    fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_BYTES>().ok_or(KeysError)?;
        self.ask(Act::Open(*nonce), place, body)
    }

    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]> {
        self.file.fake_material(record)
    }

    fn setup(&self) -> &ServerSetup<suite::V1> {
        self.file.setup()
    }

    fn identity(&self) -> &VaultIdentity {
        self.file.identity()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use heirloom_vault_api::Fixed;

    use super::*;
    use crate::vault::rng;

    const CHILD: &str = "HEIRLOOM_SOFTHSM_FOLDER";

    fn module() -> Option<PathBuf> {
        [
            "/usr/lib/softhsm/libsofthsm2.so",
            "/usr/lib64/softhsm/libsofthsm.so",
        ]
        .into_iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
    }

    /// The module reads its configuration from the environment: this test asks itself, as another process.
    #[test]
    fn a_value_sealed_by_an_hsm_opens_there_alone_and_its_key_stays_inside() {
        if let Some(folder) = std::env::var_os(CHILD) {
            return inside(Path::new(&folder));
        }
        if module().is_none() {
            println!("skipped: SoftHSM is absent");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).unwrap();
        let settings = folder.path().join("softhsm2.conf");
        let text = format!(
            "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
            tokens.display()
        );
        std::fs::write(&settings, text).unwrap();
        for label in ["vault", "other"] {
            let made = Command::new("softhsm2-util")
                .args([
                    "--init-token",
                    "--free",
                    "--so-pin",
                    "12345678",
                    "--pin",
                    "1234",
                    "--label",
                    label,
                ])
                .env("SOFTHSM2_CONF", &settings)
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        }
        let name = "keys::pkcs11::tests::a_value_sealed_by_an_hsm_opens_there_alone_and_its_key_stays_inside";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(CHILD, folder.path())
            .env("SOFTHSM2_CONF", &settings)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(String::from_utf8_lossy(&output.stdout).contains("looked inside"));
    }

    fn inside(folder: &Path) {
        let pin_file = folder.join("pin");
        std::fs::write(&pin_file, "1234\n").unwrap();
        let hsm = |token: &str| Pkcs11 {
            module: module().unwrap(),
            token: token.to_owned(),
            pin_file: pin_file.clone(),
        };
        let file = || KeyFile::open_or_create(&folder.join("keys"), &mut rng()).unwrap();
        let keys = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
        let (one, two) = (Fixed([1; 16]), Fixed([2; 16]));
        let place = |record| Place {
            column: "vault_record.sealed",
            record,
            version: 1,
        };
        let sealed = keys.seal(&place(&one), b"oprf").unwrap();
        assert_eq!(*keys.open(&place(&one), &sealed).unwrap(), b"oprf");
        assert!(keys.open(&place(&two), &sealed).is_err());
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(keys.open(&place(&one), &altered).is_err(), "{at}");
        }
        // Neither the key file nor another token opens it; the same one does, found by its label.
        assert!(file().open(&place(&one), &sealed).is_err());
        let other = Pkcs11Keys::open(&hsm("other"), file()).unwrap();
        assert!(other.open(&place(&one), &sealed).is_err());
        let again = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
        assert_eq!(*again.open(&place(&one), &sealed).unwrap(), b"oprf");
        let missing = Pkcs11Keys::open(&hsm("missing"), file());
        assert!(matches!(missing, Err(Pkcs11Error::NoToken)));

        let (session, key) = log_in(&hsm("vault")).unwrap();
        let asked = [cryptoki::object::AttributeType::Value];
        let value = session.get_attributes(key, &asked).unwrap();
        assert!(value.is_empty(), "the key left the token");
        println!("looked inside");
    }
}
