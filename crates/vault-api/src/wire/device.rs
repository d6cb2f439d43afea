//! Devices: each sign-in is one, with a name that its owner recognises.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Fixed;

/// A device's id: 128 random bits. It names a sign-in in lists and signs nobody in.
pub type DeviceId = Fixed<16>;

/// Characters of a device's name.
const MAX_NAME_CHARS: usize = 80;

/// How many devices an account has at most, those that were signed out not counted.
pub const MAX_DEVICES: usize = 250;

/// What a person calls a device: 1 to 80 characters, none of which moves a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct DeviceName(String);

impl DeviceName {
    /// Takes a name; `None` where it is empty, too long, or holds control characters.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_one = !text.is_empty()
            && text.chars().count() <= MAX_NAME_CHARS
            && !text.chars().any(is_invisible);
        is_one.then(|| Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<'de> Deserialize<'de> for DeviceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).ok_or_else(|| D::Error::custom("not a device's name"))
    }
}

/// How a device got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SignedInBy {
    /// The account was opened from here.
    First,
    /// An invitation, or another device that approved it.
    Invitation,
    /// A passkey.
    Passkey,
    /// What a messenger says of its user.
    Messenger,
    /// A passkey on another device, which let in a computer by its QR code.
    PasskeyElsewhere,
    /// An invitation, and kept on paper: it does not end by itself when nobody uses it.
    Paper,
}

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Device {
    /// Its id.
    pub device: DeviceId,
    /// What it is called; `null` for one that said nothing.
    pub name: Option<DeviceName>,
    /// How it got in.
    pub by: SignedInBy,
    /// When it signed in, in UTC milliseconds.
    pub created_ms: u64,
    /// When it last asked for something, to the hour.
    pub seen_ms: u64,
    /// Whether it is the one that asks.
    pub present: bool,
}

/// `GET /v1/devices`: those that are signed in, the newest last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DeviceList {
    /// At most [`MAX_DEVICES`].
    pub devices: Vec<Device>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_person_can_read() {
        assert_eq!(DeviceName::new("  Laptop ").unwrap().as_str(), "Laptop");
        for bad in ["", "  ", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(81)] {
            assert_eq!(DeviceName::new(bad), None, "{bad:?}");
        }
        assert!(DeviceName::new(&"ü".repeat(80)).is_some());
    }

    #[test]
    fn a_bad_name_is_refused_from_the_wire_too() {
        assert!(serde_json::from_str::<DeviceName>("\"Phone\"").is_ok());
        assert!(serde_json::from_str::<DeviceName>("\"\\u0007\"").is_err());
    }
}
