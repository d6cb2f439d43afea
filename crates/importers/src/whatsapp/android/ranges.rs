//! Sets of row numbers.

use std::ops::RangeInclusive;

/// Rows of `message`, as sorted ranges that do not touch. Below zero: rows of `call_log`, negated, for calls
/// that have no message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowRanges(Vec<RangeInclusive<i64>>);

impl RowRanges {
    /// Every row.
    pub fn all() -> Self {
        Self(vec![i64::MIN..=i64::MAX])
    }

    /// The rows of any ranges, in any order.
    pub fn of(ranges: impl IntoIterator<Item = RangeInclusive<i64>>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .filter(|range| !range.is_empty())
            .collect();
        ranges.sort_by_key(|range| *range.start());
        let mut merged: Vec<RangeInclusive<i64>> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match merged.last_mut() {
                Some(last) if *range.start() <= last.end().saturating_add(1) => {
                    *last = *last.start()..=*last.end().max(range.end());
                }
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// The ranges, in order.
    pub fn iter(&self) -> impl Iterator<Item = RangeInclusive<i64>> + '_ {
        self.0.iter().cloned()
    }

    /// Whether a row is among them.
    pub fn contains(&self, row: i64) -> bool {
        let at = self.0.partition_point(|range| *range.end() < row);
        self.0.get(at).is_some_and(|range| range.contains(&row))
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is every row.
    pub fn is_all(&self) -> bool {
        self.contains(i64::MIN) && self.contains(i64::MAX) && self.0.len() == 1
    }

    /// The part that names rows of `message`.
    pub(super) fn messages(&self) -> Vec<RangeInclusive<i64>> {
        // A message's row is never below zero, yet a stranger's file may have such.
        if self.is_all() {
            self.0.clone()
        } else {
            clip(&self.0, 0..=i64::MAX)
        }
    }

    /// The part that names rows of `call_log`, turned positive.
    pub(super) fn calls(&self) -> Vec<RangeInclusive<i64>> {
        if self.is_all() {
            return self.0.clone();
        }
        let below = clip(&self.0, i64::MIN + 1..=-1);
        below
            .into_iter()
            .rev()
            .map(|range| -range.end()..=-range.start())
            .collect()
    }
}

fn clip(ranges: &[RangeInclusive<i64>], to: RangeInclusive<i64>) -> Vec<RangeInclusive<i64>> {
    ranges
        .iter()
        .map(|range| *range.start().max(to.start())..=*range.end().min(to.end()))
        .filter(|range| !range.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        let rows = RowRanges::of([5..=9, 1..=3, 4..=4, 20..=30, 25..=26]);
        assert_eq!(rows.iter().collect::<Vec<_>>(), [1..=9, 20..=30]);
        assert!(rows.contains(1) && rows.contains(9) && !rows.contains(10) && rows.contains(30));
        assert!(!RowRanges::default().contains(0));
    }

    #[test]
    fn calls_are_the_rows_below_zero() {
        let rows = RowRanges::of([-7..=-5, -2..=3]);
        assert_eq!(rows.calls(), [1..=2, 5..=7]);
        assert_eq!(rows.messages(), [0..=3]);
        assert_eq!(RowRanges::all().messages(), [i64::MIN..=i64::MAX]);
        assert_eq!(RowRanges::all().calls(), [i64::MIN..=i64::MAX]);
    }
}
