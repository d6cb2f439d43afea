//! Accounts by invitation.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DeviceName;
use crate::Fixed;

/// An account's id: 128 random bits.
pub type AccountId = Fixed<16>;

/// A bearer token. The vault keeps a hash of it alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Token(pub Fixed<32>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([REDACTED])")
    }
}

/// An invitation code: 128 random bits, good once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Invite(pub Fixed<16>);

impl fmt::Debug for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invite([REDACTED])")
    }
}

/// `POST /v1/accounts`: a new account or a new device of one, by invitation.
///
/// On a vault that has no account yet and that listens on loopback alone, the first one needs no invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// The invitation.
    pub invite: Option<Invite>,
    /// What the device is called.
    #[serde(default)]
    pub name: Option<DeviceName>,
    /// Whether it is kept on paper, with an invitation only: then it does not end by itself when nobody uses it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_paper: bool,
}

impl SignIn {
    /// With an invitation or without one, by a device that says no name.
    pub fn by(invite: Option<Invite>) -> Self {
        Self {
            invite,
            name: None,
            on_paper: false,
        }
    }
}

/// Signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SignedIn {
    /// The account.
    pub account: AccountId,
    /// For `Authorization: Bearer`. It is told once.
    pub token: Token,
}

/// `POST /v1/invitations`: lets another device of the same account in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Invitation {
    /// Good once, for a day.
    pub invite: Invite,
}

/// `GET /v1/account`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Its id.
    pub account: AccountId,
    /// Bytes of objects, as the vault counts them.
    pub used_bytes: u64,
    /// How many it may have.
    pub quota_bytes: u64,
}
