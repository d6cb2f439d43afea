//! How far a verb is, for whoever shows it.

/// What a verb is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Reading the source (items: messages).
    Reading,
    /// Storing media (items: attachments).
    StoringMedia,
    /// Sealing messages (items: messages).
    SealingMessages,
    /// Writing index, snapshot and head.
    Publishing,
    /// Restoring messages (items: messages).
    RestoringMessages,
    /// Restoring media (items: attachments).
    RestoringMedia,
    /// Checking objects (items: objects).
    Checking,
    /// Searching (items: segments).
    Searching,
    /// Copying what is still needed out of mostly dead packs.
    Repacking,
    /// Deleting (items: objects).
    Deleting,
}

/// Items and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Things.
    pub items: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Hears how far a verb is; called from several workers.
pub trait Progress: Sync {
    /// A phase begins. `total`: how much there is to do, when that is known.
    fn phase(&self, phase: Phase, total: Option<Amount>);

    /// So much more of a phase is done. Phases may overlap.
    fn advance(&self, phase: Phase, items: u64, bytes: u64);

    /// Something to know that stops nothing.
    fn warn(&self, message: &str);

    /// Whether the person wants it to stop. Asked often; the verb then ends with `Interrupted`.
    fn interrupted(&self) -> bool;
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _: Phase, _: Option<Amount>) {}

    fn advance(&self, _: Phase, _: u64, _: u64) {}

    fn warn(&self, _: &str) {}

    fn interrupted(&self) -> bool {
        false
    }
}
