//! Where the program speaks: data and outcomes on standard output, talk on standard error, or JSON events.
//!
//! Nothing else in the program prints.

pub(crate) mod engine;
pub(crate) mod events;
pub(crate) mod meter;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::styling::{AnsiColor, Style};
use indicatif::MultiProgress;
use serde::Serialize;

use crate::args::Color;
use crate::failure::Failure;
use crate::words;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();
const STRONG: Style = Style::new().bold();

/// The program's voice.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    verbose: u8,
    bars: MultiProgress,
    closed: AtomicBool,
}

impl Output {
    /// Decides once how to speak.
    pub(crate) fn new(json: bool, quiet: bool, verbose: u8, color: Color) -> Self {
        let choice = match color {
            Color::Auto => anstream::ColorChoice::Auto,
            Color::Always => anstream::ColorChoice::Always,
            Color::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
        Self {
            json,
            quiet,
            verbose,
            bars: MultiProgress::new(),
            closed: AtomicBool::new(false),
        }
    }

    /// Whether events are written instead of words.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether progress is shown at all.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet
    }

    /// Whether a person can be asked: both their keyboard and the screen are there.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && io::stdin().is_terminal() && io::stderr().is_terminal()
    }

    /// Whether whoever read standard output went away, so that there is no use in going on.
    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// A line of data or of the outcome, for people. With `--json` nothing: there an event says it.
    pub(crate) fn line(&self, text: &str) {
        if !self.json {
            self.stdout(text.as_bytes());
        }
    }

    /// Talk: what is being done, what comes next. Nothing with `--quiet` or `--json`.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet && !self.json {
            self.stderr(text);
        }
    }

    /// Talk with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose > 0 && !self.json {
            self.stderr(text);
        }
    }

    /// What a person must see, even with `--quiet`: a question, a new key.
    pub(crate) fn show(&self, text: &str) {
        self.stderr(text);
    }

    /// A hint on what to do next.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet && !self.json {
            self.stderr(&format!("{HINT}hint:{HINT:#} {text}"));
        }
    }

    /// A title within the outcome.
    pub(crate) fn title(&self, text: &str) {
        if !self.json {
            self.stdout(format!("{STRONG}{text}{STRONG:#}").as_bytes());
        }
    }

    /// Something that a person should know and that stops nothing.
    pub(crate) fn warn(&self, text: &str) {
        if self.json {
            self.event(&events::Warning::new(text));
        } else {
            self.stderr(&format!("{WARNING}warning:{WARNING:#} {text}"));
        }
    }

    /// The end of a run that failed; always on standard error.
    pub(crate) fn fail(&self, failure: &Failure) {
        if self.json {
            let line = serde_json::to_string(&events::Error::new(failure)).unwrap_or_default();
            self.stderr_raw(&line);
            return;
        }
        self.complain(failure);
    }

    /// A failure after which a person may try something else; in words, whatever the form of the output.
    pub(crate) fn complain(&self, failure: &Failure) {
        self.stderr(&complaint(failure));
    }

    /// One JSON object on a line of its own. Without `--json` nothing.
    pub(crate) fn event(&self, event: &impl Serialize) {
        if !self.json {
            return;
        }
        if let Ok(line) = serde_json::to_string(event) {
            self.stdout(line.as_bytes());
        }
    }

    /// Bytes of a file that was asked for on standard output.
    pub(crate) fn raw(&self, bytes: &[u8]) {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
        if written.is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// The bars of this process.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    fn stdout(&self, line: &[u8]) {
        let written = self.bars.suspend(|| {
            let mut stdout = anstream::stdout().lock();
            stdout
                .write_all(line)
                .and_then(|()| stdout.write_all(b"\n"))
                .and_then(|()| stdout.flush())
        });
        if written.is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    fn stderr(&self, text: &str) {
        self.bars.suspend(|| {
            let mut stderr = anstream::stderr().lock();
            let _ = writeln!(stderr, "{text}");
        });
    }

    fn stderr_raw(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr().lock(), "{text}");
        });
    }
}

/// A failure as a terminal shows it. It may quote names of files and words of servers, which strangers chose.
fn complaint(failure: &Failure) -> String {
    let Failure {
        exit: _,
        message,
        causes,
        hint,
    } = failure;
    let mut text = format!("{ERROR}error:{ERROR:#} {}", words::tame_lines(message));
    for cause in causes {
        text.push_str("\n  because ");
        text.push_str(&words::tame_lines(cause));
    }
    if let Some(hint) = hint {
        let hint = words::tame_lines(hint);
        text = format!("{text}\n{HINT}hint:{HINT:#} {hint}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn a_failure_that_quotes_a_strangers_name_cannot_steer_the_terminal() {
        let failure = Failure {
            exit: Exit::Failed,
            message: "cannot read a\u{1b}]0;PWNED\u{7}b.txt".into(),
            causes: vec!["bad \u{9b}2J name".into(), "turned \u{202e}txt.exe".into()],
            hint: Some("first\nsecond \u{1b}[8m\r".into()),
        };
        let text = complaint(&failure);
        // What is left are the colours of the program itself.
        let plain = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            plain,
            "error: cannot read a\u{fffd}]0;PWNED\u{fffd}b.txt\n  because bad \u{fffd}2J name\n  because turned \u{fffd}txt.exe\nhint: first\nsecond \u{fffd}[8m\u{fffd}"
        );
    }
}
