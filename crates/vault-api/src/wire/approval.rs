//! The relay between a new device and one that is signed in. It sees public keys and sealed bytes.

use serde::{Deserialize, Serialize};

use super::Bytes;
use crate::Fixed;

/// How often the words of one session may differ before it is gone.
pub const APPROVAL_TRIES: u32 = 3;

/// `POST /v1/approvals`, by the new device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalStart {}

/// A session of the relay, good for ten minutes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalStarted {
    /// The session, which the commitments hold.
    pub session: Fixed<16>,
    /// By which the new device is known in it.
    pub ticket: Fixed<16>,
    /// What a person types on the other device: it selects the session, and is no secret.
    pub code: String,
}

/// `POST /v1/approvals/commit`, by the new device, once for each try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalCommit {
    /// The session.
    pub session: Fixed<16>,
    /// The new device's.
    pub ticket: Fixed<16>,
    /// To its key and nonce.
    pub commitment: Fixed<32>,
}

/// `POST /v1/approvals/join`, by a signed-in device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalJoin {
    /// As it was typed; capitals and `-` do not matter.
    pub code: String,
}

/// What the signed-in device may do then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalJoined {
    /// The session.
    pub session: Fixed<16>,
    /// By which this device is known in it.
    pub ticket: Fixed<16>,
}

/// `POST /v1/approvals/state`, by either device, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalAsk {
    /// The session.
    pub session: Fixed<16>,
    /// Of either device.
    pub ticket: Fixed<16>,
}

/// `POST /v1/approvals/answer`, by the signed-in device: its contribution to a try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalAnswer {
    /// The session.
    pub session: Fixed<16>,
    /// The signed-in device's.
    pub ticket: Fixed<16>,
    /// Its public key.
    pub key: Fixed<1216>,
    /// Its nonce.
    pub nonce: Fixed<32>,
}

/// `POST /v1/approvals/reveal`, by the new device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalReveal {
    /// The session.
    pub session: Fixed<16>,
    /// The new device's.
    pub ticket: Fixed<16>,
    /// Its public key.
    pub key: Fixed<1216>,
    /// Its nonce.
    pub nonce: Fixed<32>,
    /// To the other's key.
    pub encapsulated: Fixed<1120>,
}

/// `POST /v1/approvals/end`, by the signed-in device: the words are the same, or they are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalEnd {
    /// The session.
    pub session: Fixed<16>,
    /// The signed-in device's.
    pub ticket: Fixed<16>,
    /// The same words: what the new device needs. `null`: they differ.
    pub sealed: Option<ApprovalSealed>,
}

/// `POST /v1/approvals/reply`, by the new device, once, where what was sealed to it asks for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalReply {
    /// The session.
    pub session: Fixed<16>,
    /// The new device's.
    pub ticket: Fixed<16>,
    /// What it needs. `null`: a person said there that the words differ.
    pub sealed: Option<ApprovalSealed>,
}

/// What the new device replied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalReplied {
    /// `null`: a person said there that the words differ.
    pub sealed: Option<ApprovalSealed>,
}

/// Sealed to the other device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalSealed {
    /// To the other device's key.
    pub encapsulated: Fixed<1120>,
    /// The message.
    pub ciphertext: Bytes<8192>,
}

/// How far the try is that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalState {
    /// Tries that ended with other words.
    pub failed: u32,
    /// Of the new device.
    pub commitment: Option<Fixed<32>>,
    /// Of the signed-in device.
    pub answer: Option<ApprovalPart>,
    /// Of the new device.
    pub reveal: Option<ApprovalPart>,
    /// Of the new device, with its reveal.
    pub encapsulated: Option<Fixed<1120>>,
    /// The end.
    pub sealed: Option<ApprovalSealed>,
    /// Of the new device, after the end.
    pub reply: Option<ApprovalReplied>,
}

/// A public key and a nonce.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ApprovalPart {
    /// X-Wing.
    pub key: Fixed<1216>,
    /// Fresh and random.
    pub nonce: Fixed<32>,
}
