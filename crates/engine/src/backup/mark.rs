//! What a source was like at the last run: with it, the next run reads only what changed.

use super::state::{open_local, seal_local};
use crate::error::EngineError;
use crate::keys::purpose;
use crate::ledger::{Change, Space};
use crate::packer::Packer;

/// How often a stored chunk was forgotten: see [`forgot`].
const FORGOTTEN: &[u8] = b"forgotten";

/// The mark of a source, if all that was stored at its time is stored still.
pub(crate) fn load(
    packer: &Packer<'_>,
    source_key: &[u8; 32],
) -> Result<Option<Vec<u8>>, EngineError> {
    let Some(sealed) = packer.ledger.get(Space::State, &key(packer, source_key))? else {
        return Ok(None);
    };
    let forgotten = forgotten(packer)?;
    Ok(open_local(&packer.ids, &sealed)
        .and_then(|plain| Some(plain.strip_prefix(forgotten.as_slice())?.to_vec())))
}

/// Remembers a mark, or forgets the one before.
pub(crate) fn change(
    packer: &Packer<'_>,
    source_key: &[u8; 32],
    mark: Option<Vec<u8>>,
) -> Result<Change, EngineError> {
    let value = match mark {
        None => None,
        Some(mark) => {
            let mut plain = forgotten(packer)?.to_vec();
            plain.extend_from_slice(&mark);
            Some(seal_local(&packer.ids, packer.salt(), plain))
        }
    };
    Ok((Space::State, key(packer, source_key).to_vec(), value))
}

/// Says that a chunk is not stored any more: every mark is void, since only a run that reads everything stores it again.
/// Must be applied together with the forgetting.
pub(crate) fn forgot(packer: &Packer<'_>) -> Result<Change, EngineError> {
    let next = u64::from_le_bytes(forgotten(packer)?).wrapping_add(1);
    Ok((
        Space::State,
        FORGOTTEN.to_vec(),
        Some(next.to_le_bytes().to_vec()),
    ))
}

/// How often that was said. Whatever rests on all that was stored being stored still is remembered together with it.
pub(super) fn forgotten(packer: &Packer<'_>) -> Result<[u8; 8], EngineError> {
    let known = packer.ledger.get(Space::State, FORGOTTEN)?;
    Ok(known
        .and_then(|value| value.try_into().ok())
        .unwrap_or_default())
}

fn key(packer: &Packer<'_>, source_key: &[u8; 32]) -> [u8; 32] {
    packer
        .ids
        .keyed(purpose::LOCAL, &[b"mark ", source_key.as_slice()].concat())
}
