//! Versions as `sem_ver` compares them (`SemVer` 2.0.0, section 11), with flagd's leniency.

use std::cmp::Ordering;

/// `major.minor.patch` and what precedes its release.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Version<'a> {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    patch: u64,
    before: &'a str,
}

impl<'a> Version<'a> {
    /// Takes `1`, `1.2`, `v1.2.3-beta.1+build`; the build's name counts for nothing.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let text = text.split_once('+').map_or(text, |(version, _)| version);
        let (numbers, before) = match text.split_once('-') {
            Some((_, "")) => return None,
            Some((numbers, before)) => (numbers, before),
            None => (text, ""),
        };
        let is_name = |part: &str| {
            let all = |allowed: fn(&u8) -> bool| part.as_bytes().iter().all(allowed);
            let leads_with_zero =
                part.len() > 1 && part.starts_with('0') && all(u8::is_ascii_digit);
            !part.is_empty()
                && !leads_with_zero
                && all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        };
        if !before.is_empty() && !before.split('.').all(is_name) {
            return None;
        }
        let mut parts = numbers.split('.');
        let mut number = |needed: bool| match parts.next() {
            Some(part) => plain_number(part),
            None => (!needed).then_some(0),
        };
        let (major, minor, patch) = (number(true)?, number(false)?, number(false)?);
        parts.next().is_none().then_some(Self {
            major,
            minor,
            patch,
            before,
        })
    }

    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self)
            .cmp(&numbers(other))
            .then_with(|| compare_before(self.before, other.before))
    }
}

fn plain_number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leads_with_zero = text.len() > 1 && text.starts_with('0');
    (digits && !leads_with_zero)
        .then(|| text.parse().ok())
        .flatten()
}

// "When major, minor, and patch are equal, a pre-release version has lower precedence than a normal version."
fn compare_before(one: &str, two: &str) -> Ordering {
    match (one.is_empty(), two.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => (),
    }
    let (mut ones, mut twos) = (one.split('.'), two.split('.'));
    loop {
        let order = match (ones.next(), twos.next()) {
            (None, None) => return Ordering::Equal,
            // "A larger set of pre-release fields has a higher precedence than a smaller set."
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(one), Some(two)) => match (plain_number(one), plain_number(two)) {
                (Some(one), Some(two)) => one.cmp(&two),
                // "Numeric identifiers always have lower precedence than non-numeric identifiers."
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => one.cmp(two),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(one: &str, two: &str) -> Ordering {
        Version::parse(one)
            .unwrap()
            .compare(&Version::parse(two).unwrap())
    }

    #[test]
    fn versions_stand_in_the_order_of_the_standard() {
        // SemVer 2.0.0, section 11.4.
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.9.0",
            "1.10.0",
            "2.0.0",
        ];
        for (index, one) in order.iter().enumerate() {
            for (other, two) in order.iter().enumerate() {
                assert_eq!(compare(one, two), index.cmp(&other), "{one} {two}");
            }
        }
    }

    #[test]
    fn short_versions_prefixes_and_builds_are_taken() {
        for (one, two) in [("1", "1.0.0"), ("v1.2", "1.2.0"), ("V1.0.0+a", "1.0.0+b")] {
            assert_eq!(compare(one, two), Ordering::Equal, "{one} {two}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in [
            "",
            "v",
            "1.",
            ".1",
            "1.2.3.4",
            "01.0.0",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "1.0.0-ä",
            "latest",
            "-1",
            "1.0.x",
            "99999999999999999999",
            "1 ",
            "+1",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
