//! The beginning of a message: its date and time, in whatever way a phone's language writes them.
//!
//! One tolerant tokenizer reads numbers, separators and words; what the numbers mean (day, month, year) is
//! decided over the whole file, in [`super::dates`].

use super::words;

/// How a header is set apart from what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Wrapper {
    /// `[…] `, as iOS writes.
    Bracket,
    /// `… - `, as Android writes.
    Dash,
    /// `…: `
    Colon,
    /// `… `, before `Name: text`.
    Space,
}

/// What all headers of one file have in common: each export is written at once, in one language.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent habits of a language"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) wrapper: Wrapper,
    pub(super) time_first: bool,
    pub(super) separator: char,
    pub(super) comma: bool,
    /// Which of the three numbers is the year, when its digits or its era say so.
    pub(super) year_at: Option<u8>,
    pub(super) seconds: bool,
    pub(super) twelve: bool,
}

/// Of which calendar the year is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    Common,
    /// "2565 BE".
    Buddhist,
    /// Years counted from this one + 1: "R4" is 2018 + 4.
    Since(i32),
}

/// Which half of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half<'a> {
    Unsaid,
    Am,
    Pm,
    /// A word that no list has.
    Unknown(&'a str),
}

/// A header's parts, not yet a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub(super) shape: Shape,
    pub(super) date: [u32; 3],
    pub(super) era: Era,
    pub(super) hour: u32,
    pub(super) minute: u32,
    pub(super) second: u32,
    pub(super) half: Half<'a>,
    /// The date as it is written.
    pub(super) date_text: &'a str,
    /// What follows: `Name: text`, or a system line.
    pub(super) rest: &'a str,
    /// Nothing but a space and no name stands behind the time: a header only where the file's others have
    /// nothing but a space either.
    pub(super) doubtful: bool,
}

/// Bytes that a header may take; what is longer is none.
const MAX_GAP: usize = 48;

impl<'a> Header<'a> {
    /// Reads the header of a line; `None` when it has none of any known form.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut cursor = Cursor { rest: line };
        cursor.skip(is_mark);
        let bracket = cursor.take('[');
        cursor.blank();
        let first = cursor.rest.chars().next()?;
        if !(digit(first).is_some() || words::ERAS.iter().any(|(word, _)| word.starts_with(first)))
        {
            return None;
        }
        let start = cursor;
        date_then_time(start, bracket).or_else(|| time_then_date(start, bracket))
    }
}

/// Whether a line that no form reads begins like a header all the same: numbers enough for a date and a
/// time, then a separator, then text.
pub(super) fn looks_like_header(line: &str) -> bool {
    let line = line.trim_start_matches(is_mark);
    let (prefix, rest) = if let Some(inside) = line.strip_prefix('[') {
        let Some(found) = inside.split_once(']') else {
            return false;
        };
        found
    } else {
        if !line.starts_with(|c| digit(c).is_some()) {
            return false;
        }
        let Some(found) = line.split_once(" - ") else {
            return false;
        };
        found
    };
    if prefix.len() > 2 * MAX_GAP || rest.trim().is_empty() {
        return false;
    }
    let mut numbers = 0;
    let mut letters = 0;
    let mut words = 0;
    let mut times = 0;
    let mut was = ' ';
    let mut colon = false;
    for c in prefix.chars() {
        if digit(c).is_some() {
            numbers += usize::from(digit(was).is_none());
            times += usize::from(colon);
        } else if c.is_alphabetic() {
            letters += 1;
            words += usize::from(!was.is_alphabetic());
        }
        colon = matches!(c, ':' | '.' | '：') && digit(was).is_some();
        was = c;
    }
    words <= 3 && times > 0 && ((5..=7).contains(&numbers) || (numbers == 4 && letters >= 3))
}

fn date_then_time(mut cursor: Cursor<'_>, bracket: bool) -> Option<Header<'_>> {
    let before = cursor.rest;
    let date = cursor.date()?;
    let date_text = before.get(..before.len() - cursor.rest.len())?;
    let gap = cursor.gap()?;
    let time = cursor.time()?;
    finish(cursor, bracket, false, date_text, date, gap, time)
}

fn time_then_date(mut cursor: Cursor<'_>, bracket: bool) -> Option<Header<'_>> {
    let time = cursor.time()?;
    let gap = cursor.gap()?;
    let before = cursor.rest;
    let date = cursor.date()?;
    let date_text = before.get(..before.len() - cursor.rest.len())?;
    finish(cursor, bracket, true, date_text, date, gap, time)
}

fn finish<'a>(
    mut cursor: Cursor<'a>,
    bracket: bool,
    time_first: bool,
    date_text: &'a str,
    date: Date,
    gap: &'a str,
    time: Time,
) -> Option<Header<'a>> {
    let (wrapper, tail) = cursor.close(bracket)?;
    let mut half = Half::Unsaid;
    let mut era = date.era;
    for text in [gap, tail] {
        match words::meaning(text) {
            words::Meaning::Nothing => {}
            words::Meaning::Am => half = Half::Am,
            words::Meaning::Pm => half = Half::Pm,
            words::Meaning::Buddhist => era = Era::Buddhist,
            words::Meaning::Unknown(word) => half = Half::Unknown(word),
        }
    }
    let numbers = date.numbers;
    let mut year_at = date.year_at;
    for (index, number) in numbers.iter().enumerate() {
        if number.digits > 2 {
            if year_at.is_some_and(|at| usize::from(at) != index) {
                return None;
            }
            year_at = u8::try_from(index).ok();
        }
    }
    let shape = Shape {
        wrapper,
        time_first,
        separator: date.separator,
        comma: gap.contains([',', '،', '、']),
        year_at,
        seconds: time.second.is_some(),
        twelve: matches!(half, Half::Am | Half::Pm),
    };
    Some(Header {
        shape,
        date: numbers.map(|number| number.value),
        era,
        hour: time.hour,
        minute: time.minute,
        second: time.second.unwrap_or(0),
        half,
        date_text: date_text.trim_matches(|c| is_mark(c) || is_space(c)),
        rest: cursor.rest,
        doubtful: wrapper == Wrapper::Space && !cursor.rest.contains(": "),
    })
}

#[derive(Debug, Clone, Copy)]
struct Number {
    value: u32,
    digits: usize,
}

#[derive(Clone, Copy)]
struct Date {
    numbers: [Number; 3],
    separator: char,
    era: Era,
    year_at: Option<u8>,
}

#[derive(Clone, Copy)]
struct Time {
    hour: u32,
    minute: u32,
    second: Option<u32>,
}

#[derive(Clone, Copy)]
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(what);
    }

    fn blank(&mut self) {
        self.skip(|c| is_mark(c) || is_space(c));
    }

    fn take(&mut self, c: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(c) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn number(&mut self) -> Option<Number> {
        self.skip(is_mark);
        let mut value = 0;
        let mut digits = 0;
        while let Some(digit) = self.rest.chars().next().and_then(digit) {
            digits += 1;
            if digits > 4 {
                return None;
            }
            value = value * 10 + digit;
            let mut chars = self.rest.chars();
            chars.next();
            self.rest = chars.as_str();
        }
        self.skip(is_mark);
        (digits > 0).then_some(Number { value, digits })
    }

    fn date(&mut self) -> Option<Date> {
        let mut era = Era::Common;
        let mut year_at = None;
        let mut separators = ['/'; 2];
        let mut numbers = [Number {
            value: 0,
            digits: 0,
        }; 3];
        for index in 0..3_u8 {
            for (word, since) in words::ERAS {
                if let Some(rest) = self.rest.strip_prefix(word) {
                    self.rest = rest;
                    era = Era::Since(*since);
                    year_at = Some(index);
                    break;
                }
            }
            *numbers.get_mut(usize::from(index))? = self.number()?;
            if let Some(separator) = separators.get_mut(usize::from(index)) {
                self.blank();
                let found = self.rest.chars().next()?;
                *separator = match found {
                    '/' | '\u{2044}' | '\u{2215}' => '/',
                    '.' => '.',
                    '-' | '\u{2010}' | '\u{2011}' => '-',
                    '年' | '月' | '년' | '월' => '年',
                    _ => return None,
                };
                self.take(found);
                self.blank();
            }
        }
        if separators[0] != separators[1] {
            return None;
        }
        // "13. 6. 2018." and "13日" end with one more.
        if separators[0] == '.' {
            self.take('.');
        } else if separators[0] == '年' && !self.take('日') {
            self.take('일');
        }
        Some(Date {
            numbers,
            separator: separators[0],
            era,
            year_at,
        })
    }

    fn time(&mut self) -> Option<Time> {
        let hour = self.two_digits()?;
        let separator = self.rest.trim_start_matches(is_space).chars().next()?;
        match separator {
            ':' | '：' | '.' => {
                self.take(separator).then_some(())?;
            }
            'h' | 'H' | '時' | '时' | '点' | '시' => {
                self.skip(is_space);
                self.take(separator);
                self.skip(is_space);
            }
            _ => return None,
        }
        let minute = self.two_digits()?;
        let mut second = None;
        let before = *self;
        let again = match separator {
            ':' | '：' | '.' => self.take(separator),
            _ => {
                self.skip(is_space);
                self.take('分') || self.take('분') || self.take(':')
            }
        };
        if again {
            let words = !matches!(separator, ':' | '：' | '.');
            self.skip(|c| words && is_space(c));
            second = self.two_digits();
            if second.is_some() {
                if !self.take('秒') {
                    self.take('초');
                }
            } else if !words {
                // "21:25: Name": no seconds.
                *self = before;
            }
        } else {
            *self = before;
        }
        (hour < 25 && minute < 60 && second.is_none_or(|s| s < 61)).then_some(Time {
            hour: hour % 24,
            minute,
            second,
        })
    }

    fn two_digits(&mut self) -> Option<u32> {
        let mut ahead = *self;
        let number = ahead.number()?;
        if number.digits > 2 {
            return None;
        }
        *self = ahead;
        Some(number.value)
    }

    /// The words between date and time.
    fn gap(&mut self) -> Option<&'a str> {
        let end = self.rest.find(|c| digit(c).is_some())?;
        let gap = self.rest.get(..end)?;
        if gap.is_empty()
            || gap.len() > MAX_GAP
            || gap.contains(['[', ']', ':', '-', '/', '(', '"'])
        {
            return None;
        }
        self.rest = self.rest.get(end..)?;
        Some(gap)
    }

    /// The end of the header, with the words before it.
    fn close(&mut self, bracket: bool) -> Option<(Wrapper, &'a str)> {
        let text = self.rest;
        if bracket {
            let (tail, rest) = text.split_once(']')?;
            if tail.len() > MAX_GAP || tail.contains(|c| digit(c).is_some()) {
                return None;
            }
            self.rest = rest.strip_prefix(is_space).unwrap_or(rest);
            return Some((Wrapper::Bracket, tail));
        }
        let end = text
            .char_indices()
            .take_while(|(at, _)| *at <= MAX_GAP)
            .find(|(_, c)| {
                !(c.is_alphabetic()
                    || is_space(*c)
                    || is_mark(*c)
                    || "./'’\u{5F3}\u{5F4}\"״".contains(*c)
                    || is_combining(*c))
            });
        if let Some((at, c)) = end {
            let tail = text.get(..at)?;
            let after = text.get(at + c.len_utf8()..)?;
            let spaced = after.is_empty() || after.starts_with(is_space);
            if matches!(c, '-' | '–' | '—') && spaced && tail.ends_with(is_space) {
                self.rest = after.strip_prefix(is_space).unwrap_or(after);
                return Some((Wrapper::Dash, tail));
            }
            let half = tail.is_empty()
                || matches!(
                    words::meaning(tail),
                    words::Meaning::Am | words::Meaning::Pm
                );
            if c == ':' && spaced && half {
                self.rest = after.strip_prefix(is_space).unwrap_or(after);
                return Some((Wrapper::Colon, tail));
            }
        }
        let rest = text.strip_prefix(is_space)?;
        let author = rest.split_once(": ").map_or(rest, |(author, _)| author);
        if author.is_empty()
            || author.starts_with(|c: char| c.is_ascii_punctuation() && !matches!(c, '+' | '~'))
        {
            return None;
        }
        self.rest = rest;
        Some((Wrapper::Space, ""))
    }
}

/// Marks that are not seen: direction marks and the byte order mark.
pub(super) fn is_mark(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{61C}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Spaces, the ones that do not break among them.
pub(super) fn is_space(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\u{A0}' | '\u{202F}' | '\u{2009}' | '\u{3000}'
    )
}

fn is_combining(c: char) -> bool {
    // Vowel signs of Indic and South-East Asian words, and the joiners between them.
    matches!(c, '\u{300}'..='\u{36F}' | '\u{900}'..='\u{DFF}' | '\u{E00}'..='\u{EFF}' | '\u{1000}'..='\u{109F}' | '\u{1780}'..='\u{17FF}' | '\u{200C}' | '\u{200D}')
}

/// A decimal digit of any script that WhatsApp's languages write.
pub(super) fn digit(c: char) -> Option<u32> {
    const ZEROS: [char; 17] = [
        '0', '\u{660}', '\u{6F0}', '\u{966}', '\u{9E6}', '\u{A66}', '\u{AE6}', '\u{B66}',
        '\u{BE6}', '\u{C66}', '\u{CE6}', '\u{D66}', '\u{E50}', '\u{ED0}', '\u{1040}', '\u{17E0}',
        '\u{FF10}',
    ];
    if c.is_ascii() {
        return c.to_digit(10);
    }
    ZEROS.iter().find_map(|zero| {
        u32::from(c)
            .checked_sub(u32::from(*zero))
            .filter(|value| *value < 10)
    })
}

#[cfg(test)]
mod tests;
