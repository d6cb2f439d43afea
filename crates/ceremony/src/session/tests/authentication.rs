//! A passkey that is there.

use super::*;

#[test]
fn both_ways_of_sealing_open() {
    for suite in [Suite::XWing, Suite::X25519] {
        let fake = Fake {
            suite,
            ..Fake::new(1)
        };
        let answer = authenticated(fake.clone(), fake.known()).unwrap();
        assert!(output_of(answer.prf));
        assert_eq!(answer.credential_id, fake.id);
        assert!(answer.backup_eligible && answer.backup_state);
    }
}

#[test]
fn a_wrong_signature_is_refused_where_the_key_is_known() {
    let words = refused(|fake| fake.breaks_signature = true);
    assert_eq!(
        words,
        "the browser's answer was refused: its signature is wrong"
    );
    let other = Fake::new(2).key;
    let words = refused(|fake| fake.key = other);
    assert_eq!(
        words,
        "the browser's answer was refused: its signature is wrong"
    );
}

#[test]
fn without_a_key_the_output_is_what_counts() {
    // Said in docs/ceremony.md, section 6: the slot that opens, or does not, is the proof.
    let fake = Fake {
        breaks_signature: true,
        ..Fake::new(1)
    };
    let known = Known {
        public_key: None,
        ..fake.known()
    };
    authenticated(fake, known).unwrap();
}

#[test]
fn a_key_that_cannot_be_read_is_no_licence_to_go_without() {
    let fake = Fake::new(1);
    let known = Known {
        public_key: Some(vec![1, 2, 3]),
        ..fake.known()
    };
    let error = authenticated(fake, known).unwrap_err();
    assert!(matches!(
        error,
        CeremonyError::BadAnswer(BadAnswer::Algorithm)
    ));
}

#[test]
fn an_answer_of_another_origin_is_refused() {
    let words = refused(|fake| fake.origin = Some("http://localhost:1"));
    assert_eq!(
        words,
        "the answer came from another page: http://localhost:1"
    );
    let words = refused(|fake| fake.origin = Some("https://evil.example"));
    assert_eq!(
        words,
        "the answer came from another page: https://evil.example"
    );
}

#[test]
fn an_answer_of_another_relying_party_is_refused() {
    let words = refused(|fake| fake.rp_id = "localhost.example");
    assert_eq!(
        words,
        "the browser's answer was refused: it belongs to another site"
    );
}

#[test]
fn an_answer_without_the_person_is_refused() {
    let words = refused(|fake| fake.flags = SYNCED & !4);
    assert_eq!(
        words,
        "nobody confirmed with a fingerprint, face or screen lock"
    );
    let words = refused(|fake| fake.flags = SYNCED & !1);
    assert_eq!(words, "the browser's answer was refused: nobody was there");
}

#[test]
fn synced_and_yet_not_syncable_is_refused() {
    let words = refused(|fake| fake.flags = SYNCED & !8);
    assert_eq!(
        words,
        "the browser's answer was refused: it contradicts itself"
    );
}

#[test]
fn an_answer_of_another_type_is_refused() {
    let words = refused(|fake| fake.kind = Some("webauthn.create"));
    assert_eq!(
        words,
        "the browser's answer was refused: it was made for something else"
    );
}

#[test]
fn an_answer_from_inside_of_another_page_is_refused() {
    for more in [
        r#","crossOrigin":true"#,
        r#","topOrigin":"https://evil.example""#,
    ] {
        let words = refused(|fake| fake.more = more);
        assert_eq!(
            words,
            "the browser's answer was refused: it was made inside of another page"
        );
    }
}

#[test]
fn an_answer_to_another_challenge_is_refused() {
    for challenge in [
        String::new(),
        "AA".to_owned(),
        crate::bytes::text(&[0; 32]),
        "!".to_owned(),
    ] {
        let words = refused(|fake| fake.challenge = Some(challenge));
        assert_eq!(
            words,
            "the browser's answer was refused: it answers another question"
        );
    }
}

#[test]
fn a_passkey_that_was_not_asked_is_refused() {
    let words = refused(|fake| fake.id = vec![9; 16]);
    assert_eq!(
        words,
        "the browser's answer was refused: it is of a passkey that was not asked"
    );
}

#[test]
fn what_is_sealed_belongs_to_this_answer() {
    let words = refused(|fake| fake.breaks_seal = true);
    assert_eq!(
        words,
        "the browser's answer was refused: what it carried was changed on the way"
    );
}

#[test]
fn no_output_is_no_way_in() {
    for output in [None, Some([0; 32])] {
        let words = refused(|fake| fake.output = output);
        assert_eq!(words, "this passkey can't open a backup in this browser");
    }
}

/// Runs two authentications in one session; the second page's answer is made of both views.
fn second(
    purposes: [Purpose; 2],
    answer: impl FnOnce(&Fake, &Value, &Value, &Client) -> Value + Send + 'static,
) -> CeremonyError {
    let known = [Fake::new(1).known()];
    let mut opened = opened(|mut page| {
        let fake = Fake::new(1);
        let first = page.get(&fake);
        let view = page.step();
        let message = answer(&fake, &first, &view, &page.client);
        page.say(&message);
    });
    let [first, then] = purposes.map(|purpose| Ask {
        purpose,
        ..ask(&known)
    });
    // The same random numbers twice: what differs is the step and the purpose alone.
    opened.session.authenticate(&first, &mut rng(6)).unwrap();
    let error = opened.session.authenticate(&then, &mut rng(6)).unwrap_err();
    opened.page.join().unwrap();
    error
}

#[test]
fn a_replayed_answer_is_called_one() {
    let error = second([Purpose::Unlock; 2], |fake, first, view, client| {
        fake.asserted(first, client)
            .message(view["number"].as_u64().unwrap())
    });
    assert!(matches!(error, CeremonyError::Replayed), "{error:?}");
    assert_eq!(error.to_string(), "the browser's answer was used before");
}

#[test]
fn an_answer_to_one_purpose_is_none_to_another() {
    let error = second(
        [Purpose::Check, Purpose::Remove],
        |fake, first, view, client| {
            assert_eq!(first["keys"], view["keys"]);
            assert_ne!(first["options"]["challenge"], view["options"]["challenge"]);
            fake.asserted(first, client)
                .message(view["number"].as_u64().unwrap())
        },
    );
    assert!(matches!(error, CeremonyError::Replayed), "{error:?}");
}

#[test]
fn an_answer_for_one_repository_is_none_for_another() {
    let challenge = |repository| {
        let (send, receive) = mpsc::channel();
        let mut opened = opened_for(repository, TIME, move |mut page| {
            let view = page.step();
            send.send(view["options"]["challenge"].as_str().unwrap().to_owned())
                .unwrap();
            page.say(&json!({"kind": "cancelled", "step": view["number"]}));
        });
        let known = [Fake::new(1).known()];
        let cancelled = opened.session.authenticate(&ask(&known), &mut rng(6));
        assert!(matches!(cancelled, Err(CeremonyError::Cancelled)));
        receive.recv().unwrap()
    };
    let (one, same, other) = (challenge([7; 16]), challenge([7; 16]), challenge([8; 16]));
    assert_eq!(one, same);
    assert_ne!(one, other);
    let words = refused(|fake| fake.challenge = Some(other));
    assert_eq!(
        words,
        "the browser's answer was refused: it answers another question"
    );
}

#[test]
fn the_same_message_twice_is_taken_once() {
    let fake = Fake::new(1);
    let known = [fake.known()];
    let mut opened = opened(move |mut page| {
        let view = page.step();
        let message = fake.get(&view, &page.client);
        page.say(&message);
        assert_eq!(page.client.answer(&message).unwrap(), 409);
    });
    opened
        .session
        .authenticate(&ask(&known), &mut rng(6))
        .unwrap();
    opened.page.join().unwrap();
}
