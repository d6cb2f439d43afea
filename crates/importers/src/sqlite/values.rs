//! Values as they are found: any column can hold anything.

use rusqlite::Row;
use rusqlite::types::ValueRef;

/// A row, whoever read it from the file.
pub(crate) trait Cells {
    /// The value of a column; `Null` where there is no such column.
    fn value(&self, column: usize) -> ValueRef<'_>;
}

impl Cells for Row<'_> {
    #[inline]
    fn value(&self, column: usize) -> ValueRef<'_> {
        self.get_ref(column).unwrap_or(ValueRef::Null)
    }
}

/// Reads values of rows, and counts those that had to be mended.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Texts that were not valid UTF-8.
    pub(crate) mended: u64,
}

impl Values {
    /// The text of a column, which `SQLite` may hold as text, as bytes or as a number; empty for none.
    pub(crate) fn text(&mut self, row: &impl Cells, column: usize) -> String {
        match row.value(column) {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
                    text.to_owned()
                } else {
                    self.mended += 1;
                    String::from_utf8_lossy(bytes).into_owned()
                }
            }
            ValueRef::Integer(number) => number.to_string(),
            ValueRef::Real(number) => number.to_string(),
            ValueRef::Null => String::new(),
        }
    }

    /// The bytes of a column; empty for none.
    pub(crate) fn bytes(row: &impl Cells, column: usize) -> &[u8] {
        match row.value(column) {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
            ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Null => &[],
        }
    }

    /// The whole number of a column; `None` for what is no number.
    pub(crate) fn integer(row: &impl Cells, column: usize) -> Option<i64> {
        match row.value(column) {
            ValueRef::Integer(number) => Some(number),
            ValueRef::Real(number) => format!("{number:.0}").parse().ok(),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                std::str::from_utf8(bytes).ok()?.trim().parse().ok()
            }
            ValueRef::Null => None,
        }
    }

    /// The whole number of a column, 0 for none.
    pub(crate) fn number(row: &impl Cells, column: usize) -> i64 {
        Self::integer(row, column).unwrap_or(0)
    }

    /// A time in milliseconds; 0 for none (`WhatsApp` writes -1, too).
    pub(crate) fn time(row: &impl Cells, column: usize) -> i64 {
        Self::number(row, column).max(0)
    }

    /// A number that is never negative.
    pub(crate) fn count(row: &impl Cells, column: usize) -> u32 {
        u32::try_from(Self::number(row, column)).unwrap_or(0)
    }

    /// Whether a column says yes.
    pub(crate) fn flag(row: &impl Cells, column: usize) -> bool {
        Self::number(row, column) > 0
    }

    /// The number of a column with its fraction; 0 for what is none.
    pub(crate) fn real(row: &impl Cells, column: usize) -> f64 {
        let number = match row.value(column) {
            ValueRef::Real(number) => number,
            ValueRef::Integer(number) => i32::try_from(number).map_or(0.0, f64::from),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0.0),
            ValueRef::Null => 0.0,
        };
        if number.is_finite() { number } else { 0.0 }
    }
}
