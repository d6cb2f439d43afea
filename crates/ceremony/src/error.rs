//! Why a ceremony gave nothing.

use std::io;

/// Why a ceremony gave nothing. Each is shown to a person; none holds a secret.
///
/// Nothing was written because of any of them, and nothing must be made in answer to one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The dialog was cancelled, ran out of time, or the passkey is gone: browsers do not say which.
    #[error("that didn't work")]
    CancelledOrGone,
    /// The person pressed the page's own Cancel button.
    #[error("you cancelled in the browser")]
    Cancelled,
    /// The place that was chosen holds a passkey of this backup already.
    #[error("there is a passkey for this backup already")]
    AlreadyThere,
    /// The passkey gives no output here. Another browser or device may get one from it.
    #[error("this passkey can't open a backup in this browser")]
    Unavailable,
    /// A new passkey gives no output. It was saved, and is not used.
    #[error("this passkey can't be used for backups")]
    UnusablePasskey,
    /// A new passkey gave two different outputs for one input. It was saved, and is not used.
    #[error("this passkey gave two different answers")]
    FaultyProvider,
    /// The authenticator did not verify the person (UV is not set).
    #[error("nobody confirmed with a fingerprint, face or screen lock")]
    NotVerified,
    /// The answer was made for another page.
    #[error("the answer came from another page: {0}")]
    WrongOrigin(String),
    /// The answer is not one to what was asked.
    #[error("the browser's answer was refused: {0}")]
    BadAnswer(#[from] BadAnswer),
    /// The answer belongs to an earlier step.
    #[error("the browser's answer was used before")]
    Replayed,
    /// No candidate can answer on this page. None was given, or all belong to another relying party.
    #[error("no passkey of this backup can be used on this computer's own page")]
    NoCandidate,
    /// The browser lacks what a ceremony needs.
    #[error("this browser cannot use passkeys here: {0}")]
    OldBrowser(String),
    /// The browser refused to ask, with the name of its error.
    #[error("the browser refused to ask: {0}")]
    Refused(String),
    /// The server does not let the passkey in: it is of a backup, say, or was removed there.
    #[error("this passkey does not sign in there")]
    NotLetIn,
    /// Nobody answered in time.
    #[error("nobody answered in the browser in time")]
    TimedOut,
    /// The relay to another device could not be asked.
    #[error("the other device could not be reached")]
    Relay(#[source] io::Error),
    /// The page was closed.
    #[error("the page was closed before it was done")]
    PageClosed,
    /// No browser could be opened.
    #[error("no browser could be opened")]
    NoBrowser(#[source] io::Error),
    /// The page could not be served, or the opening file not written.
    #[error("the page could not be served")]
    Server(#[source] io::Error),
}

impl CeremonyError {
    /// What to do next, where there is something.
    pub fn hint(&self) -> Option<&str> {
        Some(match self {
            Self::CancelledOrGone => {
                "if you cancelled, try again; if the passkey is no longer in your password manager, use another way"
            }
            Self::Cancelled | Self::TimedOut | Self::PageClosed => {
                "nothing was changed; run the command again"
            }
            Self::AlreadyThere => "choose a different password manager, a phone, or a security key",
            Self::Unavailable => {
                "try another browser, the device that the passkey is on, or another way"
            }
            Self::UnusablePasskey | Self::FaultyProvider => {
                "it was saved but not used: you can delete it; try a different password manager, a phone, or a security key"
            }
            Self::NotVerified => {
                "set up a fingerprint, face or screen lock, or a PIN on the security key, and try again"
            }
            Self::WrongOrigin(_) | Self::BadAnswer(_) | Self::Replayed => {
                "nothing was changed; close other pages and browser extensions that handle passkeys, and try again"
            }
            Self::NoCandidate => "use another way, such as the recovery key",
            Self::OldBrowser(_) | Self::Refused(_) => {
                "try another browser: a current Chrome, Edge, Safari or Firefox"
            }
            Self::NotLetIn => {
                "passkeys that open a backup do not sign in; run the command again with another passkey, or sign in another way"
            }
            Self::NoBrowser(_) => {
                "open a desktop session, or use another way, such as the recovery key"
            }
            Self::Relay(_) => "nothing was changed; check the connection and run the command again",
            Self::Server(_) => return None,
        })
    }
}

/// What was wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAnswer {
    /// It is not the message that `docs/ceremony.md` describes.
    #[error("it could not be read")]
    Malformed,
    /// Its client data is of another type of ceremony.
    #[error("it was made for something else")]
    Type,
    /// It answers another question.
    #[error("it answers another question")]
    Challenge,
    /// It was made inside of another page.
    #[error("it was made inside of another page")]
    CrossOrigin,
    /// It belongs to another relying party.
    #[error("it belongs to another site")]
    RelyingParty,
    /// Nobody was present (UP is not set).
    #[error("nobody was there")]
    NotPresent,
    /// It says that a passkey is synced which cannot be (BS without BE), or what it said before changed.
    #[error("it contradicts itself")]
    BackupFlags,
    /// It is of a passkey that was not asked.
    #[error("it is of a passkey that was not asked")]
    UnknownPasskey,
    /// Its algorithm was not offered.
    #[error("its kind of signature was not asked for")]
    Algorithm,
    /// Its signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// Its counter went back: there may be two copies of the passkey where there must be one.
    #[error("its counter went back")]
    Counter,
    /// What was sealed does not open: another sender, or changed on the way.
    #[error("what it carried was changed on the way")]
    Sealing,
}
