use super::*;

const LIBTEST: &str = "
     Running unittests src/lib.rs (target/debug/deps/heirloom_keys-cdd7a93af6807bfc)

running 3 tests
test a::passes ... ok
test a::walks ... FAILED
test b::too ... FAILED

successes:

---- a::passes stdout ----
thread 'a::passes' panicked at somewhere, as it should
the recovery key is long

successes:
    a::passes

failures:

---- a::walks stdout ----
HEIRLOOM_SEED=7
thread 'a::walks' (81) panicked at crates/keys/src/walk.rs:100:5:
never occurred: [\"revoke\"]
stack backtrace:
   0: __rustc::rust_begin_unwind
             at /rustc/abc/library/std/src/panicking.rs:697:5
   1: core::panicking::panic_fmt
note: Some details are omitted, run with `RUST_BACKTRACE=full` for a verbose backtrace.

---- b::too stdout ----
no panic, but words

failures:
    a::walks
    b::too

test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 6 filtered out; finished in 40.05s

     Running tests/backup.rs (target/debug/deps/backup-0930bbddb1a1f93e)
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s
error: 1 target failed:
";

#[test]
fn failed_tests_are_named_with_their_binary_and_their_panic_without_its_backtrace() {
    let found = of("unit", LIBTEST);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].name, "unit: heirloom_keys: a::walks");
    assert_eq!(
        found[0].why,
        [
            "HEIRLOOM_SEED=7",
            "thread 'a::walks' (81) panicked at crates/keys/src/walk.rs:100:5:",
            "never occurred: [\"revoke\"]"
        ]
    );
    assert_eq!(found[1].why, ["no panic, but words"]);
}

#[test]
fn what_passed_tests_printed_is_left_out_and_failures_are_not() {
    let left: Vec<&str> = without_passed(LIBTEST).collect();
    let text = left.join("\n");
    assert!(
        !text.contains("recovery key") && !text.contains("passes"),
        "{text}"
    );
    assert!(text.contains("never occurred") && text.contains("a::walks"));
    assert!(text.contains("Running tests/backup.rs"));
    assert_eq!(
        without_passed("✔ it opens (3ms)\n✖ it does not (3ms)").count(),
        1
    );
}

#[test]
fn a_panic_with_many_lines_is_told_from_its_beginning() {
    let many: String = (0..100).fold(String::new(), |text, n| format!("{text}line {n}\n"));
    let output = format!(
        "failures:\n\n---- t stdout ----\n{many}thread 't' panicked at x.rs:1:1:\nleft and right\n{many}\nfailures:\n    t\n"
    );
    let why = &of("unit", &output)[0].why;
    assert_eq!(why.len(), LINES);
    assert_eq!(why[1], "left and right");
    let before = format!(
        "failures:\n\n---- t stdout ----\n{many}thread 't' panicked at x.rs:1:1:\nshort\n\nfailures:\n    t\n"
    );
    let why = &of("unit", &before)[0].why;
    assert_eq!((why.len(), &*why[LINES - 1]), (LINES, "short"));
}

#[test]
fn long_lines_are_cut_at_a_character() {
    let line = "ö".repeat(WIDTH * 2);
    assert_eq!(cut(&line).chars().count(), WIDTH + 1);
}

const NODE: &str = "
▶ a passkey is saved
  ✔ with kind prf (900ms)
  ✖ with X25519 (1200.5ms)
    AssertionError [ERR_ASSERTION]: in place
✖ a passkey is saved (2200ms)
ℹ tests 2
ℹ fail 1

✖ failing tests:

test at ceremony.test.mjs:117:3
✖ with X25519 (1200.5ms)
  AssertionError [ERR_ASSERTION]: Expected values to be strictly deep-equal:
  + actual - expected

      at TestContext.<anonymous> (file:///ceremony.test.mjs:125:12)

test at leaks.test.mjs:173:1
✖ the search finds (1278ms)
  TimeoutError
";

#[test]
fn what_node_says_of_failed_tests_is_told_with_their_place() {
    let found = of("passkey", NODE);
    let names: Vec<&str> = found.iter().map(|failure| &*failure.name).collect();
    assert_eq!(
        names,
        [
            "passkey: ceremony.test.mjs:117:3: with X25519 (1200.5ms)",
            "passkey: leaks.test.mjs:173:1: the search finds (1278ms)"
        ]
    );
    assert!(found[0].why[0].contains("strictly deep-equal"));
    assert!(found[0].why.iter().any(|line| line.contains("125:12")));
    assert_eq!(found[1].why, ["  TimeoutError"]);
}

#[test]
fn a_binary_that_a_signal_ended_is_told_with_what_came_before() {
    let output = "running 1 test\nthread 'main' has overflowed its stack\nerror: test failed, to rerun pass `-p x`\n\nCaused by:\n  process didn't exit successfully: `/x/y-1 --show-output` (signal: 6, SIGABRT: process abort signal)\n";
    let found = of("unit", output);
    assert_eq!(found.len(), 1);
    assert!(found[0].name.contains("SIGABRT"));
    assert!(
        found[0]
            .why
            .iter()
            .any(|line| line.contains("overflowed its stack"))
    );
}

#[test]
fn a_suite_that_did_not_compile_tells_its_first_error_and_one_without_tests_its_end() {
    let output = "warning: unused\nerror[E0425]: cannot find value `x`\n --> src/lib.rs:1:1\nerror: could not compile\n";
    assert_eq!(
        of("lints", output)[0].why[0],
        "error[E0425]: cannot find value `x`"
    );
    let many: String = (0..100).fold(String::new(), |text, n| format!("{text}diff {n}\n"));
    let why = &of("format", &many)[0].why;
    assert_eq!((why.len(), &*why[LINES - 1]), (LINES, "diff 99"));
    assert_eq!(of("readme", "").len(), 1);
}

#[test]
fn skips_that_had_to_be_none_are_told() {
    let output = "---- a stdout ----\nskipped: ../shared is absent\n";
    assert_eq!(of("unit", output)[0].why, ["skipped: ../shared is absent"]);
}

#[test]
fn the_section_names_all_and_is_empty_when_nothing_failed() {
    assert_eq!(section(&[]), "");
    let one = Failure {
        name: "unit: x: t".into(),
        why: vec!["because".into()],
    };
    let text = section(&vec![one; WHOLE + 5]);
    assert_eq!(text.matches("* unit: x: t\n").count(), WHOLE + 5);
    assert_eq!(text.matches("    because\n").count(), WHOLE);
}

#[test]
fn the_time_in_tests_is_what_their_binaries_say() {
    assert!((seconds_in_tests(LIBTEST) - 41.25).abs() < 1e-6);
    assert!(seconds_in_tests("nothing").abs() < 1e-6);
}
