//! Slow, oversized and malformed HTTP against the real server: it answers a problem or hangs up, and lives.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use heirloom_vault_api::*;

use crate::client::Client;
use crate::running::start;

/// Sends what it can, and reads until the other side ends.
fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    // It may hang up before everything is sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answers: &str) -> Vec<&str> {
    answers
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|answer| answer.get(..3))
        .collect()
}

fn lives(client: &Client) {
    assert_eq!(client.get("/healthz").status, 200);
}

#[test]
fn what_is_no_http_gets_a_refusal_or_nothing() {
    let server = start(|_| ());
    let client = server.client();
    for (bytes, allowed) in [
        // HTTP/0.9, HTTP/2 without an agreement, TLS, nothing, and a head that never ends.
        (&b"GET /healthz\r\n\r\n"[..], &["400"][..]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &["400", "505"]),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            &["400"],
        ),
        (b"", &[]),
        (b"\r\n\r\n\r\n\r\n", &["400"]),
        (b"GET /healthz HTTP/1.1\r\nhost: a", &["400"]),
        (b"GET /healthz HTTP/9.9\r\n\r\n", &["400", "505"]),
        (b"GET / HTTP/1.1\r\nhost: a\r\nbad header\r\n\r\n", &["400"]),
        (
            b"GET / HTTP/1.1\r\nhost: a\r\nx: \x00\r\n\r\n",
            &["400"],
        ),
        (b"G\xC3\xA9T / HTTP/1.1\r\nhost: a\r\n\r\n", &["400"]),
        (
            b"GET /\xFF\xFE HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
            &["400", "404"],
        ),
        // Two lengths, a length and chunks, a length that is none.
        (
            b"POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
            &["400"],
        ),
        (
            b"POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n{}",
            &["400"],
        ),
        (
            b"POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999999999999999\r\n\r\n{}",
            &["400"],
        ),
    ] {
        let answer = talk(server.address, bytes);
        for status in statuses(&answer) {
            assert!(allowed.contains(&status), "{bytes:?}: {answer}");
        }
        lives(&client);
    }
    server.stop();
}

#[test]
fn heads_beyond_the_limit_are_refused_however_long() {
    let server = start(|_| ());
    let client = server.client();
    let long = "y".repeat(100 << 20);
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"),
        format!(
            "GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n",
            "x: y\r\n".repeat(2_000_000)
        ),
    ] {
        let answer = talk(server.address, head.as_bytes());
        for status in statuses(&answer) {
            assert!(["414", "431"].contains(&status), "{answer}");
        }
        lives(&client);
    }
    server.stop();
}

#[test]
fn chunks_that_are_none_or_too_many_are_refused() {
    let server = start(|_| ());
    let client = server.client();
    let head = "POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let many = "1000\r\n".to_owned() + &"x".repeat(0x1000) + "\r\n";
    for body in [
        "zz\r\n{}\r\n0\r\n\r\n".to_owned(),
        "-2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "2\r\n{}XX0\r\n\r\n".to_owned(),
        "FFFFFFFFFFFFFFFFFF\r\n{}\r\n".to_owned(),
        "2;".to_owned() + &"e".repeat(1 << 20) + "\r\n{}\r\n0\r\n\r\n",
        many.repeat(500),
        "2\r\n{}\r\n".to_owned(),
    ] {
        let answer = talk(server.address, (head.to_owned() + &body).as_bytes());
        for status in statuses(&answer) {
            assert!(["400", "408", "413"].contains(&status), "{answer}");
        }
        lives(&client);
    }
    server.stop();
}

#[test]
fn requests_in_a_row_are_answered_in_order_and_a_refused_body_smuggles_none() {
    let server = start(|_| ());
    let row = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n".repeat(50)
        + "GET /v1/nothing HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = talk(server.address, row.as_bytes());
    let found = statuses(&answer);
    assert_eq!(found.len(), 51);
    assert_eq!(found.last(), Some(&"404"));
    assert!(found.iter().take(50).all(|status| *status == "200"));
    // What a refused body holds is no request.
    let inner = "GET /v1/vault HTTP/1.1\r\nhost: a\r\n\r\n";
    let outer = format!(
        "POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{inner}",
        inner.len()
    );
    let answer = talk(server.address, outer.as_bytes());
    assert!(!answer.contains("identity"), "{answer}");
    assert_eq!(statuses(&answer).first(), Some(&"400"));
    server.stop();
}

#[test]
fn bodies_that_are_deep_huge_or_of_another_kind_are_refused() {
    let server = start(|_| ());
    let client = server.signed_in();
    let record = Fixed([1; 16]).to_text();
    let deep = "[".repeat(2000) + &"]".repeat(2000);
    let objects = "{\"a\":".repeat(600) + "1" + &"}".repeat(600);
    for body in [
        deep.as_str(),
        objects.as_str(),
        "\u{FEFF}{}",
        &format!("{{\"record\":\"{record}\",\"from\":1e400}}"),
        &format!("{{\"record\":\"{record}\",\"from\":-1}}"),
        &format!("{{\"record\":\"{record}\",\"from\":18446744073709551616}}"),
        &format!("{{\"record\":\"{record}\",\"from\":1.5}}"),
        &format!("{{\"record\":\"{record}\",\"from\":NaN}}"),
        &format!("{{\"record\":\"{record}\",\"from\":0}} trailing"),
        &format!("{{\"record\":\"{record}\\u0000\",\"from\":0}}"),
        "{\"record\":\"\\ud800\",\"from\":0}",
        "{\"record\":null,\"from\":0}",
    ] {
        let headers = [("content-type", "application/json")];
        let answer = client
            .send("POST", "/v1/records/log", &headers, body.as_bytes())
            .unwrap();
        assert_eq!(answer.problem().code, Code::BadRequest, "{body}");
    }
    // The greatest number there is: a place in a log that has none.
    let body = format!("{{\"record\":\"{record}\",\"from\":18446744073709551615}}");
    let headers = [("content-type", "application/json")];
    let answer = client
        .send("POST", "/v1/records/log", &headers, body.as_bytes())
        .unwrap();
    assert_eq!(answer.problem().code, Code::NotFound);
    let body = format!("{{\"record\":\"{record}\"}}");
    for kind in [
        "text/plain",
        "application/json; charset=latin1",
        "application/x-www-form-urlencoded",
        "",
    ] {
        let headers = [("content-type", kind)];
        let answer = client
            .send("POST", "/v1/records/status", &headers, body.as_bytes())
            .unwrap();
        assert_eq!(answer.problem().code, Code::BadRequest, "{kind}");
    }
    for path in [
        "/v1/blobs/%ff",
        "/v1/blobs/%2e%2e/%2e%2e/etc",
        "/v1/blobs/a%00b",
        "/v1/blobs/A",
        "/v1/blobs?prefix=%ff",
        "/v1/blobs?after=a&after=b",
        "/v1/blobs?unknown=1",
    ] {
        assert_eq!(client.get(path).problem().code, Code::BadRequest, "{path}");
    }
    server.stop();
}

/// Hundreds of clients that say nothing, little, or the beginning of a body hold nobody else up.
#[test]
fn slow_clients_hold_nobody_up_and_cost_little_memory() {
    let server = start(|_| ());
    let client = server.client();
    let begin = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(bytes).unwrap();
        stream
    };
    let before = resident();
    let mut slow = Vec::new();
    // All that one address may have, but a few.
    for _ in 0..80 {
        slow.push(begin(b""));
        slow.push(begin(b"GET /healthz HTTP/1.1\r\nhost: a\r\nx: "));
        slow.push(begin(
            b"POST /v1/guesses HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
              content-length: 4000\r\n\r\n{\"record\"",
        ));
    }
    for _ in 0..20 {
        lives(&client);
        for stream in &mut slow {
            // A byte now and then.
            let _ = stream.write_all(b"x");
        }
    }
    if let (Some(before), Some(after)) = (before, resident()) {
        let grown = after.saturating_sub(before);
        assert!(grown < 64 << 20, "{grown} bytes for 240 slow clients");
    }
    drop(slow);
    lives(&client);
    server.stop();
}

/// Bytes of memory that this process has, where the system tells.
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes << 10)
}

/// A head that never ends is cut off, though its client sends a byte now and then.
#[test]
fn a_head_that_does_not_end_is_ended() {
    let server = start(|config| config.head_time = Duration::from_millis(300));
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\n").unwrap();
    // Generous: a machine under load may be slow to cut it.
    let mut ended = false;
    for _ in 0..3000 {
        let dribbled = stream.write_all(b"x: y\r\n").is_err();
        let mut piece = [0; 512];
        let read = stream.read(&mut piece);
        if dribbled || matches!(read, Ok(0)) {
            ended = true;
            break;
        }
    }
    assert!(ended);
    lives(&server.client());
    server.stop();
}
