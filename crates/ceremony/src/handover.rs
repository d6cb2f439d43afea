//! A ceremony on another page than our own: a server's, in this computer's browser or on another device.
//! `docs/ceremony.md`, section 9.
//!
//! The page is given public keys and a PSK of 128 bits, out of a relay's sight: in the part of an address that no
//! browser sends. It seals each answer, whole, to the keys, under the PSK.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
use hkdf::Hkdf;
use rand_core::CryptoRng;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::{Digest as _, Sha256};
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::bytes;
use crate::error::{BadAnswer, CeremonyError};
use crate::message::Message;
use crate::seal::{Sealed, Secret, StepKeys, Suite};
use crate::view::View;

const LABEL_KEYS: &[u8] = b"heirloom/v1/handover/keys";
const LABEL_PSK: &[u8] = b"heirloom/v1/handover/psk";
const LABEL_REQUEST: &[u8] = b"heirloom/v1/handover/request";
/// What an answer is sealed for.
pub(crate) const LABEL_ANSWER: &[u8] = b"heirloom/v1/handover/answer";

const PSK_BYTES: usize = 16;
/// Requests are filled up to a multiple of this: what a step asks does not show in the length.
const REQUEST_BLOCK: usize = 2048;
/// How often it is looked whether the other device answered.
const LOOK: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });

/// The site of a server: for whose domain passkeys are made, and where its page lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    rp_id: String,
    origin: String,
}

impl Site {
    /// Takes a relying party's id and the address of its page, which ends with `/ceremony`; `None` where a browser would
    /// not let that page ask for that party's passkeys, or where the page is not as safe as `https`.
    pub fn new(rp_id: &str, page: &str) -> Option<Self> {
        let origin = page.strip_suffix("/ceremony")?;
        let url = Url::parse(origin).ok()?;
        let Some(Host::Domain(host)) = url.host() else {
            return None;
        };
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && host == "localhost");
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        };
        let is_domain = rp_id.len() <= 253 && rp_id.split('.').all(is_label);
        let belongs = host == rp_id
            || host
                .strip_suffix(rp_id)
                .is_some_and(|rest| rest.ends_with('.'));
        let is_plain = url.origin().ascii_serialization() == origin;
        (is_safe && is_domain && belongs && is_plain).then(|| Self {
            rp_id: rp_id.to_owned(),
            origin: origin.to_owned(),
        })
    }

    /// Whom passkeys are for.
    pub fn rp_id(&self) -> &str {
        &self.rp_id
    }

    /// From where the page asks.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// What passes between this process and the other device. It may read, keep, change and swap all that it is given.
pub trait Relay: fmt::Debug + Send {
    /// Puts a request before the page, in place of the one before.
    fn ask(&mut self, number: u64, request: &[u8]) -> io::Result<()>;

    /// How far the page is, at once. `NotFound`: the session is over. `Interrupted`: the person pressed Ctrl-C.
    fn look(&mut self) -> io::Result<Seen>;

    /// Ends the session there.
    fn end(&mut self);
}

/// How far a page on another device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The newest request that it has fetched; 0 for none.
    pub request: u64,
    /// What it says to the request in force, as it was sealed.
    pub answer: Option<Handed>,
}

/// A sealed answer, of whoever sent one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The number of HPKE's KEM.
    pub suite: u16,
    /// To the key of that KEM.
    pub encapsulated: Vec<u8>,
    /// The message.
    pub sealed: Vec<u8>,
}

/// A relay's session that was begun.
#[derive(Debug)]
pub struct Begun {
    /// What passes things on.
    pub relay: Box<dyn Relay>,
    /// Its session.
    pub session: [u8; 16],
    /// What a person may compare; no secret.
    pub code: String,
}

/// A relay's session in which a page signs in, for a program that is not signed in itself.
#[derive(Debug)]
pub struct BegunSignIn {
    /// Where the page lies.
    pub site: Site,
    /// The server's sign-in, which the page answers.
    pub sign_in: [u8; 16],
    /// The relay.
    pub begun: Begun,
}

/// The public keys of one hand-over, for [`Begun`].
#[derive(Clone, Copy, Debug)]
pub struct PublicKeys<'a> {
    /// X-Wing, 1216 bytes.
    pub x_wing: &'a [u8],
    /// X25519, 32 bytes.
    pub x25519: &'a [u8],
}

/// The address that a QR code holds. Whoever has it can answer, and see what is asked; not what others answer.
pub struct Link(Zeroizing<String>);

impl Link {
    /// The address, to be shown to the person and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Link([REDACTED])")
    }
}

/// Where a relay's session is, and what a person compares.
#[derive(Debug)]
pub(crate) struct Far {
    pub(crate) session: [u8; 16],
    pub(crate) code: String,
}

/// What one hand-over is made of; all of it is new for each.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) site: Site,
    secret: SecretBox<[u8; PSK_BYTES]>,
    pub(crate) keys: Arc<StepKeys>,
}

impl Handover {
    pub(crate) fn new(site: &Site, rng: &mut impl CryptoRng) -> Self {
        let keys = StepKeys::generate(rng);
        Self::with_keys(site.clone(), keys, rng)
    }

    /// With keys that are as new.
    pub(crate) fn with_keys(site: Site, keys: StepKeys, rng: &mut impl CryptoRng) -> Self {
        Self {
            site,
            secret: SecretBox::init_with_mut(|bytes: &mut [u8; PSK_BYTES]| rng.fill_bytes(bytes)),
            keys: Arc::new(keys),
        }
    }

    fn derive(&self, label: &[u8]) -> SecretBox<[u8; 32]> {
        let mut derived = SecretBox::<[u8; 32]>::default();
        Hkdf::<Sha256>::new(None, self.secret.expose_secret())
            .expand(label, derived.expose_secret_mut())
            .expect("32 bytes is a valid HKDF-SHA256 length");
        derived
    }

    /// HPKE's pre-shared key.
    pub(crate) fn psk(&self) -> Secret {
        Secret::new(self.derive(LABEL_PSK))
    }

    /// What tells these public keys from all others.
    pub(crate) fn hash(&self) -> [u8; 32] {
        hash(self.keys.public())
    }

    fn exposed(&self) -> Zeroizing<String> {
        Zeroizing::new(bytes::text(self.secret.expose_secret()))
    }

    /// Where the browser of this computer goes for one step; it comes back to `port`.
    pub(crate) fn address(&self, view: &View, port: u16) -> Zeroizing<String> {
        let [x_wing, x25519] = self.keys.public().map(bytes::text);
        let request = Zeroizing::new(format!(
            r#"{{"port":{port},"psk":"{}","keys":{{"xWing":"{x_wing}","x25519":"{x25519}"}},"view":{}}}"#,
            self.exposed().as_str(),
            view.json(),
        ));
        let request = Zeroizing::new(bytes::text(request.as_bytes()));
        Zeroizing::new(format!(
            "{}/ceremony#1.{}",
            self.site.origin,
            request.as_str()
        ))
    }

    /// Where another device goes, for all steps.
    pub(crate) fn link(&self, far: &Far) -> Link {
        Link(Zeroizing::new(format!(
            "{}/ceremony#2.{}.{}.{}",
            self.site.origin,
            bytes::text(&far.session),
            bytes::text(&self.hash()),
            self.exposed().as_str(),
        )))
    }

    /// A view for the page on another device: AES-256-GCM under a key of the PSK.
    pub(crate) fn seal_request(&self, session: &[u8; 16], view: &View) -> Vec<u8> {
        let mut text = view.json().into_bytes();
        // Spaces behind a JSON text are no part of it.
        text.resize(text.len().next_multiple_of(REQUEST_BLOCK), b' ');
        let key = self.derive(LABEL_REQUEST);
        let (nonce, aad) = bound(session, &self.hash(), view.number);
        let tag = Aes256Gcm::new_from_slice(key.expose_secret())
            .expect("the key is 32 bytes")
            .encrypt_inout_detached((&nonce).into(), &aad, text.as_mut_slice().into())
            .expect("views are far shorter than the limit of AES-GCM");
        text.extend_from_slice(&tag);
        text
    }

    /// Opens what a page sealed to these keys, under this PSK, as its answer to this step.
    pub(crate) fn open(&self, number: u64, sealed: &Sealed) -> Result<Message, CeremonyError> {
        let opened = self
            .keys
            .open_handed(&self.psk(), &self.hash(), number, sealed);
        let message = Message::read(&opened.ok_or(BadAnswer::Sealing)?);
        let message = message.ok_or(BadAnswer::Malformed)?;
        if message.step != number {
            return Err(BadAnswer::Sealing.into());
        }
        Ok(message)
    }

    /// Waits for the answer of a page on another device.
    pub(crate) fn wait(
        &self,
        relay: &mut dyn Relay,
        number: u64,
        deadline: Instant,
    ) -> Result<Message, CeremonyError> {
        loop {
            let Seen { request: _, answer } = relay.look().map_err(lost)?;
            if let Some(Handed {
                suite,
                encapsulated,
                sealed,
            }) = answer
            {
                let sealed = Sealed {
                    suite: Suite::from_number(suite).ok_or(BadAnswer::Malformed)?,
                    encapsulated,
                    ciphertext: sealed,
                };
                return self.open(number, &sealed);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CeremonyError::TimedOut);
            }
            std::thread::sleep(LOOK.min(left));
        }
    }
}

/// What a relay's failure is to a ceremony.
pub(crate) fn lost(error: io::Error) -> CeremonyError {
    match error.kind() {
        io::ErrorKind::NotFound => CeremonyError::TimedOut,
        _ => CeremonyError::Relay(error),
    }
}

pub(crate) fn hash([x_wing, x25519]: [&[u8]; 2]) -> [u8; 32] {
    Sha256::digest(bytes::joined(&[LABEL_KEYS, x_wing, x25519])).into()
}

/// Nonce and associated data of a request. No number is used twice under one PSK.
fn bound(session: &[u8; 16], hash: &[u8; 32], number: u64) -> ([u8; 12], Vec<u8>) {
    let mut nonce = [0; 12];
    let (_, counter) = nonce.split_at_mut(4);
    counter.copy_from_slice(&number.to_be_bytes());
    let aad = bytes::joined(&[LABEL_REQUEST, session, hash, &number.to_be_bytes()]);
    (nonce, aad)
}

/// What a page does with the address of one step, or with what a relay gives it.
#[cfg(any(test, feature = "software-authenticator"))]
pub(crate) mod page {
    use super::{CryptoRng, Hkdf, LABEL_PSK, SecretBox, Sha256, bytes};
    use crate::seal::{Sealed, Secret, Suite, seal_handed};
    use secrecy::ExposeSecretMut as _;
    use serde_json::{Value, json};

    /// What the address of one step holds: origin, PSK, the rest.
    pub(crate) fn request(address: &str) -> Option<(String, Secret, Value)> {
        let (page, request) = address.split_once("#1.")?;
        let request: Value = serde_json::from_slice(&bytes::read(request, 64 << 10)?).ok()?;
        let psk = psk(&bytes::read(request["psk"].as_str()?, 16)?);
        Some((page.strip_suffix("/ceremony")?.to_owned(), psk, request))
    }

    pub(crate) fn psk(short: &[u8]) -> Secret {
        let mut derived = SecretBox::<[u8; 32]>::default();
        Hkdf::<Sha256>::new(None, short)
            .expand(LABEL_PSK, derived.expose_secret_mut())
            .expect("32 bytes is a valid HKDF-SHA256 length");
        Secret::new(derived)
    }

    /// A message, sealed to these keys.
    pub(crate) fn sealed(
        psk: &Secret,
        keys: &Value,
        message: &Value,
        rng: &mut impl CryptoRng,
    ) -> Option<Sealed> {
        let x_wing = bytes::read(keys["xWing"].as_str()?, 2048)?;
        let x25519 = bytes::read(keys["x25519"].as_str()?, 64)?;
        let hash = super::hash([&x_wing, &x25519]);
        let number = message["step"].as_u64()?;
        let text = message.to_string();
        seal_handed(
            Suite::XWing,
            &x_wing,
            psk,
            &hash,
            number,
            text.as_bytes(),
            rng,
        )
    }

    /// The same, as the browser brings it back.
    pub(crate) fn handed(
        psk: &Secret,
        keys: &Value,
        message: &Value,
        rng: &mut impl CryptoRng,
    ) -> Option<Value> {
        let Sealed {
            suite,
            encapsulated,
            ciphertext,
        } = sealed(psk, keys, message, rng)?;
        Some(json!({
            "kind": "handed",
            "step": message["step"],
            "suite": suite.number(),
            "encapsulated": bytes::text(&encapsulated),
            "sealed": bytes::text(&ciphertext),
        }))
    }

    /// A request of a relay, where it is the one that the QR code promised.
    #[cfg(test)]
    pub(crate) fn open_request(
        short: &[u8],
        session: &[u8; 16],
        hash: &[u8; 32],
        number: u64,
        sealed: &[u8],
    ) -> Option<Value> {
        use aes_gcm::aead::{AeadInOut as _, KeyInit as _};
        let mut key = [0; 32];
        Hkdf::<Sha256>::new(None, short)
            .expand(super::LABEL_REQUEST, &mut key)
            .unwrap();
        let (nonce, aad) = super::bound(session, hash, number);
        let at = sealed.len().checked_sub(16)?;
        let (text, tag) = sealed.split_at(at);
        let mut text = text.to_vec();
        let tag = <[u8; 16]>::try_from(tag).ok()?.into();
        super::Aes256Gcm::new_from_slice(&key)
            .unwrap()
            .decrypt_inout_detached((&nonce).into(), &aad, text.as_mut_slice().into(), &tag)
            .ok()?;
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests;
