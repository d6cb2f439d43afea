//! Encrypted databases as `WhatsApp` writes them.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test stops where it fails"
)]

use std::io::Cursor;
use std::path::{Path, PathBuf};

use heirloom_archive::SourceError;
use heirloom_importers::whatsapp::crypt::{DecryptedFile, WaKey, decrypt};
use sha2::{Digest, Sha256};

const GOOD: [(&str, &str); 7] = [
    ("msgstore.db.crypt12", "key"),
    ("msgstore.db.crypt14", "key"),
    ("msgstore-noexpiry.db.crypt14", "key"),
    ("msgstore.db.crypt15", "encrypted_backup.key"),
    ("msgstore.db.crypt15", "key64.txt"),
    ("msgstore-nomd5.db.crypt15", "encrypted_backup.key"),
    ("msgstore-nomd5.db.crypt15", "key64.txt"),
];

fn folders() -> Vec<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    if !root.exists() {
        assert!(
            std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none(),
            "../shared is absent"
        );
        println!("skipped: ../shared is absent");
        return Vec::new();
    }
    [
        "_made-with-third-party-tools/wa-crypt-of-whatsapp-viewer",
        "_built/dev/msgstore/crypt",
    ]
    .into_iter()
    .map(|folder| root.join("corpus").join(folder))
    .collect()
}

fn key(folder: &Path, name: &str) -> WaKey {
    WaKey::from_bytes(&std::fs::read(folder.join(name)).unwrap(), name).unwrap()
}

fn temporary_folders() -> usize {
    std::fs::read_dir(std::env::temp_dir())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("heirloom-")
        })
        .count()
}

#[test]
fn every_good_file_gives_the_database_it_was_made_from() {
    for folder in folders() {
        let manifest: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        for (name, key_name) in GOOD {
            let file = DecryptedFile::make(&folder.join(name), &key(&folder, key_name)).unwrap();
            let bytes = std::fs::read(file.path()).unwrap();
            assert_eq!(
                hex::encode(Sha256::digest(&bytes)),
                manifest["plaintext_sha256"].as_str().unwrap(),
                "{name}"
            );
            assert_eq!(Some(file.bytes()), manifest["plaintext_bytes"].as_u64());
            let path = file.path().to_owned();
            drop(file);
            assert!(!path.exists() && !path.parent().unwrap().exists());
        }
    }
}

#[test]
fn damaged_files_are_called_damaged_and_nothing_is_written() {
    for folder in folders() {
        for name in ["BAD-flipped.db.crypt15", "BAD-truncated.db.crypt15"] {
            let mut out = Vec::new();
            let mut file = std::fs::File::open(folder.join(name)).unwrap();
            let error = decrypt(&mut file, name, &key(&folder, "key64.txt"), &mut out).unwrap_err();
            assert!(
                matches!(error, SourceError::Damaged { .. }),
                "{name}: {error}"
            );
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("damaged file: {name}: its check sum does not fit"))
            );
            assert!(out.is_empty());
        }
    }
}

#[test]
fn another_key_is_called_wrong_and_nothing_is_written() {
    let other = WaKey::from_bytes("00".repeat(32).as_bytes(), "other").unwrap();
    for folder in folders() {
        for (name, right) in GOOD {
            // A key of the other kind, and, where a check sum can tell, another one of the same kind.
            let wrong = if right == "key" { "key64.txt" } else { "key" };
            let mut keys = vec![key(&folder, wrong)];
            if !name.contains("nomd5") {
                keys.push(WaKey::from_bytes("00".repeat(32).as_bytes(), "other").unwrap());
            }
            for wrong in keys {
                let mut out = Vec::new();
                let mut file = std::fs::File::open(folder.join(name)).unwrap();
                let error = decrypt(&mut file, name, &wrong, &mut out).unwrap_err();
                assert_eq!(
                    error.to_string(),
                    format!("wrong key: {name} was encrypted with another one")
                );
                assert!(out.is_empty());
            }
        }
        // Without a check sum nobody can tell, and the error says so.
        let name = "msgstore-nomd5.db.crypt15";
        let error = decrypt(
            &mut std::fs::File::open(folder.join(name)).unwrap(),
            name,
            &other,
            &mut Vec::new(),
        );
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("the same when the key is wrong")
        );
    }
}

#[test]
fn any_flipped_bit_and_any_cut_is_noticed() {
    let Some(folder) = folders().into_iter().next() else {
        return;
    };
    for (name, key_name) in [
        ("msgstore.db.crypt12", "key"),
        ("msgstore-nomd5.db.crypt15", "key64.txt"),
    ] {
        let key = key(&folder, key_name);
        let whole = std::fs::read(folder.join(name)).unwrap();
        let mut plain = Vec::new();
        decrypt(&mut Cursor::new(&whole), name, &key, &mut plain).unwrap();
        for at in (0..whole.len())
            .step_by(397)
            .chain(0..120)
            .chain(whole.len() - 40..whole.len())
        {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let mut out = Vec::new();
            // A flip in what is not authenticated (features of the phone, the last digits) changes nothing.
            if decrypt(&mut Cursor::new(&bytes), name, &key, &mut out).is_ok() {
                assert_eq!(out, plain, "{name}: byte {at}");
            } else {
                assert!(out.is_empty(), "{name}: byte {at}");
            }
            let mut out = Vec::new();
            // The end of a crypt12 file says less than its tag: "--67" and the MD5 may be missing.
            if decrypt(&mut Cursor::new(&whole[..at]), name, &key, &mut out).is_ok() {
                assert!(
                    out == plain && at >= whole.len() - 20,
                    "{name}: cut at {at}"
                );
            }
        }
    }
}

#[test]
fn a_failed_decryption_leaves_no_folder_behind() {
    for folder in folders() {
        let before = temporary_folders();
        let failed = DecryptedFile::make(
            &folder.join("BAD-flipped.db.crypt15"),
            &key(&folder, "key64.txt"),
        );
        assert!(failed.is_err());
        assert!(
            temporary_folders() <= before + 2,
            "other tests may be running, this one left nothing"
        );
    }
}

#[test]
fn what_is_no_encrypted_file_is_refused() {
    let key = WaKey::from_bytes("00".repeat(32).as_bytes(), "other").unwrap();
    for bytes in [
        vec![],
        vec![0; 10],
        vec![0xFF; 1000],
        b"SQLite format 3\0".repeat(20),
        vec![0x0A; 300],
    ] {
        let mut out = Vec::new();
        assert!(decrypt(&mut Cursor::new(&bytes), "x.crypt15", &key, &mut out).is_err());
        assert!(out.is_empty());
    }
}
