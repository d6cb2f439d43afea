//! Uploads that are gone on with, objects that are brought back, quotas that are exact.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heirloom_vault::{Ask, Clock};
use heirloom_vault_api::*;
use sha2::{Digest as _, Sha256};

use crate::client::{self, Answer, Client};
use crate::running::{Running, start, start_in, walk};

pub(crate) fn bytes(length: usize, seed: u64) -> Vec<u8> {
    // SplitMix64: nothing that compresses or repeats.
    let mut state = seed;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bytes.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn words(name: &str, object: &[u8]) -> UploadStart {
    UploadStart {
        name: BlobName::try_from(name.to_owned()).unwrap(),
        size: u64::try_from(object.len()).unwrap(),
        sha256: Fixed(Sha256::digest(object).into()),
    }
}

fn begin(client: &Client, name: &str, object: &[u8]) -> Answer {
    client.post("/v1/uploads", &words(name, object)).unwrap()
}

fn begun(client: &Client, name: &str, object: &[u8]) -> UploadAt {
    let answer = begin(client, name, object);
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn path(at: &UploadAt) -> String {
    format!("/v1/uploads/{}", at.upload.to_text())
}

fn patch(client: &Client, at: &UploadAt, offset: usize, bytes: &[u8]) -> Answer {
    let offset = offset.to_string();
    let header = [("upload-offset", offset.as_str())];
    client.send("PATCH", &path(at), &header, bytes).unwrap()
}

fn account(client: &Client) -> Account {
    client.get("/v1/account").json()
}

/// Says that `length` bytes follow, and sends these for now.
fn opened(client: &Client, at: &UploadAt, offset: usize, length: usize, bytes: &[u8]) -> TcpStream {
    let token = client.token.as_ref().unwrap().0.to_text();
    let head = format!(
        "PATCH {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nupload-offset: {offset}\r\ncontent-length: {length}\r\n\r\n",
        path(at)
    );
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(bytes).unwrap();
    stream
}

/// The same, and is gone.
fn cut(client: &Client, at: &UploadAt, offset: usize, length: usize, bytes: &[u8]) {
    let mut stream = opened(client, at, offset, length, bytes);
    stream.shutdown(Shutdown::Write).unwrap();
    // The other side has read all of it when it hangs up.
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn an_upload_is_begun_gone_on_with_and_named_with_its_last_byte() {
    let server = start(|_| ());
    let (client, other) = (server.signed_in(), server.signed_in());
    let object = bytes(3_000_000, 1);
    let at = begun(&client, "packs/0a", &object);
    assert_eq!((at.offset, at.size), (0, 3_000_000));
    assert_eq!(client.get("/v1/blobs/packs/0a").status, 404);
    let first: UploadAt = patch(&client, &at, 0, &object[..1_000_001]).json();
    assert_eq!(first.offset, 1_000_001);
    // Nobody else's.
    assert_eq!(other.get(&path(&at)).problem().code, Code::NotFound);
    assert_eq!(
        patch(&other, &at, 1_000_001, b"x").problem().code,
        Code::NotFound
    );
    // The same words, also from a program that was begun anew, find it.
    let again = begun(&client, "packs/0a", &object);
    assert_eq!((again.upload, again.offset), (at.upload, 1_000_001));
    let rest = patch(&client, &at, 1_000_001, &object[1_000_001..]);
    assert_eq!(rest.status, 201, "{rest:?}");
    assert_eq!(rest.json::<BlobInfo>().size, 3_000_000);
    assert_eq!(client.get("/v1/blobs/packs/0a").body, object);
    assert_eq!(client.get(&path(&at)).problem().code, Code::NotFound);
    assert_eq!(
        begin(&client, "packs/0a", &object).problem().code,
        Code::Conflict
    );
    server.stop();
}

#[test]
fn what_arrived_before_a_cut_is_kept_also_when_the_server_is_begun_anew() {
    let server = start(|_| ());
    let client = server.signed_in();
    let object = bytes(2_500_000, 2);
    let at = begun(&client, "a", &object);
    cut(&client, &at, 0, object.len(), &object[..700_003]);
    assert_eq!(client.get(&path(&at)).json::<UploadAt>().offset, 700_003);
    let folder = server.stop();
    let server = start_in(folder, |_| ());
    let client = Client {
        address: server.address,
        ..client
    };
    assert_eq!(client.get(&path(&at)).json::<UploadAt>().offset, 700_003);
    cut(
        &client,
        &at,
        700_003,
        1_799_997,
        &object[700_003..1_900_000],
    );
    let now = begun(&client, "a", &object);
    assert_eq!((now.upload, now.offset), (at.upload, 1_900_000));
    assert_eq!(
        patch(&client, &at, 1_900_000, &object[1_900_000..]).status,
        201
    );
    assert_eq!(client.get("/v1/blobs/a").body, object);
    assert_eq!(account(&client).used_bytes, 2_500_000);
    server.stop();
}

/// A proxy passes half a body on and then waits for the answer.
#[test]
fn a_body_that_was_cut_on_its_way_is_asked_for_again_and_not_called_wrong() {
    let server = start(|_| ());
    let client = server.signed_in();
    let object = bytes(100_000, 6);
    let at = begun(&client, "a", &object);
    let token = client.token.as_ref().unwrap().0.to_text();
    let half = |head: &str, length: usize, sent: &[u8]| {
        let head = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n"
        );
        let head = head + "content-type: application/json\r\nupload-offset: 0\r\n\r\n";
        let mut stream = TcpStream::connect(client.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        client::read(stream).unwrap()
    };
    let patch_of = format!("PATCH {}", path(&at));
    let cut = half(&patch_of, object.len(), &object[..70_000]);
    assert_eq!((cut.status, cut.problem().code), (408, Code::CutShort));
    assert_eq!(client.get(&path(&at)).json::<UploadAt>().offset, 70_000);
    let cut = half("PUT /v1/blobs/b", object.len(), &object[..70_000]);
    assert_eq!(cut.problem().code, Code::CutShort);
    assert_eq!(client.get("/v1/blobs/b").problem().code, Code::NotFound);
    let cut = half("POST /v1/uploads", 200, b"{\"name\":\"c\",");
    assert_eq!(cut.problem().code, Code::CutShort);
    // What is whole and too long stays what it is.
    let long = half("POST /v1/uploads", 5000, &[b' '; 5000]);
    assert_eq!(long.problem().code, Code::TooLarge);
    // Nothing is left of what had no name, and the same requests go through.
    let blobs = server.folder.path().join("data/blobs");
    assert_eq!(walk(&blobs).len(), 1);
    assert_eq!(half("PUT /v1/blobs/b", object.len(), &object).status, 201);
    assert_eq!(patch(&client, &at, 70_000, &object[70_000..]).status, 201);
    assert_eq!(client.get("/v1/blobs/a").body, object);
    server.stop();
}

#[test]
fn who_asks_anew_does_not_wait_for_a_connection_that_is_dead() {
    let server = start(|_| ());
    let client = server.signed_in();
    let object = bytes(100_000, 3);
    let at = begun(&client, "a", &object);
    // It stays open, and nothing more comes.
    let dead = opened(&client, &at, 0, 100_000, &object[..40_000]);
    let mut offset = 0;
    for _ in 0..100 {
        offset = client.get(&path(&at)).json::<UploadAt>().offset;
        if offset > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(offset, 40_000);
    assert_eq!(patch(&client, &at, 40_000, &object[40_000..]).status, 201);
    assert_eq!(client.get("/v1/blobs/a").body, object);
    drop(dead);
    server.stop();
}

#[test]
fn bytes_in_another_place_or_too_many_are_refused_and_change_nothing() {
    let server = start(|_| ());
    let client = server.signed_in();
    let object = bytes(1000, 4);
    let at = begun(&client, "a", &object);
    patch(&client, &at, 0, &object[..500]);
    for offset in [0, 499, 501, 1000, 5000] {
        let refused = patch(&client, &at, offset, b"x").problem().code;
        assert_eq!(refused, Code::Conflict, "{offset}");
    }
    assert_eq!(
        patch(&client, &at, 500, &[0; 501]).problem().code,
        Code::TooLarge
    );
    let header = |headers: &[(&str, &str)]| {
        let answer = client.send("PATCH", &path(&at), headers, b"x").unwrap();
        answer.problem().code
    };
    assert_eq!(header(&[]), Code::BadRequest);
    for wrong in [
        "",
        "-1",
        "+500",
        "0x1F4",
        "500, 500",
        "99999999999999999999999",
    ] {
        assert_eq!(header(&[("upload-offset", wrong)]), Code::BadRequest);
    }
    assert_eq!(
        header(&[("upload-offset", "500"), ("upload-offset", "500")]),
        Code::BadRequest
    );
    let finish = format!("{}/finish", path(&at));
    let early = client.send("POST", &finish, &[], b"").unwrap();
    assert_eq!(early.problem().code, Code::Conflict);
    assert_eq!(client.get("/v1/uploads/x").problem().code, Code::BadRequest);
    assert_eq!(client.get(&path(&at)).json::<UploadAt>().offset, 500);
    assert_eq!(patch(&client, &at, 500, &object[500..]).status, 201);
    assert_eq!(client.get("/v1/blobs/a").body, object);
    server.stop();
}

#[test]
fn an_object_that_is_not_what_was_promised_gets_no_name_and_gives_its_room_back() {
    let server = start(|config| config.quota_bytes = 1000);
    let client = server.signed_in();
    let at = begun(&client, "a", &[1; 900]);
    assert_eq!(account(&client).used_bytes, 900);
    assert_eq!(
        patch(&client, &at, 0, &[2; 900]).problem().code,
        Code::NotWhole
    );
    assert_eq!(client.get("/v1/blobs/a").problem().code, Code::NotFound);
    assert_eq!(client.get(&path(&at)).problem().code, Code::NotFound);
    assert_eq!(account(&client).used_bytes, 0);
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    server.stop();
}

#[test]
fn an_object_of_no_bytes_is_finished_without_any() {
    let server = start(|_| ());
    let client = server.signed_in();
    let at = begun(&client, "a", b"");
    let finish = format!("{}/finish", path(&at));
    assert_eq!(client.send("POST", &finish, &[], b"").unwrap().status, 201);
    assert_eq!(client.get("/v1/blobs/a").body, b"");
    server.stop();
}

#[test]
fn an_upload_that_was_given_up_leaves_nothing() {
    let server = start(|_| ());
    let client = server.signed_in();
    let at = begun(&client, "a", &[1; 900]);
    patch(&client, &at, 0, &[1; 500]);
    let delete = || client.send("DELETE", &path(&at), &[], b"").unwrap();
    assert_eq!(delete().status, 200);
    assert_eq!(delete().problem().code, Code::NotFound);
    assert_eq!(account(&client).used_bytes, 0);
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    server.stop();
}

#[test]
fn whoever_waits_for_an_upload_that_is_given_up_meanwhile_leaves_nothing_either() {
    let server = start(|_| ());
    let client = server.signed_in();
    for round in 0..4 {
        let at = begun(&client, "a", &[1; 900]);
        // It has its turn and says nothing: the next one waits for it to rest.
        let silent = opened(&client, &at, 0, 900, b"");
        std::thread::sleep(Duration::from_millis(30));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| patch(&client, &at, 0, &[1; 500]).status);
            std::thread::sleep(Duration::from_millis(30));
            let given_up = client.send("DELETE", &path(&at), &[], b"").unwrap();
            assert_eq!(given_up.status, 200, "{round}");
            waits.join().unwrap();
        });
        drop(silent);
        assert_eq!(account(&client).used_bytes, 0);
        let left = walk(&server.folder.path().join("data/blobs"));
        assert!(left.is_empty(), "{round}: {left:?}");
    }
    server.stop();
}

#[test]
fn an_upload_under_way_gets_no_name_once_its_account_is_gone() {
    let server = start(|_| ());
    let client = server.signed_in();
    let object = bytes(900, 5);
    let at = begun(&client, "a", &object);
    let mut last = opened(&client, &at, 0, 900, &object[..899]);
    // Most times it is under way by now; where it is not, it is refused at the door.
    std::thread::sleep(Duration::from_millis(100));
    let account = account(&client).account;
    let deleted = server.admin.answer(Ask::Delete { account });
    let deleted = server.runtime.block_on(deleted);
    assert_eq!(deleted, heirloom_vault::Answer::Done { changed: true });
    last.write_all(&object[899..]).unwrap();
    let answer = client::read(last).unwrap();
    assert!(
        [Code::NotFound, Code::SignInNeeded].contains(&answer.problem().code),
        "{answer:?}"
    );
    let left = walk(&server.folder.path().join("data/blobs"));
    assert!(left.is_empty(), "{left:?}");
    server.stop();
}

#[test]
fn who_was_there_first_keeps_the_name() {
    let server = start(|_| ());
    let client = server.signed_in();
    let at = begun(&client, "a", b"slow");
    let quick = client.send("PUT", "/v1/blobs/a", &[], b"quick").unwrap();
    assert_eq!(quick.status, 201);
    assert_eq!(
        patch(&client, &at, 0, b"slow").problem().code,
        Code::Conflict
    );
    assert_eq!(client.get("/v1/blobs/a").body, b"quick");
    assert_eq!(account(&client).used_bytes, 5);
    assert_eq!(walk(&server.folder.path().join("data/blobs")).len(), 1);
    server.stop();
}

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

const HOUR: u64 = 3_600_000;

fn with_hand(quota: u64) -> (Running, Arc<Hand>) {
    let hand = Arc::new(Hand(AtomicU64::new(1_700_000_000_000)));
    let clock = hand.clone();
    let server = start(move |config| {
        config.clock = clock;
        config.quota_bytes = quota;
        config.grace = Duration::from_hours(48);
    });
    (server, hand)
}

fn sweep(server: &Running) {
    server.runtime.block_on(server.admin.sweep()).unwrap();
}

#[test]
fn an_unfinished_upload_counts_for_a_day_and_then_is_gone() {
    let (server, hand) = with_hand(1000);
    let client = server.signed_in();
    let at = begun(&client, "a", &[1; 900]);
    patch(&client, &at, 0, &[1; 500]);
    let refused = begin(&client, "b", &[2; 101]).problem();
    assert_eq!(refused.code, Code::QuotaExceeded);
    assert_eq!(
        (refused.used_bytes, refused.quota_bytes),
        (Some(900), Some(1000))
    );
    hand.0.fetch_add(24 * HOUR - 1, Ordering::SeqCst);
    sweep(&server);
    assert_eq!(client.get(&path(&at)).json::<UploadAt>().offset, 500);
    hand.0.fetch_add(1, Ordering::SeqCst);
    assert_eq!(client.get(&path(&at)).problem().code, Code::NotFound);
    sweep(&server);
    assert_eq!(account(&client).used_bytes, 0);
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    assert_eq!(begin(&client, "b", &[2; 1000]).status, 201);
    server.stop();
}

#[test]
fn an_account_has_a_limit_of_unfinished_uploads() {
    let server = start(|_| ());
    let client = server.signed_in();
    let mut refused = 0;
    for number in 0..258 {
        let answer = begin(&client, &format!("n{number}"), b"x");
        if answer.status != 201 {
            assert_eq!(answer.problem().code, Code::TooManyRequests);
            refused += 1;
        }
    }
    assert_eq!(refused, 2);
    server.stop();
}

#[test]
fn a_deleted_object_is_brought_back_within_the_grace_and_not_after() {
    let (server, hand) = with_hand(1000);
    let client = server.signed_in();
    let stranger = server.signed_in();
    let put = |body: &[u8]| client.send("PUT", "/v1/blobs/a", &[], body).unwrap().status;
    let delete = || client.send("DELETE", "/v1/blobs/a", &[], b"").unwrap();
    let name = BlobName::try_from("a".to_owned()).unwrap();
    let restore = |client: &Client| {
        let name = name.clone();
        client.post("/v1/restores", &BlobRestore { name }).unwrap()
    };
    assert_eq!(restore(&client).problem().code, Code::NotFound);
    put(b"first");
    delete();
    hand.0.fetch_add(HOUR, Ordering::SeqCst);
    put(b"second!");
    assert_eq!(restore(&client).problem().code, Code::Conflict);
    delete();
    assert_eq!(restore(&stranger).problem().code, Code::NotFound);
    // The newest of that name.
    assert_eq!(restore(&client).json::<BlobInfo>().size, 7);
    assert_eq!(client.get("/v1/blobs/a").body, b"second!");
    assert_eq!(account(&client).used_bytes, 7);
    delete();
    // The quota holds for it as for any other.
    client.send("PUT", "/v1/blobs/b", &[], &[0; 994]).unwrap();
    assert_eq!(restore(&client).problem().code, Code::QuotaExceeded);
    client.send("DELETE", "/v1/blobs/b", &[], b"").unwrap();
    hand.0.fetch_add(48 * HOUR - 1, Ordering::SeqCst);
    sweep(&server);
    assert_eq!(restore(&client).status, 200);
    assert_eq!(client.get("/v1/blobs/a").body, b"second!");
    delete();
    hand.0.fetch_add(48 * HOUR, Ordering::SeqCst);
    assert_eq!(restore(&client).problem().code, Code::NotFound);
    sweep(&server);
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    server.stop();
}

#[test]
fn a_quota_is_exact_when_many_come_at_once_in_both_ways() {
    let server = start(|config| config.quota_bytes = 10_000);
    let client = server.signed_in();
    let threads: Vec<_> = (0..32_usize)
        .map(|number| {
            let client = client.clone();
            std::thread::spawn(move || {
                let (name, object) = (format!("n{number}"), bytes(1000, 5));
                // More than an account may send at a time: whoever is told so asks again.
                let patiently = |send: &dyn Fn() -> Answer| loop {
                    let answer = send();
                    if answer.status != 429 {
                        return answer.status;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                };
                if number % 2 == 0 {
                    let path = format!("/v1/blobs/{name}");
                    return patiently(&|| client.send("PUT", &path, &[], &object).unwrap());
                }
                let answer = begin(&client, &name, &object);
                if answer.status != 201 {
                    return answer.status;
                }
                let at = answer.json();
                patiently(&|| patch(&client, &at, 0, &object[..300]));
                patiently(&|| patch(&client, &at, 300, &object[300..]))
            })
        })
        .collect();
    let statuses: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    let stored = statuses.iter().filter(|status| **status == 201).count();
    assert_eq!(stored, 10, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 507].contains(status)));
    assert_eq!(account(&client).used_bytes, 10_000);
    assert_eq!(client.get("/v1/blobs").json::<BlobList>().blobs.len(), 10);
    assert_eq!(walk(&server.folder.path().join("data/blobs")).len(), 10);
    server.stop();
}
