//! Ctrl-C: the first one ends the run at the next safe point, the second one at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::exit::Exit;

/// Whether the person asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Listens for Ctrl-C, hang-up and termination from now on. Where that cannot be had, they end the
    /// process at once, which is safe too.
    pub(crate) fn listen() -> Self {
        let flag = Self::default();
        let seen = flag.clone();
        let _ = ctrlc::set_handler(move || {
            if seen.0.fetch_add(1, Ordering::SeqCst) > 0 {
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
        });
        flag
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }
}
