//! What a vault runs with. Nothing is needed but a folder and an address.

pub(crate) mod file;
pub(crate) mod proxies;
pub(crate) mod well_known;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use self::proxies::Proxies;
use self::well_known::WellKnown;
use crate::accounts::Tenants;
use crate::clock::{Clock, SystemClock};
use crate::db::postgres::address::Postgres;
use crate::keys::Pkcs11;
pub(crate) use crate::log::Log;
use crate::rollout::RolloutConfig;
use crate::traces::Traces;

/// How much one address may ask. IPv6 counts by its first 64 bits.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Guesses, registrations and sign-ins a minute.
    pub guesses_per_minute: u64,
    /// Everything, a second.
    pub requests_per_second: u64,
}

/// Where objects lie.
#[derive(Clone, Debug, Default)]
pub enum Objects {
    /// In the folder of the database.
    #[default]
    Folder,
    /// On S3-compatible storage.
    S3 {
        /// TOML: `endpoint`, `bucket`, `region`, `prefix`, `access_key_id`, `secret_access_key`. For its owner alone.
        file: PathBuf,
    },
}

/// A vault's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it answers. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The second port, for the operator alone: `/healthz`, `/readyz`, `/metrics`.
    pub admin_listen: Option<SocketAddr>,
    /// Web servers in front whose word on who asks is taken.
    pub proxies: Proxies,
    /// The folder of the database and the objects.
    pub data: PathBuf,
    /// PostgreSQL, instead of a database in the folder.
    pub database: Option<Postgres>,
    /// The server's key file. Whoever has it and the database can try passwords: back it up elsewhere.
    pub key_file: PathBuf,
    /// An HSM that holds the wrapping key instead of the key file. Decided before the first record.
    pub hsm: Option<Pkcs11>,
    /// What notices a restored database. Never part of a backup, or a restore goes unnoticed.
    pub watermark: PathBuf,
    /// Bytes of objects that a new account may have.
    pub quota_bytes: u64,
    /// Whether the first account of all needs no invitation, where the vault listens on loopback. For
    /// trying out; behind a proxy on the same computer it must be `false`, for all the world is loopback there. With
    /// [`Self::proxies`] it counts as `false`.
    pub first_account_is_free: bool,
    /// Where objects lie. A vault that has some stays with its choice.
    pub objects: Objects,
    /// Whose users sign in, and how. The first tenant's accounts are opened by the operator's invitations.
    pub tenants: Tenants,
    /// What is offered to whom; without it everything is.
    pub rollout: Option<RolloutConfig>,
    /// Where the operator's socket lies (not on Windows).
    pub admin_socket: Option<PathBuf>,
    /// How long the bytes of a deleted object stay.
    pub grace: Duration,
    /// How long a sign-in may stay unused; each use begins it anew.
    pub sign_in_unused: Duration,
    /// What stands below `/.well-known/`.
    pub well_known: WellKnown,
    /// How much one address may ask.
    pub limits: Limits,
    /// How much one account may ask a second, from wherever.
    pub account_requests_per_second: u64,
    /// For the head of a request, and between two of them.
    pub head_time: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where lines go.
    pub log: Log,
    /// Where spans of requests go; nowhere by default.
    pub traces: Option<Traces>,
}

impl Config {
    /// The default: everything in one folder, 100 GiB an account, a week's grace, no log.
    pub fn new(listen: SocketAddr, data: PathBuf) -> Self {
        Self {
            listen,
            admin_listen: None,
            proxies: Proxies::default(),
            key_file: data.join("server.keys"),
            watermark: data.join("watermark"),
            rollout: None,
            admin_socket: Some(data.join("admin.sock")),
            data,
            hsm: None,
            database: None,
            quota_bytes: 100 << 30,
            first_account_is_free: true,
            tenants: Tenants::default(),
            objects: Objects::Folder,
            grace: Duration::from_hours(7 * 24),
            sign_in_unused: Duration::from_hours(90 * 24),
            well_known: WellKnown::default(),
            limits: Limits {
                guesses_per_minute: 30,
                requests_per_second: 100,
            },
            account_requests_per_second: 200,
            head_time: Duration::from_secs(15),
            clock: Arc::new(SystemClock),
            log: Log::new(|_| ()),
            traces: None,
        }
    }
}
