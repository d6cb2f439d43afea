//! A new passkey.

use super::*;

#[test]
fn a_new_passkey_is_saved_and_tested_twice() {
    let registered = registered(|mut page| {
        let fake = Fake::new(1);
        let view = page.create(&fake);
        assert_eq!(view["step"], "1 of 3: save the passkey");
        assert_eq!(view["options"]["prfInput"], crate::bytes::text(&INPUT));
        let view = page.get(&fake);
        assert_eq!(
            (&view["step"], &view["title"]),
            (
                &json!("2 of 3: test it"),
                &json!("Passkey saved in iCloud Keychain")
            )
        );
        let view = page.get(&fake);
        assert_eq!(view["step"], "3 of 3: once more");
    })
    .unwrap();
    assert_eq!(registered.passkey.credential_id, [1; 16]);
    assert_eq!(registered.passkey.rp_id, "localhost");
    assert_eq!(registered.passkey.transports, ["internal", "hybrid"]);
    let provider = Provider {
        aaguid: AAGUID,
        backup_eligible: true,
        backup_state: true,
    };
    assert_eq!(registered.provider, provider);
    assert_eq!(registered.provider_name, Some("iCloud Keychain"));
    assert_eq!(registered.public_key, Fake::new(1).public_key());
    assert!(output_of(registered.prf));
}

#[test]
fn one_session_runs_several_ceremonies_and_ends_in_words() {
    let mut opened = opened(|mut page| {
        let (one, two) = (Fake::new(1), Fake::new(2));
        page.get(&one);
        page.create(&two);
        page.get(&two);
        page.get(&two);
        page.get(&two);
        let view = loop {
            let view = page.view();
            if view["kind"] == "end" {
                break view;
            }
        };
        assert_eq!(
            (&view["title"], &view["good"]),
            (&json!("Saved"), &json!(true))
        );
    });
    let known = [Fake::new(1).known()];
    let session = &mut opened.session;
    session.authenticate(&ask(&known), &mut rng(1)).unwrap();
    let new = session.register(&enrol(&known), &mut rng(2)).unwrap();
    let new = Known {
        credential_id: new.passkey.credential_id,
        rp_id: new.passkey.rp_id,
        transports: new.passkey.transports,
        name: None,
        public_key: Some(new.public_key),
    };
    session.authenticate(&ask(&[new]), &mut rng(3)).unwrap();
    let ending = Ending {
        good: true,
        title: "Saved".to_owned(),
        text: String::new(),
    };
    opened.session.end(&ending);
    opened.page.join().unwrap();
}

#[test]
fn a_second_answer_that_differs_is_a_faulty_provider() {
    let error = registered(|mut page| {
        let fake = Fake::new(1);
        page.create(&fake);
        page.get(&fake);
        page.get(&Fake {
            output: Some([8; 32]),
            ..fake
        });
        let view = page.view();
        assert_eq!(view["title"], "This passkey gave two different answers");
        assert_eq!(view["forget"]["credentialId"], crate::bytes::text(&[1; 16]));
    })
    .unwrap_err();
    assert!(matches!(error, CeremonyError::FaultyProvider));
    assert_eq!(
        error.hint().unwrap(),
        "it was saved but not used: you can delete it; try a different password manager, a phone, or a security key"
    );
}

#[test]
fn a_new_passkey_without_outputs_is_not_used() {
    let says_so = registered(|mut page| {
        page.create(&Fake {
            prf_enabled: Some(false),
            ..Fake::new(1)
        });
        assert!(page.view()["forget"].is_object());
    });
    assert!(matches!(says_so, Err(CeremonyError::UnusablePasskey)));
    let shows_it = registered(|mut page| {
        let fake = Fake {
            prf_enabled: None,
            output: None,
            ..Fake::new(1)
        };
        page.create(&fake);
        page.get(&fake);
    });
    assert!(matches!(shows_it, Err(CeremonyError::UnusablePasskey)));
    assert_eq!(
        shows_it.unwrap_err().to_string(),
        "this passkey can't be used for backups"
    );
}

#[test]
fn both_tests_are_verified_with_the_new_key() {
    for broken in [0, 1] {
        let error = registered(move |mut page| {
            let fake = Fake::new(1);
            let bad = Fake {
                breaks_signature: true,
                ..fake.clone()
            };
            page.create(&fake);
            page.get(if broken == 0 { &bad } else { &fake });
            if broken == 1 {
                page.get(&bad);
            }
        });
        assert!(
            matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Signature))),
            "{error:?}"
        );
    }
}

#[test]
fn another_passkey_cannot_stand_in_for_the_new_one() {
    let error = registered(|mut page| {
        page.create(&Fake::new(1));
        page.get(&Fake::new(2));
    });
    assert!(matches!(
        error,
        Err(CeremonyError::BadAnswer(BadAnswer::UnknownPasskey))
    ));
}

#[test]
fn a_passkey_that_changes_its_mind_on_syncing_is_refused() {
    let error = registered(|mut page| {
        let fake = Fake::new(1);
        page.create(&fake);
        page.get(&Fake {
            flags: SYNCED & !0b1_1000,
            ..fake
        });
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::BackupFlags))),
        "{error:?}"
    );
}

#[test]
fn a_counter_that_goes_back_is_refused() {
    let error = registered(|mut page| {
        let fake = Fake {
            counter: 5,
            ..Fake::new(1)
        };
        page.create(&fake);
        page.get(&Fake {
            counter: 7,
            ..fake.clone()
        });
        page.get(&Fake { counter: 7, ..fake });
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(BadAnswer::Counter))),
        "{error:?}"
    );
}

#[test]
fn an_algorithm_that_was_not_offered_is_refused() {
    let error = registered(|mut page| {
        page.create(&Fake {
            algorithm: -47,
            ..Fake::new(1)
        });
    });
    assert!(
        matches!(error, Err(CeremonyError::BadAnswer(_))),
        "{error:?}"
    );
}

#[test]
fn registrations_are_held_to_the_same_rules() {
    let refused = |fake: Fake| {
        registered(move |mut page| {
            page.create(&fake);
        })
        .unwrap_err()
        .to_string()
    };
    let fake = Fake::new(1);
    assert_eq!(
        refused(Fake {
            flags: SYNCED & !4,
            ..fake.clone()
        }),
        "nobody confirmed with a fingerprint, face or screen lock"
    );
    assert_eq!(
        refused(Fake {
            origin: Some("http://127.0.0.1"),
            ..fake.clone()
        }),
        "the answer came from another page: http://127.0.0.1"
    );
    assert_eq!(
        refused(Fake {
            rp_id: "example.org",
            ..fake.clone()
        }),
        "the browser's answer was refused: it belongs to another site"
    );
    assert_eq!(
        refused(Fake {
            kind: Some("webauthn.get"),
            ..fake
        }),
        "the browser's answer was refused: it was made for something else"
    );
}

#[test]
fn an_excluded_passkey_is_not_registered_again() {
    let known = [Fake::new(1).known()];
    let mut opened = opened(|mut page| {
        let view = page.create(&Fake::new(1));
        assert_eq!(
            view["options"]["exclude"][0]["id"],
            crate::bytes::text(&[1; 16])
        );
    });
    let error = opened
        .session
        .register(&enrol(&known), &mut rng(4))
        .unwrap_err();
    assert!(matches!(
        error,
        CeremonyError::BadAnswer(BadAnswer::UnknownPasskey)
    ));
}

#[test]
fn an_unknown_error_is_tried_once_more_without_values() {
    let registered = registered(|mut page| {
        let fake = Fake {
            prf_enabled: Some(false),
            ..Fake::new(1)
        };
        page.fail("UnknownError");
        let view = page.create(&fake);
        assert_eq!(view["title"], "Your browser had a problem");
        assert!(view["options"]["prfInput"].is_null());
        // It goes on, for the values may come later.
        page.get(&fake);
        page.get(&fake);
    });
    assert!(registered.is_ok(), "{registered:?}");
}

#[test]
fn an_unknown_error_twice_is_given_up() {
    let error = registered(|mut page| {
        page.fail("UnknownError");
        page.fail("UnknownError");
    });
    assert!(matches!(error, Err(CeremonyError::Refused(name)) if name == "UnknownError"));
}

#[test]
fn every_user_id_is_another() {
    let id = |seed| {
        let (send, receive) = mpsc::channel();
        let mut opened = opened(move |mut page| {
            let view = page.step();
            send.send(view["options"]["userId"].clone()).unwrap();
            page.say(&json!({"kind": "cancelled", "step": view["number"]}));
        });
        opened
            .session
            .register(&enrol(&[]), &mut rng(seed))
            .unwrap_err();
        receive.recv().unwrap()
    };
    let (one, other) = (id(1), id(2));
    assert_ne!(one, other);
    assert_eq!(
        crate::bytes::read(one.as_str().unwrap(), 64).unwrap().len(),
        32
    );
}

#[test]
fn what_browsers_say_has_a_meaning() {
    let failing = |name: &'static str, creating: bool| {
        let mut opened = opened(move |mut page| page.fail(name));
        let known = [Fake::new(1).known()];
        let mut rng = rng(4);
        let error = if creating {
            opened.session.register(&enrol(&[]), &mut rng).map(drop)
        } else {
            opened
                .session
                .authenticate(&ask(&known), &mut rng)
                .map(drop)
        };
        error.unwrap_err().to_string()
    };
    assert_eq!(failing("NotAllowedError", true), "that didn't work");
    assert_eq!(failing("NotAllowedError", false), "that didn't work");
    assert_eq!(
        failing("InvalidStateError", true),
        "there is a passkey for this backup already"
    );
    assert_eq!(
        failing("InvalidStateError", false),
        "the browser refused to ask: InvalidStateError"
    );
    assert_eq!(
        failing("ConstraintError", true),
        "nobody confirmed with a fingerprint, face or screen lock"
    );
    assert_eq!(
        failing("SecurityError", false),
        "the browser refused to ask: SecurityError"
    );
}

#[test]
fn a_cancelled_test_says_that_the_passkey_is_not_used() {
    let error = registered(|mut page| {
        page.create(&Fake::new(1));
        page.fail("NotAllowedError");
        let view = page.view();
        assert_eq!(view["title"], "That didn't work");
        assert_eq!(
            view["text"][1],
            "The new passkey was saved but is not used: you can delete it."
        );
        // It may well be usable: deleting it is not offered.
        assert!(view["forget"].is_null());
    });
    assert!(matches!(error, Err(CeremonyError::CancelledOrGone)));
}

#[test]
fn a_session_knows_whether_it_left_a_passkey_that_nothing_uses() {
    let mut opened = opened(|mut page| {
        let fake = Fake::new(1);
        page.fail("NotAllowedError");
        page.create(&fake);
        page.fail("NotAllowedError");
        page.create(&fake);
        page.get(&fake);
        page.get(&fake);
    });
    let mut rng = rng(4);
    let session = &mut opened.session;
    session.register(&enrol(&[]), &mut rng).unwrap_err();
    assert!(!session.left_unused_passkey());
    session.register(&enrol(&[]), &mut rng).unwrap_err();
    assert!(session.left_unused_passkey());
    session.register(&enrol(&[]), &mut rng).unwrap();
    assert!(!session.left_unused_passkey());
}
