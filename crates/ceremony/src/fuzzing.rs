//! What a page posts, read and verified, for a fuzz target and the replay of its seeds. Not an interface.

use webauthn_rs_core::proto::Credential;

use crate::message::{Message, Said};
use crate::verify::{Expected, Key, Verified};

const CHALLENGE: [u8; 32] = [3; 32];

/// One that a fuzzer can meet: its seeds are answers to it.
const EXPECTED: Expected<'static> = Expected {
    rp_id: "localhost",
    origin: "http://localhost:4242",
    challenge: &CHALLENGE,
    earlier: &[],
};

/// Reads `json` as the route does and verifies it as a session does; whether it was accepted.
pub fn answer(json: &[u8]) -> bool {
    let Some(message) = Message::read(json) else {
        return false;
    };
    match message.said {
        Said::Created(created) => {
            let verified = EXPECTED.registration(&created, &[]);
            let key = verified.map(|verified| {
                let Verified {
                    credential,
                    aaguid: _,
                    public_key,
                } = verified;
                let _: Credential = credential;
                public_key
            });
            key.is_ok()
        }
        Said::Asserted(asserted) => {
            // The bytes of the answer serve as a public key as well: that parser is met too.
            let _ = EXPECTED.authentication(&asserted, Key::Public(&asserted.signature));
            EXPECTED.authentication(&asserted, Key::Unknown).is_ok()
        }
        Said::Cancelled
        | Said::Failed(_)
        | Said::Lacks(_)
        | Said::SignedIn(_)
        | Said::Handed(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::bytes::text;
    use crate::testing::Fake;

    /// Answers that are accepted: where a fuzzer begins.
    fn seeds() -> Vec<(&'static str, String)> {
        let client_data = |kind: &str| {
            let challenge = text(&CHALLENGE);
            text(format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"http://localhost:4242","crossOrigin":false}}"#).as_bytes())
        };
        let fake = Fake::new(1);
        let created = json!({
            "kind": "created", "step": 1, "id": text(&fake.id), "clientData": client_data("webauthn.create"),
            "attestationObject": text(&fake.attestation_object()), "transports": ["internal"], "prfEnabled": true,
        });
        let mut data = <sha2::Sha256 as sha2::Digest>::digest("localhost").to_vec();
        data.extend_from_slice(&[0b1_1101, 0, 0, 0, 0]);
        let asserted = json!({
            "kind": "asserted", "step": 2, "id": text(&fake.id), "clientData": client_data("webauthn.get"),
            "authenticatorData": text(&data), "signature": text(&fake.public_key()), "suite": 25722,
            "encapsulated": text(&[0; 1120]), "sealed": text(&[0; 49]),
        });
        let failed = json!({"kind": "failed", "step": 3, "name": "NotAllowedError"});
        vec![
            ("created", created.to_string()),
            ("asserted", asserted.to_string()),
            ("failed", failed.to_string()),
        ]
    }

    #[test]
    fn fuzz_corpus_every_answer_is_replayed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/ceremony_answer");
        // `HEIRLOOM_WRITE_SEEDS=1` makes them anew.
        if std::env::var_os("HEIRLOOM_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            for (name, seed) in seeds() {
                std::fs::write(folder.join(name), seed).unwrap();
            }
        }
        for (name, seed) in seeds() {
            assert!(answer(seed.as_bytes()), "{name}");
            assert!(folder.join(name).exists(), "{name}");
        }
        for file in std::fs::read_dir(folder).unwrap() {
            answer(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
