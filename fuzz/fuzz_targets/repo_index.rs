//! Any bytes as an index and its rows: no panic, and no chunk lies outside its packs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| heirloom_engine::fuzzing::index(bytes));
