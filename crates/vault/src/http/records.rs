//! `POST /v1/records/{activate,owner,forget,status,log}`: for a signed-in owner; the first three need the
//! owner key's signature as well. Names are in bodies, never in addresses.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json as object;

use super::{Shared, answer, json};
use crate::refusal::Refusal;

pub(super) async fn activate(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let activate = json(&headers, body).await?;
    let activated = app.vault.activate(activate, account).await?;
    Ok(answer(StatusCode::OK, &activated))
}

pub(super) async fn owner(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let change = json(&headers, body).await?;
    app.vault.change_owner(change, account).await?;
    Ok(answer(StatusCode::OK, &object!({})))
}

pub(super) async fn forget(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let forget = json(&headers, body).await?;
    app.vault.forget(forget, account).await?;
    Ok(answer(StatusCode::OK, &object!({})))
}

pub(super) async fn status(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let read = json(&headers, body).await?;
    Ok(answer(
        StatusCode::OK,
        &app.vault.status(read, account).await?,
    ))
}

pub(super) async fn log(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let read = json(&headers, body).await?;
    Ok(answer(StatusCode::OK, &app.vault.log(read, account).await?))
}
