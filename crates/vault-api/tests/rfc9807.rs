//! The vectors of RFC 9807, appendix C, with everything random played from the vector.
//!
//! The vectors have no stretching; all else is suite 1: the same group, hash, key exchange and code.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

use std::collections::VecDeque;
use std::path::PathBuf;

use opaque_ke::ksf::Identity;
use opaque_ke::rand::{CryptoRng, Error, RngCore};
use opaque_ke::{
    CipherSuite, ClientLogin, ClientLoginFinishParameters, ClientRegistration,
    ClientRegistrationFinishParameters, CredentialFinalization, CredentialRequest, Identifiers,
    RegistrationRequest, Ristretto255, ServerLogin, ServerLoginParameters, ServerRegistration,
    ServerSetup, TripleDh,
};
use serde_json::Value;

struct Unstretched;

impl CipherSuite for Unstretched {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2_opaque::Sha512>;
    type Ksf = Identity;
}

/// Gives prepared bytes, each asked for with its own length.
struct Script(VecDeque<Vec<u8>>);

impl Script {
    fn new(parts: &[&[u8]]) -> Self {
        Self(parts.iter().map(|part| part.to_vec()).collect())
    }
}

impl RngCore for Script {
    fn next_u32(&mut self) -> u32 {
        panic!("not asked for")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("not asked for")
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        dest.copy_from_slice(
            &self
                .0
                .pop_front()
                .expect("more random bytes than the vector has"),
        );
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Script {}

/// A scalar as what reduces to it: 64 bytes, of which the upper half is zero.
fn wide(scalar: &[u8]) -> Vec<u8> {
    [scalar, &[0; 32]].concat()
}

fn vectors() -> Option<Vec<Value>> {
    let shared = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = shared.join("corpus/cfrg+draft-irtf-cfrg-opaque/poc/vectors/vectors.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        assert!(
            std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none_or(|value| value != "1"),
            "../shared is absent"
        );
        println!("skipped: ../shared is absent");
        return None;
    };
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let ours = all.into_iter().filter(|vector| {
        let config = &vector["config"];
        config["Group"] == "ristretto255" && config["Hash"] == "SHA512" && config["Name"] == "3DH"
    });
    Some(ours.collect())
}

struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.maybe(name).unwrap_or_else(|| panic!("{name}"))
    }

    fn maybe(&self, name: &str) -> Option<Vec<u8>> {
        Some(hex::decode(self.0[name].as_str()?).unwrap())
    }
}

fn setup(inputs: &Fields<'_>, dummy: &[u8]) -> ServerSetup<Unstretched> {
    let bytes = [
        inputs.bytes("oprf_seed"),
        inputs.bytes("server_private_key"),
        dummy.to_vec(),
    ];
    ServerSetup::deserialize(&bytes.concat()).unwrap()
}

#[test]
fn every_message_and_key_of_rfc_9807_comes_out() {
    let Some(vectors) = vectors() else { return };
    let real: Vec<_> = vectors
        .iter()
        .filter(|vector| vector["config"]["Fake"] == "False")
        .collect();
    assert_eq!(real.len(), 2);
    for vector in real {
        let (inputs, outputs) = (Fields(&vector["inputs"]), Fields(&vector["outputs"]));
        let context = hex::decode(vector["config"]["Context"].as_str().unwrap()).unwrap();
        let (client, server) = (
            inputs.maybe("client_identity"),
            inputs.maybe("server_identity"),
        );
        let identifiers = Identifiers {
            client: client.as_deref(),
            server: server.as_deref(),
        };
        let (password, name) = (
            inputs.bytes("password"),
            inputs.bytes("credential_identifier"),
        );
        let setup = setup(&inputs, &inputs.bytes("server_public_key"));

        let mut rng = Script::new(&[&wide(&inputs.bytes("blind_registration"))]);
        let started = ClientRegistration::<Unstretched>::start(&mut rng, &password).unwrap();
        let request = started.message.serialize();
        assert_eq!(request.to_vec(), outputs.bytes("registration_request"));
        let request = RegistrationRequest::deserialize(&request).unwrap();
        let response = ServerRegistration::start(&setup, request, &name)
            .unwrap()
            .message;
        assert_eq!(
            response.serialize().to_vec(),
            outputs.bytes("registration_response")
        );
        let mut rng = Script::new(&[&inputs.bytes("envelope_nonce")]);
        let finished = started
            .state
            .finish(
                &mut rng,
                &password,
                response,
                ClientRegistrationFinishParameters::new(identifiers, None),
            )
            .unwrap();
        let upload = finished.message.serialize();
        assert_eq!(upload.to_vec(), outputs.bytes("registration_upload"));
        assert_eq!(finished.export_key.to_vec(), outputs.bytes("export_key"));

        let mut rng = Script::new(&[
            &wide(&inputs.bytes("blind_login")),
            &inputs.bytes("client_keyshare_seed"),
            &inputs.bytes("client_nonce"),
        ]);
        let login = ClientLogin::<Unstretched>::start(&mut rng, &password).unwrap();
        let ke1 = login.message.serialize();
        assert_eq!(ke1.to_vec(), outputs.bytes("KE1"));
        // The fake's masking key is drawn first, whoever asks: that is what makes both take the same time.
        let mut rng = Script::new(&[
            &[0; 64],
            &inputs.bytes("masking_nonce"),
            &inputs.bytes("server_keyshare_seed"),
            &inputs.bytes("server_nonce"),
        ]);
        let parameters = || ServerLoginParameters {
            context: Some(&context),
            identifiers,
        };
        let answered = ServerLogin::start(
            &mut rng,
            &setup,
            Some(ServerRegistration::deserialize(&upload).unwrap()),
            CredentialRequest::deserialize(&ke1).unwrap(),
            &name,
            parameters(),
        )
        .unwrap();
        assert_eq!(answered.message.serialize().to_vec(), outputs.bytes("KE2"));
        let opened = login
            .state
            .finish(
                &mut Script::new(&[]),
                &password,
                answered.message,
                ClientLoginFinishParameters::new(Some(&context), identifiers, None),
            )
            .unwrap();
        let ke3 = opened.message.serialize();
        assert_eq!(ke3.to_vec(), outputs.bytes("KE3"));
        assert_eq!(opened.export_key.to_vec(), outputs.bytes("export_key"));
        assert_eq!(opened.session_key.to_vec(), outputs.bytes("session_key"));
        let ke3 = CredentialFinalization::deserialize(&ke3).unwrap();
        let proven = answered.state.finish(ke3, parameters()).unwrap();
        assert_eq!(proven.session_key.to_vec(), outputs.bytes("session_key"));
    }
}

#[test]
fn the_answer_for_an_unknown_name_is_that_of_rfc_9807() {
    let Some(vectors) = vectors() else { return };
    let fake = vectors
        .iter()
        .find(|vector| vector["config"]["Fake"] == "True")
        .unwrap();
    let (inputs, outputs) = (Fields(&fake["inputs"]), Fields(&fake["outputs"]));
    let context = hex::decode(fake["config"]["Context"].as_str().unwrap()).unwrap();
    let setup = setup(&inputs, &inputs.bytes("client_public_key"));
    let mut rng = Script::new(&[
        &inputs.bytes("masking_key"),
        &inputs.bytes("masking_nonce"),
        &inputs.bytes("server_keyshare_seed"),
        &inputs.bytes("server_nonce"),
    ]);
    let answered = ServerLogin::start(
        &mut rng,
        &setup,
        None,
        CredentialRequest::deserialize(&inputs.bytes("KE1")).unwrap(),
        &inputs.bytes("credential_identifier"),
        ServerLoginParameters {
            context: Some(&context),
            identifiers: Identifiers {
                client: Some(&inputs.bytes("client_identity")),
                server: Some(&inputs.bytes("server_identity")),
            },
        },
    )
    .unwrap();
    assert_eq!(answered.message.serialize().to_vec(), outputs.bytes("KE2"));
}
