//! What is verified of an answer, here and not in the page. `docs/ceremony.md`, section 6.
//!
//! Everything is looked at twice: first by [`Expected::look`], exactly and with an error that says
//! what was wrong, then by `webauthn-rs-core`, which also checks the signature.

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use std::time::Duration;
use url::Url;
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::error::WebauthnError;
use webauthn_rs_core::internals::AuthenticatorData;
use webauthn_rs_core::proto::{
    AttestationFormat, AttestationMetadata, AuthenticationExtensionsClientOutputs,
    AuthenticationState, AuthenticatorAssertionResponseRaw, AuthenticatorAttestationResponseRaw,
    COSEAlgorithm, COSEKey, Credential, ExtnState, ParsedAttestation, ParsedAttestationData,
    PublicKeyCredential, RegisterPublicKeyCredential, RegisteredExtensions, Registration,
    RegistrationExtensionsClientOutputs, RegistrationState, UserVerificationPolicy,
};

use crate::error::{BadAnswer, CeremonyError};
use crate::message::{Asserted, Created};

/// The algorithms that a new passkey may sign with: ES256, RS256, `EdDSA`.
pub(crate) const ALGORITHMS: [i32; 3] = [-7, -257, -8];

const RP_ID_HASH_BYTES: usize = 32;
const FLAGS_AT: usize = RP_ID_HASH_BYTES;
const HEADER_BYTES: usize = 37;
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKUP_STATE: u8 = 1 << 4;

/// What an answer must say to be one to this step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Expected<'a> {
    pub(crate) rp_id: &'a str,
    pub(crate) origin: &'a str,
    pub(crate) challenge: &'a [u8; 32],
    /// Those of earlier steps, so that a replayed answer is called what it is.
    pub(crate) earlier: &'a [[u8; 32]],
}

/// What the flags say of syncing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) eligible: bool,
    pub(crate) state: bool,
}

/// A passkey that was registered, as the next steps verify it.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) credential: Credential,
    pub(crate) aaguid: [u8; 16],
    /// As `COSE_Key`.
    pub(crate) public_key: Vec<u8>,
}

/// With what a signature is verified.
#[derive(Debug)]
pub(crate) enum Key<'a> {
    /// The passkey that this session made; its counter goes forward.
    Registered(&'a mut Credential),
    /// A `COSE_Key` that was kept.
    Public(&'a [u8]),
    /// It is not known: nothing is verified with it.
    Unknown,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    // "This OPTIONAL member contains the inverse of the sameOriginWithAncestors argument value."
    // https://www.w3.org/TR/webauthn-3/#dictionary-client-data
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    #[serde(rename = "topOrigin")]
    top_origin: Option<String>,
}

impl Expected<'_> {
    /// Verifies a registration (`WebAuthn` Level 3, section 7.1).
    pub(crate) fn registration(
        &self,
        created: &Created,
        exclude: &[Vec<u8>],
    ) -> Result<Verified, CeremonyError> {
        let data = authenticator_data(&created.attestation_object).ok_or(BadAnswer::Malformed)?;
        self.look("webauthn.create", &created.client_data, &data)?;
        let parsed = AuthenticatorData::<Registration>::try_from(data.as_slice())
            .map_err(|_| BadAnswer::Malformed)?;
        let attested = parsed.acd.ok_or(BadAnswer::Malformed)?;
        if attested.credential_id != created.id || exclude.contains(&created.id) {
            return Err(BadAnswer::UnknownPasskey.into());
        }
        let state: RegistrationState = state(serde_json::json!({
            "policy": "required",
            "exclude_credentials": exclude.iter().map(|id| crate::bytes::text(id)).collect::<Vec<_>>(),
            "challenge": crate::bytes::text(self.challenge),
            "credential_algorithms": ["ES256", "RS256", "EDDSA"],
            "require_resident_key": true,
            "authenticator_attachment": null,
            "extensions": {},
            "allow_synchronised_authenticators": true,
        }));
        let answer = RegisterPublicKeyCredential {
            id: crate::bytes::text(&created.id),
            raw_id: created.id.clone(),
            response: AuthenticatorAttestationResponseRaw {
                attestation_object: created.attestation_object.clone(),
                client_data_json: created.client_data.clone(),
                transports: None,
            },
            type_: "public-key".to_owned(),
            extensions: RegistrationExtensionsClientOutputs::default(),
        };
        let credential = self
            .library()
            .register_credential(&answer, &state, None)
            .map_err(refusal)?;
        Ok(Verified {
            credential,
            aaguid: attested.aaguid,
            public_key: serde_cbor_2::to_vec(&attested.credential_pk)
                .map_err(|_| BadAnswer::Malformed)?,
        })
    }

    /// Verifies an authentication (`WebAuthn` Level 3, section 7.2) with `key`.
    ///
    /// Where no key is known all but the signature is verified: who relies on it must see that the
    /// output opens the slot.
    pub(crate) fn authentication(
        &self,
        asserted: &Asserted,
        key: Key<'_>,
    ) -> Result<Backup, CeremonyError> {
        let backup = self.look(
            "webauthn.get",
            &asserted.client_data,
            &asserted.authenticator_data,
        )?;
        let mut of_public;
        let known = match key {
            Key::Unknown => return Ok(backup),
            Key::Registered(credential) => credential,
            Key::Public(key) => {
                // A key that cannot be read is no reason to go without.
                let made = credential(&asserted.id, key, backup).ok_or(BadAnswer::Algorithm)?;
                of_public = made;
                &mut of_public
            }
        };
        let state: AuthenticationState = state(serde_json::json!({
            "credentials": [],
            "policy": "required",
            "challenge": crate::bytes::text(self.challenge),
            "appid": null,
            "allow_backup_eligible_upgrade": false,
        }));
        let answer = PublicKeyCredential {
            id: crate::bytes::text(&asserted.id),
            raw_id: asserted.id.clone(),
            response: AuthenticatorAssertionResponseRaw {
                authenticator_data: asserted.authenticator_data.clone(),
                client_data_json: asserted.client_data.clone(),
                signature: asserted.signature.clone(),
                user_handle: None,
            },
            extensions: AuthenticationExtensionsClientOutputs::default(),
            type_: "public-key".to_owned(),
        };
        let result = self
            .library()
            .authenticate_single_credential(&answer, &state, known)
            .map_err(refusal)?;
        known.counter = result.counter();
        Ok(backup)
    }

    /// Everything that needs no key.
    fn look(&self, kind: &str, client_data: &[u8], data: &[u8]) -> Result<Backup, CeremonyError> {
        let ClientData {
            kind: told,
            challenge,
            origin,
            cross_origin,
            top_origin,
        } = serde_json::from_slice(client_data).map_err(|_| BadAnswer::Malformed)?;
        if told != kind {
            return Err(BadAnswer::Type.into());
        }
        let challenge = crate::bytes::read(&challenge, 64).ok_or(BadAnswer::Challenge)?;
        if challenge != self.challenge {
            let earlier = self.earlier.iter().any(|used| *used == *challenge);
            return Err(if earlier {
                CeremonyError::Replayed
            } else {
                BadAnswer::Challenge.into()
            });
        }
        if origin != self.origin {
            return Err(CeremonyError::WrongOrigin(shown(&origin)));
        }
        if cross_origin || top_origin.is_some() {
            return Err(BadAnswer::CrossOrigin.into());
        }
        let header = data.get(..HEADER_BYTES).ok_or(BadAnswer::Malformed)?;
        let (rp_id_hash, rest) = header.split_at(RP_ID_HASH_BYTES);
        if rp_id_hash != Sha256::digest(self.rp_id).as_slice() {
            return Err(BadAnswer::RelyingParty.into());
        }
        let flags = rest.first().copied().ok_or(BadAnswer::Malformed)?;
        debug_assert_eq!(Some(&flags), data.get(FLAGS_AT));
        if flags & USER_PRESENT == 0 {
            return Err(BadAnswer::NotPresent.into());
        }
        if flags & USER_VERIFIED == 0 {
            return Err(CeremonyError::NotVerified);
        }
        let backup = Backup {
            eligible: flags & BACKUP_ELIGIBLE != 0,
            state: flags & BACKUP_STATE != 0,
        };
        // "If the BE bit of the flags in authData is not set, verify that the BS bit is not set."
        if backup.state && !backup.eligible {
            return Err(BadAnswer::BackupFlags.into());
        }
        Ok(backup)
    }

    fn library(&self) -> WebauthnCore {
        let origin = Url::parse(self.origin).expect("the session made its origin of a port");
        WebauthnCore::new_unsafe_experts_only(
            "Chat backup",
            self.rp_id,
            vec![origin],
            Duration::from_mins(5),
            Some(false),
            Some(false),
        )
    }
}

/// The credential of a public key (`COSE_Key`); `None` where the bytes are not one that we ask for.
fn credential(id: &[u8], public_key: &[u8], backup: Backup) -> Option<Credential> {
    let value: serde_cbor_2::Value = serde_cbor_2::from_slice(public_key).ok()?;
    let key = COSEKey::try_from(&value).ok()?;
    let offered = [
        COSEAlgorithm::ES256,
        COSEAlgorithm::RS256,
        COSEAlgorithm::EDDSA,
    ];
    offered.contains(&key.type_).then(|| Credential {
        cred_id: id.to_vec(),
        cred: key,
        counter: 0,
        transports: None,
        user_verified: true,
        // What it said when it was registered is not known here: it is taken at its word.
        backup_eligible: backup.eligible,
        backup_state: backup.state,
        registration_policy: UserVerificationPolicy::Required,
        extensions: RegisteredExtensions {
            cred_protect: ExtnState::NotRequested,
            hmac_create_secret: ExtnState::NotRequested,
            appid: ExtnState::NotRequested,
            cred_props: ExtnState::NotRequested,
        },
        attestation: ParsedAttestation {
            data: ParsedAttestationData::None,
            metadata: AttestationMetadata::None,
        },
        attestation_format: AttestationFormat::None,
    })
}

/// `authData` of an attestation object (CBOR). The attestation itself is read by the library.
fn authenticator_data(attestation_object: &[u8]) -> Option<Vec<u8>> {
    let value: serde_cbor_2::Value = serde_cbor_2::from_slice(attestation_object).ok()?;
    let serde_cbor_2::Value::Map(mut fields) = value else {
        return None;
    };
    match fields.remove(&serde_cbor_2::Value::Text("authData".to_owned()))? {
        serde_cbor_2::Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// The library makes its own challenges, and its states are opaque but for serde: ours goes in there.
fn state<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> T {
    serde_json::from_value(json).expect("the shape of webauthn-rs-core 0.6, held by the tests")
}

/// What the library refused and [`Expected::look`] did not.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(error: WebauthnError) -> BadAnswer {
    match error {
        WebauthnError::AuthenticationFailure | WebauthnError::AttestationStatementSigInvalid => {
            BadAnswer::Signature
        }
        WebauthnError::CredentialAlteredAlgFromRequest
        | WebauthnError::COSEKeyInvalidAlgorithm
        | WebauthnError::COSEKeyInvalidType => BadAnswer::Algorithm,
        WebauthnError::CredentialBackupEligibilityInconsistent
        | WebauthnError::CredentialMayNotBeHardwareBound => BadAnswer::BackupFlags,
        WebauthnError::CredentialPossibleCompromise => BadAnswer::Counter,
        WebauthnError::CredentialNotFound => BadAnswer::UnknownPasskey,
        _ => BadAnswer::Malformed,
    }
}

/// An origin for a person: printable, and not long.
fn shown(origin: &str) -> String {
    origin
        .chars()
        .filter(char::is_ascii_graphic)
        .take(80)
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
