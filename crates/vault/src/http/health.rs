//! What needs no sign-in: who this is, whether it lives, whether it can answer.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::VaultInfo;
use serde::Serialize;
use utoipa::ToSchema;

use super::openapi::{Routes, op};
use super::{Shared, answer};
use crate::refusal::Refusal;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get(
            "/v1/vault",
            vault,
            op(
                "vault",
                "What a client pins, and how many guesses there are",
            )
            .answers::<VaultInfo>(200),
        )
        .get(
            "/healthz",
            alive,
            op("alive", "The process answers").answers::<Alive>(200),
        )
        .get(
            "/readyz",
            ready,
            op("ready", "The database answers, too").answers::<Ready>(200),
        )
}

#[derive(Serialize, ToSchema)]
struct Alive {
    alive: bool,
}

#[derive(Serialize, ToSchema)]
struct Ready {
    ready: bool,
}

/// `GET /v1/vault`.
async fn vault(State(app): Shared) -> Response {
    answer(StatusCode::OK, &app.vault.info())
}

/// `GET /healthz`: the process answers.
async fn alive() -> Response {
    answer(StatusCode::OK, &Alive { alive: true })
}

/// `GET /readyz`: the database answers, too. In five seconds whatever it does: then it is not ready.
async fn ready(State(app): Shared) -> Result<Response, Refusal> {
    if !app.vault.answers().await {
        return Err(Refusal::internal(
            &"the database refuses, or does not answer in time",
        ));
    }
    Ok(answer(StatusCode::OK, &Ready { ready: true }))
}
