//! What a chat history *is*: records, ids, validation, framing, and the traits of those who read
//! and write one.
//!
//! A leaf: no keys, no network; files only for the archive form ([`form`], native). [`Source`] is what importers implement,
//! [`Sink`] takes what they find, [`History`] is any chat history that can be read back: a backup, or
//! a folder in archive form.

pub mod canon;
#[cfg(not(target_arch = "wasm32"))]
pub mod form;
pub mod frames;
pub mod history;
pub mod identity;
pub mod media;
pub mod pages;
pub mod paths;
pub mod records;
pub mod report;
pub mod source;

pub use history::{History, HistoryError, MessageQuery};
pub use media::{MediaFile, MediaStore, Stamp};
pub use records::{
    Attachment, Call, ContactCard, Conversation, ConversationKind, Deleted, Edit, Location,
    Message, MessageKind, Participant, Poll, PollOption, Presence, Raw, Reaction, Receipt, Reply,
    System, Zone,
};
pub use report::{Counts, Kind, Report, Skip};
pub use source::{ConversationRef, Reading, Sink, SinkError, Source, SourceError, SourceInfo};
