use proptest::prelude::*;

use super::*;
use crate::Fixed;

fn guess() -> GuessStart {
    GuessStart {
        record: Fixed([1; 16]),
        suite: 1,
        which: Which::Active,
        ke1: Fixed([2; 96]),
    }
}

#[test]
fn a_request_comes_back_from_its_json() {
    let json = serde_json::to_string(&guess()).unwrap();
    assert_eq!(serde_json::from_str::<GuessStart>(&json).unwrap(), guess());
}

#[test]
fn an_unknown_member_is_refused() {
    let mut json = serde_json::to_value(guess()).unwrap();
    json["guesses"] = 0.into();
    assert!(serde_json::from_value::<GuessStart>(json).is_err());
}

#[test]
fn a_missing_member_is_refused() {
    let mut json = serde_json::to_value(guess()).unwrap();
    json.as_object_mut().unwrap().remove("which");
    assert!(serde_json::from_value::<GuessStart>(json).is_err());
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    let json = serde_json::to_string(&guess()).unwrap();
    let twice = json.replacen('{', "{\"suite\":1,", 1);
    assert!(serde_json::from_str::<GuessStart>(&twice).is_err());
}

#[test]
fn names_of_objects_cannot_leave_their_folder() {
    for name in [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        "..",
        "a/../b",
        "./a",
        ".hidden",
        "a/.b",
        "A",
        "a b",
        "a\\b",
        "a\0b",
        "é",
        "a:b",
        "1/2/3/4/5/6/7/8/9",
    ] {
        assert!(BlobName::try_from(name.to_owned()).is_err(), "{name:?}");
    }
    for name in ["a", "packs/0f/abc", "config", "keyring/00000001", "a.b-c_d"] {
        assert!(BlobName::try_from(name.to_owned()).is_ok(), "{name:?}");
    }
    assert!(BlobName::try_from("a".repeat(201)).is_err());
}

#[test]
fn every_kind_in_the_log_has_a_number_of_its_own() {
    let kinds: Vec<_> = (0..=u8::MAX).filter_map(LogKind::from_number).collect();
    assert_eq!(kinds.len(), 8);
    for kind in kinds {
        assert_eq!(LogKind::from_number(kind.number()), Some(kind));
    }
}

#[test]
fn altering_an_entry_alters_its_hash() {
    let entry = LogEntry {
        sequence: 1,
        kind: LogKind::Guess,
        version: 1,
        time_ms: 5,
    };
    let before = log_start(&Fixed([1; 16]));
    let hash = entry.hash(&before);
    for other in [
        LogEntry {
            sequence: 2,
            ..entry.clone()
        },
        LogEntry {
            kind: LogKind::Proved,
            ..entry.clone()
        },
        LogEntry {
            version: 2,
            ..entry.clone()
        },
        LogEntry {
            time_ms: 6,
            ..entry.clone()
        },
    ] {
        assert_ne!(other.hash(&before), hash);
    }
    assert_ne!(entry.hash(&log_start(&Fixed([2; 16]))), hash);
}

proptest! {
    #[test]
    fn no_text_makes_a_parser_panic(text in ".{0,400}") {
        let _ = serde_json::from_str::<GuessStart>(&text);
        let _ = serde_json::from_str::<Proof>(&text);
        let _ = serde_json::from_str::<RegistrationFinish>(&text);
        let _ = serde_json::from_str::<WitnessPut>(&text);
        let _ = BlobName::try_from(text.clone());
        let _ = Fixed::<16>::parse(&text);
    }
}
