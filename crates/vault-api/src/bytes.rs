//! Byte strings of one length, as base64url in JSON.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroize;

/// Exactly `N` bytes; base64url without padding in JSON.
///
/// `Debug` shows the length alone: names of records and messages of OPAQUE belong in no log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fixed<const N: usize>(pub [u8; N]);

/// Not the length that this field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} bytes")]
pub struct WrongLength {
    /// The one length there is.
    pub expected: usize,
}

impl<const N: usize> Fixed<N> {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; N] {
        &self.0
    }

    /// Reads base64url without padding; anything else, also another spelling of the same bytes, is refused.
    pub fn parse(text: &str) -> Result<Self, WrongLength> {
        let wrong = WrongLength { expected: N };
        if text.len() != N.div_ceil(3) * 4 - (3 - N % 3) % 3 {
            return Err(wrong);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong)?;
        bytes.try_into().map(Self).map_err(|_| wrong)
    }

    /// Base64url without padding.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl<const N: usize> TryFrom<&[u8]> for Fixed<N> {
    type Error = WrongLength;

    fn try_from(bytes: &[u8]) -> Result<Self, WrongLength> {
        bytes
            .try_into()
            .map(Self)
            .map_err(|_| WrongLength { expected: N })
    }
}

impl<const N: usize> Zeroize for Fixed<N> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Fixed<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{N} bytes]")
    }
}

impl<const N: usize> Serialize for Fixed<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de, const N: usize> Deserialize<'de> for Fixed<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl<const N: usize> utoipa::PartialSchema for Fixed<N> {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        // The last character holds what is left of the last byte, and zeros.
        let last = match N % 3 {
            1 => "[AQgw]",
            2 => "[AEIMQUYcgkosw048]",
            _ => "[A-Za-z0-9_-]",
        };
        let characters = (N * 4).div_ceil(3);
        let before = characters.saturating_sub(1);
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(format!("{N} bytes, base64url without padding")))
            .pattern(Some(format!("^[A-Za-z0-9_-]{{{before}}}{last}$")))
            .min_length(Some(characters))
            .max_length(Some(characters))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl<const N: usize> utoipa::ToSchema for Fixed<N> {
    fn name() -> std::borrow::Cow<'static, str> {
        format!("Bytes{N}").into()
    }
}

/// Base64url without padding.
pub fn base64url(bytes: &[u8]) -> String {
    encode(bytes)
}

/// The bytes of base64url without padding, in its one spelling; `None` for anything else.
pub fn from_base64url(text: &str) -> Option<Vec<u8>> {
    decode(text)
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_from_its_text() {
        fn one<const N: usize>() {
            let bytes = Fixed([7; N]);
            assert_eq!(Fixed::parse(&bytes.to_text()), Ok(bytes));
            assert!(Fixed::<N>::parse(&format!("{}A", bytes.to_text())).is_err());
        }
        one::<16>();
        one::<32>();
        one::<33>();
        one::<64>();
        one::<96>();
        one::<320>();
    }

    #[test]
    fn a_second_spelling_of_the_same_bytes_is_refused() {
        // 16 bytes leave four bits over, which must be zero.
        let text = Fixed([0; 16]).to_text();
        let other = format!("{}B", &text[..text.len() - 1]);
        assert!(Fixed::<16>::parse(&other).is_err());
        assert!(Fixed::<16>::parse(&text.replace('A', "+")).is_err());
        assert!(Fixed::<16>::parse(&format!("{}==", &text[..20])).is_err());
    }

    #[test]
    fn debug_output_holds_no_byte() {
        assert_eq!(format!("{:?}", Fixed([0xC5; 16])), "[16 bytes]");
    }
}
