//! Any text as a recovery key: no panic, and what is read is written the same.
#![no_main]

use heirloom_keys::{RecoveryEntry, RecoveryKey};
use libfuzzer_sys::fuzz_target;
use secrecy::ExposeSecret;

fuzz_target!(|text: &str| {
    let (RecoveryEntry::Exact(key) | RecoveryEntry::MendedCandidate { key, .. }) =
        RecoveryKey::parse(text)
    else {
        return;
    };
    let groups = key.expose_groups();
    assert!(matches!(
        RecoveryKey::parse(groups.expose_secret()),
        RecoveryEntry::Exact(_)
    ));
});
