//! A passkey on another device's page: a relay between a program without a browser and that page. It sees public keys
//! and sealed bytes.
//!
//! ```text
//! program  HandoverStart {keys} → session, ticket, code       shows a QR code: session, hash of the keys, PSK
//! program  HandoverAsk {number, request}                      page  HandoverLook → keys, number, request
//! program  HandoverWait {number} → answer                     page  HandoverAnswer {number, answer}
//! ```

use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::Fixed;

/// The longest body of a hand-over.
pub const MAX_HANDOVER_BYTES: usize = 32 << 10;

/// `GET /v1/ceremony`, signed in: where passkeys that open a backup may be asked for on this server's domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct CeremonySite {
    /// Who relies on the passkeys: a domain.
    pub rp_id: String,
    /// The page: an origin of that domain, followed by `/ceremony`.
    pub page: String,
}

/// The public keys that a page seals to: of one hand-over, made anew for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverKeys {
    /// X-Wing.
    pub x_wing: Fixed<1216>,
    /// X25519, for browsers without ML-KEM.
    pub x25519: Fixed<32>,
}

/// `POST /v1/handovers`, signed in, by the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverStart {
    /// Whose hash the QR code holds: a relay that swaps them is found out.
    pub keys: HandoverKeys,
}

/// A session of the relay, good for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverStarted {
    /// The session, which the QR code names to the page.
    pub session: Fixed<16>,
    /// By which the program is known in it.
    pub ticket: Fixed<16>,
    /// What a person may type or compare: it selects the session, and is no secret.
    pub code: String,
}

/// `POST /v1/handovers/ask`, by the program: what the page shows next, in place of what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverAsk {
    /// The session.
    pub session: Fixed<16>,
    /// The program's.
    pub ticket: Fixed<16>,
    /// From 1; greater than that of the request before.
    pub number: u64,
    /// Sealed under the PSK.
    pub request: Bytes<16384>,
}

/// `POST /v1/handovers/wait`, by the program, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverWait {
    /// The session.
    pub session: Fixed<16>,
    /// The program's.
    pub ticket: Fixed<16>,
}

/// How far the page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverState {
    /// The newest request that a page has fetched; 0 for none.
    pub seen: u64,
    /// The answer to the request in force.
    pub answer: Option<HandoverSealed>,
}

/// `POST /v1/handovers/end`, by the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverEnd {
    /// The session, which is gone then.
    pub session: Fixed<16>,
    /// The program's.
    pub ticket: Fixed<16>,
}

/// `POST /v1/handovers/look`, by the page, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverLook {
    /// The session, as the QR code names it.
    pub session: Fixed<16>,
    /// The newest request that the page has; 0 for none.
    pub after: u64,
}

/// What a page is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverView {
    /// The program's: worth something once their hash is the one of the QR code.
    pub keys: HandoverKeys,
    /// Of the request in force; 0 for none.
    pub number: u64,
    /// The request, where it is newer than what the page has.
    pub request: Option<Bytes<16384>>,
    /// The sign-in that the session is for, where a program began it that is not signed in. The page MUST NOT ask for
    /// anything else in it; `null`: it MUST NOT sign anybody in.
    pub sign_in: Option<Fixed<16>>,
}

/// `POST /v1/handovers/answer`, by the page: once for each request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverAnswer {
    /// The session.
    pub session: Fixed<16>,
    /// Of the request.
    pub number: u64,
    /// The answer.
    pub answer: HandoverSealed,
}

/// Sealed to the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverSealed {
    /// The number of HPKE's KEM.
    pub suite: u16,
    /// To the program's key of that KEM.
    pub encapsulated: Bytes<1120>,
    /// The message.
    pub sealed: Bytes<16384>,
}

/// `POST /v1/handovers/find`, by a page that nobody scanned a QR code for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverFind {
    /// As it was typed; capitals and `-` do not matter.
    pub code: String,
}

/// A session waits under this code. Its name and its keys are not told: without the QR code they lead nowhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HandoverFound {}
