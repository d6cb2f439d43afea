//! Traces, received by a small collector on loopback.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heirloom_vault_api::*;
use serde_json::Value;
use tokio::sync::oneshot;

use super::client::Client;
use crate::server::Server;
use crate::{Config, Log, Traces};

/// Bodies that arrive, one connection at a time.
fn collector(status: &'static str) -> (SocketAddr, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (came, bodies) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut first, mut length) = (String::new(), 0);
            stream.read_line(&mut first).unwrap();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                let line = line.trim_end().to_ascii_lowercase();
                if line.is_empty() {
                    break;
                }
                if let Some(text) = line.strip_prefix("content-length: ") {
                    length = text.parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            if came.send((first, body)).is_err() {
                return;
            }
        }
    });
    (address, bodies)
}

/// Asks a server with canaries in everything, and stops it. Gives its lines, and what must not be told.
fn asked(traces: Option<Traces>) -> (Vec<String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::new("127.0.0.1:0".parse().unwrap(), folder.path().join("data"));
    config.admin_socket = None;
    config.traces = traces;
    let lines = Arc::new(Mutex::new(Vec::new()));
    let written = Arc::clone(&lines);
    config.log = Log::new(move |line| written.lock().unwrap().push(line.to_owned()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let server = runtime.block_on(Server::bind(config)).unwrap();
    let mut client = Client::new(server.address());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = runtime.spawn(server.run(async {
        let _ = stopped.await;
    }));
    let signed_in: SignedIn = client
        .post("/v1/accounts", &SignIn::by(None))
        .unwrap()
        .json();
    let SignedIn { account, token } = signed_in;
    let told = vec![
        account.to_text(),
        token.0.to_text(),
        "canary".to_owned(),
        "127.0.0.1".to_owned(),
    ];
    client.token = Some(token);
    let parent = (
        "traceparent",
        "00-c0ffeec0ffeec0ffeec0ffeec0ffeec0-c0ffeec0ffeec0ff-01",
    );
    let answer = client.send("GET", "/v1/blobs/canary-name?canary=1", &[parent], b"");
    assert_eq!(answer.unwrap().status, 404);
    client.get("/v1/canary-of-no-route");
    let _ = client.send("CANARY", "/v1/vault", &[], b"");
    drop(stop);
    runtime.block_on(running).unwrap().unwrap();
    let lines = lines.lock().unwrap().clone();
    (lines, told)
}

#[test]
fn a_collector_receives_a_span_for_each_request_and_nothing_of_a_person() {
    let (address, bodies) = collector("200 OK");
    let traces = Traces::new(&format!("http://{address}")).unwrap();
    let (lines, told) = asked(Some(traces));
    assert_eq!(lines, [""; 0]);
    // What waited when the server was stopped was sent before it ended.
    let mut spans = Vec::new();
    while let Ok((first, body)) = bodies.recv_timeout(Duration::from_millis(1)) {
        assert_eq!(first, "POST /v1/traces HTTP/1.1\r\n");
        let text = String::from_utf8(body).unwrap();
        for secret in &told {
            assert!(!text.contains(secret.as_str()), "{secret}: {text}");
        }
        // A client names no trace.
        assert!(!text.contains("c0ffee"), "{text}");
        let message: Value = serde_json::from_str(&text).unwrap();
        let scope = &message["resourceSpans"][0]["scopeSpans"][0];
        spans.extend(scope["spans"].as_array().unwrap().clone());
    }
    let names: Vec<_> = spans.iter().map(|span| span["name"].as_str()).collect();
    let routes = [
        "POST /v1/accounts",
        "GET /v1/blobs/{*name}",
        "GET none",
        "other /v1/vault",
    ];
    assert_eq!(names, routes.map(Some));
}

#[test]
fn a_collector_that_takes_nothing_is_told_of_once_and_stops_nothing() {
    let (address, _bodies) = collector("503 Service Unavailable");
    let (lines, _) = asked(Some(Traces::new(&format!("http://{address}")).unwrap()));
    assert_eq!(
        lines,
        ["traces do not reach their collector: it answers 503"]
    );
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr();
    let (lines, _) = asked(Some(
        Traces::new(&format!("http://{}", nobody.unwrap())).unwrap(),
    ));
    assert_eq!(
        lines,
        ["traces do not reach their collector: it is not reached"]
    );
}
