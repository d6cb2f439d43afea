//! The vectors of the `WebAuthn` specification, as it prints them.

use std::path::PathBuf;

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherDecrypt, KeyInit};

use super::*;

static_assertions::assert_not_impl_any!(PrfOutput: Clone, Copy, PartialEq, std::fmt::Display);
static_assertions::assert_not_impl_any!(CredRandom: Clone, Copy, PartialEq, std::fmt::Display);

const SEED: &[u8] = b"WebAuthn PRF test vectors";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn seeded(number: u8) -> Vec<u8> {
    [SEED, &[number]].concat()
}

fn cred_random() -> CredRandom {
    CredRandom::filled(|bytes| bytes.copy_from_slice(&sha256(&seeded(6))))
}

#[test]
fn an_input_gives_the_salt_and_the_output_of_the_specification() {
    // Copied from the section's "Single input" and "Two input" cases.
    let salts = [
        "527413ebb48293772df30f031c5ac4650c7de14bf9498671ae163447b6a772b3",
        "d68ac03329a10ee5e0ec834492bb9a96a0e547baf563bf78ccbe8789b22e776b",
    ];
    let outputs = [
        "3c33e07d202c3b029cc21f1722767021bf27d595933b3d2b6a1b9d5dddc77fae",
        "a62a8773b19cda90d7ed4ef72a80a804320dbd3997e2f663805ad1fd3293d50b",
    ];
    for (input, (salt, output)) in [2, 3].into_iter().zip(salts.into_iter().zip(outputs)) {
        let made = prf_salt(&seeded(input));
        assert_eq!(made.as_slice(), hex(salt));
        let made = cred_random().output(&made);
        assert_eq!(made.exposed().as_slice(), hex(output));
    }
}

/// Reads `name = h'…'` lines of the section in the specification's own text.
fn values<'a>(text: &'a str, name: &'a str) -> Vec<Vec<u8>> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(name)?.strip_prefix(" = h'"))
        .map(|rest| hex(rest.trim_end_matches('\'')))
        .collect()
}

/// The specification's text from where its CTAP2 cases begin; nothing where the corpus is absent.
fn specification() -> Option<String> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("HEIRLOOM_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared.join("corpus/w3c+webauthn/index.bs.test-vectors.section.txt");
    let required = std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_some_and(|value| value == "1");
    match std::fs::read_to_string(path) {
        Ok(text) => {
            let (_, text) = text
                .split_once("{#test-vectors-extensions-prf-ctap}")
                .unwrap();
            Some(text.to_owned())
        }
        Err(error) if required => panic!("{error}"),
        Err(_) => {
            println!("skipped: ../shared is absent");
            None
        }
    }
}

#[test]
fn every_case_of_the_specifications_text_is_met() {
    let Some(text) = specification() else { return };
    for (place, number, cases) in [("first", 1, 3), ("second", 2, 1)] {
        let inputs = values(&text, &format!("prf_eval_{place}"));
        let salts = values(&text, &format!("salt{number}"));
        let at_the_key = values(&text, &format!("output{number}"));
        let results = values(&text, &format!("prf_results_{place}"));
        let counts = [&inputs, &salts, &at_the_key, &results].map(Vec::len);
        assert_eq!(counts, [cases; 4]);
        for case in 0..cases {
            let salt = prf_salt(&inputs[case]);
            let output = cred_random().output(&salt);
            assert_eq!(salt.as_slice(), salts[case]);
            assert_eq!(output.exposed().as_slice(), at_the_key[case]);
            assert_eq!(output.exposed().as_slice(), results[case]);
        }
    }
}

/// AES-256-CBC as CTAP2's PIN protocols use it: 1 without an IV, 2 with one in front and the key behind
/// another key.
fn decrypted(shared_secret: &[u8], encrypted: &[u8]) -> Vec<u8> {
    let (key, iv, blocks) = match shared_secret.len() {
        32 => (shared_secret, &[0; 16][..], encrypted),
        64 => (&shared_secret[32..], &encrypted[..16], &encrypted[16..]),
        other => panic!("a shared secret of {other} bytes"),
    };
    let cipher = Aes256::new_from_slice(key).unwrap();
    let before = iv.chunks(16).chain(blocks.chunks(16));
    let plain = blocks.chunks(16).zip(before).flat_map(|(block, before)| {
        let mut block = block.try_into().unwrap();
        cipher.decrypt_block(&mut block);
        let plain: Vec<u8> = block.iter().zip(before).map(|(a, b)| a ^ b).collect();
        plain
    });
    plain.collect()
}

#[test]
fn what_travels_to_a_key_and_back_is_the_salts_and_the_outputs() {
    let Some(text) = specification() else { return };
    let secrets = values(&text, "shared_secret");
    let salts = values(&text, "salt_enc");
    let outputs = values(&text, "output_enc");
    assert_eq!([&secrets, &salts, &outputs].map(Vec::len), [3; 3]);
    for (case, inputs) in [&[2][..], &[2, 3], &[2]].into_iter().enumerate() {
        let salt = |number: &u8| prf_salt(&seeded(*number));
        let wanted: Vec<_> = inputs.iter().flat_map(salt).collect();
        assert_eq!(decrypted(&secrets[case], &salts[case]), wanted);
        let output = |number: &u8| *cred_random().output(&salt(number)).exposed();
        let wanted: Vec<_> = inputs.iter().flat_map(output).collect();
        assert_eq!(decrypted(&secrets[case], &outputs[case]), wanted);
    }
}

#[test]
fn another_input_or_another_credential_gives_another_output() {
    let salt = prf_salt(b"one");
    let output = cred_random().output(&salt);
    assert!(output.agrees_with(&cred_random().output(&salt)));
    assert!(!output.agrees_with(&cred_random().output(&prf_salt(b"two"))));
    let other = CredRandom::generate(&mut crate::testing::TestRng::new(1));
    assert!(!output.agrees_with(&other.output(&salt)));
    // A salt is not an input: hashing it twice is a known fault of bridges.
    assert!(!output.agrees_with(&cred_random().output(&prf_salt(&salt))));
}

#[test]
fn debug_shows_no_byte() {
    let shown = format!(
        "{:?}{:?}",
        CredRandom::filled(|bytes| bytes.fill(0xab)),
        PrfOutput::filled(|bytes| bytes.fill(0xab))
    );
    assert!(
        !shown.contains("171") && shown.contains("REDACTED"),
        "{shown}"
    );
}
