//! The real server on loopback, and a blocking client.

use std::sync::Arc;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault::{Config, Limits, Server};
use heirloom_vault_api::*;
use secrecy::SecretBox;

use crate::client::{Answer, Client};
use crate::running::{contains, start, start_in, walk};

pub(crate) const TEXT: &str = "canary-correct-horse";

pub(crate) fn password(text: &str) -> Password {
    Password::new(text.to_owned().into()).unwrap()
}

fn owner() -> OwnerKey {
    OwnerKey::new(SecretBox::new(Box::new([0xC7; 32])))
}

fn guess(client: &Client, record: RecordName, text: &str, which: Which) -> (Login, GuessStart) {
    let pinned = Pinned {
        record,
        identity: client.identity(),
        suite: suite::NEWEST,
    };
    Login::start(&password(text), pinned, which, &mut UnwrapErr(SysRng)).unwrap()
}

fn login(client: &Client, record: RecordName, which: Which) -> (ExportKey, Confirmed) {
    let (login, start) = guess(client, record, TEXT, which);
    let answer = client.post("/v1/guesses", &start).unwrap();
    let opened = login
        .finish(&password(TEXT), &answer.json(), &mut UnwrapErr(SysRng))
        .unwrap();
    let proved = client.post("/v1/proofs", &opened.proof).unwrap().json();
    let confirmed = opened.confirm(&proved).unwrap();
    (opened.export_key, confirmed)
}

pub(crate) fn enrol(client: &Client) -> (RecordName, ExportKey) {
    let mut rng = UnwrapErr(SysRng);
    let identity = client.identity();
    let (enrolment, start) = Enrolment::start(&password(TEXT), None, &mut rng).unwrap();
    let started = client.post("/v1/registrations", &start).unwrap().json();
    let (finish, record, key) = enrolment
        .finish(
            &password(TEXT),
            &started,
            &identity,
            &owner(),
            &owner(),
            &mut rng,
        )
        .unwrap();
    let finished = client.post("/v1/registrations/finish", &finish).unwrap();
    assert_eq!(finished.status, 201, "{finished:?}");
    login(client, record, Which::Pending);
    let act = OwnerAct::Activate { version: 1 };
    let activate = Activate {
        record,
        version: 1,
        signature: owner().sign(&identity, &record, &act),
    };
    assert_eq!(
        client
            .post("/v1/records/activate", &activate)
            .unwrap()
            .status,
        200
    );
    (record, key)
}

#[test]
fn a_password_is_set_up_and_opens_from_another_computer() {
    let server = start(|_| ());
    let (record, key) = enrol(&server.signed_in());
    // Nobody is signed in on the new computer.
    let (again, confirmed) = login(&server.client(), record, Which::Active);
    assert_eq!(again.exposed(), key.exposed());
    assert_eq!(confirmed.failed, 0);
    let folder = server.stop();
    let server = start_in(folder, |_| ());
    let (again, _) = login(&server.client(), record, Which::Active);
    assert_eq!(again.exposed(), key.exposed());
    server.stop();
}

#[test]
fn v8_v12_known_and_unknown_names_have_the_same_statuses_headers_and_lengths() {
    let server = start(|_| ());
    let (known, _) = enrol(&server.signed_in());
    let stranger = server.client();
    let unknown = Fixed([0x5A; 16]);
    // Four guesses, then a wait.
    for _ in 0..6 {
        let ask = |record| {
            let (_, start) = guess(&stranger, record, "wrong", Which::Active);
            stranger.post("/v1/guesses", &start).unwrap()
        };
        let (one, other) = (ask(known), ask(unknown));
        assert_eq!(one.status, other.status);
        assert_eq!(
            (one.body.len(), other.body.len()),
            (PADDED_BYTES, PADDED_BYTES)
        );
        let names = |answer: &Answer| -> Vec<_> {
            answer
                .headers
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        assert_eq!(names(&one), names(&other));
        assert_eq!(one.header("retry-after"), other.header("retry-after"));
    }
    let (_, start) = guess(&stranger, unknown, "wrong", Which::Active);
    let answer = stranger.post("/v1/guesses", &start).unwrap();
    assert_eq!(answer.status, 429);
    let problem = answer.problem();
    assert_eq!(problem.code, Code::Wait);
    assert_eq!(
        answer.header("retry-after"),
        Some(problem.retry_after_s.unwrap().to_string().as_str())
    );
    server.stop();
}

#[test]
fn v12_no_secret_is_in_a_log_an_answer_or_a_file() {
    let server = start(|_| ());
    let client = server.signed_in();
    let (record, key) = enrol(&client);
    login(&client, record, Which::Active);
    // Mistakes of every kind, whose answers might repeat what was sent.
    let mut answers = vec![
        client.post("/v1/guesses", &TEXT).unwrap().body,
        client
            .post("/v1/records/log", &StatusRead { record })
            .unwrap()
            .body,
        client.get(&format!("/v1/blobs/{TEXT}")).body,
        client.get(&format!("/v1/{TEXT}?{TEXT}")).body,
    ];
    // An object whose file is gone makes the server complain.
    client.send("PUT", "/v1/blobs/gone", &[], b"bytes").unwrap();
    for file in walk(&server.folder.path().join("data/blobs")) {
        std::fs::remove_file(file).unwrap();
    }
    assert_eq!(
        client.get("/v1/blobs/gone").problem().code,
        Code::Unavailable
    );
    let token = client.token.as_ref().unwrap().0;
    let lines = Arc::clone(&server.lines);
    let data = server.folder.path().join("data");
    let folder = server.stop();
    for entry in walk(&data) {
        let bytes = std::fs::read(&entry).unwrap();
        let of_keys = entry.ends_with("server.keys");
        let secrets: [&[u8]; 4] = [
            TEXT.as_bytes(),
            key.exposed(),
            token.as_bytes(),
            &[0xC7; 32],
        ];
        for secret in secrets {
            assert!(!contains(&bytes, secret), "{}", entry.display());
        }
        // What the key file holds is in no other file.
        if !of_keys {
            let keys = std::fs::read(data.join("server.keys")).unwrap();
            for piece in keys[8..].chunks_exact(32) {
                assert!(!contains(&bytes, piece), "{}", entry.display());
            }
        }
    }
    assert!(!lines.lock().unwrap().is_empty());
    answers.push(lines.lock().unwrap().join("\n").into_bytes());
    for answer in &answers {
        for secret in [TEXT, &token.to_text(), &record.to_text()] {
            assert!(!contains(answer, secret.as_bytes()));
        }
    }
    drop(folder);
}

#[test]
fn the_first_account_on_loopback_is_free_and_no_other() {
    let server = start(|_| ());
    let first = server
        .client()
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap();
    assert_eq!(first.status, 201);
    let second = server
        .client()
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap();
    assert_eq!(second.problem().code, Code::SignInNeeded);
    server.stop();
    let server = start(|config| config.first_account_is_free = false);
    let first = server
        .client()
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap();
    assert_eq!(first.problem().code, Code::SignInNeeded);
    server.stop();
}

#[test]
fn an_invitation_is_good_once_and_a_device_can_be_signed_out() {
    let server = start(|_| ());
    let client = server.signed_in();
    let Invitation { invite } = client
        .send("POST", "/v1/invitations", &[], b"")
        .unwrap()
        .json();
    let sign_in = SignIn::by(Some(invite));
    let mut device = server.client();
    let signed_in: SignedIn = device.post("/v1/accounts", &sign_in).unwrap().json();
    device.token = Some(signed_in.token);
    let again = server.client().post("/v1/accounts", &sign_in).unwrap();
    assert_eq!(again.problem().code, Code::SignInNeeded);
    let (one, other): (Account, Account) = (
        client.get("/v1/account").json(),
        device.get("/v1/account").json(),
    );
    assert_eq!(one.account, other.account);
    assert_eq!(
        device
            .send("DELETE", "/v1/session", &[], b"")
            .unwrap()
            .status,
        200
    );
    assert_eq!(device.get("/v1/account").problem().code, Code::SignInNeeded);
    assert_eq!(client.get("/v1/account").status, 200);
    server.stop();
}

#[test]
fn what_needs_a_sign_in_says_so_and_a_false_token_is_no_stranger() {
    let server = start(|_| ());
    let mut client = server.client();
    for token in [None, Some(Token(Fixed([1; 32])))] {
        client.token = token;
        for (method, path) in [
            ("POST", "/v1/registrations"),
            ("POST", "/v1/registrations/finish"),
            ("POST", "/v1/records/activate"),
            ("POST", "/v1/records/owner"),
            ("POST", "/v1/records/forget"),
            ("POST", "/v1/records/status"),
            ("POST", "/v1/records/log"),
            ("POST", "/v1/witness/advance"),
            ("POST", "/v1/witness/read"),
            ("POST", "/v1/invitations"),
            ("DELETE", "/v1/session"),
            ("GET", "/v1/account"),
            ("GET", "/v1/blobs"),
            ("GET", "/v1/blobs/a"),
            ("PUT", "/v1/blobs/a"),
            ("DELETE", "/v1/blobs/a"),
        ] {
            let answer = client.send(method, path, &[("content-type", "application/json")], b"{}");
            assert_eq!(
                answer.unwrap().problem().code,
                Code::SignInNeeded,
                "{method} {path}"
            );
        }
    }
    let (_, start) = guess(&client, Fixed([1; 16]), "x", Which::Active);
    let answer = client.post("/v1/guesses", &start).unwrap();
    assert_eq!(answer.problem().code, Code::SignInNeeded);
    server.stop();
}

#[test]
fn malformed_and_oversized_requests_get_a_problem_and_the_server_lives() {
    let server = start(|_| ());
    let client = server.signed_in();
    let json = [("content-type", "application/json")];
    let send = |path: &str, headers: &[(&str, &str)], body: &[u8]| {
        client.send("POST", path, headers, body).unwrap()
    };
    for body in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"\xFF\xFE",
        b"{\"record\":1}",
        &[b'['; 4000],
    ] {
        for path in [
            "/v1/guesses",
            "/v1/proofs",
            "/v1/accounts",
            "/v1/witness/read",
            "/v1/records/log",
        ] {
            assert_eq!(
                send(path, &json, body).problem().code,
                Code::BadRequest,
                "{path}"
            );
        }
    }
    assert_eq!(
        send("/v1/guesses", &json, &[b' '; 5000]).problem().code,
        Code::TooLarge
    );
    assert_eq!(
        send("/v1/guesses", &[], b"{}").problem().code,
        Code::BadRequest
    );
    assert_eq!(
        send("/v1/nothing", &json, b"{}").problem().code,
        Code::NotFound
    );
    assert_eq!(
        client.get("/v1/guesses").problem().code,
        Code::MethodNotAllowed
    );
    let huge = format!(
        "GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n",
        "y".repeat(100_000)
    );
    // It may hang up before everything is sent.
    if let Ok(answer) = client.raw(huge.as_bytes()) {
        assert_eq!(answer.status, 431);
    }
    let _ = client.raw(b"nonsense\r\n\r\n");
    for path in ["/healthz", "/readyz", "/v1/vault"] {
        assert_eq!(client.get(path).status, 200);
    }
    server.stop();
}

#[test]
fn an_address_that_asks_too_much_waits() {
    let server = start(|config| {
        config.limits = Limits {
            guesses_per_minute: 3,
            requests_per_second: 1_000_000,
        };
    });
    let client = server.client();
    let (_, start) = guess(&client, Fixed([1; 16]), "x", Which::Active);
    for _ in 0..3 {
        assert_eq!(client.post("/v1/guesses", &start).unwrap().status, 200);
    }
    let answer = client.post("/v1/guesses", &start).unwrap();
    assert_eq!(answer.problem().code, Code::TooManyRequests);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(client.get("/healthz").status, 200);
    server.stop();
}

#[test]
fn a_database_without_its_key_file_is_not_served() {
    let server = start(|_| ());
    let folder = server.stop();
    std::fs::remove_file(folder.path().join("data/server.keys")).unwrap();
    let config = Config::new("127.0.0.1:0".parse().unwrap(), folder.path().join("data"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime.block_on(Server::bind(config)).unwrap_err();
    assert!(matches!(error, heirloom_vault::ServeError::KeysMissing));
}

#[test]
fn two_servers_cannot_have_one_database() {
    let server = start(|_| ());
    let config = Config::new(
        "127.0.0.1:0".parse().unwrap(),
        server.folder.path().join("data"),
    );
    assert!(server.runtime.block_on(Server::bind(config)).is_err());
    server.stop();
}

#[test]
fn v13_the_vaults_identity_survives_a_restart_and_is_anothers_elsewhere() {
    let server = start(|_| ());
    let identity = server.client().identity();
    let folder = server.stop();
    let server = start_in(folder, |_| ());
    assert_eq!(server.client().identity(), identity);
    let other = start(|_| ());
    assert_ne!(other.client().identity(), identity);
    server.stop();
    other.stop();
}

#[test]
fn v11_the_operators_verify_walks_every_log() {
    let server = start(|_| ());
    let client = server.signed_in();
    enrol(&client);
    let (_, start) = guess(&client, Fixed([3; 16]), "x", Which::Active);
    client.post("/v1/guesses", &start).unwrap();
    let verdict = server.runtime.block_on(server.admin.verify()).unwrap();
    assert_eq!((verdict.logs, verdict.wrong.len()), (2, 0));
    server.stop();
}
