//! Any bytes as what a page posts: read, and verified as far as it goes without a passkey.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let _ = heirloom_ceremony::fuzzing::answer(json);
});
