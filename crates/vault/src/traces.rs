//! Traces for the operator's collector: a span for each request, in OTLP over HTTP (JSON). Off unless configured.
//!
//! A span says what a line of the log says: method, the route's template, status, duration. It begins a trace of its
//! own: a trace that a client named would link what it asks. The few members that this takes are written here rather
//! than by OpenTelemetry's SDK, which would bring seven crates and a thread for what is one JSON object.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, StatusCode, Uri, header};
use heirloom_vault_api::Fixed;
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::clock::Clock;
use crate::log::{Entry, Log, RequestEntry};
use crate::vault::random;

/// Spans that may wait; what comes beyond is dropped, for requests come first.
const QUEUE: usize = 8192;
/// Spans of one message.
const BATCH: usize = 512;
/// How often waiting ones are sent.
const EVERY: Duration = Duration::from_secs(2);
/// For one message.
const TIME: Duration = Duration::from_secs(5);
/// `SPAN_KIND_SERVER`, `STATUS_CODE_ERROR` (opentelemetry-proto, `trace.proto`).
const SERVER: u8 = 2;
const ERROR: u8 = 2;

/// Where spans go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces(Uri);

/// Not an address of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a collector's address begins with http:// or https:// and has neither a name in it nor a query"
)]
pub struct BadTraces;

impl Traces {
    /// Takes a collector's address as `OTEL_EXPORTER_OTLP_ENDPOINT` has it: `/v1/traces` follows it.
    pub fn new(endpoint: &str) -> Result<Self, BadTraces> {
        let address = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        let uri: Uri = address.parse().map_err(|_| BadTraces)?;
        let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        let is_plain = !address.contains('@') && uri.query().is_none();
        (is_http && has_host && is_plain)
            .then_some(Self(uri))
            .ok_or(BadTraces)
    }
}

/// A request that was answered.
#[derive(Debug)]
struct Span {
    method: String,
    route: String,
    status: u16,
    end_ms: u64,
    took_us: u64,
}

impl Span {
    fn to_json(&self) -> Value {
        let Self {
            method,
            route,
            status,
            end_ms,
            took_us,
        } = self;
        let end = u128::from(*end_ms) * 1_000_000;
        let begin = end.saturating_sub(u128::from(*took_us) * 1000);
        let mut attributes = vec![
            json!({"key": "http.request.method", "value": {"stringValue": method}}),
            json!({"key": "http.route", "value": {"stringValue": route}}),
            json!({"key": "http.response.status_code", "value": {"intValue": status.to_string()}}),
        ];
        let is_error = *status >= 500;
        if is_error {
            attributes
                .push(json!({"key": "error.type", "value": {"stringValue": status.to_string()}}));
        }
        let (trace, span): (Fixed<16>, Fixed<8>) = (random(), random());
        json!({
            "traceId": hex(trace.as_bytes()),
            "spanId": hex(span.as_bytes()),
            "name": format!("{method} {route}"),
            "kind": SERVER,
            "startTimeUnixNano": begin.to_string(),
            "endTimeUnixNano": end.to_string(),
            "attributes": attributes,
            "status": if is_error { json!({"code": ERROR}) } else { json!({}) },
        })
    }
}

/// Ids are hexadecimal in OTLP's JSON, unlike other bytes.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `ExportTraceServiceRequest`.
fn message(spans: &[Span]) -> Value {
    let attribute = |key, value| json!({"key": key, "value": {"stringValue": value}});
    json!({"resourceSpans": [{
        "resource": {"attributes": [
            attribute("service.name", "heirloom-vault"),
            attribute("service.version", env!("CARGO_PKG_VERSION")),
        ]},
        "scopeSpans": [{
            "scope": {"name": "heirloom-vault"},
            "spans": spans.iter().map(Span::to_json).collect::<Vec<_>>(),
        }],
    }]})
}

/// Sends what waits, until the server ends.
#[derive(Debug)]
pub(crate) struct Exporter {
    address: Uri,
    queue: mpsc::Receiver<Span>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    log: Log,
    /// Whether the operator knows that the collector does not take them.
    is_told: bool,
}

/// A log whose requests are spans too, and what sends them.
pub(crate) fn open(
    traces: &Traces,
    clock: Arc<dyn Clock>,
    log: &Log,
) -> Result<(Log, Exporter), std::io::Error> {
    let (spans, queue) = mpsc::channel(QUEUE);
    let both = log.also(move |entry: &Entry<'_>| {
        let Some(RequestEntry {
            method,
            route,
            status,
            took_us,
        }) = entry.request
        else {
            return;
        };
        let span = Span {
            method: method.to_owned(),
            route: route.to_owned(),
            status,
            end_ms: clock.now_ms(),
            took_us,
        };
        // A collector that is slow costs spans and no request.
        let _ = spans.try_send(span);
    });
    let exporter = Exporter {
        address: traces.0.clone(),
        queue,
        client: client()?,
        log: log.clone(),
        is_told: false,
    };
    Ok((both, exporter))
}

fn client() -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, std::io::Error> {
    let tls = rustls::ClientConfig::builder_with_provider(
        rustls::crypto::aws_lc_rs::default_provider().into(),
    )
    .with_protocol_versions(&[&rustls::version::TLS13])
    .map_err(std::io::Error::other)?;
    let mut roots = rustls::RootCertStore::empty();
    // A root that cannot be read is one fewer that is trusted.
    let _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.with_root_certificates(roots).with_no_client_auth())
        .https_or_http()
        .enable_http1()
        .build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

impl Exporter {
    /// Ends when `ends` changes, after what waits then was sent.
    pub(crate) async fn run(mut self, mut ends: watch::Receiver<bool>) {
        loop {
            let is_over = tokio::select! {
                () = tokio::time::sleep(EVERY) => false,
                _ = ends.changed() => true,
            };
            while self.send_some().await {}
            if is_over {
                return;
            }
        }
    }

    /// Whether more may wait. What was not taken is gone: it is told once, and once more after it went well.
    async fn send_some(&mut self) -> bool {
        let mut spans = Vec::new();
        while spans.len() < BATCH
            && let Ok(span) = self.queue.try_recv()
        {
            spans.push(span);
        }
        if spans.is_empty() {
            return false;
        }
        match tokio::time::timeout(TIME, self.send(&spans)).await {
            Ok(Ok(())) => self.is_told = false,
            Ok(Err(why)) => self.tell(&why),
            Err(_) => self.tell("it does not answer"),
        }
        // One that does not take them is not asked again at once.
        spans.len() == BATCH && !self.is_told
    }

    fn tell(&mut self, why: &str) {
        if !self.is_told {
            self.log
                .line(&format!("traces do not reach their collector: {why}"));
        }
        self.is_told = true;
    }

    async fn send(&self, spans: &[Span]) -> Result<(), String> {
        let body = message(spans).to_string();
        let request = Request::post(self.address.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await;
        let answer = answer.map_err(|_| "it is not reached".to_owned())?;
        if answer.status() == StatusCode::OK {
            Ok(())
        } else {
            Err(format!("it answers {}", answer.status().as_u16()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_http_and_holds_no_name() {
        let good = Traces::new("http://localhost:4318/").unwrap();
        assert_eq!(good.0.to_string(), "http://localhost:4318/v1/traces");
        assert!(Traces::new("https://collector.example/otlp").is_ok());
        for bad in [
            "",
            "localhost:4318",
            "ftp://a",
            "http://",
            "http://me:secret@a",
            "http://a/?key=1",
        ] {
            assert_eq!(Traces::new(bad), Err(BadTraces), "{bad}");
        }
    }

    #[test]
    fn a_span_is_written_as_otlp_says() {
        let span = Span {
            method: "GET".to_owned(),
            route: "/v1/vault".to_owned(),
            status: 503,
            end_ms: 10,
            took_us: 2500,
        };
        let written = span.to_json();
        let is_hex = |name: &str, digits: usize| {
            let text = written[name].as_str().unwrap();
            text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit())
        };
        assert!(is_hex("traceId", 32) && is_hex("spanId", 16));
        assert_eq!(written["startTimeUnixNano"], "7500000");
        assert_eq!(written["endTimeUnixNano"], "10000000");
        assert_eq!(written["status"]["code"], 2);
        let attributes = written["attributes"].as_array().unwrap();
        assert_eq!(attributes[2]["value"]["intValue"], "503");
        assert_eq!(attributes[3]["key"], "error.type");
    }
}
