//! Sockets, limits, shutdown.

mod connections;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::connections::Places;
use crate::admin::{Admin, AdminError};
use crate::blobs::{self, Blobs, ObjectsFileError};
use crate::config::Config;
use crate::db::Database;
use crate::db::postgres::{self, address::Postgres};
use crate::db::sqlite::{OpenError, Sqlite};
use crate::generation::Watermark;
use crate::http::operator::{self, Operator};
use crate::http::{self, App};
use crate::keys::{KeyFile, KeyFileError, Pkcs11Error, Pkcs11Keys, ServerKeys};
use crate::rollout::Rollout;
use crate::traces::{self, Exporter};
use crate::upkeep;
use crate::vault::{Vault, rng};

/// Connections at a time; what comes beyond waits.
const CONNECTIONS: u32 = 1024;
/// The same, at the operator's port.
const OPERATORS: u32 = 16;
/// How often time's work is done.
const SWEEP: Duration = Duration::from_secs(10);
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
    /// The file that says where objects lie.
    #[error(transparent)]
    ObjectsFile(#[from] ObjectsFileError),
    /// The storage that it names.
    #[error("the storage for objects cannot be used: {0}")]
    Objects(AdminError),
    /// Keys without a database, or the other way: something is missing.
    #[error("the database is there and the server's key file is not: put it back first")]
    KeysMissing,
    /// They, or the database, do not answer.
    #[error("the server's keys cannot be tried: {0}")]
    KeysUntried(AdminError),
    /// Those of another database, or of another time.
    #[error(
        "the passwords in the database do not open under the server's keys: put back the key file, or the HSM, that \
         belongs to this database; nobody was answered, and no guess was lost"
    )]
    KeysForeign,
}

/// How often keys and database are asked at the start, and the pause between: a database whose connections were just
/// killed is busy with them.
const KEY_TRIES: u32 = 3;
const KEY_PAUSE: Duration = Duration::from_millis(500);

async fn has_its_keys(vault: &Vault) -> Result<bool, ServeError> {
    let mut left = KEY_TRIES;
    loop {
        left -= 1;
        match vault.has_its_keys().await {
            Ok(has) => return Ok(has),
            Err(refusal) if left == 0 => return Err(ServeError::KeysUntried(refusal.into())),
            Err(_) => tokio::time::sleep(KEY_PAUSE).await,
        }
    }
}

impl From<blobs::OpenError> for ServeError {
    fn from(error: blobs::OpenError) -> Self {
        match error {
            blobs::OpenError::Io(error) => error.into(),
            blobs::OpenError::Storage(error) => error.into(),
        }
    }
}

/// A vault that has its ports and the operator's socket, and does not answer yet: who connects waits for it.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
    admin_listener: Option<TcpListener>,
    operator: Router,
    socket: Option<upkeep::Socket>,
    admin: Admin,
    exporter: Option<Exporter>,
    config: Config,
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

/// Makes an empty file where there is none; nobody else may read it, nor what SQLite puts beside it.
#[cfg(unix)]
fn make_private_file(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    let mut permissions = file.metadata()?.permissions();
    if permissions.mode() & 0o077 != 0 {
        // Made by an older version, or put back from a copy.
        permissions.set_mode(0o600);
        file.set_permissions(permissions)?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_private_file(_: &Path) -> io::Result<()> {
    Ok(())
}

/// On a thread of its own: it waits for a server elsewhere.
async fn open_postgres(
    config: Postgres,
    watermark: PathBuf,
) -> Result<postgres::Opened, ServeError> {
    make_private_file(&watermark)?;
    let open = move || postgres::Postgres::open(&config, &watermark, &mut rng());
    let opened = tokio::task::spawn_blocking(open).await;
    Ok(opened.map_err(io::Error::other)??)
}

impl Server {
    /// Opens folder, keys and database, and takes ports and socket. Blocks shortly.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        Self::bind_over(config, |database| database).await
    }

    /// The same, with something between vault and database: what a test holds against what must fail.
    pub(crate) async fn bind_over(
        mut config: Config,
        over: impl FnOnce(Arc<dyn Database>) -> Arc<dyn Database>,
    ) -> Result<Self, ServeError> {
        let mut exporter = None;
        if let Some(traces) = &config.traces {
            let clock = Arc::clone(&config.clock);
            let (log, opened) = traces::open(traces, clock, &config.log)?;
            config.log = log;
            exporter = Some(opened);
        }
        make_private(&config.data)?;
        let database = config.data.join("vault.sqlite");
        let postgres = match config.database.clone() {
            Some(postgres) => Some(open_postgres(postgres, config.watermark.clone()).await?),
            None => None,
        };
        let holds_records = match &postgres {
            Some(opened) => opened.holds_records,
            None => database.exists(),
        };
        if holds_records && !config.key_file.exists() {
            return Err(ServeError::KeysMissing);
        }
        let file = KeyFile::open_or_create(&config.key_file, &mut rng())?;
        let keys: Arc<dyn ServerKeys> = match &config.hsm {
            None => Arc::new(file),
            Some(hsm) => Arc::new(Pkcs11Keys::open(hsm, file)?),
        };
        let (database, standing): (Arc<dyn Database>, _) = if let Some(opened) = postgres {
            (opened.database, opened.standing)
        } else {
            make_private_file(&database)?;
            make_private_file(&config.watermark)?;
            let watermark = Watermark::open(&config.watermark)?;
            let (database, standing) = Sqlite::open(&database, watermark, &mut rng())?;
            (database, standing)
        };
        let blobs = Blobs::open(&config.data.join("blobs"), &config.objects, config.grace)?;
        blobs
            .check()
            .await
            .map_err(|refusal| ServeError::Objects(AdminError::from(refusal)))?;
        let blobs = Arc::new(blobs);
        let clock = Arc::clone(&config.clock);
        let vault = Arc::new(Vault::new(over(database), keys, clock, standing));
        if !has_its_keys(&vault).await? {
            return Err(ServeError::KeysForeign);
        }
        let listener = TcpListener::bind(config.listen).await?;
        let address = listener.local_addr()?;
        let seen = config.data.join("rollout.seen");
        let rollout = Arc::new(Rollout::open(config.rollout.clone(), seen, &config.log));
        let router = http::router(App::new(
            Arc::clone(&vault),
            Arc::clone(&blobs),
            &config,
            address,
            Arc::clone(&rollout),
        ));
        let admin_listener = match config.admin_listen {
            Some(address) => Some(TcpListener::bind(address).await?),
            None => None,
        };
        let operator = operator::router(Operator {
            vault: Arc::clone(&vault),
            blobs: Arc::clone(&blobs),
            rollout: Arc::clone(&rollout),
            metrics: Arc::clone(vault.metrics()),
        });
        let admin = Admin {
            vault,
            blobs,
            rollout,
            rotation: Arc::default(),
        };
        if admin.is_restored() {
            config.log.line(
                "the database was put back from a copy: every password stands as if strangers had used up \
                 their guesses, until the operator accepts it",
            );
        }
        let socket = upkeep::open_socket(&config);
        Ok(Self {
            listener,
            address,
            router,
            admin_listener,
            operator,
            socket,
            admin,
            exporter,
            config,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the operator is answered.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        let listener = self.admin_listener.as_ref()?;
        listener.local_addr().ok()
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
            admin_listener,
            operator,
            socket,
            admin,
            exporter,
            config,
        } = self;
        let (stop, stopped) = watch::channel(false);
        let upkeep = upkeep::start(&admin, &config, socket, &stopped);
        let exporter = exporter.map(|exporter| tokio::spawn(exporter.run(stopped.clone())));
        let log = config.log.clone();
        let head_time = config.head_time;
        let mut ends = stopped.clone();
        let sweeper = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(SWEEP) => (),
                    _ = ends.changed() => return,
                }
                let swept = admin.sweep().await;
                admin.vault.metrics().swept(swept.is_ok());
                if let Err(error) = swept {
                    log.line(&format!("sweep: {error}"));
                }
            }
        });
        let operators = admin_listener.map(|listener| {
            let mut ends = stopped.clone();
            tokio::spawn(async move {
                let over = async {
                    let _ = ends.changed().await;
                };
                let places = Places::unshared(OPERATORS);
                connections::answer(listener, operator, places, head_time, over).await;
            })
        });
        let places = Places::shared(CONNECTIONS, config.proxies);
        connections::answer(listener, router, places, head_time, shutdown).await;
        let _ = stop.send(true);
        if let Some(operators) = operators {
            let _ = operators.await;
        }
        let _ = sweeper.await;
        if let Some(exporter) = exporter {
            let _ = exporter.await;
        }
        for task in upkeep {
            let _ = task.await;
        }
        Ok(())
    }
}
