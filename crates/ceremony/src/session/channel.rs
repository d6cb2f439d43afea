//! What lies between a session and its page.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{BadAnswer, CeremonyError};
use crate::handover::{Far, Handover, Relay, lost};
use crate::message::{Message, Said};
use crate::state::{Shared, Silence};
use crate::view::View;

/// How long the last words may take to reach the page.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often it is looked whether they did, on another device.
const LOOK: Duration = Duration::from_millis(200);

/// The way to the page and back.
#[derive(Debug)]
pub(super) enum Channel {
    /// A page that this process serves, in a browser of this computer.
    Page {
        shared: Arc<Shared>,
        thread: Option<JoinHandle<()>>,
        opening: PathBuf,
        /// Where a server's page asks, and the browser comes back.
        handover: Option<Handover>,
    },
    /// A server's page on another device.
    Relay {
        relay: Box<dyn Relay>,
        handover: Handover,
        far: Far,
        is_over: bool,
    },
}

impl Channel {
    pub(super) fn handover(&self) -> Option<&Handover> {
        match self {
            Self::Page { handover, .. } => handover.as_ref(),
            Self::Relay { handover, .. } => Some(handover),
        }
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Relay { .. })
    }

    /// Whether last words can still be said.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Page { thread, .. } => thread.is_some(),
            Self::Relay { is_over, .. } => !is_over,
        }
    }

    /// Shows one step, and blocks until it is answered, the page is gone, or `deadline`.
    pub(super) fn ask(&mut self, view: &View, deadline: Instant) -> Result<Message, CeremonyError> {
        let number = view.number;
        match self {
            Self::Page {
                shared, handover, ..
            } => {
                let shown = match handover {
                    None => view.json(),
                    Some(handover) => {
                        let address = handover.address(view, shared.port());
                        view.leave(handover.site.rp_id(), &address).json()
                    }
                };
                shared.show(number, shown, true);
                let message = shared.wait(deadline).map_err(|silence| match silence {
                    Silence::TimedOut => CeremonyError::TimedOut,
                    Silence::PageClosed => CeremonyError::PageClosed,
                })?;
                match (handover, message.said) {
                    (Some(handover), Said::Handed(sealed)) => handover.open(number, &sealed),
                    // Our own page says that the person does not go on to the other one.
                    (Some(_), said @ Said::Cancelled) | (None, said) => Ok(Message {
                        step: message.step,
                        said,
                    }),
                    (Some(_), _) => Err(BadAnswer::Sealing.into()),
                }
            }
            Self::Relay {
                relay,
                handover,
                far,
                ..
            } => {
                let shown = view.on_other_device(&far.code);
                let request = handover.seal_request(&far.session, &shown);
                relay.ask(number, &request).map_err(lost)?;
                handover.wait(&mut **relay, number, deadline)
            }
        }
    }

    /// Shows what asks nothing. That it does not arrive is no failure of what was done.
    pub(super) fn tell(&mut self, view: &View) {
        match self {
            Self::Page { shared, .. } => shared.show(view.number, view.json(), false),
            Self::Relay {
                relay,
                handover,
                far,
                ..
            } => {
                let request = handover.seal_request(&far.session, view);
                let _ = relay.ask(view.number, &request);
            }
        }
    }

    /// Shows the last words, waits a moment for a page that is there to take them, and is over.
    pub(super) fn last(&mut self, view: &View) {
        self.tell(view);
        match self {
            Self::Page { shared, .. } => shared.wait_seen(LAST_WORDS),
            Self::Relay { relay, .. } => {
                let until = Instant::now() + LAST_WORDS;
                // Where no page ever came nobody waits for words.
                while let Ok(seen) = relay.look()
                    && (1..view.number).contains(&seen.request)
                    && Instant::now() < until
                {
                    std::thread::sleep(LOOK);
                }
            }
        }
        self.stop();
    }

    /// Leaves the last words for every page that looks, as long as the relay keeps them, and is over.
    pub(super) fn leave(&mut self, view: &View) {
        self.tell(view);
        if let Self::Relay { is_over, .. } = self {
            *is_over = true;
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Page {
                shared,
                thread,
                opening,
                handover: _,
            } => {
                shared.stop();
                if let Some(thread) = thread.take() {
                    // A panic of the server's thread is not the caller's: its pages are gone either way.
                    let _ = thread.join();
                }
                let _ = std::fs::remove_file(opening);
            }
            Self::Relay { relay, is_over, .. } => {
                if !std::mem::replace(is_over, true) {
                    relay.end();
                }
            }
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        match self {
            Self::Page {
                thread: None,
                opening,
                ..
            } => {
                let _ = std::fs::remove_file(opening);
            }
            _ => self.stop(),
        }
    }
}
