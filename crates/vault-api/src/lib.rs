//! The wire between client and vault: requests, answers, problems, the OPAQUE suite.
//!
//! A leaf: no sockets, no files, no clock, no random source of its own. The client's half of the
//! protocol is pure ([`Enrolment`], [`Login`]): it makes a request and takes an answer, and whoever
//! has a connection sends them. `docs/vault.md` is normative for every byte here.
//!
//! ```text
//! Enrolment::start → RegistrationStart  ──►  RegistrationStarted → Enrolment::finish → RegistrationFinish
//! Login::start     → GuessStart (KE1)   ──►  Evaluated (KE2)     → Login::finish     → Proof (KE3)
//!                                            Proved              → Opened::confirm   → failed guesses, log
//! ```

pub mod approval;
mod bytes;
mod client;
mod identity;
mod owner;
mod problem;
mod rng;
mod rollout;
mod statement;
pub mod suite;
mod wire;

pub use bytes::{Fixed, WrongLength, base64url, from_base64url};
pub use client::{
    Confirmed, Enrolment, EntryMissing, ExportKey, LogHead, Login, LoginError, Opened, Password,
    PasswordLength, Pinned,
};
pub use identity::{IDENTITY_BYTES, Identity, NotSigned, VaultIdentity};
pub use owner::{OwnerAct, OwnerKey, OwnerPublic};
pub use problem::{Code, PROBLEM_TYPE, Problem};
pub use rng::OpaqueRng;
pub use rollout::{
    AskOffers, FEATURES, NotTaken, Offer, Offers, OperatorKey, OperatorPublic, SeenRules, Stamp,
};
pub use statement::{Commitment, EvaluatedStatement, ProvedStatement, WitnessStatement};
pub use wire::*;
