//! What clients were told, in their own words: the database is held against it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use heirloom_vault_api::{AccountId, Fixed, LineageId, RecordName, Token};

use super::service::Service;

/// Evaluations between two proofs, and in a record's life.
const LIMIT: u32 = 10;
const LIFETIME: u64 = 100;

/// A rule that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Broken {
    /// An answered guess is not in the database.
    GuessLost,
    /// An acknowledged proof is not.
    ProofLost,
    /// More than ten answered between two proofs, or more than a hundred in a life.
    OverLimit,
    /// A number of a guess was given out twice, or one that was passed before.
    NumberAgain,
    /// A destroyed record was evaluated.
    Resurrected,
    /// An acknowledged witness is not there.
    WitnessLost,
    /// Two heads were acknowledged for one sequence.
    WitnessTwice,
    /// An acknowledged reference of an object is not there.
    ObjectLost,
    /// A name was acknowledged twice.
    ObjectTwice,
    /// An acknowledged account or record is not there.
    AccountLost,
    /// A counter or a head older than one that was acknowledged before it was asked for.
    StaleRead,
}

impl Broken {
    pub(super) const ALL: [Self; 11] = [
        Self::GuessLost,
        Self::ProofLost,
        Self::OverLimit,
        Self::NumberAgain,
        Self::Resurrected,
        Self::WitnessLost,
        Self::WitnessTwice,
        Self::ObjectLost,
        Self::ObjectTwice,
        Self::AccountLost,
        Self::StaleRead,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::GuessLost => "answered guesses lost",
            Self::ProofLost => "acknowledged proofs lost",
            Self::OverLimit => "evaluations over a limit",
            Self::NumberAgain => "numbers of guesses given out again",
            Self::Resurrected => "evaluations of a destroyed record",
            Self::WitnessLost => "acknowledged witnesses lost",
            Self::WitnessTwice => "sequences acknowledged with two heads",
            Self::ObjectLost => "acknowledged references of objects lost",
            Self::ObjectTwice => "references acknowledged twice",
            Self::AccountLost => "acknowledged accounts and records lost",
            Self::StaleRead => "stale counters and heads served",
        }
    }
}

/// How much was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) guesses: AtomicU64,
    pub(super) proofs: AtomicU64,
    pub(super) witnesses: AtomicU64,
    pub(super) objects: AtomicU64,
    pub(super) accounts: AtomicU64,
    pub(super) destroyed: AtomicU64,
    pub(super) reads: AtomicU64,
    /// Said to be unknown, or nothing was said.
    pub(super) unknown: AtomicU64,
    /// The most between two proofs.
    pub(super) most: AtomicU64,
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::SeqCst);
}

/// One record, and what its clients know.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: RecordName,
    pub(super) account: AccountId,
    pub(super) token: Token,
    known: Mutex<Known>,
}

/// What is known of a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Changes when a proof is sent and when it ends: a guess that spans a change may lie on either side.
    window: u64,
    /// A proof is under way: the count may begin anew at any moment.
    is_proving: bool,
    pub(super) answered: u64,
    /// Certainly since the last proof that may have happened.
    pub(super) since: u32,
    /// Proofs that may have happened, and those that did.
    may_be_proven: u64,
    pub(super) proven: u64,
    /// The greatest number that was acknowledged.
    pub(super) number: u64,
    log_length: u64,
    pub(super) is_destroyed: bool,
}

impl Known {
    /// The least that the record's log can have.
    fn log_at_least(&self) -> u64 {
        self.log_length.max(self.answered + self.proven)
    }
}

/// A guess that is under way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    window: u64,
    answered: u64,
    number: u64,
    was_destroyed: bool,
}

impl Record {
    pub(super) fn new(name: RecordName, account: AccountId, token: Token) -> Self {
        let known = Known {
            // The guess that proved its first version.
            answered: 1,
            proven: 1,
            may_be_proven: 1,
            number: 1,
            ..Known::default()
        };
        Self {
            name,
            account,
            token,
            known: Mutex::new(known),
        }
    }

    pub(super) fn known(&self) -> Known {
        self.known.lock().expect("no thread panics").clone()
    }

    pub(super) fn begin(&self) -> Begun {
        let known = self.known.lock().expect("no thread panics");
        Begun {
            window: known.window,
            answered: known.answered,
            number: known.number,
            was_destroyed: known.is_destroyed,
        }
    }

    /// The guess was answered.
    pub(super) fn answered(&self, begun: Begun, ledger: &Ledger) {
        let mut known = self.known.lock().expect("no thread panics");
        known.answered += 1;
        if begun.window == known.window && !known.is_proving {
            known.since += 1;
        }
        add(&ledger.counts.guesses);
        let most = &ledger.counts.most;
        most.fetch_max(known.since.into(), Ordering::SeqCst);
        let id = self.name.to_text();
        if known.since > LIMIT || known.answered - known.may_be_proven > LIFETIME {
            ledger.broken(Broken::OverLimit, &id, 1);
        }
        if begun.was_destroyed {
            ledger.broken(Broken::Resurrected, &id, 1);
        }
    }

    /// The owner is about to send a proof: from now on the count may begin anew.
    pub(super) fn proof_sent(&self) {
        let mut known = self.known.lock().expect("no thread panics");
        known.window += 1;
        known.is_proving = true;
    }

    /// Nothing was given back, or perhaps something.
    pub(super) fn proof_failed(&self, may_have_happened: bool) {
        let mut known = self.known.lock().expect("no thread panics");
        known.window += 1;
        known.is_proving = false;
        if may_have_happened {
            known.since = 0;
            known.may_be_proven += 1;
        }
    }

    /// The guesses were given back.
    pub(super) fn proven(&self, begun: Begun, number: u64, log_length: u64, ledger: &Ledger) {
        let mut known = self.known.lock().expect("no thread panics");
        known.window += 1;
        known.is_proving = false;
        known.since = 0;
        known.may_be_proven += 1;
        known.proven += 1;
        // All that was answered before this guess began has a smaller number.
        if number <= begun.answered || number <= begun.number {
            ledger.broken(Broken::NumberAgain, &self.name.to_text(), 1);
        }
        known.number = known.number.max(number);
        known.log_length = known.log_length.max(log_length);
        add(&ledger.counts.proofs);
    }

    pub(super) fn destroyed(&self, ledger: &Ledger) {
        let mut known = self.known.lock().expect("no thread panics");
        if !known.is_destroyed {
            known.is_destroyed = true;
            add(&ledger.counts.destroyed);
        }
    }

    /// The least that a status that is asked for now must say.
    pub(super) fn log_at_least(&self) -> u64 {
        self.known.lock().expect("no thread panics").log_at_least()
    }

    /// A server told how long the log is; `least` was known before it was asked.
    pub(super) fn served(&self, least: u64, log_length: u64, server: usize, ledger: &Ledger) {
        if log_length < least {
            let whom = format!(
                "{}/{log_length} for {least} at {server}",
                self.name.to_text()
            );
            ledger.broken(Broken::StaleRead, &whom, 1);
        }
    }
}

/// One lineage's acknowledged heads.
#[derive(Debug)]
pub(super) struct Lineage {
    pub(super) name: LineageId,
    heads: Mutex<Heads>,
}

impl Lineage {
    pub(super) fn new(name: LineageId) -> Self {
        Self {
            name,
            heads: Mutex::default(),
        }
    }

    pub(super) fn acknowledged(&self, sequence: u64, head: Fixed<32>, ledger: &Ledger) {
        let mut heads = self.heads.lock().expect("no thread panics");
        add(&ledger.counts.witnesses);
        if heads
            .insert(sequence, head)
            .is_some_and(|before| before != head)
        {
            let id = format!("{}/{sequence}", self.name.to_text());
            ledger.broken(Broken::WitnessTwice, &id, 1);
        }
    }

    /// The greatest sequence that was acknowledged, and its head.
    pub(super) fn newest(&self) -> Option<(u64, Fixed<32>)> {
        let heads = self.heads.lock().expect("no thread panics");
        heads
            .last_key_value()
            .map(|(sequence, head)| (*sequence, *head))
    }

    /// A server told the newest head, or signed for none; `least` was known before it was asked.
    pub(super) fn served(
        &self,
        least: Option<(u64, Fixed<32>)>,
        told: Option<(u64, Fixed<32>)>,
        server: usize,
        ledger: &Ledger,
    ) {
        let is_stale = match (least, told) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some((least, known)), Some((sequence, head))) => {
                sequence < least || (sequence == least && head != known)
            }
        };
        if is_stale {
            let number = |head: Option<(u64, _)>| head.map_or(0, |(sequence, _)| sequence);
            let (found, least) = (number(told), number(least));
            let whom = format!("{}/{found} for {least} at {server}", self.name.to_text());
            ledger.broken(Broken::StaleRead, &whom, 1);
        }
    }

    /// What was acknowledged by now.
    pub(super) fn heads(&self) -> Heads {
        self.heads.lock().expect("no thread panics").clone()
    }
}

/// Acknowledged heads by their sequence.
pub(super) type Heads = BTreeMap<u64, Fixed<32>>;

/// Acknowledged steps that cannot have led to what is there.
pub(super) fn lost(heads: &Heads, sequence: u64, head: &Fixed<32>) -> u64 {
    let differs = heads.get(&sequence).is_some_and(|known| known != head);
    let beyond = heads.range(sequence.saturating_add(1)..).count();
    u64::from(differs) + u64::try_from(beyond).unwrap_or(u64::MAX)
}

/// Everything that was acknowledged.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) service: Service,
    pub(super) counts: Counts,
    records: Mutex<Vec<Arc<Record>>>,
    pub(super) lineages: Vec<Lineage>,
    objects: Mutex<BTreeSet<String>>,
    /// How much of what, of whom: found again, it counts once.
    broken: Mutex<BTreeMap<(Broken, String), u64>>,
}

impl Ledger {
    pub(super) fn new(lineages: Vec<Lineage>) -> Self {
        Self {
            service: Service::new(),
            counts: Counts::default(),
            records: Mutex::default(),
            lineages,
            objects: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// A rule was broken so many times, by whom.
    pub(super) fn broken(&self, rule: Broken, whom: &str, times: u64) {
        let mut broken = self.broken.lock().expect("no thread panics");
        let entry = broken.entry((rule, whom.to_owned())).or_insert(0);
        *entry = times.max(*entry);
    }

    pub(super) fn how_often(&self, rule: Broken) -> u64 {
        let broken = self.broken.lock().expect("no thread panics");
        let of_rule = broken.iter().filter(|((other, _), _)| *other == rule);
        of_rule.map(|(_, times)| times).sum()
    }

    pub(super) fn add_record(&self, record: Arc<Record>) {
        add(&self.counts.accounts);
        self.records.lock().expect("no thread panics").push(record);
    }

    pub(super) fn records(&self) -> Vec<Arc<Record>> {
        self.records.lock().expect("no thread panics").clone()
    }

    /// A name was acknowledged.
    pub(super) fn named(&self, name: &str) {
        add(&self.counts.objects);
        let mut objects = self.objects.lock().expect("no thread panics");
        if !objects.insert(name.to_owned()) {
            self.broken(Broken::ObjectTwice, name, 1);
        }
    }

    pub(super) fn objects(&self) -> BTreeSet<String> {
        self.objects.lock().expect("no thread panics").clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (Record, Ledger) {
        let token = Token(Fixed([2; 32]));
        let record = Record::new(Fixed([1; 16]), Fixed([3; 16]), token);
        (record, Ledger::new(Vec::new()))
    }

    #[test]
    fn an_eleventh_answer_between_two_proofs_is_found() {
        let (record, ledger) = record();
        for _ in 0..10 {
            record.answered(record.begin(), &ledger);
        }
        assert_eq!(ledger.how_often(Broken::OverLimit), 0);
        record.answered(record.begin(), &ledger);
        assert_eq!(ledger.how_often(Broken::OverLimit), 1);
    }

    #[test]
    fn an_answer_while_a_proof_is_under_way_is_on_either_side() {
        let (record, ledger) = record();
        for _ in 0..10 {
            record.answered(record.begin(), &ledger);
        }
        record.proof_sent();
        record.answered(record.begin(), &ledger);
        record.proven(record.begin(), 30, 9, &ledger);
        record.answered(record.begin(), &ledger);
        assert_eq!(ledger.how_often(Broken::OverLimit), 0);
        assert_eq!(record.known().since, 1);
    }

    #[test]
    fn an_answer_that_may_lie_before_a_proof_is_not_counted_after_it() {
        let (record, ledger) = record();
        let before = record.begin();
        record.proof_sent();
        record.proof_failed(true);
        record.answered(before, &ledger);
        assert_eq!(record.known().since, 0);
        assert_eq!(record.known().answered, 2);
        // A proof that was refused gives nothing back.
        record.answered(record.begin(), &ledger);
        record.proof_sent();
        record.proof_failed(false);
        assert_eq!(record.known().since, 1);
    }

    #[test]
    fn a_number_that_was_given_out_before_is_found() {
        let (record, ledger) = record();
        record.answered(record.begin(), &ledger);
        let begun = record.begin();
        record.proven(begun, 3, 9, &ledger);
        assert_eq!(ledger.how_often(Broken::NumberAgain), 0);
        record.proven(record.begin(), 3, 9, &ledger);
        assert_eq!(ledger.how_often(Broken::NumberAgain), 1);
    }

    #[test]
    fn a_lost_witness_and_two_heads_of_one_sequence_are_found() {
        let ledger = Ledger::new(vec![Lineage::new(Fixed([1; 16]))]);
        let lineage = &ledger.lineages[0];
        lineage.acknowledged(1, Fixed([1; 32]), &ledger);
        lineage.acknowledged(2, Fixed([2; 32]), &ledger);
        assert_eq!(lost(&lineage.heads(), 2, &Fixed([2; 32])), 0);
        assert_eq!(lost(&lineage.heads(), 3, &Fixed([7; 32])), 0);
        assert_eq!(lost(&lineage.heads(), 2, &Fixed([7; 32])), 1);
        assert_eq!(lost(&lineage.heads(), 0, &Fixed([0; 32])), 2);
        assert_eq!(ledger.how_often(Broken::WitnessTwice), 0);
        lineage.acknowledged(2, Fixed([9; 32]), &ledger);
        assert_eq!(ledger.how_often(Broken::WitnessTwice), 1);
    }

    #[test]
    fn an_evaluation_of_a_record_that_was_known_to_be_destroyed_is_found() {
        let (record, ledger) = record();
        let before = record.begin();
        record.destroyed(&ledger);
        record.answered(before, &ledger);
        assert_eq!(
            ledger.how_often(Broken::Resurrected),
            0,
            "it may lie before"
        );
        record.answered(record.begin(), &ledger);
        assert_eq!(ledger.how_often(Broken::Resurrected), 1);
    }

    #[test]
    fn more_than_a_hundred_in_a_life_are_found() {
        let (record, ledger) = record();
        // Never more than two at a time; proofs give their own guess back alone.
        for number in 1..=99 {
            record.answered(record.begin(), &ledger);
            let begun = record.begin();
            record.answered(begun, &ledger);
            record.proof_sent();
            record.proven(begun, number * 3, 0, &ledger);
        }
        record.answered(record.begin(), &ledger);
        assert_eq!(ledger.how_often(Broken::OverLimit), 0);
        record.answered(record.begin(), &ledger);
        assert_eq!(ledger.how_often(Broken::OverLimit), 1);
    }

    #[test]
    fn a_counter_that_is_older_than_one_that_was_acknowledged_is_found() {
        let (record, ledger) = record();
        record.answered(record.begin(), &ledger);
        let begun = record.begin();
        record.answered(begun, &ledger);
        let early = record.log_at_least();
        // Its proof said that the log has nine entries.
        record.proven(begun, 3, 9, &ledger);
        let least = record.log_at_least();
        assert_eq!((early, least), (4, 9));
        record.served(least, 9, 0, &ledger);
        record.served(least, 12, 1, &ledger);
        // Asked before the proof was acknowledged: either is true.
        record.served(early, 5, 2, &ledger);
        assert_eq!(ledger.how_often(Broken::StaleRead), 0);
        record.served(least, 8, 2, &ledger);
        assert_eq!(ledger.how_often(Broken::StaleRead), 1);
    }

    #[test]
    fn a_head_that_is_older_another_one_or_signed_by_nobody_is_found() {
        let ledger = Ledger::new(vec![Lineage::new(Fixed([1; 16]))]);
        let lineage = &ledger.lineages[0];
        let head = |byte: u8| Fixed([byte; 32]);
        lineage.served(lineage.newest(), Some((0, head(0))), 0, &ledger);
        lineage.acknowledged(1, head(1), &ledger);
        let early = lineage.newest();
        lineage.acknowledged(2, head(2), &ledger);
        let least = lineage.newest();
        lineage.served(least, Some((2, head(2))), 0, &ledger);
        lineage.served(least, Some((3, head(7))), 0, &ledger);
        // Asked before the second was acknowledged.
        lineage.served(early, Some((1, head(1))), 0, &ledger);
        assert_eq!(ledger.how_often(Broken::StaleRead), 0);
        for (found, told) in [(1, Some((1, head(1)))), (2, Some((2, head(9)))), (3, None)] {
            lineage.served(least, told, 0, &ledger);
            assert_eq!(ledger.how_often(Broken::StaleRead), found);
        }
    }

    #[test]
    fn a_name_that_is_acknowledged_twice_is_found() {
        let ledger = Ledger::new(Vec::new());
        ledger.named("s0/1");
        ledger.named("s0/2");
        assert_eq!(ledger.how_often(Broken::ObjectTwice), 0);
        ledger.named("s0/1");
        assert_eq!(ledger.how_often(Broken::ObjectTwice), 1);
    }

    #[test]
    fn what_is_found_again_counts_once() {
        let ledger = Ledger::new(Vec::new());
        ledger.broken(Broken::GuessLost, "one", 3);
        ledger.broken(Broken::GuessLost, "one", 2);
        ledger.broken(Broken::GuessLost, "two", 1);
        assert_eq!(ledger.how_often(Broken::GuessLost), 4);
        assert_eq!(ledger.how_often(Broken::ProofLost), 0);
    }
}
