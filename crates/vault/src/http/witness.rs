//! `POST /v1/witness/advance`, `POST /v1/witness/read`: for a signed-in account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::{WitnessPut, WitnessRead};

use super::{Asked, Shared, answer};
use crate::refusal::Refusal;

pub(super) async fn advance(
    State(app): Shared,
    Asked { account, what }: Asked<WitnessPut>,
) -> Result<Response, Refusal> {
    let statement = app.vault.advance(what, account).await?;
    Ok(answer(StatusCode::OK, &statement))
}

pub(super) async fn read(
    State(app): Shared,
    Asked { account, what }: Asked<WitnessRead>,
) -> Result<Response, Refusal> {
    let statement = app.vault.witness(what, account).await?;
    Ok(answer(StatusCode::OK, &statement))
}
