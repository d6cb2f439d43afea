//! `POST /signin`: the page itself, on the domain that passkeys are for. No part of it is a secret.
//!
//! It is opened by a form that the program writes into a file: so the session stands in no address.

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use heirloom_vault_api::Fixed;
use serde::Deserialize;

use super::App;

const PAGE: &str = include_str!("page/signin.html");
const NOTICE: &str = include_str!("page/notice.html");
const SCRIPT: &str = include_str!("page/signin.js");
// One look for all pages that ask for a passkey; the crate itself must not be reached from here.
const STYLE: &str = include_str!("../../../ceremony/src/page/ceremony.css");

pub(super) const HTML: &str = "text/html; charset=utf-8";
/// The form has three short fields.
const MAX_FORM_BYTES: usize = 256;

const HEADERS: [(&str, &str); 9] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; form-action 'none'; \
         frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
    (
        "permissions-policy",
        "publickey-credentials-get=(self), publickey-credentials-create=(self), camera=(), geolocation=(), \
         microphone=(), payment=(), usb=(), serial=(), hid=(), display-capture=()",
    ),
    ("x-robots-tag", "noindex"),
];

/// For browsers alone: they are no part of the API's document.
pub(super) fn router() -> Router<std::sync::Arc<App>> {
    Router::new()
        .route("/signin", get(async || page(NOTICE)).post(opened))
        .route("/signin.js", get(async || file("text/javascript", SCRIPT)))
        .route("/signin.css", get(async || file("text/css", STYLE)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    session: Fixed<16>,
    /// Of the program that listens on the browser's computer.
    port: u16,
    /// By which the program knows its own.
    state: Fixed<16>,
}

/// Reads the form. Nobody without rights listens below 1024.
pub(super) fn form(bytes: &[u8]) -> Option<Form> {
    let query = format!("/?{}", std::str::from_utf8(bytes).ok()?);
    let Query(form) = Query::try_from_uri(&query.parse().ok()?).ok()?;
    Some(form).filter(|form: &Form| form.port >= 1024)
}

async fn opened(body: Body) -> Response {
    let read = async {
        let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.ok()?;
        let Form {
            session,
            port,
            state,
        } = form(&bytes)?;
        // What stands in the page was read as bytes and a number: nothing needs an escape.
        let text = PAGE
            .replace("{{session}}", &session.to_text())
            .replace("{{port}}", &port.to_string())
            .replace("{{state}}", &state.to_text());
        Some(page(&text))
    };
    if let Ok(Some(page)) = tokio::time::timeout(super::BODY_TIME, read).await {
        page
    } else {
        let mut notice = page(NOTICE);
        *notice.status_mut() = StatusCode::BAD_REQUEST;
        notice
    }
}

fn page(text: &str) -> Response {
    file(HTML, text)
}

/// A file for browsers alone, with the guards that all of them have.
pub(super) fn file(kind: &'static str, text: &str) -> Response {
    let mut response = ([(header::CONTENT_TYPE, kind)], text.to_owned()).into_response();
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}
