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
use super::{App, Asked, Part, Shared, answer, bearer, refuse};
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
    let range = match asked_range(&method, &headers, size) {
        Asks::Whole => None,
        Asks::For(first, length) => Some((first, length)),
        Asks::Beyond => return Ok(beyond(size)),
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
    let (asked, now) = (Arc::clone(app), app.vault.now());
    let found = app.vault.run(move |sql| {
        let account = match asked.of_token(asked.find_token(sql, &token, now)?) {
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

/// The length there is, with the problem (RFC 9110, 14.4): whoever asked beyond it knows what to ask for.
fn beyond(size: u64) -> Response {
    let mut response = refuse(&Code::RangeNotSatisfiable.into());
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(header::CONTENT_RANGE, value);
    }
    response
}

/// What a request asks for of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Whole,
    /// First byte and length, at least one.
    For(u64, u64),
    /// Nothing that is there, or nothing that makes sense.
    Beyond,
}

/// What `Range` means (RFC 9110, 14.2), where it means anything.
fn asked_range(method: &Method, headers: &HeaderMap, size: u64) -> Asks {
    // "GET is the only method for which range handling is defined"; for others it MUST be ignored.
    // "If the validator [of If-Range] does not match, the server MUST ignore the Range": objects have none here.
    if method != Method::GET || headers.contains_key(header::IF_RANGE) {
        return Asks::Whole;
    }
    let mut values = headers.get_all(header::RANGE).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => range(value, size),
        _ => Asks::Whole,
    }
}

fn range(value: &HeaderValue, size: u64) -> Asks {
    let ranges = value.to_str().ok().and_then(|text| text.split_once('='));
    // A unit that is not known MUST be ignored; its name has no case.
    let Some((_, ranges)) = ranges.filter(|(unit, _)| unit.eq_ignore_ascii_case("bytes")) else {
        return Asks::Whole;
    };
    let space = |c| c == ' ' || c == '\t';
    let parts = ranges.split(',').map(|part| part.trim_matches(space));
    // Empty elements of a list are none (5.6.1.2).
    let mut parts = parts.filter(|part| !part.is_empty());
    let spec = match (parts.next(), parts.next()) {
        (Some(spec), None) => spec,
        // "A server MAY ignore the Range header field": nobody needs several at a time.
        (Some(_), Some(_)) => return Asks::Whole,
        (None, _) => return Asks::Beyond,
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Asks::Beyond;
    };
    let (first, end) = match (number(first), number(last)) {
        // The last so many bytes, of an object that has fewer all. Of an empty one none, which no 206 can say.
        (Number::None, Number::Is(suffix)) if suffix > 0 && size == 0 => return Asks::Whole,
        (Number::None, Number::Is(suffix)) => (size.saturating_sub(suffix), size),
        (Number::Is(first), Number::None) => (first, size),
        (Number::Is(first), Number::Is(last)) if first <= last => {
            (first, last.saturating_add(1).min(size))
        }
        _ => return Asks::Beyond,
    };
    if first < end {
        Asks::For(first, end - first)
    } else {
        Asks::Beyond
    }
}

enum Number {
    None,
    Is(u64),
    Wrong,
}

/// Digits, of a number of any length: more than there can be is as good as the most.
fn number(text: &str) -> Number {
    if text.is_empty() {
        Number::None
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
        Number::Is(text.parse().unwrap_or(u64::MAX))
    } else {
        Number::Wrong
    }
}

/// The one range of a header's value, for [`crate::fuzzing`].
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn parse_range(value: &HeaderValue, size: u64) -> Option<(u64, u64)> {
    match range(value, size) {
        Asks::For(first, length) => Some((first, length)),
        Asks::Whole | Asks::Beyond => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_within_the_object_is_taken() {
        let range = |text: &str| range(&HeaderValue::from_str(text).unwrap(), 10);
        for (text, first, length) in [
            ("bytes=0-9", 0, 10),
            ("bytes=3-3", 3, 1),
            ("bytes=3-", 3, 7),
            ("bytes=3-99", 3, 7),
            ("bytes=3-99999999999999999999", 3, 7),
            ("bytes=-4", 6, 4),
            ("bytes=-99", 0, 10),
            ("bytes=-99999999999999999999", 0, 10),
            ("Bytes=0-1", 0, 2),
            ("bytes=, 0-1 ,", 0, 2),
        ] {
            assert_eq!(range(text), Asks::For(first, length), "{text}");
        }
    }

    #[test]
    fn a_range_beyond_the_object_or_of_no_sense_is_refused() {
        let of = |text: &str, size| range(&HeaderValue::from_str(text).unwrap(), size);
        for wrong in [
            "bytes=10-",
            "bytes=10-12",
            "bytes=4-3",
            "bytes=-0",
            "bytes=-",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=7",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(wrong, 10), Asks::Beyond, "{wrong}");
        }
        assert_eq!(of("bytes=0-", 0), Asks::Beyond);
        assert_eq!(of("bytes=0-0", 0), Asks::Beyond);
        assert_eq!(of("bytes=-0", 0), Asks::Beyond);
    }

    #[test]
    fn what_is_no_range_of_bytes_or_several_means_the_whole_object() {
        let of = |text: &str, size| range(&HeaderValue::from_str(text).unwrap(), size);
        for other in ["items=0-1", "bytes", "", "bytes=0-1,3-4", "bytes=99-,0-1"] {
            assert_eq!(of(other, 10), Asks::Whole, "{other}");
        }
        // The last bytes of nothing are nothing, and that can be told.
        assert_eq!(of("bytes=-5", 0), Asks::Whole);
    }

    #[test]
    fn a_range_is_for_get_alone_and_only_without_a_condition() {
        let mut headers = HeaderMap::new();
        let range = HeaderValue::from_static("bytes=0-1");
        headers.insert(header::RANGE, range.clone());
        assert_eq!(asked_range(&Method::GET, &headers, 10), Asks::For(0, 2));
        assert_eq!(asked_range(&Method::HEAD, &headers, 10), Asks::Whole);
        headers.append(header::RANGE, range);
        assert_eq!(asked_range(&Method::GET, &headers, 10), Asks::Whole);
        headers.remove(header::RANGE);
        assert_eq!(asked_range(&Method::GET, &headers, 10), Asks::Whole);
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=99-"));
        assert_eq!(asked_range(&Method::GET, &headers, 10), Asks::Beyond);
        // No validator of ours was ever told, so that none matches.
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"one\""));
        assert_eq!(asked_range(&Method::GET, &headers, 10), Asks::Whole);
    }
}
