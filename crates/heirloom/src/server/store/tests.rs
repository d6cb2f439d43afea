//! The store against the real server, and against servers that lie.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use heirloom_engine::store::{Put, Store, StoreError, contract};
use heirloom_vault::{Config, Limits, Server};
use heirloom_vault_api::{BlobName, Fixed, SignIn, SignedIn, Token, UploadAt, UploadStart};

use super::*;

/// A real server on a free port, for as long as this lives.
struct Served {
    address: Address,
    token: Token,
    _stop: tokio::sync::oneshot::Sender<()>,
    _folder: tempfile::TempDir,
}

fn serve(quota_bytes: u64) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new(([127, 0, 0, 1], 0).into(), folder.path().join("data"));
    config.quota_bytes = quota_bytes;
    config.limits = Limits {
        requests_per_second: 100_000,
        ..config.limits
    };
    config.account_requests_per_second = 100_000;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    let url = format!("http://localhost:{}", server.address().port());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        runtime.block_on(server.run(async {
            let _ = stopped.await;
        }))
    });
    let address = Address::parse(&url).unwrap();
    let client = Client::new(&address, None);
    let SignedIn { account: _, token } =
        client.post_once("/v1/accounts", &SignIn::by(None)).unwrap();
    Served {
        address,
        token,
        _stop: stop,
        _folder: folder,
    }
}

impl Served {
    fn store(&self, prefix: &str) -> RemoteStore {
        let address = Address {
            prefix: prefix.to_owned(),
            ..self.address.clone()
        };
        RemoteStore::new(Client::new(&address, Some(&self.token)), &address)
    }
}

#[test]
fn a_real_server_keeps_the_store_contract() {
    let served = serve(10 << 30);
    let places = AtomicUsize::new(0);
    // One account; each clause has a place of its own in it.
    contract::check_all(&|| {
        let place = places.fetch_add(1, Ordering::SeqCst);
        Box::new(served.store(&format!("place-{place}/")))
    });
    assert_eq!(places.into_inner(), contract::CLAUSES.len());
}

/// Passes on what is said to a server, and hangs up after every so many bytes of a client.
struct Cutting {
    address: Address,
    /// What clients sent.
    sent: Arc<AtomicUsize>,
    cuts: Arc<AtomicUsize>,
}

fn cutting(behind: &Served, every: usize) -> Cutting {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = behind
        .address
        .origin
        .replace("http://localhost", "127.0.0.1");
    let (sent, cuts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, cut) = (sent.clone(), cuts.clone());
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (counted, cut, server) = (counted.clone(), cut.clone(), server.clone());
            std::thread::spawn(move || {
                let server = std::net::TcpStream::connect(server).unwrap();
                let (mut back, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let answers = std::thread::spawn(move || std::io::copy(&mut back, &mut to));
                let (mut client, mut server) = (client, server);
                let (mut left, mut piece) = (every, vec![0; 16 << 10]);
                while left > 0 {
                    let most = left.min(piece.len());
                    let Ok(read @ 1..) = client.read(&mut piece[..most]) else {
                        break;
                    };
                    left -= read;
                    counted.fetch_add(read, Ordering::SeqCst);
                    if server.write_all(&piece[..read]).is_err() {
                        break;
                    }
                }
                if left == 0 {
                    cut.fetch_add(1, Ordering::SeqCst);
                }
                // What was passed on arrives; then both sides hear no more.
                let _ = server.shutdown(std::net::Shutdown::Write);
                let _ = client.shutdown(std::net::Shutdown::Both);
                let _ = answers.join();
            });
        }
    });
    Cutting {
        address: Address::parse(&format!("http://127.0.0.1:{port}")).unwrap(),
        sent,
        cuts,
    }
}

fn incompressible(length: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56).to_le_bytes()[0]
    });
    next.take(length).collect()
}

#[test]
fn over_a_line_that_is_cut_again_and_again_an_object_arrives_piece_by_piece() {
    let served = serve(1 << 30);
    let object = incompressible(8 << 20);
    for every in [100 << 10, 1 << 20, 3_000_000] {
        let line = cutting(&served, every);
        let client = Client::new(&line.address, Some(&served.token)).hasty();
        let store = RemoteStore::new(client, &line.address);
        let name = format!("every-{every}");
        assert_eq!(store.put_new(&name, &object).unwrap(), Put::Created);
        let sent = line.sent.load(Ordering::SeqCst);
        let cuts = line.cuts.load(Ordering::SeqCst);
        assert!(cuts >= object.len() / every, "{cuts} cuts");
        // How much of what was on its way arrives is chance. Begun anew each time, it would never end.
        println!("{sent} bytes in {cuts} cuts");
        let stored = served.store("").get(&name, 8 << 20).unwrap();
        assert!(stored == object);
        assert_eq!(store.put_new(&name, b"other").unwrap(), Put::AlreadyThere);
    }
}

#[test]
fn a_program_that_was_killed_in_the_middle_goes_on_where_it_was() {
    let served = serve(1 << 30);
    let object = incompressible(8 << 20);
    // The first program ends with its connection: nothing of it is left.
    let line = cutting(&served, 5 << 20);
    let killed = RemoteStore::new(
        Client::new(&line.address, Some(&served.token)).hasty(),
        &line.address,
    );
    let start = UploadStart {
        name: BlobName::try_from("a".to_owned()).unwrap(),
        size: 8 << 20,
        sha256: Fixed(<sha2::Sha256 as sha2::Digest>::digest(&object).into()),
    };
    let at: UploadAt = killed.client.post_again("/v1/uploads", &start).unwrap();
    assert!(
        killed
            .send_from(&format!("/v1/uploads/{}", at.upload.to_text()), 0, &object)
            .is_err()
    );
    drop(killed);
    let line = cutting(&served, usize::MAX);
    let again = RemoteStore::new(
        Client::new(&line.address, Some(&served.token)),
        &line.address,
    );
    assert_eq!(again.put_new("a", &object).unwrap(), Put::Created);
    let sent = line.sent.load(Ordering::SeqCst);
    assert!(sent < (3 << 20) + (64 << 10), "{sent}");
    assert!(served.store("").get("a", 8 << 20).unwrap() == object);
}

#[test]
fn a_server_that_takes_large_objects_and_keeps_nothing_is_given_up() {
    let upload = |offset: usize| {
        let at = serde_json::json!({
            "upload": Fixed([1; 16]).to_text(), "offset": offset, "size": 2 << 20
        });
        answer("200 OK", "", &at.to_string())
    };
    let object = vec![1; 2 << 20];
    // It never has a byte more; it has more than there is; it finishes with nothing; it forgets.
    let in_vain = vec![upload(0); 24];
    let beyond = vec![upload(3 << 20); 2];
    let gone = answer("404 Not Found", "", "");
    let forgets: Vec<_> = (0..6)
        .map(|n| if n % 2 == 0 { upload(0) } else { gone.clone() })
        .collect();
    let not_ours = vec![
        upload(0),
        gone.clone(),
        answer("409 Conflict", "", ""),
        answer(
            "206 Partial Content",
            "Content-Range: bytes 0-4/5\r\n",
            "other",
        ),
    ];
    for (answers, is_there) in [
        (in_vain, false),
        (beyond, false),
        (forgets, false),
        (not_ours, true),
    ] {
        let answers: Vec<_> = answers.iter().map(String::as_str).collect();
        let put = scripted(&answers).store.put_new("a", &object);
        assert_eq!(matches!(put, Ok(Put::AlreadyThere)), is_there, "{put:?}");
        assert!(!matches!(put, Ok(Put::Created)));
    }
}

#[test]
fn one_place_in_an_account_does_not_show_another() {
    let served = serve(1 << 30);
    let (one, other) = (served.store("a/"), served.store("ab/"));
    one.put_new("x", b"1").unwrap();
    assert!(other.list("").unwrap().is_empty());
    assert!(other.get("x", 10).is_err());
    assert_eq!(one.list("").unwrap()[0].name, "x");
    assert_eq!(served.store("").list("").unwrap()[0].name, "a/x");
}

#[test]
fn a_full_account_is_a_full_store() {
    let served = serve(1000);
    let store = served.store("");
    store.put_new("a", &[0; 900]).unwrap();
    assert!(matches!(
        store.put_new("b", &[0; 200]),
        Err(StoreError::Full)
    ));
    assert_eq!(store.put_new("c", &[0; 100]).unwrap(), Put::Created);
}

#[test]
fn a_sign_in_that_is_none_is_refused() {
    let served = serve(1000);
    let client = Client::new(&served.address, Some(&Token(Fixed([1; 32]))));
    let store = RemoteStore::new(client, &served.address);
    assert!(matches!(store.get("a", 1), Err(StoreError::Denied { .. })));
    assert!(matches!(store.list(""), Err(StoreError::Denied { .. })));
}

#[test]
fn names_that_no_store_has_are_not_sent() {
    let served = serve(1000);
    let store = served.store("");
    for name in [
        "../x", "a//b", "/x", "A", "a b", "a?b", "a%2fb", ".hidden", "",
    ] {
        assert!(
            matches!(store.put_new(name, &[1]), Err(StoreError::NotFound { .. })),
            "{name}"
        );
        assert!(store.get(name, 1).is_err(), "{name}");
    }
}

/// A server that gives these answers, one to each connection; it keeps the heads of the requests.
struct Scripted {
    store: RemoteStore,
    heads: Arc<Mutex<Vec<String>>>,
}

fn scripted(answers: &[&str]) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = Address::parse(&format!("http://127.0.0.1:{port}")).unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let (kept, answers) = (
        heads.clone(),
        answers
            .iter()
            .map(|answer| (*answer).to_owned())
            .collect::<Vec<_>>(),
    );
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut request = Vec::new();
            let mut piece = [0; 4096];
            while !request.windows(4).any(|four| four == b"\r\n\r\n") {
                match stream.read(&mut piece) {
                    Ok(read) if read > 0 => request.extend_from_slice(&piece[..read]),
                    _ => break,
                }
            }
            let end = request.windows(4).position(|four| four == b"\r\n\r\n");
            let body = end.map_or(0, |end| request.len() - end - 4);
            let head = String::from_utf8_lossy(&request[..end.unwrap_or(request.len())]);
            // Who hangs up on a body that is still coming may not be heard.
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.parse::<usize>().ok());
            let mut left = length.unwrap_or(0).saturating_sub(body);
            while left > 0 {
                match stream.read(&mut piece) {
                    Ok(read) if read > 0 => left = left.saturating_sub(read),
                    _ => break,
                }
            }
            kept.lock().unwrap().push(head.into_owned());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let client = Client::new(&address, Some(&Token(Fixed([7; 32])))).hasty();
    Scripted {
        store: RemoteStore::new(client, &address),
        heads,
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[test]
fn a_server_that_is_busy_is_asked_again() {
    let busy = answer("503 Service Unavailable", "Retry-After: 0\r\n", "");
    let good = answer("200 OK", "", "hello");
    let scripted = scripted(&[&busy, "", &good]);
    assert_eq!(scripted.store.get("a", 5).unwrap(), b"hello");
    assert_eq!(scripted.heads.lock().unwrap().len(), 3);
}

#[test]
fn what_was_cut_on_its_way_is_sent_again() {
    let good = answer("201 Created", "", r#"{"name":"a","size":5}"#);
    let proxy = answer("408 Request Timeout", "", "");
    let problem = serde_json::to_string(&heirloom_vault_api::Problem::from(Code::CutShort));
    let server = answer("408 Request Timeout", "", &problem.unwrap());
    let scripted = scripted(&[&proxy, &server, &good]);
    assert_eq!(scripted.store.put_new("a", b"hello").unwrap(), Put::Created);
    assert_eq!(scripted.heads.lock().unwrap().len(), 3);
}

#[test]
fn a_server_that_stays_busy_is_given_up() {
    let busy = answer("503 Service Unavailable", "Retry-After: 0\r\n", "");
    let scripted = scripted(&[busy.as_str(); 8]);
    assert!(scripted.store.get("a", 5).unwrap_err().is_temporary());
    assert_eq!(scripted.heads.lock().unwrap().len(), 5);
}

#[test]
fn what_a_lost_answer_had_written_is_known_as_our_own() {
    let conflict = answer("409 Conflict", "", "");
    let ours = answer(
        "206 Partial Content",
        "Content-Range: bytes 0-4/5\r\n",
        "hello",
    );
    let others = answer(
        "206 Partial Content",
        "Content-Range: bytes 0-4/5\r\n",
        "other",
    );
    let put = |answers: &[&str]| scripted(answers).store.put_new("a", b"hello").unwrap();
    assert_eq!(put(&["", &conflict, &ours]), Put::Created);
    assert_eq!(put(&["", &conflict, &others]), Put::AlreadyThere);
    assert_eq!(put(&[&conflict]), Put::AlreadyThere);
}

#[test]
fn an_answer_that_is_longer_than_asked_for_is_cut_or_refused() {
    let long = answer("200 OK", "", &"x".repeat(100_000));
    assert!(matches!(
        scripted(&[&long]).store.get("a", 99_999),
        Err(StoreError::TooLarge { .. })
    ));
    let part = answer(
        "206 Partial Content",
        "Content-Range: bytes 3-9/10\r\n",
        &"x".repeat(5000),
    );
    let part = scripted(&[&part]).store.get_range("a", 3, 7).unwrap();
    assert_eq!(part.len(), 7);
    // A length that is a lie is no reason to make room for it.
    let endless = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc";
    assert!(scripted(&[endless; 5]).store.get("a", 1 << 40).is_err());
}

#[test]
fn another_part_than_was_asked_for_is_refused() {
    let whole = answer("200 OK", "", "0123456789");
    assert!(scripted(&[&whole]).store.get_range("a", 3, 2).is_err());
    let other = answer(
        "206 Partial Content",
        "Content-Range: bytes 4-5/10\r\n",
        "45",
    );
    assert!(scripted(&[&other]).store.get_range("a", 3, 2).is_err());
}

#[test]
fn a_list_that_has_no_order_or_no_end_is_refused() {
    let page = |names: &[&str], more: bool| {
        let blobs: Vec<_> = names
            .iter()
            .map(|name| serde_json::json!({"name": name, "size": 1}))
            .collect();
        let body = serde_json::json!({"blobs": blobs, "more": more});
        answer("200 OK", "", &body.to_string())
    };
    let list = |pages: &[String]| {
        let pages: Vec<_> = pages.iter().map(String::as_str).collect();
        scripted(&pages).store.list("p/")
    };
    assert_eq!(
        list(&[page(&["p/a"], true), page(&["p/b"], false)])
            .unwrap()
            .len(),
        2
    );
    assert!(list(&[page(&["p/b", "p/a"], false)]).is_err());
    assert!(list(&[page(&["p/a"], true), page(&["p/a"], false)]).is_err());
    assert!(list(&[page(&["q/a"], false)]).is_err());
    assert!(list(&[page(&["p/../a"], false)]).is_err());
    assert!(list(&[page(&[], true), page(&[], true)]).is_err());
}

#[test]
fn the_sign_in_follows_no_redirect() {
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    target.set_nonblocking(true).unwrap();
    let port = target.local_addr().unwrap().port();
    let away = answer(
        "302 Found",
        &format!("Location: http://127.0.0.1:{port}/\r\n"),
        "",
    );
    let scripted = scripted(&[&away]);
    assert!(scripted.store.get("a", 5).is_err());
    assert!(target.accept().is_err());
    let heads = scripted.heads.lock().unwrap();
    let sign_in = format!("Bearer {}", Fixed([7; 32]).to_text());
    assert!(heads[0].contains(&sign_in), "{}", heads[0]);
}

#[test]
fn of_two_keyrings_of_one_number_the_one_that_came_second_is_heard() {
    use heirloom_engine::keyrings;
    use heirloom_keys::{CreateParams, Keyring, RecoveryKey};

    use crate::server::{Account, Witness, WitnessedStore};

    let served = serve(10 << 30);
    let client = || Client::new(&served.address, Some(&served.token));
    let account: heirloom_vault_api::Account = client().get("/v1/account").unwrap();
    let info: heirloom_vault_api::VaultInfo = client().get("/v1/vault").unwrap();
    let witnessed = || {
        let account = Account {
            server: served.address.origin.clone(),
            id: account.account,
            token: served.token.duplicate(),
            identity: info.identity,
        };
        WitnessedStore {
            store: served.store(""),
            witness: Witness::new(&served.address, &account).unwrap(),
        }
    };
    let mut rng = crate::keys::rng();
    let recovery = RecoveryKey::generate(&mut rng);
    let params = CreateParams {
        device_name: "a",
        recovery: &recovery,
        recovery_name: "key",
    };
    let (bytes, first, _) = Keyring::create(&mut rng, 1, &params).unwrap();
    keyrings::publish(&witnessed(), 1, &bytes).unwrap();
    // Two computers that have both seen the first go on from it at the same moment.
    let sides = ["b", "c"].map(|name| first.add_device(&mut rng, 2, name).unwrap().0.bytes);
    let start = std::sync::Barrier::new(2);
    let ended = std::thread::scope(|scope| {
        sides
            .each_ref()
            .map(|bytes| {
                let (start, store) = (&start, witnessed());
                scope.spawn(move || {
                    start.wait();
                    keyrings::publish(&store, 2, bytes)
                })
            })
            .map(|side| side.join().unwrap())
    });
    let [heard] = ended
        .iter()
        .filter_map(|side| side.as_ref().err())
        .collect::<Vec<_>>()[..]
    else {
        panic!("one is signed, and the other hears of it: {ended:?}");
    };
    assert!(
        heard
            .to_string()
            .contains("another computer changed the ways in at the same moment"),
        "{heard}"
    );
    // Told again, it is the same: the one that was signed stays.
    let again = sides
        .each_ref()
        .map(|bytes| keyrings::publish(&witnessed(), 2, bytes).is_ok());
    assert_eq!(again, ended.each_ref().map(Result::is_ok));
}
