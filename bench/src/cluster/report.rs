//! What a run came to, in words and as JSON.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::Replication;
use super::faults::Fault;
use super::ledger::{Broken, Ledger};
use super::network::NODES;
use super::service::{Gap, outage};

/// One fault, from its beginning until all was well: milliseconds of the run.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) fault: Fault,
    pub(super) from: u64,
    pub(super) healed: u64,
    /// A primary and two standbys.
    pub(super) whole: u64,
    pub(super) until: u64,
    /// A server that did not serve again.
    pub(super) silent: Option<usize>,
}

/// What a run came to.
#[derive(Debug)]
pub(super) struct Report {
    replication: Replication,
    seed: u64,
    lasted: u64,
    gaps: Vec<Gap>,
    rounds: Vec<Round>,
    acknowledged: Vec<(&'static str, u64)>,
    broken: Vec<(&'static str, u64)>,
    faults: Vec<String>,
}

fn seconds(ms: u64) -> f64 {
    f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1000.0
}

impl Report {
    pub(super) fn new(
        replication: Replication,
        seed: u64,
        lasted: u64,
        gaps: Vec<Gap>,
        rounds: Vec<Round>,
        ledger: &Ledger,
    ) -> Self {
        let mut report = Self {
            replication,
            seed,
            lasted,
            gaps,
            rounds,
            acknowledged: Vec::new(),
            broken: Vec::new(),
            faults: Vec::new(),
        };
        report.count(ledger);
        report
    }

    /// Takes what the ledger holds now.
    pub(super) fn count(&mut self, ledger: &Ledger) {
        let of = |count: &AtomicU64| count.load(Ordering::SeqCst);
        let counts = &ledger.counts;
        self.acknowledged = vec![
            ("guesses answered", of(&counts.guesses)),
            ("proofs", of(&counts.proofs)),
            ("witnesses", of(&counts.witnesses)),
            ("references of objects", of(&counts.objects)),
            ("accounts with a record", of(&counts.accounts)),
            ("records destroyed", of(&counts.destroyed)),
            ("counters and heads read", of(&counts.reads)),
            ("outcomes unknown", of(&counts.unknown)),
            ("most guesses between two proofs", of(&counts.most)),
        ];
        self.broken = Broken::ALL
            .iter()
            .map(|rule| (rule.words(), ledger.how_often(*rule)))
            .collect();
    }

    /// Something that is not about one acknowledgement.
    pub(super) fn fault(&mut self, text: String) {
        self.faults.push(text);
    }

    fn losses(&self) -> u64 {
        self.broken.iter().map(|(_, times)| times).sum()
    }

    /// Nothing lost, every server back; the control must have lost something.
    pub(super) fn is_as_it_must_be(&self) -> bool {
        let all_served = self.rounds.iter().all(|round| round.silent.is_none());
        match self.replication {
            Replication::Quorum => {
                self.losses() == 0
                    && self.faults.is_empty()
                    && all_served
                    && !self.rounds.is_empty()
            }
            Replication::Async => self.losses() > 0,
        }
    }

    fn outages(&self, from: u64, to: u64) -> ((f64, f64), (f64, f64)) {
        let all = outage(&self.gaps, None, from, to);
        let worst = (0..NODES)
            .map(|server| outage(&self.gaps, Some(server), from, to))
            .max_by(|one, other| one.1.total_cmp(&other.1));
        (all, worst.unwrap_or_default())
    }

    fn verdict(&self) -> &'static str {
        match (self.replication, self.is_as_it_must_be()) {
            (Replication::Quorum, true) => "nothing that was acknowledged is lost or repeated",
            (Replication::Quorum, false) => "FAILED",
            (Replication::Async, true) => "the control lost what was acknowledged, as it must",
            (Replication::Async, false) => {
                "FAILED: the control lost nothing, so this run would not find a loss"
            }
        }
    }

    /// All of it for a program.
    pub(super) fn json(&self) -> Value {
        let ((longest, sum), (worst_longest, worst_sum)) = self.outages(0, self.lasted);
        let round = |round: &Round| {
            let (all, worst) = self.outages(round.from, round.until);
            json!({
                "fault": round.fault,
                "at_s": seconds(round.from),
                "lasted_s": seconds(round.healed - round.from),
                "whole_after_s": seconds(round.whole - round.healed),
                "without_service_s": all.1,
                "worst_server_s": worst.1,
                "silent_server": round.silent,
            })
        };
        let pairs = |pairs: &[(&str, u64)]| {
            let pairs = pairs
                .iter()
                .map(|(name, value)| (name.replace(' ', "_"), json!(value)));
            Value::Object(pairs.collect())
        };
        json!({
            "replication": match self.replication { Replication::Quorum => "quorum", Replication::Async => "async" },
            "seed": self.seed,
            "seconds": seconds(self.lasted),
            "acknowledged": pairs(&self.acknowledged),
            "broken": pairs(&self.broken),
            "without_service": { "longest_s": longest, "sum_s": sum,
                "worst_server_longest_s": worst_longest, "worst_server_sum_s": worst_sum },
            "rounds": self.rounds.iter().map(round).collect::<Vec<_>>(),
            "faults": self.faults,
            "ok": self.is_as_it_must_be(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copies = match self.replication {
            Replication::Quorum => "quorum, strict",
            Replication::Async => "asynchronous (the control)",
        };
        let faults = self.rounds.len();
        writeln!(
            f,
            "{copies}: {:.0} s, {faults} faults, seed {}",
            seconds(self.lasted),
            self.seed
        )?;
        writeln!(f, "\nacknowledged")?;
        for (name, count) in &self.acknowledged {
            writeln!(f, "  {name:<40} {count:>9}")?;
        }
        writeln!(f, "\nbroken")?;
        for (name, count) in &self.broken {
            writeln!(f, "  {name:<40} {count:>9}")?;
        }
        writeln!(
            f,
            "\n{:<38} {:>6} {:>7} {:>9} {:>10} {:>9}",
            "fault", "at s", "lasts s", "whole s", "no service", "worst one"
        )?;
        for round in &self.rounds {
            let (all, worst) = self.outages(round.from, round.until);
            writeln!(
                f,
                "{:<38} {:>6.0} {:>7.0} {:>9.1} {:>10.1} {:>9.1}",
                round.fault.words(),
                seconds(round.from),
                seconds(round.healed - round.from),
                seconds(round.whole - round.healed),
                all.1,
                worst.1
            )?;
            if let Some(server) = round.silent {
                writeln!(f, "  server {server} did not serve again")?;
            }
        }
        let (all, worst) = self.outages(0, self.lasted);
        writeln!(
            f,
            "\nseconds without any acknowledged write: longest {:.1}, sum {:.1}; on the worst server: longest {:.1}, sum {:.1}",
            all.0, all.1, worst.0, worst.1
        )?;
        for fault in &self.faults {
            writeln!(f, "{fault}")?;
        }
        write!(f, "\n{}", self.verdict())
    }
}
