//! What is verified of a passkey that signs in (requirement A2): everything twice, first exactly, here, then by
//! `webauthn-rs-core`, which also checks signature and counter. `docs/vault.md`, section 7.2.

use std::time::Duration;

use heirloom_vault_api::{Assertion, Fixed};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use url::Url;
use webauthn_rs_core::WebauthnCore;
use webauthn_rs_core::internals::AuthenticatorData;
use webauthn_rs_core::proto::{
    AttestationFormat, AttestationMetadata, AuthenticationExtensionsClientOutputs,
    AuthenticationState, AuthenticatorAssertionResponseRaw, AuthenticatorAttestationResponseRaw,
    COSEAlgorithm, COSEKey, Credential, ExtnState, ParsedAttestation, ParsedAttestationData,
    PublicKeyCredential, RegisterPublicKeyCredential, RegisteredExtensions, Registration,
    RegistrationExtensionsClientOutputs, RegistrationState, UserVerificationPolicy,
};

use super::Site;
use crate::store::passkey::Stored;

const RP_ID_HASH_BYTES: usize = 32;
const HEADER_BYTES: usize = 37;
const USER_PRESENT: u8 = 1;
const USER_VERIFIED: u8 = 1 << 2;
const BACKUP_ELIGIBLE: u8 = 1 << 3;
const BACKUP_STATE: u8 = 1 << 4;

/// The answer does not sign in. It says no more: who is told which check failed can try one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the passkey's answer does not fit")]
pub(crate) struct Refused;

/// A passkey that was made for this site.
#[derive(Debug)]
pub(crate) struct Made {
    /// `COSE_Key`.
    pub(crate) public_key: Vec<u8>,
    pub(crate) counter: u32,
    pub(crate) eligible: bool,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: Fixed<32>,
    origin: String,
    // "This OPTIONAL member contains the inverse of the sameOriginWithAncestors argument value."
    // https://www.w3.org/TR/webauthn-3/#dictionary-client-data
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    #[serde(rename = "topOrigin")]
    top_origin: Option<String>,
}

/// Verifies a registration (`WebAuthn` Level 3, section 7.1).
pub(crate) fn registered(
    site: &Site,
    challenge: &Fixed<32>,
    id: &[u8],
    client_data: &[u8],
    attestation: &[u8],
    exclude: &[Vec<u8>],
) -> Result<Made, Refused> {
    let data = authenticator_data(attestation).ok_or(Refused)?;
    let eligible = look(site, challenge, "webauthn.create", client_data, &data)?;
    let parsed =
        AuthenticatorData::<Registration>::try_from(data.as_slice()).map_err(|_| Refused)?;
    let attested = parsed.acd.ok_or(Refused)?;
    if attested.credential_id != id || exclude.iter().any(|one| one == id) {
        return Err(Refused);
    }
    let state: RegistrationState = state(serde_json::json!({
        "policy": "required",
        "exclude_credentials": [],
        "challenge": challenge,
        "credential_algorithms": ["ES256", "RS256", "EDDSA"],
        "require_resident_key": true,
        "authenticator_attachment": null,
        "extensions": {},
        "allow_synchronised_authenticators": true,
    }))?;
    let answer = RegisterPublicKeyCredential {
        id: text(id),
        raw_id: id.to_vec(),
        response: AuthenticatorAttestationResponseRaw {
            attestation_object: attestation.to_vec(),
            client_data_json: client_data.to_vec(),
            transports: None,
        },
        type_: "public-key".to_owned(),
        extensions: RegistrationExtensionsClientOutputs::default(),
    };
    let credential = library(site)?
        .register_credential(&answer, &state, None)
        .map_err(|_| Refused)?;
    Ok(Made {
        public_key: serde_cbor_2::to_vec(&attested.credential_pk).map_err(|_| Refused)?,
        counter: credential.counter,
        eligible,
    })
}

/// Verifies an authentication (`WebAuthn` Level 3, section 7.2) and gives the counter.
pub(crate) fn signed(
    site: &Site,
    challenge: &Fixed<32>,
    id: &[u8],
    client_data: &[u8],
    assertion: &Assertion,
    stored: &Stored,
) -> Result<u32, Refused> {
    let Assertion {
        authenticator_data,
        signature,
        user_handle,
    } = assertion;
    let data = authenticator_data.as_bytes();
    let eligible = look(site, challenge, "webauthn.get", client_data, data)?;
    if user_handle.as_bytes() != stored.handle.as_bytes() || eligible != stored.eligible {
        return Err(Refused);
    }
    let state: AuthenticationState = state(serde_json::json!({
        "credentials": [],
        "policy": "required",
        "challenge": challenge,
        "appid": null,
        "allow_backup_eligible_upgrade": false,
    }))?;
    let answer = PublicKeyCredential {
        id: text(id),
        raw_id: id.to_vec(),
        response: AuthenticatorAssertionResponseRaw {
            authenticator_data: data.to_vec(),
            client_data_json: client_data.to_vec(),
            signature: signature.as_bytes().to_vec(),
            user_handle: None,
        },
        extensions: AuthenticationExtensionsClientOutputs::default(),
        type_: "public-key".to_owned(),
    };
    let known = credential(id, stored).ok_or(Refused)?;
    let result = library(site)?
        .authenticate_single_credential(&answer, &state, &known)
        .map_err(|_| Refused)?;
    Ok(result.counter())
}

/// Everything that needs no key. Gives whether the passkey may be on more than one device.
fn look(
    site: &Site,
    challenge: &Fixed<32>,
    kind: &str,
    client_data: &[u8],
    data: &[u8],
) -> Result<bool, Refused> {
    let ClientData {
        kind: told,
        challenge: signed,
        origin,
        cross_origin,
        top_origin,
    } = serde_json::from_slice(client_data).map_err(|_| Refused)?;
    let is_ours = told == kind
        && signed == *challenge
        && site.origins.contains(&origin)
        && !cross_origin
        && top_origin.is_none();
    let header = data.get(..HEADER_BYTES).ok_or(Refused)?;
    let (rp_id_hash, rest) = header.split_at(RP_ID_HASH_BYTES);
    let is_for_us = rp_id_hash == Sha256::digest(site.rp_id.as_bytes()).as_slice();
    let flags = rest.first().copied().ok_or(Refused)?;
    let has = |flag: u8| flags & flag != 0;
    // "If the BE bit of the flags in authData is not set, verify that the BS bit is not set."
    let is_sound =
        has(USER_PRESENT) && has(USER_VERIFIED) && (has(BACKUP_ELIGIBLE) || !has(BACKUP_STATE));
    (is_ours && is_for_us && is_sound)
        .then_some(has(BACKUP_ELIGIBLE))
        .ok_or(Refused)
}

fn library(site: &Site) -> Result<WebauthnCore, Refused> {
    let origins = site.origins.iter().map(|origin| Url::parse(origin));
    Ok(WebauthnCore::new_unsafe_experts_only(
        &site.rp_name,
        &site.rp_id,
        origins.collect::<Result<_, _>>().map_err(|_| Refused)?,
        Duration::from_mins(5),
        Some(false),
        Some(false),
    ))
}

fn credential(id: &[u8], stored: &Stored) -> Option<Credential> {
    let value: serde_cbor_2::Value = serde_cbor_2::from_slice(&stored.public_key).ok()?;
    let key = COSEKey::try_from(&value).ok()?;
    let offered = [
        COSEAlgorithm::ES256,
        COSEAlgorithm::RS256,
        COSEAlgorithm::EDDSA,
    ];
    offered.contains(&key.type_).then(|| Credential {
        cred_id: id.to_vec(),
        cred: key,
        counter: stored.counter,
        transports: None,
        user_verified: true,
        backup_eligible: stored.eligible,
        backup_state: false,
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
fn authenticator_data(attestation: &[u8]) -> Option<Vec<u8>> {
    let value: serde_cbor_2::Value = serde_cbor_2::from_slice(attestation).ok()?;
    let serde_cbor_2::Value::Map(mut fields) = value else {
        return None;
    };
    match fields.remove(&serde_cbor_2::Value::Text("authData".to_owned()))? {
        serde_cbor_2::Value::Bytes(bytes) => Some(bytes),
        _ => None,
    }
}

/// The library makes its own challenges, and its states are opaque but for serde: ours goes in there.
fn state<T: serde::de::DeserializeOwned>(json: serde_json::Value) -> Result<T, Refused> {
    serde_json::from_value(json).map_err(|_| Refused)
}

fn text(id: &[u8]) -> String {
    heirloom_vault_api::base64url(id)
}
