//! Signing in to a server on another device's page, for a program that is not signed in. `docs/ceremony.md`, section 9.4.

use std::io;
use std::time::{Duration, Instant};

use rand_core::CryptoRng;

use super::channel::Channel;
use super::step::failed;
use crate::error::CeremonyError;
use crate::handover::{Begun, BegunSignIn, Far, Handover, Link, PublicKeys};
use crate::message::Said;
use crate::seal::StepKeys;
use crate::view::{Kind, View};

/// By which the page says that the server refused the passkey.
const NOT_LET_IN: &str = "not-let-in";
/// The one question.
const ASKED: u64 = 1;

/// A sign-in whose page is on another device.
///
/// What it gives is a code of the server's, which is worth nothing without what the program kept to itself. The words on
/// the page are the page's own: whoever made the QR code may be a stranger. Dropping it tells the page that nobody was
/// let in, and waits up to three seconds for one that is there.
#[derive(Debug)]
pub struct SignIn {
    channel: Channel,
    /// The server's.
    asked: [u8; 16],
    deadline: Instant,
}

impl SignIn {
    /// `begin` begins sign-in and relay with these keys. The page gets there by the link, as a QR code, or opened by hand.
    pub fn begin(
        timeout: Duration,
        begin: &mut dyn FnMut(PublicKeys<'_>) -> io::Result<BegunSignIn>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Link), CeremonyError> {
        let keys = StepKeys::generate(rng);
        let [x_wing, x25519] = keys.public();
        let BegunSignIn {
            site,
            sign_in,
            begun:
                Begun {
                    relay,
                    session,
                    code,
                },
        } = begin(PublicKeys { x_wing, x25519 }).map_err(CeremonyError::Relay)?;
        let handover = Handover::with_keys(site, keys, rng);
        let far = Far { session, code };
        let link = handover.link(&far);
        let signing_in = Self {
            channel: Channel::Relay {
                relay,
                handover,
                far,
                is_over: false,
            },
            asked: sign_in,
            deadline: Instant::now() + timeout,
        };
        Ok((signing_in, link))
    }

    /// The server's sign-in, as it was begun.
    pub fn sign_in(&self) -> [u8; 16] {
        self.asked
    }

    /// Waits until the page has signed in, and gives the server's code for it.
    pub fn ask(&mut self) -> Result<[u8; 16], CeremonyError> {
        let view = View::sign_in(ASKED, &self.asked);
        match self.channel.ask(&view, self.deadline)?.said {
            Said::SignedIn(code) => Ok(code),
            Said::Failed(name) if name == NOT_LET_IN => Err(CeremonyError::NotLetIn),
            said => Err(failed(&said, false)),
        }
    }

    /// Tells that this program is signed in now: every page that looks, also one whose owner let nobody in.
    pub fn end_well(mut self) {
        self.channel.leave(&ending(true));
    }
}

fn ending(good: bool) -> View {
    View::tell(Kind::End, ASKED + 1, "", "", &[], Some(good))
}

impl Drop for SignIn {
    fn drop(&mut self) {
        if self.channel.is_open() {
            self.channel.last(&ending(false));
        }
    }
}
