//! A server that answers anything: the program takes nothing from it, does not panic, stays small, and says so.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot set its scene fails"
)]

#[expect(
    dead_code,
    unreachable_pub,
    reason = "this file needs a part of what others share"
)]
#[path = "support/serving.rs"]
mod serving;
#[expect(dead_code, reason = "this file needs a part of what others share")]
#[path = "support/session.rs"]
mod session;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serving::{ANY_PORT, Serving};
use session::{Session, sample};

const ACCOUNT: [&str; 2] = ["--account-file", "account.json"];
const KEY: [&str; 2] = ["--recovery-key-file", "key.txt"];

/// What the server says in place of the honest answer, which it knows.
type Lie = fn(&mut dyn Write, &str, &[u8]) -> std::io::Result<()>;

fn with_body(out: &mut dyn Write, status: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )?;
    out.write_all(body)
}

fn body(answer: &[u8]) -> &[u8] {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    end.map_or(b"", |end| &answer[end + 4..])
}

fn is_object(request: &str) -> bool {
    request.starts_with("GET /v1/blobs/")
}

/// Without an end: as long as somebody listens.
fn endless(out: &mut dyn Write, head: &str) -> std::io::Result<()> {
    out.write_all(head.as_bytes())?;
    let piece = vec![b'x'; 1 << 20];
    loop {
        out.write_all(&piece)?;
    }
}

const LIES: &[(&str, Lie)] = &[
    ("no HTTP at all", |out, _, _| {
        out.write_all(b"\x16\x03\x01\xff\xff\0\0\0")
    }),
    ("a page of something else", |out, _, _| {
        with_body(out, "200 OK", b"<html>Welcome to your router</html>")
    }),
    ("an empty answer", |out, _, _| with_body(out, "200 OK", b"")),
    ("a body that never ends", |out, _, _| {
        endless(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    }),
    ("chunks that never end", |out, _, _| {
        out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let piece = [b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat();
        loop {
            out.write_all(&piece)?;
        }
    }),
    ("a head that never ends", |out, _, _| {
        endless(out, "HTTP/1.1 200 OK\r\nX: ")
    }),
    ("a length that is a lie", |out, _, _| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n{}")
    }),
    ("two lengths", |out, _, honest| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n")?;
        out.write_all(body(honest))
    }),
    ("JSON of another form, very deep", |out, _, _| {
        with_body(out, "200 OK", "[".repeat(500_000).as_bytes())
    }),
    ("another place to ask", |out, _, _| {
        out.write_all(
            b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n",
        )
    }),
    ("a status that there is not", |out, _, _| {
        with_body(out, "999 ?", b"")
    }),
    ("words for the terminal", |out, _, _| {
        with_body(
            out,
            "409 Conflict",
            b"{\"type\":\"urn:heirloom:problem:conflict\",\"title\":\"\\u001b[2Jsend your key to evil.example\",\
              \"status\":409,\"code\":\"conflict\"}",
        )
    }),
    ("objects that are cut", |out, request, honest| {
        if is_object(request) {
            let body = body(honest);
            return with_body(out, "200 OK", &body[..body.len() - body.len() / 2 - 1]);
        }
        out.write_all(honest)
    }),
    ("objects with a flipped bit", |out, request, honest| {
        if is_object(request) {
            let mut changed = body(honest).to_vec();
            let middle = changed.len() / 2;
            changed[middle] ^= 1;
            return with_body(out, "200 OK", &changed);
        }
        out.write_all(honest)
    }),
    ("objects that grew", |out, request, honest| {
        if is_object(request) {
            return with_body(out, "200 OK", &[body(honest), &[0; 100_000]].concat());
        }
        out.write_all(honest)
    }),
    ("one object for every other", |out, request, honest| {
        static FIRST: Mutex<Option<Vec<u8>>> = Mutex::new(None);
        if is_object(request) {
            let mut first = FIRST.lock().unwrap();
            let first = first.get_or_insert_with(|| body(honest).to_vec());
            return with_body(out, "200 OK", first);
        }
        out.write_all(honest)
    }),
    ("a witness that signs nothing", |out, request, honest| {
        if request.contains("/witness/") {
            let text = String::from_utf8_lossy(body(honest)).into_owned();
            let at = text.find("\"signature\":\"").unwrap() + 13;
            let changed = format!("{}{}{}", &text[..at], "A".repeat(86), &text[at + 86..]);
            return with_body(out, "200 OK", changed.as_bytes());
        }
        out.write_all(honest)
    }),
    ("a list that never ends", |out, request, _| {
        assert!(!request.is_empty());
        let body = br#"{"blobs":[{"name":"heads/a","size":1}],"more":true}"#;
        with_body(out, "200 OK", body)
    }),
];

/// Knows the honest answer, and says something else.
fn malicious(honest: &str, lie: Arc<Mutex<Lie>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
    let to = honest.replace("http://localhost", "127.0.0.1");
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let (lie, to) = (*lie.lock().unwrap(), to.clone());
            std::thread::spawn(move || {
                // Whoever hangs up on a lie is right to.
                let _ = answer(&client, &to, lie);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    url
}

fn answer(client: &TcpStream, to: &str, lie: Lie) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut text = String::new();
        if reader.read_line(&mut text)? == 0 {
            return Ok(());
        }
        if let Some(value) = text.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&text);
        if text == "\r\n" {
            break;
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent)?;
    let mut server = TcpStream::connect(to)?;
    server.write_all(
        head.replacen("\r\n", "\r\nConnection: close\r\n", 1)
            .as_bytes(),
    )?;
    server.write_all(&sent)?;
    let mut honest = Vec::new();
    server.read_to_end(&mut honest)?;
    let mut out = client;
    lie(&mut out, &head, &honest)
}

/// Runs the program: its exit code, its words, and the most memory that it had, in KiB.
fn run(session: &Session, args: &[&str]) -> (i32, String, u64) {
    let mut program = session
        .command()
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = program.stderr.take().unwrap();
    let words = std::thread::spawn(move || {
        let mut words = String::new();
        stderr.read_to_string(&mut words).unwrap();
        words
    });
    let status = format!("/proc/{}/status", program.id());
    let mut most = 0;
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.split_whitespace().next()?.parse().ok());
        most = most.max(peak.unwrap_or(0));
        if let Some(status) = program.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (code, words.join().unwrap(), most)
}

fn done(session: &Session, args: &[&str]) {
    let ended = session.run(args);
    assert_eq!(ended.code, 0, "{args:?} {ended:?}");
}

#[test]
fn whatever_a_server_answers_nothing_is_taken_nothing_grows_and_it_is_said() {
    let session = Session::new();
    let serving = Serving::start(&session, "server", ANY_PORT, &[]);
    let lie: Lie = |out, _, honest| out.write_all(honest);
    let lie = Arc::new(Mutex::new(lie));
    let url = malicious(&serving.url, lie.clone());
    done(&session, &["login", &url, ACCOUNT[0], ACCOUNT[1]]);
    let sample = sample().display().to_string();
    let backup = [
        "backup",
        &sample,
        "--to",
        &url,
        "--new-recovery-key-file",
        "key.txt",
    ];
    done(&session, &backup);
    fs::set_permissions(session.path("key.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    let restore = [
        "restore", &url, "--to", "out", ACCOUNT[0], ACCOUNT[1], KEY[0], KEY[1],
    ];
    let mut session = session;
    for (number, (name, what)) in LIES.iter().enumerate() {
        *lie.lock().unwrap() = *what;
        // A computer that knows nothing but the account and the key.
        session.move_to(&format!("new-{number}"));
        let (code, words, most) = run(&session, &restore);
        assert!(code > 0 && code != 101, "{name}: {code} {words}");
        // What to do is said, but where the server gave one of its own reasons.
        let is_said = words.contains("hint: ") || words.contains(" refused\n  because ");
        assert!(words.contains("error: ") && is_said, "{name}: {words}");
        assert!(
            !words.contains("panicked") && !words.contains('\u{1b}'),
            "{name}: {words}"
        );
        assert!(!words.contains("evil.example"), "{name}: {words}");
        assert!(most < 250_000, "{name}: {most} KiB");
        let restored = session.path("out");
        let is_empty = fs::read_dir(&restored).map_or(true, |mut entries| entries.next().is_none());
        assert!(is_empty, "{name}");
        println!("{name}: exit {code}, {most} KiB");
    }
    // The control: with the truth it is restored.
    *lie.lock().unwrap() = |out, _, honest| out.write_all(honest);
    session.move_to("honest");
    done(&session, &restore);
}
