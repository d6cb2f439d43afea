//! Words of messages, and the filters that say which segments may hold them.
//!
//! A filter is a Golomb–Rice coded set of word hashes: see docs/format.md, "Term filters". It lies sealed beside the
//! metadata, so that a search opens only the segments that count.

use std::sync::LazyLock;

use crate::error::Damage;

/// One false alarm in `2^RICE_BITS` words that are not there.
const RICE_BITS: u32 = 10;

/// The longest word in bytes; longer ones are cut.
const MAX_WORD_BYTES: usize = 64;

/// Splits text into words in lower case: runs of letters and digits; of scripts without spaces every pair of
/// neighbours.
pub(crate) fn for_each_word(text: &str, word: &mut dyn FnMut(&str)) {
    let buffer = String::with_capacity(MAX_WORD_BYTES + 8);
    split(text, &mut Spelled { buffer, word });
}

/// The same words, each as its hash ([`hash_word`]) alone.
pub(crate) fn hash_words(text: &str, hashes: &mut Vec<u64>) {
    split(
        text,
        &mut Hashed {
            hash: FNV_OFFSET,
            len: 0,
            hashes,
        },
    );
}

/// A word that grows letter by letter.
trait Word {
    /// Bytes so far.
    fn len(&self) -> usize;
    /// Adds a letter that is one byte long.
    fn push_byte(&mut self, letter: u8);
    /// Adds a letter.
    fn push(&mut self, letter: char);
    /// Gives the word, which is not empty, and begins another.
    fn end(&mut self);
}

struct Spelled<'a> {
    buffer: String,
    word: &'a mut dyn FnMut(&str),
}

impl Word for Spelled<'_> {
    fn len(&self) -> usize {
        self.buffer.len()
    }
    fn push_byte(&mut self, letter: u8) {
        self.buffer.push(char::from(letter));
    }
    fn push(&mut self, letter: char) {
        self.buffer.push(letter);
    }
    fn end(&mut self) {
        (self.word)(&self.buffer);
        self.buffer.clear();
    }
}

struct Hashed<'a> {
    hash: u64,
    len: usize,
    hashes: &'a mut Vec<u64>,
}

impl Word for Hashed<'_> {
    fn len(&self) -> usize {
        self.len
    }
    fn push_byte(&mut self, letter: u8) {
        self.hash = fnv(self.hash, letter);
        self.len += 1;
    }
    fn push(&mut self, letter: char) {
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            self.push_byte(byte);
        }
    }
    fn end(&mut self) {
        self.hashes.push(finish(self.hash));
        (self.hash, self.len) = (FNV_OFFSET, 0);
    }
}

fn split(text: &str, word: &mut impl Word) {
    let bytes = text.as_bytes();
    let mut neighbour: Option<char> = None;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        // Most text is made of these.
        if byte.is_ascii() {
            at += 1;
            neighbour = None;
            if byte.is_ascii_alphanumeric() {
                if word.len() < MAX_WORD_BYTES {
                    word.push_byte(byte.to_ascii_lowercase());
                }
            } else if word.len() > 0 {
                word.end();
            }
            continue;
        }
        let Some(char) = text[at..].chars().next() else {
            break;
        };
        at += char.len_utf8();
        other_letter(char, &mut neighbour, word);
    }
    if word.len() > 0 {
        word.end();
    }
}

fn other_letter(char: char, neighbour: &mut Option<char>, word: &mut impl Word) {
    let known = usize::try_from(u32::from(char))
        .ok()
        .and_then(|at| FOLDED.get(at).copied());
    let folded = known.unwrap_or_else(|| {
        if char.is_alphanumeric() {
            Folded::Many
        } else {
            Folded::Other
        }
    });
    let before = neighbour.take();
    match folded {
        Folded::Other => {
            if word.len() > 0 {
                word.end();
            }
        }
        Folded::Many if known.is_none() && is_without_spaces(char) => {
            if word.len() > 0 {
                word.end();
            }
            if let Some(before) = before {
                word.push(before);
            }
            word.push(char);
            word.end();
            if before.is_some() {
                word.push(char);
                word.end();
            }
            *neighbour = Some(char);
        }
        _ if word.len() >= MAX_WORD_BYTES => {}
        Folded::Letter(lower) => word.push(lower),
        Folded::Many => char.to_lowercase().for_each(|lower| word.push(lower)),
    }
}

/// What a character of a script with spaces is to a word.
#[derive(Clone, Copy)]
enum Folded {
    Letter(char),
    /// Its lower case has several characters.
    Many,
    Other,
}

/// Latin, Greek, Cyrillic, Hebrew and Arabic, looked up once: most text is made of them.
static FOLDED: LazyLock<Vec<Folded>> = LazyLock::new(|| {
    (0..0x0700)
        .map(|code| {
            let Some(char) = char::from_u32(code).filter(|char| char.is_alphanumeric()) else {
                return Folded::Other;
            };
            let mut lower = char.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(one), None) => Folded::Letter(one),
                _ => Folded::Many,
            }
        })
        .collect()
});

/// The runs of three and more characters of scripts without spaces.
pub(crate) fn runs_without_spaces(text: &str) -> Vec<String> {
    let is_part = |char: char| char.is_alphanumeric() && is_without_spaces(char);
    let runs = text
        .split(|char: char| !is_part(char))
        .filter(|run| run.chars().nth(2).is_some());
    runs.map(str::to_owned).collect()
}

/// Han, kana, Hangul, Thai, Lao, Khmer, Burmese: written without spaces between words.
fn is_without_spaces(char: char) -> bool {
    matches!(u32::from(char), 0x0E00..=0x0EFF | 0x1000..=0x109F | 0x1780..=0x17FF | 0x2E80..=0x9FFF | 0xAC00..=0xD7AF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF)
}

/// FNV-1a with the finaliser of `MurmurHash3`: public, so that another reader makes the same.
pub(crate) fn hash_word(word: &str) -> u64 {
    finish(word.bytes().fold(FNV_OFFSET, fnv))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

fn fnv(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn place(hash: u64, count: u32) -> u64 {
    let range = u128::from(count) << RICE_BITS;
    u64::try_from((u128::from(hash) * range) >> 64).expect("smaller than the range")
}

/// Makes a filter of word hashes. Layout: count (4, little-endian) ‖ bits, each place as its distance from the one
/// before: quotient in unary (ones, then a zero), remainder in 10 bits, highest first.
pub(crate) fn encode_filter(hashes: &mut Vec<u64>) -> Vec<u8> {
    hashes.sort_unstable();
    hashes.dedup();
    let count = u32::try_from(hashes.len()).unwrap_or(u32::MAX);
    let mut out = count.to_le_bytes().to_vec();
    out.reserve(hashes.len() * 12 / 8 + 8);
    let mut bits = BitWriter {
        out: &mut out,
        bits: 0,
        used: 0,
    };
    let mut before = 0;
    for hash in hashes.iter() {
        let at = place(*hash, count);
        let distance = at - before;
        before = at;
        for _ in 0..distance >> RICE_BITS {
            bits.push(1, 1);
        }
        bits.push(0, 1);
        bits.push(distance & ((1 << RICE_BITS) - 1), RICE_BITS);
    }
    bits.finish();
    out
}

/// Whether all words may be in the filter's segment.
pub(crate) fn may_hold(filter: &[u8], words: &[u64]) -> Result<bool, Damage> {
    let (count, bits) = filter.split_first_chunk::<4>().ok_or(Damage::Malformed)?;
    let count = u32::from_le_bytes(*count);
    let mut wanted: Vec<u64> = words.iter().map(|word| place(*word, count)).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut wanted = wanted.into_iter().peekable();
    let mut reader = BitReader { bits, at: 0 };
    let mut at = 0u64;
    for _ in 0..count {
        let Some(next) = wanted.peek().copied() else {
            return Ok(true);
        };
        let mut quotient = 0u64;
        while reader.next()? == 1 {
            quotient += 1;
        }
        let mut rest = 0;
        for _ in 0..RICE_BITS {
            rest = rest << 1 | reader.next()?;
        }
        at = (quotient << RICE_BITS)
            .checked_add(rest)
            .and_then(|distance| at.checked_add(distance))
            .ok_or(Damage::Malformed)?;
        if at > next {
            return Ok(false);
        }
        if at == next {
            wanted.next();
        }
    }
    Ok(wanted.peek().is_none())
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that make no whole byte yet, the last one lowest.
    bits: u64,
    used: u32,
}

impl BitWriter<'_> {
    /// Adds the lowest `bits` of `value`, which must be 0 above them; at most 56.
    fn push(&mut self, value: u64, bits: u32) {
        self.bits = self.bits << bits | value;
        self.used += bits;
        while self.used >= 8 {
            self.used -= 8;
            self.out
                .push(u8::try_from(self.bits >> self.used & 0xff).expect("8 bits"));
        }
    }

    fn finish(mut self) {
        if self.used > 0 {
            self.push(0, 8 - self.used);
        }
    }
}

struct BitReader<'a> {
    bits: &'a [u8],
    at: usize,
}

impl BitReader<'_> {
    fn next(&mut self) -> Result<u64, Damage> {
        let byte = self.bits.get(self.at / 8).ok_or(Damage::Malformed)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(u64::from(bit))
    }
}

/// Visits the texts of an encoded message that a search looks into: text, captions, edits, places, polls, cards, names
/// and transcriptions of attachments. Reads the encoding without decoding it; ends at the first damage.
pub(crate) fn for_each_text(message: &[u8], text: &mut dyn FnMut(&str)) {
    for_each_field(message, &mut |number, value| match number {
        7 => utf8(value, text),
        9 => for_each_field(value, &mut |number, value| {
            if number == 2 {
                utf8(value, text);
            }
        }),
        14 => for_each_field(value, &mut |number, value| {
            if matches!(number, 3 | 4) {
                utf8(value, text);
            }
        }),
        15 => for_each_field(value, &mut |number, value| match number {
            1 => utf8(value, text),
            2 => for_each_field(value, &mut |number, value| {
                if number == 1 {
                    utf8(value, text);
                }
            }),
            _ => {}
        }),
        16 => for_each_field(value, &mut |number, value| {
            if number == 1 {
                utf8(value, text);
            }
        }),
        40 => for_each_field(value, &mut |number, value| {
            if matches!(number, 1 | 10) {
                utf8(value, text);
            }
        }),
        _ => {}
    });
}

fn utf8(bytes: &[u8], text: &mut dyn FnMut(&str)) {
    if let Ok(string) = simdutf8::basic::from_utf8(bytes) {
        text(string);
    }
}

/// Visits the length-delimited fields of a protobuf message.
pub(crate) fn for_each_field<'a>(mut bytes: &'a [u8], field: &mut dyn FnMut(u64, &'a [u8])) {
    while !bytes.is_empty() {
        let Ok(key) = prost::encoding::decode_varint(&mut bytes) else {
            return;
        };
        match key & 7 {
            0 if prost::encoding::decode_varint(&mut bytes).is_ok() => {}
            1 if bytes.len() >= 8 => bytes = &bytes[8..],
            5 if bytes.len() >= 4 => bytes = &bytes[4..],
            2 => {
                let Ok(len) = prost::encoding::decode_varint(&mut bytes) else {
                    return;
                };
                let Some((value, rest)) = usize::try_from(len)
                    .ok()
                    .and_then(|len| bytes.split_at_checked(len))
                else {
                    return;
                };
                field(key >> 3, value);
                bytes = rest;
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut words = Vec::new();
        for_each_word(text, &mut |word| words.push(word.to_owned()));
        words
    }

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        assert_eq!(
            words("See you at 8, Größe! 👋 don't"),
            ["see", "you", "at", "8", "größe", "don", "t"]
        );
        assert_eq!(words("ДОМ x"), ["дом", "x"]);
    }

    proptest! {
        #[test]
        fn words_are_hashed_as_they_are_spelled(text in "[a-cA-C0-9 .ßİäÖ東京都กขДж👋]{0,200}") {
            let mut hashes = Vec::new();
            hash_words(&text, &mut hashes);
            let spelled: Vec<u64> = words(&text).iter().map(|word| hash_word(word)).collect();
            prop_assert_eq!(hashes, spelled);
        }
    }

    #[test]
    fn a_long_word_is_cut() {
        assert_eq!(
            words(&format!("{} x", "a".repeat(100))),
            [&*"a".repeat(64), "x"]
        );
        assert_eq!(words(&"ä".repeat(100)), ["ä".repeat(32)]);
    }

    #[test]
    fn scripts_without_spaces_give_pairs() {
        assert_eq!(words("東京都"), ["東", "東京", "京", "京都", "都"]);
    }

    proptest! {
        #[test]
        fn a_filter_finds_all_that_is_in_it(mut hashes in proptest::collection::vec(any::<u64>(), 0..400)) {
            let original = hashes.clone();
            let filter = encode_filter(&mut hashes);
            for hash in &original {
                prop_assert_eq!(may_hold(&filter, &[*hash]), Ok(true));
            }
            prop_assert_eq!(may_hold(&filter, &original), Ok(true));
        }

        #[test]
        fn hostile_filters_and_messages_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), word: u64) {
            let _ = may_hold(&bytes, &[word]);
            for_each_text(&bytes, &mut |_| {});
        }
    }

    #[test]
    fn what_is_not_there_is_rarely_suspected() {
        let mut hashes: Vec<u64> = (0..1000).map(|n| hash_word(&format!("word{n}"))).collect();
        let filter = encode_filter(&mut hashes);
        assert!(filter.len() < 1000 * 12 / 8 + 100);
        let alarms = (0..10_000)
            .filter(|n| may_hold(&filter, &[hash_word(&format!("other{n}"))]).unwrap())
            .count();
        assert!(alarms < 40, "{alarms}");
    }
}
