//! Prune marks: what is going to be deleted, or was. They stay, so that a missing object can be told from a stolen one.

use std::collections::BTreeMap;

use prost::Message as _;

use crate::error::EngineError;
use crate::format::MAX_OBJECT_BYTES;
use crate::format::names::{self, Name};
use crate::ids::ObjectHash;
use crate::keys::{ReaderKeys, WriterKeys, equal, writer_mac};
use crate::proto;
use crate::repository::Repository;

/// The kind byte of a mark's HMAC.
const KIND: u8 = 16;

/// When each marked object was first marked, milliseconds UTC. Marks that no device of this backup signed count for
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    objects: BTreeMap<String, i64>,
    /// Marks that are not what their name says, or that nobody of this backup signed.
    pub(crate) refused: Vec<String>,
}

impl Marks {
    pub(crate) fn load(repository: &Repository) -> Result<Self, EngineError> {
        let mut marks = Self::default();
        for listed in repository.store.list("prune/")? {
            let bytes = repository.store.get(&listed.name, MAX_OBJECT_BYTES)?;
            match verified(&listed.name, &bytes, repository.reader.as_ref()) {
                Some(mark) => {
                    for object in mark.objects {
                        let at = marks.objects.entry(object).or_insert(mark.created_at);
                        *at = (*at).min(mark.created_at);
                    }
                }
                None => marks.refused.push(listed.name),
            }
        }
        Ok(marks)
    }

    pub(crate) fn marked_at(&self, object: &str) -> Option<i64> {
        self.objects.get(object).copied()
    }
}

/// The mark, if its bytes have its name's hash and a device of this backup signed it.
pub(crate) fn verified(
    name: &str,
    bytes: &[u8],
    reader: &dyn ReaderKeys,
) -> Option<proto::PruneMark> {
    let Some(Name::PruneMark(hash)) = Name::parse(name) else {
        return None;
    };
    if ObjectHash::of(bytes) != hash {
        return None;
    }
    let mut mark: proto::PruneMark = proto::decode_canonical(bytes).ok()?;
    let mac = std::mem::take(&mut mark.mac);
    let device: [u8; 16] = mark.device.as_slice().try_into().ok()?;
    let signed = mark.encode_to_vec();
    let writers = reader.writer_keys(&device, &mark.sealed_run_key);
    let ours = mark.repository == reader.repository()
        && writers
            .iter()
            .any(|writer| equal(&writer_mac(writer, KIND, &signed), &mac));
    ours.then_some(mark)
}

/// Makes a mark: its name and bytes.
pub(crate) fn make(objects: Vec<String>, keys: &WriterKeys, now_ms: i64) -> (String, Vec<u8>) {
    let mut mark = proto::PruneMark {
        repository: keys.repository.to_vec(),
        device: keys.device.to_vec(),
        created_at: now_ms,
        objects,
        sealed_run_key: keys.sealed_run_key.clone(),
        mac: Vec::new(),
    };
    mark.mac = writer_mac(&keys.writer_key, KIND, &mark.encode_to_vec()).to_vec();
    let bytes = mark.encode_to_vec();
    (names::prune_mark(&ObjectHash::of(&bytes)), bytes)
}
