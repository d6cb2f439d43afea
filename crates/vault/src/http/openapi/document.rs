//! The whole document.

use std::collections::BTreeMap;

use axum::body::Bytes;
use utoipa::openapi::info::InfoBuilder;
use utoipa::openapi::path::Paths;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, License, OpenApiBuilder};

use super::Parts;
use super::operation::{EVERY_ANSWER, text_header};

const ABOUT: &str = "Counts guesses, remembers heads and stores opaque objects; docs/vault.md says what each means. \
Every answer that is not a success is a problem (RFC 9457) with a stable code. Unknown members of requests are refused.";

/// The document of these routes as JSON, ending with a line feed.
pub(crate) fn document(paths: Paths, parts: Parts) -> Bytes {
    let mut info = InfoBuilder::new()
        .title("Heirloom vault")
        .version("1")
        .description(Some(ABOUT))
        .build();
    info.license = Some(License::new("MIT OR Apache-2.0"));
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token of `POST /v1/accounts`"))
        .build();
    let Parts { schemas, responses } = parts;
    let schemas: BTreeMap<_, _> = schemas.into_iter().collect();
    let responses: BTreeMap<_, _> = responses.into_iter().collect();
    let every_answer = EVERY_ANSWER
        .iter()
        .fold(ComponentsBuilder::new(), |components, (name, about)| {
            components.header(*name, text_header(about))
        });
    let components = every_answer
        .schemas_from_iter(schemas)
        .responses_from_iter(responses)
        .security_scheme("token", SecurityScheme::Http(token));
    let document = OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components.build()))
        .build();
    // Types of `utoipa` have no value that JSON has not.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text.into()
}
