//! Opaque objects.

use serde::{Deserialize, Serialize};

use crate::bytes::Fixed;

/// The longest object.
pub const MAX_BLOB_BYTES: u64 = 256 * 1024 * 1024;
/// The most names in one answer.
pub const MAX_LISTED: usize = 1000;
const MAX_NAME_BYTES: usize = 200;
const MAX_PARTS: usize = 8;

/// An object's name: up to eight parts of `[a-z0-9._-]`, joined by `/`; no part begins with a dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(
    feature = "openapi",
    schema(
        max_length = 200,
        pattern = "^[a-z0-9_-][a-z0-9._-]*(/[a-z0-9_-][a-z0-9._-]*){0,7}$"
    )
)]
pub struct BlobName(String);

/// Not a name that an object can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an object's name")]
pub struct BadBlobName;

impl TryFrom<String> for BlobName {
    type Error = BadBlobName;

    fn try_from(name: String) -> Result<Self, BadBlobName> {
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        };
        let fits = name.len() <= MAX_NAME_BYTES && name.split('/').count() <= MAX_PARTS;
        if fits && name.split('/').all(is_part) {
            return Ok(Self(name));
        }
        Err(BadBlobName)
    }
}

impl From<BlobName> for String {
    fn from(name: BlobName) -> Self {
        name.0
    }
}

impl BlobName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BlobInfo {
    /// Its name.
    pub name: BlobName,
    /// Its length in bytes.
    pub size: u64,
}

/// `GET /v1/blobs?prefix=…&after=…`: in the order of names, at most 1,000.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BlobList {
    /// The objects.
    pub blobs: Vec<BlobInfo>,
    /// Whether more follow after the last one.
    pub more: bool,
}

/// `POST /v1/restores`: gives an object that was deleted its name back, as long as the grace lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BlobRestore {
    /// Its name.
    pub name: BlobName,
}

/// `POST /v1/uploads`: begins an upload, or finds the unfinished one of the same words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadStart {
    /// The object's name.
    pub name: BlobName,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub sha256: Fixed<32>,
}

/// How far an upload came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct UploadAt {
    /// The upload's name.
    pub upload: Fixed<16>,
    /// Bytes that are there: where to go on.
    pub offset: u64,
    /// Bytes that there will be.
    pub size: u64,
}
