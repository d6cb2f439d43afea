//! Progress: a bar on a terminal, a plain line every ten seconds elsewhere, status events with `--json`.

use std::io::{IsTerminal, stderr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::Output;
use super::events::{Event, Status};
use crate::words;

/// Between two plain lines.
const EVERY_LINE: Duration = Duration::from_secs(10);
/// Between two status events.
const EVERY_EVENT: Duration = Duration::from_secs(1);
/// The first estimate comes after this long: before, it would only be noise.
const ESTIMATE_AFTER: Duration = Duration::from_secs(3);

/// Shows how far a run is. Shared by the workers.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    output: &'a Output,
    started: Instant,
    bar: Option<ProgressBar>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phases: Vec<Part>,
    spoke: Instant,
}

/// One phase. Phases may overlap: the newest is shown.
#[derive(Debug)]
struct Part {
    name: &'static str,
    began: Instant,
    items: u64,
    bytes: u64,
    total_items: Option<u64>,
    total_bytes: Option<u64>,
}

impl<'a> Meter<'a> {
    /// Begins. Nothing is shown until the first phase.
    pub(crate) fn new(output: &'a Output) -> Self {
        let shown = output.shows_progress() && !output.json() && stderr().is_terminal();
        let bar = shown.then(|| {
            let bar = ProgressBar::new(0).with_style(style("", false));
            let bar = output.bars().add(bar);
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        Self {
            output,
            started: now,
            bar,
            state: Mutex::new(State {
                phases: Vec::new(),
                spoke: now,
            }),
        }
    }

    /// Begins a phase, or sets the totals of the one that runs. An unknown total shows a count instead of a bar.
    pub(crate) fn phase(
        &self,
        name: &'static str,
        total_items: Option<u64>,
        total_bytes: Option<u64>,
    ) {
        let now = Instant::now();
        let mut state = self.lock();
        let is_new = state.phases.last().is_none_or(|part| part.name != name);
        if is_new {
            if let Some(before) = state.phases.last() {
                self.finish(before, now);
            }
            state.phases.retain(|part| part.name != name);
            state.phases.push(Part {
                name,
                began: now,
                items: 0,
                bytes: 0,
                total_items: None,
                total_bytes: None,
            });
            state.spoke = now;
        }
        let Some(part) = state.phases.last_mut() else {
            return;
        };
        part.total_items = total_items;
        part.total_bytes = total_bytes;
        if let Some(bar) = &self.bar {
            bar.set_style(style(name, total_items.or(total_bytes).is_some()));
            bar.set_length(total_bytes.or(total_items).unwrap_or(0));
            bar.set_position(0);
            bar.set_message("");
        }
        if is_new {
            self.speak(part, now);
        }
    }

    /// So much more of a phase was done.
    pub(crate) fn advance(&self, name: &'static str, items: u64, bytes: u64) {
        let mut state = self.lock();
        let last = state.phases.len().saturating_sub(1);
        let Some(at) = state.phases.iter().position(|part| part.name == name) else {
            return;
        };
        let part = &mut state.phases[at];
        part.items = part.items.saturating_add(items);
        part.bytes = part.bytes.saturating_add(bytes);
        if at != last {
            return;
        }
        let now = Instant::now();
        if let Some(bar) = &self.bar {
            bar.set_position(if part.total_bytes.is_some() {
                part.bytes
            } else {
                part.items
            });
            bar.set_message(self.words(part, now));
        }
        let every = if self.output.json() {
            EVERY_EVENT
        } else {
            EVERY_LINE
        };
        if now.duration_since(state.spoke) >= every {
            state.spoke = now;
            self.speak(&state.phases[at], now);
        }
    }

    /// Takes the bar away; call when the run has ended and was checked.
    pub(crate) fn done(&self) {
        let mut state = self.lock();
        if let Some(part) = state.phases.last() {
            self.finish(part, Instant::now());
        }
        state.phases.clear();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn finish(&self, part: &Part, now: Instant) {
        if self.output.json() {
            return;
        }
        let took = now.duration_since(part.began).as_secs();
        let amounts = amounts(part);
        let what = if amounts.is_empty() {
            String::new()
        } else {
            format!("  {amounts}")
        };
        if self.bar.is_some() {
            self.output
                .say(&format!("✓ {}{what}  {}", part.name, words::duration(took)));
        } else if took >= EVERY_LINE.as_secs() {
            self.output.say(&format!(
                "{}{what}: done in {}",
                part.name,
                words::duration(took)
            ));
        }
    }

    fn speak(&self, part: &Part, now: Instant) {
        if self.output.json() {
            self.output
                .event(&Event::new("status", self.status(part, now)));
        } else if self.bar.is_none() && (part.items > 0 || part.bytes > 0) {
            self.output
                .say(&format!("{}: {}", part.name, self.words(part, now)));
        }
    }

    /// `318 of 497, 1.1 GB of 1.7 GB, 64 %, about 6 min left`. Never 100 %: that is for the end.
    fn words(&self, part: &Part, now: Instant) -> String {
        let status = self.status(part, now);
        let percent = status
            .percent
            .map(|p| format!(", {p} %"))
            .unwrap_or_default();
        let left = status
            .seconds_remaining
            .map(|s| format!(", about {} left", words::duration(s)));
        format!("{}{percent}{}", amounts(part), left.unwrap_or_default())
    }

    fn status(&self, part: &Part, now: Instant) -> Status {
        let share = share(part);
        let in_phase = now.duration_since(part.began);
        let seconds_remaining = share
            .filter(|(done, _)| *done > 0 && in_phase >= ESTIMATE_AFTER)
            .map(|(done, total)| {
                let left = u128::from(total - done) * in_phase.as_millis() / u128::from(done);
                u64::try_from(left / 1000).unwrap_or(u64::MAX)
            });
        // 100 belongs to the end of the run, and its last phase is the check.
        let percent = share.map(|(done, total)| {
            u8::try_from(u128::from(done) * 100 / u128::from(total.max(1)))
                .unwrap_or(100)
                .min(99)
        });
        Status {
            phase: part.name,
            items: part.items,
            bytes: part.bytes,
            total_items: part.total_items,
            total_bytes: part.total_bytes,
            percent,
            seconds_elapsed: now.duration_since(self.started).as_secs(),
            seconds_remaining,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// (done, total) in the unit that says most.
fn share(part: &Part) -> Option<(u64, u64)> {
    let (done, total) = match (part.total_bytes, part.total_items) {
        (Some(total), _) if total > 0 => (part.bytes, total),
        (_, Some(total)) if total > 0 => (part.items, total),
        _ => return None,
    };
    Some((done.min(total), total))
}

fn amounts(part: &Part) -> String {
    let mut parts = Vec::new();
    if part.items > 0 {
        let of = part
            .total_items
            .map(|total| format!(" of {}", words::number(total)))
            .unwrap_or_default();
        parts.push(format!("{}{of}", words::number(part.items)));
    }
    if part.bytes > 0 {
        let of = part
            .total_bytes
            .map(|total| format!(" of {}", words::bytes(total)))
            .unwrap_or_default();
        parts.push(format!("{}{of}", words::bytes(part.bytes)));
    }
    parts.join(", ")
}

fn style(name: &str, has_total: bool) -> ProgressStyle {
    let template = match (name, has_total) {
        ("", _) => "{spinner}".to_owned(),
        (name, true) => format!("▸ {name} [{{bar:24}}] {{msg}}"),
        (name, false) => format!("▸ {name} {{spinner}} {{msg}}"),
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▓░")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Color;

    fn status(meter: &Meter<'_>, after: u64) -> Status {
        let state = meter.lock();
        let part = state.phases.last().unwrap();
        meter.status(part, part.began + Duration::from_secs(after))
    }

    #[test]
    fn a_hundred_percent_is_never_said_while_a_phase_runs() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Checking", Some(10), None);
        meter.advance("Checking", 10, 0);
        assert_eq!(status(&meter, 0).percent, Some(99));
    }

    #[test]
    fn the_estimate_follows_from_what_was_done() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Storing", None, Some(1_000));
        meter.advance("Storing", 1, 250);
        assert_eq!(
            (
                status(&meter, 10).percent,
                status(&meter, 10).seconds_remaining
            ),
            (Some(25), Some(30))
        );
        assert_eq!(status(&meter, 1).seconds_remaining, None);
    }

    #[test]
    fn an_unknown_or_empty_total_gives_no_share() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Reading", None, None);
        meter.advance("Reading", 5, 5);
        assert_eq!(status(&meter, 5).percent, None);
        meter.phase("Nothing", Some(0), Some(0));
        assert_eq!(status(&meter, 5).percent, None);
    }

    #[test]
    fn phases_that_overlap_keep_their_own_counts() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Reading", None, None);
        meter.phase("Storing", Some(10), None);
        meter.advance("Reading", 100, 0);
        meter.advance("Storing", 5, 0);
        assert_eq!(status(&meter, 0).items, 5);
        assert_eq!(meter.lock().phases[0].items, 100);
    }
}
