//! Around every route: who asks, the address's limit, headers that every answer has, numbers and lines.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use heirloom_vault_api::{Code, Problem};

use super::{Line, Peer, Shared, refuse};
use crate::limits::Left;
use crate::metrics::{LimitedBy, Metrics, Way};

/// Of no route of ours.
const NO_ROUTE: &str = "none";

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LEFT: HeaderName = HeaderName::from_static("ratelimit");

/// A request that is being answered, however it ends.
struct InFlight(Arc<Metrics>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.ended();
    }
}

pub(super) async fn around(
    State(app): Shared,
    Extension(peer): Extension<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    app.metrics.asked();
    let _in_flight = InFlight(Arc::clone(&app.metrics));
    let peer = Peer(app.proxies.client(peer.0, request.headers()));
    request.extensions_mut().insert(peer);
    let route: Arc<str> = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(NO_ROUTE, MatchedPath::as_str)
        .into();
    let method = word(request.method());
    let of_objects = route.starts_with("/v1/blobs/");
    let sent = of_objects
        .then(|| content_length(request.headers()))
        .flatten();
    let taken = app.requests.take(peer.0, app.uptime_ms());
    let mut response = match taken {
        Ok(_) => next.run(request).await,
        Err(wait) => {
            app.metrics.limited(LimitedBy::Address);
            refuse(&Problem::from(Code::TooManyRequests).retry_after(wait))
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let (most, seconds) = app.requests.policy();
    let left = taken.unwrap_or_else(|reset_s| Left {
        requests: 0,
        reset_s,
    });
    let policy = format!("\"address\";q={most};w={seconds}");
    let left = format!("\"address\";r={};t={}", left.requests, left.reset_s);
    for (name, value) in [(POLICY, policy), (LEFT, left)] {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(Line(line)) = response.extensions().get() {
        app.log.line(line);
    }
    if of_objects && status.is_success() {
        app.metrics.moved(Way::In, sent.unwrap_or(0));
        if method == "GET" {
            app.metrics
                .moved(Way::Out, content_length(response.headers()).unwrap_or(0));
        }
    }
    let took = began.elapsed();
    app.metrics.answered(method, &route, status.as_u16(), took);
    app.log.request(method, &route, status.as_u16(), took);
    response
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Methods are texts that anybody makes up: labels are of a fixed number.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
