//! The real server on loopback, and a blocking client.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Answer, Client};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault::{Admin, Config, Limits, Log, Server};
use heirloom_vault_api::*;
use secrecy::SecretBox;
use tokio::sync::oneshot;

struct Running {
    folder: tempfile::TempDir,
    address: SocketAddr,
    admin: Admin,
    runtime: tokio::runtime::Runtime,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<std::thread::JoinHandle<()>>,
    lines: Arc<Mutex<Vec<String>>>,
}

fn start(change: impl FnOnce(&mut Config)) -> Running {
    start_in(tempfile::tempdir().unwrap(), change)
}

fn start_in(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.path().join("data"));
    config.limits = Limits {
        guesses_per_minute: 1_000_000,
        requests_per_second: 1_000_000,
    };
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    config.log = Log::new(move |line| written.lock().unwrap().push(line.to_owned()));
    change(&mut config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    let (address, admin) = (server.address(), server.admin());
    let (stop, stopped) = oneshot::channel::<()>();
    let handle = runtime.handle().clone();
    let ended = std::thread::spawn(move || {
        let until = async {
            let _ = stopped.await;
        };
        handle.block_on(server.run(until)).unwrap();
    });
    Running {
        folder,
        address,
        admin,
        runtime,
        stop: Some(stop),
        ended: Some(ended),
        lines,
    }
}

impl Running {
    fn client(&self) -> Client {
        Client::new(self.address)
    }

    fn signed_in(&self) -> Client {
        let invite = self.runtime.block_on(self.admin.invite()).unwrap();
        let mut client = self.client();
        let signed_in: SignedIn = client
            .post(
                "/v1/accounts",
                &SignIn {
                    invite: Some(invite),
                },
            )
            .unwrap()
            .json();
        client.token = Some(signed_in.token);
        client
    }

    fn stop(mut self) -> tempfile::TempDir {
        drop(self.stop.take());
        self.ended.take().unwrap().join().unwrap();
        self.folder
    }
}

const TEXT: &str = "canary-correct-horse";

fn password(text: &str) -> Password {
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

fn enrol(client: &Client) -> (RecordName, ExportKey) {
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

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn the_first_account_on_loopback_is_free_and_no_other() {
    let server = start(|_| ());
    let first = server
        .client()
        .post("/v1/accounts", &SignIn { invite: None })
        .unwrap();
    assert_eq!(first.status, 201);
    let second = server
        .client()
        .post("/v1/accounts", &SignIn { invite: None })
        .unwrap();
    assert_eq!(second.problem().code, Code::SignInNeeded);
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
    let sign_in = SignIn {
        invite: Some(invite),
    };
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
    assert_eq!(client.get("/v1/guesses").problem().code, Code::NotFound);
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
fn objects_are_created_once_read_in_ranges_listed_and_deleted() {
    let server = start(|_| ());
    let (client, other) = (server.signed_in(), server.signed_in());
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let put = |client: &Client, name: &str, body: &[u8]| {
        client
            .send("PUT", &format!("/v1/blobs/{name}"), &[], body)
            .unwrap()
    };
    assert_eq!(put(&client, "packs/0a", &bytes).status, 201);
    assert_eq!(
        put(&client, "packs/0a", b"other").problem().code,
        Code::Conflict
    );
    assert_eq!(put(&other, "packs/0a", b"theirs").status, 201);
    assert_eq!(put(&client, "empty", b"").status, 201);
    assert_eq!(client.get("/v1/blobs/packs/0a").body, bytes);
    assert_eq!(other.get("/v1/blobs/packs/0a").body, b"theirs");
    assert_eq!(client.get("/v1/blobs/empty").body, b"");
    let range = |text: &str| {
        client
            .send("GET", "/v1/blobs/packs/0a", &[("range", text)], b"")
            .unwrap()
    };
    let part = range("bytes=299990-");
    assert_eq!(
        (part.status, part.body.as_slice()),
        (206, &bytes[299_990..])
    );
    assert_eq!(
        part.header("content-range"),
        Some("bytes 299990-299999/300000")
    );
    assert_eq!(range("bytes=5-6").body, bytes[5..7]);
    assert_eq!(
        range("bytes=300000-").problem().code,
        Code::RangeNotSatisfiable
    );
    let list = |query: &str| client.get(&format!("/v1/blobs?{query}")).json::<BlobList>();
    let names = |list: &BlobList| -> Vec<_> {
        list.blobs
            .iter()
            .map(|blob| blob.name.as_str().to_owned())
            .collect()
    };
    assert_eq!(names(&list("")), ["empty", "packs/0a"]);
    assert_eq!(names(&list("prefix=packs/")), ["packs/0a"]);
    assert_eq!(names(&list("after=empty")), ["packs/0a"]);
    assert!(client.get("/v1/blobs?prefx=a").problem().code == Code::BadRequest);
    let delete = || {
        client
            .send("DELETE", "/v1/blobs/packs/0a", &[], b"")
            .unwrap()
    };
    assert_eq!(delete().status, 200);
    assert_eq!(delete().problem().code, Code::NotFound);
    assert_eq!(
        client.get("/v1/blobs/packs/0a").problem().code,
        Code::NotFound
    );
    assert_eq!(put(&client, "packs/0a", b"again").status, 201);
    assert_eq!(client.get("/v1/blobs/packs/0a").body, b"again");
    for name in [
        "../x",
        "%2e%2e/x",
        "a/../../x",
        ".hidden",
        "A",
        "a%00b",
        "a%2Fb%2F..%2Fc",
        "a//b",
    ] {
        let answer = put(&client, name, b"x");
        assert!(
            [400, 404].contains(&answer.status),
            "{name}: {}",
            answer.status
        );
    }
    server.stop();
}

#[test]
fn bytes_of_a_deleted_object_stay_for_the_grace_and_no_longer() {
    for (grace, left) in [(Duration::from_hours(1), 1), (Duration::ZERO, 0)] {
        let server = start(|config| config.grace = grace);
        let client = server.signed_in();
        client.send("PUT", "/v1/blobs/a", &[], b"bytes").unwrap();
        client.send("DELETE", "/v1/blobs/a", &[], b"").unwrap();
        server.runtime.block_on(server.admin.sweep()).unwrap();
        let files = walk(&server.folder.path().join("data/blobs"));
        assert_eq!(files.len(), left);
        server.stop();
    }
}

#[test]
fn a_quota_is_exact_and_says_what_is_used() {
    let server = start(|config| config.quota_bytes = 100);
    let client = server.signed_in();
    let put = |name: &str, size: usize| {
        client
            .send("PUT", &format!("/v1/blobs/{name}"), &[], &vec![1; size])
            .unwrap()
    };
    assert_eq!(put("a", 60).status, 201);
    let problem = put("b", 41).problem();
    assert_eq!(problem.code, Code::QuotaExceeded);
    assert_eq!(
        (problem.used_bytes, problem.quota_bytes),
        (Some(60), Some(100))
    );
    assert_eq!(put("b", 40).status, 201);
    assert_eq!(put("a", 1).problem().code, Code::Conflict);
    client.send("DELETE", "/v1/blobs/a", &[], b"").unwrap();
    let account: Account = client.get("/v1/account").json();
    assert_eq!((account.used_bytes, account.quota_bytes), (40, 100));
    // Together too much, one after the other or at once.
    let threads: Vec<_> = (0..8)
        .map(|number| {
            let client = client.clone();
            std::thread::spawn(move || {
                client
                    .send("PUT", &format!("/v1/blobs/c{number}"), &[], &[2; 20])
                    .unwrap()
                    .status
            })
        })
        .collect();
    let statuses: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        3,
        "{statuses:?}"
    );
    let account: Account = client.get("/v1/account").json();
    assert_eq!(account.used_bytes, 100);
    server.stop();
}

#[test]
fn an_upload_that_breaks_off_leaves_nothing() {
    use std::io::Write as _;
    let server = start(|_| ());
    let client = server.signed_in();
    let token = client.token.as_ref().unwrap().0.to_text();
    let head = format!(
        "PUT /v1/blobs/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\nhalf"
    );
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    drop(stream);
    for _ in 0..200 {
        if walk(&server.folder.path().join("data/blobs")).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    assert_eq!(client.get("/v1/blobs/a").problem().code, Code::NotFound);
    server.stop();
}

#[test]
fn a_file_that_no_name_leads_to_goes_when_it_is_old() {
    let server = start(|_| ());
    let client = server.signed_in();
    client
        .send("PUT", "/v1/blobs/named", &[], b"bytes")
        .unwrap();
    let folder = server.stop();
    let blobs = folder.path().join("data/blobs");
    let named = walk(&blobs).pop().unwrap();
    let old = std::time::SystemTime::now() - Duration::from_hours(25);
    let stray = |name: &str, time| {
        let path = blobs.join("ab").join(name);
        let file = std::fs::File::create(&path).unwrap();
        file.set_modified(time).unwrap();
        path
    };
    let orphan = stray(&format!("ab{:030x}", 1), old);
    let young = stray(&format!("ab{:030x}", 2), std::time::SystemTime::now());
    let foreign = stray("notes.txt", old);
    std::fs::File::open(&named)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let server = start_in(folder, |_| ());
    for _ in 0..500 {
        if !orphan.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!orphan.exists());
    assert!(young.exists() && foreign.exists() && named.exists());
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
