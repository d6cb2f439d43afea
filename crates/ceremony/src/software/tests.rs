use std::time::Duration;

use super::*;
use crate::ask::{Ask, Enrol, Known, Options as SessionOptions, Purpose};
use crate::error::CeremonyError;
use crate::session::Session;
use crate::testing::rng;

const ENROL: Enrol<'static> = Enrol {
    prf_input: &[5; 32],
    exclude: &[],
    user_name: "Unlocks your chat backup – don't delete",
    display_name: "Unlocks your chat backup – don't delete",
};

fn session(folder: &Path, wallet: &Path) -> Session {
    let options = SessionOptions {
        repository: [7; 16],
        backup_label: "a disk",
        folder,
        timeout: Duration::from_secs(20),
        site: None,
    };
    Session::begin(&options, &mut |opening| open(wallet, opening), &mut rng(1)).unwrap()
}

#[test]
fn a_passkey_of_one_session_answers_in_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = folder.path().join("wallet.json");
    let new = session(folder.path(), &wallet)
        .register(&ENROL, &mut rng(2))
        .unwrap();
    let known = [Known {
        credential_id: new.passkey.credential_id.clone(),
        rp_id: new.passkey.rp_id.clone(),
        transports: new.passkey.transports.clone(),
        name: None,
        public_key: Some(new.public_key.clone()),
    }];
    let ask = Ask {
        purpose: Purpose::Unlock,
        prf_input: &[5; 32],
        candidates: &known,
    };
    let answer = session(folder.path(), &wallet)
        .authenticate(&ask, &mut rng(3))
        .unwrap();
    assert_eq!(answer.credential_id, new.passkey.credential_id);
    let again = session(folder.path(), &wallet).register(
        &Enrol {
            exclude: &known,
            ..ENROL
        },
        &mut rng(4),
    );
    assert!(
        matches!(again, Err(CeremonyError::AlreadyThere)),
        "{again:?}"
    );
}

#[test]
fn an_empty_wallet_has_no_way_in() {
    let folder = tempfile::tempdir().unwrap();
    let wallet = folder.path().join("wallet.json");
    let known = [crate::testing::Fake::new(1).known()];
    let ask = Ask {
        purpose: Purpose::Unlock,
        prf_input: &[5; 32],
        candidates: &known,
    };
    let error = session(folder.path(), &wallet)
        .authenticate(&ask, &mut rng(3))
        .unwrap_err();
    assert!(matches!(error, CeremonyError::CancelledOrGone), "{error:?}");
}

#[test]
fn the_output_is_the_one_of_the_specification() {
    // "salt = SHA-256(UTF8Encode("WebAuthn PRF") || 0x00 || input)", then HMAC-SHA-256 with the
    // passkey's secret: https://www.w3.org/TR/webauthn-3/#prf-extension
    use crate::message::{Message, Said};
    use crate::seal::{Output, Secret, StepKeys};
    use hkdf::hmac::{Hmac, KeyInit as _, Mac as _};
    use sha2::{Digest as _, Sha256};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wallet.json");
    session(folder.path(), &path)
        .register(&ENROL, &mut rng(2))
        .unwrap();
    let wallet = Wallet::load(&path).unwrap();
    let kept = wallet.passkeys[0].clone();
    let secret = crate::bytes::read(kept.hmac_secret.as_deref().unwrap(), 64).unwrap();
    let salt = Sha256::digest([b"WebAuthn PRF\0".as_slice(), &[5; 32]].concat());
    let mut mac = Hmac::<Sha256>::new_from_slice(&secret).unwrap();
    mac.update(&salt);
    let expected: [u8; 32] = mac.finalize().into_bytes().into();

    let keys = StepKeys::generate(&mut rng(3));
    let client = Client {
        port: 4242,
        cookie: Zeroizing::default(),
        bearer: Zeroizing::default(),
        psk: Secret::generate(&mut rng(4)),
        site: None,
    };
    let view = json!({
        "number": 1,
        "options": {
            "challenge": bytes::text(&[6; 32]),
            "rpId": "localhost",
            "allow": [{"id": kept.credential_id, "transports": []}],
            "prfInput": bytes::text(&[5; 32]),
        },
        "keys": {"xWing": bytes::text(keys.public()[0])},
    });
    let mut browser = browser(&path, wallet);
    let origin = Url::parse(&client.origin()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let said = runtime
        .block_on(get(&mut browser, &origin, &view, &client.psk))
        .unwrap();
    let message = Message::read(said.to_string().as_bytes()).unwrap();
    let Said::Asserted(asserted) = message.said else {
        panic!("{message:?}");
    };
    let output = keys.open(&client.psk, &[6; 32], &asserted.aad(), &asserted.sealed);
    assert!(output.unwrap().unwrap().agrees(&Output::of(expected)));
}
