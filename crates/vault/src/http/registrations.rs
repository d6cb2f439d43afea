//! `POST /v1/registrations`, `POST /v1/registrations/finish`: for a signed-in owner.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::{Peer, Shared, answer, json};
use crate::refusal::Refusal;

pub(super) async fn start(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let account = app.signed_in(&headers).await?;
    let start = json(&headers, body).await?;
    let started = app.vault.start_registration(start, account).await?;
    Ok(answer(StatusCode::OK, &started))
}

pub(super) async fn finish(
    State(app): Shared,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let finish = json(&headers, body).await?;
    let registered = app.vault.finish_registration(finish, account).await?;
    Ok(answer(StatusCode::CREATED, &registered))
}
