//! Requests that come again, sign-ins that nobody used, and files below `/.well-known/`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use heirloom_vault::{Clock, PasskeyEndpoints, SecurityTxt, WellKnown};
use heirloom_vault_api::*;

use crate::client::{Answer, Client};
use crate::running::{contains, start, start_in, walk};

const KEY: &str = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"";

fn with_key(client: &Client, path: &str, key: &str, body: &[u8]) -> Answer {
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    client.send("POST", path, &headers, body).unwrap()
}

#[test]
fn an_invitation_that_is_asked_for_again_is_the_same_one_and_lies_nowhere_in_the_clear() {
    let server = start(|_| ());
    let client = server.signed_in();
    let first = with_key(&client, "/v1/invitations", KEY, b"");
    assert_eq!(first.status, 201);
    assert_eq!(
        with_key(&client, "/v1/invitations", KEY, b"").body,
        first.body
    );
    // Bare, as many clients send it.
    let bare = KEY.trim_matches('"');
    assert_eq!(
        with_key(&client, "/v1/invitations", bare, b"").body,
        first.body
    );
    let other = with_key(&client, "/v1/invitations", "another-key-of-mine", b"");
    assert_ne!(other.body, first.body);
    // Another account's same key is another key.
    let stranger = server.signed_in();
    let theirs = with_key(&stranger, "/v1/invitations", KEY, b"");
    assert_eq!(theirs.status, 201);
    assert_ne!(theirs.body, first.body);
    // After a restart, too.
    let token = client.token.as_ref().map(Token::duplicate);
    let server = start_in(server.stop(), |_| ());
    let mut client = server.client();
    client.token = token;
    assert_eq!(
        with_key(&client, "/v1/invitations", KEY, b"").body,
        first.body
    );
    let Invitation { invite } = first.json();
    let folder = server.stop();
    for file in walk(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!contains(&bytes, invite.0.as_bytes()), "{}", file.display());
        assert!(!contains(&bytes, invite.0.to_text().as_bytes()));
        assert!(!contains(&bytes, bare.as_bytes()));
    }
}

#[test]
fn a_sign_in_whose_answer_was_lost_is_not_lost_and_nobody_else_gets_it() {
    let server = start(|_| ());
    let invite = server.runtime.block_on(server.admin.invite()).unwrap();
    let body = serde_json::to_vec(&SignIn::by(Some(invite))).unwrap();
    let stranger = server.client();
    let first: SignedIn = with_key(&stranger, "/v1/accounts", KEY, &body).json();
    let again: SignedIn = with_key(&stranger, "/v1/accounts", KEY, &body).json();
    assert_eq!(first, again);
    // Without the key the invitation is used up.
    let without = with_key(&stranger, "/v1/accounts", "a-key-of-somebody", &body);
    assert_eq!(without.problem().code, Code::SignInNeeded);
    // With the key and without the invitation there is nothing.
    let none = with_key(&stranger, "/v1/accounts", KEY, b"{\"invite\":null}");
    assert_eq!(none.problem().code, Code::SignInNeeded);
    let token = first.token.0;
    let folder = server.stop();
    for file in walk(folder.path()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!contains(&bytes, token.as_bytes()), "{}", file.display());
        assert!(!contains(&bytes, token.to_text().as_bytes()));
    }
}

#[test]
fn the_first_account_is_given_to_nobody_twice() {
    let server = start(|_| ());
    let body = b"{\"invite\":null}";
    let first = with_key(&server.client(), "/v1/accounts", KEY, body);
    assert_eq!(first.status, 201);
    // Whoever guesses the key gets no sign-in.
    let again = with_key(&server.client(), "/v1/accounts", KEY, body);
    assert_eq!(again.problem().code, Code::SignInNeeded);
    server.stop();
}

fn put(sequence: u64, head: u8, nonce: u8) -> WitnessPut {
    WitnessPut {
        lineage: Fixed([1; 16]),
        expected_sequence: sequence - 1,
        expected_head: Fixed([if sequence == 1 { 0 } else { head - 1 }; 32]),
        sequence,
        head: Fixed([head; 32]),
        keyring_number: 1,
        keyring_hash: Fixed([9; 32]),
        record: None,
        nonce: Fixed([nonce; 32]),
    }
}

#[test]
fn a_step_of_the_witness_that_comes_again_is_no_conflict_and_another_body_is() {
    let server = start(|_| ());
    let client = server.signed_in();
    let body = |put: &WitnessPut| serde_json::to_vec(put).unwrap();
    let advance = "/v1/witness/advance";
    let first = with_key(&client, advance, KEY, &body(&put(1, 1, 3)));
    assert_eq!(first.status, 200, "{first:?}");
    let again = with_key(&client, advance, KEY, &body(&put(1, 1, 3)));
    assert_eq!(again.body, first.body);
    let other = with_key(&client, advance, KEY, &body(&put(1, 1, 4)));
    assert_eq!(other.status, 422);
    assert_eq!(other.problem().code, Code::KeyReused);
    // Without a key it is a conflict, as ever.
    let without = client.post(advance, &put(1, 1, 3)).unwrap();
    assert_eq!(without.problem().code, Code::Conflict);
    // A refusal is not kept.
    let refused = with_key(&client, advance, "key-of-a-refusal", &body(&put(3, 3, 3)));
    assert_eq!(refused.problem().code, Code::Conflict);
    client.post(advance, &put(2, 2, 3)).unwrap();
    let later = with_key(&client, advance, "key-of-a-refusal", &body(&put(3, 3, 3)));
    assert_eq!(later.status, 200);
    for wrong in ["short", "\"open-ended-key-of-mine", "key with blanks in it"] {
        let answer = with_key(&client, advance, wrong, &body(&put(4, 4, 4)));
        assert_eq!(answer.problem().code, Code::BadRequest, "{wrong}");
    }
    server.stop();
}

/// A clock that the test sets.
#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

#[test]
fn an_answer_is_kept_for_a_day_and_a_sign_in_for_ninety_after_its_last_use() {
    let clock = Arc::new(Hand(AtomicU64::new(1_800_000_000_000)));
    let server = start(|config| config.clock = clock.clone());
    let (client, idle) = (server.signed_in(), server.signed_in());
    let Invitation { invite } = client
        .post("/v1/invitations", &serde_json::json!({}))
        .unwrap()
        .json();
    let sign_in = SignIn {
        on_paper: true,
        ..SignIn::by(Some(invite))
    };
    let mut paper = server.client();
    let given: SignedIn = paper.post("/v1/accounts", &sign_in).unwrap().json();
    paper.token = Some(given.token);
    let first = with_key(&client, "/v1/invitations", KEY, b"");
    clock.0.fetch_add(DAY + 1, Ordering::SeqCst);
    let later = with_key(&client, "/v1/invitations", KEY, b"");
    assert_eq!(later.status, 201);
    assert_ne!(later.body, first.body);
    for _ in 0..5 {
        clock.0.fetch_add(40 * DAY, Ordering::SeqCst);
        assert_eq!(client.get("/v1/account").status, 200);
    }
    let expired = idle.get("/v1/account");
    assert_eq!(expired.status, 401);
    assert_eq!(expired.problem().code, Code::SignInExpired);
    assert_eq!(expired.header("www-authenticate"), Some("Bearer"));
    clock.0.fetch_add(90 * DAY + 2 * HOUR, Ordering::SeqCst);
    assert_eq!(
        client.get("/v1/account").problem().code,
        Code::SignInExpired
    );
    // What lies in a drawer does not end by itself.
    clock.0.fetch_add(3650 * DAY, Ordering::SeqCst);
    assert_eq!(paper.get("/v1/account").status, 200);
    server.stop();
}

#[test]
fn files_of_well_known_are_there_when_they_are_configured_and_not_else() {
    let names = [
        "passkey-endpoints",
        "webauthn",
        "security.txt",
        "assetlinks.json",
        "apple-app-site-association",
    ];
    let bare = start(|_| ());
    for name in names {
        let answer = bare.client().get(&format!("/.well-known/{name}"));
        assert_eq!(answer.problem().code, Code::NotFound, "{name}");
    }
    bare.stop();
    let server = start(|config| {
        config.well_known = WellKnown {
            passkey_endpoints: Some(PasskeyEndpoints {
                enroll: None,
                manage: Some("https://example.org/passkeys".to_owned()),
                prf_usage_details: Some("https://example.org/what-for".to_owned()),
            }),
            related_origins: vec!["https://example.com".to_owned()],
            security: Some(SecurityTxt {
                contact: vec!["mailto:security@example.org".to_owned()],
                expires: "2027-01-01T00:00:00Z".to_owned(),
                policy: None,
                encryption: None,
                preferred_languages: Some("en, de".to_owned()),
                canonical: None,
            }),
            android: vec![heirloom_vault::AndroidApp {
                package: "org.example.app".to_owned(),
                sha256: vec![["0A"; 32].join(":")],
            }],
            apple: vec!["ABCDE12345.org.example.app".to_owned()],
        };
    });
    let client = server.client();
    let text = |name: &str| {
        let answer = client.get(&format!("/.well-known/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        let kind = answer.header("content-type").unwrap().to_owned();
        (kind, String::from_utf8(answer.body).unwrap())
    };
    let json = |name: &str| {
        let (kind, text) = text(name);
        assert_eq!(kind, "application/json");
        text
    };
    assert_eq!(
        json("passkey-endpoints"),
        r#"{"manage":"https://example.org/passkeys","prfUsageDetails":"https://example.org/what-for"}"#
    );
    assert_eq!(json("webauthn"), r#"{"origins":["https://example.com"]}"#);
    assert!(json("assetlinks.json").contains(r#""package_name":"org.example.app""#));
    assert_eq!(
        json("apple-app-site-association"),
        r#"{"webcredentials":{"apps":["ABCDE12345.org.example.app"]}}"#
    );
    assert_eq!(
        text("security.txt").1,
        "Contact: mailto:security@example.org\nExpires: 2027-01-01T00:00:00Z\nPreferred-Languages: en, de\n"
    );
    server.stop();
}
