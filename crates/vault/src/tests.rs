//! The vault's rules, over a real database, without HTTP. Each test that covers a requirement of the
//! threat model is named after it.

mod changes;
mod faults;
mod guesses;
mod harness;
mod log;
mod restore;
mod unknown;
mod walk;
mod witness;
