//! Passkeys in a real Chromium: the tests in `testdata/passkey`, with the release program.

use std::fs;
use std::path::absolute;

use anyhow::{Context as _, Result, bail};

use crate::command::{Cmd, target};
use crate::counts::Counts;
use crate::setup;
use crate::suites::{Outcome, WITH_SOFTWARE, build_release, release_program};

/// Builds what the tests drive, and runs them. None of them is random: `--long` changes nothing.
pub(crate) fn run() -> Result<Outcome> {
    let example = Cmd::cargo(["build", "--workspace", "--example", "ceremony"]).args(WITH_SOFTWARE);
    for built in [build_release()?, example.run()?] {
        if !built.success {
            return Ok(Outcome::one(built));
        }
    }
    let Some(chromium) = setup::chromium() else {
        bail!("there is no Chromium")
    };
    let report = target().join("tmp/passkey.tap");
    fs::create_dir_all(target().join("tmp"))?;
    let tests = Cmd::new("node")
        .args(["--test", "--test-concurrency=1"])
        .args(["--test-reporter=spec", "--test-reporter-destination=stdout"])
        .args(["--test-reporter=tap", "--test-reporter-destination"])
        .args([&report])
        .dir(&setup::browser_tests())
        .env("HEIRLOOM_PROGRAM", release_program()?)
        .env(
            "HEIRLOOM_CEREMONY",
            absolute(target().join("debug/examples/ceremony"))?,
        )
        .env("HEIRLOOM_CHROMIUM", chromium)
        .env("HEIRLOOM_PYTHON", setup::python());
    let ran = tests.run()?;
    let report = fs::read_to_string(&report).context("read what node reported")?;
    Ok(Outcome {
        counts: counts(&report, ran.success),
        output: ran.output,
    })
}

/// From the last lines of a report in the Test Anything Protocol, as node writes it.
///
/// A run that failed without a failed test (a file that could not be loaded, say) counts as one failure.
fn counts(report: &str, success: bool) -> Counts {
    let number = |word: &str| {
        report
            .lines()
            .filter_map(|line| {
                line.strip_prefix("# ")?
                    .strip_prefix(word)?
                    .strip_prefix(' ')
            })
            .filter_map(|number| number.trim().parse::<usize>().ok())
            .next_back()
            .unwrap_or(0)
    };
    let failed = number("fail") + number("cancelled");
    Counts {
        passed: number("pass"),
        failed: if success { failed } else { failed.max(1) },
        skipped: number("skipped") + number("todo"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "TAP version 13
# Subtest: pass 7
ok 1 - pass 7
1..1
# tests 42
# suites 4
# pass 38
# fail 1
# cancelled 1
# skipped 2
# todo 0
# duration_ms 45167.147469
";

    #[test]
    fn what_node_counts_is_what_we_count_and_cancelled_is_failed() {
        let expected = Counts {
            passed: 38,
            failed: 2,
            skipped: 2,
        };
        assert_eq!(counts(REPORT, false), expected);
    }

    #[test]
    fn a_run_that_failed_without_a_failed_test_failed() {
        assert_eq!(counts("TAP version 13\n# pass 3\n", false).failed, 1);
        assert_eq!(counts("", true), Counts::default());
    }
}
