//! The database held against what was acknowledged before it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use heirloom_vault_api::Fixed;

use super::ledger::{Broken, Ledger, lost};
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

/// Looks whether all is there. `at_rest`: nobody asks for anything, and the counters must fit, too.
pub(super) fn check(ledger: &Ledger, primary: &Node, at_rest: bool) -> Result<()> {
    // All that follows was acknowledged before.
    let records: Vec<_> = ledger
        .records()
        .into_iter()
        .map(|record| (record.known(), record))
        .collect();
    let heads: Vec<_> = ledger
        .lineages
        .iter()
        .map(|lineage| (lineage.name, lineage.heads()))
        .collect();
    let objects = ledger.objects();
    let ask = |text: &str| primary.sql("heirloom", text);

    let text = ask(RECORDS)?;
    let rows: BTreeMap<&str, Vec<u64>> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('|').collect();
            let (name, rest) = fields.split_first().context("a row")?;
            Ok((*name, numbers(rest).context("a row's numbers")?))
        })
        .collect::<Result<_>>()?;
    let text = ask(ACCOUNTS)?;
    let accounts: BTreeSet<&str> = text.lines().collect();
    for (known, record) in records {
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

    let text = ask(HEADS)?;
    let mut there = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split('|');
        let lineage = fields.next().context("a lineage")?;
        let sequence: u64 = fields.next().context("a sequence")?.parse()?;
        let head = fields.next().and_then(unhex).context("a head")?;
        there.insert(lineage, (sequence, head));
    }
    for (lineage, heads) in heads {
        let nothing = (0, Fixed([0; 32]));
        let (sequence, head) = *there
            .get(hex(lineage.as_bytes()).as_str())
            .unwrap_or(&nothing);
        let times = lost(&heads, sequence, &head);
        if times > 0 {
            ledger.broken(Broken::WitnessLost, &lineage.to_text(), times);
        }
    }

    let text = ask(OBJECTS)?;
    let there: BTreeSet<&str> = text.lines().collect();
    for name in objects.iter().filter(|name| !there.contains(name.as_str())) {
        ledger.broken(Broken::ObjectLost, name, 1);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_as_the_database_writes_them() {
        let head = Fixed([0xA5; 32]);
        assert_eq!(unhex(&hex(head.as_bytes())), Some(head));
        assert_eq!(unhex("a5"), None);
        assert_eq!(unhex(&"zz".repeat(32)), None);
        assert_eq!(unhex("é"), None);
    }
}
