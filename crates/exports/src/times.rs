//! Times, as instants or as what a wall clock showed.

use heirloom_archive::{Message, Zone};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// The clock's face for milliseconds that are counted as UTC; `None` outside the years that calendars have.
pub(crate) fn clock(ms: i64) -> Option<DateTime> {
    Timestamp::from_millisecond(ms)
        .ok()
        .map(|at| TimeZone::UTC.to_datetime(at))
}

/// Whether a message's time is only what a wall clock showed.
pub(crate) fn is_wall_clock(message: &Message) -> bool {
    message.zone == i32::from(Zone::Unknown)
}

/// `2024-03-23T13:31:00Z`, or without the `Z`. `None` outside the years that calendars have.
pub(crate) fn rfc3339(ms: i64, wall_clock: bool) -> Option<String> {
    if wall_clock {
        clock(ms).map(|at| at.to_string())
    } else {
        Timestamp::from_millisecond(ms)
            .ok()
            .map(|at| at.to_string())
    }
}

/// Reads both forms of [`rfc3339`].
pub(crate) fn parse(text: &str) -> Option<i64> {
    match text.parse::<Timestamp>() {
        Ok(at) => Some(at.as_millisecond()),
        Err(_) => text
            .parse::<DateTime>()
            .ok()?
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|at| at.timestamp().as_millisecond()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_come_back() {
        for ms in [
            0,
            1_648_042_260_000,
            1_648_042_260_123,
            -62_000_000_000_000,
            253_402_207_200_000 - 1,
        ] {
            for wall_clock in [false, true] {
                let text = rfc3339(ms, wall_clock).unwrap();
                assert_eq!(parse(&text), Some(ms), "{text}");
            }
        }
        assert_eq!(
            rfc3339(1_648_042_260_000, false).unwrap(),
            "2022-03-23T13:31:00Z"
        );
        assert_eq!(
            rfc3339(1_648_042_260_000, true).unwrap(),
            "2022-03-23T13:31:00"
        );
    }

    #[test]
    fn times_that_no_calendar_has_are_none() {
        assert_eq!(rfc3339(i64::MAX, false), None);
        assert_eq!(clock(i64::MIN), None);
        assert_eq!(parse("yesterday"), None);
    }
}
