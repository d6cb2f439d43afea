use std::sync::mpsc;

use serde_json::{Value, json};

use super::*;
use crate::ask::Purpose;
use crate::client::Client;
use crate::seal::Suite;
use crate::testing::{AAGUID, Fake, SYNCED, rng};

const INPUT: [u8; 32] = [5; 32];
const TIME: Duration = Duration::from_secs(20);

/// A session and the page in a thread of its own.
struct Opened {
    session: Session,
    page: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn opened(page: impl FnOnce(Page) + Send + 'static) -> Opened {
    opened_for([7; 16], TIME, page)
}

fn opened_for(
    repository: [u8; 16],
    timeout: Duration,
    page: impl FnOnce(Page) + Send + 'static,
) -> Opened {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository,
        backup_label: "a disk",
        folder: folder.path(),
        timeout,
    };
    let (send, receive) = mpsc::channel();
    let mut open = |path: &Path| send.send(path.to_owned()).map_err(io::Error::other);
    let session = Session::begin(&options, &mut open, &mut rng(3)).unwrap();
    let path = receive.recv().unwrap();
    let page = std::thread::spawn(move || {
        let client = Client::open(&path).unwrap();
        page(Page { client, seen: None });
    });
    Opened {
        session,
        page,
        _folder: folder,
    }
}

struct Page {
    client: Client,
    seen: Option<u64>,
}

impl Page {
    /// The next view of any kind.
    fn view(&mut self) -> Value {
        loop {
            if let Some(view) = self.client.next(self.seen).unwrap() {
                self.seen = view["number"].as_u64();
                return view;
            }
        }
    }

    /// The next step that asks something.
    fn step(&mut self) -> Value {
        loop {
            let view = self.view();
            if matches!(view["kind"].as_str(), Some("create" | "get")) {
                return view;
            }
        }
    }

    fn say(&mut self, message: &Value) {
        assert_eq!(self.client.answer(message).unwrap(), 204, "{message}");
    }

    fn create(&mut self, fake: &Fake) -> Value {
        let view = self.step();
        assert_eq!(view["kind"], "create");
        let message = fake.create(&view, &self.client);
        self.say(&message);
        view
    }

    fn get(&mut self, fake: &Fake) -> Value {
        let view = self.step();
        assert_eq!(view["kind"], "get");
        let message = fake.get(&view, &self.client);
        self.say(&message);
        view
    }

    fn fail(&mut self, name: &str) {
        let view = self.step();
        self.say(&json!({"kind": "failed", "step": view["number"], "name": name}));
    }
}

const fn ask(candidates: &[Known]) -> Ask<'_> {
    Ask {
        purpose: Purpose::Unlock,
        prf_input: &INPUT,
        candidates,
    }
}

const fn enrol(exclude: &[Known]) -> Enrol<'_> {
    Enrol {
        prf_input: &INPUT,
        exclude,
        user_name: "Unlocks your chat backup – don't delete",
        display_name: "Unlocks your chat backup – don't delete",
    }
}

/// What an authentication with `fake` comes to, where `known` is what was kept of it.
fn authenticated(fake: Fake, known: Known) -> Result<Answer, CeremonyError> {
    let mut opened = opened(move |mut page| {
        page.get(&fake);
    });
    let answer = opened.session.authenticate(&ask(&[known]), &mut rng(4));
    opened.page.join().unwrap();
    answer
}

/// The same for a fake that does not lie about its name.
fn refused(change: impl FnOnce(&mut Fake)) -> String {
    let mut fake = Fake::new(1);
    let known = fake.known();
    change(&mut fake);
    let error = authenticated(fake, known).unwrap_err();
    assert!(error.hint().is_some());
    error.to_string()
}

/// What a registration comes to.
fn registered(page: impl FnOnce(Page) + Send + 'static) -> Result<Registered, CeremonyError> {
    let mut opened = opened(page);
    let registered = opened.session.register(&enrol(&[]), &mut rng(4));
    opened.page.join().unwrap();
    registered
}

fn output_of(prf: heirloom_keys::PrfOutput) -> bool {
    heirloom_keys::HighEntropySecret::try_from(prf).is_ok()
}

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
fn an_old_browser_is_named() {
    let mut opened = opened(|mut page| {
        let view = page.step();
        page.say(&json!({"kind": "lacks", "step": view["number"], "what": "passkeys"}));
    });
    let known = [Fake::new(1).known()];
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "this browser cannot use passkeys here: it has no passkeys"
    );
}

#[test]
fn passkeys_of_another_relying_party_are_not_asked() {
    let mut opened = opened(|_| ());
    let known = [Known {
        rp_id: "vault.example".to_owned(),
        ..Fake::new(1).known()
    }];
    for candidates in [&known[..], &[]] {
        let error = opened
            .session
            .authenticate(&ask(candidates), &mut rng(4))
            .unwrap_err();
        assert!(matches!(error, CeremonyError::NoCandidate));
    }
}

#[test]
fn nobody_there_is_a_time_out() {
    let mut opened = opened_for([7; 16], Duration::from_millis(300), |mut page| {
        page.step();
        // It stays, and says nothing.
        let _ = page.client.next(page.seen);
    });
    let known = [Fake::new(1).known()];
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert_eq!(error.to_string(), "nobody answered in the browser in time");
}

#[test]
fn a_page_that_says_goodbye_is_closed_before_the_time_is_over() {
    let mut opened = opened(|mut page| {
        page.step();
        assert_eq!(page.client.post("/leaving", b"{}").unwrap().status, 204);
    });
    let known = [Fake::new(1).known()];
    let begun = Instant::now();
    let error = opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap_err();
    assert!(matches!(error, CeremonyError::PageClosed), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_reloaded_page_goes_on_with_the_step() {
    let fake = Fake::new(1);
    let known = [fake.known()];
    let mut opened = opened(move |mut page| {
        page.step();
        page.client.post("/leaving", b"{}").unwrap();
        page.seen = None;
        page.get(&fake);
    });
    opened
        .session
        .authenticate(&ask(&known), &mut rng(4))
        .unwrap();
}

#[test]
fn without_a_browser_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: TIME,
    };
    let mut open = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let error = Session::begin(&options, &mut open, &mut rng(3)).unwrap_err();
    assert_eq!(error.to_string(), "no browser could be opened");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_dropped_session_says_so_and_removes_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        repository: [7; 16],
        backup_label: "a disk",
        folder: folder.path(),
        timeout: TIME,
    };
    let session = Session::begin(&options, &mut |_: &Path| Ok(()), &mut rng(3)).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(session);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn nothing_secret_shows_in_debug() {
    let opened = opened(|_| ());
    let shown = format!("{:?}", opened.session);
    assert!(!shown.contains(opened.session.psk.exposed_hex().as_str()));
    assert!(shown.contains("REDACTED"), "{shown}");
}
