//! Opaque objects: created once, read in ranges, within a quota.

use std::path::{Path, PathBuf};
use std::time::Duration;

use heirloom_vault_api::*;

use crate::client::Client;
use crate::running::{Running, start, start_in, walk};

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
    for (path, text, stated) in [
        ("/v1/blobs/packs/0a", "bytes=300000-", "bytes */300000"),
        ("/v1/blobs/empty", "bytes=0-", "bytes */0"),
    ] {
        let beyond = client.send("GET", path, &[("range", text)], b"").unwrap();
        assert_eq!(beyond.problem().code, Code::RangeNotSatisfiable);
        assert_eq!(beyond.header("content-range"), Some(stated));
    }
    for text in ["items=0-1", "bytes=0-1,5-6"] {
        let whole = range(text);
        assert_eq!((whole.status, whole.header("content-range")), (200, None));
        assert!(whole.body == bytes, "{text}");
    }
    let if_range = [("range", "bytes=5-6"), ("if-range", "\"one\"")];
    let whole = client.send("GET", "/v1/blobs/packs/0a", &if_range, b"");
    assert_eq!(whole.unwrap().status, 200);
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
    for _ in 0..6000 {
        if !orphan.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(!orphan.exists());
    assert!(young.exists() && foreign.exists() && named.exists());
    server.stop();
}

/// The database of a stopped server.
fn copied(data: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    ["vault.sqlite", "vault.sqlite-wal"]
        .into_iter()
        .map(|name| data.join(name))
        .filter(|path| path.exists())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

fn put_back(data: &Path, database: &[(PathBuf, Vec<u8>)]) {
    for name in ["vault.sqlite", "vault.sqlite-wal", "vault.sqlite-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
    for (path, bytes) in database {
        std::fs::write(path, bytes).unwrap();
    }
}

fn until(is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("it never was so");
}

#[test]
fn nothing_is_removed_under_an_old_database_until_the_operator_accepts_it() {
    let grace_is_over = |config: &mut heirloom_vault::Config| config.grace = Duration::ZERO;
    let server = start(|_| ());
    let client = server.signed_in();
    for name in ["kept", "deleted-then"] {
        client
            .send("PUT", &format!("/v1/blobs/{name}"), &[], name.as_bytes())
            .unwrap();
    }
    client
        .send("DELETE", "/v1/blobs/deleted-then", &[], b"")
        .unwrap();
    let folder = server.stop();
    let data = folder.path().join("data");
    let old = copied(&data);
    let server = start_in(folder, |_| ());
    let mut again = server.client();
    again.token = client.token.as_ref().map(Token::duplicate);
    // What the copy calls deleted is brought back, and something is new.
    let name = BlobName::try_from("deleted-then".to_owned()).unwrap();
    let restored = again.post("/v1/restores", &BlobRestore { name }).unwrap();
    assert_eq!(restored.status, 200);
    again.send("PUT", "/v1/blobs/new", &[], b"new").unwrap();
    let folder = server.stop();
    let newest = copied(&data);
    let files = walk(&data.join("blobs"));
    assert_eq!(files.len(), 3);
    let aged = std::time::SystemTime::now() - Duration::from_hours(25);
    for file in &files {
        std::fs::File::open(file)
            .unwrap()
            .set_modified(aged)
            .unwrap();
    }
    put_back(&data, &old);
    let server = start_in(folder, grace_is_over);
    assert!(server.admin.is_restored());
    server.runtime.block_on(server.admin.sweep()).unwrap();
    // The search that a server begins with, which says nothing when it has searched.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(walk(&data.join("blobs")).len(), 3);
    // It was the wrong copy: with the right one, all is as it was.
    let folder = server.stop();
    put_back(&data, &newest);
    let server = start_in(folder, |_| ());
    let mut again = server.client();
    again.token = client.token.as_ref().map(Token::duplicate);
    for name in ["kept", "deleted-then", "new"] {
        let path = format!("/v1/blobs/{name}");
        assert_eq!(again.get(&path).status, 200, "{name}");
    }
    let folder = server.stop();
    // Taken as it is, the old one decides.
    put_back(&data, &old);
    let server = start_in(folder, grace_is_over);
    server
        .runtime
        .block_on(server.admin.accept_restore())
        .unwrap();
    server.runtime.block_on(server.admin.sweep()).unwrap();
    assert_eq!(walk(&data.join("blobs")).len(), 2);
    let folder = server.stop();
    let server = start_in(folder, grace_is_over);
    until(|| walk(&data.join("blobs")).len() == 1);
    let mut again = server.client();
    again.token = client.token.as_ref().map(Token::duplicate);
    assert_eq!(again.get("/v1/blobs/kept").body, b"kept");
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
fn who_deletes_and_stores_again_and_again_is_told_that_deleted_objects_take_room() {
    let server = start(|config| config.quota_bytes = 100);
    let client = server.signed_in();
    let put = |name: &str, size: usize| {
        client
            .send("PUT", &format!("/v1/blobs/{name}"), &[], &vec![1; size])
            .unwrap()
    };
    for _ in 0..3 {
        assert_eq!(put("a", 60).status, 201);
        client.send("DELETE", "/v1/blobs/a", &[], b"").unwrap();
    }
    let problem = put("a", 60).problem();
    assert_eq!(problem.code, Code::QuotaExceeded);
    assert!(problem.title.contains("kept for 7 days"), "{problem:?}");
    assert_eq!((problem.used_bytes, problem.quota_bytes), (None, None));
    let restored = client
        .post(
            "/v1/restores",
            &BlobRestore {
                name: BlobName::try_from("a".to_owned()).unwrap(),
            },
        )
        .unwrap();
    assert_eq!(restored.status, 200);
    server.stop();
}

#[test]
fn one_account_cannot_take_every_place_of_uploads() {
    use std::io::Write as _;
    let server = start(|_| ());
    let (greedy, other) = (server.signed_in(), server.signed_in());
    let token = greedy.token.as_ref().unwrap().0.to_text();
    let mut slow: Vec<_> = (0..8)
        .map(|number| {
            let head = format!(
                "PUT /v1/blobs/slow{number} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 1000\r\n\r\nhalf"
            );
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            stream
        })
        .collect();
    let part = server.folder.path().join("data/blobs/part");
    soon(|| walk(&part).len() == 8);
    let put = |client: &Client, name: &str| {
        client
            .send("PUT", &format!("/v1/blobs/{name}"), &[], b"bytes")
            .unwrap()
    };
    let problem = put(&greedy, "ninth").problem();
    assert_eq!(problem.code, Code::TooManyRequests);
    assert_eq!(problem.retry_after_s, Some(2));
    let words = UploadStart {
        name: BlobName::try_from("ninth".to_owned()).unwrap(),
        size: 5,
        sha256: Fixed(<sha2::Sha256 as sha2::Digest>::digest(b"bytes").into()),
    };
    let at: UploadAt = greedy.post("/v1/uploads", &words).unwrap().json();
    let place = format!("/v1/uploads/{}", at.upload.to_text());
    let patch = || {
        let header = [("upload-offset", "0")];
        greedy.send("PATCH", &place, &header, b"bytes").unwrap()
    };
    assert_eq!(patch().problem().code, Code::TooManyRequests);
    assert_eq!(put(&other, "ninth").status, 201);
    // One that ends makes room for one.
    slow.pop();
    soon(|| patch().status == 201);
    server.stop();
}

/// Uploads of many accounts that bring half and then nothing, for now.
pub(crate) fn slow_uploads_keep_nobody_from_theirs(
    server: &Running,
    (accounts, each): (usize, usize),
    object: &[u8],
) {
    use std::io::Write as _;
    let mut slow = Vec::new();
    for _ in 0..accounts {
        let client = server.signed_in();
        let token = client.token.as_ref().unwrap().0.to_text();
        for number in 0..each {
            let head = format!(
                "PUT /v1/blobs/slow{number} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\ncontent-length: 8\r\n\r\nhalf"
            );
            let mut stream = std::net::TcpStream::connect(server.address).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            slow.push(stream);
        }
    }
    let part = server.folder.path().join("data/blobs/part");
    soon(|| walk(&part).len() == accounts * each);
    let other = server.signed_in();
    let put = other.send("PUT", "/v1/blobs/object", &[], object).unwrap();
    assert_eq!(put.status, 201);
    assert!(other.get("/v1/blobs/object").body == object);
    // They were there all the time, and still are.
    for mut stream in slow {
        stream.write_all(b"half").unwrap();
        assert_eq!(crate::client::read(stream).unwrap().status, 201);
    }
    soon(|| walk(&part).is_empty());
}

#[test]
fn slow_uploads_of_many_accounts_keep_nobody_from_theirs() {
    let server = start(|_| ());
    slow_uploads_keep_nobody_from_theirs(&server, (9, 8), b"bytes");
    server.stop();
}

/// Waits for what happens soon.
fn soon(mut happens: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !happens() {
        assert!(begun.elapsed() < std::time::Duration::from_mins(1));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
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
    // Time for the server to begin with it, and then all the time that it takes to be rid of it.
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..6000 {
        if walk(&server.folder.path().join("data/blobs")).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(walk(&server.folder.path().join("data/blobs")).is_empty());
    assert_eq!(client.get("/v1/blobs/a").problem().code, Code::NotFound);
    server.stop();
}
