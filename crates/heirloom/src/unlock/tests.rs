use super::*;
use heirloom_keys::{Act, CreateParams, Keyring, NewSlot, Provider, RecoveryKey};

const FIRST: u8 = 7;

fn passkey(rp_id: &str) -> Passkey {
    Passkey {
        credential_id: vec![1, 2, 3],
        rp_id: rp_id.into(),
        transports: vec![],
    }
}

fn output(byte: u8) -> PrfOutput {
    PrfOutput::filled(|bytes| bytes.fill(byte))
}

fn entered(byte: u8) -> Entered {
    Entered::Passkey(EnteredPasskey::new(passkey("localhost"), output(byte)).unwrap())
}

/// A keyring with a recovery key and a passkey.
fn locked() -> LockedKeyring {
    let mut rng = crate::keys::rng();
    let recovery = RecoveryKey::generate(&mut rng);
    let params = CreateParams {
        device_name: "a",
        recovery: &recovery,
        recovery_name: "Recovery key",
    };
    let (_, unlocked, device) = Keyring::create(&mut rng, 1, &params).unwrap();
    let act = Act {
        device: device.device(),
        now_ms: 2,
    };
    let slot = NewSlot {
        name: "Passkey",
        method: Method::Passkey(passkey("localhost")),
        provider: Some(Provider {
            aaguid: [1; 16],
            backup_eligible: true,
            backup_state: true,
        }),
        secret: &HighEntropySecret::try_from(output(FIRST)).unwrap(),
    };
    let successor = unlocked.add_slot(&mut rng, act, slot).unwrap();
    LockedKeyring::parse(&successor.bytes).unwrap()
}

#[test]
fn what_the_passkey_gave_when_it_was_added_opens() {
    entered(FIRST).open(&locked()).unwrap();
}

#[test]
fn a_passkey_that_gives_something_else_has_words_of_its_own() {
    let locked = locked();
    let failure = entered(8).open(&locked).unwrap_err();
    assert_eq!(failure.exit, Exit::WrongKey);
    assert!(
        failure
            .message
            .contains("this device's system has a known fault, or it is another passkey")
    );
    let failure = with_other_ways(failure, Way::Passkey, &Offers::of(&locked));
    assert!(
        failure
            .hint
            .as_deref()
            .unwrap()
            .ends_with("or use another way: the recovery key (`--recovery-key-file FILE`)"),
        "{failure:?}"
    );
}

#[test]
fn a_passkey_that_gives_nothing_is_refused_before_any_slot() {
    assert!(matches!(
        EnteredPasskey::new(passkey("localhost"), output(0)),
        Err(CeremonyError::Unavailable)
    ));
}

#[test]
fn cancelled_or_gone_names_what_else_would_work() {
    let failure = browser::failure(CeremonyError::CancelledOrGone);
    let failure = with_other_ways(failure, Way::Passkey, &Offers::of(&locked()));
    assert_eq!(failure.exit, Exit::NeedsUnlock);
    assert_eq!(
        failure.hint.as_deref(),
        Some(
            "if you cancelled, try again; if the passkey is no longer in your password manager, use another way: the recovery key (`--recovery-key-file FILE`)"
        )
    );
    // Once is enough.
    let again = with_other_ways(
        Failure::new(Exit::NeedsUnlock, "x").or_hint(failure.hint.clone()),
        Way::Passkey,
        &Offers::of(&locked()),
    );
    assert_eq!(again.hint, failure.hint);
}

#[test]
fn a_wrong_recovery_key_names_the_passkey() {
    let failure = Failure::from(OpenError::WrongRecoveryKey);
    let failure = with_other_ways(failure, Way::RecoveryKey, &Offers::of(&locked()));
    assert_eq!(
        failure.hint.as_deref(),
        Some(
            "check which backup the key belongs to; its kit names it; a passkey (`--passkey`) opens this backup too"
        )
    );
}

#[test]
fn where_nobody_can_be_asked_every_flag_is_named() {
    let failure = nobody_to_ask(&Offers::of(&locked()));
    assert_eq!(failure.exit, Exit::NeedsUnlock);
    assert_eq!(
        failure.hint.as_deref(),
        Some(
            "this backup can be opened with a passkey (`--passkey`) or the recovery key (`--recovery-key-file FILE`)"
        )
    );
}

#[test]
fn damage_is_no_reason_to_try_another_key() {
    let failure = with_other_ways(
        Failure::new(Exit::Damage, "damaged"),
        Way::Passkey,
        &Offers::of(&locked()),
    );
    assert_eq!(failure.hint, None);
    assert!(!is_worth_another(&failure));
}
