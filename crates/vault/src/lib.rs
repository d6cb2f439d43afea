//! The vault: a server that counts guesses, remembers heads and stores opaque objects.
//!
//! It never sees a password, a key of a backup or a plaintext: it depends on the wire alone
//! (`heirloom-vault-api`). `docs/vault.md` is normative.
//!
//! ```text
//! http   one file per kind of route: takes a request, answers it, pads the answer
//! vault  OPAQUE's server half and sessions; evaluates only what is counted for good
//! store  the rules, as short transactions on one account: guesses, registration, log, heads, accounts, objects
//! db     one trait, one SQL text; SQLite with one writer and group commit, PostgreSQL with a connection for each of several
//! ```
//!
//! [`serve`] runs it; [`Server`] is for whoever wants the port first, or the operator's acts ([`Admin`]).

mod accounts;
mod admin;
mod blobs;
mod clock;
mod config;
mod db;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod generation;
mod http;
mod keys;
mod limits;
mod log;
mod metrics;
mod refusal;
mod rollout;
mod rotation;
mod server;
mod sessions;
mod store;
mod traces;
mod upkeep;
mod vault;

pub use accounts::{BadTenants, KeySource, Messenger, Site, Tenant, Tenants};
pub use admin::{
    ActInfo, Admin, AdminError, Answer, Ask, AuditInfo, KeysInfo, LockInfo, StatsInfo, UserInfo,
    Verdict,
};
pub use blobs::ObjectsFileError;
pub use clock::{Clock, SystemClock};
pub use config::file::{ConfigFile, ConfigFileError, LogFormat};
pub use config::proxies::{BadNetwork, ForwardedHeader, Network, Proxies};
pub use config::well_known::{AndroidApp, BadWellKnown, PasskeyEndpoints, SecurityTxt, WellKnown};
pub use config::{Config, Limits, Objects};
pub use db::postgres::address::{AddressError, Isolation, Postgres};
pub use db::sqlite::OpenError;
pub use keys::{
    Custody, KeyFile, KeyFileError, KeysError, Pkcs11, Pkcs11Error, Pkcs11Keys, Place, RotateError,
    ServerKeys,
};
pub use log::{Entry, Level, Log, RequestEntry};
pub use rollout::RolloutConfig;
pub use server::{ServeError, Server, serve};
pub use traces::{BadTraces, Traces};

#[cfg(test)]
mod tests;
