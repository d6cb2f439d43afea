//! For tests: a random source that repeats itself, and an authenticator that lies on purpose.

use std::collections::BTreeMap;
use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};
use serde_cbor_2::Value;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::ask::Known;
use crate::bytes;
use crate::client::Client;
use crate::message::Asserted;
use crate::seal::{self, Sealed, Suite};

/// `SHA-256(seed ‖ counter)`.
#[derive(Debug)]
pub(crate) struct Rng(u64, u64);

pub(crate) fn rng(seed: u64) -> Rng {
    Rng(seed, 0)
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, filled: &mut [u8]) -> Result<(), Infallible> {
        for part in filled.chunks_mut(32) {
            self.1 += 1;
            let block = Sha256::digest([self.0.to_le_bytes(), self.1.to_le_bytes()].concat());
            part.copy_from_slice(&block[..part.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}

/// An authenticator and browser in one, whose every lie can be chosen.
#[derive(Clone, Debug)]
pub(crate) struct Fake {
    pub(crate) id: Vec<u8>,
    pub(crate) key: p256::ecdsa::SigningKey,
    /// What it gives, or nothing.
    pub(crate) output: Option<[u8; 32]>,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) rp_id: &'static str,
    pub(crate) suite: Suite,
    pub(crate) algorithm: i64,
    pub(crate) prf_enabled: Option<bool>,
    /// What it says instead of the truth.
    pub(crate) kind: Option<&'static str>,
    pub(crate) origin: Option<&'static str>,
    pub(crate) challenge: Option<String>,
    pub(crate) more: &'static str,
    pub(crate) breaks_signature: bool,
    pub(crate) breaks_seal: bool,
}

/// UP, UV, BE, BS.
pub(crate) const SYNCED: u8 = 0b1_1101;
const ATTESTED: u8 = 1 << 6;
pub(crate) const AAGUID: [u8; 16] = 0xfbfc3007_154e_4ecc_8c0b_6e020557d7bd_u128.to_be_bytes();

impl Fake {
    pub(crate) fn new(number: u8) -> Self {
        Self {
            id: vec![number; 16],
            key: p256::ecdsa::SigningKey::from_slice(&[number; 32]).unwrap(),
            output: Some([number; 32]),
            flags: SYNCED,
            counter: 0,
            rp_id: "localhost",
            suite: Suite::XWing,
            algorithm: -7,
            prf_enabled: Some(true),
            kind: None,
            origin: None,
            challenge: None,
            more: "",
            breaks_signature: false,
            breaks_seal: false,
        }
    }

    /// `COSE_Key`.
    pub(crate) fn public_key(&self) -> Vec<u8> {
        let point = self.key.verifying_key().to_sec1_point(false);
        let (x, y) = (point.x().unwrap().to_vec(), point.y().unwrap().to_vec());
        let entries = [
            (1, Value::Integer(2)),
            (3, Value::Integer(self.algorithm.into())),
            (-1, Value::Integer(1)),
            (-2, Value::Bytes(x)),
            (-3, Value::Bytes(y)),
        ];
        let entries = entries.map(|(label, value)| (Value::Integer(label), value));
        serde_cbor_2::to_vec(&Value::Map(entries.into())).unwrap()
    }

    pub(crate) fn known(&self) -> Known {
        Known {
            credential_id: self.id.clone(),
            rp_id: "localhost".to_owned(),
            transports: Vec::new(),
            name: None,
            public_key: Some(self.public_key()),
        }
    }

    fn client_data(&self, kind: &str, view: &Json, client: &Client) -> Vec<u8> {
        let challenge = view["options"]["challenge"].as_str().unwrap();
        format!(
            r#"{{"type":"{}","challenge":"{}","origin":"{}"{}}}"#,
            self.kind.unwrap_or(kind),
            self.challenge.as_deref().unwrap_or(challenge),
            self.origin.map_or_else(|| client.asks_at(), str::to_owned),
            self.more,
        )
        .into_bytes()
    }

    fn header(&self, more: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.rp_id).to_vec();
        data.push(self.flags | more);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    pub(crate) fn attestation_object(&self) -> Vec<u8> {
        let mut data = self.header(ATTESTED);
        data.extend_from_slice(&AAGUID);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.public_key());
        let fields = [
            ("fmt", Value::Text("none".to_owned())),
            ("attStmt", Value::Map(BTreeMap::default())),
            ("authData", Value::Bytes(data)),
        ];
        let fields = fields.map(|(name, value)| (Value::Text(name.to_owned()), value));
        serde_cbor_2::to_vec(&Value::Map(fields.into())).unwrap()
    }

    /// What a page posts after `create()`.
    pub(crate) fn create(&self, view: &Json, client: &Client) -> Json {
        json!({
            "kind": "created",
            "step": view["number"],
            "id": bytes::text(&self.id),
            "clientData": bytes::text(&self.client_data("webauthn.create", view, client)),
            "attestationObject": bytes::text(&self.attestation_object()),
            "transports": ["internal", "hybrid"],
            "prfEnabled": self.prf_enabled,
        })
    }

    /// What a page posts after `get()`.
    pub(crate) fn get(&self, view: &Json, client: &Client) -> Json {
        self.asserted(view, client)
            .message(view["number"].as_u64().unwrap())
    }

    pub(crate) fn asserted(&self, view: &Json, client: &Client) -> Asserted {
        use p256::ecdsa::signature::Signer as _;
        let client_data = self.client_data("webauthn.get", view, client);
        let authenticator_data = self.header(0);
        let mut signed = authenticator_data.clone();
        signed.extend_from_slice(&Sha256::digest(&client_data));
        if self.breaks_signature {
            signed.push(0);
        }
        let signature: p256::ecdsa::DerSignature = self.key.sign(&signed);
        let mut asserted = Asserted {
            id: self.id.clone(),
            client_data,
            authenticator_data,
            signature: signature.as_bytes().to_vec(),
            sealed: Sealed {
                suite: self.suite,
                encapsulated: Vec::new(),
                ciphertext: Vec::new(),
            },
        };
        let key = match self.suite {
            Suite::XWing => &view["keys"]["xWing"],
            Suite::X25519 => &view["keys"]["x25519"],
        };
        let key = bytes::read(key.as_str().unwrap(), 2048).unwrap();
        let challenge = view["options"]["challenge"].as_str().unwrap();
        let challenge = bytes::read(challenge, 32).unwrap().try_into().unwrap();
        let mut aad = asserted.aad();
        if self.breaks_seal {
            aad.push(0);
        }
        let output = self.output.as_ref();
        let sealed = seal::seal(
            self.suite,
            &key,
            &client.psk,
            &challenge,
            &aad,
            output,
            &mut rng(9),
        );
        asserted.sealed = sealed.unwrap();
        asserted
    }
}
