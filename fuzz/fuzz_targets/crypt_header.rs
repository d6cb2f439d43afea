//! Any bytes as an encrypted database, a key file and a page map: no panic, and nothing is written.
#![no_main]

use std::io::Cursor;

use heirloom_importers::whatsapp::android::PageMap;
use heirloom_importers::whatsapp::crypt::{Header, WaKey, decrypt};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = Header::parse(bytes);
    let _ = WaKey::from_bytes(bytes, "key");
    if let Some(map) = PageMap::decode(bytes) {
        assert_eq!(PageMap::decode(&map.encode()), Some(map));
    }
    if let Ok(key) = WaKey::from_bytes(&[b'0'; 64], "zeros") {
        let mut out = Vec::new();
        if decrypt(&mut Cursor::new(bytes), "file", &key, &mut out).is_err() {
            assert!(out.is_empty());
        }
    }
});
