//! The recovery key: 64 hex digits that a person writes down. `docs/keyring.md`, section 8.

mod parity;

use rand_core::CryptoRng;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};
use zeroize::Zeroizing;

use self::parity::{DATA_GROUPS, GROUPS, Reading};

/// How many digits a person writes down.
pub const RECOVERY_KEY_DIGITS: usize = GROUPS * DIGITS_PER_GROUP;

const DIGITS_PER_GROUP: usize = 4;
const SECRET_BYTES: usize = DATA_GROUPS * 2;
const MAX_ENTRY_BYTES: usize = 4096;

/// 224 random bits, written down as 14 groups of four hex digits with two groups of parity behind.
///
/// Never all zeros. The parity is for reading only and never enters a derivation.
#[derive(Debug)]
pub struct RecoveryKey(SecretBox<[u8; SECRET_BYTES]>);

/// What a typed recovery key turned out to be.
#[derive(Debug)]
#[non_exhaustive]
pub enum RecoveryEntry {
    /// Every group agrees with the parity.
    Exact(RecoveryKey),
    /// One group was wrong, or more were and this is a false trail: it counts as mended only once
    /// the key has opened its slot; until then say nothing, and if it opens none say
    /// "at least two groups are wrong".
    MendedCandidate {
        /// The group that differs, counted from 1.
        group: u8,
        /// The key with that group replaced.
        key: RecoveryKey,
    },
    /// At least two groups are wrong.
    TooManyWrong,
    /// There are not 64 digits.
    BadLength {
        /// How many there are.
        digits: usize,
    },
    /// Something is neither a digit nor a separator.
    BadCharacter {
        /// After how many digits it stands.
        after_digits: usize,
    },
}

impl RecoveryKey {
    /// Draws a fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Self(SecretBox::default());
        while key.is_zero() {
            rng.fill_bytes(key.0.expose_secret_mut());
        }
        key
    }

    /// Reads what a person typed: any case, spaces and dashes anywhere, `O` for 0, `I` or `l` for 1.
    ///
    /// The caller wipes `text`.
    pub fn parse(text: &str) -> RecoveryEntry {
        let mut groups = Zeroizing::new([0_u16; GROUPS]);
        let mut digits = 0_usize;
        if text.len() > MAX_ENTRY_BYTES {
            return RecoveryEntry::BadLength { digits: text.len() };
        }
        for character in text.chars().filter(|character| !is_separator(*character)) {
            let Some(digit) = digit(character) else {
                return RecoveryEntry::BadCharacter {
                    after_digits: digits,
                };
            };
            if let Some(group) = groups.get_mut(digits / DIGITS_PER_GROUP) {
                *group = (*group << 4) | digit;
            }
            digits += 1;
        }
        if digits != RECOVERY_KEY_DIGITS {
            return RecoveryEntry::BadLength { digits };
        }
        let reading = parity::check(&mut groups);
        let key = Self::from_groups(&groups);
        match reading {
            // Nothing but zeros has the right parity, and is a key that nobody drew.
            _ if key.is_zero() => RecoveryEntry::TooManyWrong,
            Reading::Exact => RecoveryEntry::Exact(key),
            Reading::Mended { group } => RecoveryEntry::MendedCandidate { group, key },
            Reading::TooManyWrong => RecoveryEntry::TooManyWrong,
        }
    }

    /// The 16 groups with spaces between, lower case: to be shown to its owner once, on purpose.
    pub fn expose_groups(&self) -> SecretString {
        let mut data = Zeroizing::new([0_u16; DATA_GROUPS]);
        for (group, bytes) in data.iter_mut().zip(self.0.expose_secret().chunks_exact(2)) {
            *group = bytes
                .iter()
                .fold(0, |group, byte| (group << 8) | u16::from(*byte));
        }
        let groups = parity::append(&data);
        // Exactly as long as needed, so that shrinking leaves no copy behind.
        let mut text = String::with_capacity(RECOVERY_KEY_DIGITS + GROUPS - 1);
        for (index, group) in groups.iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            for shift in [12, 8, 4, 0] {
                text.push(
                    char::from_digit(u32::from((group >> shift) & 0xf), 16)
                        .expect("four bits are a hex digit"),
                );
            }
        }
        SecretString::from(text)
    }

    pub(crate) fn exposed(&self) -> &[u8; SECRET_BYTES] {
        self.0.expose_secret()
    }

    fn from_groups(groups: &[u16; GROUPS]) -> Self {
        Self(SecretBox::init_with_mut(
            |bytes: &mut [u8; SECRET_BYTES]| {
                for (two, group) in bytes.chunks_exact_mut(2).zip(groups) {
                    two.copy_from_slice(&group.to_be_bytes());
                }
            },
        ))
    }

    fn is_zero(&self) -> bool {
        self.0.expose_secret().iter().all(|byte| *byte == 0)
    }
}

/// What people and printers put between groups.
fn is_separator(character: char) -> bool {
    // Hyphen, non-breaking hyphen, figure dash, en dash, em dash, minus sign, soft hyphen.
    character.is_whitespace()
        || matches!(
            character,
            '-' | '\u{2010}'..='\u{2014}' | '\u{2212}' | '\u{ad}' | '\u{200b}' | '\u{feff}'
        )
}

/// Only characters that are not hex digits are read as another: a `b` that should be an 8 is for
/// the parity to find.
fn digit(character: char) -> Option<u16> {
    let character = match character {
        'O' | 'o' => '0',
        'I' | 'i' | 'l' | 'L' | '|' => '1',
        other => other,
    };
    character
        .to_digit(16)
        .and_then(|digit| u16::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
