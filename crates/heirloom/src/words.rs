//! Numbers, sizes and times as people read them.

/// `1234567` as `1,234,567`.
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count with its noun: `1 message`, `2 messages`.
pub(crate) fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// Bytes in decimal units: `4.2 MB`.
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
    ];
    for (unit, size) in UNITS {
        if n >= size {
            let whole = n / size;
            let tenth = n % size / (size / 10);
            return if whole >= 100 {
                format!("{} {unit}", number(whole))
            } else {
                format!("{whole}.{tenth} {unit}")
            };
        }
    }
    count(n, "byte", "bytes")
}

/// A span of time, roughly: `6 min`, `2 h 5 min`, `41 s`.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..=89 => format!("{seconds} s"),
        90..=5399 => format!("{} min", (seconds + 30) / 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Milliseconds since 1970 as `2026-11-23 03:04 UTC`.
pub(crate) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| "an impossible time".into(),
        |at| at.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

/// Milliseconds since 1970 as a day: `2026-11-23`.
pub(crate) fn day(ms: i64) -> String {
    let moment = moment(ms);
    match moment.split_once(' ') {
        Some((day, _)) if day.contains('-') => day.to_owned(),
        _ => moment,
    }
}

/// Milliseconds since 1970 in RFC 3339, for JSON.
pub(crate) fn rfc3339(ms: i64) -> Option<String> {
    jiff::Timestamp::from_millisecond(ms)
        .ok()
        .map(|at| at.to_string())
}

/// How long ago: `today`, `yesterday`, `12 days ago`, `never`.
pub(crate) fn ago(then_ms: Option<i64>, now_ms: i64) -> String {
    let Some(then) = then_ms else {
        return "never".into();
    };
    match now_ms.saturating_sub(then) / 86_400_000 {
        ..=0 => "today".into(),
        1 => "yesterday".into(),
        days => format!("{days} days ago"),
    }
}

/// Removes what could move a terminal's cursor or turn text round: chats are other people's text.
pub(crate) fn tame(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// As [`tame`], but line breaks stay: for words of several lines that hold a name or a path.
pub(crate) fn tame_lines(text: &str) -> String {
    text.split('\n').map(tame).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(number(0), "0");
        assert_eq!(number(999), "999");
        assert_eq!(number(1_000), "1,000");
        assert_eq!(number(12_345_678), "12,345,678");
    }

    #[test]
    fn sizes_keep_one_digit_until_a_hundred() {
        assert_eq!(bytes(1), "1 byte");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(99_999_999), "99.9 MB");
        assert_eq!(bytes(2_381_000_000), "2.3 GB");
        assert_eq!(bytes(123_456_789), "123 MB");
    }

    #[test]
    fn times_are_rounded_to_what_matters() {
        assert_eq!(duration(41), "41 s");
        assert_eq!(duration(360), "6 min");
        assert_eq!(duration(7_500), "2 h 5 min");
        assert_eq!(moment(1_795_316_645_000), "2026-11-22 03:04 UTC");
        assert_eq!(day(1_795_316_645_000), "2026-11-22");
        assert_eq!(day(i64::MAX), "an impossible time");
        assert_eq!(ago(None, 0), "never");
        assert_eq!(ago(Some(0), 86_400_000 * 3), "3 days ago");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c d");
    }
}
