use proptest::prelude::*;

use super::*;
use crate::testing::Fake;

const CHALLENGE: [u8; 32] = [3; 32];

const EXPECTED: Expected<'static> = Expected {
    rp_id: "localhost",
    origin: "http://localhost:4242",
    challenge: &CHALLENGE,
    earlier: &[],
};

fn client_data(kind: &str) -> Vec<u8> {
    let challenge = crate::bytes::text(&CHALLENGE);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"http://localhost:4242","crossOrigin":false,"later":[1]}}"#).into_bytes()
}

fn created(attestation_object: Vec<u8>, client_data: Vec<u8>) -> Created {
    Created {
        id: vec![1; 16],
        client_data,
        attestation_object,
        transports: Vec::new(),
        prf_enabled: None,
    }
}

#[test]
fn a_registration_with_members_of_a_later_standard_is_fine() {
    let created = created(
        Fake::new(1).attestation_object(),
        client_data("webauthn.create"),
    );
    assert!(EXPECTED.registration(&created, &[]).is_ok());
}

#[test]
fn a_registration_that_names_another_passkey_than_it_attests_is_refused() {
    let mut created = created(
        Fake::new(1).attestation_object(),
        client_data("webauthn.create"),
    );
    created.id = vec![2; 16];
    let error = EXPECTED.registration(&created, &[]).unwrap_err();
    assert!(matches!(
        error,
        CeremonyError::BadAnswer(BadAnswer::UnknownPasskey)
    ));
}

#[test]
fn an_origin_is_shown_short_and_printable() {
    assert_eq!(shown("http://a\u{202e}b\nc"), "http://abc");
    assert_eq!(shown(&"a".repeat(500)).len(), 80);
}

#[test]
fn nested_lists_do_not_exhaust_the_stack() {
    let deep = created(vec![0x81; 20_000], client_data("webauthn.create"));
    assert!(EXPECTED.registration(&deep, &[]).is_err());
    // A map that claims four billion entries.
    let claims = created(
        vec![0xba, 0xff, 0xff, 0xff, 0xff, 0x61],
        client_data("webauthn.create"),
    );
    assert!(EXPECTED.registration(&claims, &[]).is_err());
}

proptest! {
    #[test]
    fn no_attestation_object_upsets_the_verifier(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = EXPECTED.registration(&created(bytes, client_data("webauthn.create")), &[]);
    }

    #[test]
    fn no_change_of_an_attestation_object_upsets_the_verifier(at in any::<prop::sample::Index>(), with in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut object = Fake::new(1).attestation_object();
        let at = at.index(object.len());
        object[at] = with;
        let _ = EXPECTED.registration(&created(object.clone(), client_data("webauthn.create")), &[]);
        object.truncate(cut.index(object.len()));
        prop_assert!(EXPECTED.registration(&created(object, client_data("webauthn.create")), &[]).is_err());
    }

    #[test]
    fn no_client_data_upsets_the_verifier(text in ".{0,200}") {
        let created = created(Fake::new(1).attestation_object(), text.into_bytes());
        prop_assert!(EXPECTED.registration(&created, &[]).is_err());
    }

    #[test]
    fn no_public_key_upsets_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let backup = Backup { eligible: true, state: true };
        let _ = credential(&[1], &bytes, backup);
    }
}
