//! Connections: how many, how long, and with which limits.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::{Either, Ready, ready};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::http::Peer;

const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// What is read at a time, once that much comes: objects are long.
const READ_BYTES: usize = 128 << 10;
/// For a whole connection: whoever reads slower than this does not hold a place for ever.
const LIFE: Duration = Duration::from_hours(1);
/// For answers on their way when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// The routes, told who asks.
struct OfPeer {
    router: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<Request<Incoming>> for OfPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Response, Infallible>>,
        <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future,
    >;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if head_bytes(&request) > HEAD_BYTES {
            let refused = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response();
            return Either::Left(ready(Ok(refused)));
        }
        request.extensions_mut().insert(self.peer);
        Either::Right(self.router.call(request))
    }
}

/// About what the head took on the wire.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let uri = request.uri();
    let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + 4);
    path + headers.sum::<usize>()
}

/// Answers at `listener` until `shutdown` is over, at most `most` connections at a time; what comes beyond waits.
pub(super) async fn answer(
    listener: TcpListener,
    router: Router,
    most: u32,
    head_time: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(1)));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        let (Ok(place), Ok((stream, peer))) = (place, accepted) else {
            // Out of file descriptors, say: others may be given back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = OfPeer {
            router: TowerToHyperService::new(router.clone()),
            peer: Peer(peer.ip()),
        };
        let mut ends = stopped.clone();
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(head_time)
                // What came before a cut is handed over, not dropped with the connection.
                .half_close(true)
                .max_headers(HEADERS)
                .max_buf_size(READ_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = std::pin::pin!(connection);
            // A broken connection is the client's matter.
            tokio::select! {
                _ = connection.as_mut() => (),
                () = tokio::time::sleep(LIFE) => (),
                _ = ends.changed() => {
                    connection.as_mut().graceful_shutdown();
                    let _ = connection.await;
                }
            }
            drop(place);
        });
    }
    drop(listener);
    let _ = stop.send(true);
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(most)).await;
}
