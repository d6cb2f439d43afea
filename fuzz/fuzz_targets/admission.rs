//! Any bytes as what a computer keeps for its own way in, or as what it asks an owner for: no panic, and an owner who
//! says yes still opens the backup.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = heirloom_keys::fuzzing::admission(bytes);
});
