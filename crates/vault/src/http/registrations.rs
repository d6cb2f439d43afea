//! `POST /v1/registrations`, `POST /v1/registrations/finish`: for a signed-in owner.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{
    Code, Registered, RegistrationFinish, RegistrationStart, RegistrationStarted,
};

use super::openapi::{Routes, op};
use super::{Peer, Shared, answer, json};
use crate::refusal::Refusal;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/registrations",
            start,
            op(
                "startRegistration",
                "Begins a new record, or a new version of one",
            )
            .signed_in()
            .takes::<RegistrationStart>()
            .answers::<RegistrationStarted>(200)
            .refuses(&[Code::UnsupportedSuite, Code::NotFound, Code::Destroyed]),
        )
        .post(
            "/v1/registrations/finish",
            finish,
            op("finishRegistration", "Stores the version, which is pending")
                .signed_in()
                .takes::<RegistrationFinish>()
                .answers::<Registered>(201)
                .refuses(&[
                    Code::NotFound,
                    Code::OwnerProofNeeded,
                    Code::Conflict,
                    Code::Destroyed,
                ]),
        )
}

async fn start(
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

async fn finish(State(app): Shared, headers: HeaderMap, body: Body) -> Result<Response, Refusal> {
    let account = app.signed_in(&headers).await?;
    let finish = json(&headers, body).await?;
    let registered = app.vault.finish_registration(finish, account).await?;
    Ok(answer(StatusCode::CREATED, &registered))
}
