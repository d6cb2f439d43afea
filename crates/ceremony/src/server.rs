//! HTTP/1.1 on loopback: sockets, limits, and the thread that serves.

mod reply;
mod routes;

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::state::Shared;

/// More than a browser opens; what comes beyond waits.
const CONNECTIONS: usize = 32;
/// For the head of a request, and between two of them.
const HEAD_TIME: Duration = Duration::from_secs(15);
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
const TRIES: usize = 16;

/// Sockets on one port of both loopback addresses.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: StdListener,
    /// `None` where the computer has no IPv6.
    v6: Option<StdListener>,
    port: u16,
}

impl Sockets {
    /// Takes a free port. Never one of which somebody else holds the other address: a browser asks
    /// either for `localhost`.
    pub(crate) fn bind() -> io::Result<Self> {
        let mut last = io::ErrorKind::AddrInUse.into();
        for _ in 0..TRIES {
            let v4 = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = v4.local_addr()?.port();
            let v6 = match StdListener::bind((Ipv6Addr::LOCALHOST, port)) {
                Ok(v6) => Some(v6),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    last = error;
                    continue;
                }
                Err(_) => None,
            };
            return Ok(Self { v4, v6, port });
        }
        Err(last)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Serves until [`Shared::stop`], in a thread of its own.
pub(crate) fn serve(sockets: Sockets, shared: Arc<Shared>) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    let Sockets { v4, v6, port: _ } = sockets;
    let guard = runtime.enter();
    let v4 = listener(v4)?;
    let v6 = v6.map(listener).transpose()?;
    drop(guard);
    std::thread::Builder::new()
        .name("heirloom-ceremony".to_owned())
        .spawn(move || {
            runtime.block_on(accept(v4, v6, shared));
            // Answers on their way may still go out.
            runtime.shutdown_timeout(Duration::from_millis(200));
        })
}

fn listener(socket: StdListener) -> io::Result<TcpListener> {
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

async fn accept(v4: TcpListener, v6: Option<TcpListener>, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut turned = shared.watch();
    while !shared.is_over() {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted: io::Result<(TcpStream, SocketAddr)> = tokio::select! {
            accepted = v4.accept() => accepted,
            accepted = from(v6.as_ref()) => accepted,
            _ = turned.changed() => continue,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, say: others may be given back.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, Infallible>(routes::answer(&shared, request).await) }
            });
            // A broken connection is the page's matter: it asks again or is seen as closed.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIME)
                .max_headers(HEADERS)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(place);
        });
    }
    // The last answers are still being written.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn from(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
