use std::path::Path;

use heirloom_vault_api::{Code, Problem};

use super::*;

const RECORD: RecordName = Fixed([5; 16]);
const MINUTE: u64 = 60_000;

fn entries(of: &[(LogKind, u64)]) -> Vec<LogEntry> {
    let numbered = (1..).zip(of);
    numbered
        .map(|(sequence, (kind, time_ms))| LogEntry {
            sequence,
            kind: *kind,
            version: 1,
            time_ms: *time_ms,
        })
        .collect()
}

fn head(entries: &[LogEntry]) -> LogHead {
    let mut head = LogHead::start(&RECORD);
    for entry in entries {
        head.follow(entry).unwrap();
    }
    head
}

/// A server that shows `log` in pages of two, and states `head`.
fn look(seen: &Guesses, head: LogHead, log: &[LogEntry]) -> Result<Guesses, Stopped> {
    walk(
        seen.clone(),
        head,
        Path::new("memory"),
        "https://a",
        |from| {
            let from = usize::try_from(from).unwrap();
            let entries = log.iter().skip(from).take(2).cloned().collect();
            Ok(LogPage { entries })
        },
    )
}

fn said(of: Result<Guesses, Stopped>) -> String {
    match of.unwrap_err() {
        Stopped::Broken(failure) => {
            assert_eq!(failure.exit, Exit::Damage);
            assert!(failure.hint.unwrap().contains("remove memory"));
            failure.message
        }
        Stopped::Silent => panic!("it answered"),
    }
}

#[test]
fn each_guess_is_seen_with_who_made_it_and_whether_it_was_right() {
    let log = entries(&[
        (LogKind::Registered, 0),
        (LogKind::OwnersGuess, 1),
        (LogKind::PendingProved, 2),
        (LogKind::Activated, 3),
        (LogKind::Guess, 10 * MINUTE),
        (LogKind::Guess, 20 * MINUTE),
        (LogKind::Proved, 20 * MINUTE + 9),
    ]);
    let none = Guesses::none(&RECORD);
    let seen = look(&none, head(&log), &log).unwrap();
    assert_eq!(seen.count, 3);
    let shown: Vec<_> = seen
        .newest(5)
        .map(|guess| (guess.time_ms, guess.signed_in, guess.right))
        .collect();
    assert_eq!(
        shown,
        [
            (20 * MINUTE, false, Some(true)),
            (10 * MINUTE, false, Some(false)),
            (1, true, Some(true)),
        ]
    );
    // The next look asks for nothing that was seen.
    let again = walk(
        seen.clone(),
        head(&log),
        Path::new("x"),
        "https://a",
        |_| panic!("everything was seen"),
    );
    assert_eq!(again.unwrap(), seen);
}

#[test]
fn who_mistypes_and_goes_on_was_right_with_the_last_one() {
    let log = entries(&[
        (LogKind::Guess, MINUTE),
        (LogKind::Guess, MINUTE + 1),
        (LogKind::Guess, MINUTE + 2),
        (LogKind::Proved, MINUTE + 3),
    ]);
    let seen = look(&Guesses::none(&RECORD), head(&log), &log).unwrap();
    let right: Vec<_> = seen.newest(5).map(|guess| guess.right).collect();
    assert_eq!(right, [Some(true), Some(false), Some(false)]);
}

#[test]
fn which_of_several_open_guesses_was_right_is_not_made_up() {
    let log = entries(&[
        (LogKind::Guess, MINUTE),
        (LogKind::OwnersGuess, 5 * MINUTE),
        (LogKind::Guess, 5 * MINUTE + 1),
        (LogKind::Proved, 6 * MINUTE),
    ]);
    let seen = look(&Guesses::none(&RECORD), head(&log), &log).unwrap();
    let right: Vec<_> = seen.newest(5).map(|guess| guess.right).collect();
    assert_eq!(right, [None, None, Some(false)]);
}

#[test]
fn a_guess_that_was_seen_cannot_be_taken_back_or_changed() {
    let kinds = [
        (LogKind::Registered, 0),
        (LogKind::Guess, 1),
        (LogKind::Guess, 2),
        (LogKind::Guess, 3),
    ];
    let log = entries(&kinds);
    let seen = look(&Guesses::none(&RECORD), head(&log), &log).unwrap();
    let shorter = log.get(..3).unwrap();
    assert!(said(look(&seen, head(shorter), shorter)).ends_with("that this computer has seen"));
    // Another history of the same length, and a longer one.
    let mut other = kinds.to_vec();
    other[2].0 = LogKind::OwnersGuess;
    let forged = entries(&other);
    assert!(said(look(&seen, head(&forged), &forged)).ends_with("entries were changed"));
    other.push((LogKind::Proved, 4));
    let forged = entries(&other);
    assert!(said(look(&seen, head(&forged), &forged)).ends_with("entries were changed"));
    // The honest one goes on.
    let mut longer = kinds.to_vec();
    longer.push((LogKind::Guess, 5));
    let longer = entries(&longer);
    assert_eq!(look(&seen, head(&longer), &longer).unwrap().count, 4);
}

#[test]
fn a_log_that_does_not_lead_to_its_head_is_the_servers_fault_and_silence_is_not() {
    let log = entries(&[
        (LogKind::Registered, 0),
        (LogKind::Guess, 1),
        (LogKind::Guess, 2),
    ]);
    let none = Guesses::none(&RECORD);
    let left_out: Vec<_> = log
        .iter()
        .take(1)
        .chain(log.iter().skip(2))
        .cloned()
        .collect();
    assert!(said(look(&none, head(&log), &left_out)).ends_with("entries are missing"));
    let cut = log.get(..2).unwrap();
    assert!(said(look(&none, head(&log), cut)).ends_with("entries are missing"));
    let wrong = LogHead {
        length: 3,
        hash: Fixed([0; 32]),
    };
    assert!(said(look(&none, wrong, &log)).ends_with("entries were changed"));
    let nonsense = |_| Err(CallError::bad("x"));
    let stopped = walk(
        none.clone(),
        head(&log),
        Path::new("memory"),
        "https://a",
        nonsense,
    );
    assert!(said(stopped).ends_with("it cannot be read"));
    let busy = |_| {
        Err(CallError::Refused(Box::new(Problem::from(
            Code::Unavailable,
        ))))
    };
    let stopped = walk(none, head(&log), Path::new("x"), "https://a", busy);
    assert!(matches!(stopped, Err(Stopped::Silent)));
}

#[test]
fn a_log_without_an_end_is_given_up() {
    let none = Guesses::none(&RECORD);
    let endless = LogHead {
        length: u64::MAX,
        hash: Fixed([0; 32]),
    };
    let stopped = walk(none, endless, Path::new("memory"), "https://a", |from| {
        let entries = vec![LogEntry {
            sequence: from + 1,
            kind: LogKind::Guess,
            version: 1,
            time_ms: from,
        }];
        Ok(LogPage { entries })
    });
    assert!(said(stopped).ends_with("it has no end"));
}
