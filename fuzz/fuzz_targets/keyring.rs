//! Any bytes as a keyring or as a device's own files: no panic, and nothing that was not made by an
//! owner opens.
#![no_main]

use heirloom_keys::{
    DeviceCredential, LockedKeyring, RecoveryEntry, RecoveryKey, UnlockSecret, WriterCredentials,
};
use libfuzzer_sys::fuzz_target;

/// The recovery key of `testdata/vectors/keys/keyring.json`, which is also the corpus to begin with.
const RECOVERY_KEY: &str =
    "973d 5c60 8e9f 2b5e b5dd fbb0 adae 6248 692b 51de b917 d87c 72fd 2643 5fd5 bde2";

fuzz_target!(|bytes: &[u8]| {
    let _ = DeviceCredential::from_bytes(bytes);
    let _ = WriterCredentials::from_bytes(bytes);
    let Ok(keyring) = LockedKeyring::parse(bytes) else {
        return;
    };
    let RecoveryEntry::Exact(key) = RecoveryKey::parse(RECOVERY_KEY) else {
        unreachable!("the key is exact")
    };
    let _ = keyring.unlock(&UnlockSecret::recovery_key(&key));
});
