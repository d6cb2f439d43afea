//! Progress: a bar on a terminal, a plain line every ten seconds elsewhere, status events with `--json`.

use std::io::{IsTerminal, stderr};
use std::sync::Mutex;
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
    phase: String,
    phase_began: Instant,
    items: u64,
    bytes: u64,
    total_items: Option<u64>,
    total_bytes: Option<u64>,
    spoke: Instant,
}

impl<'a> Meter<'a> {
    /// Begins. Nothing is shown until the first phase.
    pub(crate) fn new(output: &'a Output) -> Self {
        let shown = output.shows_progress() && !output.json() && stderr().is_terminal();
        let bar = shown.then(|| {
            let bar = output.bars().add(ProgressBar::new(0));
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        let state = State {
            phase: String::new(),
            phase_began: now,
            items: 0,
            bytes: 0,
            total_items: None,
            total_bytes: None,
            spoke: now,
        };
        Self { output, started: now, bar, state: Mutex::new(state) }
    }

    /// Begins a phase. A total that is not known shows a count instead of a bar.
    pub(crate) fn phase(&self, phase: &str, total_items: Option<u64>, total_bytes: Option<u64>) {
        let now = Instant::now();
        let mut state = self.lock();
        let same = state.phase == phase;
        if !same {
            self.finish_phase(&state, now);
            phase.clone_into(&mut state.phase);
            state.phase_began = now;
            state.items = 0;
            state.bytes = 0;
        }
        state.total_items = total_items;
        state.total_bytes = total_bytes;
        if let Some(bar) = &self.bar {
            bar.set_style(style(&state));
            if let Some(total) = state.total_bytes.or(state.total_items) {
                bar.set_length(total);
            }
        }
        if !same {
            state.spoke = now;
            self.speak(&state, now);
        }
    }

    /// So much more was done.
    pub(crate) fn advance(&self, items: u64, bytes: u64) {
        let mut state = self.lock();
        state.items = state.items.saturating_add(items);
        state.bytes = state.bytes.saturating_add(bytes);
        if let Some(bar) = &self.bar {
            bar.set_position(if state.total_bytes.is_some() { state.bytes } else { state.items });
            bar.set_message(amounts(&state));
        }
        let now = Instant::now();
        let every = if self.output.json() { EVERY_EVENT } else { EVERY_LINE };
        if now.duration_since(state.spoke) >= every {
            state.spoke = now;
            self.speak(&state, now);
        }
    }

    /// Takes the bar away; call when the run has ended and was checked.
    pub(crate) fn done(&self) {
        let state = self.lock();
        self.finish_phase(&state, Instant::now());
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn finish_phase(&self, state: &State, now: Instant) {
        if state.phase.is_empty() || self.output.json() {
            return;
        }
        let took = now.duration_since(state.phase_began).as_secs();
        let amounts = amounts(state);
        let what = if amounts.is_empty() { String::new() } else { format!("  {amounts}") };
        if self.bar.is_some() {
            self.output.say(&format!("✓ {}{what}  {}", state.phase, words::duration(took)));
        } else if took >= EVERY_LINE.as_secs() {
            self.output.say(&format!("{}{what}: done in {}", state.phase, words::duration(took)));
        }
    }

    fn speak(&self, state: &State, now: Instant) {
        if self.output.json() {
            self.output.event(&Event::new("status", self.status(state, now)));
        } else if self.bar.is_none() && self.output.shows_progress() {
            let status = self.status(state, now);
            if state.items == 0 && state.bytes == 0 {
                // The beginning of a phase is said only when it lasts.
                return;
            }
            let percent = status.percent.map(|p| format!(", {p} %")).unwrap_or_default();
            let left = status.seconds_remaining.map(|s| format!(", about {} left", words::duration(s)));
            self.output.say(&format!("{}: {}{percent}{}", state.phase, amounts(state), left.unwrap_or_default()));
        }
    }

    fn status(&self, state: &State, now: Instant) -> Status {
        let share = share(state);
        let in_phase = now.duration_since(state.phase_began);
        let seconds_remaining = share.filter(|(done, _)| *done > 0 && in_phase >= ESTIMATE_AFTER).map(|(done, total)| {
            let left = u128::from(total - done) * in_phase.as_millis() / u128::from(done);
            u64::try_from(left / 1000).unwrap_or(u64::MAX)
        });
        // 100 belongs to the end of the phase, and the last phase is the check.
        let percent = share.map(|(done, total)| {
            u8::try_from(u128::from(done) * 100 / u128::from(total.max(1))).unwrap_or(100).min(99)
        });
        Status {
            phase: state.phase.clone(),
            items: state.items,
            bytes: state.bytes,
            total_items: state.total_items,
            total_bytes: state.total_bytes,
            percent,
            seconds_elapsed: now.duration_since(self.started).as_secs(),
            seconds_remaining,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// (done, total) in the unit that says most.
fn share(state: &State) -> Option<(u64, u64)> {
    let (done, total) = match (state.total_bytes, state.total_items) {
        (Some(total), _) if total > 0 => (state.bytes, total),
        (_, Some(total)) if total > 0 => (state.items, total),
        _ => return None,
    };
    Some((done.min(total), total))
}

fn amounts(state: &State) -> String {
    let mut parts = Vec::new();
    if state.items > 0 {
        let of = state.total_items.map(|total| format!(" of {}", words::number(total))).unwrap_or_default();
        parts.push(format!("{}{of}", words::number(state.items)));
    }
    if state.bytes > 0 {
        let of = state.total_bytes.map(|total| format!(" of {}", words::bytes(total))).unwrap_or_default();
        parts.push(format!("{}{of}", words::bytes(state.bytes)));
    }
    parts.join(", ")
}

fn style(state: &State) -> ProgressStyle {
    let template = match (state.total_bytes, state.total_items) {
        (None, None) => format!("▸ {} {{spinner}} {{msg}}", state.phase),
        (Some(_), _) => {
            format!("▸ {} [{{bar:24}}] {{percent:>3}} %  {{msg}}  {{bytes_per_sec}}  about {{eta}} left", state.phase)
        }
        (None, Some(_)) => format!("▸ {} [{{bar:24}}] {{percent:>3}} %  {{msg}}  about {{eta}} left", state.phase),
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▓░")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Color;

    #[test]
    fn a_hundred_percent_is_never_said_while_a_phase_runs() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Checking", Some(10), None);
        meter.advance(10, 0);
        let state = meter.lock();
        assert_eq!(meter.status(&state, Instant::now()).percent, Some(99));
    }

    #[test]
    fn the_estimate_follows_from_what_was_done() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Storing", None, Some(1_000));
        meter.advance(1, 250);
        let state = meter.lock();
        let status = meter.status(&state, state.phase_began + Duration::from_secs(10));
        assert_eq!((status.percent, status.seconds_remaining), (Some(25), Some(30)));
        let early = meter.status(&state, state.phase_began + Duration::from_secs(1));
        assert_eq!(early.seconds_remaining, None);
    }

    #[test]
    fn an_unknown_or_empty_total_gives_no_share() {
        let output = Output::new(false, true, 0, Color::Never);
        let meter = Meter::new(&output);
        meter.phase("Reading", None, None);
        meter.advance(5, 5);
        assert_eq!(meter.status(&meter.lock(), Instant::now()).percent, None);
        meter.phase("Nothing", Some(0), Some(0));
        assert_eq!(meter.status(&meter.lock(), Instant::now()).percent, None);
    }
}
