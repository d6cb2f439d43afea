//! What needs no sign-in: who this is, whether it lives, whether it can answer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::json;

use super::{Shared, answer};
use crate::refusal::Refusal;
use crate::store::sweep;

/// `GET /v1/vault`.
pub(super) async fn vault(State(app): Shared) -> Response {
    answer(StatusCode::OK, &app.vault.info())
}

/// `GET /healthz`: the process answers.
pub(super) async fn alive() -> Response {
    answer(StatusCode::OK, &json!({"alive": true}))
}

/// `GET /readyz`: the database answers, too.
pub(super) async fn ready(State(app): Shared) -> Result<Response, Refusal> {
    let now = app.vault.now();
    app.vault.run(move |sql| sweep::passed(sql, now)).await?;
    Ok(answer(StatusCode::OK, &json!({"ready": true})))
}
