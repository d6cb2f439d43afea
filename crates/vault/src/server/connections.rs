//! Connections: how many, how long, and with which limits.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
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

use crate::config::proxies::Proxies;
use crate::http::Peer;
use crate::limits::Who as _;

const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// What is read at a time, once that much comes: objects are long.
const READ_BYTES: usize = 128 << 10;
/// For a whole connection: whoever reads slower than this does not hold a place for ever.
const LIFE: Duration = Duration::from_hours(1);
/// For answers on their way when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// Of all places one address may have one in so many, whether it says something or not.
const PART: u32 = 4;

/// How many connections there may be at a time.
#[derive(Debug)]
pub(super) struct Places {
    most: u32,
    /// `None`: nobody is counted.
    of_peers: Option<Arc<OfPeers>>,
}

/// How many connections each address has, but for proxies that bring everybody's.
#[derive(Debug)]
struct OfPeers {
    most: u32,
    proxies: Proxies,
    counts: Mutex<HashMap<IpAddr, u32>>,
}

/// One of an address's places, until it is dropped.
#[derive(Debug)]
struct OfPeerPlace {
    of_peers: Arc<OfPeers>,
    address: IpAddr,
}

impl Places {
    /// For all alike.
    pub(super) fn unshared(most: u32) -> Self {
        Self {
            most,
            of_peers: None,
        }
    }

    /// For strangers: no address takes them all.
    pub(super) fn shared(most: u32, proxies: Proxies) -> Self {
        let of_peers = OfPeers {
            most: (most / PART).max(1),
            proxies,
            counts: Mutex::default(),
        };
        Self {
            most,
            of_peers: Some(Arc::new(of_peers)),
        }
    }
}

impl OfPeers {
    /// `Err`: this address has all that it may have. `Ok(None)`: it is not counted.
    fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Option<OfPeerPlace>, ()> {
        if self.proxies.trust(peer) {
            return Ok(None);
        }
        let address = peer.place();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_insert(0);
        if *count >= self.most {
            return Err(());
        }
        *count += 1;
        drop(counts);
        Ok(Some(OfPeerPlace {
            of_peers: Arc::clone(self),
            address,
        }))
    }
}

impl Drop for OfPeerPlace {
    fn drop(&mut self) {
        let counts = self.of_peers.counts.lock();
        let mut counts = counts.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

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

/// Answers at `listener` until `shutdown` is over, as many connections at a time as there are places; what comes
/// beyond waits. An address that has all of its own is not answered: it may have taken them to hold up others.
pub(super) async fn answer(
    listener: TcpListener,
    router: Router,
    places: Places,
    head_time: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let Places { most, of_peers } = places;
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
        let of_peer = of_peers.as_ref().map(|of_peers| of_peers.take(peer.ip()));
        let Ok(of_peer) = of_peer.transpose() else {
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
            drop((place, of_peer));
        });
    }
    drop(listener);
    let _ = stop.send(true);
    let _ = tokio::time::timeout(DRAIN, places.acquire_many(most)).await;
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpSocket, TcpStream};

    use super::*;

    async fn serve(places: Places) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(get(|| async { "here" }));
        let for_ever = std::future::pending();
        tokio::spawn(answer(listener, router, places, LIFE, for_ever));
        address
    }

    async fn connect(to: SocketAddr, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket
            .bind(SocketAddr::new(from.parse().unwrap(), 0))
            .unwrap();
        socket.connect(to).await.unwrap()
    }

    /// Whether a request on it is answered; where it is not the connection is closed.
    async fn is_answered(mut stream: TcpStream) -> bool {
        let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let mut answer = Vec::new();
        let _ = stream.write_all(request).await;
        let _ = stream.read_to_end(&mut answer).await;
        answer.ends_with(b"here")
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_does_not_hold_up_others() {
        let server = serve(Places::shared(8, Proxies::default())).await;
        let own = [
            connect(server, "127.0.0.1").await,
            connect(server, "127.0.0.1").await,
        ];
        for _ in 0..20 {
            let mut beyond = connect(server, "127.0.0.1").await;
            assert!(matches!(beyond.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        // Elsewhere the loopback has one address alone.
        #[cfg(target_os = "linux")]
        assert!(is_answered(connect(server, "127.0.0.2").await).await);
        drop(own);
        // A moment later.
        while !is_answered(connect(server, "127.0.0.1").await).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[tokio::test]
    async fn a_proxy_that_is_trusted_has_all_places() {
        let proxies = Proxies {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            ..Proxies::default()
        };
        let server = serve(Places::shared(8, proxies)).await;
        let mut open = Vec::new();
        for _ in 0..7 {
            open.push(connect(server, "127.0.0.1").await);
        }
        assert!(is_answered(connect(server, "127.0.0.1").await).await);
        for stream in open {
            assert!(is_answered(stream).await);
        }
    }

    #[test]
    fn a_network_of_one_customer_is_one_address_and_what_ends_is_forgotten() {
        let Places { of_peers, .. } = Places::shared(8, Proxies::default());
        let of_peers = of_peers.unwrap();
        let take = |address: &str| of_peers.take(address.parse().unwrap());
        let one = take("2001:db8::1").unwrap();
        let two = take("2001:db8::2").unwrap();
        assert!(take("2001:db8::3").is_err());
        let other = take("2001:db8:0:1::1").unwrap();
        drop(one);
        assert!(take("2001:db8::3").is_ok());
        drop((two, other));
        assert!(of_peers.counts.lock().unwrap().is_empty());
    }
}
