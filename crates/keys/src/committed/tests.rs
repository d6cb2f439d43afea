//! Our wrappers give the verdicts of Wycheproof, and a commitment is what it says.

use std::path::PathBuf;

use serde_json::Value;

use super::*;

static_assertions::assert_not_impl_any!(Secret32: Clone, Copy, PartialEq, std::fmt::Display);

#[test]
fn a_sealed_value_opens_only_with_its_own_salt_secret_and_place() {
    let info = Info::new("test").field(b"here");
    let sealed = seal(b"salt", b"secret", &info, b"value");
    assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
    assert_eq!(
        open(b"salt", b"secret", &info, &sealed).unwrap().as_slice(),
        b"value"
    );
    assert_eq!(
        open(b"tals", b"secret", &info, &sealed),
        Err(Closed::OtherKey)
    );
    assert_eq!(
        open(b"salt", b"other", &info, &sealed),
        Err(Closed::OtherKey)
    );
    assert_eq!(
        open(
            b"salt",
            b"secret",
            &Info::new("test").field(b"there"),
            &sealed
        ),
        Err(Closed::OtherKey)
    );
}

#[test]
fn the_commitment_is_compared_before_anything_is_opened() {
    let info = Info::new("test");
    let sealed = seal(b"", b"secret", &info, b"value");
    for at in 0..sealed.len() {
        let mut bad = sealed.clone();
        bad[at] ^= 0x80;
        let expected = if at < COMMITMENT_BYTES {
            Closed::OtherKey
        } else {
            Closed::Damaged
        };
        assert_eq!(
            open(b"", b"secret", &info, &bad),
            Err(expected),
            "byte {at}"
        );
    }
    assert!((0..sealed.len()).all(|len| open(b"", b"secret", &info, &sealed[..len]).is_err()));
}

#[test]
fn no_two_lists_of_fields_give_the_same_bytes() {
    let lists = [
        Info::new("a").field(b"bc"),
        Info::new("ab").field(b"c"),
        Info::new("a").field(b"b").field(b"c"),
        Info::new("a").field(b"bc").field(b""),
    ];
    for (index, a) in lists.iter().enumerate() {
        assert!(
            lists[index + 1..]
                .iter()
                .all(|b| a.as_bytes() != b.as_bytes())
        );
    }
}

#[test]
fn debug_shows_no_byte_of_a_secret() {
    let shown = format!("{:?}", Secret32::filled(|bytes| bytes.fill(0xab)));
    assert!(
        shown.contains("REDACTED") && !shown.contains("171"),
        "{shown}"
    );
}

#[test]
fn wycheproof_hkdf_sha256() {
    let Some(file) = wycheproof("hkdf_sha256_test.json") else {
        return;
    };
    let mut checked = 0;
    for test in tests(&file) {
        let size = usize::try_from(test["size"].as_u64().unwrap()).unwrap();
        // Longer outputs than HKDF has are never asked for.
        if size > 255 * 32 {
            assert_eq!(test["result"], "invalid");
            continue;
        }
        let mut out = vec![0; size];
        hkdf_sha256(
            &hex(&test["salt"]),
            &hex(&test["ikm"]),
            &hex(&test["info"]),
            &mut out,
        );
        assert_eq!(
            out == hex(&test["okm"]),
            test["result"] != "invalid",
            "{}",
            test["tcId"]
        );
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

#[test]
fn wycheproof_hmac_sha256() {
    let Some(file) = wycheproof("hmac_sha256_test.json") else {
        return;
    };
    let mut checked = 0;
    for test in tests(&file) {
        let tag = hex(&test["tag"]);
        let made = hmac_sha256(&hex(&test["key"]), &hex(&test["msg"]));
        let is_right = bool::from(made[..tag.len()].ct_eq(&tag));
        assert_eq!(is_right, test["result"] != "invalid", "{}", test["tcId"]);
        checked += 1;
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn wycheproof_aes_gcm() {
    let Some(file) = wycheproof("aes_gcm_test.json") else {
        return;
    };
    let mut checked = 0;
    for test in tests(&file) {
        let (key, nonce, tag) = (hex(&test["key"]), hex(&test["iv"]), hex(&test["tag"]));
        // Only what the format uses: 256-bit keys, 96-bit nonces.
        let (32, Ok(nonce)) = (key.len(), <[u8; 12]>::try_from(nonce)) else {
            continue;
        };
        let (message, aad) = (hex(&test["msg"]), hex(&test["aad"]));
        let mut text = hex(&test["ct"]);
        let opened = aead_open(&key, &nonce, &aad, &mut text, &tag);
        assert_eq!(
            opened.is_ok(),
            test["result"] != "invalid",
            "{}",
            test["tcId"]
        );
        if opened.is_ok() {
            assert_eq!(text, message);
            let mut text = message;
            assert_eq!(aead_seal(&key, &nonce, &aad, &mut text).as_slice(), tag);
            assert_eq!(text, hex(&test["ct"]));
        }
        checked += 1;
    }
    assert!(checked > 50, "{checked}");
}

fn tests(file: &Value) -> impl Iterator<Item = &Value> {
    file["testGroups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["tests"].as_array().unwrap())
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn wycheproof(name: &str) -> Option<Value> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let shared = std::env::var_os("HEIRLOOM_SHARED").map_or_else(beside, PathBuf::from);
    let path = shared
        .join("corpus/C2SP+wycheproof/testvectors_v1")
        .join(name);
    let required = std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_some_and(|value| value == "1");
    match std::fs::read(path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) if required => panic!("{name}: {error}"),
        Err(_) => {
            println!("skipped: ../shared is absent");
            None
        }
    }
}
