//! Problems (RFC 9457): a stable code, a status, and what to do next.

use serde::{Deserialize, Serialize};

/// What `type` begins with; the code follows.
pub const PROBLEM_TYPE: &str = "urn:heirloom:problem:";

/// A stable name of what went wrong. A name is never given another meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// The request is not of this API's form.
    BadRequest,
    /// The OPAQUE suite is unknown or below the floor.
    UnsupportedSuite,
    /// The sign-in was not used for too long.
    SignInExpired,
    /// No valid sign-in came with the request.
    SignInNeeded,
    /// Another device of the account ended this sign-in.
    SignedOut,
    /// The passkey or the messenger's token does not sign in here.
    NotLetIn,
    /// The account has as many devices or passkeys as it may.
    TooManyDevices,
    /// The owner's signature is missing or does not fit.
    OwnerProofNeeded,
    /// The proof does not belong to an open session, or is wrong. It changed nothing.
    NotProven,
    /// There is no such thing.
    NotFound,
    /// There is, and nothing of this kind can be done to it.
    MethodNotAllowed,
    /// Something else is there already, or the state is another one.
    Conflict,
    /// The password's record is destroyed for good.
    Destroyed,
    /// The body ended before all of it was there, or came too slowly. Nothing of a request in JSON was done; sent
    /// again it may go through.
    CutShort,
    /// The body is longer than any request of this kind.
    TooLarge,
    /// Another request came with this idempotency key.
    KeyReused,
    /// The range lies beyond the object.
    RangeNotSatisfiable,
    /// What was uploaded has not the length and hash that were promised. It is gone.
    NotWhole,
    /// No guess now: wait until `retry_after_s` is over.
    Wait,
    /// No more guesses without a sign-in of the owner.
    LockedOut,
    /// Too many requests from this address.
    TooManyRequests,
    /// The account's quota does not suffice.
    QuotaExceeded,
    /// It is not known whether the guess was stored: it counts, and is not answered.
    OutcomeUnknown,
    /// The vault cannot answer now.
    Unavailable,
}

impl Code {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::BadRequest | Self::UnsupportedSuite => 400,
            Self::SignInNeeded | Self::SignInExpired | Self::SignedOut => 401,
            Self::OwnerProofNeeded | Self::NotProven | Self::NotLetIn => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::CutShort => 408,
            Self::Conflict | Self::TooManyDevices => 409,
            Self::Destroyed => 410,
            Self::TooLarge => 413,
            Self::RangeNotSatisfiable => 416,
            Self::KeyReused | Self::NotWhole => 422,
            Self::LockedOut => 423,
            Self::Wait | Self::TooManyRequests => 429,
            Self::QuotaExceeded => 507,
            Self::OutcomeUnknown | Self::Unavailable => 503,
        }
    }

    /// The name, as in JSON and at the end of `type`.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::UnsupportedSuite => "unsupported-suite",
            Self::SignInExpired => "sign-in-expired",
            Self::SignInNeeded => "sign-in-needed",
            Self::SignedOut => "signed-out",
            Self::NotLetIn => "not-let-in",
            Self::TooManyDevices => "too-many-devices",
            Self::OwnerProofNeeded => "owner-proof-needed",
            Self::NotProven => "not-proven",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict => "conflict",
            Self::Destroyed => "destroyed",
            Self::CutShort => "cut-short",
            Self::TooLarge => "too-large",
            Self::RangeNotSatisfiable => "range-not-satisfiable",
            Self::KeyReused => "key-reused",
            Self::NotWhole => "not-whole",
            Self::Wait => "wait",
            Self::LockedOut => "locked-out",
            Self::TooManyRequests => "too-many-requests",
            Self::QuotaExceeded => "quota-exceeded",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::Unavailable => "unavailable",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request could not be understood",
            Self::UnsupportedSuite => "This version of the password protocol is not supported",
            Self::SignInExpired => "This sign-in was not used for too long: sign in again",
            Self::SignInNeeded => "Sign in first",
            Self::SignedOut => "Another device signed this one out",
            Self::NotLetIn => "This does not sign in here",
            Self::TooManyDevices => "The account has too many devices or passkeys",
            Self::OwnerProofNeeded => "Only the owner of the backup may do this",
            Self::NotProven => "The password was not proven",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This cannot be done here",
            Self::Conflict => "Something changed meanwhile",
            Self::Destroyed => "Too many wrong passwords: this password is gone for good",
            Self::CutShort => "The request was cut short: send it again",
            Self::TooLarge => "The request is too large",
            Self::KeyReused => "Another request came with this key",
            Self::RangeNotSatisfiable => "The object is shorter than that",
            Self::NotWhole => "What arrived is not what was promised",
            Self::Wait => "Too many wrong passwords: wait before the next guess",
            Self::LockedOut => "No guesses left without a sign-in",
            Self::TooManyRequests => "Too many requests",
            Self::QuotaExceeded => "The account's storage is full",
            Self::OutcomeUnknown => "The guess may have been counted",
            Self::Unavailable => "The vault cannot answer now",
        }
    }
}

/// The body of every answer that is not a success, as `application/problem+json`.
///
/// Readers must ignore members they do not know (RFC 9457, section 3.2): the one type here that is not strict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:heirloom:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A sentence for a person.
    pub title: String,
    /// The HTTP status again.
    pub status: u16,
    /// The code.
    pub code: Code,
    /// Seconds until the same request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// The account's quota in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_bytes: Option<u64>,
    /// What the account uses of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_bytes: Option<u64>,
}

impl From<Code> for Problem {
    fn from(code: Code) -> Self {
        Self {
            kind: format!("{PROBLEM_TYPE}{}", code.name()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            retry_after_s: None,
            quota_bytes: None,
            used_bytes: None,
        }
    }
}

impl Problem {
    /// With the seconds to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// With the account's quota and what it uses.
    #[must_use]
    pub fn quota(mut self, used_bytes: u64, quota_bytes: u64) -> Self {
        (self.used_bytes, self.quota_bytes) = (Some(used_bytes), Some(quota_bytes));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_json_is_the_name_in_the_type() {
        let problem = Problem::from(Code::LockedOut).retry_after(60);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:heirloom:problem:locked-out");
        assert_eq!(json["code"], "locked-out");
        assert_eq!(json["status"], 423);
        assert_eq!(json["retry_after_s"], 60);
        assert!(json.get("quota_bytes").is_none());
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
    }
}
