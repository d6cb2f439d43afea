//! Tables of medians and of their ratios.

use std::fmt::Write as _;

use crate::compare::Measured;
use crate::daily::Day;
use crate::tools::{Step, Tool};

/// The middle value.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], upper)
    } else {
        upper
    })
}

/// Medians of each tool, and how many times as much each peer needs.
pub(crate) fn comparison(rows: &[Measured], peers: &[Tool]) -> String {
    let mut out = String::from(
        "| step | tool | n | wall s | CPU s | peak MB | stored MB | added MB | wall, times ours | CPU, times ours |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for step in Step::ALL {
        let of = |tool: &str, pair_with: Option<&str>| -> Vec<&Measured> {
            let fits = |row: &&Measured| {
                row.step == step.name()
                    && row.tool == tool
                    && pair_with.is_none_or(|peer| row.peer == peer)
            };
            rows.iter().filter(fits).collect()
        };
        for (name, pair_with) in std::iter::once(("heirloom", None))
            .chain(peers.iter().map(|peer| (peer.name(), Some(peer.name()))))
        {
            let theirs = of(name, pair_with);
            if theirs.is_empty() {
                continue;
            }
            let ours = of("heirloom", pair_with);
            let ratio = |value: fn(&Measured) -> f64| match (
                pair_with,
                middle(&theirs, value),
                middle(&ours, value),
            ) {
                (Some(_), Some(theirs), Some(ours)) if ours > 0.0 => {
                    format!("{:.2}", theirs / ours)
                }
                _ => String::new(),
            };
            let show = |value: fn(&Measured) -> f64, digits: usize| {
                middle(&theirs, value).map_or_else(String::new, |v| format!("{v:.digits$}"))
            };
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "| {} | {name} | {} | {} | {} | {} | {} | {} | {} | {} |",
                step.name(),
                theirs.len(),
                show(|r| r.usage.wall, 3),
                show(|r| r.usage.cpu, 3),
                show(|r| megabytes(r.usage.memory), 0),
                show(|r| megabytes(r.stored), 1),
                show(|r| megabytes(r.grown), 3),
                ratio(|r| r.usage.wall),
                ratio(|r| r.usage.cpu)
            );
        }
    }
    out
}

/// The daily runs: sums, and the first days against the last.
pub(crate) fn daily(days: &[Day]) -> String {
    let after: Vec<&Day> = days.iter().filter(|day| day.number > 0).collect();
    let grown: u64 = after.iter().map(|day| day.grown).sum();
    let media: u64 = after.iter().map(|day| day.unique_media_bytes).sum();
    let messages: u64 = after.iter().map(|day| day.new_messages).sum();
    let ends = after.len().min(5);
    let open = |days: &[&Day], value: fn(&Day) -> f64| {
        median(days.iter().map(|day| value(day))).unwrap_or_default()
    };
    let (first, last) = (&after[..ends], &after[after.len() - ends..]);
    let mut out = String::from("| daily runs | |\n|---|---|\n");
    let lines = [
        ("days", format!("{}", after.len())),
        ("new messages", messages.to_string()),
        ("new unique media MB", format!("{:.3}", megabytes(media))),
        ("repository grew by MB", format!("{:.3}", megabytes(grown))),
        (
            "growth / new unique media",
            format!("{:.3}", megabytes(grown) / megabytes(media).max(1e-9)),
        ),
        (
            "growth beyond the media, KB a day",
            format!(
                "{:.1}",
                (megabytes(grown) - megabytes(media)) * 1e3 / megabytes_count(after.len())
            ),
        ),
        (
            "backup, first and last 5 days, wall s",
            format!(
                "{:.3}, {:.3}",
                open(first, |d| d.backup.wall),
                open(last, |d| d.backup.wall)
            ),
        ),
        (
            "open, first and last 5 days, wall s",
            format!(
                "{:.3}, {:.3}",
                open(first, |d| d.open.wall),
                open(last, |d| d.open.wall)
            ),
        ),
        (
            "open, first and last 5 days, CPU s",
            format!(
                "{:.3}, {:.3}",
                open(first, |d| d.open.cpu),
                open(last, |d| d.open.cpu)
            ),
        ),
        (
            "list the snapshots, first and last 5 days, CPU s",
            format!(
                "{:.3}, {:.3}",
                open(first, |d| d.list.cpu),
                open(last, |d| d.list.cpu)
            ),
        ),
    ];
    for (name, value) in lines {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    out
}

fn middle(rows: &[&Measured], value: fn(&Measured) -> f64) -> Option<f64> {
    median(rows.iter().map(|row| value(row)))
}

/// Millions of bytes, as the tables show them.
fn megabytes(bytes: u64) -> f64 {
    let whole = u32::try_from(bytes / 1_000).unwrap_or(u32::MAX);
    f64::from(whole) / 1e3
}

fn megabytes_count(n: usize) -> f64 {
    f64::from(u32::try_from(n.max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median([4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median([9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median([]), None);
    }
}
