//! The engine's progress, shown by the meter.

use heirloom_engine::progress::{Amount, Phase, Progress};

use super::Output;
use super::meter::Meter;
use crate::interrupt::Interrupt;

/// Hears the engine, and tells it when the person wants to stop.
#[derive(Debug)]
pub(crate) struct Shown<'a> {
    meter: Meter<'a>,
    output: &'a Output,
    interrupt: Interrupt,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(output: &'a Output, interrupt: &Interrupt) -> Self {
        Self {
            meter: Meter::new(output),
            output,
            interrupt: interrupt.clone(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn done(&self) {
        self.meter.done();
    }

    /// The meter, for what is no engine's verb.
    pub(crate) fn meter(&self) -> &Meter<'a> {
        &self.meter
    }
}

impl Progress for Shown<'_> {
    fn phase(&self, phase: Phase, total: Option<Amount>) {
        let nonzero = |n: u64| (n > 0).then_some(n);
        self.meter.phase(
            name(phase),
            total.and_then(|total| nonzero(total.items)),
            total.and_then(|total| nonzero(total.bytes)),
        );
    }

    fn advance(&self, phase: Phase, items: u64, bytes: u64) {
        self.meter.advance(name(phase), items, bytes);
    }

    fn warn(&self, message: &str) {
        self.output.warn(message);
    }

    fn interrupted(&self) -> bool {
        self.interrupt.is_set()
    }
}

/// What a phase is called.
fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Reading => "Reading chats",
        Phase::StoringMedia => "Storing media",
        Phase::SealingMessages => "Encrypting messages",
        Phase::Publishing => "Publishing",
        Phase::RestoringMessages => "Restoring messages",
        Phase::RestoringMedia => "Restoring media",
        Phase::Checking => "Checking",
        Phase::Searching => "Searching",
        Phase::Repacking => "Repacking",
        Phase::Deleting => "Deleting",
        _ => "Working",
    }
}
