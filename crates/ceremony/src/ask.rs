//! What a ceremony is asked for, and what it gives.

use std::path::Path;
use std::time::Duration;

use heirloom_keys::{Passkey, PrfOutput, Provider};

use crate::handover::Site;

/// What a session needs to begin.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The repository's id, bound into every challenge.
    pub repository: [u8; 16],
    /// Where the backup lies, in words for the page.
    pub backup_label: &'a str,
    /// A private folder (0700) for the opening file. It must exist.
    pub folder: &'a Path,
    /// How long one ceremony may take; [`Options::TIMEOUT`] is usual.
    pub timeout: Duration,
    /// The server on whose page the browser asks, for passkeys of its domain. `None`: on our own page.
    pub site: Option<&'a Site>,
}

/// What a session needs whose page is on another device.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    /// The repository's id, bound into every challenge.
    pub repository: [u8; 16],
    /// Where the backup lies, in words for the page.
    pub backup_label: &'a str,
    /// How long one ceremony may take.
    pub timeout: Duration,
    /// The server on whose page the device asks.
    pub site: &'a Site,
}

impl Options<'_> {
    /// Five minutes: long enough to fetch a phone, and what `WebAuthn` recommends where a person is verified.
    pub const TIMEOUT: Duration = Duration::from_mins(5);
}

/// What the person is about to do. It decides the page's words and is bound into the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purpose {
    /// Open the backup to read it.
    Unlock,
    /// Open the backup on a computer that has nothing of it yet.
    Restore,
    /// See whether a passkey still opens the backup.
    Check,
    /// Open the backup with a passkey that was just written into it.
    Confirm,
    /// Show that one is the owner, before another way in is added.
    Add,
    /// Show that a remaining way opens the backup, before another is removed.
    Remove,
    /// Change the keys of the backup.
    Rotate,
    /// Turn the protection off.
    Off,
}

impl Purpose {
    /// As it is bound into a challenge.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unlock => "unlock",
            Self::Restore => "restore",
            Self::Check => "check",
            Self::Confirm => "confirm",
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Rotate => "rotate",
            Self::Off => "off",
        }
    }

    /// Where in a row of requests it stands, where it is never the only one.
    pub(crate) const fn of_a_row(self) -> Option<&'static str> {
        match self {
            Self::Confirm => Some("Last step: open your backup"),
            Self::Unlock
            | Self::Restore
            | Self::Check
            | Self::Add
            | Self::Remove
            | Self::Rotate
            | Self::Off => None,
        }
    }
}

/// A passkey that may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The credential ID.
    pub credential_id: Vec<u8>,
    /// The relying party that it is bound to. Candidates of another one than the page's are left out.
    pub rp_id: String,
    /// How to reach its authenticator.
    pub transports: Vec<String>,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Its public key (`COSE_Key`), where it is known: the signature is then verified. Where it is
    /// not, the output is proven by the slot that it opens; see `docs/ceremony.md`, section 6.
    pub public_key: Option<Vec<u8>>,
}

/// One authentication.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What for.
    pub purpose: Purpose,
    /// The PRF input of the keyring.
    pub prf_input: &'a [u8; 32],
    /// Which passkeys may answer.
    pub candidates: &'a [Known],
}

/// A new passkey.
#[derive(Clone, Copy, Debug)]
pub struct Enrol<'a> {
    /// The PRF input of the keyring.
    pub prf_input: &'a [u8; 32],
    /// The passkeys that the backup has already: none is made beside them in the same place.
    pub exclude: &'a [Known],
    /// What most password managers show: "Unlocks your chat backup – don't delete".
    pub user_name: &'a str,
    /// A longer name, shown by some.
    pub display_name: &'a str,
}

/// What an authentication gave, verified.
#[derive(Debug)]
pub struct Answer {
    /// Which of the candidates answered.
    pub credential_id: Vec<u8>,
    /// What it gives for the input. It opens a slot, or the answer was not worth anything.
    pub prf: PrfOutput,
    /// Whether it can be synced to other devices (BE).
    pub backup_eligible: bool,
    /// Whether it is (BS).
    pub backup_state: bool,
}

/// A new passkey, verified: it signed twice and gave the same output twice.
#[derive(Debug)]
pub struct Registered {
    /// What a slot says of it.
    pub passkey: Passkey,
    /// Who holds it, and whether it is synced.
    pub provider: Provider,
    /// What it gives for the input.
    pub prf: PrfOutput,
    /// The provider's name, for display only.
    pub provider_name: Option<&'static str>,
    /// Its public key (`COSE_Key`), for a [`Known`] of the same session.
    pub public_key: Vec<u8>,
}

/// The page's last words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whether it ended well.
    pub good: bool,
    /// One line.
    pub title: String,
    /// What to do next.
    pub text: String,
}
