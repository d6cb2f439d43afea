//! Values as they are found: any column can hold anything.

use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Reads values of rows, and counts those that had to be mended.
#[derive(Debug, Default)]
pub(crate) struct Values {
    /// Texts that were not valid UTF-8.
    pub(crate) mended: u64,
}

impl Values {
    /// The text of a column, which `SQLite` may hold as text, as bytes or as a number; empty for none.
    pub(crate) fn text(&mut self, row: &Row<'_>, column: usize) -> String {
        match row.get_ref(column) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                if let Ok(text) = simdutf8::basic::from_utf8(bytes) {
                    text.to_owned()
                } else {
                    self.mended += 1;
                    String::from_utf8_lossy(bytes).into_owned()
                }
            }
            Ok(ValueRef::Integer(number)) => number.to_string(),
            Ok(ValueRef::Real(number)) => number.to_string(),
            Ok(ValueRef::Null) | Err(_) => String::new(),
        }
    }

    /// The bytes of a column; empty for none.
    pub(crate) fn bytes<'r>(row: &'r Row<'_>, column: usize) -> &'r [u8] {
        match row.get_ref(column) {
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => bytes,
            Ok(ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Null) | Err(_) => &[],
        }
    }

    /// The whole number of a column; `None` for what is no number.
    pub(crate) fn integer(row: &Row<'_>, column: usize) -> Option<i64> {
        match row.get_ref(column) {
            Ok(ValueRef::Integer(number)) => Some(number),
            Ok(ValueRef::Real(number)) => format!("{number:.0}").parse().ok(),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => {
                std::str::from_utf8(bytes).ok()?.trim().parse().ok()
            }
            Ok(ValueRef::Null) | Err(_) => None,
        }
    }

    /// The whole number of a column, 0 for none.
    pub(crate) fn number(row: &Row<'_>, column: usize) -> i64 {
        Self::integer(row, column).unwrap_or(0)
    }

    /// A time in milliseconds; 0 for none (`WhatsApp` writes -1, too).
    pub(crate) fn time(row: &Row<'_>, column: usize) -> i64 {
        Self::number(row, column).max(0)
    }

    /// A number that is never negative.
    pub(crate) fn count(row: &Row<'_>, column: usize) -> u32 {
        u32::try_from(Self::number(row, column)).unwrap_or(0)
    }

    /// Whether a column says yes.
    pub(crate) fn flag(row: &Row<'_>, column: usize) -> bool {
        Self::number(row, column) > 0
    }

    /// The number of a column with its fraction; 0 for what is none.
    pub(crate) fn real(row: &Row<'_>, column: usize) -> f64 {
        let number = match row.get_ref(column) {
            Ok(ValueRef::Real(number)) => number,
            Ok(ValueRef::Integer(number)) => i32::try_from(number).map_or(0.0, f64::from),
            Ok(ValueRef::Text(bytes) | ValueRef::Blob(bytes)) => std::str::from_utf8(bytes)
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(0.0),
            Ok(ValueRef::Null) | Err(_) => 0.0,
        };
        if number.is_finite() { number } else { 0.0 }
    }
}
