//! What failed and why, in few lines: for the end of a log that may be cut before it.

use std::fmt::Write as _;

/// Lines of one failure at most, and characters of a line.
const LINES: usize = 25;
const WIDTH: usize = 400;
/// Failures told whole; of more there are only the names.
const WHOLE: usize = 40;

/// A test or check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) name: String,
    pub(crate) why: Vec<String>,
}

/// What failed in a suite that printed `output`: never nothing.
pub(crate) fn of(suite: &str, output: &str) -> Vec<Failure> {
    let mut found = of_libtest(output);
    found.extend(of_node(output));
    found.extend(of_processes(output));
    if found.is_empty() {
        found.push(Failure {
            name: "the suite itself".into(),
            why: of_anything(output),
        });
    }
    for failure in &mut found {
        failure.name = format!("{suite}: {}", failure.name);
    }
    found
}

/// The section at the end of a run; empty when nothing failed.
pub(crate) fn section(failures: &[Failure]) -> String {
    let mut text = String::new();
    if failures.is_empty() {
        return text;
    }
    text.push_str("\nWhat failed:\n");
    for (at, Failure { name, why }) in failures.iter().enumerate() {
        writeln!(text, "* {name}").expect("a string grows");
        for line in why.iter().filter(|_| at < WHOLE) {
            writeln!(text, "    {line}").expect("a string grows");
        }
    }
    text.push('\n');
    text
}

/// Seconds that tests ran: what their binaries say of themselves, without building.
pub(crate) fn seconds_in_tests(output: &str) -> f64 {
    output
        .lines()
        .filter(|line| line.starts_with("test result: "))
        .filter_map(|line| line.rsplit_once("finished in ")?.1.strip_suffix('s'))
        .filter_map(|seconds| seconds.parse::<f64>().ok())
        .sum()
}

/// The output without what tests printed that passed.
pub(crate) fn without_passed(output: &str) -> impl Iterator<Item = &str> {
    let mut parts = Parts::default();
    output.lines().filter(move |line| {
        let part = parts.next(line);
        let passed = line.starts_with("test ") && line.ends_with(" ... ok");
        !passed && part != Part::Passed && !line.trim_start().starts_with('✔')
    })
}

/// Where a line of `cargo test -- --show-output` stands.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Part {
    #[default]
    Between,
    Passed,
    Failed,
    Names,
}

#[derive(Debug, Default)]
struct Parts(Part);

impl Parts {
    fn next(&mut self, line: &str) -> Part {
        self.0 = match (line, self.0) {
            ("successes:", _) => Part::Passed,
            ("failures:", Part::Failed) => Part::Names,
            ("failures:", _) => Part::Failed,
            (line, _) if binary(line).is_some() || line.starts_with("test result: ") => {
                Part::Between
            }
            (_, part) => part,
        };
        self.0
    }
}

/// The name in `Running unittests src/lib.rs (target/debug/deps/heirloom_keys-cdd7a93a)`.
fn binary(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if let Some(name) = line.strip_prefix("Doc-tests ") {
        return Some(name);
    }
    let path = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .rsplit_once('(')?
        .1;
    let file = path.rsplit(['/', '\\']).next()?;
    Some(file.rsplit_once('-').map_or(file, |(name, _)| name))
}

fn of_libtest(output: &str) -> Vec<Failure> {
    let mut parts = Parts::default();
    let mut program = "";
    let mut blocks: Vec<(String, Vec<&str>)> = Vec::new();
    let mut open = false;
    for line in output.lines() {
        if let Some(name) = binary(line) {
            program = name;
        }
        if parts.next(line) != Part::Failed {
            open = false;
            continue;
        }
        let header = line
            .strip_prefix("---- ")
            .and_then(|rest| rest.strip_suffix(" stdout ----"));
        if let Some(test) = header {
            blocks.push((format!("{program}: {test}"), Vec::new()));
            open = true;
        } else if let (true, Some((_, lines))) = (open, blocks.last_mut()) {
            lines.push(line);
        }
    }
    blocks
        .into_iter()
        .map(|(name, lines)| Failure {
            name,
            why: digest(&lines),
        })
        .collect()
}

/// What node's `spec` reporter repeats at its end.
fn of_node(output: &str) -> Vec<Failure> {
    let Some((_, list)) = output.rsplit_once("✖ failing tests:") else {
        return Vec::new();
    };
    let mut found: Vec<(String, Vec<&str>)> = Vec::new();
    let mut place = "";
    for line in list.lines() {
        if let Some(at) = line.strip_prefix("test at ") {
            place = at;
        } else if let Some(test) = line.strip_prefix("✖ ") {
            found.push((format!("{place}: {test}"), Vec::new()));
        } else if let Some((_, lines)) = found.last_mut() {
            lines.push(line);
        }
    }
    let failure = |(name, lines): (String, Vec<&str>)| Failure {
        name,
        why: digest(&lines),
    };
    found.into_iter().map(failure).collect()
}

/// Test binaries that a signal ended: no test of theirs says that it failed.
fn of_processes(output: &str) -> Vec<Failure> {
    let lines: Vec<&str> = output.lines().collect();
    let died =
        |line: &str| line.contains("process didn't exit successfully") && line.ends_with(')');
    let found = lines.iter().enumerate().filter(|(_, line)| died(line));
    found
        .map(|(at, line)| Failure {
            name: cut(line.trim()),
            why: digest(&lines[at.saturating_sub(LINES)..at]),
        })
        .collect()
}

/// Of a check that is no test: skips that had to be none, the first error of a compiler, or else the end.
fn of_anything(output: &str) -> Vec<String> {
    let lines: Vec<&str> = output.lines().collect();
    let skipped: Vec<&str> = lines
        .iter()
        .filter(|line| line.starts_with("skipped:"))
        .copied()
        .collect();
    if !skipped.is_empty() {
        return digest(&skipped);
    }
    let error = lines.iter().position(|line| line.starts_with("error"));
    digest(&lines[error.unwrap_or(0)..])
}

/// The panic without the way to it: at most so many lines, from the panic's own where there are more.
fn digest(lines: &[&str]) -> Vec<String> {
    let mut in_backtrace = false;
    let mut kept: Vec<&str> = Vec::new();
    for line in lines {
        let frame = line.trim_start();
        let is_frame = frame.starts_with("at ")
            || frame.split_once(": ").is_some_and(|(number, _)| {
                !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
            });
        in_backtrace = *line == "stack backtrace:" || (in_backtrace && is_frame);
        let is_note = line.starts_with("note: Some details are omitted")
            || line.starts_with("note: run with `RUST_BACKTRACE");
        if !in_backtrace && !is_note && !line.trim().is_empty() {
            kept.push(line);
        }
    }
    let begins = |line: &&str| line.contains("panicked at ") || line.starts_with("error");
    let first = kept.iter().position(begins).unwrap_or(usize::MAX);
    let from = first.min(kept.len().saturating_sub(LINES));
    kept[from..]
        .iter()
        .take(LINES)
        .map(|line| cut(line))
        .collect()
}

fn cut(line: &str) -> String {
    match line.char_indices().nth(WIDTH) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests;
