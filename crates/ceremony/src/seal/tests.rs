use hpke::aead::AesGcm128;

use super::*;
use crate::testing::rng;

fn sealed(suite: Suite) -> (StepKeys, Secret, Sealed) {
    let mut rng = rng(1);
    let keys = StepKeys::generate(&mut rng);
    let psk = Secret::generate(&mut rng);
    let [x_wing, x25519] = keys.public();
    let public = match suite {
        Suite::XWing => x_wing,
        Suite::X25519 => x25519,
    };
    let sealed = seal(
        suite,
        public,
        &psk,
        &[1; 32],
        b"answer",
        Some(&[2; 32]),
        &mut rng,
    )
    .unwrap();
    (keys, psk, sealed)
}

#[test]
fn only_the_same_key_page_challenge_and_answer_open_it() {
    for suite in [Suite::XWing, Suite::X25519] {
        let (keys, psk, sealed) = sealed(suite);
        let output = keys
            .open(&psk, &[1; 32], b"answer", &sealed)
            .unwrap()
            .unwrap();
        assert!(output.agrees(&Output::of([2; 32])));
        let mut others = rng(2);
        let closed = |result: Result<Option<Output>, BadAnswer>| {
            assert!(matches!(result, Err(BadAnswer::Sealing)), "{suite:?}");
        };
        closed(StepKeys::generate(&mut others).open(&psk, &[1; 32], b"answer", &sealed));
        closed(keys.open(&Secret::generate(&mut others), &[1; 32], b"answer", &sealed));
        closed(keys.open(&psk, &[3; 32], b"answer", &sealed));
        closed(keys.open(&psk, &[1; 32], b"another answer", &sealed));
        let mut cut = sealed.clone();
        cut.ciphertext.pop();
        closed(keys.open(&psk, &[1; 32], b"answer", &cut));
        let mut flipped = sealed.clone();
        flipped.encapsulated[0] ^= 1;
        closed(keys.open(&psk, &[1; 32], b"answer", &flipped));
        let other = match suite {
            Suite::XWing => Suite::X25519,
            Suite::X25519 => Suite::XWing,
        };
        closed(keys.open(
            &psk,
            &[1; 32],
            b"answer",
            &Sealed {
                suite: other,
                ..sealed
            },
        ));
    }
}

#[test]
fn whether_there_is_an_output_does_not_show_in_the_length() {
    let (keys, psk, with) = sealed(Suite::XWing);
    let without = seal(
        Suite::XWing,
        keys.public()[0],
        &psk,
        &[1; 32],
        b"answer",
        None,
        &mut rng(3),
    )
    .unwrap();
    assert_eq!(with.ciphertext.len(), without.ciphertext.len());
    assert!(
        keys.open(&psk, &[1; 32], b"answer", &without)
            .unwrap()
            .is_none()
    );
}

#[test]
fn bearer_and_psk_are_of_one_page_and_say_nothing_of_each_other() {
    let token = Secret::generate(&mut rng(1));
    let page = token.derive_page();
    let all = [&token, &page, &page.derive_bearer(), &page.derive_psk()].map(Secret::exposed_hex);
    for (at, one) in all.iter().enumerate() {
        assert!(all.iter().skip(at + 1).all(|other| other != one));
    }
}

#[test]
fn hpke_gives_what_rfc_9180_says_in_psk_mode() {
    // RFC 9180, appendix A.1.2: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, sequence number 0.
    let bytes = |hex: &str| hex::decode(hex).unwrap();
    let psk = bytes("0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82");
    let psk_id = bytes("456e6e796e20447572696e206172616e204d6f726961");
    let key = bytes("c5eb01eb457fe6c6f57577c5413b931550a162c71a03ac8d196babbd4e5ce0fd");
    let encapsulated = bytes("0ad0950d9fb9588e59690b74f1237ecdf1d775cd60be2eca57af5a4b0471c91b");
    let opened = single_shot_open::<AesGcm128, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Psk(PskBundle::new(&psk, &psk_id).unwrap()),
        &<X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&key).unwrap(),
        &<X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&encapsulated).unwrap(),
        &bytes("4f6465206f6e2061204772656369616e2055726e"),
        &bytes(
            "e52c6fed7f758d0cf7145689f21bc1be6ec9ea097fef4e959440012f4feb73fb611b946199e681f4cfc34db8ea",
        ),
        &bytes("436f756e742d30"),
    );
    assert_eq!(opened.unwrap(), b"Beauty is truth, truth beauty");
}
