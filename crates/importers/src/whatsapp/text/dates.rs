//! What the three numbers of a date mean, decided over the whole file and never guessed.

use super::header::{Era, Header};

/// Which way dates are written, for a file that does not show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// Day, then month: `--date-order dmy`.
    DayFirst,
    /// Month, then day: `--date-order mdy`.
    MonthFirst,
    /// A year of two digits, then month and day: `--date-order ymd`.
    YearFirst,
}

/// One way to read three numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Dmy,
    Mdy,
    Ymd,
    Ydm,
    Dym,
    Myd,
}

impl Order {
    /// The ways that a year at this place leaves open.
    fn candidates(year_at: Option<u8>) -> &'static [Self] {
        match year_at {
            Some(0) => &[Self::Ymd, Self::Ydm],
            Some(1) => &[Self::Dym, Self::Myd],
            Some(_) => &[Self::Dmy, Self::Mdy],
            None => &[Self::Dmy, Self::Mdy, Self::Ymd],
        }
    }

    fn said(self) -> DateOrder {
        match self {
            Self::Dmy | Self::Dym | Self::Ydm => DateOrder::DayFirst,
            Self::Mdy | Self::Myd => DateOrder::MonthFirst,
            Self::Ymd => DateOrder::YearFirst,
        }
    }

    /// The day as a count since 1970; `None` when there is no such day.
    pub(super) fn day(self, header: &Header<'_>) -> Option<i64> {
        let [a, b, c] = header.date;
        let (year, month, day) = match self {
            Self::Dmy => (c, b, a),
            Self::Mdy => (c, a, b),
            Self::Ymd => (a, b, c),
            Self::Ydm => (a, c, b),
            Self::Dym => (b, c, a),
            Self::Myd => (b, a, c),
        };
        day_number(common_year(year, header.era)?, month, day)
    }
}

/// The year of the common calendar; `None` outside 2000–2099, before and after which no chat was exported.
fn common_year(written: u32, era: Era) -> Option<i64> {
    let written = i64::from(written);
    let year = match era {
        Era::Since(start) => i64::from(start) + written,
        Era::Buddhist if written < 100 => 2500 + written - 543,
        Era::Buddhist => written - 543,
        Era::Common if written < 100 => 2000 + written,
        // Thai phones write Buddhist years without a word.
        Era::Common if (2500..2700).contains(&written) => written - 543,
        Era::Common => written,
    };
    (2000..2100).contains(&year).then_some(year)
}

/// Days from 1970-01-01 to a day of the Gregorian calendar; `None` when there is no such day.
fn day_number(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (month, day) = (i64::from(month), i64::from(day));
    let shifted = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + day_of_year - 719_468)
}

/// The day in a medium's name: "IMG-20220323-WA0002.jpg", "00000035-PHOTO-2022-03-27-21-41-55.jpg".
fn day_in_name(rest: &str) -> Option<i64> {
    let number = |text: Option<&str>, len: usize| {
        let text =
            text.filter(|text| text.len() == len && text.bytes().all(|b| b.is_ascii_digit()))?;
        text.parse::<u32>().ok()
    };
    let date = |year: u32, month, day| day_number(i64::from(year), month, day);
    if let Some((before, _)) = rest.split_once("-WA") {
        let text = before
            .get(before.len().checked_sub(9)?..)?
            .strip_prefix('-')?;
        return date(
            number(text.get(..4), 4)?,
            number(text.get(4..6), 2)?,
            number(text.get(6..), 2)?,
        );
    }
    let at = ["-PHOTO-", "-VIDEO-", "-AUDIO-", "-STICKER-", "-GIF-"]
        .iter()
        .find_map(|word| rest.split_once(word))?
        .1;
    let mut parts = at.split('-');
    date(
        number(parts.next(), 4)?,
        number(parts.next(), 2)?,
        number(parts.next(), 2)?,
    )
}

/// What the dates of one shape say about their order.
#[derive(Debug)]
pub(super) struct Evidence {
    tracks: Vec<Track>,
    lines: u64,
    /// Whether any line differs when day and month are exchanged.
    differs: bool,
    firsts: [bool; 100],
    lasts: [bool; 100],
    example: String,
}

#[derive(Debug)]
struct Track {
    order: Order,
    impossible: u64,
    steps_back: u64,
    /// Lines whose medium bears the same date in its name.
    named: u64,
    last: Option<i64>,
}

/// What [`Evidence::decide`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Order(Order),
    /// More than one order fits.
    Ambiguous,
    /// None fits: another calendar.
    Impossible,
}

impl Evidence {
    pub(super) fn new(first: &Header<'_>) -> Self {
        let tracks = Order::candidates(first.shape.year_at)
            .iter()
            .map(|order| Track {
                order: *order,
                impossible: 0,
                steps_back: 0,
                named: 0,
                last: None,
            })
            .collect();
        Self {
            tracks,
            lines: 0,
            differs: false,
            firsts: [false; 100],
            lasts: [false; 100],
            example: first.date_text.to_owned(),
        }
    }

    /// Adds a line's date. `in_order`: the line lies where it belongs; notices may lie before older lines.
    pub(super) fn add(&mut self, header: &Header<'_>, in_order: bool) {
        self.lines += 1;
        let mut seen: Option<Option<i64>> = None;
        let named = day_in_name(header.rest);
        for track in &mut self.tracks {
            let day = track.order.day(header);
            if let Some(other) = seen
                && other != day
                && track.order != Order::Ymd
                && !self.differs
            {
                self.differs = true;
                // The first date that could be either is the best question.
                header.date_text.clone_into(&mut self.example);
            }
            seen = seen.or(Some(day));
            track.named += u64::from(named.is_some() && named == day);
            match day {
                None => track.impossible += 1,
                Some(day) if in_order => {
                    // Lines may step back by hours; a step of more than a day is the order's fault.
                    if track.last.is_some_and(|last| day < last - 1) {
                        track.steps_back += 1;
                    }
                    track.last = Some(day);
                }
                Some(_) => {}
            }
        }
        for (set, number) in [
            (&mut self.firsts, header.date[0]),
            (&mut self.lasts, header.date[2]),
        ] {
            if let Some(slot) = usize::try_from(number)
                .ok()
                .and_then(|number| set.get_mut(number))
            {
                *slot = true;
            }
        }
    }

    /// A date of the file that can be read in more than one way.
    pub(super) fn example(&self) -> &str {
        &self.example
    }

    /// The order of the file; `said` counts only where the file itself does not decide.
    pub(super) fn decide(&self, said: Option<DateOrder>) -> Decision {
        let day_month: Vec<&Track> = self
            .tracks
            .iter()
            .filter(|t| self.tracks.len() < 3 || t.order != Order::Ymd)
            .collect();
        // Days vary more than years: only then can the year come first where all have two digits.
        let varies = |set: &[bool; 100]| set.iter().filter(|seen| **seen).count();
        let year_may_be_first = self.tracks.len() == 3
            && (varies(&self.lasts) > varies(&self.firsts)
                || day_month.iter().all(|t| !self.fits(t)));
        let open: Vec<&Track> = if year_may_be_first {
            self.tracks.iter().collect()
        } else {
            day_month
        };
        let fitting: Vec<&Track> = open
            .iter()
            .copied()
            .filter(|track| self.fits(track))
            .collect();
        // Nobody writes year, day, month.
        if let Some(track) = fitting
            .iter()
            .find(|t| t.order == Order::Ymd && self.tracks.len() == 2)
        {
            return Decision::Order(track.order);
        }
        match fitting.as_slice() {
            [] => return Decision::Impossible,
            [only] => return Decision::Order(only.order),
            _ => {}
        }
        if !self.differs && !year_may_be_first {
            return Decision::Order(fitting[0].order);
        }
        // WhatsApp dates the names of media, and there the year comes first.
        let mut by_names = fitting.iter().filter(|track| track.named > 0);
        if let (Some(only), None) = (by_names.next(), by_names.next()) {
            return Decision::Order(only.order);
        }
        let mut by_steps = fitting.clone();
        by_steps.sort_by_key(|track| track.steps_back);
        if let [best, second, ..] = by_steps.as_slice()
            && second.steps_back > 0
            && best.steps_back.saturating_mul(4) <= second.steps_back
        {
            return Decision::Order(best.order);
        }
        fitting
            .iter()
            .find(|track| Some(track.order.said()) == said)
            .map_or(Decision::Ambiguous, |track| Decision::Order(track.order))
    }

    /// An order fits when hardly a line is impossible in it. A few may be: text that was pasted into a
    /// message. But then another order must fit worse by far.
    fn fits(&self, track: &Track) -> bool {
        let best = self.tracks.iter().map(|t| t.impossible).min().unwrap_or(0);
        if track.impossible.saturating_mul(2) > self.lines {
            return false;
        }
        track.impossible == best || (best > 0 && track.impossible < best.saturating_mul(20))
    }
}

#[cfg(test)]
mod tests;
