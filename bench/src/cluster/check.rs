//! The database held against what was acknowledged before it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use heirloom_vault_api::{Fixed, LineageId};

use super::ledger::{Broken, Heads, Known, Ledger, Record, lost};
use super::node::Node;

const RECORDS: &str = "SELECT encode(name, 'hex'), total, proved, guesses, state, version \
     FROM vault_record WHERE account IS NOT NULL";
const ACCOUNTS: &str = "SELECT encode(account, 'hex') FROM vault_account";
const HEADS: &str = "SELECT encode(lineage, 'hex'), sequence, encode(head, 'hex') FROM vault_head";
const OBJECTS: &str = "SELECT convert_from(name, 'UTF8') FROM vault_blob WHERE deleted IS NULL";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Fixed<32>> {
    let digits = |at: usize| text.get(at..at + 2);
    let bytes: Option<Vec<u8>> = (0..text.len() / 2)
        .map(|at| u8::from_str_radix(digits(at * 2)?, 16).ok())
        .collect();
    Fixed::try_from(bytes?.as_slice()).ok()
}

/// A row's numbers, after the first field.
fn numbers(fields: &[&str]) -> Option<Vec<u64>> {
    fields.iter().map(|field| field.parse().ok()).collect()
}

/// Rows as the primary tells them, one a line.
#[derive(Debug, Clone, Default)]
struct Rows {
    records: String,
    accounts: String,
    heads: String,
    objects: String,
}

/// Everything that was acknowledged by now.
struct Acknowledged {
    records: Vec<(Known, Arc<Record>)>,
    heads: Vec<(LineageId, Heads)>,
    objects: BTreeSet<String>,
}

/// Looks whether all is there. `at_rest`: nobody asks for anything, and the counters must fit, too.
pub(super) fn check(ledger: &Ledger, primary: &Node, at_rest: bool) -> Result<()> {
    // All that follows was acknowledged before.
    let acknowledged = Acknowledged::by_now(ledger);
    let ask = |text: &str| primary.sql("heirloom", text);
    let rows = Rows {
        records: ask(RECORDS)?,
        accounts: ask(ACCOUNTS)?,
        heads: ask(HEADS)?,
        objects: ask(OBJECTS)?,
    };
    acknowledged.compare(&rows, ledger, at_rest)
}

impl Acknowledged {
    fn by_now(ledger: &Ledger) -> Self {
        let records = ledger.records().into_iter();
        let lineages = ledger.lineages.iter();
        Self {
            records: records.map(|record| (record.known(), record)).collect(),
            heads: lineages
                .map(|lineage| (lineage.name, lineage.heads()))
                .collect(),
            objects: ledger.objects(),
        }
    }

    fn compare(&self, rows: &Rows, ledger: &Ledger, at_rest: bool) -> Result<()> {
        self.compare_records(rows, ledger, at_rest)?;
        self.compare_heads(rows, ledger)?;
        let there: BTreeSet<&str> = rows.objects.lines().collect();
        let objects = self.objects.iter();
        for name in objects.filter(|name| !there.contains(name.as_str())) {
            ledger.broken(Broken::ObjectLost, name, 1);
        }
        Ok(())
    }

    fn compare_records(&self, rows: &Rows, ledger: &Ledger, at_rest: bool) -> Result<()> {
        let accounts: BTreeSet<&str> = rows.accounts.lines().collect();
        let rows: BTreeMap<&str, Vec<u64>> = rows
            .records
            .lines()
            .map(|line| {
                let fields: Vec<&str> = line.split('|').collect();
                let (name, rest) = fields.split_first().context("a row")?;
                Ok((*name, numbers(rest).context("a row's numbers")?))
            })
            .collect::<Result<_>>()?;
        for (known, record) in &self.records {
            let whom = record.name.to_text();
            if !accounts.contains(hex(record.account.as_bytes()).as_str()) {
                ledger.broken(Broken::AccountLost, &format!("account of {whom}"), 1);
            }
            let row = rows.get(hex(record.name.as_bytes()).as_str());
            let Some(&[total, proved, guesses, state, _version]) = row.map(Vec::as_slice) else {
                ledger.broken(Broken::AccountLost, &whom, 1);
                ledger.broken(Broken::GuessLost, &whom, known.answered);
                continue;
            };
            let since: u64 = if at_rest { known.since.into() } else { 0 };
            let missing = known
                .answered
                .saturating_sub(total)
                .max(since.saturating_sub(guesses));
            // A record at its end has no count any more.
            if missing > 0 && state != 3 {
                ledger.broken(Broken::GuessLost, &whom, missing);
            }
            if proved < known.number {
                ledger.broken(Broken::ProofLost, &whom, 1);
            }
            if known.is_destroyed && state == 1 {
                ledger.broken(Broken::Resurrected, &whom, 1);
            }
        }
        Ok(())
    }

    fn compare_heads(&self, rows: &Rows, ledger: &Ledger) -> Result<()> {
        let mut there = BTreeMap::new();
        for line in rows.heads.lines() {
            let mut fields = line.split('|');
            let lineage = fields.next().context("a lineage")?;
            let sequence: u64 = fields.next().context("a sequence")?.parse()?;
            let head = fields.next().and_then(unhex).context("a head")?;
            there.insert(lineage, (sequence, head));
        }
        for (lineage, heads) in &self.heads {
            let nothing = (0, Fixed([0; 32]));
            let (sequence, head) = *there
                .get(hex(lineage.as_bytes()).as_str())
                .unwrap_or(&nothing);
            let times = lost(heads, sequence, &head);
            if times > 0 {
                ledger.broken(Broken::WitnessLost, &lineage.to_text(), times);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use heirloom_vault_api::Token;

    use super::super::ledger::Lineage;
    use super::*;

    #[test]
    fn bytes_are_read_as_the_database_writes_them() {
        let head = Fixed([0xA5; 32]);
        assert_eq!(unhex(&hex(head.as_bytes())), Some(head));
        assert_eq!(unhex("a5"), None);
        assert_eq!(unhex(&"zz".repeat(32)), None);
        assert_eq!(unhex("é"), None);
    }
    /// A ledger of one record, one lineage and one object, and the rows of a database that has all of it.
    fn whole() -> (Ledger, Rows) {
        let (name, account, lineage) = (Fixed([1; 16]), Fixed([3; 16]), Fixed([5; 16]));
        let ledger = Ledger::new(vec![Lineage::new(lineage)]);
        let record = Arc::new(Record::new(name, account, Token(Fixed([2; 32]))));
        ledger.add_record(Arc::clone(&record));
        let begun = record.begin();
        record.answered(begun, &ledger);
        record.proof_sent();
        record.proven(begun, 2, 5, &ledger);
        // Two since the proof, which was of the second of four.
        record.answered(record.begin(), &ledger);
        record.answered(record.begin(), &ledger);
        ledger.lineages[0].acknowledged(1, Fixed([6; 32]), &ledger);
        ledger.lineages[0].acknowledged(2, Fixed([7; 32]), &ledger);
        ledger.named("s0/0");
        let rows = Rows {
            records: format!("{}|4|2|2|1|1\n", hex(&[1; 16])),
            accounts: format!("{}\n{}\n", hex(&[9; 16]), hex(&[3; 16])),
            heads: format!("{}|2|{}\n", hex(&[5; 16]), hex(&[7; 32])),
            objects: "s0/0\ns0/1\n".to_owned(),
        };
        (ledger, rows)
    }

    /// What is found when a database has other rows than it should.
    fn found(change: impl FnOnce(&mut Rows), at_rest: bool) -> Vec<(Broken, u64)> {
        let (ledger, mut rows) = whole();
        change(&mut rows);
        let acknowledged = Acknowledged::by_now(&ledger);
        acknowledged.compare(&rows, &ledger, at_rest).unwrap();
        let all = Broken::ALL.into_iter();
        all.map(|rule| (rule, ledger.how_often(rule)))
            .filter(|(_, times)| *times > 0)
            .collect()
    }

    fn record(rest: &str) -> String {
        format!("{}|{rest}\n", hex(&[1; 16]))
    }

    #[test]
    fn a_database_that_has_everything_and_more_is_as_it_must_be() {
        for at_rest in [false, true] {
            assert_eq!(found(|_| (), at_rest), []);
            // What nobody was told of.
            assert_eq!(
                found(|rows| rows.records = record("9|4|7|1|1"), at_rest),
                []
            );
            let newer = format!("{}|3|{}\n", hex(&[5; 16]), hex(&[8; 32]));
            assert_eq!(found(|rows| rows.heads = newer, at_rest), []);
        }
    }

    #[test]
    fn every_kind_of_loss_is_found_in_the_rows() {
        // An account; a record with all of its guesses.
        assert_eq!(
            found(|rows| rows.accounts.clear(), false),
            [(Broken::AccountLost, 1)]
        );
        assert_eq!(
            found(|rows| rows.records.clear(), false),
            [(Broken::GuessLost, 4), (Broken::AccountLost, 1)]
        );
        // One answered guess; two that were given back without a proof, which only rest can tell.
        assert_eq!(
            found(|rows| rows.records = record("3|2|1|1|1"), false),
            [(Broken::GuessLost, 1)]
        );
        let given_back = |rows: &mut Rows| rows.records = record("4|2|0|1|1");
        assert_eq!(found(given_back, false), []);
        assert_eq!(found(given_back, true), [(Broken::GuessLost, 2)]);
        // A proof.
        assert_eq!(
            found(|rows| rows.records = record("4|1|4|1|1"), false),
            [(Broken::ProofLost, 1)]
        );
        // The newest head; both; the newest, with another in its place.
        let heads = |sequence: u64, head: u8| {
            let head = hex(&[head; 32]);
            move |rows: &mut Rows| {
                rows.heads = format!("{}|{sequence}|{head}\n", hex(&[5; 16]));
            }
        };
        assert_eq!(found(heads(1, 6), false), [(Broken::WitnessLost, 1)]);
        assert_eq!(found(heads(2, 8), false), [(Broken::WitnessLost, 1)]);
        assert_eq!(
            found(|rows| rows.heads.clear(), false),
            [(Broken::WitnessLost, 2)]
        );
        // A name.
        assert_eq!(
            found(|rows| rows.objects = "s0/1\n".to_owned(), false),
            [(Broken::ObjectLost, 1)]
        );
    }

    #[test]
    fn a_destroyed_record_that_lives_again_is_found_in_the_rows() {
        let (ledger, mut rows) = whole();
        ledger.records()[0].destroyed(&ledger);
        rows.records = record("4|2|0|3|1");
        let acknowledged = Acknowledged::by_now(&ledger);
        acknowledged.compare(&rows, &ledger, true).unwrap();
        assert_eq!(ledger.how_often(Broken::GuessLost), 0, "it has no count");
        assert_eq!(ledger.how_often(Broken::Resurrected), 0);
        rows.records = record("4|2|2|1|1");
        acknowledged.compare(&rows, &ledger, false).unwrap();
        assert_eq!(ledger.how_often(Broken::Resurrected), 1);
    }

    #[test]
    fn rows_that_make_no_sense_are_no_proof_of_anything() {
        let (ledger, rows) = whole();
        let acknowledged = Acknowledged::by_now(&ledger);
        let mut wrong = rows.clone();
        wrong.records = "00|x\n".to_owned();
        assert!(acknowledged.compare(&wrong, &ledger, false).is_err());
        let mut wrong = rows;
        wrong.heads = "00|1\n".to_owned();
        assert!(acknowledged.compare(&wrong, &ledger, false).is_err());
    }
}
