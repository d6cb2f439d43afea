//! Accounts by invitation.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::DeviceName;
use crate::Fixed;

/// An account's id: 128 random bits.
pub type AccountId = Fixed<16>;

/// A bearer token: 256 random bits that sign in. The vault keeps a hash of it alone.
///
/// Wiped on drop, redacted in `Debug`, and not `Clone`: whoever needs a second one says so with [`Token::duplicate`].
/// What it was read from or written to (a request, an answer, a file) is its reader's to wipe.
#[derive(PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Token(pub Fixed<32>);

impl Token {
    /// A second one of the same bytes, which is wiped by itself: for who keeps a hash of it and tells it once, or
    /// writes into a file what it goes on using.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0)
    }
}

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
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Token: Clone, Copy, fmt::Display);
    static_assertions::assert_not_impl_any!(SignedIn: Clone, fmt::Display);
    static_assertions::assert_impl_all!(Token: ZeroizeOnDrop);

    #[test]
    fn a_token_shows_itself_to_nobody_and_is_wiped() {
        let mut token = Token(Fixed([0xC5; 32]));
        let mut signed_in = SignedIn {
            account: Fixed([1; 16]),
            token: token.duplicate(),
        };
        let secret = token.0.to_text();
        for shown in [format!("{token:?}"), format!("{signed_in:?}")] {
            assert!(shown.contains("[REDACTED]"), "{shown}");
            assert!(
                !shown.contains(&secret) && !shown.contains("197"),
                "{shown}"
            );
        }
        token.zeroize();
        assert!(token == Token(Fixed([0; 32])));
        assert_eq!(signed_in.token.0.to_text(), secret, "each by itself");
        signed_in.token.zeroize();
        // What is dropped is wiped by the same: that there is something to do then.
        assert!(std::mem::needs_drop::<Token>() && std::mem::needs_drop::<SignedIn>());
    }
}
