//! `POST /v1/witness/advance`, `POST /v1/witness/read`: for a signed-in account.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Shared, answer, json};
use crate::refusal::Refusal;

pub(super) async fn advance(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let put = json(&headers, body).await?;
    Ok(answer(
        StatusCode::OK,
        &app.vault.advance(put, account).await?,
    ))
}

pub(super) async fn read(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let read = json(&headers, body).await?;
    Ok(answer(
        StatusCode::OK,
        &app.vault.witness(read, account).await?,
    ))
}
