//! Any bytes as a database: no panic, and where it is read, the numbers add up.
#![no_main]

use heirloom_archive::Source;
use heirloom_importers::whatsapp::android::AndroidFolder;
use libfuzzer_sys::fuzz_target;

#[path = "drop_all.rs"]
mod drop_all;

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("msgstore.db");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let Ok(mut folder) = AndroidFolder::open(&path, None) else {
        return;
    };
    if let Ok(Some(map)) = folder.page_map(&[1; 32]) {
        let _ = folder.changed_rows(&map, &map);
    }
    if let Ok(report) = folder.read(&mut drop_all::DropAll) {
        assert!(report.adds_up());
    }
});
