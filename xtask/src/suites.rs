//! The suites of `cargo xtask test`, what each of them runs, and the one line at the end.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, bail};

use crate::command::{Cmd, Ran, target};
use crate::counts::Counts;
use crate::setup::{self, Need};
use crate::{dependencies, failures, fuzz, licences, openapi, passkey, readme, wasm};

/// Which suites, and how long the random ones run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Run the full counts of the random suites instead of a sample: kills, flips, fuzz minutes.
    #[arg(long)]
    long: bool,
    /// Run only this suite; may be given more than once.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Repeat the random suites of an earlier run.
    #[arg(long)]
    seed: Option<u64>,
    /// Name the suites and stop.
    #[arg(long)]
    list: bool,
}

impl Options {
    /// The named suites, the short way.
    pub(crate) fn only(names: &[&str]) -> Self {
        Self {
            long: false,
            only: names.iter().map(ToString::to_string).collect(),
            seed: None,
            list: false,
        }
    }
}

/// What a suite knows of the run it is part of.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) long: bool,
    pub(crate) seed: u64,
}

/// What a suite found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) counts: Counts,
    pub(crate) output: String,
}

impl Outcome {
    /// One check, with what it printed.
    pub(crate) fn one(ran: Ran) -> Self {
        Self {
            counts: Counts::one(ran.success),
            output: ran.output,
        }
    }

    fn tests(ran: Ran) -> Self {
        Self {
            counts: Counts::of_tests(&ran.output, ran.success),
            output: ran.output,
        }
    }

    fn and(mut self, other: &Self) -> Self {
        self.counts += other.counts;
        self.output.push_str(&other.output);
        self
    }
}

struct Suite {
    name: &'static str,
    about: &'static str,
    needs: &'static [Need],
    run: fn(&Context) -> Result<Outcome>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "format",
        about: "rustfmt",
        needs: &[],
        run: |_| Ok(Outcome::one(Cmd::cargo(["fmt", "--all", "--check"]).run()?)),
    },
    Suite {
        name: "deps",
        about: "direction, licences and sources of the dependencies",
        needs: &[],
        run: deps,
    },
    Suite {
        name: "lints",
        about: "clippy, warnings are errors",
        needs: &[Need::Cc],
        run: lints,
    },
    Suite {
        name: "unit",
        about: "unit, property, integration and documentation tests",
        needs: &[Need::Cc],
        run: unit,
    },
    Suite {
        name: "vectors",
        about: "test vectors of every primitive and byte layout",
        needs: &[Need::Cc],
        run: |_| filtered("vectors"),
    },
    Suite {
        name: "fuzz-corpus",
        about: "the fuzz corpora, replayed by ordinary tests",
        needs: &[Need::Cc],
        run: |_| filtered("fuzz_corpus"),
    },
    Suite {
        name: "docs",
        about: "rustdoc, warnings are errors",
        needs: &[Need::Cc],
        run: docs,
    },
    Suite {
        name: "wasm",
        about: "the client crates build for wasm32-unknown-unknown",
        needs: &[Need::Cc, Need::Wasm],
        run: |_| wasm::run(),
    },
    Suite {
        name: "cli",
        about: "sessions and errors of the release program",
        needs: &[Need::Cc],
        run: sessions,
    },
    Suite {
        name: "roundtrip",
        about: "every source, backed up, restored and exported",
        needs: &[Need::Cc],
        run: |c| program(c, &["roundtrip"]),
    },
    Suite {
        name: "crash",
        about: "kills at store writes and at random instants",
        needs: &[Need::Cc],
        run: |c| program(c, &["crash"]),
    },
    Suite {
        name: "hostile",
        about: "flipped, cut, swapped, deleted and replayed objects",
        needs: &[Need::Cc],
        run: |c| program(c, &["hostile-program"]),
    },
    Suite {
        name: "reader",
        about: "a reader in Python, written from docs/format.md",
        needs: &[Need::Cc, Need::Python],
        run: |c| program(c, &["reader"]),
    },
    Suite {
        name: "vault",
        about: "the release program's server against its OpenAPI document, by schemathesis",
        needs: &[Need::Cc, Need::Python, Need::Schemathesis],
        run: |c| openapi::run(c.long, c.seed),
    },
    Suite {
        name: "passkey",
        about: "passkeys through the release program in a real Chromium",
        needs: &[Need::Cc, Need::Python, Need::Browser],
        run: |_| passkey::run(),
    },
    Suite {
        name: "fuzz",
        about: "ten minutes of each fuzz target (--long only)",
        needs: &[Need::Cc],
        run: |_| fuzz::suite(),
    },
    Suite {
        name: "readme",
        about: "the README's first command in a fresh clone",
        needs: &[Need::Cc],
        run: |_| readme::run(),
    },
];

/// Runs the suites; true when nothing failed.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.list {
        for suite in SUITES {
            println!("{:<12} {}", suite.name, suite.about);
        }
        return Ok(true);
    }
    let chosen = choose(options)?;
    let strict = std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_some_and(|v| v == "1");
    let context = Context {
        long: options.long,
        seed: options.seed.unwrap_or_else(fresh_seed),
    };
    println!(
        "seed {} (repeat with --seed {0}){}",
        context.seed,
        if context.long {
            ", full counts"
        } else {
            ", a sample of the random suites"
        }
    );
    let needs: BTreeSet<Need> = chosen
        .iter()
        .flat_map(|suite| suite.needs)
        .copied()
        .collect();
    let missing = setup::install(&needs);
    let mut total = Counts::default();
    let mut failed = Vec::new();
    for suite in chosen {
        print!("{:<12} ", suite.name);
        std::io::stdout().flush()?;
        let begun = Instant::now();
        let lacking: Vec<&str> = suite
            .needs
            .iter()
            .filter_map(|need| missing.get(need))
            .map(String::as_str)
            .collect();
        let mut outcome = if lacking.is_empty() {
            (suite.run)(&context).unwrap_or_else(|error| Outcome {
                counts: Counts::one(false),
                output: format!("{error:#}\n"),
            })
        } else {
            Outcome {
                counts: Counts::skip(),
                output: format!("skipped: {}\n", lacking.join("; ")),
            }
        };
        if outcome.counts == Counts::default() {
            outcome.counts = Counts::one(false);
            outcome.output.push_str("this suite ran no test\n");
        }
        if strict {
            outcome.counts.failed += std::mem::take(&mut outcome.counts.skipped);
        }
        report(&outcome, begun.elapsed());
        if outcome.counts.failed > 0 {
            failed.extend(failures::of(suite.name, &outcome.output));
        }
        total += outcome.counts;
    }
    // Once more and in short, for logs that were cut before here.
    print!("{}", failures::section(&failed));
    println!(
        "passed {}, failed {}, skipped {}",
        total.passed, total.failed, total.skipped
    );
    Ok(total.failed == 0)
}

fn choose(options: &Options) -> Result<Vec<&'static Suite>> {
    for name in &options.only {
        if !SUITES.iter().any(|suite| suite.name == name) {
            let names: Vec<&str> = SUITES.iter().map(|suite| suite.name).collect();
            bail!(
                "there is no suite called {name}; there are {}",
                names.join(", ")
            );
        }
    }
    let wanted = |suite: &&Suite| {
        if options.only.is_empty() {
            options.long || suite.name != "fuzz"
        } else {
            options.only.iter().any(|name| name == suite.name)
        }
    };
    Ok(SUITES.iter().filter(wanted).collect())
}

fn fresh_seed() -> u64 {
    SystemTime::UNIX_EPOCH
        .elapsed()
        .map_or(1, |now| now.as_secs())
}

fn report(outcome: &Outcome, took: Duration) {
    let Counts {
        passed,
        failed,
        skipped,
    } = outcome.counts;
    let word = if failed > 0 { "FAILED" } else { "ok" };
    let ran = failures::seconds_in_tests(&outcome.output);
    let of_it = if ran >= 0.1 {
        format!(" ({ran:.0} s of it in tests)")
    } else {
        String::new()
    };
    println!(
        "{word:<6} {:>7.1} s  {passed} passed, {failed} failed, {skipped} skipped{of_it}",
        took.as_secs_f64()
    );
    if failed > 0 {
        let silent = |line: &&str| {
            !SILENT
                .iter()
                .any(|start| line.trim_start().starts_with(start))
        };
        for line in failures::without_passed(&outcome.output).filter(silent) {
            println!("{line}");
        }
    } else if skipped > 0 {
        let reasons: BTreeSet<&str> = outcome
            .output
            .lines()
            .filter(|line| line.starts_with("skipped:"))
            .collect();
        for reason in reasons {
            println!("             {reason}");
        }
    }
}

/// Lines that libtest and cargo print about what went well.
const SILENT: &[&str] = &[
    "running 0 tests",
    "successes:",
    "test result: ok. 0 passed",
    "Compiling ",
    "Running ",
    "Finished ",
];

fn lints(_: &Context) -> Result<Outcome> {
    Ok(Outcome::one(
        Cmd::cargo(["clippy", "--workspace", "--all-targets", "--quiet"])
            .args(WITH_SOFTWARE)
            .args(["--", "-D", "warnings"])
            .run()?,
    ))
}

fn docs(_: &Context) -> Result<Outcome> {
    // With the examples, for then cargo takes the features that the lints were checked with.
    let doc = Cmd::cargo(["doc", "--no-deps", "--workspace", "--quiet"])
        .args(["--lib", "--bins", "--examples"])
        .args(WITH_SOFTWARE)
        .env("RUSTDOCFLAGS", "-D warnings");
    Ok(Outcome::one(doc.run()?))
}

fn deps(context: &Context) -> Result<Outcome> {
    let metadata = dependencies::metadata()?;
    let mut outcome = dependencies::check(&metadata)?.and(&licences::check(&metadata)?);
    if context.long && !crate::command::on_path("cargo-deny") {
        outcome = outcome.and(&Outcome::one(
            Cmd::cargo(["install", "cargo-deny", "--locked"]).run()?,
        ));
    }
    if crate::command::on_path("cargo-deny") {
        outcome = outcome.and(&Outcome::one(
            Cmd::cargo(["deny", "check", "bans", "licenses", "sources"]).run()?,
        ));
    }
    Ok(outcome)
}

/// Everything but the program's own tests, which want the release profile.
fn unit(context: &Context) -> Result<Outcome> {
    let skips = [
        "--",
        "--show-output",
        "--skip",
        "vectors",
        "--skip",
        "fuzz_corpus",
    ];
    setup::wish();
    let tests = with_seed(Cmd::cargo(["test", "--no-fail-fast"]), context)
        .args(workspace_tests()?)
        .args(skips)
        .run()?;
    let examples = Cmd::cargo(["test", "--workspace", "--doc", "--no-fail-fast"])
        .args(WITH_SOFTWARE)
        .run()?;
    Ok(Outcome::tests(tests).and(&Outcome::tests(examples)))
}

/// Tests of the whole workspace whose path names `word`.
fn filtered(word: &str) -> Result<Outcome> {
    let ran = Cmd::cargo(["test", "--no-fail-fast"])
        .args(workspace_tests()?)
        .args([word, "--", "--show-output"])
        .run()?;
    Ok(Outcome::tests(ran))
}

/// With the authenticator in software, which only tests have. Every development build takes these features and the whole
/// workspace, whatever it wants of it: with others, cargo would build most dependencies again.
pub(crate) const WITH_SOFTWARE: [&str; 2] = [
    "--features",
    "heirloom/software-authenticator,heirloom-ceremony/software-authenticator",
];

/// All tests but the program's own, which want its release build.
fn workspace_tests() -> Result<Vec<String>> {
    let mut args = ["--workspace", "--lib", "--bins"]
        .map(String::from)
        .to_vec();
    args.extend(WITH_SOFTWARE.map(String::from));
    for test in
        dependencies::integration_tests(&dependencies::metadata()?, |name| name != "heirloom")?
    {
        args.extend(["--test".to_owned(), test]);
    }
    Ok(args)
}

/// Integration tests of the program that have a suite of their own.
const OWN_SUITES: &[&str] = &["roundtrip", "crash", "hostile-program", "reader"];

/// Every other integration test of the program.
fn sessions(context: &Context) -> Result<Outcome> {
    let all =
        dependencies::integration_tests(&dependencies::metadata()?, |name| name == "heirloom")?;
    let others: Vec<&str> = all
        .iter()
        .map(String::as_str)
        .filter(|name| !OWN_SUITES.contains(name))
        .collect();
    program(context, &others)
}

/// Integration tests of the program, against its release build: only the program is built for release, its tests are the
/// development build's.
fn program(context: &Context, tests: &[&str]) -> Result<Outcome> {
    let built = build_release()?;
    if !built.success {
        return Ok(Outcome::one(built));
    }
    let command = Cmd::cargo(["test", "--workspace", "--no-fail-fast"])
        .args(WITH_SOFTWARE)
        .args(tests.iter().flat_map(|test| ["--test", test]));
    let command = with_seed(command, context)
        .env("HEIRLOOM_PROGRAM", release_program()?)
        .env("HEIRLOOM_PYTHON", setup::python());
    Ok(Outcome::tests(command.args(["--", "--show-output"]).run()?))
}

/// Builds the program as the suite of the README's first command does, so that it is built once.
pub(crate) fn build_release() -> Result<Ran> {
    quickly_linked(Cmd::cargo(["build", "--release", "--bin", "heirloom"])).run()
}

/// A release build of the suites: optimised as any other, but not once more as a whole. That takes minutes, and changes
/// how fast the program is, not what it does.
pub(crate) fn quickly_linked(command: Cmd) -> Cmd {
    command
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
}

/// What [`build_release`] leaves.
pub(crate) fn release_program() -> Result<PathBuf> {
    Ok(std::path::absolute(target().join("release/heirloom"))?)
}

fn with_seed(command: Cmd, context: &Context) -> Cmd {
    let command = command.env("HEIRLOOM_SEED", context.seed.to_string());
    if context.long {
        command.env("HEIRLOOM_LONG", "1")
    } else {
        command.without("HEIRLOOM_LONG")
    }
}
