//! A small blocking client.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use heirloom_vault_api::{Identity, Problem, Token, VaultInfo};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status);
        problem
    }
}

/// One connection for each request.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<Token>,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        Self {
            address: self.address,
            token: self.token.as_ref().map(Token::duplicate),
        }
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            token: None,
        }
    }

    pub(crate) fn raw(&self, bytes: &[u8]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.write_all(bytes)?;
        read(stream)
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: vault\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(Token(token)) = &self.token {
            let _ = write!(head, "authorization: Bearer {}\r\n", token.to_text());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head += "\r\n";
        self.raw(&[head.as_bytes(), body].concat())
    }

    pub(crate) fn post<T: Serialize>(&self, path: &str, value: &T) -> io::Result<Answer> {
        let body = serde_json::to_vec(value)?;
        self.send("POST", path, &[("content-type", "application/json")], &body)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").unwrap()
    }

    pub(crate) fn identity(&self) -> Identity {
        let info: VaultInfo = self.get("/v1/vault").json();
        Identity::new(&info.identity).unwrap()
    }
}

/// One answer, whole.
pub(crate) fn read(stream: TcpStream) -> io::Result<Answer> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut headers = Vec::new();
    let mut length = None;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ").ok_or(io::ErrorKind::InvalidData)?;
        if name.eq_ignore_ascii_case("content-length") {
            length = value.parse::<u64>().ok();
        }
        headers.push((name.to_owned(), value.to_owned()));
    }
    let mut body = Vec::new();
    match length {
        // Of an answer that broke off nothing is taken.
        Some(length) => {
            reader.by_ref().take(length).read_to_end(&mut body)?;
            if u64::try_from(body.len()).unwrap() != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        None => {
            reader.read_to_end(&mut body)?;
        }
    }
    Ok(Answer {
        status,
        headers,
        body,
    })
}
