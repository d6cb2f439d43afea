//! The lines of the export as types. What is always there has no `default`; the rest is left out when it has nothing
//! to say.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::times;

/// A time: RFC 3339, or milliseconds where no calendar has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) ms: i64,
    pub(super) wall_clock: bool,
}

impl Time {
    /// `None` for 0, which records use for "unknown".
    pub(super) fn known(ms: i64) -> Option<Self> {
        (ms != 0).then_some(Self {
            ms,
            wall_clock: false,
        })
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match times::rfc3339(self.ms, self.wall_clock) {
            Some(text) => serializer.serialize_str(&text),
            None => serializer.serialize_i64(self.ms),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Ms(i64),
            Text(String),
        }
        let ms = match Either::deserialize(deserializer)? {
            Either::Ms(ms) => ms,
            Either::Text(text) => times::parse(&text)
                .ok_or_else(|| serde::de::Error::custom("a time that is not RFC 3339"))?,
        };
        Ok(Self {
            ms,
            wall_clock: false,
        })
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JsonExport {
    pub(super) format: String,
    pub(super) version: u32,
    #[serde(default)]
    pub(super) made_by: String,
    #[serde(default)]
    pub(super) conversations: u64,
    #[serde(default)]
    pub(super) participants: u64,
    #[serde(default)]
    pub(super) messages: u64,
    #[serde(default)]
    pub(super) attachments: u64,
    #[serde(default)]
    pub(super) absent: u64,
    #[serde(default)]
    pub(super) unreadable: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JsonConversation {
    pub(super) id: String,
    pub(super) app: String,
    pub(super) kind: String,
    pub(super) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) created_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) archived: bool,
    pub(super) participants: Vec<String>,
    pub(super) messages: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JsonParticipant {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) phone: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) is_owner: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) aliases: Vec<String>,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "the fields of a published line"
)]
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct JsonMessage {
    pub(super) id: String,
    pub(super) conversation: String,
    pub(super) author: String,
    pub(super) sent_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) from_owner: bool,
    pub(super) kind: String,
    pub(super) text: String,
    pub(super) reply_to: Option<JsonReply>,
    pub(super) reactions: Vec<JsonReaction>,
    pub(super) edits: Vec<JsonEdit>,
    pub(super) attachments: Vec<JsonAttachment>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) edited: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) forwarded: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) starred: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) view_once: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<JsonLocation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) poll: Option<JsonPoll>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) contacts: Vec<JsonContact>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) call: Option<JsonCall>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) system: Option<JsonSystem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<JsonDeleted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<JsonRaw>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) received_at: Option<Time>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) receipts: Vec<JsonReceipt>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonReply {
    pub(super) message: String,
    pub(super) author: String,
    pub(super) text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonReaction {
    pub(super) author: String,
    pub(super) emoji: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Time>,
}

/// `before` is there when the earlier text is known; `forgotten` keeps text of a record that says it is not.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonEdit {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) forgotten: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonAttachment {
    pub(super) name: String,
    pub(super) media_type: String,
    pub(super) bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) presence: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) source_path: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) source_sha256: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) duration_ms: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) width: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) height: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) transcription: String,
}

/// A coordinate that is no number is `null`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonLocation {
    pub(super) latitude: Option<f64>,
    pub(super) longitude: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) address: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) url: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) live_seconds: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonPoll {
    pub(super) question: String,
    pub(super) options: Vec<JsonPollOption>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) selectable: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonPollOption {
    pub(super) text: String,
    pub(super) votes: u32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) voters: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonContact {
    pub(super) name: String,
    pub(super) vcard: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonCall {
    pub(super) video: bool,
    pub(super) missed: bool,
    pub(super) seconds: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonSystem {
    pub(super) event: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) participants: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonDeleted {
    #[serde(default, skip_serializing_if = "is_default")]
    pub(super) by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Time>,
}

/// `data` in base64.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonRaw {
    pub(super) kind: String,
    pub(super) data: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct JsonReceipt {
    pub(super) participant: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) delivered_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) played_at: Option<Time>,
}
