//! Reading and verifying heads, snapshots and indexes.

use std::collections::BTreeMap;

use super::{LoadedHead, LoadedSnapshot, Repository, Seen, SnapshotInfo};
use crate::error::{Damage, EngineError};
use crate::format::header::Kind;
use crate::format::{MAX_OBJECT_BYTES, names, object};
use crate::ids::{LineageId, ObjectHash};
use crate::keys::{equal, writer_mac};
use crate::marks::Marks;
use crate::proto;

/// A message with the HMAC of the device that wrote it.
pub(crate) trait Signed: prost::Message + Default {
    const KIND: Kind;
    fn repository(&self) -> &[u8];
    fn device(&self) -> &[u8];
    fn take_mac(&mut self) -> Vec<u8>;
}

macro_rules! signed {
    ($type:ident) => {
        impl Signed for proto::$type {
            const KIND: Kind = Kind::$type;
            fn repository(&self) -> &[u8] {
                &self.repository
            }
            fn device(&self) -> &[u8] {
                &self.device
            }
            fn take_mac(&mut self) -> Vec<u8> {
                std::mem::take(&mut self.mac)
            }
        }
    };
}

signed!(Head);
signed!(Snapshot);
signed!(Index);

impl Repository {
    /// Reads an object, and refuses it unless its bytes have its name's hash.
    pub(crate) fn object(&self, name: &str, hash: &ObjectHash) -> Result<Vec<u8>, EngineError> {
        let bytes = self.fetcher.get(name, MAX_OBJECT_BYTES)?;
        if ObjectHash::of(&bytes) != *hash {
            return Err(EngineError::damaged(name, Damage::NameMismatch));
        }
        Ok(bytes)
    }

    /// Opens a sealed object, and refuses it unless a device of this backup signed it.
    pub(crate) fn open_signed<M: Signed>(
        &self,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<M, EngineError> {
        let damaged = |damage| EngineError::damaged(name, damage);
        let (plain, sealed_run_key) =
            object::open(M::KIND, bytes, name, self.reader.repository(), |sealed| {
                self.fetcher.run_key(self.reader.as_ref(), sealed, name)
            })?;
        let mut message: M = proto::decode_canonical(&plain).map_err(damaged)?;
        if message.repository() != self.reader.repository() {
            return Err(damaged(Damage::OtherRepository));
        }
        let device: [u8; 16] = message
            .device()
            .try_into()
            .map_err(|_| damaged(Damage::Malformed))?;
        let mac = message.take_mac();
        let signed = message.encode_to_vec();
        let writers = self.reader.writer_keys(&device, &sealed_run_key);
        if !writers
            .iter()
            .any(|writer| equal(&writer_mac(writer, M::KIND.byte(), &signed), &mac))
        {
            return Err(damaged(Damage::UnknownWriter));
        }
        Ok(message)
    }

    pub(crate) fn load_head(
        &self,
        lineage: &LineageId,
        sequence: u64,
        hash: &ObjectHash,
    ) -> Result<LoadedHead, EngineError> {
        let name = names::head(lineage, sequence, hash);
        let message: proto::Head = self.open_signed(&name, self.object(&name, hash)?)?;
        if message.lineage != lineage.0 || message.sequence != sequence {
            return Err(EngineError::damaged(name, Damage::WrongKind));
        }
        Ok(LoadedHead {
            hash: *hash,
            lineage: *lineage,
            message,
        })
    }

    pub(crate) fn load_snapshot(&self, hash: &ObjectHash) -> Result<LoadedSnapshot, EngineError> {
        let name = names::snapshot(hash);
        let message = self.open_signed(&name, self.object(&name, hash)?)?;
        Ok(LoadedSnapshot {
            hash: *hash,
            message,
        })
    }

    pub(crate) fn load_index(&self, hash: &ObjectHash) -> Result<proto::Index, EngineError> {
        let name = names::index(hash);
        self.open_signed(&name, self.object(&name, hash)?)
    }

    /// A lineage's heads from the newest back to the oldest that is kept; each must be there, unless it was pruned.
    pub(crate) fn head_chain(
        &self,
        newest: &super::LoadedHead,
        marks: &Marks,
    ) -> Result<Vec<(ObjectHash, proto::Head)>, EngineError> {
        let mut chain = vec![(newest.hash, newest.message.clone())];
        let oldest = newest.message.oldest;
        while let Some((_, head)) = chain.last() {
            if head.sequence <= oldest || head.parent.is_empty() {
                break;
            }
            let parent = ObjectHash::from_slice(&head.parent).ok_or_else(|| {
                EngineError::damaged(format!("heads/{}", newest.lineage), Damage::Malformed)
            })?;
            let before = match self.load_head(&newest.lineage, head.sequence - 1, &parent) {
                Err(EngineError::Damaged {
                    object,
                    damage: Damage::Missing,
                }) if marks.marked_at(&object).is_some() => break,
                other => other?,
            };
            chain.push((parent, before.message));
        }
        Ok(chain)
    }
}

type Listed = BTreeMap<LineageId, Vec<(u64, ObjectHash)>>;

/// Refuses a store that shows less than was seen.
pub(crate) fn compare_with_seen(listed: &Listed, seen: &Seen) -> Result<(), EngineError> {
    for known in &seen.heads {
        let heads = LineageId::from_hex(&known.lineage).and_then(|lineage| listed.get(&lineage));
        let Some(heads) = heads else {
            return Err(EngineError::Rollback {
                what: format!("lineage {} is gone", known.lineage),
            });
        };
        let newest = heads
            .iter()
            .map(|(sequence, _)| *sequence)
            .max()
            .unwrap_or(0);
        if newest < known.sequence {
            return Err(EngineError::Rollback {
                what: format!(
                    "lineage {} ends at {newest}, it was at {}",
                    known.lineage, known.sequence
                ),
            });
        }
    }
    Ok(())
}

/// Refuses a history that does not go through the head that was seen, unless that one was pruned. `marks` are asked only
/// when it is gone.
pub(crate) fn check_seen_is_kept(
    seen: &Seen,
    newest: &LoadedHead,
    listed: &[(u64, ObjectHash)],
    marks: impl Fn() -> Result<Marks, EngineError>,
) -> Result<(), EngineError> {
    let lineage = newest.lineage;
    let forked = |what: String| Err(EngineError::Forked { what });
    let text = lineage.to_string();
    for known in seen
        .heads
        .iter()
        .filter(|known| known.lineage == text && known.sequence >= newest.message.oldest)
    {
        let sequence = known.sequence;
        let parent = ObjectHash::from_slice(&newest.message.parent)
            .map(|hash| hash.to_string())
            .unwrap_or_default();
        let same = listed
            .iter()
            .filter(|(other, _)| *other == sequence)
            .count();
        let there = listed
            .iter()
            .any(|(other, hash)| *other == sequence && hash.to_string() == known.hash);
        let led_to = newest.message.sequence != sequence + 1 || parent == known.hash;
        if there && same == 1 && led_to {
            continue;
        }
        if there && same > 1 {
            return forked(format!(
                "lineage {lineage} has two heads with number {sequence}"
            ));
        }
        let pruned =
            ObjectHash::from_hex(&known.hash).map(|hash| names::head(&lineage, sequence, &hash));
        if same > 0
            || !led_to
            || pruned
                .is_none_or(|name| !marks().is_ok_and(|marks| marks.marked_at(&name).is_some()))
        {
            return forked(format!(
                "lineage {lineage} has another head with number {sequence} than this device has seen"
            ));
        }
    }
    Ok(())
}

pub(crate) fn info(snapshot: &LoadedSnapshot, confirmed_at: i64, newest: bool) -> SnapshotInfo {
    let message = &snapshot.message;
    let source = message.source.clone().unwrap_or_default();
    let added = message
        .report
        .as_ref()
        .and_then(|report| report.added)
        .unwrap_or_default();
    let sum =
        |count: fn(&proto::ConversationEntry) -> u64| message.conversations.iter().map(count).sum();
    SnapshotInfo {
        hash: snapshot.hash.to_string(),
        lineage: LineageId::from_slice(&message.lineage)
            .map(|lineage| lineage.to_string())
            .unwrap_or_default(),
        sequence: message.sequence,
        created_at: message.created_at,
        confirmed_at,
        device_name: message.device_name.clone(),
        source: (source.app, source.form, source.label),
        totals: (
            u64::try_from(message.conversations.len()).unwrap_or(u64::MAX),
            sum(|entry| entry.messages),
            sum(|entry| entry.attachments),
        ),
        added: (added.conversations, added.messages, added.attachments),
        stored_bytes: message.packs.iter().map(|pack| pack.bytes).sum(),
        newest,
    }
}
