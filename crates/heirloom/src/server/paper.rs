//! A sign-in on paper: 80 letters and digits in a kit, which a person types on a new computer. It opens objects, never a
//! backup.
//!
//! ```text
//! code  = Crockford's base 32 of 50 bytes: 0x01 ‖ token 32 ‖ pin 13 ‖ check 4
//! pin   = SHA-256("heirloom/v1/paper/pin" ‖ identity of the server 32)
//! check = SHA-256("heirloom/v1/paper/check" ‖ 0x01 ‖ token ‖ pin ‖ origin)
//! ```
//! The check holds the address: a code that is typed for another server is found out before anything is sent there.

use heirloom_vault_api::{Fixed, Token};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const PIN_BYTES: usize = 13;
const CHECK_BYTES: usize = 4;
const BYTES: usize = 1 + 32 + PIN_BYTES + CHECK_BYTES;
/// Letters and digits of a code.
pub(crate) const LETTERS: usize = BYTES * 8 / 5;
/// In a line of the kit.
pub(crate) const LINE_LETTERS: usize = 16;
/// Crockford's: without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a code says.
pub(crate) struct PaperSignIn {
    token: Token,
    pin: [u8; PIN_BYTES],
}

/// Why what was typed is no code for this server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadCode {
    /// It has so many letters and digits.
    Length(usize),
    /// A character is neither.
    Character,
    /// A letter is wrong, or it is for another server.
    Other,
}

fn hashed<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let hash = hash.finalize();
    let mut start = [0; N];
    start.copy_from_slice(&hash[..N]);
    start
}

fn pin(identity: &Fixed<32>) -> [u8; PIN_BYTES] {
    hashed(&[b"heirloom/v1/paper/pin", identity.as_bytes()])
}

fn check(token: &Token, pin: &[u8; PIN_BYTES], origin: &str) -> [u8; CHECK_BYTES] {
    hashed(&[
        b"heirloom/v1/paper/check",
        &[VERSION],
        token.0.as_bytes(),
        pin,
        origin.as_bytes(),
    ])
}

/// The code of a sign-in to the server at `origin`, as one word.
pub(crate) fn code(token: &Token, identity: &Fixed<32>, origin: &str) -> Zeroizing<String> {
    let pin = pin(identity);
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
    bytes.push(VERSION);
    bytes.extend_from_slice(token.0.as_bytes());
    bytes.extend_from_slice(&pin);
    bytes.extend_from_slice(&check(token, &pin, origin));
    let mut code = Zeroizing::new(String::with_capacity(LETTERS));
    for five in bytes.chunks(5) {
        let number = five
            .iter()
            .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        for at in (0..8).rev() {
            let digit = usize::try_from(number >> (5 * at) & 31).unwrap_or_default();
            code.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
        }
    }
    code
}

/// Lines of four groups of four, as they are printed.
pub(crate) fn lines(code: &str) -> Zeroizing<Vec<String>> {
    let letters: Vec<char> = code.chars().collect();
    let group = |group: &[char]| group.iter().collect::<String>();
    let line = |line: &[char]| line.chunks(4).map(group).collect::<Vec<_>>().join("  ");
    Zeroizing::new(letters.chunks(LINE_LETTERS).map(line).collect())
}

/// The letters and digits of what was typed, in any case; `None` where another character is between them.
pub(crate) fn letters(text: &str) -> Option<Zeroizing<String>> {
    let mut letters = Zeroizing::new(String::with_capacity(text.len()));
    for c in text.chars() {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            c => c,
        };
        if c.is_whitespace() || c == '-' {
            continue;
        }
        ALPHABET.iter().find(|known| char::from(**known) == c)?;
        letters.push(c);
    }
    Some(letters)
}

impl PaperSignIn {
    /// Reads a code that is for the server at `origin`.
    pub(crate) fn read(text: &str, origin: &str) -> Result<Self, BadCode> {
        let letters = letters(text).ok_or(BadCode::Character)?;
        if letters.len() != LETTERS {
            return Err(BadCode::Length(letters.len()));
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        for eight in letters.as_bytes().chunks(8) {
            let digit = |letter: &u8| ALPHABET.iter().position(|known| known == letter);
            let number = eight.iter().try_fold(0_u64, |sum, letter| {
                Some(sum << 5 | u64::try_from(digit(letter)?).ok()?)
            });
            let number = number.ok_or(BadCode::Character)?;
            bytes.extend_from_slice(&number.to_be_bytes()[3..]);
        }
        let read = || {
            let (version, rest) = bytes.split_first()?;
            let (token, rest) = rest.split_first_chunk::<32>()?;
            let (pin, rest) = rest.split_first_chunk::<PIN_BYTES>()?;
            let code = Self {
                token: Token(Fixed(*token)),
                pin: *pin,
            };
            let is_right = *version == VERSION && *rest == check(&code.token, pin, origin);
            is_right.then_some(code)
        };
        read().ok_or(BadCode::Other)
    }

    /// Whether a server is the one that the kit was made with.
    pub(crate) fn is_of(&self, identity: &Fixed<32>) -> bool {
        self.pin == pin(identity)
    }

    /// What is sent.
    pub(crate) fn token(&self) -> &Token {
        &self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "https://vault.example.org";
    const IDENTITY: Fixed<32> = Fixed([2; 32]);

    fn token() -> Token {
        Token(Fixed(std::array::from_fn(|at| {
            u8::try_from(at * 7).unwrap()
        })))
    }

    #[test]
    fn what_is_printed_is_read_however_it_is_typed() {
        let code = code(&token(), &IDENTITY, ORIGIN);
        assert_eq!(code.len(), LETTERS);
        let printed = lines(&code).join("\n");
        assert_eq!(printed.lines().count(), 5);
        let typed = [
            printed.clone(),
            printed.to_lowercase(),
            code.replace('0', "o").replace('1', "l"),
            printed.replace("  ", "-"),
        ];
        for typed in typed {
            let read = PaperSignIn::read(&typed, ORIGIN).unwrap_or_else(|bad| panic!("{bad:?}"));
            assert!(*read.token() == token() && read.is_of(&IDENTITY));
            assert!(!read.is_of(&Fixed([3; 32])));
        }
    }

    #[test]
    fn a_wrong_letter_another_server_or_half_a_code_is_refused() {
        let code = code(&token(), &IDENTITY, ORIGIN);
        let refused = |text: &str, origin| PaperSignIn::read(text, origin).err();
        for at in 0..LETTERS {
            let mut letters: Vec<char> = code.chars().collect();
            letters[at] = if letters[at] == 'Z' { 'Y' } else { 'Z' };
            let wrong: String = letters.into_iter().collect();
            assert_eq!(refused(&wrong, ORIGIN), Some(BadCode::Other), "letter {at}");
        }
        assert_eq!(
            refused(&code, "https://vault.example.com"),
            Some(BadCode::Other)
        );
        assert_eq!(refused(&code[1..], ORIGIN), Some(BadCode::Length(79)));
        assert_eq!(
            refused(&code.replacen(&code[..1], "!", 1), ORIGIN),
            Some(BadCode::Character)
        );
        assert_eq!(refused("", ORIGIN), Some(BadCode::Length(0)));
    }
}
