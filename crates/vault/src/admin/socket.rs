//! The operator's socket in the data folder: for who runs the server, and for root.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::wire::{Answer, Ask};
use super::{Admin, AdminError};
use crate::config::Log;

/// The longest question.
const MOST_BYTES: u64 = 4096;
/// For it to come, and for the answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// The socket in its place, which is free again when this goes. Who connects waits until it is answered.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Takes the place. Whoever is there already is gone: the database is open in one process alone.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        match std::fs::remove_file(path) {
            Ok(()) => (),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
        let listener = UnixListener::bind(path)?;
        let socket = Self {
            listener,
            path: path.to_owned(),
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(socket)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers, one after the other, until the server ends.
pub(crate) async fn serve(socket: Socket, admin: Admin, log: Log, mut ends: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = socket.listener.accept() => accepted,
            _ = ends.changed() => return,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, say.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // Whoever connected before the socket had its mode is looked at here.
        if !is_host(&stream) {
            log.line("the operator's socket: somebody else was turned away");
            continue;
        }
        // A broken connection is the operator's matter.
        let _ = answer(stream, &admin).await;
    }
}

fn is_host(stream: &UnixStream) -> bool {
    let Ok(peer) = stream.peer_cred() else {
        return false;
    };
    // Our own end says who we are.
    let own = UnixStream::pair().and_then(|(own, _other)| own.peer_cred());
    peer.uid() == 0 || own.is_ok_and(|own| own.uid() == peer.uid())
}

async fn answer(mut stream: UnixStream, admin: &Admin) -> Result<(), AdminError> {
    let broken = |error: io::Error| AdminError(error.to_string());
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    let mut reader = BufReader::new(read.take(MOST_BYTES));
    let came = tokio::time::timeout(PATIENCE, reader.read_until(b'\n', &mut line)).await;
    came.map_err(|_| AdminError("nothing was asked".to_owned()))?
        .map_err(broken)?;
    let answer = match serde_json::from_slice::<Ask>(&line) {
        Ok(ask) => admin.answer(ask).await,
        Err(error) => Answer::Failed {
            why: format!("this server does not know that question: {error}"),
        },
    };
    let mut bytes = serde_json::to_vec(&answer).map_err(|error| AdminError(error.to_string()))?;
    bytes.push(b'\n');
    let sent = tokio::time::timeout(PATIENCE, write.write_all(&bytes)).await;
    sent.map_err(|_| AdminError("nobody took the answer".to_owned()))?
        .map_err(broken)
}
