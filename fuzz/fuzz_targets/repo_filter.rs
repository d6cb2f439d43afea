//! Any bytes as a term filter, and as a text to make one of: no panic, and a filter holds what it was made of.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::filter(bytes));
