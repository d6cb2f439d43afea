//! What the fuzz targets begin with, and what they found, replayed without a fuzzer.

use std::path::Path;

use heirloom_archive::Source;
use heirloom_importers::whatsapp::text::{DateOrder, TextExport, TextOptions};

use crate::common::Collected;

/// Reads every seed in three ways; a cut or changed one may be refused, never more.
fn replay(target: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target);
    let mut readable = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for len in [bytes.len(), bytes.len() / 2, bytes.len() / 3] {
            let options = TextOptions {
                date_order: Some(DateOrder::DayFirst),
                title: None,
            };
            let Ok(mut export) = TextExport::from_bytes("_chat.txt", bytes[..len].into(), options)
            else {
                continue;
            };
            if let Ok(report) = export.read(&mut Collected::default()) {
                assert!(report.adds_up(), "{}", path.display());
                readable += usize::from(len == bytes.len());
            }
        }
    }
    readable
}

#[test]
fn every_seed_of_the_text_target_is_read() {
    assert_eq!(replay("whatsapp_text"), 13);
}

#[test]
fn whole_zips_are_read_and_cut_ones_refused() {
    assert_eq!(replay("export_zip"), 2);
}
