//! A Heirloom server as this program sees it: its address, a connection, the sign-in, and its objects as a store.

pub(crate) mod account;
pub(crate) mod address;
pub(crate) mod approval;
pub(crate) mod ceremony;
mod client;
mod loopback;
mod offers;
pub(crate) mod paper;
mod problem;
pub(crate) mod signin;
pub(crate) mod signin_elsewhere;
mod store;
pub(crate) mod witness;

pub(crate) use account::Account;
pub(crate) use address::Address;
pub(crate) use client::Client;
pub(crate) use offers::refuse_what_is_not_offered;
pub(crate) use problem::CallError;
pub(crate) use store::RemoteStore;
pub(crate) use witness::{Witness, WitnessedStore};
