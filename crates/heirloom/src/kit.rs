//! The recovery kit: one page that is enough, together with the backup, to get everything back.

mod page;

pub(crate) use page::pdf;

use std::fmt::Write as _;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;

/// The sentence that people who are being robbed need.
pub(crate) const NOBODY_ASKS: &str = "Nobody will ever ask you for this key: no company, no helper, no website. Whoever asks is a thief.";

/// What a kit says.
#[derive(Debug)]
pub(crate) struct Kit {
    /// The 64 digits in 16 groups of four, with spaces between.
    pub(crate) groups: Zeroizing<String>,
    /// What the way in is called.
    pub(crate) name: String,
    /// Where the backup lies.
    pub(crate) store: String,
    /// The backup's id.
    pub(crate) repository: String,
    /// The number of the newest keyring.
    pub(crate) keyring_number: u64,
    /// The beginning of its hash in groups.
    pub(crate) check_code: String,
    /// The day the kit was made: `2026-11-23`.
    pub(crate) made_on: String,
}

/// The first 16 digits of a keyring's hash in groups of four: what is compared by eye.
pub(crate) fn check_code(keyring_hash: &[u8; 32]) -> String {
    let digits = hex::encode(&keyring_hash[..8]);
    let groups: Vec<_> = (0..4).map(|at| &digits[at * 4..at * 4 + 4]).collect();
    groups.join(" ")
}

impl Kit {
    /// The key in four lines of four groups.
    fn key_lines(&self) -> Zeroizing<Vec<String>> {
        let groups: Vec<_> = self.groups.split(' ').collect();
        Zeroizing::new(groups.chunks(4).map(|line| line.join("  ")).collect())
    }

    /// The key as a QR code: its digits without spaces, in upper case so that the code stays small.
    fn qr(&self) -> Result<QrCode, Failure> {
        let digits: Zeroizing<String> = Zeroizing::new(
            self.groups
                .chars()
                .filter(|c| *c != ' ')
                .map(|c| c.to_ascii_uppercase())
                .collect(),
        );
        QrCode::new(digits.as_bytes())
            .map_err(|_| Failure::new(Exit::Failed, "the key does not fit a QR code"))
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "What it opens",
                format!("the Heirloom backup {}", self.repository),
            ),
            ("Where it lies", self.store.clone()),
            ("This way in", self.name.clone()),
            (
                "Keyring",
                format!(
                    "number {}, check code {}",
                    self.keyring_number, self.check_code
                ),
            ),
            ("Made on", self.made_on.clone()),
        ]
    }

    fn steps(&self) -> Vec<String> {
        vec![
            "Get Heirloom on any computer.".into(),
            "Get at the backup: the place above, or a copy of it.".into(),
            format!(
                "Run: heirloom restore {} --to ./restored",
                quoted(&self.store)
            ),
            "When it asks, choose the recovery key and type the 64 digits.".into(),
            "Capitals and spaces do not matter. One wrong group is mended, and named.".into(),
        ]
    }

    /// The kit for a terminal.
    pub(crate) fn text(&self) -> Result<Zeroizing<String>, Failure> {
        let mut text = Zeroizing::new(String::with_capacity(8 * 1024));
        text.push_str("HEIRLOOM RECOVERY KIT\n\n");
        for (at, line) in self.key_lines().iter().enumerate() {
            text.push_str("    ");
            text.push_str(line);
            let _ = writeln!(text, "    {}", line_label(at));
        }
        text.push('\n');
        // Most terminals are dark: what is drawn there is the light part.
        let qr = Zeroizing::new(
            self.qr()?
                .render::<Dense1x2>()
                .dark_color(Dense1x2::Light)
                .light_color(Dense1x2::Dark)
                .quiet_zone(true)
                .build(),
        );
        text.push_str(&qr);
        text.push_str("\n\n");
        // Writing into a string cannot fail.
        for (what, value) in self.facts() {
            let _ = writeln!(text, "{what:<14} {value}");
        }
        text.push_str("\nTo get everything back:\n");
        for (at, step) in self.steps().into_iter().enumerate() {
            let _ = writeln!(text, "  {}. {step}", at + 1);
        }
        text.push('\n');
        text.push_str(NOBODY_ASKS);
        Ok(text)
    }
}

/// Which groups stand in a line of the key: a person is told of a wrong one by its number.
fn line_label(line: usize) -> String {
    format!("groups {}–{}", line * 4 + 1, line * 4 + 4)
}

/// What only a pen can fill in.
const BY_HAND: [&str; 3] = [
    "The disk or account that the backup lies on:",
    "Copies of the backup:",
    "Who should have this page when I cannot use it:",
];

fn quoted(store: &str) -> String {
    let plain = store
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "./_-:~@".contains(c));
    if plain {
        store.to_owned()
    } else {
        format!("'{}'", store.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn kit() -> Kit {
        Kit {
            groups: Zeroizing::new(
                "0123 4567 89ab cdef 0123 4567 89ab cdef 0123 4567 89ab cdef 0123 4567 89ab cdef"
                    .into(),
            ),
            name: "Recovery key".into(),
            store: "/mnt/my backup".into(),
            repository: "00112233445566778899aabbccddeeff".into(),
            keyring_number: 3,
            check_code: check_code(&[0xab; 32]),
            made_on: "2026-11-23".into(),
        }
    }

    #[test]
    fn the_kit_says_all_that_is_needed() {
        let text = kit().text().unwrap();
        for needed in [
            "0123  4567  89ab  cdef",
            "/mnt/my backup",
            "number 3, check code abab abab abab abab",
            "heirloom restore '/mnt/my backup' --to ./restored",
            NOBODY_ASKS,
        ] {
            assert!(text.contains(needed), "{needed}");
        }
    }

    #[test]
    fn a_store_with_odd_characters_can_be_pasted() {
        assert_eq!(quoted("./my-backup"), "./my-backup");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
