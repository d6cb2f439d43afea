//! The client's half of OPAQUE, as pure functions.

mod enrolment;
mod log;
mod login;
mod password;

pub use enrolment::Enrolment;
pub use log::{EntryMissing, LogHead};
pub use login::{Confirmed, Login, LoginError, Opened, Pinned};
pub use password::{ExportKey, Password, PasswordLength};

#[cfg(test)]
mod tests;
