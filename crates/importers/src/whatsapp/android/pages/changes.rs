//! From two maps to the rows whose records may differ.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;

use heirloom_archive::SourceError;

use super::super::modern::chat_identities;
use super::super::people::People;
use super::super::{AndroidFolder, RowRanges};
use super::{Identity, Leads, Leaf, PageHash, PageMap, TRACKED, short};
use crate::sqlite::Values;

impl AndroidFolder {
    /// The rows whose messages may differ between the times of two maps: new, changed, and (in ranges of what
    /// was there before) deleted ones. `new` must be of this database as it is now.
    ///
    /// `None`: read everything. The schema changed, the database was rewritten or replaced, or an id now stands
    /// for another person or conversation. Whether a medium still lies in the folder is no matter of the
    /// database: a message whose file was deleted since is not among the rows.
    pub fn changed_rows(
        &self,
        old: &PageMap,
        new: &PageMap,
    ) -> Result<Option<RowRanges>, SourceError> {
        if old.page_bytes != new.page_bytes
            || old.schema != new.schema
            || old.tables.len() != new.tables.len()
        {
            return Ok(None);
        }
        if self.identities(old.people.last, old.chats.last)? != (old.people, old.chats) {
            return Ok(None);
        }
        let mut ranges: Vec<RangeInclusive<i64>> = Vec::new();
        let mut add_ons: Vec<RangeInclusive<i64>> = Vec::new();
        let mut calls: Vec<RangeInclusive<i64>> = Vec::new();
        let mut call_links = false;
        for ((place, before), (same, now)) in old.tables.iter().zip(&new.tables) {
            let Some((name, leads)) = TRACKED.get(usize::from(*place)).filter(|_| place == same)
            else {
                return Ok(None);
            };
            let (gone, come) = (unlike(before, now), unlike(now, before));
            // Most of it moved: a VACUUM, or another database.
            if *name == "message" && (come.len() * 2 > now.len() || gone.len() * 2 > before.len()) {
                return Ok(None);
            }
            call_links |= *name == "message_call_log" && !(gone.is_empty() && come.is_empty());
            let linked = super::has_links(&self.database.schema, name, *leads);
            for leaf in gone.into_iter().chain(come) {
                let found = match leads {
                    Leads::Message(_) => &mut ranges,
                    Leads::AddOn(_) => &mut add_ons,
                    Leads::Call => &mut calls,
                };
                if linked {
                    found.extend(leaf.links.iter().map(|row| *row..=*row));
                } else {
                    found.push(leaf.first..=leaf.last);
                }
            }
        }
        if !add_ons.is_empty() {
            self.follow(
                "message_add_on",
                "_id",
                "parent_message_row_id",
                &RowRanges::of(add_ons),
                &mut ranges,
            )?;
        }
        if !calls.is_empty() || call_links {
            let calls = RowRanges::of(calls);
            self.follow(
                "message_call_log",
                "call_log_row_id",
                "message_row_id",
                &calls,
                &mut ranges,
            )?;
            // They are few, and which of them have a message may have changed.
            ranges.push(i64::MIN + 1..=-1);
        }
        Ok(Some(RowRanges::of(ranges)))
    }

    /// Adds the values of `to` in the rows whose `by` lies in `rows`.
    fn follow(
        &self,
        table: &str,
        by: &str,
        to: &str,
        rows: &RowRanges,
        found: &mut Vec<RangeInclusive<i64>>,
    ) -> Result<(), SourceError> {
        let Some(sql) = self.database.schema.select(table, by, &[to]) else {
            return Ok(());
        };
        let failed = |error| self.database.failure(error);
        let mut messages = BTreeSet::new();
        if self.database.schema.seekable(table, by) {
            let mut query = self
                .database
                .connection
                .prepare(&format!("{sql} WHERE t.\"{by}\" BETWEEN ?1 AND ?2"))
                .map_err(failed)?;
            for range in rows.iter() {
                let mut rows = query
                    .query([*range.start(), *range.end()])
                    .map_err(failed)?;
                while let Some(row) = rows.next().map_err(failed)? {
                    messages.extend(Values::integer(row, 1));
                }
            }
        } else {
            let mut query = self.database.connection.prepare(&sql).map_err(failed)?;
            let mut all = query.query([]).map_err(failed)?;
            while let Some(row) = all.next().map_err(failed)? {
                if rows.contains(Values::number(row, 0)) {
                    messages.extend(Values::integer(row, 1));
                }
            }
        }
        found.extend(messages.into_iter().map(|message| message..=message));
        Ok(())
    }

    /// Who the rows of `jid`, and which conversations the rows of `chat`, stand for, up to these rows.
    pub(super) fn identities(
        &self,
        people_to: i64,
        chats_to: i64,
    ) -> Result<(Identity, Identity), SourceError> {
        let failed = |error| self.database.failure(error);
        let mut people = People::read(&self.database, &self.names)?;
        let mut last = 0;
        let mut hasher = blake3::Hasher::new();
        if let Some(sql) = self.database.schema.select("jid", "_id", &[]) {
            let mut query = self
                .database
                .connection
                .prepare(&format!("{sql} WHERE t._id <= ?1 ORDER BY t._id"))
                .map_err(failed)?;
            let mut rows = query.query([people_to]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                last = Values::number(row, 0);
                let id = people.id_of(last)?;
                add(&mut hasher, last, id.as_deref().unwrap_or_default());
            }
        }
        let of_people = Identity {
            last,
            hash: short(&hasher),
        };
        let mut last = 0;
        let mut hasher = blake3::Hasher::new();
        for (row, id) in chat_identities(&self.database, &mut people)? {
            if row <= chats_to {
                last = row;
                add(&mut hasher, row, &id);
            }
        }
        Ok((
            of_people,
            Identity {
                last,
                hash: short(&hasher),
            },
        ))
    }
}

fn add(hasher: &mut blake3::Hasher, row: i64, id: &str) {
    hasher
        .update(&row.to_le_bytes())
        .update(&u64::try_from(id.len()).unwrap_or(0).to_le_bytes())
        .update(id.as_bytes());
}

/// The leaves of which `others` has no equal. A page that only moved has one.
fn unlike<'l>(leaves: &'l [Leaf], others: &[Leaf]) -> Vec<&'l Leaf> {
    let known: HashSet<PageHash> = others.iter().map(|leaf| leaf.hash).collect();
    leaves
        .iter()
        .filter(|leaf| !known.contains(&leaf.hash))
        .collect()
}
