//! Any bytes as an exported chat's text: no panic, and the numbers add up.
#![no_main]

use heirloom_archive::Source;
use heirloom_importers::whatsapp::text::{DateOrder, TextExport, TextOptions};
use libfuzzer_sys::fuzz_target;

#[path = "drop_all.rs"]
mod drop_all;

fuzz_target!(|bytes: &[u8]| {
    let options = TextOptions {
        date_order: Some(DateOrder::DayFirst),
        title: None,
    };
    if let Ok(mut export) = TextExport::from_bytes("_chat.txt", bytes.into(), options)
        && let Ok(report) = export.read(&mut drop_all::DropAll)
    {
        assert!(report.adds_up());
    }
});
