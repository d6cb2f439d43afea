//! Signing in without an invitation: a passkey on the server's page, or a messenger's own word.
//!
//! ```text
//! program  SignInStart {SHA-256(verifier)} → session
//! page     session → PageOptions; PageAnswer → PageCode
//! program  SignInFinish {session, code, verifier} → SignedIn
//! ```

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::{CeremonySite, DeviceName, HandoverKeys, HandoverStarted};
use crate::Fixed;
use crate::bytes::{decode, encode};

/// The longest body of what the page sends, and of a messenger's token.
pub const MAX_PAGE_BYTES: usize = 32 << 10;

/// A messenger of this server. Accounts belong to one; what one says is good in no other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct TenantName(String);

impl TenantName {
    /// Takes a name: 1 to 32 of `a-z`, `0-9` and `-`.
    pub fn new(text: &str) -> Option<Self> {
        let is_one = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        is_one.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for TenantName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("not a tenant's name"))
    }
}

/// At most `MAX` bytes, as base64url without padding; empty is none.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Bytes<MAX> {
    /// Takes bytes; `None` where there are none or too many.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (1..=MAX).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(feature = "openapi")]
impl<const MAX: usize> utoipa::PartialSchema for Bytes<MAX> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!("1 to {MAX} bytes, base64url without padding")))
            .pattern(Some("^[A-Za-z0-9_-]+$"))
            .min_length(Some(2))
            .max_length(Some((MAX * 4).div_ceil(3)))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl<const MAX: usize> utoipa::ToSchema for Bytes<MAX> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("BytesTo{MAX}").into()
    }
}

impl<const MAX: usize> fmt::Debug for Bytes<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl<const MAX: usize> Serialize for Bytes<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(&self.0))
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Bytes<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = (text.len() <= MAX.div_ceil(3) * 4).then(|| decode(&text));
        bytes
            .flatten()
            .and_then(Self::new)
            .ok_or_else(|| D::Error::custom("expected base64url of another length"))
    }
}

/// What only the program that began a sign-in knows. It makes the code of the page worth something.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Verifier(pub Fixed<32>);

impl Verifier {
    /// `SHA-256("heirloom/vault/v1/verifier" ‖ verifier)`: told at the beginning.
    pub fn challenge(&self) -> Fixed<32> {
        let hash = Sha256::new()
            .chain_update(b"heirloom/vault/v1/verifier")
            .chain_update(self.0.as_bytes());
        Fixed(hash.finalize().into())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier([REDACTED])")
    }
}

/// `POST /v1/signin/start`: begins a sign-in with a passkey. `POST /v1/passkeys/start`, signed in: a new passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInStart {
    /// Whose users; `null`: the first tenant's. For a new passkey it says nothing: it is the account's.
    pub tenant: Option<TenantName>,
    /// [`Verifier::challenge`].
    pub challenge: Fixed<32>,
}

/// Which page is to be opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInStarted {
    /// Good for five minutes and one answer. By itself it is worth nothing.
    pub session: Fixed<16>,
    /// Where the page lies: the origin that the passkey is for, followed by `/signin`.
    pub page: String,
}

/// `POST /v1/signin/elsewhere`: begins a sign-in with a passkey on another device, and the relay to its page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ElsewhereStart {
    /// Whose users; `null`: the first tenant's.
    pub tenant: Option<TenantName>,
    /// [`Verifier::challenge`].
    pub challenge: Fixed<32>,
    /// What the page calls the computer that is let in, and what the list of devices calls it then: no other name is taken.
    pub name: DeviceName,
    /// What the page seals to.
    pub keys: HandoverKeys,
}

/// What the QR code is made of. The relay's session asks for this sign-in and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ElsewhereStarted {
    /// The sign-in, good for five minutes and one answer.
    pub session: Fixed<16>,
    /// Where the page lies.
    pub site: CeremonySite,
    /// The relay's session.
    pub handover: HandoverStarted,
}

/// `POST /v1/signin/options`, by the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PageSession {
    /// The session.
    pub session: Fixed<16>,
}

/// What the page asks the browser for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PageOptions {
    /// Who relies on the passkey.
    pub rp_id: String,
    /// How it is called.
    pub rp_name: String,
    /// What is signed.
    pub challenge: Fixed<32>,
    /// For a new passkey; `null` for a sign-in.
    pub create: Option<PageCreate>,
    /// Which computer is let in, where it is another one than the page's. `null`: the page comes back to the program.
    pub device: Option<DeviceName>,
}

/// A new passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PageCreate {
    /// Random for each passkey, so that none overwrites another one.
    pub user_id: Fixed<32>,
    /// What a password manager shows.
    pub user_name: String,
    /// Sign-in passkeys that the account has. Passkeys of backups are not among them.
    pub exclude: Vec<Bytes<1023>>,
}

/// `POST /v1/signin/answer`, by the page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PageAnswer {
    /// The session; this ends it, whatever the answer is.
    pub session: Fixed<16>,
    /// The passkey's id.
    pub id: Bytes<1023>,
    /// `clientDataJSON`.
    pub client_data: Bytes<4096>,
    /// For a new passkey.
    pub attestation: Option<Bytes<16384>>,
    /// For a sign-in.
    pub assertion: Option<Assertion>,
}

/// What a passkey signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// `authenticatorData`.
    pub authenticator_data: Bytes<4096>,
    /// The signature.
    pub signature: Bytes<2048>,
    /// The user handle, which discoverable passkeys give.
    pub user_handle: Bytes<64>,
}

/// What the page hands to the program, in an address of this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PageCode {
    /// Good once, with the session and the verifier.
    pub code: Fixed<16>,
}

/// `POST /v1/signin/finish`: signs in. `POST /v1/passkeys`, signed in: keeps the new passkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInFinish {
    /// The session.
    pub session: Fixed<16>,
    /// What the page handed over.
    pub code: Fixed<16>,
    /// What belongs to the challenge of the beginning.
    pub verifier: Verifier,
    /// What the device, or the passkey, is called.
    pub name: Option<DeviceName>,
}

/// `POST /v1/signin/token`: what a messenger says of its user.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TokenSignIn {
    /// The messenger.
    pub tenant: TenantName,
    /// Its signed token (RFC 7519).
    pub jwt: String,
    /// What the device is called.
    pub name: Option<DeviceName>,
}

impl fmt::Debug for TokenSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSignIn({}, [REDACTED])", self.tenant.as_str())
    }
}

/// A passkey that signs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignInPasskey {
    /// Its id in lists: not the passkey's own.
    pub passkey: Fixed<16>,
    /// What it is called.
    pub name: Option<DeviceName>,
    /// When it was saved, in UTC milliseconds.
    pub created_ms: u64,
    /// When it last signed in; `null` for never.
    pub used_ms: Option<u64>,
    /// Whether it is on more than one device.
    pub synced: bool,
}

/// `GET /v1/passkeys`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PasskeyList {
    /// At most [`MAX_PASSKEYS`].
    pub passkeys: Vec<SignInPasskey>,
}

/// How many sign-in passkeys an account has at most.
pub const MAX_PASSKEYS: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_limit_and_one_spelling() {
        let read = |text: &str| serde_json::from_str::<Bytes<4>>(&format!("\"{text}\""));
        assert_eq!(read("AQIDBA").unwrap().as_bytes(), [1, 2, 3, 4]);
        for bad in ["", "AQIDBAU", "AQIDBB", "AQ==", "A+", "!!"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tenants_name_is_short_and_plain() {
        assert!(TenantName::new("my-messenger").is_some());
        for bad in ["", "A", "a b", "a/b", &"a".repeat(33)] {
            assert_eq!(TenantName::new(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_output_holds_neither_token_nor_verifier() {
        let token = TokenSignIn {
            tenant: TenantName::new("a").unwrap(),
            jwt: "canary".into(),
            name: None,
        };
        assert_eq!(format!("{token:?}"), "TokenSignIn(a, [REDACTED])");
        let verifier = Verifier(Fixed([0xC5; 32]));
        assert_eq!(format!("{verifier:?}"), "Verifier([REDACTED])");
    }
}
