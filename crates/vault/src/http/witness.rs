//! `POST /v1/witness/advance`, `POST /v1/witness/read`: for a signed-in account.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use heirloom_vault_api::{Code, WitnessPut, WitnessRead, Witnessed};

use super::openapi::{Routes, op};
use super::{Asked, AskedOnce, Shared, answer};
use crate::refusal::Refusal;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .post(
            "/v1/witness/advance",
            advance,
            op("advance", "Compare-and-set of a lineage's head and keyring")
                .signed_in()
                .takes::<WitnessPut>()
                .answers::<Witnessed>(200)
                .refuses(&[Code::Conflict])
                .idempotent(),
        )
        .post(
            "/v1/witness/read",
            read,
            op("readWitness", "What is there now, signed over the nonce")
                .signed_in()
                .takes::<WitnessRead>()
                .answers::<Witnessed>(200),
        )
}

async fn advance(
    State(app): Shared,
    AskedOnce {
        account,
        what,
        once,
    }: AskedOnce<WitnessPut>,
) -> Result<Response, Refusal> {
    let statement = app.vault.advance(what, account, once).await?;
    Ok(answer(StatusCode::OK, &statement))
}

async fn read(
    State(app): Shared,
    Asked { account, what }: Asked<WitnessRead>,
) -> Result<Response, Refusal> {
    let statement = app.vault.witness(what, account).await?;
    Ok(answer(StatusCode::OK, &statement))
}
