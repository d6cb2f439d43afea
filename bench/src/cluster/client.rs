//! A client that keeps three answers apart: yes, no, and nobody knows.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use heirloom_vault_api::{
    Code, Commitment, Evaluated, Fixed, GuessStart, Identity, Problem, Proof, Proved, RecordName,
    Registered, RegistrationStarted, Token, VaultInfo, Which, suite,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::opaque::{self, Login, Registering};

/// What the owners remember.
pub(super) const RIGHT: &[u8] = b"correct horse";
/// What the others try.
pub(super) const WRONG: &[u8] = b"wrong";

/// Longer than the server lets an operation wait for its database.
const PATIENCE: Duration = Duration::from_secs(25);

/// What was said to a request.
#[derive(Debug)]
pub(super) enum Said<T> {
    /// Acknowledged.
    Yes(T),
    /// Refused: nothing happened, or nothing that counts.
    No(Code),
    /// It may have happened, and may not.
    Unknown,
}

impl<T> Said<T> {
    pub(super) fn yes(self) -> Option<T> {
        match self {
            Self::Yes(value) => Some(value),
            Self::No(_) | Self::Unknown => None,
        }
    }
}

/// A connection to one server, made anew when it breaks.
#[derive(Debug)]
pub(super) struct Client {
    /// Which of the servers.
    pub(super) server: usize,
    address: SocketAddr,
    stream: Option<BufReader<TcpStream>>,
    pub(super) token: Option<Token>,
}

impl Client {
    pub(super) fn new(server: usize, address: SocketAddr, token: Option<Token>) -> Self {
        Self {
            server,
            address,
            stream: None,
            token,
        }
    }

    fn connected(&mut self) -> Result<&mut BufReader<TcpStream>> {
        if self.stream.is_none() {
            let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(3))?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            self.stream = Some(BufReader::new(stream));
        }
        self.stream.as_mut().context("a connection")
    }

    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>)> {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: vault\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(Token(token)) = &self.token {
            head.push_str("authorization: Bearer ");
            head.push_str(&token.to_text());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let stream = self.connected()?;
        stream
            .get_mut()
            .write_all(&[head.as_bytes(), body].concat())?;
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.context("an answer")?;
        let mut length = 0_u64;
        let mut closes = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                bail!("half an answer");
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
            closes |= line == "connection: close";
        }
        let mut body = Vec::new();
        stream
            .by_ref()
            .take(length.min(1 << 20))
            .read_to_end(&mut body)?;
        if u64::try_from(body.len())? != length {
            bail!("half an answer");
        }
        if closes {
            self.stream = None;
        }
        Ok((status, body))
    }

    fn send<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        kind: &str,
        body: &[u8],
    ) -> Said<T> {
        let Ok((status, body)) = self.exchange(method, path, kind, body) else {
            self.stream = None;
            return Said::Unknown;
        };
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_or(Said::Unknown, Said::Yes);
        }
        match serde_json::from_slice::<Problem>(&body).map(|problem| problem.code) {
            Ok(Code::OutcomeUnknown) | Err(_) => Said::Unknown,
            Ok(code) => Said::No(code),
        }
    }

    /// A request with a body in JSON.
    pub(super) fn post<T: DeserializeOwned>(
        &mut self,
        path: &str,
        body: &impl Serialize,
    ) -> Said<T> {
        match serde_json::to_vec(body) {
            Ok(body) => self.send("POST", path, "application/json", &body),
            Err(_) => Said::Unknown,
        }
    }

    /// An object, under a name that is free.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Said<serde_json::Value> {
        let path = format!("/v1/blobs/{name}");
        self.send("PUT", &path, "application/octet-stream", bytes)
    }

    pub(super) fn identity(&mut self) -> Result<Identity> {
        let info: Said<VaultInfo> = self.send("GET", "/v1/vault", "application/json", b"");
        let info = info.yes().context("the server's identity")?;
        Identity::new(&info.identity).map_err(|_| anyhow!("an identity"))
    }

    /// A record with a password that is proven and in force. `None`: something was not acknowledged.
    pub(super) fn enrol(&mut self, identity: &Identity) -> Result<Option<RecordName>> {
        let registering = Registering::start(RIGHT)?;
        let Said::Yes(answer) =
            self.post::<RegistrationStarted>("/v1/registrations", &registering.request)
        else {
            return Ok(None);
        };
        let finish = registering.finish(&answer, identity)?;
        let record = answer.record;
        let Said::Yes(Registered { record: _, version }) =
            self.post("/v1/registrations/finish", &finish)
        else {
            return Ok(None);
        };
        let Said::Yes(guess) = self.guess(record, Which::Pending, RIGHT, identity)? else {
            return Ok(None);
        };
        let Some(Said::Yes(_)) = guess.prove(self, record)? else {
            return Ok(None);
        };
        let activate = opaque::activation(record, version, identity);
        let activated: Said<serde_json::Value> = self.post("/v1/records/activate", &activate);
        Ok(activated.yes().map(|_| record))
    }

    /// One guess: evaluated, refused, or nobody knows.
    pub(super) fn guess(
        &mut self,
        record: RecordName,
        which: Which,
        text: &[u8],
        identity: &Identity,
    ) -> Result<Said<Guess>> {
        let login = Login::start(text)?;
        let request = GuessStart {
            record,
            suite: suite::NEWEST,
            which,
            ke1: login.ke1,
        };
        let answer: Evaluated = match self.post("/v1/guesses", &request) {
            Said::Yes(answer) => answer,
            Said::No(code) => return Ok(Said::No(code)),
            Said::Unknown => return Ok(Said::Unknown),
        };
        Ok(Said::Yes(Guess {
            commitment: answer.commitment,
            proof: login.proof(record, identity, &answer)?,
        }))
    }
}

/// A guess that was evaluated.
#[derive(Debug)]
pub(super) struct Guess {
    commitment: Fixed<32>,
    proof: Option<Proof>,
}

impl Guess {
    /// Proves the password to the same server. `None`: the password was wrong.
    pub(super) fn prove(
        self,
        client: &mut Client,
        record: RecordName,
    ) -> Result<Option<Said<Proved>>> {
        let Some(proof) = self.proof else {
            return Ok(None);
        };
        let said: Said<Proved> = client.post("/v1/proofs", &proof);
        if let Said::Yes(proved) = &said {
            let committed = Commitment {
                opening: &proved.opening,
                record: &record,
                version: proved.version,
                number: proved.number,
            };
            if committed.digest() != self.commitment {
                bail!("a proof whose number is not the one that was committed to");
            }
        }
        Ok(Some(said))
    }
}
