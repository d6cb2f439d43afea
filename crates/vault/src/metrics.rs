//! Numbers about the vault's work, for Prometheus. No label names an account, a record or an address.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// One route and how it was answered. The route is the router's template: what stands in an address is no label.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answered {
    method: &'static str,
    route: Arc<str>,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Route {
    route: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct By {
    by: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

/// What became of a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guessed {
    /// Stored for good.
    Counted,
    /// Evaluated, and the evaluation given.
    Answered,
    /// Not allowed now, or never again.
    Refused,
    /// Perhaps stored: it counts, and is not answered.
    Unknown,
    /// Shown to be right.
    Proven,
}

impl Guessed {
    fn word(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Proven => "proven",
        }
    }
}

/// Whose limit was reached.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LimitedBy {
    /// The address's.
    Address,
    /// The account's.
    Account,
}

/// Which way bytes of objects went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// To the vault.
    In,
    /// From it.
    Out,
}

/// All counters of one vault.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    seconds: Family<Route, Histogram>,
    in_flight: Gauge,
    guesses: Family<Outcome, Counter>,
    commits: Counter,
    commit_group: Histogram,
    commit_seconds: Histogram,
    watermark_group: Histogram,
    blob_bytes: Family<Direction, Counter>,
    limited: Family<By, Counter>,
    sweeps: Family<Outcome, Counter>,
    ready: Gauge<f64, AtomicU64>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// From half a millisecond to half a minute.
fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    ])
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut new = Self {
            registry: Registry::with_prefix("heirloom_vault"),
            requests: Family::default(),
            seconds: Family::new_with_constructor(durations),
            in_flight: Gauge::default(),
            guesses: Family::default(),
            commits: Counter::default(),
            commit_group: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            commit_seconds: durations(),
            watermark_group: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]),
            blob_bytes: Family::default(),
            limited: Family::default(),
            sweeps: Family::default(),
            ready: Gauge::default(),
        };
        new.register();
        // From the first scrape on: a counter that appears later hides its first step.
        for guessed in [
            Guessed::Counted,
            Guessed::Answered,
            Guessed::Refused,
            Guessed::Unknown,
            Guessed::Proven,
        ] {
            let outcome = guessed.word();
            drop(new.guesses.get_or_create(&Outcome { outcome }));
        }
        Arc::new(new)
    }

    fn register(&mut self) {
        let Self {
            registry,
            requests,
            seconds,
            in_flight,
            guesses,
            commits,
            commit_group,
            commit_seconds,
            watermark_group,
            blob_bytes,
            limited,
            sweeps,
            ready,
        } = self;
        registry.register("requests", "Requests by route and status", requests.clone());
        registry.register_with_unit(
            "request",
            "From the request's head to the answer's head",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests that are being answered",
            in_flight.clone(),
        );
        registry.register(
            "guesses",
            "Guesses at passwords by what became of them",
            guesses.clone(),
        );
        registry.register("commits", "Transactions of the database", commits.clone());
        registry.register(
            "commit_group",
            "Operations that shared a transaction",
            commit_group.clone(),
        );
        registry.register_with_unit(
            "commit",
            "How long a transaction took, until it was durable",
            Unit::Seconds,
            commit_seconds.clone(),
        );
        registry.register(
            "watermark_group",
            "Commits that one write of the watermark noted",
            watermark_group.clone(),
        );
        registry.register_with_unit(
            "blob",
            "Bytes of objects that went in or out",
            Unit::Bytes,
            blob_bytes.clone(),
        );
        registry.register(
            "rate_limited",
            "Requests over the limit of an address or an account",
            limited.clone(),
        );
        registry.register("sweeps", "Rounds of time's work", sweeps.clone());
        registry.register(
            "ready",
            "1 when the last look found everything there",
            ready.clone(),
        );
    }

    /// Notes a request that begins; [`Self::ended`] ends it.
    pub(crate) fn asked(&self) {
        self.in_flight.inc();
    }

    /// Notes that it ended, answered or not.
    pub(crate) fn ended(&self) {
        self.in_flight.dec();
    }

    /// Notes how it was answered.
    pub(crate) fn answered(
        &self,
        method: &'static str,
        route: &Arc<str>,
        status: u16,
        took: Duration,
    ) {
        let route = Arc::clone(route);
        let labels = Answered {
            method,
            route: Arc::clone(&route),
            status,
        };
        self.requests.get_or_create(&labels).inc();
        self.seconds
            .get_or_create(&Route { route })
            .observe(took.as_secs_f64());
    }

    /// Notes what became of a guess.
    pub(crate) fn guessed(&self, guessed: Guessed) {
        let outcome = guessed.word();
        self.guesses.get_or_create(&Outcome { outcome }).inc();
    }

    /// Notes a transaction that so many operations shared.
    pub(crate) fn committed(&self, operations: usize, took: Duration) {
        self.commits.inc();
        let operations = u32::try_from(operations).unwrap_or(u32::MAX);
        self.commit_group.observe(f64::from(operations));
        self.commit_seconds.observe(took.as_secs_f64());
    }

    /// Notes a write of the watermark, which so many commits shared.
    pub(crate) fn noted(&self, commits: u64) {
        let commits = u32::try_from(commits).unwrap_or(u32::MAX);
        self.watermark_group.observe(f64::from(commits));
    }

    /// Notes bytes of objects.
    pub(crate) fn moved(&self, way: Way, bytes: u64) {
        let direction = match way {
            Way::In => "in",
            Way::Out => "out",
        };
        self.blob_bytes
            .get_or_create(&Direction { direction })
            .inc_by(bytes);
    }

    /// Notes a request that was over a limit.
    pub(crate) fn limited(&self, by: LimitedBy) {
        let by = match by {
            LimitedBy::Address => "address",
            LimitedBy::Account => "account",
        };
        self.limited.get_or_create(&By { by }).inc();
    }

    /// Notes a round of time's work.
    pub(crate) fn swept(&self, well: bool) {
        let outcome = if well { "done" } else { "failed" };
        self.sweeps.get_or_create(&Outcome { outcome }).inc();
    }

    /// Notes what a look at everything found.
    pub(crate) fn looked(&self, ready: bool) {
        self.ready.set(if ready { 1.0 } else { 0.0 });
    }

    /// All of it, in the text form of `OpenMetrics` 1.0, which Prometheus reads.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // A `String` takes everything.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_the_text_under_its_route() {
        let metrics = Metrics::new();
        metrics.asked();
        metrics.answered(
            "GET",
            &Arc::from("/v1/blobs/{*name}"),
            206,
            Duration::from_millis(3),
        );
        metrics.ended();
        metrics.guessed(Guessed::Counted);
        metrics.guessed(Guessed::Counted);
        metrics.committed(5, Duration::from_millis(1));
        metrics.noted(3);
        metrics.moved(Way::In, 1000);
        let text = metrics.text();
        for line in [
            "heirloom_vault_requests_total{method=\"GET\",route=\"/v1/blobs/{*name}\",status=\"206\"} 1",
            "heirloom_vault_request_seconds_bucket{le=\"0.005\",route=\"/v1/blobs/{*name}\"} 1",
            "heirloom_vault_requests_in_flight 0",
            "heirloom_vault_guesses_total{outcome=\"counted\"} 2",
            "heirloom_vault_guesses_total{outcome=\"unknown\"} 0",
            "heirloom_vault_commits_total 1",
            "heirloom_vault_commit_group_bucket{le=\"4.0\"} 0",
            "heirloom_vault_commit_group_bucket{le=\"8.0\"} 1",
            "heirloom_vault_watermark_group_bucket{le=\"4.0\"} 1",
            "heirloom_vault_blob_bytes_total{direction=\"in\"} 1000",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{line}\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }
}
