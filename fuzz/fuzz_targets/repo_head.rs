//! Any bytes as a head, a snapshot, a prune mark or an object's name: no panic, and nothing unsigned is heeded.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::head(bytes));
