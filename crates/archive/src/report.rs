//! What a run found, took and left out, in numbers that add up.

use std::collections::BTreeMap;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Conversations.
    Conversations,
    /// Messages, system lines among them.
    Messages,
    /// Attachments.
    Attachments,
}

/// How many of one [`Kind`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All that the source holds.
    pub found: u64,
    /// What went into the archive.
    pub taken: u64,
    /// What was left out; every one has a [`Skip`].
    pub skipped: u64,
    /// Attachments that the source names and never had. Not part of `found`.
    pub absent: u64,
}

/// Why something readable or not was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// What was left out.
    pub kind: Kind,
    /// A stable sentence that holds no personal data: skips of one reason are counted together.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Where the first few are: file names, line numbers, row ids.
    pub examples: Vec<String>,
    /// Whether a person could have had it: then the program exits with 3.
    pub readable: bool,
}

/// The report of one run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    conversations: Counts,
    messages: Counts,
    attachments: Counts,
    skips: BTreeMap<(Kind, String), Skip>,
    notes: BTreeMap<String, u64>,
}

/// Examples kept for each reason.
const EXAMPLES: usize = 5;

impl Report {
    /// Counts of one kind.
    pub fn counts(&self, kind: Kind) -> Counts {
        match kind {
            Kind::Conversations => self.conversations,
            Kind::Messages => self.messages,
            Kind::Attachments => self.attachments,
        }
    }

    /// Counts one that was found and taken.
    pub fn take(&mut self, kind: Kind) {
        let counts = self.counts_mut(kind);
        counts.found += 1;
        counts.taken += 1;
    }

    /// Counts one that was found and left out. `readable`: a person could have had it.
    pub fn skip(&mut self, kind: Kind, reason: &str, readable: bool, example: impl Into<String>) {
        let counts = self.counts_mut(kind);
        counts.found += 1;
        counts.skipped += 1;
        self.record_skip(kind, reason, readable, example.into());
    }

    /// Counts many that were taken, and attachments that the source never had: for a report that is read back.
    pub fn take_many(&mut self, kind: Kind, taken: u64, absent: u64) {
        let counts = self.counts_mut(kind);
        counts.found += taken;
        counts.taken += taken;
        counts.absent += absent;
    }

    /// Counts many skips of one reason: for a report that is read back.
    pub fn skip_many(&mut self, kind: Kind, reason: &str, readable: bool, count: u64) {
        if count == 0 {
            return;
        }
        self.skip(kind, reason, readable, "");
        let counts = self.counts_mut(kind);
        counts.found += count - 1;
        counts.skipped += count - 1;
        if let Some(skip) = self.skips.get_mut(&(kind, reason.to_owned())) {
            skip.count += count - 1;
        }
    }

    /// Turns one that was counted as taken into a skip: it could not be read after all.
    pub fn lose(&mut self, kind: Kind, reason: &str, readable: bool, example: impl Into<String>) {
        let counts = self.counts_mut(kind);
        counts.taken = counts.taken.saturating_sub(1);
        counts.skipped += 1;
        self.record_skip(kind, reason, readable, example.into());
    }

    /// Counts an attachment that the source names and never had.
    pub fn absent(&mut self) {
        self.attachments.absent += 1;
    }

    /// Counts something worth saying that is no skip ("lines that step back in time").
    pub fn note(&mut self, what: &str) {
        *self.notes.entry(what.to_owned()).or_default() += 1;
    }

    /// All skips, in a stable order.
    pub fn skips(&self) -> impl Iterator<Item = &Skip> {
        self.skips.values()
    }

    /// All notes with their counts, in a stable order.
    pub fn notes(&self) -> impl Iterator<Item = (&str, u64)> {
        self.notes
            .iter()
            .map(|(what, count)| (what.as_str(), *count))
    }

    /// Whether something was left out that a person could have had.
    pub fn left_out_something_readable(&self) -> bool {
        self.skips
            .values()
            .any(|skip| skip.readable && skip.count > 0)
    }

    /// Whether found = taken + skipped for every kind, and the skips say all of it.
    pub fn adds_up(&self) -> bool {
        [Kind::Conversations, Kind::Messages, Kind::Attachments]
            .into_iter()
            .all(|kind| {
                let counts = self.counts(kind);
                let named: u64 = self
                    .skips
                    .values()
                    .filter(|s| s.kind == kind)
                    .map(|s| s.count)
                    .sum();
                counts.found == counts.taken + counts.skipped && counts.skipped == named
            })
    }

    fn counts_mut(&mut self, kind: Kind) -> &mut Counts {
        match kind {
            Kind::Conversations => &mut self.conversations,
            Kind::Messages => &mut self.messages,
            Kind::Attachments => &mut self.attachments,
        }
    }

    fn record_skip(&mut self, kind: Kind, reason: &str, readable: bool, example: String) {
        let skip = self
            .skips
            .entry((kind, reason.to_owned()))
            .or_insert_with(|| Skip {
                kind,
                reason: reason.to_owned(),
                count: 0,
                examples: Vec::new(),
                readable,
            });
        skip.count += 1;
        skip.readable |= readable;
        if skip.examples.len() < EXAMPLES && !example.is_empty() {
            skip.examples.push(example);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_add_up_whatever_is_counted() {
        let mut report = Report::default();
        report.take(Kind::Messages);
        report.take(Kind::Attachments);
        report.skip(
            Kind::Messages,
            "a header of an unknown form",
            true,
            "line 7",
        );
        report.lose(
            Kind::Attachments,
            "no permission to read the file",
            true,
            "a.jpg",
        );
        report.absent();
        assert!(report.adds_up());
        assert_eq!(
            report.counts(Kind::Messages),
            Counts {
                found: 2,
                taken: 1,
                skipped: 1,
                absent: 0
            }
        );
        assert_eq!(
            report.counts(Kind::Attachments),
            Counts {
                found: 1,
                taken: 0,
                skipped: 1,
                absent: 1
            }
        );
        assert!(report.left_out_something_readable());
    }

    #[test]
    fn skips_of_one_reason_are_counted_together() {
        let mut report = Report::default();
        for line in 0..20 {
            report.skip(Kind::Messages, "cut off", false, format!("line {line}"));
        }
        let skip = report.skips().next().unwrap();
        assert_eq!((skip.count, skip.examples.len()), (20, EXAMPLES));
        assert!(!report.left_out_something_readable());
    }
}
