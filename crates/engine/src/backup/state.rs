//! What a device remembers of its own lineage between runs.

use prost::Message as _;

use crate::aead::{AeadKey, TAG_BYTES};
use crate::error::EngineError;
use crate::ids::LineageId;
use crate::keys::{IdKeys, Key, purpose};
use crate::ledger::{Change, Ledger, Space};
use crate::proto;

/// An index object, and how many rows it has.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct IndexState {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) hash: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) bytes: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) rows: u64,
}

/// A note of the newest snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct NoteState {
    #[prost(message, optional, tag = "1")]
    pub(crate) note: Option<proto::Note>,
    /// How much the lineage had stored in all when it was written.
    #[prost(uint64, tag = "2")]
    pub(crate) stored: u64,
}

/// Where a device's lineage stands.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LineageState {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) lineage: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub(crate) sequence: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(crate) head: Vec<u8>,
    #[prost(message, optional, tag = "4")]
    pub(crate) snapshot: Option<proto::ObjectRef>,
    /// The newest time that segments of this lineage were written with; never goes back, whatever the clock does.
    #[prost(int64, tag = "5")]
    pub(crate) created_at: i64,
    #[prost(message, repeated, tag = "6")]
    pub(crate) indexes: Vec<IndexState>,
    /// Chunks of participants.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub(crate) participants: Vec<Vec<u8>>,
    /// How many participants those chunks name, each counted once.
    #[prost(uint64, tag = "8")]
    pub(crate) participant_count: u64,
    #[prost(uint64, tag = "9")]
    pub(crate) oldest: u64,
    /// Snapshots of other lineages whose content this lineage took over, until they are named in a snapshot.
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub(crate) merged: Vec<Vec<u8>>,
    /// Prune marks that were heeded.
    #[prost(string, repeated, tag = "11")]
    pub(crate) heeded: Vec<String>,
    #[prost(message, repeated, tag = "12")]
    pub(crate) notes: Vec<NoteState>,
    /// Bytes that all runs of the lineage have stored.
    #[prost(uint64, tag = "13")]
    pub(crate) stored: u64,
    /// What the clock said at the last run; 0 before the first.
    #[prost(int64, tag = "14")]
    pub(crate) clock_ms: i64,
}

impl LineageState {
    pub(crate) fn lineage(&self) -> LineageId {
        LineageId::from_slice(&self.lineage).unwrap_or(LineageId([0; 16]))
    }

    pub(crate) fn load(ledger: &dyn Ledger) -> Result<Option<Self>, EngineError> {
        let Some(bytes) = ledger.get(Space::State, b"lineage")? else {
            return Ok(None);
        };
        Ok(Self::decode(bytes.as_slice())
            .ok()
            .filter(|state| state.lineage.len() == 16))
    }

    /// What the segments of the next run are written with.
    ///
    /// A clock that was ahead once must not stop every later run; which of two versions of a message is the newer one must
    /// not hang on it, either. So this goes on from what was written before, whatever the clock says.
    pub(crate) fn next_added_ms(&mut self, now_ms: i64) -> i64 {
        self.created_at = if now_ms < self.created_at {
            self.created_at.saturating_add(1)
        } else {
            now_ms
        };
        self.created_at
    }

    pub(crate) fn change(&self) -> Change {
        (
            Space::State,
            b"lineage".to_vec(),
            Some(self.encode_to_vec()),
        )
    }
}

/// The conversations of the newest snapshot; has titles, so it lies sealed in the ledger.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Conversations {
    #[prost(message, repeated, tag = "1")]
    pub(crate) entries: Vec<proto::ConversationEntry>,
}

fn local_key(ids: &IdKeys, salt: &[u8; 32]) -> AeadKey {
    let mut bytes = ids.keyed(purpose::LOCAL, salt);
    let key = Key::init_with_mut(|key: &mut [u8; 32]| key.copy_from_slice(&bytes));
    zeroize::Zeroize::zeroize(&mut bytes);
    AeadKey::new(&key)
}

/// Seals something with names for the ledger. `salt` must be fresh.
pub(crate) fn seal_local(ids: &IdKeys, salt: [u8; 32], mut bytes: Vec<u8>) -> Vec<u8> {
    let tag = local_key(ids, &salt).seal(0, b"ledger", &mut bytes);
    let mut sealed = salt.to_vec();
    sealed.append(&mut bytes);
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens what [`seal_local`] sealed; `None` when it was sealed for another backup, or damaged.
pub(crate) fn open_local(ids: &IdKeys, sealed: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = sealed.split_first_chunk::<32>()?;
    if rest.len() < TAG_BYTES {
        return None;
    }
    let mut rest = rest.to_vec();
    local_key(ids, salt)
        .open(0, b"ledger", &mut rest)
        .ok()
        .map(|plain| plain.to_vec())
}
