//! Any bytes as what a stranger sends to the vault: bodies of requests, names, ranges, tokens, headers; and as its configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = heirloom_vault::fuzzing::request(bytes);
});
