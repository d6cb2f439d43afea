//! Licences and sources of everything we link: the part of `cargo deny` that needs no ten-minute build.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::command::Ran;
use crate::dependencies::packages;
use crate::suites::Outcome;

/// Licences that may be used without asking; `deny.toml` has the same list.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that must not come back, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "rustls and aws-lc-rs do its work"),
    ("reed-solomon-erasure", "does not link on wasm"),
];

/// Every package has an allowed licence and comes from the registry or from here.
pub(crate) fn check(metadata: &Value) -> Result<Outcome> {
    let mut wrong = String::new();
    for package in packages(metadata)? {
        let name = package["name"]
            .as_str()
            .context("a package without a name")?;
        let licence = package["license"].as_str().unwrap_or_default();
        if !allowed(licence) {
            writeln!(wrong, "{name}: the licence {licence:?} is not on the list")?;
        }
        let source = package["source"].as_str();
        if source.is_some_and(|source| !source.starts_with("registry+")) {
            writeln!(
                wrong,
                "{name} comes from {}, not from the registry",
                source.unwrap_or_default()
            )?;
        }
        if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name) {
            writeln!(wrong, "{name} is banned: {reason}")?;
        }
    }
    Ok(Outcome::one(Ran {
        success: wrong.is_empty(),
        output: wrong,
    }))
}

/// Whether an SPDX expression can be met with allowed licences only. `/` is an old way to write OR.
fn allowed(expression: &str) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest).unwrap_or(false) && rest.is_empty()
}

fn either(words: &mut &[&str]) -> Option<bool> {
    let mut met = both(words)?;
    while words.first() == Some(&"OR") {
        *words = &words[1..];
        met |= both(words)?;
    }
    Some(met)
}

fn both(words: &mut &[&str]) -> Option<bool> {
    let mut met = single(words)?;
    while words.first() == Some(&"AND") {
        *words = &words[1..];
        met &= single(words)?;
    }
    Some(met)
}

fn single(words: &mut &[&str]) -> Option<bool> {
    let (first, rest) = words.split_first()?;
    *words = rest;
    if *first == "(" {
        let met = either(words)?;
        let (close, rest) = words.split_first()?;
        *words = rest;
        return (*close == ")").then_some(met);
    }
    if let ["WITH", exception, rest @ ..] = *words {
        *words = rest;
        return Some(ALLOWED.contains(&format!("{first} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allowed_side_of_an_or_is_enough() {
        assert!(allowed("MIT OR Apache-2.0 OR LGPL-2.1-or-later"));
        assert!(allowed("MIT/Apache-2.0"));
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only"));
    }

    #[test]
    fn both_sides_of_an_and_must_be_allowed() {
        assert!(allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!allowed("MIT AND GPL-3.0-only"));
        assert!(!allowed("(MIT OR Apache-2.0) AND GPL-3.0-only"));
    }

    #[test]
    fn no_licence_and_half_a_licence_are_refused() {
        for broken in [
            "",
            "MIT OR",
            "(MIT",
            "MIT)",
            "MIT Apache-2.0",
            "GPL-3.0-only",
            "AGPL-3.0",
        ] {
            assert!(!allowed(broken), "{broken}");
        }
    }

    #[test]
    fn a_package_from_a_repository_is_refused() {
        let metadata = serde_json::json!({"packages": [{"name": "x", "license": "MIT", "source": "git+https://example.org/x"}]});
        assert_eq!(check(&metadata).unwrap().counts.failed, 1);
    }
}
