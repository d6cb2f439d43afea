//! `POST /v1/records/{activate,owner,forget,status,log}`: for a signed-in owner; the first three need the
//! owner key's signature as well. Names are in bodies, never in addresses.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::{
    Activate, Activated, ChangeOwner, Code, Forget, LogPage, LogRead, RecordStatus, StatusRead,
};

use super::openapi::{Nothing, Routes, op};
use super::{Asked, Shared, answer};
use crate::refusal::Refusal;

/// What an act of the owner may be refused for.
const ACT: &[Code] = &[
    Code::NotFound,
    Code::OwnerProofNeeded,
    Code::Conflict,
    Code::Destroyed,
];

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/records/activate",
            activate,
            op(
                "activate",
                "A proven pending version comes into force; the one before is destroyed",
            )
            .signed_in()
            .takes::<Activate>()
            .answers::<Activated>(200)
            .refuses(ACT)
            .refuses(&[Code::NotProven]),
        )
        .post(
            "/v1/records/owner",
            owner,
            op("changeOwner", "Another owner key, after a rotation")
                .signed_in()
                .takes::<ChangeOwner>()
                .answers::<Nothing>(200)
                .refuses(ACT),
        )
        .post(
            "/v1/records/forget",
            forget,
            op("forget", "Destroys the record for good")
                .signed_in()
                .takes::<Forget>()
                .answers::<Nothing>(200)
                .refuses(ACT),
        )
        .post(
            "/v1/records/status",
            status,
            op(
                "status",
                "How many guesses are left, and until when to wait",
            )
            .signed_in()
            .takes::<StatusRead>()
            .answers::<RecordStatus>(200)
            .refuses(&[Code::NotFound]),
        )
        .post(
            "/v1/records/log",
            log,
            op("log", "What happened to a record, at most 100 entries")
                .signed_in()
                .takes::<LogRead>()
                .answers::<LogPage>(200)
                .refuses(&[Code::NotFound]),
        )
}

async fn activate(
    State(app): Shared,
    Asked { account, what }: Asked<Activate>,
) -> Result<Response, Refusal> {
    let activated = app.vault.activate(what, account).await?;
    Ok(answer(StatusCode::OK, &activated))
}

async fn owner(
    State(app): Shared,
    Asked { account, what }: Asked<ChangeOwner>,
) -> Result<Response, Refusal> {
    app.vault.change_owner(what, account).await?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn forget(
    State(app): Shared,
    Asked { account, what }: Asked<Forget>,
) -> Result<Response, Refusal> {
    app.vault.forget(what, account).await?;
    Ok(answer(StatusCode::OK, &Nothing {}))
}

async fn status(
    State(app): Shared,
    Asked { account, what }: Asked<StatusRead>,
) -> Result<Response, Refusal> {
    let status = app.vault.status(what, account).await?;
    Ok(answer(StatusCode::OK, &status))
}

async fn log(
    State(app): Shared,
    Asked { account, what }: Asked<LogRead>,
) -> Result<Response, Refusal> {
    let log = app.vault.log(what, account).await?;
    Ok(answer(StatusCode::OK, &log))
}
