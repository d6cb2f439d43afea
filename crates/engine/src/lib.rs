//! The backup engine: records in, sealed objects out, and back again.
//!
//! It gets data keys, a store, a clock and an RNG. It never prompts, prints, reads the environment, or
//! knows what a passkey is.

mod aead;
mod format;
mod packer;
mod proto;
mod segment;
mod sorter;
mod terms;

pub mod backup;
pub mod error;
pub mod ids;
pub mod keyrings;
pub mod keys;
pub mod ledger;
pub mod progress;
pub mod repository;
pub mod store;

pub use error::{Damage, EngineError};
