//! Any bytes as a pack and its directory: no panic, no length that is not there.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::pack(bytes));
