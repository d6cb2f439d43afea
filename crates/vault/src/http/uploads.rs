//! Uploads that are gone on with after a cut: begun, continued at an offset, finished.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use heirloom_vault_api::{BlobInfo, Code, Fixed, MAX_BLOB_BYTES, UploadAt, UploadStart};
use utoipa::openapi::schema::{ObjectBuilder, Type};

use super::openapi::{Nothing, Routes, op};
use super::{Asked, Part, Shared, answer};
use crate::refusal::Refusal;

/// Where the bytes of a `PATCH` begin.
const OFFSET: &str = "upload-offset";

pub(crate) fn routes() -> Routes {
    let number = || ObjectBuilder::new().schema_type(Type::Integer);
    Routes::new()
        .post(
            "/v1/uploads",
            begin,
            op(
                "beginUpload",
                "Begins an upload, or finds the unfinished one of the same words",
            )
            .signed_in()
            .takes::<UploadStart>()
            .answers::<UploadAt>(201)
            .refuses(&[Code::Conflict, Code::QuotaExceeded]),
        )
        .get(
            "/v1/uploads/{upload}",
            look,
            op("readUpload", "How far an upload came")
                .signed_in()
                .of_path::<Fixed<16>>("upload", "Which upload")
                .answers::<UploadAt>(200)
                .refuses(&[Code::NotFound]),
        )
        .patch(
            "/v1/uploads/{upload}",
            go_on,
            op(
                "continueUpload",
                "Appends bytes; what comes before a cut is kept, and the last one names the object",
            )
            .signed_in()
            .of_path::<Fixed<16>>("upload", "Which upload")
            .of_header("Upload-Offset", "Where these bytes begin", number())
            .takes_bytes()
            .answers::<UploadAt>(200)
            .answers::<BlobInfo>(201)
            .refuses(&[Code::NotFound, Code::Conflict, Code::NotWhole]),
        )
        .delete(
            "/v1/uploads/{upload}",
            give_up,
            op("cancelUpload", "Gives an upload up")
                .signed_in()
                .of_path::<Fixed<16>>("upload", "Which upload")
                .answers::<Nothing>(200)
                .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/uploads/{upload}/finish",
            finish,
            op(
                "finishUpload",
                "Names the object, if length and hash are as promised",
            )
            .signed_in()
            .of_path::<Fixed<16>>("upload", "Which upload")
            .answers::<BlobInfo>(201)
            .refuses(&[Code::NotFound, Code::Conflict, Code::NotWhole]),
        )
}

fn id(path: Part) -> Result<Fixed<16>, Refusal> {
    let Part(text) = path;
    Fixed::parse(&text).map_err(|_| Code::BadRequest.into())
}

pub(super) fn number(headers: &HeaderMap, name: &str) -> Result<u64, Refusal> {
    let mut values = headers.get_all(name).iter();
    let value = values.next().and_then(|value| value.to_str().ok());
    let digits = value.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match (digits.and_then(|text| text.parse().ok()), values.next()) {
        (Some(number), None) => Ok(number),
        _ => Err(Code::BadRequest.into()),
    }
}

async fn begin(State(app): Shared, asked: Asked<UploadStart>) -> Result<Response, Refusal> {
    let Asked { account, what } = asked;
    if what.size > MAX_BLOB_BYTES {
        return Err(Code::TooLarge.into());
    }
    let begun = app.blobs.begin(&app.vault, account, what).await?;
    Ok(answer(StatusCode::CREATED, &begun))
}

async fn look(State(app): Shared, path: Part, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let came = app.blobs.came(&app.vault, account, id(path)?).await?;
    Ok(answer(StatusCode::OK, &came))
}

async fn go_on(
    State(app): Shared,
    path: Part,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let upload = id(path)?;
    let offset = number(&headers, OFFSET)?;
    let length = number(&headers, header::CONTENT_LENGTH.as_str())?;
    let (blobs, vault) = (Arc::clone(&app.blobs), Arc::clone(&app.vault));
    let came = Arc::clone(&blobs)
        .go_on(Arc::clone(&vault), account, upload, (offset, length), body)
        .await?;
    if came.offset < came.size {
        return Ok(answer(StatusCode::OK, &came));
    }
    // The last byte: one request fewer for what went well.
    let named = blobs.finish(vault, account, upload).await?;
    Ok(answer(StatusCode::CREATED, &named))
}

async fn give_up(State(app): Shared, path: Part, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let (blobs, vault) = (Arc::clone(&app.blobs), Arc::clone(&app.vault));
    blobs.give_up(vault, account, id(path)?).await?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn finish(State(app): Shared, path: Part, headers: HeaderMap) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let (blobs, vault) = (Arc::clone(&app.blobs), Arc::clone(&app.vault));
    let named = blobs.finish(vault, account, id(path)?).await?;
    Ok(answer(StatusCode::CREATED, &named))
}
