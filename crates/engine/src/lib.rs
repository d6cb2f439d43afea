//! The backup engine: records in, sealed objects out, and back again.
//!
//! It gets data keys, a store, a clock and an RNG. It never prompts, prints, reads the environment, or
//! knows what a passkey is.

mod aead;
mod format;
mod marks;
mod packer;
mod proto;
mod segment;
mod sorter;
mod terms;
mod workers;

pub mod backup;
pub mod check;
#[cfg(feature = "native")]
pub mod drill;
pub mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ids;
pub mod keyrings;
pub mod keys;
pub mod ledger;
pub mod progress;
pub mod prune;
pub mod repository;
#[cfg(feature = "native")]
pub mod restore;
pub mod search;
pub mod store;

pub use error::{Damage, EngineError};
