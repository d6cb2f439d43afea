//! The vault's rules, over a real database, without HTTP. Each test that covers a requirement of the
//! threat model is named after it.

#[cfg(unix)]
mod attack;
mod changes;
#[cfg(unix)]
#[path = "../tests/server/client.rs"]
mod client;
pub(crate) mod cluster;
mod deleted;
mod destroyed;
mod faults;
mod guesses;
mod harness;
mod hsm;
mod lanes;
mod log;
mod person;
mod postgres;
#[cfg(target_os = "linux")]
mod power;
mod races;
mod restore;
mod rotation;
mod search;
#[cfg(unix)]
mod traces;
mod unknown;
mod walk;
#[cfg(unix)]
mod whole_request;
mod witness;
