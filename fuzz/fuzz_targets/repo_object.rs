//! Any bytes as a sealed object, and as what lies sealed in one: no panic, and nothing opens that was not sealed.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::object(bytes));
