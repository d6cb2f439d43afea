//! Things by the number of a row.

use std::collections::HashMap;

/// Rows below this are found by place: WhatsApp numbers its rows from 1.
const DENSE_MAX: usize = 1 << 18;

/// A map from row numbers that costs next to nothing for small ones, and takes any.
#[derive(Debug)]
pub(super) struct ByRow<T> {
    dense: Vec<Option<T>>,
    others: HashMap<i64, T>,
    len: usize,
}

impl<T> Default for ByRow<T> {
    fn default() -> Self {
        Self {
            dense: Vec::new(),
            others: HashMap::new(),
            len: 0,
        }
    }
}

impl<T> ByRow<T> {
    #[inline]
    pub(super) fn get(&self, row: i64) -> Option<&T> {
        match usize::try_from(row) {
            Ok(place) if place < DENSE_MAX => self.dense.get(place)?.as_ref(),
            _ => self.others.get(&row),
        }
    }

    pub(super) fn insert(&mut self, row: i64, value: T) {
        let before = match usize::try_from(row) {
            Ok(place) if place < DENSE_MAX => {
                if self.dense.len() <= place {
                    self.dense.resize_with(place + 1, || None);
                }
                self.dense[place].replace(value)
            }
            _ => self.others.insert(row, value),
        };
        self.len += usize::from(before.is_none());
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_row_is_kept_once() {
        let mut map = ByRow::default();
        for row in [0, 1, -1, i64::MIN, i64::MAX, 1 << 18, (1 << 18) - 1, 1] {
            map.insert(row, row);
        }
        assert_eq!(map.len(), 7);
        assert!(
            [0, 1, -1, i64::MIN, i64::MAX, 1 << 18, (1 << 18) - 1]
                .iter()
                .all(|row| map.get(*row) == Some(row))
        );
        assert_eq!(map.get(2), None);
        map.clear();
        assert_eq!((map.len(), map.get(1)), (0, None));
    }
}
