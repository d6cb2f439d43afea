//! Where a browser comes back to: a port of this computer that takes one address, with a code that is worth nothing
//! without what only this process knows.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use heirloom_vault_api::Fixed;

/// The longest head of a request.
const HEAD_BYTES: usize = 8 << 10;
/// For a head.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// Connections at a time: browsers open some in advance and say nothing.
const CONNECTIONS: usize = 16;

const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<meta name=\"color-scheme\" content=\"light dark\"><title>Heirloom</title>\
<h1 id=\"title\">{title}</h1><p id=\"text\">{text}</p></html>\n";

/// A port that waits for a browser.
#[derive(Debug)]
pub(super) struct Loopback {
    port: u16,
    codes: Receiver<Fixed<16>>,
}

impl Loopback {
    /// Takes a free port of this computer, and listens until the process ends. `state` is what the browser has to know.
    pub(super) fn listen(state: Fixed<16>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let (found, codes) = channel();
        std::thread::Builder::new()
            .name("heirloom-loopback".to_owned())
            .spawn(move || serve(&listener, port, state, &found))?;
        Ok(Self { port, codes })
    }

    /// Where it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The code, as soon as a browser brings it; `None` when the time is over.
    pub(super) fn wait(&self, time: Duration) -> Option<Fixed<16>> {
        self.codes.recv_timeout(time).ok()
    }
}

fn serve(listener: &TcpListener, port: u16, state: Fixed<16>, found: &Sender<Fixed<16>>) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            continue;
        };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS {
            open.fetch_sub(1, Ordering::SeqCst);
            continue;
        }
        let (found, open) = (found.clone(), Arc::clone(&open));
        std::thread::spawn(move || {
            // A connection that breaks off is the browser's matter.
            let _ = answer(stream, port, state, &found);
            open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn answer(
    mut stream: TcpStream,
    port: u16,
    state: Fixed<16>,
    found: &Sender<Fixed<16>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(HEAD_TIME))?;
    stream.set_write_timeout(Some(HEAD_TIME))?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut piece)?;
        if read == 0 || head.len() + read > HEAD_BYTES {
            return Ok(());
        }
        head.extend_from_slice(piece.get(..read).unwrap_or_default());
    }
    let code = code(&head, port, state);
    let (status, title, text) = match code {
        Some(_) => (
            "200 OK",
            "Go back to the terminal",
            "Heirloom has what it needs and goes on there. You can close this page.",
        ),
        None => (
            "404 Not Found",
            "There is nothing here",
            "Go back to Heirloom.",
        ),
    };
    let page = PAGE.replace("{title}", title).replace("{text}", text);
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         content-security-policy: default-src 'none'; frame-ancestors 'none'\r\nreferrer-policy: no-referrer\r\n\
         x-content-type-options: nosniff\r\ncache-control: no-store\r\nconnection: close\r\n\r\n{page}",
        page.len()
    )?;
    stream.flush()?;
    if let Some(code) = code {
        // Whoever waited may have given up.
        let _ = found.send(code);
    }
    Ok(())
}

/// The code of `GET /?code=…&state=…`, sent to this very address.
fn code(head: &[u8], port: u16, state: Fixed<16>) -> Option<Fixed<16>> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let query = lines
        .next()?
        .strip_prefix("GET /?")?
        .strip_suffix(" HTTP/1.1")?;
    // A name that was made to point here is not this address.
    let host = format!("127.0.0.1:{port}");
    let mut hosts = lines
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let is_here = hosts.next()?.1.trim() == host && hosts.next().is_none();
    let (code, given) = query.strip_prefix("code=")?.split_once("&state=")?;
    let is_ours = Fixed::parse(given) == Ok(state);
    (is_here && is_ours)
        .then(|| Fixed::parse(code).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Fixed<16> = Fixed([1; 16]);
    const CODE: Fixed<16> = Fixed([2; 16]);

    fn ask(port: u16, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn only_the_address_with_the_right_state_gives_a_code() {
        let loopback = Loopback::listen(STATE).unwrap();
        let port = loopback.port();
        let host = format!("127.0.0.1:{port}");
        let silent = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        let good = format!("/?code={}&state={}", CODE.to_text(), STATE.to_text());
        for (path, host) in [
            ("/", host.as_str()),
            ("/favicon.ico", &host),
            (&good.replace("state=A", "state=B"), &host),
            (&format!("{good}&more=1"), &host),
            (&good, "localhost"),
            (&good, &format!("evil.example:{port}")),
        ] {
            assert!(
                ask(port, path, host).starts_with("HTTP/1.1 404"),
                "{path} {host}"
            );
        }
        assert_eq!(loopback.wait(Duration::ZERO), None);
        let answer = ask(port, &good, &host);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("Go back to the terminal"));
        assert_eq!(loopback.wait(Duration::from_secs(30)), Some(CODE));
        drop(silent);
    }

    #[test]
    fn no_bytes_make_the_reader_panic() {
        for head in [
            b"".as_slice(),
            b"GET /?\r\n\r\n",
            b"\xff\xfe\r\n\r\n",
            b"GET /?code=&state= HTTP/1.1\r\nhost\r\n\r\n",
        ] {
            assert_eq!(code(head, 1, STATE), None);
        }
    }
}
