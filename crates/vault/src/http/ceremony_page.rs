//! `GET /ceremony`: the page on which a passkey opens a backup, on the domain that the passkey is for,
//! or lets a computer into an account.
//!
//! It is the same for all: what is asked stands in the part of an address that no browser sends. Its scripts are those
//! of the program's own page, so that what a passkey gives is sealed by one piece of code.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::App;
use super::signin_page::{HTML, file};

// The crate itself must not be reached from here: these are files, and none of them is a secret.
const PAGE: &str = include_str!("../../../ceremony/src/page/handover.html");
const SCRIPT: &str = include_str!("../../../ceremony/src/page/ceremony.js");
const HANDOVER: &str = include_str!("../../../ceremony/src/page/handover.js");
const LET_IN: &str = include_str!("../../../ceremony/src/page/letin.js");
const STYLE: &str = include_str!("../../../ceremony/src/page/ceremony.css");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// For browsers alone: they are no part of the API's document.
pub(super) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/ceremony", get(async || file(HTML, PAGE)))
        .route("/ceremony.js", get(async || file(JAVASCRIPT, SCRIPT)))
        .route("/handover.js", get(async || file(JAVASCRIPT, HANDOVER)))
        .route("/letin.js", get(async || file(JAVASCRIPT, LET_IN)))
        .route(
            "/ceremony.css",
            get(async || file("text/css; charset=utf-8", STYLE)),
        )
}
