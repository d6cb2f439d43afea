//! The recovery kit: one page that is enough, together with the backup, to get everything back.

mod page;

pub(crate) use page::pdf;

use std::fmt::Write as _;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use zeroize::Zeroizing;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::server::paper;

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
    /// How a new computer gets at the backup, where that is wanted on the same page.
    pub(crate) sign_in: Option<SignIn>,
}

/// A sign-in to a server, for this kit alone.
pub(crate) struct SignIn {
    /// The server.
    pub(crate) origin: String,
    /// 80 letters and digits: `server/paper.rs`.
    pub(crate) code: Zeroizing<String>,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SignIn({}, [REDACTED])", self.origin)
    }
}

impl SignIn {
    /// What it is, in a sentence.
    fn sentence(&self) -> String {
        format!(
            "It signs a new computer in to {}, and opens nothing without the key above.",
            self.origin
        )
    }

    /// The code without spaces.
    fn qr(&self) -> Result<QrCode, Failure> {
        QrCode::new(self.code.as_bytes())
            .map_err(|_| Failure::new(Exit::Failed, "the sign-in does not fit a QR code"))
    }
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
        let get_at_it = match &self.sign_in {
            None => "Get at the backup: the place above, or a copy of it.".into(),
            Some(SignIn { origin, code: _ }) => format!(
                "Run: heirloom login {} --from-kit --account-file ./account.json, and type the sign-in.",
                quoted(origin)
            ),
        };
        vec![
            "Get Heirloom on any computer.".into(),
            get_at_it,
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
        text.push_str(&drawn(&self.qr()?));
        text.push_str("\n\n");
        if let Some(sign_in) = &self.sign_in {
            text.push_str("SIGN-IN\n\n");
            for line in paper::lines(&sign_in.code).iter() {
                text.push_str("    ");
                text.push_str(line);
                text.push('\n');
            }
            text.push('\n');
            text.push_str(&drawn(&sign_in.qr()?));
            let _ = writeln!(text, "\n\n{}\n", sign_in.sentence());
        }
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

/// Most terminals are dark: what is drawn there is the light part.
fn drawn(code: &QrCode) -> Zeroizing<String> {
    Zeroizing::new(
        code.render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build(),
    )
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
            sign_in: None,
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

    pub(crate) fn kit_with_sign_in() -> Kit {
        let sign_in = SignIn {
            origin: "https://vault.example.org".into(),
            code: Zeroizing::new("0123456789ABCDEF".repeat(5)),
        };
        Kit {
            sign_in: Some(sign_in),
            ..kit()
        }
    }

    #[test]
    fn a_sign_in_is_on_it_where_it_is_wanted_and_hidden_in_debug_output() {
        let text = kit_with_sign_in().text().unwrap();
        for needed in [
            "    0123  4567  89AB  CDEF\n",
            "It signs a new computer in to https://vault.example.org, and opens nothing without the key above.",
            "heirloom login https://vault.example.org --from-kit --account-file ./account.json",
        ] {
            assert!(text.contains(needed), "{needed}");
        }
        assert!(!kit().text().unwrap().contains("--from-kit"));
        let shown = format!("{:?}", kit_with_sign_in().sign_in);
        assert!(!shown.contains("0123"), "{shown}");
    }

    #[test]
    fn a_store_with_odd_characters_can_be_pasted() {
        assert_eq!(quoted("./my-backup"), "./my-backup");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
