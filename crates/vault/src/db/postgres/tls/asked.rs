//! What an address asks of TLS, in the words of PostgreSQL's own programs: `tokio-postgres` does not know all of them.

use std::path::PathBuf;

use zeroize::Zeroizing;

/// An address without what is told of TLS and `tokio-postgres` does not know, and that.
pub(crate) struct Asked {
    /// It holds a password.
    pub(crate) address: Zeroizing<String>,
    /// The authorities' certificates; `None`: the system's.
    pub(crate) roots: Option<PathBuf>,
}

impl Asked {
    /// Reads `sslmode` and `sslrootcert`. `None`: it is no address.
    ///
    /// Certificates and names are verified whenever there is TLS, so that `require`, `verify-ca` and `verify-full`
    /// are one thing here.
    pub(crate) fn of(address: &str) -> Option<Self> {
        let mut asked = Self {
            address: Zeroizing::new(String::with_capacity(address.len() + 16)),
            roots: None,
        };
        if address.starts_with("postgres://") || address.starts_with("postgresql://") {
            asked.read_url(address);
        } else {
            asked.read_words(address)?;
        }
        Some(asked)
    }

    /// `postgres://…?key=value&key=value`
    fn read_url(&mut self, address: &str) {
        // A user's name and password end at the first `@`, and may hold a question mark.
        let host = address.find('@').unwrap_or(0);
        let options = address
            .get(host..)
            .and_then(|rest| rest.find('?'))
            .map(|at| address.split_at(host + at));
        let Some((place, options)) = options else {
            self.address.push_str(address);
            return;
        };
        self.address.push_str(place);
        let mut joint = '?';
        for option in options.trim_start_matches('?').split('&') {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded(value);
            if value.as_ref().is_some_and(|value| self.takes(key, value)) {
                continue;
            }
            self.address.push(joint);
            joint = '&';
            let is_strict =
                key == "sslmode" && value.as_ref().is_some_and(|value| is_strict(value));
            self.address
                .push_str(if is_strict { "sslmode=require" } else { option });
        }
    }

    /// `key=value key='value with spaces'`
    fn read_words(&mut self, address: &str) -> Option<()> {
        let mut rest = address.trim_start();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=')?;
            let after = after.trim_start();
            let (value, after) = word(after)?;
            let whole = rest.get(..rest.len() - after.len())?;
            rest = after.trim_start();
            let key = key.trim_end();
            if self.takes(key, &value) {
                continue;
            }
            if !self.address.is_empty() {
                self.address.push(' ');
            }
            let is_strict = key == "sslmode" && is_strict(&value);
            self.address
                .push_str(if is_strict { "sslmode=require" } else { whole });
        }
        Some(())
    }

    fn takes(&mut self, key: &str, value: &str) -> bool {
        if key != "sslrootcert" {
            return false;
        }
        // As PostgreSQL 16 calls the system's own.
        self.roots = (value != "system").then(|| PathBuf::from(value));
        true
    }
}

fn is_strict(mode: &str) -> bool {
    mode == "verify-full" || mode == "verify-ca"
}

/// A value as far as it goes, and what is behind it.
fn word(text: &str) -> Option<(Zeroizing<String>, &str)> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let is_quoted = text.starts_with('\'');
    let mut letters = text.char_indices().skip(usize::from(is_quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' if is_quoted => return Some((value, text.get(at + 1..)?)),
            letter if !is_quoted && letter.is_whitespace() => {
                return Some((value, text.get(at..)?));
            }
            letter => value.push(letter),
        }
    }
    (!is_quoted).then_some((value, ""))
}

/// With `%XX` read; `None` where these are no text.
fn decoded(value: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(value.len()));
    let mut rest = value.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after;
    }
    let text = std::str::from_utf8(&bytes).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str) -> (String, Option<String>) {
        let Asked { address, roots } = Asked::of(address).unwrap();
        let roots = roots.map(|path| path.display().to_string());
        (address.to_string(), roots)
    }

    #[test]
    fn the_words_of_other_programs_are_understood_in_both_forms() {
        let file = Some("/etc/a b.pem".to_owned());
        for (text, address, roots) in [
            ("postgres://a/b", "postgres://a/b", None),
            (
                "postgres://u:p?w@a,c:1/b?sslmode=verify-full&connect_timeout=3&sslrootcert=/etc/a%20b.pem",
                "postgres://u:p?w@a,c:1/b?sslmode=require&connect_timeout=3",
                file.clone(),
            ),
            ("postgresql://a?sslrootcert=system", "postgresql://a", None),
            (
                "postgres://a?sslmode=disable",
                "postgres://a?sslmode=disable",
                None,
            ),
            // Not ours to understand: the parser refuses it.
            (
                "postgres://a?sslrootcert=%f",
                "postgres://a?sslrootcert=%f",
                None,
            ),
            (
                "host=a sslmode = verify-ca sslrootcert='/etc/a b.pem' password='it\\'s sslmode=x' dbname=b",
                "host=a sslmode=require password='it\\'s sslmode=x' dbname=b",
                file,
            ),
            (
                "host=a sslmode='verify-full'",
                "host=a sslmode=require",
                None,
            ),
            ("sslrootcert=system", "", None),
        ] {
            assert_eq!(asked(text), (address.to_owned(), roots), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_or_no_value_is_no_address() {
        for wrong in ["host", "host='a", "host=a\\", "host=a sslrootcert"] {
            assert!(Asked::of(wrong).is_none(), "{wrong}");
        }
    }
}
