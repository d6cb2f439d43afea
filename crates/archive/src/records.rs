//! The record types, generated from `proto/heirloom/archive.proto`.

mod generated {
    #![expect(
        missing_docs,
        clippy::pedantic,
        reason = "generated; the .proto file carries the comments"
    )]
    include!(concat!(env!("OUT_DIR"), "/heirloom.archive.v1.rs"));
}

pub use generated::{
    Attachment, Call, ContactCard, Conversation, ConversationKind, Deleted, Edit, Location,
    Message, MessageKind, Participant, Poll, PollOption, Presence, Raw, Reaction, Receipt, Reply,
    System, Zone,
};

/// The schema that every record follows, for publication beside a repository or an export.
pub const SCHEMA: &str = include_str!("../proto/heirloom/archive.proto");
