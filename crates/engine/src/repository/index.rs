//! Where chunks lie: all index objects together, sorted.

use std::collections::HashMap;

use crate::error::Damage;
use crate::format::PACK_BYTES;
use crate::format::index::{Row, parse_rows};
use crate::ids::{ObjectHash, ShortId};
use crate::proto;

/// A pack that an index names.
#[derive(Debug, Clone)]
pub(crate) struct PackPlace {
    pub(crate) hash: ObjectHash,
    pub(crate) bytes: u32,
    pub(crate) salt: [u8; 32],
    pub(crate) commitment: [u8; 32],
    pub(crate) run_key: usize,
    pub(crate) payload_end: u32,
    /// The pack in which its last entry goes on.
    pub(crate) next: Option<ObjectHash>,
}

/// All rows; 40 bytes a chunk.
#[derive(Debug, Default)]
pub(crate) struct IndexTable {
    rows: Vec<Row>,
    packs: Vec<PackPlace>,
    by_hash: HashMap<ObjectHash, u32>,
    run_keys: Vec<Vec<u8>>,
    objects: Vec<ObjectHash>,
    /// Second places of chunks.
    contested: Vec<Row>,
}

impl IndexTable {
    /// Whether some chunks lie in several packs.
    pub(crate) fn is_contested(&self) -> bool {
        !self.contested.is_empty()
    }

    /// Prefers, where a chunk lies in several packs, one that is not going to be deleted.
    pub(crate) fn avoid(&mut self, marked: impl Fn(&ObjectHash) -> bool) {
        let is_marked = |packs: &[PackPlace], row: &Row| {
            usize::try_from(row.pack)
                .ok()
                .and_then(|pack| packs.get(pack))
                .is_none_or(|place| marked(&place.hash))
        };
        for other in std::mem::take(&mut self.contested) {
            if let Ok(at) = self.rows.binary_search_by(|row| row.id.cmp(&other.id))
                && is_marked(&self.packs, &self.rows[at])
                && !is_marked(&self.packs, &other)
            {
                self.rows[at] = other;
            }
        }
    }

    pub(crate) fn add(&mut self, hash: ObjectHash, index: proto::Index) -> Result<(), Damage> {
        let proto::Index {
            repository: _,
            device: _,
            run_keys,
            packs,
            rows,
            mac: _,
        } = index;
        let key_base = self.run_keys.len();
        let key_count = run_keys.len();
        self.run_keys.extend(run_keys);
        let mut numbers = Vec::with_capacity(packs.len());
        for pack in packs {
            let proto::IndexPack {
                hash,
                bytes,
                run_key,
                salt,
                commitment,
                payload_end,
                next,
            } = pack;
            let run_key = usize::try_from(run_key)
                .ok()
                .filter(|key| *key < key_count)
                .ok_or(Damage::Malformed)?;
            let hash = ObjectHash::from_slice(&hash).ok_or(Damage::Malformed)?;
            let next = if next.is_empty() {
                None
            } else {
                Some(ObjectHash::from_slice(&next).ok_or(Damage::Malformed)?)
            };
            let in_range = usize::try_from(bytes).is_ok_and(|bytes| bytes <= PACK_BYTES)
                && payload_end <= bytes;
            if !in_range {
                return Err(Damage::TooLarge);
            }
            let place = PackPlace {
                hash,
                bytes,
                salt: salt.try_into().map_err(|_| Damage::Malformed)?,
                commitment: commitment.try_into().map_err(|_| Damage::Malformed)?,
                run_key: key_base + run_key,
                payload_end,
                next,
            };
            let number = if let Some(number) = self.by_hash.get(&hash) {
                // Two indexes may name one pack; the one that knows how it goes on counts.
                let known =
                    &mut self.packs[usize::try_from(*number).map_err(|_| Damage::TooLarge)?];
                if known.next.is_none() {
                    known.next = place.next;
                }
                *number
            } else {
                let number = u32::try_from(self.packs.len()).map_err(|_| Damage::TooLarge)?;
                self.by_hash.insert(hash, number);
                self.packs.push(place);
                number
            };
            numbers.push(number);
        }
        for mut row in parse_rows(&rows).ok_or(Damage::Malformed)? {
            row.pack = usize::try_from(row.pack)
                .ok()
                .and_then(|pack| numbers.get(pack))
                .copied()
                .ok_or(Damage::Malformed)?;
            self.rows.push(row);
        }
        // Stable: of two places of one chunk, that of the later index counts. The other pack may be marked, and go.
        self.rows.sort_by_key(|row| row.id);
        let contested = &mut self.contested;
        self.rows.dedup_by(|later, kept| {
            let same = later.id == kept.id;
            if same {
                if later.pack != kept.pack {
                    contested.push(*kept);
                }
                *kept = *later;
            }
            same
        });
        self.objects.push(hash);
        Ok(())
    }

    pub(crate) fn row(&self, id: &ShortId) -> Option<&Row> {
        self.rows
            .binary_search_by(|row| row.id.cmp(id))
            .ok()
            .map(|at| &self.rows[at])
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(crate) fn packs(&self) -> &[PackPlace] {
        &self.packs
    }

    pub(crate) fn pack(&self, number: u32) -> Result<&PackPlace, Damage> {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.packs.get(number))
            .ok_or(Damage::Malformed)
    }

    pub(crate) fn number(&self, hash: &ObjectHash) -> Option<u32> {
        self.by_hash.get(hash).copied()
    }

    pub(crate) fn run_key(&self, place: &PackPlace) -> &[u8] {
        &self.run_keys[place.run_key]
    }

    pub(crate) fn objects(&self) -> &[ObjectHash] {
        &self.objects
    }

    /// The parts of an entry: (pack, offset, length), one after the other.
    pub(crate) fn parts(
        &self,
        row: &Row,
        header_len: impl Fn(&PackPlace) -> u32,
    ) -> Result<Vec<(u32, u32, u32)>, Damage> {
        let mut parts = Vec::with_capacity(1);
        let (mut pack, mut offset, mut left) = (row.pack, row.offset, row.sealed_len);
        while left > 0 {
            let place = self.pack(pack)?;
            let here = place
                .payload_end
                .checked_sub(offset)
                .filter(|here| *here > 0)
                .ok_or(Damage::Malformed)?
                .min(left);
            parts.push((pack, offset, here));
            left -= here;
            if left > 0 {
                let next = place.next.ok_or(Damage::Malformed)?;
                pack = self.number(&next).ok_or(Damage::Malformed)?;
                offset = header_len(self.pack(pack)?);
            }
            if parts.len() > 64 {
                return Err(Damage::Malformed);
            }
        }
        Ok(parts)
    }
}
