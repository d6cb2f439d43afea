//! The first pass over a text: which form its headers have, what their dates mean, and which words it
//! repeats. Nothing of the text is kept but counts and a bounded number of short strings.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead};

use super::dates::{DateOrder, Decision, Evidence, Order};
use super::header::{Half, Header, Shape, Wrapper, is_mark, is_space};
use super::lines::Lines;
use super::{author, content, words};

/// What a text's lines have in common.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) shape: Shape,
    order: Order,
    halves: Halves,
    /// `<…>` that came again and again: it may stand for a medium or an edit in a language that no list has.
    pub(super) repeated: HashSet<String>,
    /// The chat's title by the text itself: the name under which iOS puts its first notice. An export that was cut
    /// begins with anybody's message instead, which is no notice even where it bears WhatsApp's mark.
    pub(super) notice_author: Option<String>,
    /// Words in quotes of the first system lines, a group's title among them.
    pub(super) quoted: Vec<String>,
    /// Names that hold ": ", by what stands before it.
    pub(super) long_names: HashMap<String, String>,
    /// Up to three people who wrote something.
    pub(super) writers: Vec<String>,
}

/// What words beside a time mean that no list has.
#[derive(Debug)]
enum Halves {
    /// Hours go beyond 12: the words mean nothing.
    Nothing,
    /// Found by the order of the lines.
    Words {
        am: String,
        pm: String,
    },
    Unknown,
}

/// Why a text was not understood.
#[derive(Debug)]
pub(super) enum SurveyError {
    NoHeader,
    Ambiguous(String),
    Impossible(String),
    Io(io::Error),
}

/// Why a header of the file's own form is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTime {
    NoSuchDay,
    UnknownHalf,
}

const MAX_SHAPES: usize = 32;
const MAX_AUTHORS: usize = 20_000;
const MAX_REPEATED: usize = 512;
const MAX_QUOTED: usize = 64;

/// A name with ": " in it is believed when it was seen so often, and never without the second part.
const LONG_NAME_LINES: u64 = 10;

struct Stats {
    shape: Shape,
    count: u64,
    evidence: Evidence,
    hours: (u32, u32),
    unknown: Vec<String>,
    /// Steps back within a day when the first unknown word is the morning, and when it is the evening.
    steps: [u64; 2],
    last: Option<([u32; 3], [u32; 2])>,
}

#[derive(Default)]
struct AuthorStats {
    count: u64,
    second: Option<String>,
    /// Lines that speak for the second part.
    seconds: u64,
    mixed: bool,
    wrote: bool,
}

impl Survey {
    /// Reads all lines. `said` decides only what the text leaves open.
    pub(super) fn of<R: BufRead>(
        mut lines: Lines<R>,
        said: Option<DateOrder>,
    ) -> Result<Self, SurveyError> {
        let mut shapes: Vec<Stats> = Vec::new();
        let mut authors: HashMap<String, AuthorStats> = HashMap::new();
        let mut repeated: HashMap<String, u64> = HashMap::new();
        let mut quoted = Vec::new();
        let mut notice_author = None;
        let mut first = true;
        while let Some(line) = lines.next().map_err(SurveyError::Io)? {
            let Some(header) = Header::parse(&line.text).filter(|header| !header.doubtful) else {
                continue;
            };
            let split = author::split(header.rest, &HashMap::new());
            let notice = split.is_none_or(|(_, body)| body.starts_with(is_mark));
            if first
                && header.shape.wrapper != Wrapper::Dash
                && let Some((name, body)) = split
                && content::is_notice(body)
            {
                notice_author = Some(author::clean(name));
            }
            count_shape(&mut shapes, &header, !(first && notice));
            first = false;
            match split {
                Some((name, body)) => {
                    count_author(&mut authors, name, body);
                    if let Some(text) = angled(body)
                        && (repeated.len() < MAX_REPEATED || repeated.contains_key(text))
                    {
                        *repeated.entry(text.to_owned()).or_default() += 1;
                    }
                }
                None => quotes(header.rest, &mut quoted),
            }
            if notice && let Some((_, body)) = split {
                quotes(body, &mut quoted);
            }
        }
        let Some(best) = choose(shapes) else {
            return Err(SurveyError::NoHeader);
        };
        let order = match best.evidence.decide(said) {
            Decision::Order(order) => order,
            Decision::Ambiguous => {
                return Err(SurveyError::Ambiguous(best.evidence.example().to_owned()));
            }
            Decision::Impossible => {
                return Err(SurveyError::Impossible(best.evidence.example().to_owned()));
            }
        };
        let title = notice_author.clone();
        let mut writers: Vec<String> = Vec::new();
        for (name, stats) in &authors {
            let name = author::clean(name);
            if writers.len() < 3
                && (stats.wrote || Some(&name) != title.as_ref())
                && !writers.contains(&name)
            {
                writers.push(name);
            }
        }
        Ok(Self {
            shape: best.shape,
            order,
            halves: best.halves(),
            repeated: repeated
                .into_iter()
                .filter(|(_, count)| *count >= 3)
                .map(|(text, _)| text)
                .collect(),
            notice_author,
            quoted,
            long_names: long_names(authors),
            writers,
        })
    }

    /// The wall clock's time in milliseconds, counted as if it were UTC.
    pub(super) fn time(&self, header: &Header<'_>) -> Result<i64, NoTime> {
        let day = self.order.day(header).ok_or(NoTime::NoSuchDay)?;
        let hour = match header.half {
            Half::Unsaid => header.hour,
            Half::Am => header.hour % 12 + if header.hour > 12 { 12 } else { 0 },
            Half::Pm => evening(header.hour),
            Half::Unknown(word) => match &self.halves {
                Halves::Nothing => header.hour,
                Halves::Words { am, .. } if am == word => header.hour % 12,
                Halves::Words { pm, .. } if pm == word => evening(header.hour),
                Halves::Words { .. } | Halves::Unknown => return Err(NoTime::UnknownHalf),
            },
        };
        let seconds = (i64::from(hour) * 60 + i64::from(header.minute)) * 60
            + i64::from(header.second.min(59));
        Ok((day * 86_400 + seconds) * 1000)
    }
}

fn evening(hour: u32) -> u32 {
    if hour < 12 { hour + 12 } else { hour }
}

impl Stats {
    fn halves(&self) -> Halves {
        let (least, most) = self.hours;
        match self.unknown.as_slice() {
            _ if most > 12 || least == 0 => Halves::Nothing,
            [a, b] if self.steps[0] * 4 < self.steps[1] => Halves::Words {
                am: a.clone(),
                pm: b.clone(),
            },
            [a, b] if self.steps[1] * 4 < self.steps[0] => Halves::Words {
                am: b.clone(),
                pm: a.clone(),
            },
            _ => Halves::Unknown,
        }
    }
}

fn count_shape(shapes: &mut Vec<Stats>, header: &Header<'_>, in_order: bool) {
    let at = match shapes.iter().position(|stats| stats.shape == header.shape) {
        Some(at) => at,
        None if shapes.len() < MAX_SHAPES => {
            shapes.push(Stats {
                shape: header.shape,
                count: 0,
                evidence: Evidence::new(header),
                hours: (u32::MAX, 0),
                unknown: Vec::new(),
                steps: [0; 2],
                last: None,
            });
            shapes.len() - 1
        }
        None => return,
    };
    let Some(stats) = shapes.get_mut(at) else {
        return;
    };
    stats.count += 1;
    stats.evidence.add(header, in_order);
    stats.hours = (
        stats.hours.0.min(header.hour),
        stats.hours.1.max(header.hour),
    );
    if let Half::Unknown(word) = header.half {
        if stats.unknown.len() < 3 && !stats.unknown.iter().any(|known| known == word) {
            stats.unknown.push(word.to_owned());
        }
        let is_first = stats.unknown.first().is_some_and(|first| first == word);
        let minutes =
            |late: bool| (header.hour % 12 + if late { 12 } else { 0 }) * 60 + header.minute;
        let now = [minutes(!is_first), minutes(is_first)];
        if let Some((date, before)) = stats.last
            && date == header.date
        {
            for (steps, (now, before)) in stats.steps.iter_mut().zip(now.iter().zip(before)) {
                *steps += u64::from(*now < before);
            }
        }
        stats.last = Some((header.date, now));
    }
}

/// The form of most lines; among equals brackets and dashes come before bare times, then the first seen.
fn choose(shapes: Vec<Stats>) -> Option<Stats> {
    let mut best: Option<Stats> = None;
    let rank = |shape: &Shape| u8::from(matches!(shape.wrapper, Wrapper::Bracket | Wrapper::Dash));
    for stats in shapes {
        if best
            .as_ref()
            .is_none_or(|b| (stats.count, rank(&stats.shape)) > (b.count, rank(&b.shape)))
        {
            best = Some(stats);
        }
    }
    best
}

fn count_author(authors: &mut HashMap<String, AuthorStats>, name: &str, body: &str) {
    if authors.len() >= MAX_AUTHORS && !authors.contains_key(name) {
        return;
    }
    let stats = authors.entry(name.to_owned()).or_default();
    stats.count += 1;
    stats.wrote |= !body.starts_with(is_mark);
    match body
        .split_once(": ")
        .filter(|(second, _)| may_end_a_name(second))
    {
        Some((second, text)) => {
            match &stats.second {
                None if stats.count == 1 => stats.second = Some(second.to_owned()),
                Some(known) if known == second => {}
                _ => stats.mixed = true,
            }
            // "location: https://…": before a link stands a word of WhatsApp's own, or a name's second part.
            stats.seconds += u64::from(!is_link(text));
        }
        None => stats.mixed = true,
    }
}

/// Whether what stands before a second ": " may belong to the name: nothing of WhatsApp's own words for a medium,
/// which come line after line from whoever sends nothing else.
fn may_end_a_name(second: &str) -> bool {
    second.len() <= 60
        && !second.contains(|c| is_mark(c) || c == '<')
        && !words::is_attached(second)
}

fn is_link(text: &str) -> bool {
    let text = text.trim_start_matches(|c| is_mark(c) || is_space(c));
    text.starts_with("https://") || text.starts_with("http://")
}

fn long_names(authors: HashMap<String, AuthorStats>) -> HashMap<String, String> {
    authors
        .into_iter()
        .filter(|(name, stats)| {
            stats.seconds >= LONG_NAME_LINES && !stats.mixed && !author::is_phone(name)
        })
        .filter_map(|(name, stats)| Some((name, stats.second?)))
        .collect()
}

/// The words of a `<…>` at the end of a line that may be WhatsApp's own: several words, no markup.
fn angled(body: &str) -> Option<&str> {
    let body = body.trim_end_matches(is_mark);
    let inside = body.strip_suffix('>')?;
    let inside = inside.get(inside.rfind('<')? + 1..)?.trim_matches(is_mark);
    let plain = inside
        .chars()
        .all(|c| c.is_alphabetic() || c == ' ' || c == '.' || c == '\'' || !c.is_ascii());
    let long = if inside.is_ascii() {
        inside.len() >= 10 && inside.contains(' ')
    } else {
        inside.chars().count() >= 4
    };
    (plain && long && inside.len() <= 120 && !inside.starts_with(|c: char| c.is_ascii_lowercase()))
        .then_some(inside)
}

fn quotes(text: &str, quoted: &mut Vec<String>) {
    for (open, close) in [
        ('"', '"'),
        ('“', '”'),
        ('„', '“'),
        ('«', '»'),
        ('「', '」'),
        ('”', '”'),
    ] {
        if quoted.len() < MAX_QUOTED
            && let Some((_, rest)) = text.split_once(open)
            && let Some((inside, _)) = rest.rsplit_once(close)
            && !inside.is_empty()
            && inside.len() <= 400
        {
            quoted.push(author::clean(inside));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn survey(text: &str) -> Result<Survey, SurveyError> {
        Survey::of(Lines::new(text.as_bytes()), None)
    }

    #[test]
    fn the_form_of_most_lines_is_the_files() {
        let text =
            "13/6/18, 21:25 - a: m\n[2018-06-13 10:00:00] b: pasted\n13/6/18, 21:26 - a: n\n";
        assert_eq!(survey(text).unwrap().shape.wrapper, Wrapper::Dash);
    }

    #[test]
    fn a_text_without_headers_is_no_chat() {
        assert!(matches!(
            survey("hello\n12/5 we meet\n"),
            Err(SurveyError::NoHeader)
        ));
        assert!(matches!(survey(""), Err(SurveyError::NoHeader)));
    }

    #[test]
    fn unknown_halves_of_the_day_are_found_by_the_order_of_lines() {
        let text = "13/6/18, 8:00 kuku - a: m\n13/6/18, 11:00 kuku - a: m\n13/6/18, 12:30 lala - a: m\n13/6/18, 1:00 lala - a: m\n";
        let survey = survey(text).unwrap();
        let header = Header::parse("13/6/18, 1:00 lala - a: m").unwrap();
        assert_eq!(survey.time(&header).unwrap() / 3_600_000 % 24, 13);
    }

    #[test]
    fn an_unknown_half_that_nothing_decides_is_no_time() {
        let survey = survey("13/6/18, 8:00 kuku - a: m\n").unwrap();
        let header = Header::parse("13/6/18, 8:00 kuku - a: m").unwrap();
        assert_eq!(survey.time(&header), Err(NoTime::UnknownHalf));
    }

    #[test]
    fn a_word_beside_hours_beyond_twelve_means_nothing() {
        let survey = survey("13/6/18, 8:00 kuku - a: m\n13/6/18, 20:00 kuku - a: m\n").unwrap();
        let header = Header::parse("13/6/18, 8:00 kuku - a: m").unwrap();
        assert_eq!(survey.time(&header).unwrap() / 3_600_000 % 24, 8);
    }

    #[test]
    fn a_name_with_a_colon_is_learned_from_many_lines() {
        let line = "13/6/18, 8:00 - Dr: Who: hello\n";
        assert_eq!(
            survey(&line.repeat(10))
                .unwrap()
                .long_names
                .get("Dr")
                .unwrap(),
            "Who"
        );
        assert!(survey(&line.repeat(3)).unwrap().long_names.is_empty());
        let mixed = line.repeat(10) + "13/6/18, 8:00 - Dr: hello\n";
        assert!(survey(&mixed).unwrap().long_names.is_empty());
    }

    #[test]
    fn what_whatsapp_writes_before_a_medium_or_a_place_is_no_part_of_a_name() {
        for body in [
            "\u{200E}<attached: 00000012-PHOTO-2022.jpg>",
            "<attached: 00000012-PHOTO-2022.jpg>",
            "\u{200E}<kvak: 00000012-PHOTO-2022.jpg>",
            "attached: 00000012-PHOTO-2022.jpg",
            "\u{200E}Location: https://maps.google.com/?q=1,2",
            "location: https://maps.google.com/?q=1,2",
            "kvak: http://maps.google.com/maps?q=1,2",
        ] {
            let line = format!("[13/06/2018, 08:00:00] Grandma: {body}\n");
            let found = survey(&line.repeat(12)).unwrap().long_names;
            assert!(found.is_empty(), "{body}: {found:?}");
        }
        // A link that someone with a long name sends speaks neither for the name nor against it.
        let words = "13/6/18, 8:00 - Dr: Who: hello\n";
        let link = "13/6/18, 8:00 - Dr: Who: https://example.org\n";
        let found = survey(&(words.repeat(10) + link)).unwrap().long_names;
        assert_eq!(found.get("Dr").unwrap(), "Who");
    }

    #[test]
    fn whoever_sent_the_first_medium_is_not_the_chats_title() {
        let title = |body: &str| {
            survey(&format!("[13/06/2018, 08:00:00] Ben: {body}\n"))
                .unwrap()
                .notice_author
        };
        for body in [
            "\u{200E}image omitted",
            "\u{200E}Bild weggelassen",
            "\u{200E}<attached: 00000012-PHOTO-2022.jpg>",
            "\u{200E}<kvak: 00000012-PHOTO-2022.jpg>",
            "\u{200E}<kvak: 00000012 without ending>",
            "\u{200E}Resume.pdf • \u{200E}2 pages \u{200E}document omitted",
            "\u{200E}This message was deleted.",
            "\u{200E}Missed voice call",
            "\u{200E}POLL:",
            "\u{200E}Location: https://maps.google.com/?q=51.5,-0.1",
            "hi \u{200E}<This message was edited>",
            "hi",
        ] {
            assert_eq!(title(body), None, "{body}");
        }
        for body in [
            "\u{200E}Messages and calls are end-to-end encrypted.",
            "\u{200E}Ana created this group",
        ] {
            assert_eq!(title(body).as_deref(), Some("Ben"), "{body}");
        }
        let android = "13/6/18, 8:00 - Ben: \u{200E}IMG-1.jpg (kvak)\n";
        assert_eq!(survey(android).unwrap().notice_author, None);
    }
}
