//! `POST /v1/registrations`, `POST /v1/registrations/finish`: for a signed-in owner.

use axum::Extension;
use axum::extract::{FromRequest as _, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::{
    Code, Registered, RegistrationFinish, RegistrationStart, RegistrationStarted,
};

use super::openapi::{Routes, op};
use super::{AskedOnce, Peer, Shared, answer};
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
            .refuses(&[
                Code::UnsupportedSuite,
                Code::NotFound,
                Code::Conflict,
                Code::Destroyed,
            ])
            .idempotent(),
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
                ])
                .idempotent(),
        )
}

async fn start(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refusal> {
    app.limit_guesses(peer)?;
    let AskedOnce {
        account,
        what,
        once,
    } = AskedOnce::from_request(request, &app).await?;
    let started = app.vault.start_registration(what, account, once).await?;
    Ok(answer(StatusCode::OK, &started))
}

async fn finish(
    State(app): Shared,
    AskedOnce {
        account,
        what,
        once,
    }: AskedOnce<RegistrationFinish>,
) -> Result<Response, Refusal> {
    let finished = app.vault.finish_registration(what, account, once).await?;
    Ok(answer(StatusCode::CREATED, &finished))
}
