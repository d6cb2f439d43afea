//! A Heirloom server as this program sees it: its address, a connection, the sign-in, and its objects as a store.

pub(crate) mod account;
pub(crate) mod address;
mod client;
mod problem;
mod store;
pub(crate) mod witness;

pub(crate) use account::Account;
pub(crate) use address::Address;
pub(crate) use client::Client;
pub(crate) use problem::CallError;
pub(crate) use store::RemoteStore;
pub(crate) use witness::{Witness, WitnessedStore};
