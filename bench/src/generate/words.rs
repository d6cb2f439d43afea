//! Words that nobody wrote: made-up vocabularies with the frequencies of real ones.

use super::rng::{Rng, Weighted};

const EMOJI: &[&str] = &[
    "😂",
    "❤️",
    "😍",
    "🙏",
    "👍",
    "😭",
    "😘",
    "🥰",
    "😅",
    "🎉",
    "🔥",
    "💪",
    "🤔",
    "👏",
    "😁",
    "🌹",
    "🙈",
    "☀️",
    "🍕",
    "👨‍👩‍👧",
];
pub(crate) const REACTIONS: &[&str] = &["👍", "❤️", "😂", "😮", "😢", "🙏"];

/// Onsets, vowels and codas of one made-up language.
struct Sounds(
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

const SOUNDS: [Sounds; 4] = [
    Sounds(
        &[
            "b", "c", "d", "f", "g", "h", "l", "m", "n", "p", "r", "s", "t", "w", "th", "st", "br",
            "tr", "ch", "",
        ],
        &["a", "e", "i", "o", "u", "ea", "oo", "ai"],
        &["", "", "n", "t", "s", "r", "l", "d", "m", "ck"],
    ),
    Sounds(
        &[
            "b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "sch", "j", "",
        ],
        &["a", "e", "i", "o", "u", "ä", "é", "ö", "ü", "ei"],
        &["", "", "n", "t", "s", "r", "ch", "l", "ñ"],
    ),
    Sounds(
        &[
            "б", "в", "г", "д", "ж", "к", "л", "м", "н", "п", "р", "с", "т", "ш", "",
        ],
        &["а", "е", "и", "о", "у", "я", "ы"],
        &["", "", "н", "т", "л", "м", "й", "сь"],
    ),
    Sounds(
        &[
            "ب", "ت", "ج", "ح", "د", "ر", "س", "ش", "ع", "ف", "ك", "ل", "م", "ن",
        ],
        &["ا", "ي", "و", ""],
        &["", "", "ن", "ة", "ر", "م"],
    ),
];

/// One made-up language.
#[derive(Debug)]
struct Language {
    words: Vec<String>,
    frequency: Weighted,
}

/// All made-up languages.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    languages: Vec<Language>,
    spread: Weighted,
    /// How often each of the stock phrases is written.
    stock: Weighted,
}

impl Vocabulary {
    /// The same words for every folder.
    pub(crate) fn new() -> Self {
        let mut rng = Rng::new(0x776f_7264);
        let languages = SOUNDS
            .iter()
            .map(|Sounds(onsets, vowels, codas)| {
                let words: Vec<String> = (0..24_000)
                    .map(|rank| {
                        let syllables = match rank {
                            0..60 => 1,
                            60..600 => rng.between(1, 3),
                            600..6_000 => rng.between(2, 4),
                            _ => rng.between(2, 5),
                        };
                        (0..syllables)
                            .flat_map(|_| [*rng.pick(onsets), *rng.pick(vowels), *rng.pick(codas)])
                            .collect()
                    })
                    .collect();
                let frequency = Weighted::zipf(words.len(), 2);
                Language { words, frequency }
            })
            .collect();
        Self {
            languages,
            spread: Weighted::new([60, 25, 10, 5]),
            stock: Weighted::zipf(600, 3),
        }
    }

    /// The language of a new chat.
    pub(crate) fn language(&self, rng: &mut Rng) -> usize {
        self.spread.pick(rng)
    }

    /// One word, a name for example, with a capital.
    pub(crate) fn name(&self, language: usize, rng: &mut Rng) -> String {
        let words = &self.languages[language].words;
        let word = &words[rng.between(2_000, 6_000).try_into().unwrap_or(0)];
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().chain(letters).collect()
        })
    }

    /// What somebody wrote: eight words in the middle, a few texts much longer.
    pub(crate) fn sentence(&self, language: usize, rng: &mut Rng, out: &mut String) {
        let Language { words, frequency } = &self.languages[language];
        out.clear();
        // What people write again and again: thanks, good morning, on my way.
        if rng.chance(1, 8) {
            let mut stock = Rng::new(u64::try_from(self.stock.pick(rng)).unwrap_or(0));
            for at in 0..stock.run(2) {
                if at > 0 {
                    out.push(' ');
                }
                out.push_str(&words[frequency.pick(&mut stock)]);
            }
            return;
        }
        let mut last = 0;
        let count = if rng.chance(1, 60) {
            rng.between(25, 90)
        } else {
            rng.run(8)
        };
        for at in 0..count {
            if at > 0 {
                out.push_str(if rng.chance(1, 14) { ", " } else { " " });
            }
            if rng.chance(1, 60) {
                out.push_str(&rng.below(2_000).to_string());
            } else {
                // Words have neighbours they like.
                last = if rng.chance(1, 3) {
                    (last * 31 + 7) % 3_000
                } else {
                    frequency.pick(rng)
                };
                out.push_str(&words[last]);
            }
        }
        match rng.below(16) {
            0..4 => out.push('.'),
            4 => out.push('?'),
            5 => out.push('!'),
            6 | 7 => {
                out.push(' ');
                for _ in 0..rng.run(2) {
                    let emoji: &str = rng.pick::<&str>(EMOJI);
                    out.push_str(emoji);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_about_sixty_bytes() {
        let words = Vocabulary::new();
        let mut rng = Rng::new(9);
        let mut text = String::new();
        let mut bytes = 0;
        for _ in 0..10_000 {
            let language = words.language(&mut rng);
            words.sentence(language, &mut rng, &mut text);
            bytes += text.len();
        }
        let mean = bytes / 10_000;
        assert!((50..75).contains(&mean), "{mean}");
    }
}
