//! `/.well-known/`: what the operator configured; a problem where nothing is.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use heirloom_vault_api::Code;
use serde_json::Value;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};

use super::Shared;
use super::openapi::{Op, Routes, op};
use crate::refusal::Refusal;

pub(crate) fn routes() -> Routes {
    let object = || ObjectBuilder::new().schema_type(Type::Object);
    let json = |op: Op| {
        op.answers_schema(200, object().build().into())
            .refuses(&[Code::NotFound])
    };
    Routes::new()
        .get(
            "/.well-known/passkey-endpoints",
            async |State(app): Shared| of_json(app.well_known.passkey_endpoints()),
            json(op(
                "passkeyEndpoints",
                "Where passkeys are managed, and what their secrets are for",
            )),
        )
        .get(
            "/.well-known/webauthn",
            async |State(app): Shared| of_json(app.well_known.webauthn()),
            json(op("relatedOrigins", "Other origins of the same passkeys")),
        )
        .get(
            "/.well-known/apple-app-site-association",
            async |State(app): Shared| of_json(app.well_known.apple()),
            json(op(
                "appleApps",
                "Apple apps that use this domain's passkeys",
            )),
        )
        .get(
            "/.well-known/assetlinks.json",
            async |State(app): Shared| of_json(app.well_known.assetlinks()),
            op(
                "androidApps",
                "Android apps that use this domain's passkeys",
            )
            .answers_schema(200, ArrayBuilder::new().items(object()).build().into())
            .refuses(&[Code::NotFound]),
        )
        .get(
            "/.well-known/security.txt",
            async |State(app): Shared| of_text(app.well_known.security()),
            op("securityTxt", "Whom to tell about a weakness (RFC 9116)")
                .answers_text(200)
                .refuses(&[Code::NotFound]),
        )
}

/// With the kind exactly `application/json`, which Apple and Google ask for, and unpadded: it is nobody's secret.
fn of_json(value: Option<Value>) -> Result<Response, Refusal> {
    let text = value.ok_or(Code::NotFound)?.to_string();
    let kind = [(header::CONTENT_TYPE, "application/json")];
    Ok((StatusCode::OK, kind, text).into_response())
}

fn of_text(text: Option<String>) -> Result<Response, Refusal> {
    let text = text.ok_or(Code::NotFound)?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((StatusCode::OK, kind, text).into_response())
}
