//! A server in this process, on a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use heirloom_vault::{Admin, Config, Limits, Log, Server};
use heirloom_vault_api::{SignIn, SignedIn};
use tokio::sync::oneshot;

use crate::client::Client;

pub(crate) struct Running {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) admin_address: Option<SocketAddr>,
    pub(crate) admin: Admin,
    pub(crate) runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<std::thread::JoinHandle<()>>,
    pub(crate) lines: Arc<Mutex<Vec<String>>>,
}

pub(crate) fn start(change: impl FnOnce(&mut Config)) -> Running {
    start_in(tempfile::tempdir().unwrap(), change)
}

pub(crate) fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.path().join("data"));
    config.limits = Limits {
        guesses_per_minute: 1_000_000,
        requests_per_second: 1_000_000,
    };
    config.account_requests_per_second = 1_000_000;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    config.log = Log::new(move |line| written.lock().unwrap().push(line.to_owned()));
    change(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    let (address, admin) = (server.address(), server.admin());
    let admin_address = server.admin_address();
    let (stop, stopped) = oneshot::channel::<()>();
    let handle = runtime.handle().clone();
    let ended = std::thread::spawn(move || {
        let until = async {
            let _ = stopped.await;
        };
        handle.block_on(server.run(until)).unwrap();
    });
    Running {
        folder,
        address,
        admin_address,
        admin,
        runtime,
        stop: Some(stop),
        ended: Some(ended),
        lines,
    }
}

impl Running {
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub(crate) fn signed_in(&self) -> Client {
        let invite = self.runtime.block_on(self.admin.invite()).unwrap();
        let mut client = self.client();
        let signed_in: SignedIn = client
            .post("/v1/accounts", &SignIn::by(Some(invite)))
            .unwrap()
            .json();
        client.token = Some(signed_in.token);
        client
    }

    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        self.ended.take().unwrap().join().unwrap();
        self.folder
    }
}

pub(crate) fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
