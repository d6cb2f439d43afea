//! JSONL: one JSON object a line, media beside it. The schema is in `schema/` and `docs/export-schema.md`.
//!
//! ```text
//! heirloom-export.json    what it is: format, version, totals
//! conversations.jsonl     participants.jsonl     messages.jsonl
//! attachments/<conversation>/<name>
//! schema/                 the JSON Schemas of these files
//! ```

mod convert;
mod export;
mod read;
mod records;

pub use export::export;
pub use read::{JsonlHistory, read};

/// The version of the export's schema.
pub const VERSION: u32 = 1;

/// The published JSON Schemas, by file name.
pub const SCHEMAS: [(&str, &str); 4] = [
    (
        "export.schema.json",
        include_str!("../schema/export.schema.json"),
    ),
    (
        "conversation.schema.json",
        include_str!("../schema/conversation.schema.json"),
    ),
    (
        "participant.schema.json",
        include_str!("../schema/participant.schema.json"),
    ),
    (
        "message.schema.json",
        include_str!("../schema/message.schema.json"),
    ),
];

const FORMAT: &str = "heirloom-jsonl";
const MANIFEST: &str = "heirloom-export.json";
const CONVERSATIONS: &str = "conversations.jsonl";
const PARTICIPANTS: &str = "participants.jsonl";
const MESSAGES: &str = "messages.jsonl";
const ATTACHMENTS: &str = "attachments";

#[cfg(test)]
mod tests;
