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

/// Shows the link as a QR code and in letters, with the code that a person compares.
pub(super) fn show(link: &Link, code: &str, context: &Context) -> Result<(), Failure> {
    let output = &context.output;
    let link = link.expose();
    output.event(&Event::new("scan_qr", ScanQr { code, link }));
    if output.json() {
        return Ok(());
    }
    output.show(
        "Scan this with a phone or tablet that has your passkey, or that a new one is saved on:",
    );
    output.show("");
    output.show(&drawn(link)?);
    output.show("");
    output.show(&format!(
        "It shows the code {code}: go on there if it is the same."
    ));
    output.show("Without a camera, open this address on the device. Show it to nobody; it is good for 10 minutes:");
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
