//! `GET /v1/devices`, `DELETE /v1/devices/{device}`: who is signed in, and the end of it at once.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use heirloom_vault_api::{Code, DeviceList, Fixed};

use super::openapi::{Nothing, Routes, op};
use super::{Part, Shared, answer};
use crate::refusal::Refusal;
use crate::store::device;

pub(crate) fn routes() -> Routes {
    Routes::new()
        .get(
            "/v1/devices",
            list,
            op("devices", "The devices that are signed in to the account")
                .signed_in()
                .answers::<DeviceList>(200),
        )
        .delete(
            "/v1/devices/{device}",
            end,
            op(
                "signOutDevice",
                "Signs a device of the account out, at once",
            )
            .signed_in()
            .of_path::<heirloom_vault_api::DeviceId>("device", "The device's id")
            .answers::<Nothing>(200)
            .refuses(&[Code::NotFound]),
        )
}

async fn list(State(app): Shared, headers: HeaderMap) -> Result<Response, Refusal> {
    let (account, present) = app.device(&headers).await?;
    let devices = app
        .vault
        .run(move |sql| device::list(sql, &account, &present))
        .await?;
    Ok(answer(StatusCode::OK, &DeviceList { devices }))
}

async fn end(
    State(app): Shared,
    Part(name): Part,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (account, _) = app.device(&headers).await?;
    let device = Fixed::parse(&name).map_err(|_| Code::NotFound)?;
    let now = app.vault.now();
    let ended = app
        .vault
        .run(move |sql| device::end(sql, &account, &device, now))
        .await?;
    if !ended {
        return Err(Code::NotFound.into());
    }
    Ok(answer(StatusCode::OK, &Nothing {}))
}
