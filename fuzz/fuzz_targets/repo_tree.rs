//! Any bytes as a conversation's tree, a segment or a message: no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::tree(bytes));
