//! The wrapping key in an HSM (PKCS#11 2.40): AES-256-GCM with a key that does not leave it.
//!
//! The key file still holds the identity, OPAQUE's key pair and the fake secret: whoever has it can pose
//! as the vault, and cannot open a record. The layout of a sealed value is that of the key file's.
//!
//! Wrapping keys have one label and a number as `CKA_ID` (four bytes; the first has none): the greatest is the newest.

use std::fmt;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Module};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use heirloom_vault_api::{Fixed, RecordName, VaultIdentity, suite};
use opaque_ke::ServerSetup;
use zeroize::Zeroizing;

use super::{Custody, KeyFile, KeysError, MOST_KEYS, NONCE_BYTES, Place, RotateError, ServerKeys};

const LABEL: &[u8] = b"heirloom-vault-wrapping";
const KEY_BYTES: u64 = 32;
const TAG_BITS: u64 = 128;
/// For one answer of the HSM.
const PATIENCE: Duration = Duration::from_secs(10);
/// What comes beyond is refused: an HSM that hangs must not fill the memory.
const QUEUE: usize = 1024;
/// As long as a record's version: to open it costs as much.
const PROBE: [u8; 224] = [0; 224];

fn place_of_probe() -> Vec<u8> {
    Place {
        column: "probe",
        record: &Fixed([0; 16]),
        version: 0,
    }
    .bytes()
}

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
    /// Several keys have our label and one number: which one sealed the records is not ours to guess.
    #[error("the token has several keys of the label heirloom-vault-wrapping and the same number")]
    SeveralKeys,
    /// A number that we do not give.
    #[error("a key of the label heirloom-vault-wrapping has a number that makes no sense")]
    StrangeKey,
    /// None where there was one.
    #[error("the wrapping key is not in the token any more")]
    NoKey,
    /// It is there, and is of no use.
    #[error("the HSM does not seal and open under the wrapping key")]
    Useless,
}

enum Act {
    Seal([u8; NONCE_BYTES]),
    Open([u8; NONCE_BYTES]),
    /// Opens under the newest key alone.
    OpenNewest([u8; NONCE_BYTES]),
}

enum Job {
    Value {
        act: Act,
        place: Vec<u8>,
        text: Zeroizing<Vec<u8>>,
        done: Sender<Result<Zeroizing<Vec<u8>>, KeysError>>,
    },
    Probe(Sender<Result<(), KeysError>>),
    Rotate(Sender<Result<(), RotateError>>),
    Retire(Sender<Result<(), RotateError>>),
    Count(Sender<usize>),
}

/// A wrapping key in the token.
struct Wrapping {
    number: u32,
    handle: ObjectHandle,
}

/// The newest first; never empty.
type Wrappings = Vec<Wrapping>;

/// Whether a token without a wrapping key gets one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    Make,
    Refuse,
}

/// The token, as its one thread has it.
struct Token {
    hsm: Pkcs11,
    /// `None`: lost, and not come back yet.
    live: Option<(Session, Wrappings)>,
    /// Sealed by this server: opens as long as the HSM answers, and is the same.
    probe: (Act, Vec<u8>),
    /// The PIN was refused. A token locks itself after a few tries.
    is_refused: bool,
}

/// The server's keys, the wrapping key in an HSM. A session is one thread's, so one thread has it.
pub struct Pkcs11Keys {
    file: KeyFile,
    jobs: Mutex<SyncSender<Job>>,
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
        let (jobs, queue) = sync_channel(QUEUE);
        let (ready, is_ready) = sync_channel(1);
        std::thread::Builder::new()
            .name("heirloom-vault-hsm".to_owned())
            .spawn(move || match Token::open(hsm) {
                Ok(mut token) => {
                    let _ = ready.send(Ok(()));
                    token.work(&queue);
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
        let job = Job::Value {
            act,
            place: place.bytes(),
            text: Zeroizing::new(text.to_vec()),
            done,
        };
        self.send(job).ok_or(KeysError)?;
        waits.recv_timeout(PATIENCE).map_err(|_| KeysError)?
    }

    fn send(&self, job: Job) -> Option<()> {
        let jobs = self.jobs.lock().ok()?.clone();
        jobs.try_send(job).ok()
    }

    fn change(
        &self,
        job: impl FnOnce(Sender<Result<(), RotateError>>) -> Job,
    ) -> Result<(), RotateError> {
        let gone = || RotateError::Hsm("nothing answers for it any more".to_owned());
        let (done, waits) = channel();
        self.send(job(done)).ok_or_else(gone)?;
        waits.recv().map_err(|_| gone())?
    }
}

fn log_in(hsm: &Pkcs11, missing: Missing) -> Result<(Session, Wrappings), Pkcs11Error> {
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
    let mut keys = Wrappings::new();
    for handle in found {
        let number = number(&session, handle)?;
        keys.push(Wrapping { number, handle });
    }
    keys.sort_by_key(|key| std::cmp::Reverse(key.number));
    if keys
        .windows(2)
        .any(|two| matches!(two, [one, other] if one.number == other.number))
    {
        return Err(Pkcs11Error::SeveralKeys);
    }
    if keys.is_empty() {
        if missing == Missing::Refuse {
            return Err(Pkcs11Error::NoKey);
        }
        let handle = session.generate_key(&Mechanism::AesKeyGen, &template(0))?;
        keys.push(Wrapping { number: 0, handle });
    }
    Ok((session, keys))
}

fn number(session: &Session, handle: ObjectHandle) -> Result<u32, Pkcs11Error> {
    let asked = session.get_attributes(handle, &[AttributeType::Id])?;
    let id = asked.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => Some(id),
        _ => None,
    });
    match id.unwrap_or_default().as_slice() {
        [] => Ok(0),
        id => id
            .try_into()
            .map(u32::from_be_bytes)
            .map_err(|_| Pkcs11Error::StrangeKey),
    }
}

fn template(number: u32) -> Vec<Attribute> {
    let mut template = vec![
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
    ];
    if number > 0 {
        template.push(Attribute::Id(number.to_be_bytes().to_vec()));
    }
    template
}

impl Token {
    fn open(hsm: Pkcs11) -> Result<Self, Pkcs11Error> {
        let live = log_in(&hsm, Missing::Make)?;
        let probe = probe(&live.0, &live.1).map_err(|_| Pkcs11Error::Useless)?;
        Ok(Self {
            hsm,
            live: Some(live),
            probe,
            is_refused: false,
        })
    }

    /// Until nobody can ask any more.
    fn work(&mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            match job {
                Job::Value {
                    act,
                    place,
                    text,
                    done,
                } => {
                    let _ = done.send(self.value(&act, &place, &text));
                }
                Job::Probe(done) => {
                    let opens = self.opens_probe() || self.log_in_again();
                    let _ = done.send(if opens { Ok(()) } else { Err(KeysError) });
                }
                Job::Rotate(done) => {
                    let _ = done.send(self.change(rotate));
                }
                Job::Retire(done) => {
                    let _ = done.send(self.change(retire));
                }
                Job::Count(done) => {
                    // Where it is not known, nothing is retired.
                    let _ = done.send(self.live.as_ref().map_or(1, |(_, keys)| keys.len()));
                }
            }
        }
    }

    fn value(
        &mut self,
        act: &Act,
        place: &[u8],
        text: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeysError> {
        if let Some((session, keys)) = &self.live
            && let Ok(done) = run(session, keys, act, place, text)
        {
            return Ok(done);
        }
        // The value is at fault, or the session is lost. Makers' modules say so with many words: what is known to
        // open tells.
        if self.opens_probe() || !self.log_in_again() {
            return Err(KeysError);
        }
        let (session, keys) = self.live.as_ref().ok_or(KeysError)?;
        run(session, keys, act, place, text)
    }

    fn change(
        &mut self,
        change: impl FnOnce(&Session, &mut Wrappings) -> Result<(), RotateError>,
    ) -> Result<(), RotateError> {
        let gone = || RotateError::Hsm("its session is lost".to_owned());
        if !self.opens_probe() && !self.log_in_again() {
            return Err(gone());
        }
        let (session, keys) = self.live.as_mut().ok_or_else(gone)?;
        // The newest key's, before an older one goes.
        self.probe = probe(session, keys).map_err(|_| gone())?;
        change(session, keys)
    }

    fn opens_probe(&self) -> bool {
        let (act, text) = &self.probe;
        self.live
            .as_ref()
            .is_some_and(|(session, keys)| run(session, keys, act, &place_of_probe(), text).is_ok())
    }

    /// Opens the session again that was lost; says whether the token answers, and is the same.
    fn log_in_again(&mut self) -> bool {
        // First, for a module may give its handle to the next one.
        self.live = None;
        if self.is_refused {
            return false;
        }
        match log_in(&self.hsm, Missing::Refuse) {
            Ok(live) => {
                self.live = Some(live);
                let opens = self.opens_probe();
                if !opens {
                    self.live = None;
                }
                opens
            }
            Err(Pkcs11Error::Module(Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinExpired | RvError::PinLocked,
                _,
            ))) => {
                self.is_refused = true;
                false
            }
            Err(_) => false,
        }
    }
}

/// Something small under the newest key, and how it is opened.
fn probe(session: &Session, keys: &[Wrapping]) -> Result<(Act, Vec<u8>), KeysError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| KeysError)?;
    let place = place_of_probe();
    let sealed = run(session, keys, &Act::Seal(nonce), &place, &PROBE)?;
    let opens = Act::Open(nonce);
    run(session, keys, &opens, &place, &sealed)?;
    Ok((opens, sealed.to_vec()))
}

fn rotate(session: &Session, keys: &mut Wrappings) -> Result<(), RotateError> {
    if keys.len() >= MOST_KEYS {
        return Err(RotateError::Several(keys.len()));
    }
    let no_more = || RotateError::Hsm("there are no numbers left".to_owned());
    let newest = keys.first().map_or(0, |key| key.number);
    let number = newest.checked_add(1).ok_or_else(no_more)?;
    let handle = session
        .generate_key(&Mechanism::AesKeyGen, &template(number))
        .map_err(|error| RotateError::Hsm(error.to_string()))?;
    keys.insert(0, Wrapping { number, handle });
    Ok(())
}

fn retire(session: &Session, keys: &mut Wrappings) -> Result<(), RotateError> {
    while keys.len() > 1
        && let Some(oldest) = keys.last()
    {
        session
            .destroy_object(oldest.handle)
            .map_err(|error| RotateError::Hsm(error.to_string()))?;
        keys.pop();
    }
    Ok(())
}

fn run(
    session: &Session,
    keys: &[Wrapping],
    act: &Act,
    place: &[u8],
    text: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let (Act::Seal(nonce) | Act::Open(nonce) | Act::OpenNewest(nonce)) = act;
    let under = |key: &Wrapping| {
        let mut iv = *nonce;
        let parameters = GcmParams::new(&mut iv, place, TAG_BITS.into()).map_err(|_| KeysError)?;
        let mechanism = Mechanism::AesGcm(parameters);
        let done = match act {
            Act::Seal(_) => session.encrypt(&mechanism, key.handle, text),
            Act::Open(_) | Act::OpenNewest(_) => session.decrypt(&mechanism, key.handle, text),
        };
        done.map(Zeroizing::new).map_err(|_| KeysError)
    };
    let tried = match act {
        Act::Seal(_) | Act::OpenNewest(_) => keys.get(..1),
        Act::Open(_) => keys.get(..),
    };
    let mut tried = tried.unwrap_or_default().iter();
    tried.find_map(|key| under(key).ok()).ok_or(KeysError)
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

    fn probe(&self) -> Result<(), KeysError> {
        let (done, waits) = channel();
        self.send(Job::Probe(done)).ok_or(KeysError)?;
        waits.recv_timeout(PATIENCE).map_err(|_| KeysError)?
    }

    fn is_newest(&self, place: &Place<'_>, sealed: &[u8]) -> bool {
        sealed
            .split_first_chunk::<NONCE_BYTES>()
            .is_some_and(|(nonce, body)| self.ask(Act::OpenNewest(*nonce), place, body).is_ok())
    }

    fn wrapping_keys(&self) -> usize {
        let (done, waits) = channel();
        // Where nothing answers, nothing is retired either.
        self.send(Job::Count(done))
            .and_then(|()| waits.recv_timeout(PATIENCE).ok())
            .unwrap_or(1)
    }

    fn rotate(&self) -> Result<(), RotateError> {
        self.change(Job::Rotate)
    }

    fn retire(&self) -> Result<(), RotateError> {
        self.change(Job::Retire)
    }

    fn custody(&self) -> Custody {
        Custody::Hsm
    }

    fn fake_material(&self, record: &RecordName) -> Zeroizing<[u8; 32]> {
        self.file.fake_material(record)
    }

    fn subject(&self, tenant: &str, subject: &str) -> [u8; 32] {
        self.file.subject(tenant, subject)
    }

    fn setup(&self) -> &ServerSetup<suite::V1> {
        self.file.setup()
    }

    fn identity(&self) -> &VaultIdentity {
        self.file.identity()
    }
}

#[cfg(test)]
mod tests;
