//! One person's unlocks, without the stretching that is the person's own computer's work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result, anyhow, bail};
use heirloom_vault_api::{
    Evaluated, Fixed, GuessStart, Identity, Invite, RecordName, Registered, RegistrationStarted,
    SignIn, SignedIn, Token, VaultInfo, Which, WitnessPut, suite,
};
use rand_core::Rng as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::opaque::{self, Login, Registering, random};

const TEXT: &[u8] = b"correct horse";

/// Somebody with an account and a password.
pub(super) struct Person {
    token: Token,
    pub(super) record: RecordName,
}

/// A connection that stays.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
    token: Option<Token>,
    identity: Identity,
    /// A first message, made once: what it costs is the person's own computer's, and the server cannot tell.
    login: Login<'static>,
}

impl Client {
    pub(super) fn new(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let nobody = opaque::owner();
        let mut client = Self {
            stream: BufReader::new(stream),
            token: None,
            identity: Identity::new(&nobody.public().to_bytes())
                .map_err(|_| anyhow!("an identity"))?,
            login: Login::start(TEXT)?,
        };
        let info: VaultInfo = client.ask("GET", "/v1/vault", &())?;
        client.identity = Identity::new(&info.identity).map_err(|_| anyhow!("an identity"))?;
        Ok(client)
    }

    /// Somebody who signed in before.
    pub(super) fn of(address: SocketAddr, person: &Person) -> Result<Self> {
        let mut client = Self::new(address)?;
        client.token = Some(person.token.duplicate());
        Ok(client)
    }

    /// Opens an account, with a password in force and a head.
    pub(super) fn person(&mut self, invite: Invite) -> Result<Person> {
        let SignedIn { account: _, token } =
            self.ask("POST", "/v1/accounts", &SignIn::by(Some(invite)))?;
        self.token = Some(token.duplicate());
        let record = self.enrol()?;
        let mut lineage = [0; 16];
        random().fill_bytes(&mut lineage);
        let head = WitnessPut {
            lineage: Fixed(lineage),
            expected_sequence: 0,
            expected_head: Fixed([0; 32]),
            sequence: 1,
            head: Fixed([7; 32]),
            keyring_number: 1,
            keyring_hash: Fixed([8; 32]),
            record: Some(record),
            nonce: Fixed([9; 32]),
        };
        let _: serde_json::Value = self.ask("POST", "/v1/witness/advance", &head)?;
        Ok(Person { token, record })
    }

    fn ask<T: DeserializeOwned>(
        &mut self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T> {
        let body = if method == "GET" {
            Vec::new()
        } else {
            serde_json::to_vec(body)?
        };
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nhost: vault\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        if let Some(Token(token)) = &self.token {
            head.push_str("authorization: Bearer ");
            head.push_str(&token.to_text());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let stream = self.stream.get_mut();
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status: u16 = line
            .split(' ')
            .nth(1)
            .and_then(|s| s.parse().ok())
            .context("an answer")?;
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse()?;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if !(200..300).contains(&status) {
            bail!("{path}: {status} {}", String::from_utf8_lossy(&body).trim());
        }
        Ok(serde_json::from_slice(&body)?)
    }

    /// A record with a password in force.
    pub(super) fn enrol(&mut self) -> Result<RecordName> {
        let record = self.register()?;
        self.unlock(record, Which::Pending)?;
        let activate = opaque::activation(record, 1, &self.identity);
        let _: serde_json::Value = self.ask("POST", "/v1/records/activate", &activate)?;
        Ok(record)
    }

    /// A record with a pending password.
    pub(super) fn register(&mut self) -> Result<RecordName> {
        let registering = Registering::start(TEXT)?;
        let answer: RegistrationStarted =
            self.ask("POST", "/v1/registrations", &registering.request)?;
        let finish = registering.finish(&answer, &self.identity)?;
        let _: Registered = self.ask("POST", "/v1/registrations/finish", &finish)?;
        Ok(answer.record)
    }

    /// One whole unlock: the guess and its proof.
    pub(super) fn unlock(&mut self, record: RecordName, which: Which) -> Result<()> {
        let request = GuessStart {
            record,
            suite: suite::NEWEST,
            which,
            ke1: self.login.ke1,
        };
        let answer: Evaluated = self.ask("POST", "/v1/guesses", &request)?;
        let proof = self
            .login
            .clone()
            .proof(record, &self.identity, &answer)?
            .context("the right password is wrong")?;
        let _: heirloom_vault_api::Proved = self.ask("POST", "/v1/proofs", &proof)?;
        Ok(())
    }
}
