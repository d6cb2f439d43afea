//! Any bytes as an exported chat's zip: no panic, and every medium that is named can be looked up.
#![no_main]

use std::sync::Arc;

use heirloom_archive::Source;
use heirloom_importers::whatsapp::text::{TextExport, TextOptions};
use libfuzzer_sys::fuzz_target;

#[path = "drop_all.rs"]
mod drop_all;

fuzz_target!(|bytes: &[u8]| {
    let mut zip = b"PK\x03\x04".to_vec();
    zip.extend_from_slice(bytes.get(4..).unwrap_or_default());
    let zip: Arc<[u8]> = zip.into();
    if let Ok(mut export) = TextExport::from_bytes("x.zip", zip, TextOptions::default())
        && let Ok(report) = export.read(&mut drop_all::DropAll)
    {
        assert!(report.adds_up());
    }
});
