//! A page without a browser: the same requests as the script's. For tests and the software authenticator.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::seal::Secret;

/// The server's poll ends after 20 seconds.
const TIME: Duration = Duration::from_secs(30);
const ANSWER_BYTES: u64 = 256 << 10;

/// What an opened page holds.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) port: u16,
    pub(crate) cookie: Zeroizing<String>,
    pub(crate) bearer: Zeroizing<String>,
    pub(crate) psk: Secret,
    /// Where passkeys are asked, when that is not our own page.
    #[cfg(test)]
    pub(crate) site: Option<&'static str>,
}

/// One answer of the server.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Client {
    /// Does what the opening file does in a browser.
    pub(crate) fn open(opening: &Path) -> io::Result<Self> {
        let file = Zeroizing::new(std::fs::read_to_string(opening)?);
        let port = between(&file, "http://localhost:", "/open")
            .and_then(|port| port.parse().ok())
            .ok_or_else(unexpected)?;
        let token = between(&file, "name=\"token\" value=\"", "\"").ok_or_else(unexpected)?;
        let form = Zeroizing::new(format!("token={token}"));
        let headers = [
            ("Origin", "null"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        let reply = request(port, "POST", "/open", &headers, form.as_bytes())?;
        let cookie = between(&reply.head, "set-cookie: ", ";").ok_or_else(unexpected)?;
        let key = between(&reply.body, "name=\"heirloom-key\" content=\"", "\"")
            .and_then(Secret::from_hex)
            .ok_or_else(unexpected)?;
        Ok(Self {
            port,
            cookie: Zeroizing::new(cookie.to_owned()),
            bearer: Zeroizing::new(format!(
                "Heirloom {}",
                key.derive_bearer().exposed_hex().as_str()
            )),
            psk: key.derive_psk(),
            #[cfg(test)]
            site: None,
        })
    }

    /// A page of a server: it has no part in our own one.
    #[cfg(test)]
    pub(crate) fn on_site(origin: &'static str, psk: Secret) -> Self {
        Self {
            port: 0,
            cookie: Zeroizing::default(),
            bearer: Zeroizing::default(),
            psk,
            site: Some(origin),
        }
    }

    /// Where passkeys are asked.
    #[cfg(test)]
    pub(crate) fn asks_at(&self) -> String {
        self.site.map_or_else(|| self.origin(), str::to_owned)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The view after `after`; `None` when there is nothing new yet.
    pub(crate) fn next(&self, after: Option<u64>) -> io::Result<Option<Value>> {
        let path = after.map_or("/next".to_owned(), |after| format!("/next?after={after}"));
        let headers = [
            ("Cookie", self.cookie.as_str()),
            ("Authorization", self.bearer.as_str()),
        ];
        let reply = request(self.port, "GET", &path, &headers, &[])?;
        match reply.status {
            200 => Ok(Some(serde_json::from_str(&reply.body)?)),
            204 => Ok(None),
            _ => Err(unexpected()),
        }
    }

    /// Posts a message; the status.
    pub(crate) fn answer(&self, message: &Value) -> io::Result<u16> {
        let reply = self.post("/answer", message.to_string().as_bytes())?;
        Ok(reply.status)
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> io::Result<Reply> {
        let headers = [
            ("Origin", &*self.origin()),
            ("Cookie", self.cookie.as_str()),
            ("Authorization", self.bearer.as_str()),
            ("Content-Type", "application/json"),
        ];
        request(self.port, "POST", path, &headers, body)
    }
}

/// One request on a connection of its own.
pub(crate) fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let host = format!("localhost:{port}");
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.extend(["Host: ", &host, "\r\n"]);
    }
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head.extend(["Content-Length: ", &body.len().to_string(), "\r\n\r\n"]);
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIME))?;
    stream.write_all(head.as_bytes())?;
    // A server that refuses a body need not read all of it.
    let _ = stream.write_all(body);
    let mut bytes = Zeroizing::new(Vec::new());
    if let Err(error) = stream.take(ANSWER_BYTES).read_to_end(&mut bytes)
        && bytes.is_empty()
    {
        return Err(error);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| unexpected())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(unexpected)?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(unexpected)?;
    Ok(Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(found, _)| found)
}

fn unexpected() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "not what a ceremony's page says",
    )
}
