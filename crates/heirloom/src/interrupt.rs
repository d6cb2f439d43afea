//! Ctrl-C: the first one ends the run at the next safe point, the second one at once.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

use crate::exit::Exit;

/// Whether the person asked to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interrupt {
    presses: Arc<AtomicU8>,
    at_once: Arc<AtomicBool>,
    leaves: Arc<Mutex<Option<PathBuf>>>,
}

/// While it lives, the first Ctrl-C ends the process at once: it only waits for a person.
#[derive(Debug)]
pub(crate) struct AtOnce(Arc<AtomicBool>);

impl Drop for AtOnce {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Interrupt {
    /// Listens for Ctrl-C, hang-up and termination from now on. Where that cannot be had, they end the
    /// process at once, which is safe too.
    pub(crate) fn listen() -> Self {
        let flag = Self::default();
        let seen = flag.clone();
        let _ = ctrlc::set_handler(move || {
            let before = seen.presses.fetch_add(1, Ordering::SeqCst);
            if before > 0 || seen.at_once.load(Ordering::SeqCst) {
                seen.clean_up();
                std::process::exit(i32::from(Exit::Interrupted.code()));
            }
        });
        flag
    }

    /// Whether Ctrl-C was pressed.
    pub(crate) fn is_set(&self) -> bool {
        self.presses.load(Ordering::SeqCst) > 0
    }

    /// Has the first Ctrl-C end the process at once, as long as what this gives lives. A file that should not be left
    /// behind then is removed.
    pub(crate) fn at_once(&self, leaves: Option<&Path>) -> AtOnce {
        if let Ok(mut file) = self.leaves.lock() {
            *file = leaves.map(Path::to_owned);
        }
        self.at_once.store(true, Ordering::SeqCst);
        AtOnce(self.at_once.clone())
    }

    fn clean_up(&self) {
        // A lock that is held just now is no reason to stay: what is left is private, and good for nothing any more.
        if let Ok(mut file) = self.leaves.try_lock()
            && let Some(file) = file.take()
        {
            let _ = std::fs::remove_file(file);
        }
    }
}
