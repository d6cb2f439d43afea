//! What goes on beside requests and sweeps, for the operator: the rules' file, the wrapping key's change, the search
//! for bytes without a name, the socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{Admin, AdminError};
use crate::config::{Config, Objects};
use crate::db::DbError;
use crate::rollout;

/// How often it is looked whether the wrapping key was changed.
const KEYS: Duration = Duration::from_secs(10);
/// Between two steps: requests come first.
const PAUSE: Duration = Duration::from_millis(20);
/// How often bytes are searched for that no name leads to.
const SEARCH: Duration = Duration::from_hours(24);

/// The operator's socket, at which nobody is answered yet.
#[cfg(unix)]
pub(crate) type Socket = crate::admin::socket::Socket;
#[cfg(not(unix))]
pub(crate) type Socket = std::convert::Infallible;

/// Starts all of it. The tasks end with the server.
pub(crate) fn start(
    admin: &Admin,
    config: &Config,
    socket: Option<Socket>,
    stopped: &watch::Receiver<bool>,
) -> Vec<JoinHandle<()>> {
    let mut tasks = vec![
        tokio::spawn(watch_rules(admin.clone(), config.clone(), stopped.clone())),
        tokio::spawn(wrap_anew(admin.clone(), config.clone(), stopped.clone())),
        tokio::spawn(search(admin.clone(), config.clone(), stopped.clone())),
        tokio::spawn(warn_of_others(admin.clone(), config.clone())),
    ];
    tasks.extend(socket.map(|socket| answer(socket, admin, config, stopped)));
    tasks
}

const SERVERS: &str = "SELECT count(DISTINCT server) FROM vault_mark";

/// Names of objects are in the database, which servers share; a folder of one is not the other's.
///
/// Only said: the folder may be shared too, and the other server may be gone for good.
pub(crate) async fn warn_of_others(admin: Admin, config: Config) {
    if !matches!(config.objects, Objects::Folder) {
        return;
    }
    let counted = admin.vault.run(|sql| {
        let rows = sql.query(SERVERS, &[])?;
        rows.into_iter().next().ok_or(DbError::Impossible)?.u64()
    });
    if counted.await.is_ok_and(|servers| servers > 1) {
        config.log.line(
            "another server has written to this database, and objects lie in a folder: unless all servers share that \
             folder, objects that one has are not found by the others. Several servers need --objects-s3-file",
        );
    }
}

async fn watch_rules(admin: Admin, config: Config, mut ends: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(rollout::LOOK) => (),
            _ = ends.changed() => return,
        }
        let (rollout, log) = (Arc::clone(&admin.rollout), config.log.clone());
        let _ = tokio::task::spawn_blocking(move || rollout.look(&log)).await;
    }
}

async fn wrap_anew(admin: Admin, config: Config, mut ends: watch::Receiver<bool>) {
    let started = Instant::now();
    let mut pause = PAUSE;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            _ = ends.changed() => return,
        }
        let uptime_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        pause = match admin.rewrap(uptime_ms).await {
            Ok(true) => PAUSE,
            Ok(false) => KEYS,
            Err(error) => {
                config.log.line(&format!("wrapping key: {error}"));
                KEYS
            }
        };
    }
}

/// A million objects take minutes: neither sweeps nor the server's end wait for it, and what it left is found again.
async fn search(admin: Admin, config: Config, mut ends: watch::Receiver<bool>) {
    loop {
        let searched = tokio::select! {
            searched = admin.blobs.remove_orphans(&admin.vault) => searched,
            _ = ends.changed() => return,
        };
        if let Err(refusal) = searched {
            let line = format!("objects: {}", AdminError::from(refusal));
            config.log.line(&line);
        }
        tokio::select! {
            () = tokio::time::sleep(SEARCH) => (),
            _ = ends.changed() => return,
        }
    }
}

/// Takes the socket's place, before anybody is told that the server is there.
#[cfg(unix)]
pub(crate) fn open_socket(config: &Config) -> Option<Socket> {
    let opened = Socket::bind(config.admin_socket.as_deref()?);
    opened
        .inspect_err(|error| {
            // A path that is too long for a socket, say: the server itself works.
            let line = format!("the operator's socket cannot be made: {error}");
            config.log.line(&line);
        })
        .ok()
}

#[cfg(not(unix))]
pub(crate) fn open_socket(_: &Config) -> Option<Socket> {
    None
}

#[cfg(unix)]
fn answer(
    socket: Socket,
    admin: &Admin,
    config: &Config,
    stopped: &watch::Receiver<bool>,
) -> JoinHandle<()> {
    let (admin, log, ends) = (admin.clone(), config.log.clone(), stopped.clone());
    tokio::spawn(crate::admin::socket::serve(socket, admin, log, ends))
}

#[cfg(not(unix))]
fn answer(socket: Socket, _: &Admin, _: &Config, _: &watch::Receiver<bool>) -> JoinHandle<()> {
    match socket {}
}
