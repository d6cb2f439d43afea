//! HTTP: what comes in is limited in length and time; what goes out is a page or a problem.
//!
//! How to add a route: write its handler in a file of `http/` whose `routes()` gives [`Routes`] with the path, the
//! handler and its operation ([`op`]: what it takes, answers and refuses), and merge that file in [`routes`].
//! The OpenAPI document follows; `cargo test -p heirloom-vault openapi` says when `docs/openapi.json` does not.
//! Types of the wire derive `utoipa::ToSchema` behind the feature `openapi` of `heirloom-vault-api`.

mod accounts;
mod approvals;
mod around;
mod blobs;
mod ceremony_page;
mod devices;
mod guesses;
mod handovers;
mod health;
mod idempotency;
pub(crate) mod openapi;
pub(crate) mod operator;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod reading;
mod records;
mod registrations;
mod rollout;
mod signin;
mod signin_page;
mod uploads;
mod wellknown;
mod witness;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use heirloom_vault_api::{
    AccountId, Code, DeviceId, Fixed, MAX_REQUEST_BYTES, PADDED_BYTES, Problem, Token,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::openapi::schema::{ObjectBuilder, Type};

use self::openapi::{Routes, document, op};
use crate::accounts::Tenants;
use crate::accounts::handover::Handovers;
use crate::accounts::messenger::Messengers;
use crate::accounts::relay::Relay;
use crate::accounts::tickets::Tickets;
use crate::blobs::Blobs;
use crate::config::Config;
use crate::config::proxies::Proxies;
use crate::config::well_known::WellKnown;
use crate::db::{DbError, Sql};
use crate::limits::RateLimit;
use crate::log::Log;
use crate::metrics::{LimitedBy, Metrics};
use crate::refusal::Refusal;
use crate::rollout::Rollout;
use crate::store::device::{self, Found};
use crate::store::repeat::Once;
use crate::vault::Vault;

/// For the whole of a JSON request.
const BODY_TIME: Duration = Duration::from_secs(15);

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What routes work with.
#[derive(Debug)]
pub(crate) struct App {
    vault: Arc<Vault>,
    blobs: Arc<Blobs>,
    rollout: Arc<Rollout>,
    guesses: RateLimit<IpAddr>,
    requests: RateLimit<IpAddr>,
    of_account: RateLimit<AccountId>,
    /// How long a sign-in may stay unused.
    unused_ms: u64,
    proxies: Proxies,
    well_known: WellKnown,
    metrics: Arc<Metrics>,
    /// Limits count by a clock that nobody sets.
    started: Instant,
    quota_bytes: u64,
    tenants: Tenants,
    tickets: Tickets,
    relay: Relay,
    handovers: Handovers,
    messengers: Messengers,
    /// Whoever reaches loopback may open the first account.
    first_is_free: bool,
    log: Log,
}

impl App {
    pub(crate) fn new(
        vault: Arc<Vault>,
        blobs: Arc<Blobs>,
        config: &Config,
        address: SocketAddr,
        rollout: Arc<Rollout>,
    ) -> Arc<Self> {
        let vault_metrics = Arc::clone(vault.metrics());
        Arc::new(Self {
            vault,
            blobs,
            rollout,
            guesses: RateLimit::new(config.limits.guesses_per_minute, 60_000),
            requests: RateLimit::new(config.limits.requests_per_second, 1000),
            of_account: RateLimit::new(config.account_requests_per_second, 1000),
            unused_ms: u64::try_from(config.sign_in_unused.as_millis()).unwrap_or(u64::MAX),
            proxies: config.proxies.clone(),
            well_known: config.well_known.clone(),
            metrics: vault_metrics,
            started: Instant::now(),
            quota_bytes: config.quota_bytes,
            tenants: config.tenants.clone().at(address),
            tickets: Tickets::default(),
            relay: Relay::default(),
            handovers: Handovers::default(),
            messengers: Messengers::new(config.log.clone()),
            first_is_free: config.first_account_is_free
                && config.proxies.trusted.is_empty()
                && address.ip().is_loopback(),
            log: config.log.clone(),
        })
    }

    /// For routes that cost a guess, or could be used to find something out.
    fn limit_guesses(&self, peer: Peer) -> Result<(), Refusal> {
        let taken = self.guesses.take(peer.0, self.uptime_ms());
        taken.map(drop).map_err(|wait| {
            self.metrics.limited(LimitedBy::Address);
            too_many(wait)
        })
    }

    /// For everything that an account asks, from wherever.
    fn limit_account(&self, account: AccountId) -> Result<(), Refusal> {
        let taken = self.of_account.take(account, self.uptime_ms());
        taken.map(drop).map_err(|wait| {
            self.metrics.limited(LimitedBy::Account);
            too_many(wait)
        })
    }

    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whoever is signed in; nobody where no token came. A token that is none is refused.
    async fn account(&self, headers: &HeaderMap) -> Result<Option<AccountId>, Refusal> {
        match bearer(headers)? {
            Some(token) => self.by_token(token).await.map(|(account, _)| Some(account)),
            None => Ok(None),
        }
    }

    /// The device that asks, and its account.
    async fn device(&self, headers: &HeaderMap) -> Result<(AccountId, DeviceId), Refusal> {
        self.by_token(bearer(headers)?.ok_or(Code::SignInNeeded)?)
            .await
    }

    async fn by_token(&self, token: Token) -> Result<(AccountId, DeviceId), Refusal> {
        let (now, unused) = (self.vault.now(), self.unused_ms);
        let found = self
            .vault
            .run(move |sql| device::by_token(sql, &token, now, unused))
            .await?;
        self.of_token(found)
    }

    /// The same within a transaction of the caller's; [`live`] says what it means.
    fn find_token(&self, sql: &mut dyn Sql, token: &Token, now: u64) -> Result<Found, DbError> {
        device::by_token(sql, token, now, self.unused_ms)
    }

    /// Whoever a token signs in, within the account's limit.
    fn of_token(&self, found: Found) -> Result<(AccountId, DeviceId), Refusal> {
        let (account, device) = live(found)?;
        self.limit_account(account)?;
        Ok((account, device))
    }

    /// The same, where nobody will not do.
    async fn signed_in(&self, headers: &HeaderMap) -> Result<AccountId, Refusal> {
        let account = self.account(headers).await?;
        account.ok_or_else(|| Code::SignInNeeded.into())
    }
}

/// Whoever a token signs in.
fn live(found: Found) -> Result<(AccountId, DeviceId), Code> {
    match found {
        Found::Live { account, device } => Ok((account, device)),
        Found::Ended => Err(Code::SignedOut),
        Found::Expired => Err(Code::SignInExpired),
        Found::Unknown => Err(Code::SignInNeeded),
    }
}

fn too_many(wait: u64) -> Refusal {
    Problem::from(Code::TooManyRequests)
        .retry_after(wait)
        .into()
}

fn bearer(headers: &HeaderMap) -> Result<Option<Token>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|value| value.strip_prefix("Bearer "))
        .and_then(|text| Fixed::parse(text).ok());
    match (token, values.next()) {
        (Some(token), None) => Ok(Some(Token(token))),
        _ => Err(Code::SignInNeeded.into()),
    }
}

type Shared = State<Arc<App>>;

/// A signed-in account, and what it asks for. Who is not signed in is told so before the body is looked at.
struct Asked<T> {
    account: AccountId,
    what: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let AskedOnce {
            account,
            what,
            once: _,
        } = AskedOnce::from_request(request, app).await?;
        Ok(Self { account, what })
    }
}

/// The same, of a request that may come again.
struct AskedOnce<T> {
    account: AccountId,
    what: T,
    /// Where it has an idempotency key.
    once: Option<Arc<Once>>,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for AskedOnce<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Refusal> {
        let (parts, body) = request.into_parts();
        let token = bearer(&parts.headers)?.ok_or(Code::SignInNeeded)?;
        let (account, _) = app.by_token(token.duplicate()).await?;
        let bytes = body_of_json(&parts.headers, body, MAX_REQUEST_BYTES).await?;
        let route = parts.extensions.get::<MatchedPath>();
        let route = route.map_or("", MatchedPath::as_str);
        let once = idempotency::once_of_token(&parts.headers, route, &token, &bytes)?;
        Ok(Self {
            account,
            what: parse(&bytes)?,
            once: once.map(Arc::new),
        })
    }
}

/// Every route: one line for each file of them.
fn routes() -> Routes {
    Routes::new()
        .merge(health::routes())
        .merge(wellknown::routes())
        .merge(guesses::routes())
        .merge(registrations::routes())
        .merge(records::routes())
        .merge(witness::routes())
        .merge(rollout::routes())
        .merge(accounts::routes())
        .merge(devices::routes())
        .merge(signin::routes())
        .merge(approvals::routes())
        .merge(handovers::routes())
        .merge(blobs::routes())
        .merge(uploads::routes())
}

/// Every route, and the document that describes them.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (router, paths, parts) = routes().merge(api_document()).split();
    router
        .merge(signin_page::router())
        .merge(ceremony_page::router())
        .fallback(async || refuse(&Code::NotFound.into()))
        .method_not_allowed_fallback(async || refuse(&Code::MethodNotAllowed.into()))
        .layer(Extension(Document(document(paths, parts))))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            around::around,
        ))
        .with_state(app)
}

/// A part of the path. What is no UTF-8 is a problem like all others.
pub(crate) struct Part(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Part {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let part = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = part.map_err(|_| Code::BadRequest)?;
        Ok(Self(text))
    }
}

/// The OpenAPI document, as it is served.
#[derive(Clone)]
struct Document(Bytes);

fn api_document() -> Routes {
    let any = ObjectBuilder::new().schema_type(Type::Object).build();
    Routes::new().get(
        "/v1/openapi.json",
        async |Extension(Document(text)): Extension<Document>| {
            ([(header::CONTENT_TYPE, "application/json")], text)
        },
        op("openapi", "This document").answers_schema(200, any.into()),
    )
}

/// What the log gets, on its way out.
#[derive(Clone)]
struct Line(String);

/// Reads a JSON request, whole.
async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    json_within(headers, body, MAX_REQUEST_BYTES).await
}

/// The same of a request that may be longer than others.
async fn json_within<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<T, Refusal> {
    parse(&body_of_json(headers, body, most).await?)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|_| Code::BadRequest.into())
}

/// The bytes of a JSON request, at most `most`.
async fn body_of_json(headers: &HeaderMap, body: Body, most: usize) -> Result<Bytes, Refusal> {
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().eq_ignore_ascii_case(b"application/json"));
    if !is_json {
        return Err(Code::BadRequest.into());
    }
    let read = axum::body::to_bytes(body, most);
    tokio::time::timeout(BODY_TIME, read)
        .await
        .map_err(|_| Code::CutShort)?
        .map_err(|error| match std::error::Error::source(&error) {
            Some(why) if why.is::<http_body_util::LengthLimitError>() => Code::TooLarge.into(),
            _ => Code::CutShort.into(),
        })
}

/// A JSON answer.
fn answer<T: Serialize>(status: StatusCode, value: &T) -> Response {
    with_kind(status, "application/json", value)
}

fn with_kind<T: Serialize>(status: StatusCode, kind: &'static str, value: &T) -> Response {
    let Ok(mut body) = serde_json::to_vec(value) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // Spaces after a JSON text are no part of it (RFC 8259, section 2): every short answer has one length.
    if body.len() < PADDED_BYTES {
        body.resize(PADDED_BYTES, b' ');
    }
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}

/// A problem.
fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = with_kind(status, "application/problem+json", problem);
    if let Some(wait) = problem.retry_after_s {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait));
    }
    response
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self { problem, line } = self;
        let mut response = refuse(&problem);
        if let Some(line) = line {
            response.extensions_mut().insert(Line(line));
        }
        response
    }
}

/// The document, without a vault.
#[cfg(test)]
fn openapi_json() -> Bytes {
    let (_, paths, parts) = routes().merge(api_document()).split();
    document(paths, parts)
}
