//! How the page hands a passkey's output over: HPKE in PSK mode. `docs/ceremony.md`, section 5.

use heirloom_keys::PrfOutput;
use hkdf::Hkdf;
use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, X25519HkdfSha256, XWing};
use hpke::{Deserializable as _, OpModeR, PskBundle, Serializable as _, single_shot_open};
use rand_core::CryptoRng;
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::bytes;
use crate::error::BadAnswer;
use crate::handover::LABEL_ANSWER;

const LABEL_PAGE: &[u8] = b"heirloom/v1/ceremony/page";
const LABEL_BEARER: &[u8] = b"heirloom/v1/ceremony/bearer";
const LABEL_PSK: &[u8] = b"heirloom/v1/ceremony/psk";
/// The PSK's name: it is made of the page's key.
pub(crate) const PSK_ID: &[u8] = b"heirloom/v1/ceremony/page";
const LABEL_SEAL: &[u8] = b"heirloom/v1/ceremony/seal";

/// The PSK's name where a whole answer is handed over: it came with an address.
const HANDOVER_PSK_ID: &[u8] = b"heirloom/v1/handover";

/// `0x01 ‖ output`, or 33 zeros: whether there is an output does not show in the length.
const PLAINTEXT_BYTES: usize = 33;

/// 32 random or derived bytes of this session.
#[derive(Debug)]
pub(crate) struct Secret(SecretBox<[u8; 32]>);

impl Secret {
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            rng.fill_bytes(bytes);
        }))
    }

    pub(crate) fn new(secret: SecretBox<[u8; 32]>) -> Self {
        Self(secret)
    }

    /// Of 64 hexadecimal digits.
    #[cfg(any(test, feature = "software-authenticator"))]
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text, bytes.as_mut_slice()).ok()?;
        Some(Self(SecretBox::init_with_mut(|secret: &mut [u8; 32]| {
            secret.copy_from_slice(bytes.as_slice());
        })))
    }

    /// Only for what the opening file, the page or a cookie holds.
    pub(crate) fn exposed_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0.expose_secret()))
    }

    /// Compares in constant time with what somebody sent.
    pub(crate) fn is_hex(&self, sent: &str) -> bool {
        bool::from(self.exposed_hex().as_bytes().ct_eq(sent.as_bytes()))
    }

    fn derive(&self, label: &[u8]) -> Self {
        let mut derived = SecretBox::<[u8; 32]>::default();
        Hkdf::<Sha256>::new(None, self.0.expose_secret())
            .expand(label, derived.expose_secret_mut())
            .expect("32 bytes is a valid HKDF-SHA256 length");
        Self(derived)
    }

    /// The page's key, of the one-time token.
    pub(crate) fn derive_page(&self) -> Self {
        self.derive(LABEL_PAGE)
    }

    /// What the page shows with every request, of the page's key.
    pub(crate) fn derive_bearer(&self) -> Self {
        self.derive(LABEL_BEARER)
    }

    /// HPKE's pre-shared key, of the page's key.
    pub(crate) fn derive_psk(&self) -> Self {
        self.derive(LABEL_PSK)
    }
}

/// HPKE suites that a page may seal with, by KEM. The KDF is HKDF-SHA256, the AEAD AES-256-GCM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// X25519 and ML-KEM-768 (draft-ietf-hpke-pq): what is recorded today stays closed to a quantum computer.
    XWing,
    /// DHKEM(X25519, HKDF-SHA256), for browsers without ML-KEM.
    X25519,
}

impl Suite {
    /// The KEM's number in the IANA registry of HPKE.
    pub(crate) const fn number(self) -> u16 {
        match self {
            Self::XWing => XWing::KEM_ID,
            Self::X25519 => X25519HkdfSha256::KEM_ID,
        }
    }

    pub(crate) fn from_number(number: u16) -> Option<Self> {
        [Self::XWing, Self::X25519]
            .into_iter()
            .find(|suite| suite.number() == number)
    }
}

/// The key pairs of one step. Used once, then dropped.
pub(crate) struct StepKeys {
    x_wing: <XWing as Kem>::PrivateKey,
    x_wing_public: Vec<u8>,
    x25519: <X25519HkdfSha256 as Kem>::PrivateKey,
    x25519_public: Vec<u8>,
}

impl std::fmt::Debug for StepKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StepKeys([REDACTED])")
    }
}

/// What a page sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) suite: Suite,
    pub(crate) encapsulated: Vec<u8>,
    pub(crate) ciphertext: Vec<u8>,
}

/// An output inside of this crate: it can be compared, and becomes a [`PrfOutput`].
#[derive(Debug)]
pub(crate) struct Output(SecretBox<[u8; 32]>);

impl Output {
    /// Whether both are one value, in constant time.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        bool::from(self.0.expose_secret().ct_eq(other.0.expose_secret()))
    }

    #[cfg(test)]
    pub(crate) fn of(output: [u8; 32]) -> Self {
        Self(SecretBox::init_with(|| output))
    }

    /// What an uninitialised PRF gives.
    pub(crate) fn is_zero(&self) -> bool {
        bool::from(self.0.expose_secret().ct_eq(&[0; 32]))
    }

    pub(crate) fn into_prf(self) -> PrfOutput {
        PrfOutput::filled(|bytes| bytes.copy_from_slice(self.0.expose_secret()))
    }
}

impl StepKeys {
    pub(crate) fn generate(rng: &mut impl CryptoRng) -> Self {
        let (x_wing, x_wing_public) = XWing::gen_keypair_with_rng(rng);
        let (x25519, x25519_public) = X25519HkdfSha256::gen_keypair_with_rng(rng);
        Self {
            x_wing,
            x_wing_public: x_wing_public.to_bytes().to_vec(),
            x25519,
            x25519_public: x25519_public.to_bytes().to_vec(),
        }
    }

    /// X-Wing, then X25519.
    pub(crate) fn public(&self) -> [&[u8]; 2] {
        [&self.x_wing_public, &self.x25519_public]
    }

    /// Opens what the page sealed; `None` where the passkey gave no output.
    ///
    /// The same key pair, the same page (`psk`), the same challenge and the very same signed answer
    /// (`aad`) it must be.
    pub(crate) fn open(
        &self,
        psk: &Secret,
        challenge: &[u8; 32],
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<Option<Output>, BadAnswer> {
        let info = info(challenge);
        let opened = match sealed.suite {
            Suite::XWing => open::<XWing>(&self.x_wing, psk, PSK_ID, &info, aad, sealed),
            Suite::X25519 => {
                open::<X25519HkdfSha256>(&self.x25519, psk, PSK_ID, &info, aad, sealed)
            }
        };
        let opened = opened.ok_or(BadAnswer::Sealing)?;
        let (there, output) = match opened.as_slice() {
            [there, output @ ..] if output.len() + 1 == PLAINTEXT_BYTES => (*there, output),
            _ => return Err(BadAnswer::Sealing),
        };
        match there {
            0 => Ok(None),
            1 => Ok(Some(Output(SecretBox::init_with_mut(
                |bytes: &mut [u8; 32]| bytes.copy_from_slice(output),
            )))),
            _ => Err(BadAnswer::Sealing),
        }
    }

    /// Opens a whole answer that was handed over: to these keys (`hash`), under this PSK, for this step.
    pub(crate) fn open_handed(
        &self,
        psk: &Secret,
        hash: &[u8; 32],
        number: u64,
        sealed: &Sealed,
    ) -> Option<Zeroizing<Vec<u8>>> {
        let (id, info, aad) = (HANDOVER_PSK_ID, handed_info(hash), number.to_be_bytes());
        match sealed.suite {
            Suite::XWing => open::<XWing>(&self.x_wing, psk, id, &info, &aad, sealed),
            Suite::X25519 => open::<X25519HkdfSha256>(&self.x25519, psk, id, &info, &aad, sealed),
        }
    }
}

fn handed_info(hash: &[u8; 32]) -> Vec<u8> {
    bytes::joined(&[LABEL_ANSWER, hash])
}

fn info(challenge: &[u8; 32]) -> Vec<u8> {
    bytes::joined(&[LABEL_SEAL, challenge])
}

fn open<K: Kem>(
    key: &K::PrivateKey,
    psk: &Secret,
    psk_id: &[u8],
    info: &[u8],
    aad: &[u8],
    sealed: &Sealed,
) -> Option<Zeroizing<Vec<u8>>> {
    let encapsulated = K::EncappedKey::from_bytes(&sealed.encapsulated).ok()?;
    let bundle = PskBundle::new(psk.0.expose_secret().as_slice(), psk_id).ok()?;
    single_shot_open::<AesGcm256, HkdfSha256, K>(
        &OpModeR::Psk(bundle),
        key,
        &encapsulated,
        info,
        &sealed.ciphertext,
        aad,
    )
    .ok()
    .map(Zeroizing::new)
}

/// What the page's script does with an output, for tests and for the software authenticator.
#[cfg(any(test, feature = "software-authenticator"))]
pub(crate) fn seal(
    suite: Suite,
    public: &[u8],
    psk: &Secret,
    challenge: &[u8; 32],
    aad: &[u8],
    output: Option<&[u8; 32]>,
    rng: &mut impl CryptoRng,
) -> Option<Sealed> {
    let mut plaintext = Zeroizing::new([0; PLAINTEXT_BYTES]);
    if let Some(output) = output {
        plaintext[0] = 1;
        plaintext[1..].copy_from_slice(output);
    }
    let to = To {
        suite,
        public,
        psk,
        psk_id: PSK_ID,
        info: &info(challenge),
        aad,
    };
    to.seal(plaintext.as_slice(), rng)
}

/// What it does with a whole answer that is handed over.
#[cfg(any(test, feature = "software-authenticator"))]
pub(crate) fn seal_handed(
    suite: Suite,
    public: &[u8],
    psk: &Secret,
    hash: &[u8; 32],
    number: u64,
    message: &[u8],
    rng: &mut impl CryptoRng,
) -> Option<Sealed> {
    let to = To {
        suite,
        public,
        psk,
        psk_id: HANDOVER_PSK_ID,
        info: &handed_info(hash),
        aad: &number.to_be_bytes(),
    };
    to.seal(message, rng)
}

/// To whom and for what something is sealed.
#[cfg(any(test, feature = "software-authenticator"))]
struct To<'a> {
    suite: Suite,
    public: &'a [u8],
    psk: &'a Secret,
    psk_id: &'a [u8],
    info: &'a [u8],
    aad: &'a [u8],
}

#[cfg(any(test, feature = "software-authenticator"))]
impl To<'_> {
    fn seal(&self, plaintext: &[u8], rng: &mut impl CryptoRng) -> Option<Sealed> {
        let (encapsulated, ciphertext) = match self.suite {
            Suite::XWing => self.with::<XWing>(plaintext, rng),
            Suite::X25519 => self.with::<X25519HkdfSha256>(plaintext, rng),
        }?;
        Some(Sealed {
            suite: self.suite,
            encapsulated,
            ciphertext,
        })
    }

    fn with<K: Kem>(
        &self,
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let public = K::PublicKey::from_bytes(self.public).ok()?;
        let psk = self.psk.0.expose_secret().as_slice();
        let bundle = PskBundle::new(psk, self.psk_id).ok()?;
        let (encapsulated, mut context) = hpke::setup_sender_with_rng::<AesGcm256, HkdfSha256, K>(
            &hpke::OpModeS::Psk(bundle),
            &public,
            self.info,
            rng,
        )
        .ok()?;
        let ciphertext = context.seal(plaintext, self.aad).ok()?;
        Some((encapsulated.to_bytes().to_vec(), ciphertext))
    }
}

#[cfg(test)]
mod tests;
