//! One connection to one server: JSON calls and bytes, with limits on every answer and patience where it is safe.

use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use heirloom_vault_api::{Code, Problem, Token};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{Method, Request, Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use super::{Address, CallError};

/// The longest JSON answer: a thousand names of 200 characters.
const MAX_JSON_BYTES: u64 = 1024 * 1024;
/// The longest problem.
const MAX_PROBLEM_BYTES: u64 = 16 * 1024;
/// How often a call is made that may be made again.
const TRIES: u32 = 5;
/// How often a server may ask for more patience.
const SLOWED: u32 = 100;
/// The first pause between two of them; each next one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// No server may hold a run up for longer between two tries.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A server to talk to. The sign-in goes to its origin and nowhere else: redirects are not followed.
pub(crate) struct Client {
    agent: Agent,
    origin: String,
    authorization: Option<Zeroizing<String>>,
    first_pause: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.origin)
    }
}

/// What goes out besides method and path.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extra<'a> {
    /// A header of this call.
    pub(super) header: Option<(&'static str, &'a str)>,
    /// The body and its type.
    pub(super) body: Option<(&'static str, &'a [u8])>,
}

impl Client {
    /// Talks to the server of `address`; connects with the first call.
    pub(crate) fn new(address: &Address, token: Option<&Token>) -> Self {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        // TLS 1.3 alone (requirement A3); its first group is the hybrid one.
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some());
        let tls = TlsConfig::builder()
            .root_certs(roots(address))
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("heirloom/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .timeout_connect(Some(Duration::from_secs(15)))
            .timeout_recv_response(Some(Duration::from_mins(1)))
            .timeout_per_read(Some(Duration::from_mins(1)))
            .timeout_per_write(Some(Duration::from_mins(1)));
        // A server on this computer is not asked for through a proxy somewhere else.
        let config = if address.is_local() {
            config.proxy(None)
        } else {
            config
        };
        Self {
            agent: config.build().new_agent(),
            origin: address.origin.clone(),
            authorization: token
                .map(|Token(bytes)| Zeroizing::new(format!("Bearer {}", bytes.to_text()))),
            first_pause: FIRST_PAUSE,
        }
    }

    /// Does not wait long between two tries.
    #[cfg(test)]
    pub(super) fn hasty(mut self) -> Self {
        self.first_pause = Duration::from_millis(1);
        self
    }

    /// How long the first pause between two tries is.
    pub(super) fn first_pause(&self) -> Duration {
        self.first_pause
    }

    /// Where it talks to.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Reads something that may be asked for again.
    pub(crate) fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, CallError> {
        self.patiently(|| json(self.once(&Method::GET, path, Extra::default())?))
    }

    /// Takes something away, once.
    pub(crate) fn delete(&self, path: &str) -> Result<(), CallError> {
        self.once(&Method::DELETE, path, Extra::default()).map(drop)
    }

    /// Asks once. What has an effect that must not come twice, a guess above all, goes this way.
    pub(crate) fn post_once<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, CallError> {
        let body =
            serde_json::to_vec(question).map_err(|error| CallError::bad(error.to_string()))?;
        let body = Zeroizing::new(body);
        let extra = Extra {
            header: None,
            body: Some(("application/json", &body)),
        };
        json(self.once(&Method::POST, path, extra)?)
    }

    /// Asks, and asks again where no answer came: for what has the same effect twice as once.
    pub(crate) fn post_again<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, CallError> {
        self.patiently(|| self.post_once(path, question))
    }

    /// Makes a call up to five times, with pauses that the server may lengthen.
    pub(super) fn patiently<T>(
        &self,
        mut call: impl FnMut() -> Result<T, CallError>,
    ) -> Result<T, CallError> {
        let mut pause = self.first_pause;
        let mut tries = TRIES;
        let mut slowed = SLOWED;
        loop {
            let error = match call() {
                Err(error) if error.is_temporary() => error,
                ended => return ended,
            };
            // "Slower" is no failure: a server that says so works.
            let left = if error.code() == Some(Code::TooManyRequests) {
                &mut slowed
            } else {
                &mut tries
            };
            *left -= 1;
            if *left == 0 {
                return Err(error);
            }
            std::thread::sleep(error.asked_pause().unwrap_or(pause).min(LONGEST_PAUSE));
            pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// One request and one answer that is no problem. A range beyond an object's end is none either.
    pub(super) fn once(
        &self,
        method: &Method,
        path: &str,
        extra: Extra<'_>,
    ) -> Result<Response<Body>, CallError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.origin));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.as_str());
        }
        if let Some((name, value)) = extra.header {
            request = request.header(name, value);
        }
        let bad = |error: ureq::http::Error| CallError::bad(error.to_string());
        let answer = match extra.body {
            Some((kind, bytes)) => {
                let request = request
                    .header(CONTENT_TYPE, kind)
                    .body(bytes)
                    .map_err(bad)?;
                self.agent.run(request)
            }
            None => self.agent.run(request.body(()).map_err(bad)?),
        };
        let answer = answer.map_err(no_answer)?;
        let status = answer.status();
        if status.is_success() || status == StatusCode::RANGE_NOT_SATISFIABLE {
            return Ok(answer);
        }
        Err(problem(answer))
    }
}

/// The system's own roots; none for a server on this computer, which is asked without TLS.
fn roots(address: &Address) -> RootCerts {
    if address.is_local() {
        return RootCerts::Specific(Arc::default());
    }
    // A root that cannot be read is one fewer that is trusted.
    let found = rustls_native_certs::load_native_certs().certs;
    let certs = found
        .iter()
        .map(|cert| Certificate::from_der(cert).to_owned());
    RootCerts::Specific(Arc::new(certs.collect()))
}

/// Reads at most `limit` bytes of an answer, whatever length it states.
pub(super) fn bytes(answer: Response<Body>, limit: u64) -> Result<Vec<u8>, CallError> {
    let mut bytes = Vec::new();
    answer
        .into_body()
        .into_reader()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(|error| CallError::NoAnswer {
            why: crate::failure::io_words(&error),
        })?;
    Ok(bytes)
}

pub(super) fn json<A: DeserializeOwned>(answer: Response<Body>) -> Result<A, CallError> {
    let bytes = Zeroizing::new(bytes(answer, MAX_JSON_BYTES + 1)?);
    if u64::try_from(bytes.len()).map_or(true, |len| len > MAX_JSON_BYTES) {
        return Err(CallError::bad("its answer is too long"));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        CallError::bad(format!(
            "its answer has another form: line {}",
            error.line()
        ))
    })
}

fn no_answer(error: ureq::Error) -> CallError {
    match error {
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(error) => not_safe(error),
            None => CallError::NoAnswer {
                why: crate::failure::io_words(&error),
            },
        },
        ureq::Error::HostNotFound => CallError::NoAnswer {
            why: "there is no computer of this name".into(),
        },
        ureq::Error::ConnectionFailed => CallError::NoAnswer {
            why: "the connection failed".into(),
        },
        ureq::Error::Timeout(_) => CallError::NoAnswer {
            why: "it did not answer in time".into(),
        },
        ureq::Error::Rustls(error) => not_safe(&error),
        ureq::Error::Protocol(error) => CallError::bad(error.to_string()),
        other => CallError::NoAnswer {
            why: other.to_string(),
        },
    }
}

fn not_safe(error: &rustls::Error) -> CallError {
    let why = match error {
        rustls::Error::InvalidCertificate(_) => "this computer does not trust its certificate",
        rustls::Error::AlertReceived(_) | rustls::Error::PeerIncompatible(_) => {
            "it does not speak TLS 1.3"
        }
        _ => "it does not speak TLS as it should",
    };
    CallError::NotSafe { why }
}

/// What the server said; where it is no Heirloom server's way to say it, what its status means.
fn problem(answer: Response<Body>) -> CallError {
    let status = answer.status();
    let retry_after_s = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.trim().parse().ok());
    let said = bytes(answer, MAX_PROBLEM_BYTES)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Problem>(&bytes).ok());
    let problem = said.or_else(|| from_status(status).map(Problem::from));
    match problem {
        Some(mut problem) => {
            problem.retry_after_s = problem.retry_after_s.or(retry_after_s);
            CallError::Refused(Box::new(problem))
        }
        None => CallError::bad(format!("it answered with status {}", status.as_u16())),
    }
}

fn from_status(status: StatusCode) -> Option<Code> {
    Some(match status.as_u16() {
        401 => Code::SignInNeeded,
        404 => Code::NotFound,
        409 | 412 => Code::Conflict,
        408 => Code::CutShort,
        413 => Code::TooLarge,
        429 => Code::TooManyRequests,
        507 => Code::QuotaExceeded,
        502..=504 => Code::Unavailable,
        _ => return None,
    })
}
