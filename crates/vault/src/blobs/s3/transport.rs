//! HTTP to the storage: TLS 1.3 under the system's roots, and patience with a bound.
//!
//! Every request here has the same effect twice as once, for no name is written with two contents: so each may be
//! asked again whatever became of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode, header};
use futures_util::stream;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opendal::{Buffer, Error, ErrorKind, HttpBody, HttpTransport};

/// How often one request is sent.
const TRIES: u32 = 4;
/// The first pause between two of them; each next one is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that a storage may ask for.
const LONGEST: Duration = Duration::from_secs(5);
/// A request's body, whose length is known.
struct Sent(Buffer);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.next().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.0.len()).unwrap_or(u64::MAX))
    }
}

/// A pool of connections.
pub(super) struct Transport {
    client: Client<HttpsConnector<HttpConnector>, Sent>,
    /// Until the head of an answer is there, and between two parts of its body.
    patience: Duration,
}

impl Transport {
    /// `is_plain`: the endpoint is asked without TLS, and no roots are read.
    pub(super) fn new(is_plain: bool, patience: Duration) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        if !is_plain {
            // A root that cannot be read is one fewer that is trusted.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("TLS 1.3 has cipher suites in this provider")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(Duration::from_secs(10)));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_max_idle_per_host(32)
            .build(connector);
        Self { client, patience }
    }

    async fn once(&self, parts: Parts, body: Buffer) -> Result<Response<Incoming>, Error> {
        let request = Request::from_parts(parts, Sent(body));
        match tokio::time::timeout(self.patience, self.client.request(request)).await {
            Err(_) => Err(temporary("it did not answer in time")),
            Ok(Err(error)) => Err(temporary("no answer").set_source(error)),
            Ok(Ok(answer)) => Ok(answer),
        }
    }
}

fn temporary(why: &'static str) -> Error {
    Error::new(ErrorKind::Unexpected, why).set_temporary()
}

/// Whether the same request may go through a moment later.
fn is_temporary(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
}

fn asked_pause(answer: &Response<Incoming>) -> Option<Duration> {
    let seconds = answer.headers().get(header::RETRY_AFTER)?;
    let seconds = seconds.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST))
}

impl HttpTransport for Transport {
    async fn fetch(&self, request: Request<Buffer>) -> Result<Response<HttpBody>, Error> {
        let (parts, body) = request.into_parts();
        let mut pause = PAUSE;
        let mut left = TRIES;
        loop {
            left -= 1;
            let answer = self.once(parts.clone(), body.clone()).await;
            let asked = match answer {
                Ok(answer) if left == 0 || !is_temporary(answer.status()) => {
                    return Ok(given(answer, self.patience));
                }
                Err(error) if left == 0 => return Err(error),
                Ok(answer) => asked_pause(&answer),
                Err(_) => None,
            };
            tokio::time::sleep(asked.unwrap_or(pause)).await;
            pause *= 2;
        }
    }
}

/// The answer, whose body must go on coming.
fn given(answer: Response<Incoming>, patience: Duration) -> Response<HttpBody> {
    let (parts, body) = answer.into_parts();
    let stated = body.size_hint().exact();
    let bytes = stream::try_unfold(body, move |mut body| async move {
        loop {
            let frame = tokio::time::timeout(patience, body.frame()).await;
            let frame = frame.map_err(|_| temporary("it went silent"))?;
            match frame {
                None => return Ok(None),
                Some(Err(error)) => return Err(temporary("it broke off").set_source(error)),
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data()
                        && !bytes.is_empty()
                    {
                        return Ok(Some((Buffer::from(bytes), body)));
                    }
                }
            }
        }
    });
    Response::from_parts(parts, HttpBody::new(Box::pin(bytes), stated))
}
