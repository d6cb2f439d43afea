//! Reading packs whole: their hash, their directory, and every entry.

use std::collections::{BTreeMap, HashMap};

use super::Check;
use crate::aead::AeadKey;
use crate::error::{Damage, EngineError};
use crate::format::header::{Header, Kind};
use crate::format::index::Row;
use crate::format::names::{self, Name};
use crate::format::object::header_error;
use crate::format::{PACK_BYTES, pack};
use crate::ids::{ChunkId, ObjectHash, ShortId};
use crate::keys::{derive_object_keys, equal};
use crate::progress::{Phase, Progress};
use crate::repository::open_entry;

pub(super) fn run(
    check: &mut Check<'_>,
    listed: &BTreeMap<String, u64>,
    percent: u8,
    progress: &dyn Progress,
) -> Result<(), EngineError> {
    let mut rows: HashMap<u32, Vec<Row>> = HashMap::new();
    for row in check.repository.index.rows() {
        rows.entry(row.pack).or_default().push(*row);
    }
    for name in listed.keys() {
        let Some(Name::Pack(hash)) = Name::parse(name) else {
            continue;
        };
        // Names are hashes: their first byte picks a sample that is spread over all packs.
        if u32::from(hash.0[0]) * 100 >= u32::from(percent) * 256 {
            continue;
        }
        if progress.interrupted() {
            return Err(EngineError::Interrupted);
        }
        let expected = check
            .repository
            .index
            .number(&hash)
            .and_then(|number| rows.get(&number))
            .map_or(&[][..], Vec::as_slice);
        match pack(check, name, &hash, expected) {
            Ok(bytes) => {
                check.outcome.bytes += bytes;
                progress.advance(Phase::Checking, 0, bytes);
            }
            Err(error) => {
                let cost = check.cost(&hash);
                check.error(name, &error, &cost);
            }
        }
    }
    Ok(())
}

fn pack(
    check: &Check<'_>,
    name: &str,
    hash: &ObjectHash,
    expected: &[Row],
) -> Result<u64, EngineError> {
    let damaged = |damage| EngineError::damaged(name, damage);
    let repository = check.repository;
    let limit = u64::try_from(PACK_BYTES).expect("fits");
    let bytes = repository.fetcher.get(name, limit)?;
    if ObjectHash::of(&bytes) != *hash {
        return Err(damaged(Damage::NameMismatch));
    }
    let (header, header_len) =
        Header::parse(&bytes, Kind::Pack).map_err(|error| header_error(error, name))?;
    if header.repository != repository.reader.repository() {
        return Err(damaged(Damage::OtherRepository));
    }
    let run_key =
        repository
            .fetcher
            .run_key(repository.reader.as_ref(), &header.sealed_run_key, name)?;
    let derived = derive_object_keys(
        &run_key,
        &header.salt,
        Kind::Pack.byte(),
        &header.repository,
    );
    if !equal(&derived.commitment, &header.commitment) {
        return Err(damaged(Damage::Unauthentic));
    }
    let directory = pack::open_directory(&bytes, header_len, &derived).map_err(damaged)?;
    let aead = AeadKey::new(&derived.content);
    let by_id: HashMap<ShortId, &Row> = expected.iter().map(|row| (row.id, row)).collect();
    let mut found = 0;
    for (ordinal, entry) in (0u32..).zip(&directory.entries) {
        let row = Row {
            id: entry.id.short(),
            pack: 0,
            offset: entry.offset,
            sealed_len: entry.sealed_len,
            raw_len: entry.raw_len,
            ordinal,
            codec: entry.codec,
            kind: entry.kind,
        };
        let id: ChunkId = entry.id;
        // Others may be what an interrupted run left, or a chunk that another pack holds too: they must be genuine as well.
        if by_id.get(&row.id).is_some_and(|indexed| {
            (Row {
                pack: 0,
                ..**indexed
            }) == row
        }) {
            found += 1;
        }
        let end = row.offset.saturating_add(row.sealed_len);
        if end > directory.payload_end {
            if by_id.contains_key(&row.id) {
                repository.chunk(&id)?;
            }
            continue;
        }
        let range = usize::try_from(row.offset)
            .ok()
            .zip(usize::try_from(end).ok());
        let sealed = range
            .and_then(|(from, to)| bytes.get(from..to))
            .ok_or_else(|| damaged(Damage::Malformed))?;
        open_entry(
            &aead,
            &repository.ids,
            &header.repository,
            &row,
            &id,
            &mut sealed.to_vec(),
        )
        .map_err(damaged)?;
    }
    if found < expected.len() {
        return Err(EngineError::damaged(names::pack(hash), Damage::Malformed));
    }
    Ok(u64::try_from(bytes.len()).unwrap_or(0))
}
