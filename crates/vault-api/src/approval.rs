//! A signed-in device lets a new one in, over a relay that may do anything. `docs/vault.md`, section 7.4.
//!
//! Both agree on keys by commit-then-reveal and show six words of what they saw; a person compares them. Whoever
//! is in between has committed itself before it knows what it would have to hit: it has one chance in 2⁶⁶.
//!
//! ```text
//! new      commitment = SHA-256(key, nonce)  ──►
//!                                            ◄──  key, nonce                     signed in
//! new      key, nonce, encapsulated          ──►  checks the commitment
//!          words                                  words, compared by a person
//!                                            ◄──  sealed (HPKE, PSK of the other direction)
//! new      sealed (HPKE, PSK of that)        ──►  opens: it can be from nobody else
//! ```

use std::fmt;

use hkdf::Hkdf;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, XWing};
use hpke::{
    Deserializable as _, OpModeR, OpModeS, PskBundle, Serializable as _, setup_receiver,
    setup_sender_with_rng,
};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::Fixed;

const LABEL_COMMIT: &[u8] = b"heirloom/v1/approval/commitment";
const LABEL_TRANSCRIPT: &[u8] = b"heirloom/v1/approval/transcript";
const LABEL_WORDS: &[u8] = b"heirloom/v1/approval/words";
const LABEL_BACK: &[u8] = b"heirloom/v1/approval/back";
const LABEL_SEAL: &[u8] = b"heirloom/v1/approval/seal";
const LABEL_PSK: &[u8] = b"heirloom/v1/approval/psk";
const LABEL_REPLY: &[u8] = b"heirloom/v1/approval/reply";
const LABEL_REPLY_PSK: &[u8] = b"heirloom/v1/approval/reply-psk";

/// Length of a public key (X-Wing: X25519 and ML-KEM-768).
pub const APPROVAL_KEY_BYTES: usize = 1216;
/// Length of what is encapsulated to one.
pub const ENCAPSULATED_BYTES: usize = 1120;
/// The longest sealed message.
pub const MAX_SEALED_BYTES: usize = 8 << 10;

/// English words of BIP 39, as the public-domain crate `bip39` has them: no two begin with the same four letters.
const WORDS: &str = include_str!("approval/words.txt");
const WORD_BITS: usize = 11;

/// Six words that both devices show.
#[derive(Clone, PartialEq, Eq)]
pub struct SixWords(Vec<&'static str>);

/// The other side, or who is in between, does not keep to the protocol. Never tried again with the same keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what the other device sent does not fit")]
pub struct NotAgreed;

/// A device's contribution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Its public key of this one agreement.
    pub key: Fixed<APPROVAL_KEY_BYTES>,
    /// Fresh and random.
    pub nonce: Fixed<32>,
}

impl Contribution {
    /// `SHA-256("heirloom/v1/approval/commitment" ‖ session 16 ‖ key 1216 ‖ nonce 32)`.
    fn commitment(&self, session: &Fixed<16>) -> Fixed<32> {
        let hash = Sha256::new()
            .chain_update(LABEL_COMMIT)
            .chain_update(session.as_bytes())
            .chain_update(self.key.as_bytes())
            .chain_update(self.nonce.as_bytes());
        Fixed(hash.finalize().into())
    }
}

struct Keys {
    secret: <XWing as Kem>::PrivateKey,
    own: Contribution,
}

impl Keys {
    fn generate(rng: &mut impl CryptoRng) -> Self {
        let (secret, public) = XWing::gen_keypair_with_rng(rng);
        let mut key = [0; APPROVAL_KEY_BYTES];
        key.copy_from_slice(&public.to_bytes());
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        Self {
            secret,
            own: Contribution {
                key: Fixed(key),
                nonce: Fixed(nonce),
            },
        }
    }
}

/// `SHA-256("heirloom/v1/approval/transcript" ‖ session ‖ new key ‖ new nonce ‖ other key ‖ other nonce)`.
fn transcript(session: &Fixed<16>, new: &Contribution, other: &Contribution) -> [u8; 32] {
    Sha256::new()
        .chain_update(LABEL_TRANSCRIPT)
        .chain_update(session.as_bytes())
        .chain_update(new.key.as_bytes())
        .chain_update(new.nonce.as_bytes())
        .chain_update(other.key.as_bytes())
        .chain_update(other.nonce.as_bytes())
        .finalize()
        .into()
}

impl SixWords {
    fn of(transcript: &[u8; 32]) -> Self {
        let mut bytes = [0; 9];
        Hkdf::<Sha256>::new(None, transcript)
            .expand(LABEL_WORDS, &mut bytes)
            .expect("9 bytes is a valid HKDF-SHA256 length");
        let all: Vec<_> = WORDS.lines().collect();
        let bit = |at: usize| {
            let byte = bytes.get(at / 8).copied().unwrap_or_default();
            usize::from(byte >> (7 - at % 8) & 1)
        };
        let words = (0..6).filter_map(|word| {
            let number = (0..WORD_BITS).fold(0, |sum, at| sum << 1 | bit(word * WORD_BITS + at));
            all.get(number).copied()
        });
        Self(words.collect())
    }

    /// Whether these are the words that somebody typed; capitals and spaces do not matter.
    pub fn are(&self, typed: &str) -> bool {
        let typed = typed.to_lowercase();
        typed.split_whitespace().eq(self.0.iter().copied())
    }
}

impl fmt::Display for SixWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

impl fmt::Debug for SixWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SixWords")
    }
}

/// The new device, which has told its commitment.
pub struct Joining {
    keys: Keys,
}

/// What the new device reveals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reveal {
    /// What the commitment was made of.
    pub contribution: Contribution,
    /// To the other's key: so that only it can seal the end.
    pub encapsulated: Fixed<ENCAPSULATED_BYTES>,
}

/// The new device, which shows words and waits.
pub struct Joined {
    keys: Keys,
    other: Fixed<APPROVAL_KEY_BYTES>,
    transcript: [u8; 32],
    psk: Psk,
}

/// The new device, which has opened what was sealed to it and may reply, once.
pub struct Replying {
    other: Fixed<APPROVAL_KEY_BYTES>,
    transcript: [u8; 32],
    psk: Psk,
}

/// The signed-in device, which has told its contribution.
pub struct Approving {
    keys: Keys,
    session: Fixed<16>,
    commitment: Fixed<32>,
}

/// The signed-in device, which shows words and asks.
pub struct Agreed {
    keys: Keys,
    new: Fixed<APPROVAL_KEY_BYTES>,
    transcript: [u8; 32],
    psk: Psk,
}

/// The signed-in device, which has sealed a message and waits for the reply to it.
pub struct Awaiting {
    keys: Keys,
    transcript: [u8; 32],
    psk: Psk,
}

/// A message for the other device: the end for the new one, or its reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// To the other device's key.
    pub encapsulated: Fixed<ENCAPSULATED_BYTES>,
    /// The message.
    pub ciphertext: Vec<u8>,
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([REDACTED])"))
            }
        }
    )*};
}
redacted!(Joining, Joined, Replying, Approving, Agreed, Awaiting);

impl Joining {
    /// Makes keys that are used once.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self {
            keys: Keys::generate(rng),
        }
    }

    /// What is told first.
    pub fn commitment(&self, session: &Fixed<16>) -> Fixed<32> {
        self.keys.own.commitment(session)
    }

    /// Takes the other's contribution, and reveals.
    pub fn reveal(
        self,
        session: &Fixed<16>,
        other: &Contribution,
        rng: &mut impl CryptoRng,
    ) -> Result<(Reveal, Joined), NotAgreed> {
        let Self { keys } = self;
        let transcript = transcript(session, &keys.own, other);
        let public =
            <XWing as Kem>::PublicKey::from_bytes(other.key.as_bytes()).map_err(|_| NotAgreed)?;
        let info = [LABEL_BACK, &transcript].concat();
        let (encapsulated, context) = setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            &info,
            rng,
        )
        .map_err(|_| NotAgreed)?;
        let mut psk = Zeroizing::new([0; 32]);
        context
            .export(LABEL_PSK, psk.as_mut_slice())
            .map_err(|_| NotAgreed)?;
        let reveal = Reveal {
            contribution: keys.own.clone(),
            encapsulated: encapsulated_bytes(&encapsulated.to_bytes())?,
        };
        let joined = Joined {
            keys,
            other: other.key,
            transcript,
            psk,
        };
        Ok((reveal, joined))
    }
}

impl Joined {
    /// To be compared with the other's.
    pub fn words(&self) -> SixWords {
        SixWords::of(&self.transcript)
    }

    /// Opens what the other device sealed after a person said that the words are the same. Gives what
    /// replies, too: nobody but the two devices can have made what it seals with.
    pub fn open(self, sealed: &Sealed) -> Result<(Zeroizing<Vec<u8>>, Replying), NotAgreed> {
        let Self {
            keys,
            other,
            transcript,
            psk,
        } = self;
        let direction = Direction::FORTH;
        let (message, psk) = direction.open(&keys.secret, &transcript, &psk, sealed)?;
        let replying = Replying {
            other,
            transcript,
            psk,
        };
        Ok((message, replying))
    }
}

impl Replying {
    /// Seals a reply. Call only when a person said on this device, too, that the words are the same.
    pub fn seal(self, message: &[u8], rng: &mut impl CryptoRng) -> Result<Sealed, NotAgreed> {
        let Self {
            other,
            transcript,
            psk,
        } = self;
        let direction = Direction::BACK;
        let (sealed, _) = direction.seal(&other, &transcript, &psk, message, rng)?;
        Ok(sealed)
    }
}

impl Approving {
    /// Takes the new device's commitment, and makes keys that are used once.
    pub fn new(session: Fixed<16>, commitment: Fixed<32>, rng: &mut impl CryptoRng) -> Self {
        Self {
            keys: Keys::generate(rng),
            session,
            commitment,
        }
    }

    /// What is told to the new device.
    pub fn contribution(&self) -> &Contribution {
        &self.keys.own
    }

    /// Takes what the new device revealed; refuses it where it committed itself to something else.
    pub fn agree(self, reveal: &Reveal) -> Result<Agreed, NotAgreed> {
        let Reveal {
            contribution,
            encapsulated,
        } = reveal;
        let committed = contribution.commitment(&self.session);
        if !bool::from(committed.as_bytes().ct_eq(self.commitment.as_bytes())) {
            return Err(NotAgreed);
        }
        let transcript = transcript(&self.session, contribution, &self.keys.own);
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated.as_bytes())
            .map_err(|_| NotAgreed)?;
        let info = [LABEL_BACK, &transcript].concat();
        let context = setup_receiver::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.keys.secret,
            &encapsulated,
            &info,
        )
        .map_err(|_| NotAgreed)?;
        let mut psk = Zeroizing::new([0; 32]);
        context
            .export(LABEL_PSK, psk.as_mut_slice())
            .map_err(|_| NotAgreed)?;
        Ok(Agreed {
            keys: self.keys,
            new: contribution.key,
            transcript,
            psk,
        })
    }
}

impl Agreed {
    /// To be compared with the new device's.
    pub fn words(&self) -> SixWords {
        SixWords::of(&self.transcript)
    }

    /// Seals a message to the new device. Call only when a person said that the words are the same.
    pub fn seal(
        self,
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Sealed, Awaiting), NotAgreed> {
        let Self {
            keys,
            new,
            transcript,
            psk,
        } = self;
        let direction = Direction::FORTH;
        let (sealed, psk) = direction.seal(&new, &transcript, &psk, message, rng)?;
        let awaiting = Awaiting {
            keys,
            transcript,
            psk,
        };
        Ok((sealed, awaiting))
    }
}

impl Awaiting {
    /// Opens the new device's reply: only who opened the message can have sealed it.
    pub fn open(self, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, NotAgreed> {
        let Self {
            keys,
            transcript,
            psk,
        } = self;
        let direction = Direction::BACK;
        let (message, _) = direction.open(&keys.secret, &transcript, &psk, sealed)?;
        Ok(message)
    }
}

/// What shows that a message is from the other device.
type Psk = Zeroizing<[u8; 32]>;

/// What keeps the message and the reply to it apart.
struct Direction {
    info: &'static [u8],
    psk_id: &'static [u8],
}

impl Direction {
    const FORTH: Self = Self {
        info: LABEL_SEAL,
        psk_id: LABEL_PSK,
    };
    const BACK: Self = Self {
        info: LABEL_REPLY,
        psk_id: LABEL_REPLY_PSK,
    };

    /// Also gives the PSK of a reply.
    fn seal(
        &self,
        to: &Fixed<APPROVAL_KEY_BYTES>,
        transcript: &[u8; 32],
        psk: &[u8; 32],
        message: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Sealed, Psk), NotAgreed> {
        let public = <XWing as Kem>::PublicKey::from_bytes(to.as_bytes()).map_err(|_| NotAgreed)?;
        let info = [self.info, transcript].concat();
        let bundle = PskBundle::new(psk, self.psk_id).map_err(|_| NotAgreed)?;
        let (encapsulated, mut context) = setup_sender_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Psk(bundle),
            &public,
            &info,
            rng,
        )
        .map_err(|_| NotAgreed)?;
        let mut next = Zeroizing::new([0; 32]);
        context
            .export(LABEL_REPLY_PSK, next.as_mut_slice())
            .map_err(|_| NotAgreed)?;
        let sealed = Sealed {
            encapsulated: encapsulated_bytes(&encapsulated.to_bytes())?,
            ciphertext: context.seal(message, b"").map_err(|_| NotAgreed)?,
        };
        Ok((sealed, next))
    }

    /// Also gives the PSK of a reply.
    fn open(
        &self,
        secret: &<XWing as Kem>::PrivateKey,
        transcript: &[u8; 32],
        psk: &[u8; 32],
        sealed: &Sealed,
    ) -> Result<(Zeroizing<Vec<u8>>, Psk), NotAgreed> {
        let Sealed {
            encapsulated,
            ciphertext,
        } = sealed;
        if ciphertext.len() > MAX_SEALED_BYTES {
            return Err(NotAgreed);
        }
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated.as_bytes())
            .map_err(|_| NotAgreed)?;
        let info = [self.info, transcript].concat();
        let bundle = PskBundle::new(psk, self.psk_id).map_err(|_| NotAgreed)?;
        let mut context = setup_receiver::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Psk(bundle),
            secret,
            &encapsulated,
            &info,
        )
        .map_err(|_| NotAgreed)?;
        let message = context.open(ciphertext, b"").map_err(|_| NotAgreed)?;
        let mut next = Zeroizing::new([0; 32]);
        context
            .export(LABEL_REPLY_PSK, next.as_mut_slice())
            .map_err(|_| NotAgreed)?;
        Ok((Zeroizing::new(message), next))
    }
}

fn encapsulated_bytes(bytes: &[u8]) -> Result<Fixed<ENCAPSULATED_BYTES>, NotAgreed> {
    Fixed::try_from(bytes).map_err(|_| NotAgreed)
}

#[cfg(test)]
mod tests;
