//! A QR code at a terminal: the way to a page on another device.

use heirloom_ceremony::Link;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::Event;

#[derive(Serialize)]
struct ScanQr<'a> {
    code: &'a str,
    link: &'a str,
}

/// Shows the link for a backup's passkey as a QR code and in letters, with the code that a person compares.
pub(super) fn show(link: &Link, code: &str, context: &Context) -> Result<(), Failure> {
    let words = Words {
        scan: "Scan this with a phone or tablet that has your passkey, or that a new one is saved on:",
        compare: &format!("It shows the code {code}: go on there if it is the same."),
        minutes: 10,
    };
    draw(link, code, &words, context)
}

/// The same for signing in as `name`.
pub(crate) fn show_sign_in(
    link: &Link,
    code: &str,
    name: &str,
    context: &Context,
) -> Result<(), Failure> {
    let words = Words {
        scan: "Scan this with a phone or tablet that has the passkey you sign in with:",
        compare: &format!(
            "It shows the code {code} and the name “{name}”: let this computer in there if both are the same."
        ),
        minutes: 5,
    };
    draw(link, code, &words, context)
}

struct Words<'a> {
    scan: &'static str,
    compare: &'a str,
    minutes: u32,
}

fn draw(link: &Link, code: &str, words: &Words<'_>, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let Words {
        scan,
        compare,
        minutes,
    } = *words;
    let link = link.expose();
    output.event(&Event::new("scan_qr", ScanQr { code, link }));
    if output.json() {
        return Ok(());
    }
    output.show(scan);
    output.show("");
    output.show(&drawn(link)?);
    output.show("");
    output.show(compare);
    output.show(&format!("Without a camera, open this address on the device. Show it to nobody; it is good for {minutes} minutes:"));
    output.show(&format!("  {link}"));
    Ok(())
}

/// With half blocks, two rows a line. Most terminals are dark: what is drawn there is the light part.
fn drawn(link: &str) -> Result<Zeroizing<String>, Failure> {
    let code = QrCode::with_error_correction_level(link.as_bytes(), EcLevel::L)
        .map_err(|_| Failure::new(Exit::Failed, "the address does not fit a QR code"))?;
    Ok(Zeroizing::new(
        code.render::<Dense1x2>()
            .dark_color(Dense1x2::Light)
            .light_color(Dense1x2::Dark)
            .quiet_zone(true)
            .build(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_fits_a_terminal_of_80_columns_and_24_lines_or_few_more() {
        let link = format!(
            "https://vault.example.org/ceremony#2.{}.{}.{}",
            "A".repeat(22),
            "B".repeat(43),
            "C".repeat(22)
        );
        let drawn = drawn(&link).unwrap();
        let lines: Vec<_> = drawn.lines().collect();
        assert!(lines.len() <= 27, "{}", lines.len());
        assert!(lines.iter().all(|line| line.chars().count() <= 60));
    }
}
