//! Headers of real answers, held against the document that the same server gives.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::client::{Answer, Client};
use crate::running::start;

/// What is HTTP's own, and no part of a description of this server.
const OF_HTTP: [&str; 5] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "transfer-encoding",
];

/// The document's words on an answer of this status, references followed.
fn described<'a>(document: &'a Value, method: &str, route: &str, status: u16) -> &'a Value {
    let operation = &document["paths"][route][method.to_ascii_lowercase()];
    assert!(operation.is_object(), "{method} {route} is not described");
    let response = &operation["responses"][status.to_string()];
    assert!(
        response.is_object(),
        "{method} {route} does not say that it answers {status}"
    );
    match response["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap(),
        None => response,
    }
}

fn compare(document: &Value, method: &str, route: &str, answer: &Answer) {
    let response = described(document, method, route, answer.status);
    let says: BTreeSet<String> = response["headers"]
        .as_object()
        .unwrap()
        .keys()
        .map(|name| name.to_ascii_lowercase())
        .collect();
    let sent: BTreeSet<String> = answer
        .headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .filter(|name| !OF_HTTP.contains(&name.as_str()))
        .collect();
    assert_eq!(says, sent, "{method} {route}: {}", answer.status);
}

/// A path of this route, its parts filled in with what is nothing.
fn filled(route: &str) -> String {
    let parts = route.split('/').map(|part| {
        if part.starts_with('{') {
            "nothing"
        } else {
            part
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_operation_refuses_with_the_headers_that_the_document_names() {
    let server = start(|_| ());
    let (stranger, client) = (server.client(), server.signed_in());
    let document: Value = stranger.get("/v1/openapi.json").json();
    let mut statuses = BTreeSet::new();
    for (route, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let method = method.to_ascii_uppercase();
            // Last of all: whoever signs out is signed in no more.
            if (method.as_str(), route.as_str()) == ("DELETE", "/v1/session") {
                continue;
            }
            for asks in [&stranger, &client] {
                let answer = asks.send(&method, &filled(route), &[], b"").unwrap();
                compare(&document, &method, route, &answer);
                statuses.insert(answer.status);
            }
        }
    }
    for status in [200, 400, 401, 404] {
        assert!(statuses.contains(&status), "{statuses:?}");
    }
    server.stop();
}

#[test]
fn successes_and_limits_have_the_headers_that_the_document_names() {
    let server = start(|_| ());
    let client = server.signed_in();
    let document: Value = client.get("/v1/openapi.json").json();
    let asked = |method: &str, route: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let answer = client.send(method, path, headers, body).unwrap();
        compare(&document, method, route, &answer);
        answer
    };
    let (blob, path) = ("/v1/blobs/{name}", "/v1/blobs/packs/0a");
    let range = |range| [("range", range)];
    assert_eq!(asked("PUT", blob, path, &[], b"bytes").status, 201);
    assert_eq!(asked("PUT", blob, path, &[], b"bytes").status, 409);
    assert_eq!(asked("GET", blob, path, &[], b"").status, 200);
    let part = asked("GET", blob, path, &range("bytes=1-2"), b"");
    assert_eq!((part.status, part.body.as_slice()), (206, &b"yt"[..]));
    let beyond = asked("GET", blob, path, &range("bytes=9-"), b"");
    assert_eq!(beyond.status, 416);
    let invited = asked("POST", "/v1/invitations", "/v1/invitations", &[], b"");
    assert_eq!(invited.status, 201);
    let ended = asked("DELETE", "/v1/session", "/v1/session", &[], b"");
    assert_eq!(ended.status, 200);
    assert_eq!(asked("GET", blob, path, &[], b"").status, 401);
    server.stop();
    let server = start(|config| config.limits.requests_per_second = 1);
    let client: Client = server.client();
    let refused = std::iter::repeat_with(|| client.get("/v1/vault"))
        .take(1000)
        .find(|answer| answer.status == 429)
        .unwrap();
    compare(&document, "GET", "/v1/vault", &refused);
    server.stop();
}
