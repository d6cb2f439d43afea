//! `GET /v1/blobs`, `GET | HEAD | PUT | DELETE /v1/blobs/{name}`, `POST /v1/restores`: opaque objects of a signed-in
//! account.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use heirloom_vault_api::{BlobInfo, BlobList, BlobName, BlobRestore, Code, Fixed, MAX_BLOB_BYTES};
use serde::Deserialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::openapi::{Nothing, Routes, op};
use super::{App, Asked, Part, Shared, answer, bearer};
use crate::blobs::Blobs;
use crate::refusal::Refusal;
use crate::store::blob;

/// What to list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listing {
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: String,
}

pub(crate) fn routes() -> Routes {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let name = "Up to eight parts, joined by a slash";
    let range = "One range, `bytes=FIRST-LAST`";
    Routes::new()
        .get(
            "/v1/blobs",
            list,
            op("listBlobs", "Objects in the order of names, at most 1,000")
                .signed_in()
                .of_query("prefix", "What names begin with", text())
                .of_query("after", "The last name that is known", text())
                .answers::<BlobList>(200),
        )
        .get(
            "/v1/blobs/{*name}",
            get,
            op("readBlob", "An object, or one range of it")
                .signed_in()
                .of_path::<BlobName>("name", name)
                .of_header("Range", range, text())
                .answers_bytes(200)
                .sends(200, "Accept-Ranges", "`bytes`")
                .answers_bytes(206)
                .sends(206, "Accept-Ranges", "`bytes`")
                .sends(206, "Content-Range", "`bytes FIRST-LAST/SIZE`")
                .refuses(&[Code::NotFound, Code::RangeNotSatisfiable]),
        )
        .put(
            "/v1/blobs/{*name}",
            put,
            op("createBlob", "Creates an object; never overwrites one")
                .signed_in()
                .of_path::<BlobName>("name", name)
                .takes_bytes()
                .answers::<BlobInfo>(201)
                .refuses(&[Code::Conflict, Code::QuotaExceeded]),
        )
        .delete(
            "/v1/blobs/{*name}",
            remove,
            op(
                "deleteBlob",
                "Deletes an object; its bytes stay for the grace",
            )
            .signed_in()
            .of_path::<BlobName>("name", name)
            .answers::<Nothing>(200)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/restores",
            restore,
            op(
                "restoreBlob",
                "Gives a deleted object its name back, as long as the grace lasts",
            )
            .signed_in()
            .takes::<BlobRestore>()
            .answers::<BlobInfo>(200)
            .refuses(&[Code::NotFound, Code::Conflict, Code::QuotaExceeded]),
        )
}

async fn list(
    State(app): Shared,
    headers: HeaderMap,
    query: Result<Query<Listing>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let Query(Listing { prefix, after }) = query.map_err(|_| Code::BadRequest)?;
    if !prefix.is_ascii() || !after.is_ascii() {
        return Err(Code::BadRequest.into());
    }
    let (blobs, more) = Blobs::list(&app.vault, account, prefix, after).await?;
    Ok(answer(StatusCode::OK, &BlobList { blobs, more }))
}

fn name(path: Part) -> Result<BlobName, Refusal> {
    let Part(name) = path;
    BlobName::try_from(name).map_err(|_| Code::BadRequest.into())
}

async fn put(
    State(app): Shared,
    path: Part,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let name = name(path)?;
    // Without a length the quota could not be looked at before the bytes come.
    let size = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .ok_or(Code::BadRequest)?;
    if size > MAX_BLOB_BYTES {
        return Err(Code::TooLarge.into());
    }
    let (blobs, vault) = (Arc::clone(&app.blobs), Arc::clone(&app.vault));
    blobs
        .create(vault, account, name.clone(), size, body)
        .await?;
    Ok(answer(StatusCode::CREATED, &BlobInfo { name, size }))
}

async fn remove(State(app): Shared, path: Part, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    Blobs::delete(&app.vault, account, name(path)?).await?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn get(
    State(app): Shared,
    path: Part,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (object, size) = find(&app, &headers, path).await?;
    let range = match headers.get(header::RANGE) {
        None => None,
        Some(range) => Some(parse_range(range, size).ok_or(Code::RangeNotSatisfiable)?),
    };
    let (first, length) = range.unwrap_or((0, size));
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        app.blobs.read(&object, first, length).await?
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if range.is_some() {
        let last = first + length - 1;
        let text = format!("bytes {first}-{last}/{size}");
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(header::CONTENT_RANGE, value);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Who asks and which object, in one look: a read of a small range is little more than that.
async fn find(
    app: &Arc<App>,
    headers: &HeaderMap,
    path: Part,
) -> Result<(Fixed<16>, u64), Refusal> {
    let token = bearer(headers)?.ok_or(Code::SignInNeeded)?;
    let wanted = name(path).ok();
    let asked = Arc::clone(app);
    let found = app.vault.run(move |sql| {
        let account = match asked.of_token(asked.find_token(sql, &token)?) {
            Ok((account, _)) => account,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match &wanted {
            Some(name) => blob::find(sql, &account, name)?.ok_or_else(|| Code::NotFound.into()),
            None => Err(Code::BadRequest.into()),
        })
    });
    found.await?
}

async fn restore(State(app): Shared, asked: Asked<BlobRestore>) -> Result<Response, Refusal> {
    let Asked {
        account,
        what: BlobRestore { name },
    } = asked;
    let restored = app.blobs.restore(&app.vault, account, name).await?;
    Ok(answer(StatusCode::OK, &restored))
}

/// One range of at least one byte, as first byte and length; several, or none of this object, are refused.
pub(super) fn parse_range(value: &HeaderValue, size: u64) -> Option<(u64, u64)> {
    let (first, last) = value
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, end) = if first.is_empty() {
        (size.saturating_sub(number(last)?), size)
    } else if last.is_empty() {
        (number(first)?, size)
    } else {
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return None;
        }
        (first, last.saturating_add(1).min(size))
    };
    (first < end).then(|| (first, end - first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_within_the_object_is_taken() {
        let range = |text: &str| parse_range(&HeaderValue::from_str(text).unwrap(), 10);
        assert_eq!(range("bytes=0-9"), Some((0, 10)));
        assert_eq!(range("bytes=3-3"), Some((3, 1)));
        assert_eq!(range("bytes=3-"), Some((3, 7)));
        assert_eq!(range("bytes=3-99"), Some((3, 7)));
        assert_eq!(range("bytes=-4"), Some((6, 4)));
        assert_eq!(range("bytes=-99"), Some((0, 10)));
        for wrong in [
            "bytes=10-",
            "bytes=4-3",
            "bytes=-0",
            "bytes=-",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "items=0-1",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
            "",
        ] {
            assert_eq!(range(wrong), None, "{wrong}");
        }
        assert_eq!(parse_range(&HeaderValue::from_static("bytes=0-"), 0), None);
    }
}
