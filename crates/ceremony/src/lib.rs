//! Passkey ceremonies in a browser, on a page that the program serves itself.
//!
//! ```text
//! process ── opening file (0600, one-time token) ──► browser ──► http://localhost:PORT
//!    │                                                  │
//!    │ challenge = SHA-256(KEM key ‖ nonce ‖ …)         │ the person's fingerprint, face, screen lock
//!    ◄── signed answer + output sealed to the KEM key ──┘
//! ```
//!
//! A [`Session`] is blocking: it serves from a thread of its own and returns when the person has
//! answered, cancelled, closed the page or let the time run out. What the page says is checked here,
//! never there. Routes, messages, challenge and sealing are settled in `docs/ceremony.md`.

mod ask;
mod bytes;
mod challenge;
#[cfg(any(test, feature = "software-authenticator"))]
mod client;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod handover;
mod message;
mod opening;
mod provider;
mod seal;
mod server;
mod session;
#[cfg(feature = "software-authenticator")]
pub mod software;
mod state;
#[cfg(test)]
mod testing;
mod verify;
mod view;
mod words;

pub use ask::{Answer, Ask, Elsewhere, Ending, Enrol, Known, Options, Purpose, Registered};
pub use error::{BadAnswer, CeremonyError};
pub use handover::{Begun, BegunSignIn, Handed, Link, PublicKeys, Relay, Seen, Site};
pub use provider::provider_name;
pub use session::{Session, SignIn};

/// The relying party that a page on this computer stands for.
///
/// For trying out, and never the only way in: no phone can use it (`docs/ceremony.md`, section 8).
pub const LOCALHOST: &str = "localhost";
