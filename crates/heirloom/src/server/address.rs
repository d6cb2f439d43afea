//! Addresses of servers: https anywhere, plain http on this computer alone.

use std::net::IpAddr;

use url::{Host, Url};

use crate::failure::Failure;

/// No address is longer: it lies in the keyring.
const MAX_BYTES: usize = 253;

/// A server, and the place in an account where a backup lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Scheme, host and port, without a slash at the end.
    pub(crate) origin: String,
    /// What the names of objects begin with: empty, or parts that each end with `/`.
    pub(crate) prefix: String,
}

impl Address {
    /// Whether a store is on a server at all.
    pub(crate) fn is_one(text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        text.starts_with("https://") || text.starts_with("http://")
    }

    /// Reads an address; nothing that could hide where it leads is taken.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let bad = |why: &str| {
            Failure::usage(format!(
                "{} is not a server's address: {why}",
                crate::words::tame(text)
            ))
            .hint("write it as https://vault.example.org, or http://localhost:8750 for a server on this computer")
        };
        if text.len() > MAX_BYTES {
            return Err(bad("it is too long"));
        }
        if !Self::is_one(text) {
            return Err(bad("it begins with neither https:// nor http://"));
        }
        let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it holds a name or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it ends with more than a path"));
        }
        if url.scheme() == "http" && !is_this_computer(&url) {
            return Err(bad(
                "without https, others on the way could read the sign-in",
            ));
        }
        let parts: Vec<_> = url
            .path_segments()
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        let prefix: String = parts.iter().flat_map(|part| [*part, "/"]).collect();
        let is_name = |part: &&str| {
            !part.starts_with('.')
                && part
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        };
        if parts.len() > 2 || prefix.len() > 64 || !parts.iter().all(is_name) {
            return Err(bad(
                "behind the server's name at most two parts may come, of a-z, 0-9, `.`, `_` and `-`",
            ));
        }
        Ok(Self {
            origin: url.origin().ascii_serialization(),
            prefix,
        })
    }

    /// As it is remembered: one spelling for one place.
    pub(crate) fn place(&self) -> String {
        format!("{}/{}", self.origin, self.prefix)
            .trim_end_matches('/')
            .to_owned()
    }

    /// Whether the server runs on this computer.
    pub(crate) fn is_local(&self) -> bool {
        self.origin.starts_with("http://")
    }
}

/// Whether nothing that is sent there leaves this computer.
fn is_this_computer(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_spelling() {
        for text in [
            "http://localhost:8750",
            "http://localhost:8750/",
            "HTTP://LocalHost:8750//",
        ] {
            assert_eq!(
                Address::parse(text).unwrap().place(),
                "http://localhost:8750",
                "{text}"
            );
        }
        let address = Address::parse("https://vault.example.org:443/family/").unwrap();
        assert_eq!(address.place(), "https://vault.example.org/family");
        assert_eq!(address.prefix, "family/");
        assert!(!address.is_local());
    }

    #[test]
    fn plain_http_stays_on_this_computer() {
        for fine in [
            "http://localhost:1",
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:1",
        ] {
            assert!(Address::parse(fine).unwrap().is_local(), "{fine}");
        }
        for other in [
            "http://example.org",
            "http://localhost.example.org",
            "http://10.0.0.1",
            "http://0.0.0.0:1",
            "http://[::]:1",
            "http://localhost@example.org",
        ] {
            assert!(Address::parse(other).is_err(), "{other}");
        }
    }

    #[test]
    fn an_address_that_hides_something_is_refused() {
        for text in [
            "https://user@example.org",
            "https://user:word@example.org",
            "https://example.org/?a=b",
            "https://example.org/#x",
            "https://example.org/A",
            "https://example.org/.hidden",
            "https://example.org/a%2fb",
            "https://example.org/a/b/c",
            "ftp://example.org",
            "https://",
            "",
        ] {
            let failure = Address::parse(text).unwrap_err();
            assert_eq!(failure.exit, crate::exit::Exit::Usage, "{text}");
        }
        assert!(Address::parse(&format!("https://{}.org", "a".repeat(300))).is_err());
    }

    #[test]
    fn dots_in_a_path_lead_nowhere_else() {
        assert_eq!(
            Address::parse("https://example.org/a/../b").unwrap().prefix,
            "b/"
        );
    }
}
