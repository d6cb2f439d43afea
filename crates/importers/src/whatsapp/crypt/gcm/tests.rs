use proptest::prelude::*;

use super::*;

fn open(key: &[u8; 32], iv: &[u8], aad: &[u8], ciphertext: &[u8], tag: &[u8]) -> Option<Vec<u8>> {
    let gcm = Gcm::new(key, iv);
    let mut check = gcm.check(aad);
    check.update(ciphertext);
    if !check.fits(tag) {
        return None;
    }
    let mut text = ciphertext.to_vec();
    assert!(apply(&mut gcm.into_stream(), &mut text));
    Some(text)
}

#[test]
fn every_verdict_of_wycheproof_is_ours() {
    let Some(root) =
        crate::testing::shared("corpus/C2SP+wycheproof/testvectors_v1/aes_gcm_test.json")
    else {
        return;
    };
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(root).unwrap()).unwrap();
    let (mut all, mut of_whatsapp) = (0, 0);
    for group in file["testGroups"].as_array().unwrap() {
        if group["keySize"] != 256 {
            continue;
        }
        for test in group["tests"].as_array().unwrap() {
            let bytes = |field: &str| hex::decode(test[field].as_str().unwrap()).unwrap();
            let key: [u8; 32] = bytes("key").try_into().unwrap();
            let (iv, ciphertext) = (bytes("iv"), bytes("ct"));
            if iv.is_empty() {
                // "invalid" there, and no file of ours can have it: the header's IV has 16 bytes.
                continue;
            }
            let text = open(&key, &iv, &bytes("aad"), &ciphertext, &bytes("tag"));
            let valid = test["result"] == "valid";
            assert_eq!(text, valid.then(|| bytes("msg")), "test {}", test["tcId"]);
            all += 1;
            of_whatsapp += usize::from(iv.len() == 16);
        }
    }
    assert!(all > 60, "only {all} vectors of 256-bit keys");
    assert!(
        of_whatsapp > 3,
        "only {of_whatsapp} vectors with WhatsApp's IV of 16 bytes"
    );
}

proptest! {
    #[test]
    fn pieces_give_the_tag_of_the_whole(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        cuts in proptest::collection::vec(0usize..200, 0..6),
    ) {
        let gcm = Gcm::new(&[3; 32], &[5; 16]);
        let mut whole = gcm.check(b"");
        whole.update(&bytes);
        let mut parts = gcm.check(b"");
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            parts.update(&bytes[from..cut]);
            from = cut;
        }
        parts.update(&bytes[from..]);
        let hash = |mut check: Check| {
            check.hash.update_padded(&check.rest[..check.rest_bytes]);
            check.hash.update(&[lengths(0, check.bytes)]);
            check.hash.finalize()
        };
        prop_assert_eq!(hash(whole), hash(parts));
    }

    #[test]
    fn a_tag_of_another_length_never_fits(tag in proptest::collection::vec(any::<u8>(), 0..15)) {
        let check = Gcm::new(&[3; 32], &[5; 16]).check(b"");
        prop_assert!(!check.fits(&tag));
    }
}
