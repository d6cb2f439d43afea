//! Counts of tests, read from what libtest prints.

use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) skipped: usize,
}

impl Counts {
    /// One check that is either right or wrong.
    pub(crate) fn one(right: bool) -> Self {
        Self {
            passed: usize::from(right),
            failed: usize::from(!right),
            skipped: 0,
        }
    }

    /// One check that could not be made.
    pub(crate) fn skip() -> Self {
        Self {
            skipped: 1,
            ..Self::default()
        }
    }

    /// From the output of `cargo test … -- --show-output`.
    ///
    /// A test that printed a line beginning with `skipped:` counts as skipped, as does an ignored one.
    /// A run that failed without a failed test (it did not compile, say) counts as one failure.
    pub(crate) fn of_tests(output: &str, success: bool) -> Self {
        let mut counts = Self::default();
        // A test prints into its own block; several lines of one test are one skip.
        let mut fresh = true;
        let mut printed = 0;
        for line in output.lines() {
            if let Some(result) = line.strip_prefix("test result: ") {
                counts += Self::of_result(result);
            } else if line.starts_with("---- ") {
                fresh = true;
            } else if fresh && line.starts_with("skipped:") {
                fresh = false;
                printed += 1;
            }
        }
        counts.passed = counts.passed.saturating_sub(printed);
        counts.skipped += printed;
        if !success && counts.failed == 0 {
            counts.failed = 1;
        }
        counts
    }

    /// From `ok. 12 passed; 0 failed; 1 ignored; 0 measured; …`.
    fn of_result(line: &str) -> Self {
        let number = |word: &str| {
            line.split([';', '.'])
                .filter_map(|part| part.trim().split_once(' '))
                .find(|(_, rest)| *rest == word)
                .and_then(|(number, _)| number.parse().ok())
                .unwrap_or(0)
        };
        Self {
            passed: number("passed"),
            failed: number("failed"),
            skipped: number("ignored"),
        }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_BINARIES: &str = "
running 3 tests
test a ... ok
test b ... ok
test c ... ignored

successes:

---- a stdout ----
skipped: ../shared is absent
skipped: ../shared is absent

---- b stdout ----
read 12 chats

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.02s

running 2 tests
test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.50s
";

    #[test]
    fn results_of_all_binaries_are_added_and_skips_leave_the_passed() {
        let counts = Counts::of_tests(TWO_BINARIES, false);
        assert_eq!(
            counts,
            Counts {
                passed: 2,
                failed: 1,
                skipped: 2
            }
        );
    }

    #[test]
    fn a_run_that_did_not_compile_is_a_failure() {
        assert_eq!(
            Counts::of_tests("error: could not compile", false),
            Counts {
                passed: 0,
                failed: 1,
                skipped: 0
            }
        );
    }

    #[test]
    fn a_run_without_tests_passes_nothing() {
        assert_eq!(
            Counts::of_tests("running 0 tests\n", true),
            Counts::default()
        );
    }
}
