//! A browser session.

use std::io;
use std::path::Path;

use rand_core::CryptoRng;

use crate::ask::{Answer, Ask, Ending, Enrol, Options, Registered};
use crate::error::CeremonyError;

/// A page on `http://localhost:PORT`, in which one or more ceremonies run one after the other.
#[derive(Debug)]
pub struct Session {
    never: std::convert::Infallible,
}

impl Session {
    /// Serves the page and has `open` open the file in a browser. `open` gets the file's path and
    /// must not block.
    pub fn begin(
        options: &Options<'_>,
        open: &mut dyn FnMut(&Path) -> io::Result<()>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, CeremonyError> {
        let _ = (options, open, rng);
        Err(CeremonyError::Server(io::ErrorKind::Unsupported.into()))
    }

    /// One authentication with any of the candidates. Blocks until it is answered, or the time is over.
    pub fn authenticate(
        &mut self,
        ask: &Ask<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Answer, CeremonyError> {
        let _ = (ask, rng);
        match self.never {}
    }

    /// Registration, then two authentications that must agree.
    pub fn register(
        &mut self,
        enrol: &Enrol<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<Registered, CeremonyError> {
        let _ = (enrol, rng);
        match self.never {}
    }

    /// Tells the page how it ended (its last words), then stops serving.
    pub fn end(self, ending: &Ending) {
        let _ = ending;
        match self.never {}
    }
}
