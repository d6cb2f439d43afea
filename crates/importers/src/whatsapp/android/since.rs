//! Reading only what changed since an earlier reading, with the numbers of the whole.

mod mark;

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use heirloom_archive::report::Counts;
use heirloom_archive::{Kind, Reading, Report, Sink, SourceError, Stamp};

use super::files::relative;
use super::modern::Wanted;
use super::pages::MessagePages;
use super::{AndroidFolder, PageMap, RowRanges, SchemaKind};
use crate::sqlite::Values;
use mark::{FileMark, Mark};

/// More rows than this are not read singly: one pass over everything is as fast, and its memory is bounded.
const MOST_ROWS: u64 = 60_000;

/// What a reading counted beside its report.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Tally {
    /// Conversations that the list of conversations has.
    pub(super) listed: u64,
    /// Calls that are no message.
    pub(super) calls: u64,
    /// Rows of messages with attachments, in rising order.
    pub(super) rows: Vec<RowAttachments>,
}

/// What one message's attachments were counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowAttachments {
    pub(super) row: i64,
    pub(super) taken: u16,
    pub(super) absent: u16,
}

impl Tally {
    /// Notes what the message of a row added to the counts.
    pub(super) fn attachments(&mut self, row: i64, before: Counts, after: Counts) {
        let grown = |before: u64, after: u64| u16::try_from(after - before).unwrap_or(u16::MAX);
        let (taken, absent) = (
            grown(before.taken, after.taken),
            grown(before.absent, after.absent),
        );
        if taken > 0 || absent > 0 {
            self.rows.push(RowAttachments { row, taken, absent });
        }
    }
}

impl AndroidFolder {
    pub(super) fn read_what_changed(
        &mut self,
        mark: Option<&[u8]>,
        key: &[u8; 32],
        sink: &mut dyn Sink,
    ) -> Result<Reading, SourceError> {
        // The map comes first: what changes while rows are read is then read again by the next run. Where all messages are
        // read, their pages are hashed just before their rows are taken.
        let straight = mark.is_none() && self.reads_past_sqlite();
        let pages = match self.schema {
            SchemaKind::Legacy => None,
            SchemaKind::Modern if straight => self.page_map_beside(key)?,
            SchemaKind::Modern => self.page_map(key)?,
        };
        let all = RowRanges::all();
        let Some(pages) = pages else {
            return Ok(Reading {
                report: self.read_rows(&all, sink)?,
                whole: true,
                mark: None,
            });
        };
        let mut now = Mark {
            pages: pages.encode(),
            files: self.file_marks(key)?,
            rows: self.count_rows()?,
            messages: 0,
            extra_conversations: 0,
            tally: Tally::default(),
        };
        let before = mark.and_then(Mark::decode);
        let rows = match &before {
            Some(before) => self.rows_since(before, &now, &pages, key)?,
            None => None,
        };
        drop(pages);
        if let (Some(before), Some(rows)) = (before, rows) {
            let wanted = Wanted {
                rows: &rows,
                hashes: None,
            };
            let part = self.read_some(wanted, sink, &mut now.tally)?;
            let report = now.go_on_from(&before, &rows, &part);
            return Ok(Reading {
                mark: now.encode_if_whole(&report),
                report,
                whole: false,
            });
        }
        let mut hashes = MessagePages::new(key);
        let wanted = Wanted {
            rows: &all,
            hashes: straight.then_some(&mut hashes),
        };
        let report = self.read_some(wanted, sink, &mut now.tally)?;
        if straight {
            let pages = hashes
                .leaves
                .and_then(|leaves| PageMap::encoded_with_messages(&now.pages, &leaves));
            let Some(pages) = pages else {
                return Ok(Reading {
                    report,
                    whole: true,
                    mark: None,
                });
            };
            now.pages = pages;
        }
        now.messages = report.counts(Kind::Messages).taken;
        let conversations = report.counts(Kind::Conversations).taken;
        now.extra_conversations = conversations.saturating_sub(now.tally.listed);
        Ok(Reading {
            mark: now.encode_if_whole(&report),
            report,
            whole: true,
        })
    }

    /// The rows to read; `None` when it is better to read everything.
    fn rows_since(
        &self,
        before: &Mark,
        now: &Mark,
        pages: &PageMap,
        key: &[u8; 32],
    ) -> Result<Option<RowRanges>, SourceError> {
        let Some(known) = PageMap::decode(&before.pages) else {
            return Ok(None);
        };
        let Some(rows) = self.changed_rows(&known, pages)? else {
            return Ok(None);
        };
        let mut ranges: Vec<RangeInclusive<i64>> = rows.iter().collect();
        let files = changed_files(&before.files, &now.files);
        if !files.is_empty() {
            self.rows_of_files(&files, key, &mut ranges)?;
        }
        let rows = RowRanges::of(ranges);
        let many: u64 = rows
            .messages()
            .iter()
            .map(|range| range.end().abs_diff(*range.start()).saturating_add(1))
            .fold(0, u64::saturating_add);
        Ok((many <= MOST_ROWS).then_some(rows))
    }

    /// The rows of messages whose medium is one of `files`: a file may come, go or change without the database.
    fn rows_of_files(
        &self,
        files: &HashSet<u64>,
        key: &[u8; 32],
        ranges: &mut Vec<RangeInclusive<i64>>,
    ) -> Result<(), SourceError> {
        let select = self
            .database
            .schema
            .select("message_media", "message_row_id", &["file_path"]);
        let Some(sql) = select else {
            return Ok(());
        };
        let failed = |error| self.database.failure(error);
        let mut query = self.database.connection.prepare(&sql).map_err(failed)?;
        let mut rows = query.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let Ok(path) = row.get_ref(1).and_then(|value| Ok(value.as_str()?)) else {
                continue;
            };
            if files.contains(&hash_path(key, relative(path))) {
                let message = Values::number(row, 0);
                ranges.push(message..=message);
            }
        }
        Ok(())
    }

    fn file_marks(&mut self, key: &[u8; 32]) -> Result<Vec<FileMark>, SourceError> {
        let label = self.layout.label.clone();
        let files = self.media_files().map_err(|source| SourceError::Io {
            path: label,
            source,
        })?;
        Ok(files
            .iter()
            .map(|listed| FileMark {
                path: hash_path(key, &format!("Media/{}", listed.entry.path)),
                stamp: hash_stamp(key, &listed.stamp),
            })
            .collect())
    }

    fn count_rows(&self) -> Result<u64, SourceError> {
        self.database
            .connection
            .query_row("SELECT count(*) FROM message", [], |row| {
                row.get::<_, i64>(0)
            })
            .map(|rows| u64::try_from(rows).unwrap_or(0))
            .map_err(|error| self.database.failure(error))
    }
}

impl Mark {
    /// The report of the whole, from the one of a part and what was known before.
    fn go_on_from(&mut self, before: &Mark, rows: &RowRanges, part: &Report) -> Report {
        if !rows.iter().any(|range| *range.start() < 0) {
            self.tally.calls = before.tally.calls;
        }
        let read_again = |known: &&RowAttachments| rows.contains(known.row);
        let kept = before.tally.rows.iter().filter(|known| !read_again(known));
        self.tally.rows.extend(kept.copied());
        self.tally.rows.sort_unstable_by_key(|known| known.row);
        let messages_of_rows = before.messages.saturating_sub(before.tally.calls);
        self.messages = messages_of_rows
            .saturating_add(self.rows)
            .saturating_sub(before.rows)
            .saturating_add(self.tally.calls);
        let extra = part
            .counts(Kind::Conversations)
            .taken
            .saturating_sub(self.tally.listed);
        self.extra_conversations = before.extra_conversations.max(extra);

        let mut whole = Report::default();
        whole.take_many(
            Kind::Conversations,
            self.tally.listed + self.extra_conversations,
            0,
        );
        whole.take_many(Kind::Messages, self.messages, 0);
        let sum = |count: fn(&RowAttachments) -> u16| {
            let counts = self.tally.rows.iter().map(|known| u64::from(count(known)));
            counts.sum::<u64>()
        };
        whole.take_many(
            Kind::Attachments,
            sum(|known| known.taken),
            sum(|known| known.absent),
        );
        for skip in part.skips() {
            whole.skip_many(skip.kind, &skip.reason, skip.readable, skip.count);
        }
        for (note, count) in part.notes() {
            for _ in 0..count {
                whole.note(note);
            }
        }
        whole
    }

    /// The mark as bytes, unless something was left out: then the next run looks at everything again and says so again.
    fn encode_if_whole(&self, report: &Report) -> Option<Vec<u8>> {
        report.skips().next().is_none().then(|| self.encode())
    }
}

/// Files that are new, gone or different, by the hashes of their paths.
fn changed_files(before: &[FileMark], now: &[FileMark]) -> HashSet<u64> {
    let known: HashMap<u64, u64> = before.iter().map(|file| (file.path, file.stamp)).collect();
    let here: HashSet<u64> = now.iter().map(|file| file.path).collect();
    let come = now
        .iter()
        .filter(|file| known.get(&file.path) != Some(&file.stamp));
    let gone = before.iter().filter(|file| !here.contains(&file.path));
    come.chain(gone).map(|file| file.path).collect()
}

fn hash_path(key: &[u8; 32], path: &str) -> u64 {
    first_eight(&blake3::keyed_hash(key, path.as_bytes()))
}

fn hash_stamp(key: &[u8; 32], stamp: &Stamp) -> u64 {
    let Stamp {
        len,
        modified_ns,
        changed_ns,
        inode,
    } = stamp;
    let mut bytes = [0; 32];
    let words = [
        len.to_le_bytes(),
        modified_ns.to_le_bytes(),
        changed_ns.to_le_bytes(),
        inode.to_le_bytes(),
    ];
    for (place, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word;
    }
    first_eight(&blake3::keyed_hash(key, &bytes))
}

fn first_eight(hash: &blake3::Hash) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
