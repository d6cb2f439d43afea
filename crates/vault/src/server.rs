//! Sockets, limits, shutdown.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::admin::{Admin, AdminError};
use crate::blobs::Blobs;
use crate::config::Config;
use crate::db::sqlite::{OpenError, Sqlite};
use crate::generation::Watermark;
use crate::http::{self, App, Peer};
use crate::keys::{KeyFile, KeyFileError, Pkcs11Error, Pkcs11Keys, ServerKeys};
use crate::vault::{Vault, rng};

/// Connections at a time; what comes beyond waits.
const CONNECTIONS: u32 = 1024;
/// For the head of a request, and between two of them.
const HEAD_TIME: Duration = Duration::from_secs(15);
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// For a whole connection: whoever reads slower than this does not hold a place for ever.
const LIFE: Duration = Duration::from_hours(1);
/// How often time's work is done.
const SWEEP: Duration = Duration::from_secs(10);
/// For answers on their way when the server ends.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the vault does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The folder or the address.
    #[error("the vault cannot be started: {0}")]
    Io(#[from] io::Error),
    /// The server's keys.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The HSM.
    #[error(transparent)]
    Hsm(#[from] Pkcs11Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// Keys without a database, or the other way: something is missing.
    #[error("the database is there and the server's key file is not: put it back first")]
    KeysMissing,
}

/// A vault that has its port, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    admin: Admin,
    config: Config,
}

/// The routes, told who asks.
struct OfPeer {
    router: TowerToHyperService<Router>,
    peer: Peer,
}

impl Service<Request<Incoming>> for OfPeer {
    type Response = Response;
    type Error = Infallible;
    type Future = <TowerToHyperService<Router> as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.router.call(request)
    }
}

/// Serves until `shutdown` is over; then answers what was asked, and ends.
pub async fn serve(
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    Server::bind(config).await?.run(shutdown).await
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)
}

impl Server {
    /// Opens folder, keys and database, and takes the port. Blocks shortly.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        make_private(&config.data)?;
        let database = config.data.join("vault.sqlite");
        if database.exists() && !config.key_file.exists() {
            return Err(ServeError::KeysMissing);
        }
        let file = KeyFile::open_or_create(&config.key_file, &mut rng())?;
        let keys: Arc<dyn ServerKeys> = match &config.hsm {
            None => Arc::new(file),
            Some(hsm) => Arc::new(Pkcs11Keys::open(hsm, file)?),
        };
        let watermark = Watermark::open(&config.watermark)?;
        let (database, standing) = Sqlite::open(&database, watermark, &mut rng())?;
        let blobs = Arc::new(Blobs::open(config.data.join("blobs"), config.grace)?);
        let clock = Arc::clone(&config.clock);
        let vault = Arc::new(Vault::new(database, keys, clock, standing));
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let router = http::router(App::new(
            Arc::clone(&vault),
            Arc::clone(&blobs),
            &config,
            address,
        ));
        let admin = Admin { vault, blobs };
        if admin.is_restored() {
            config.log.line(
                "the database was put back from a copy: every password stands as if strangers had used up \
                 their guesses, until the operator accepts it",
            );
        }
        Ok(Self {
            listener,
            address,
            router,
            admin,
            config,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The operator's acts; good while the server runs.
    pub fn admin(&self) -> Admin {
        self.admin.clone()
    }

    /// Answers until `shutdown` is over.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        let Self {
            listener,
            address: _,
            router,
            admin,
            config,
        } = self;
        let (stop, stopped) = watch::channel(false);
        let log = config.log.clone();
        let mut ends = stopped.clone();
        let sweeper = tokio::spawn(async move {
            if let Err(refusal) = admin.blobs.remove_orphans(&admin.vault).await {
                log.line(&format!("objects: {}", AdminError::from(refusal)));
            }
            loop {
                tokio::select! {
                    () = tokio::time::sleep(SWEEP) => (),
                    _ = ends.changed() => return,
                }
                if let Err(error) = admin.sweep().await {
                    log.line(&format!("sweep: {error}"));
                }
            }
        });
        let places = Arc::new(Semaphore::new(usize::try_from(CONNECTIONS).unwrap_or(1)));
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
                    .header_read_timeout(HEAD_TIME)
                    .max_headers(HEADERS)
                    .max_buf_size(HEAD_BYTES)
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
        let _ = tokio::time::timeout(DRAIN, places.acquire_many(CONNECTIONS)).await;
        let _ = sweeper.await;
        Ok(())
    }
}
