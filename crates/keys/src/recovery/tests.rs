use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::testing::TestRng;

static_assertions::assert_not_impl_any!(RecoveryKey: Clone, Copy, PartialEq, std::fmt::Display);

fn key(seed: u64) -> RecoveryKey {
    RecoveryKey::generate(&mut TestRng::new(seed))
}

fn text(key: &RecoveryKey) -> String {
    key.expose_groups().expose_secret().to_owned()
}

#[track_caller]
fn assert_exact(text: &str, key: &RecoveryKey) {
    match RecoveryKey::parse(text) {
        RecoveryEntry::Exact(read) => assert_eq!(read.exposed(), key.exposed()),
        other => panic!("{other:?}"),
    }
}

/// Replaces group `index` by another value.
fn with_group(text: &str, index: usize, difference: u16) -> String {
    let mut groups: Vec<_> = text
        .split(' ')
        .map(|group| u16::from_str_radix(group, 16).unwrap())
        .collect();
    groups[index] ^= difference;
    groups
        .iter()
        .map(|group| format!("{group:04x}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn a_key_is_sixteen_groups_of_four_lower_case_digits() {
    let text = text(&key(1));
    assert_eq!(text.len(), 79);
    assert!(
        text.split(' ')
            .all(|group| group.len() == 4 && group.chars().all(|c| "0123456789abcdef".contains(c)))
    );
}

#[test]
fn what_was_written_is_read_back() {
    for seed in 0..200 {
        assert_exact(&text(&key(seed)), &key(seed));
    }
}

#[test]
fn case_spaces_and_dashes_do_not_matter() {
    let (key, text) = (key(2), text(&key(2)));
    assert_exact(&text.to_uppercase(), &key);
    assert_exact(&text.replace(' ', ""), &key);
    assert_exact(&text.replace(' ', "-"), &key);
    assert_exact(
        &format!("\u{feff}  {}\r\n", text.replace(' ', " \u{2013}\u{a0}\t")),
        &key,
    );
}

#[test]
fn letters_that_look_like_digits_are_read_as_digits() {
    let key = key(3);
    let text = text(&key);
    assert!(text.contains('0') && text.contains('1'));
    assert_exact(&text.replace('0', "O").replace('1', "l"), &key);
    assert_exact(&text.replace('0', "o").replace('1', "I"), &key);
}

#[test]
fn a_letter_that_is_a_digit_stays_itself() {
    // 8 typed as b is a wrong group, not a silent 8.
    let text = text(&key(4));
    let at = text.find('8').unwrap();
    let mut typed = text.clone();
    typed.replace_range(at..=at, "b");
    assert!(matches!(
        RecoveryKey::parse(&typed),
        RecoveryEntry::MendedCandidate { .. }
    ));
}

#[test]
fn too_few_or_too_many_digits_are_counted() {
    let text = text(&key(5));
    assert!(matches!(
        RecoveryKey::parse(""),
        RecoveryEntry::BadLength { digits: 0 }
    ));
    assert!(matches!(
        RecoveryKey::parse(&text[1..]),
        RecoveryEntry::BadLength { digits: 63 }
    ));
    assert!(matches!(
        RecoveryKey::parse(&format!("{text}0")),
        RecoveryEntry::BadLength { digits: 65 }
    ));
    assert!(matches!(
        RecoveryKey::parse(&"0".repeat(1 << 20)),
        RecoveryEntry::BadLength { .. }
    ));
}

#[test]
fn a_character_that_is_no_digit_is_named_by_its_place() {
    let text = text(&key(6)).replacen(' ', "x", 1);
    assert!(matches!(
        RecoveryKey::parse(&text),
        RecoveryEntry::BadCharacter { after_digits: 4 }
    ));
}

#[test]
fn a_key_of_zeros_is_refused() {
    assert!(matches!(
        RecoveryKey::parse(&"0".repeat(64)),
        RecoveryEntry::TooManyWrong
    ));
    // One wrong group away from zeros is no key either.
    assert!(matches!(
        RecoveryKey::parse(&format!("{}1234", "0".repeat(60))),
        RecoveryEntry::TooManyWrong
    ));
}

#[test]
fn digits_swapped_inside_any_group_are_mended() {
    let text = text(&key(7));
    for (index, group) in text.split(' ').enumerate() {
        let swapped: String = [1, 0, 2, 3].iter().map(|at| &group[*at..=*at]).collect();
        let typed = text.replacen(group, &swapped, 1);
        match RecoveryKey::parse(&typed) {
            RecoveryEntry::Exact(_) => assert_eq!(typed, text),
            RecoveryEntry::MendedCandidate { group, key: mended } => {
                assert_eq!(
                    (usize::from(group), mended.exposed()),
                    (index + 1, key(7).exposed())
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn debug_shows_no_digit_of_the_key() {
    let key = key(8);
    let shown = format!("{key:?} {:?}", RecoveryKey::parse(&text(&key)));
    assert!(shown.contains("REDACTED"));
    for group in text(&key).split(' ') {
        assert!(!shown.contains(group));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_one_wrong_group_is_mended(seed: u64, index in 0..16_usize, difference in 1..=u16::MAX) {
        let (right, typed) = (key(seed), with_group(&text(&key(seed)), index, difference));
        let RecoveryEntry::MendedCandidate { group, key: mended } = RecoveryKey::parse(&typed) else {
            return Err(TestCaseError::fail("not mended"));
        };
        prop_assert_eq!(usize::from(group), index + 1);
        prop_assert_eq!(mended.exposed(), right.exposed());
    }

    #[test]
    fn two_wrong_groups_never_give_the_key(
        seed: u64, first in 0..16_usize, step in 1..16_usize, a in 1..=u16::MAX, b in 1..=u16::MAX,
    ) {
        let typed = with_group(&with_group(&text(&key(seed)), first, a), (first + step) % 16, b);
        match RecoveryKey::parse(&typed) {
            RecoveryEntry::TooManyWrong => {}
            // A false trail, which the slot refuses.
            RecoveryEntry::MendedCandidate { key: candidate, .. } => prop_assert!(candidate.exposed() != key(seed).exposed()),
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        let _ = RecoveryKey::parse(&text);
    }
}
