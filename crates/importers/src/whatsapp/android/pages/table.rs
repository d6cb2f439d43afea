//! The rows of a table in the order of their numbers, past `SQLite`: where every row is wanted, a fraction of the cost.
//!
//! What is not plain (a row that goes on on other pages, a broken page) is left to `SQLite`, which has the last word on
//! what a file holds.

use std::vec::IntoIter;

use rusqlite::types::ValueRef;

use super::super::AndroidFolder;
use super::MessagePages;
use super::btree::{Cell, Noted, Pages, varint};
use super::code::EncodedLeaves;
use crate::sqlite::{Cells, Database};

/// Where a column's value lies in a record.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It is the row's number.
    Row,
    /// At this place; whether it has a value of its own where the record is too short.
    At(usize, bool),
    Nowhere,
}

/// Gives the rows of `message`, one after the other.
pub(in crate::whatsapp::android) struct MessageRows {
    pages: Pages,
    leaves: IntoIter<u32>,
    places: Vec<Place>,
    /// Places in a record that are looked at.
    width: usize,
    /// The page that the buffer holds, how many rows it has, and which is next.
    page: u32,
    cells: usize,
    next: usize,
    /// The number of the row before.
    before: Option<i64>,
    hashed: Option<EncodedLeaves>,
    parts: Vec<Part>,
}

/// Kind and place of a value in a record: <https://sqlite.org/fileformat2.html>, 2.1.
#[derive(Debug, Clone, Copy)]
struct Part {
    kind: u64,
    at: usize,
}

/// What comes next of a table.
pub(in crate::whatsapp::android) enum Next<'r> {
    /// A row.
    Row(Record<'r>),
    /// A row that only `SQLite` can read.
    Other(i64),
    /// No more rows.
    End,
    /// Whatever lies behind the last row, `SQLite` must read.
    Broken,
}

/// A row of a table, in place.
pub(in crate::whatsapp::android) struct Record<'r> {
    pub(in crate::whatsapp::android) row: i64,
    payload: &'r [u8],
    parts: &'r [Part],
    places: &'r [Place],
}

impl MessageRows {
    /// `columns` are what the values are asked for by, the first being 0. `None`: `SQLite` must read the table.
    pub(in crate::whatsapp::android) fn open(
        database: &Database,
        columns: &[&str],
        hashes: Option<&MessagePages>,
    ) -> Option<Self> {
        let places = places(database, columns)?;
        let root = u32::try_from(database.schema.table("message")?.root).ok()?;
        let key = hashes.map_or([0; 32], |hashes| hashes.key);
        let mut pages = Pages::open(&database.path, &key).ok()??;
        if !pages.is_utf8() {
            return None;
        }
        let leaves = pages.leaf_numbers(root).ok()??;
        let width = places.iter().map(|place| match place {
            Place::At(place, _) => place + 1,
            Place::Row | Place::Nowhere => 0,
        });
        Some(Self {
            width: width.max().unwrap_or(0),
            pages,
            leaves: leaves.into_iter(),
            places,
            page: 0,
            cells: 0,
            next: 0,
            before: None,
            hashed: hashes.map(|_| EncodedLeaves::default()),
            parts: Vec::new(),
        })
    }

    /// The next row.
    pub(in crate::whatsapp::android) fn next(&mut self) -> Next<'_> {
        while self.next >= self.cells {
            let Some(leaf) = self.leaves.next() else {
                return Next::End;
            };
            if self.turn_to(leaf).is_none() {
                return Next::Broken;
            }
        }
        let Some(cell) = self.pages.cell(self.page, self.next) else {
            return Next::Broken;
        };
        self.next += 1;
        let Cell {
            row,
            payload,
            overflow,
            beyond: _,
        } = cell;
        if self.before.is_some_and(|before| before >= row) {
            return Next::Broken;
        }
        self.before = Some(row);
        let is_plain = overflow.is_none()
            && decode(payload, self.width, &mut self.parts).is_some()
            && self.places.iter().all(|place| match place {
                Place::At(place, true) => *place < self.parts.len(),
                Place::At(_, false) | Place::Row | Place::Nowhere => true,
            });
        if !is_plain {
            return Next::Other(row);
        }
        Next::Row(Record {
            row,
            payload,
            parts: &self.parts,
            places: &self.places,
        })
    }

    /// The number of the row that came last.
    pub(in crate::whatsapp::android) fn last(&self) -> Option<i64> {
        self.before
    }

    /// The hashes of all pages, when there are no more rows.
    pub(in crate::whatsapp::android) fn into_hashes(self) -> Option<EncodedLeaves> {
        self.hashed
    }

    fn turn_to(&mut self, leaf: u32) -> Option<()> {
        if let Some(hashed) = &mut self.hashed
            && let Some(leaf) = self.pages.leaf(leaf, Noted::Span).ok()??
        {
            hashed.push(&leaf);
        }
        // Hashing may have gone on to other pages.
        let cells = self.pages.turn_to_leaf(leaf).ok()??;
        (self.page, self.cells, self.next) = (leaf, cells, 0);
        Some(())
    }
}

impl AndroidFolder {
    /// Whether [`MessageRows`] can read the messages.
    pub(in crate::whatsapp::android) fn reads_past_sqlite(&self) -> bool {
        places(&self.database, &[]).is_some()
    }
}

fn places(database: &Database, columns: &[&str]) -> Option<Vec<Place>> {
    let table = database.schema.table("message")?;
    if !table.has_row_id || table.has_generated || table.row_id.as_deref() != Some("_id") {
        return None;
    }
    columns
        .iter()
        .map(|column| match table.columns.get(*column) {
            _ if *column == "_id" => Some(Place::Row),
            // A real number may lie there as a whole one.
            Some(_) if table.reals.contains(*column) => None,
            Some(place) => Some(Place::At(*place, table.defaults.contains(*column))),
            None => Some(Place::Nowhere),
        })
        .collect()
}

/// Finds the first `width` values of a record; `None` where that is not what it says of itself.
fn decode(payload: &[u8], width: usize, parts: &mut Vec<Part>) -> Option<()> {
    parts.clear();
    let (header_bytes, mut at) = varint(payload, 0)?;
    let header_bytes = usize::try_from(header_bytes).ok()?;
    let header = payload.get(..header_bytes)?;
    let mut value_at = header_bytes;
    while at < header_bytes && parts.len() < width {
        let (kind, next) = varint(header, at)?;
        at = next;
        let bytes = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).ok()?,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => usize::try_from((kind - 12) / 2).ok()?,
        };
        parts.push(Part { kind, at: value_at });
        value_at = value_at.checked_add(bytes)?;
    }
    (value_at <= payload.len()).then_some(())
}

impl Cells for Record<'_> {
    #[inline]
    fn value(&self, column: usize) -> ValueRef<'_> {
        let part = match self.places.get(column) {
            Some(Place::Row) => return ValueRef::Integer(self.row),
            Some(Place::At(place, _)) => self.parts.get(*place),
            Some(Place::Nowhere) | None => None,
        };
        let Some(Part { kind, at }) = part else {
            return ValueRef::Null;
        };
        let of = |bytes: usize| self.payload.get(*at..*at + bytes).unwrap_or_default();
        let text = |kind: u64| of(usize::try_from(kind / 2).unwrap_or(0));
        match *kind {
            1 => ValueRef::Integer(whole(of(1))),
            2 => ValueRef::Integer(whole(of(2))),
            3 => ValueRef::Integer(whole(of(3))),
            4 => ValueRef::Integer(whole(of(4))),
            5 => ValueRef::Integer(whole(of(6))),
            6 => ValueRef::Integer(whole(of(8))),
            7 => match of(8).try_into().map(f64::from_be_bytes) {
                Ok(number) if !number.is_nan() => ValueRef::Real(number),
                _ => ValueRef::Null,
            },
            8 => ValueRef::Integer(0),
            9 => ValueRef::Integer(1),
            kind @ 12.. if kind % 2 == 0 => ValueRef::Blob(text(kind - 12)),
            kind @ 13.. => ValueRef::Text(text(kind - 13)),
            _ => ValueRef::Null,
        }
    }
}

/// A whole number of up to eight bytes with its sign, highest byte first.
#[inline]
fn whole(bytes: &[u8]) -> i64 {
    let sign = match bytes.first() {
        Some(first) if first & 0x80 != 0 => -1,
        _ => 0,
    };
    bytes
        .iter()
        .fold(sign, |number: i64, byte| number << 8 | i64::from(*byte))
}

#[cfg(test)]
mod tests;
