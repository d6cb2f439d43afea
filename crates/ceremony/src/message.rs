//! What a page posts. `docs/ceremony.md`, section 3.

use serde::Deserialize;

use crate::bytes;
use crate::seal::{Sealed, Suite};

/// The longest message that is read.
pub(crate) const MESSAGE_BYTES: usize = 64 << 10;

const CREDENTIAL_ID_BYTES: usize = 1023;
const CLIENT_DATA_BYTES: usize = 4 << 10;
const AUTHENTICATOR_DATA_BYTES: usize = 8 << 10;
const ATTESTATION_BYTES: usize = 24 << 10;
const SIGNATURE_BYTES: usize = 2 << 10;
const ENCAPSULATED_BYTES: usize = 1120;
const SEALED_BYTES: usize = 64;
/// A whole message that was handed over.
const HANDED_BYTES: usize = 16 << 10;
const TRANSPORTS: usize = 8;
const SIGN_IN_CODE_BYTES: usize = 16;

/// One message of the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The step that it answers.
    pub(crate) step: u64,
    pub(crate) said: Said,
}

/// What happened in the browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A passkey was made.
    Created(Created),
    /// A passkey signed.
    Asserted(Asserted),
    /// The person pressed the page's Cancel button.
    Cancelled,
    /// The browser gave an error of this name.
    Failed(String),
    /// The browser has not got what is needed; a short word says what.
    Lacks(String),
    /// A passkey signed in on the page of a server, which gave this code for it.
    SignedIn([u8; SIGN_IN_CODE_BYTES]),
    /// One of these, sealed on the page of a server.
    Handed(Sealed),
}

/// Of `navigator.credentials.create()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Created {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) attestation_object: Vec<u8>,
    pub(crate) transports: Vec<String>,
    /// What the browser says of `prf.enabled`, where it says something. Nothing signs it.
    pub(crate) prf_enabled: Option<bool>,
}

/// Of `navigator.credentials.get()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asserted {
    pub(crate) id: Vec<u8>,
    pub(crate) client_data: Vec<u8>,
    pub(crate) authenticator_data: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) sealed: Sealed,
}

impl Asserted {
    /// What the sealed output is bound to: this answer and no other.
    pub(crate) fn aad(&self) -> Vec<u8> {
        let Self {
            id,
            client_data,
            authenticator_data,
            signature,
            sealed: _,
        } = self;
        bytes::joined(&[id, client_data, authenticator_data, signature])
    }

    /// As the page writes it.
    #[cfg(any(test, feature = "software-authenticator"))]
    pub(crate) fn message(&self, step: u64) -> serde_json::Value {
        let Self {
            id,
            client_data,
            authenticator_data,
            signature,
            sealed:
                Sealed {
                    suite,
                    encapsulated,
                    ciphertext,
                },
        } = self;
        serde_json::json!({
            "kind": "asserted",
            "step": step,
            "id": bytes::text(id),
            "clientData": bytes::text(client_data),
            "authenticatorData": bytes::text(authenticator_data),
            "signature": bytes::text(signature),
            "suite": suite.number(),
            "encapsulated": bytes::text(encapsulated),
            "sealed": bytes::text(ciphertext),
        })
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Wire<'a> {
    Created {
        step: u64,
        id: &'a str,
        #[serde(rename = "clientData")]
        client_data: &'a str,
        #[serde(rename = "attestationObject")]
        attestation_object: &'a str,
        transports: Vec<String>,
        #[serde(rename = "prfEnabled")]
        prf_enabled: Option<bool>,
    },
    Asserted {
        step: u64,
        id: &'a str,
        #[serde(rename = "clientData")]
        client_data: &'a str,
        #[serde(rename = "authenticatorData")]
        authenticator_data: &'a str,
        signature: &'a str,
        suite: u16,
        encapsulated: &'a str,
        sealed: &'a str,
    },
    Cancelled {
        step: u64,
    },
    Failed {
        step: u64,
        name: &'a str,
    },
    Lacks {
        step: u64,
        what: &'a str,
    },
    SignedIn {
        step: u64,
        code: &'a str,
    },
    Handed {
        step: u64,
        suite: u16,
        encapsulated: &'a str,
        sealed: &'a str,
    },
}

impl Message {
    /// Reads a message; `None` for anything that the page's script does not write.
    pub(crate) fn read(json: &[u8]) -> Option<Self> {
        if json.len() > MESSAGE_BYTES {
            return None;
        }
        let (step, said) = match serde_json::from_slice(json).ok()? {
            Wire::Created {
                step,
                id,
                client_data,
                attestation_object,
                transports,
                prf_enabled,
            } => {
                if transports.len() > TRANSPORTS || !transports.iter().all(|name| is_word(name)) {
                    return None;
                }
                let created = Created {
                    id: id_of(id)?,
                    client_data: bytes::read(client_data, CLIENT_DATA_BYTES)?,
                    attestation_object: bytes::read(attestation_object, ATTESTATION_BYTES)?,
                    transports,
                    prf_enabled,
                };
                (step, Said::Created(created))
            }
            Wire::Asserted {
                step,
                id,
                client_data,
                authenticator_data,
                signature,
                suite,
                encapsulated,
                sealed,
            } => {
                let asserted = Asserted {
                    id: id_of(id)?,
                    client_data: bytes::read(client_data, CLIENT_DATA_BYTES)?,
                    authenticator_data: bytes::read(authenticator_data, AUTHENTICATOR_DATA_BYTES)?,
                    signature: bytes::read(signature, SIGNATURE_BYTES)?,
                    sealed: Sealed {
                        suite: Suite::from_number(suite)?,
                        encapsulated: bytes::read(encapsulated, ENCAPSULATED_BYTES)?,
                        ciphertext: bytes::read(sealed, SEALED_BYTES)?,
                    },
                };
                (step, Said::Asserted(asserted))
            }
            Wire::Cancelled { step } => (step, Said::Cancelled),
            Wire::Failed { step, name } => {
                (step, Said::Failed(is_word(name).then(|| name.to_owned())?))
            }
            Wire::Lacks { step, what } => {
                (step, Said::Lacks(is_word(what).then(|| what.to_owned())?))
            }
            Wire::SignedIn { step, code } => {
                let code = bytes::read(code, SIGN_IN_CODE_BYTES)?;
                (step, Said::SignedIn(code.try_into().ok()?))
            }
            Wire::Handed {
                step,
                suite,
                encapsulated,
                sealed,
            } => {
                let sealed = Sealed {
                    suite: Suite::from_number(suite)?,
                    encapsulated: bytes::read(encapsulated, ENCAPSULATED_BYTES)?,
                    ciphertext: bytes::read(sealed, HANDED_BYTES)?,
                };
                (step, Said::Handed(sealed))
            }
        };
        Some(Self { step, said })
    }
}

fn id_of(text: &str) -> Option<Vec<u8>> {
    bytes::read(text, CREDENTIAL_ID_BYTES).filter(|id| !id.is_empty())
}

/// Names of errors and transports are shown to a person: letters, digits and `-` only, and not many.
fn is_word(text: &str) -> bool {
    (1..=40).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILED: &str = r#"{"kind":"failed","step":3,"name":"NotAllowedError"}"#;

    #[test]
    fn a_failure_is_read() {
        let said = Said::Failed("NotAllowedError".to_owned());
        assert_eq!(
            Message::read(FAILED.as_bytes()),
            Some(Message { step: 3, said })
        );
    }

    #[test]
    fn what_the_script_does_not_write_is_refused() {
        let long = format!(
            r#"{{"kind":"failed","step":3,"name":"{}"}}"#,
            "a".repeat(41)
        );
        let padded = format!("{FAILED}{}", " ".repeat(MESSAGE_BYTES));
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"kind":"failed","step":-1,"name":"A"}"#,
            r#"{"kind":"failed","step":3,"name":""}"#,
            r#"{"kind":"failed","step":3,"name":"<b>"}"#,
            r#"{"kind":"failed","step":3,"name":"A","prf":"secret"}"#,
            r#"{"kind":"cancelled"}"#,
            r#"{"kind":"signedin","step":1,"code":"AAAA"}"#,
            r#"{"kind":"other","step":3}"#,
            r#"{"kind":"created","step":1,"id":"","clientData":"","attestationObject":"","transports":[],"prfEnabled":null}"#,
            r#"{"kind":"asserted","step":1,"id":"AQ","clientData":"","authenticatorData":"","signature":"","suite":16,"encapsulated":"","sealed":""}"#,
            &long,
            &padded,
        ] {
            assert_eq!(Message::read(wrong.as_bytes()), None, "{wrong:.80}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_upset_the_reader(json in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = Message::read(&json);
        }

        #[test]
        fn no_field_upsets_the_reader(kind in "created|asserted|cancelled|failed", a in ".{0,40}", b in ".{0,40}", n in any::<i64>()) {
            let value = serde_json::json!({"kind": kind, "step": n, "id": a, "clientData": b, "authenticatorData": a,
                "signature": b, "suite": 32, "encapsulated": a, "sealed": b});
            let _ = Message::read(value.to_string().as_bytes());
        }
    }
}
