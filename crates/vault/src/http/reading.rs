//! What reads a stranger's bytes, by itself, for [`crate::fuzzing`].

use axum::http::{HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;

pub(crate) fn body<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    super::parse(bytes).ok()
}

pub(crate) fn range(value: &HeaderValue, size: u64) -> Option<(u64, u64)> {
    super::blobs::parse_range(value, size)
}

pub(crate) fn is_token(headers: &HeaderMap) -> bool {
    super::bearer(headers).is_ok_and(|token| token.is_some())
}

pub(crate) fn is_key(headers: &HeaderMap) -> bool {
    super::idempotency::key(headers).is_ok_and(|key| key.is_some())
}

pub(crate) fn is_offset(headers: &HeaderMap) -> bool {
    super::uploads::number(headers, "upload-offset").is_ok()
}

pub(crate) fn is_form(bytes: &[u8]) -> bool {
    super::signin_page::form(bytes).is_some()
}
