//! `POST /v1/records/{activate,owner,forget,status,log}`: for a signed-in owner; the first three need the
//! owner key's signature as well. Names are in bodies, never in addresses.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::{Activate, ChangeOwner, Forget, LogRead, StatusRead};
use serde_json::json as object;

use super::{Asked, Shared, answer};
use crate::refusal::Refusal;

pub(super) async fn activate(
    State(app): Shared,
    Asked { account, what }: Asked<Activate>,
) -> Result<Response, Refusal> {
    let activated = app.vault.activate(what, account).await?;
    Ok(answer(StatusCode::OK, &activated))
}

pub(super) async fn owner(
    State(app): Shared,
    Asked { account, what }: Asked<ChangeOwner>,
) -> Result<Response, Refusal> {
    app.vault.change_owner(what, account).await?;
    Ok(answer(StatusCode::OK, &object!({})))
}

pub(super) async fn forget(
    State(app): Shared,
    Asked { account, what }: Asked<Forget>,
) -> Result<Response, Refusal> {
    app.vault.forget(what, account).await?;
    Ok(answer(StatusCode::OK, &object!({})))
}

pub(super) async fn status(
    State(app): Shared,
    Asked { account, what }: Asked<StatusRead>,
) -> Result<Response, Refusal> {
    let status = app.vault.status(what, account).await?;
    Ok(answer(StatusCode::OK, &status))
}

pub(super) async fn log(
    State(app): Shared,
    Asked { account, what }: Asked<LogRead>,
) -> Result<Response, Refusal> {
    let log = app.vault.log(what, account).await?;
    Ok(answer(StatusCode::OK, &log))
}
