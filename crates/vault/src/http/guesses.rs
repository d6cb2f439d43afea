//! `POST /v1/guesses`, `POST /v1/proofs`.
//!
//! Strangers may ask. An unknown record has the same statuses, lengths, lock-out and work as a known one.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Peer, Shared, answer, json};
use crate::refusal::Refusal;

pub(super) async fn guess(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let start = json(&headers, body).await?;
    let account = app.account(&headers).await?;
    Ok(answer(
        StatusCode::OK,
        &app.vault.guess(start, account).await?,
    ))
}

pub(super) async fn prove(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let proof = json(&headers, body).await?;
    Ok(answer(StatusCode::OK, &app.vault.prove(proof).await?))
}
