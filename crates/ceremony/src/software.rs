//! An authenticator in software that answers in place of a browser, for tests and machines without one.
//!
//! It takes the page's part over HTTP: the same file, token, messages, challenge and sealing, with the
//! [`passkey`] crate (1Password's, and none of ours) as the browser and its authenticator. Whoever can
//! read its file can open what it protects, and nobody is asked: so no release build has it.

#[cfg(not(debug_assertions))]
compile_error!(
    "the software authenticator asks nobody and keeps its keys in a file: debug builds only"
);

mod wallet;

use std::io;
use std::path::Path;

use getrandom::SysRng;
use passkey::authenticator::extensions::HmacSecretConfig;
use passkey::authenticator::{Authenticator, UiHint, UserCheck, UserValidationMethod};
use passkey::client::{Client as Browser, DefaultClientData, WebauthnError};
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey_types::Passkey;
use passkey_types::ctap2::{Aaguid, Ctap2Error, StatusCode};
use passkey_types::webauthn::{
    AuthenticationExtensionsClientOutputs, CredentialCreationOptions, CredentialRequestOptions,
};
use rand_core::UnwrapErr;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use self::wallet::{Store, Wallet};
use crate::bytes;
use crate::client::Client;
use crate::handover;
use crate::message::Asserted;
use crate::seal::{self, Sealed, Secret, Suite};

/// Answers every step of a session, in a thread of its own, until the session ends.
///
/// `wallet` is made when it is not there (0600). Two wallets are two providers: each has an AAGUID of
/// its own, drawn when it is made. What goes wrong later is what a page that is closed looks like.
pub fn open(wallet: &Path, opening: &Path) -> io::Result<()> {
    let wallet = wallet.to_owned();
    let keys = Wallet::load(&wallet)?;
    let client = Client::open(opening)?;
    std::thread::Builder::new()
        .name("heirloom-software-authenticator".to_owned())
        .spawn(move || {
            let _ = answer(&wallet, keys, &client);
        })?;
    Ok(())
}

fn answer(path: &Path, keys: Wallet, client: &Client) -> io::Result<()> {
    let mut browser = browser(path, keys);
    let origin = Url::parse(&client.origin()).map_err(io::Error::other)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut seen = None;
    loop {
        let Some(view) = client.next(seen)? else {
            continue;
        };
        seen = view["number"].as_u64();
        let message = match view["kind"].as_str() {
            Some("create") => runtime.block_on(create(&mut browser, &origin, &view)),
            Some("get") => runtime.block_on(get(&mut browser, &origin, &view, &client.psk)),
            Some("leave") => Ok(runtime
                .block_on(on_site(&mut browser, &view))
                .ok_or_else(unexpected)?),
            Some("end") => return Ok(()),
            _ => continue,
        };
        let message = message
            .unwrap_or_else(|name| json!({"kind": "failed", "step": view["number"], "name": name}));
        client.answer(&message)?;
    }
}

type Software = Browser<Store, Person, RustCryptoBackend, public_suffix::PublicSuffixList, ()>;

fn browser(path: &Path, wallet: Wallet) -> Software {
    let aaguid = Aaguid::from(wallet.aaguid);
    let store = Store::new(path, wallet);
    let authenticator = Authenticator::new(aaguid, store, Person, RustCryptoBackend)
        .hmac_secret(HmacSecretConfig::new_with_uv_only());
    Browser::new(authenticator).allows_insecure_localhost(true)
}

/// The names of the browser's errors.
#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn name(error: WebauthnError) -> &'static str {
    match error {
        WebauthnError::AuthenticatorError(code)
            if code == u8::from(StatusCode::from(Ctap2Error::CredentialExcluded)) =>
        {
            "InvalidStateError"
        }
        WebauthnError::CredentialNotFound | WebauthnError::TimeoutError => "NotAllowedError",
        WebauthnError::InvalidRpId | WebauthnError::OriginRpMissmatch => "SecurityError",
        WebauthnError::NotSupportedError => "NotSupportedError",
        _ => "UnknownError",
    }
}

async fn create(browser: &mut Software, origin: &Url, view: &Value) -> Result<Value, &'static str> {
    let options = &view["options"];
    let public_key = json!({
        "challenge": options["challenge"],
        "rp": {"id": options["rpId"], "name": options["rpName"]},
        "user": {"id": options["userId"], "name": options["userName"], "displayName": options["displayName"]},
        "pubKeyCredParams": algorithms(&options["algorithms"]),
        "excludeCredentials": listed(&options["exclude"]),
        "authenticatorSelection": {"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
        "attestation": "none",
        "extensions": {"prf": prf(&options["prfInput"])},
    });
    let options: CredentialCreationOptions =
        serde_json::from_value(json!({"publicKey": public_key})).map_err(|_| "TypeError")?;
    let made = browser
        .register(origin, options, DefaultClientData)
        .await
        .map_err(name)?;
    let AuthenticationExtensionsClientOutputs { prf, .. } = made.client_extension_results;
    Ok(json!({
        "kind": "created",
        "step": view["number"],
        "id": bytes::text(&made.raw_id),
        "clientData": bytes::text(&made.response.client_data_json),
        "attestationObject": bytes::text(&made.response.attestation_object),
        "transports": ["internal"],
        "prfEnabled": prf.and_then(|prf| prf.enabled),
    }))
}

async fn get(
    browser: &mut Software,
    origin: &Url,
    view: &Value,
    psk: &Secret,
) -> Result<Value, &'static str> {
    let options = &view["options"];
    let public_key = json!({
        "challenge": options["challenge"],
        "rpId": options["rpId"],
        "allowCredentials": listed(&options["allow"]),
        "userVerification": "required",
        "extensions": {"prf": prf(&options["prfInput"])},
    });
    let challenge = options["challenge"]
        .as_str()
        .and_then(|text| bytes::read(text, 32));
    let challenge: [u8; 32] = challenge
        .and_then(|challenge| challenge.try_into().ok())
        .ok_or("TypeError")?;
    let key = view["keys"]["xWing"]
        .as_str()
        .and_then(|text| bytes::read(text, 2048));
    let options: CredentialRequestOptions =
        serde_json::from_value(json!({"publicKey": public_key})).map_err(|_| "TypeError")?;
    let signed = browser
        .authenticate(origin, options, DefaultClientData)
        .await
        .map_err(name)?;
    let AuthenticationExtensionsClientOutputs { prf, .. } = signed.client_extension_results;
    let output = prf
        .and_then(|prf| prf.results)
        .map(|results| Zeroizing::new(results.first.to_vec()));
    let output: Option<&[u8; 32]> = output
        .as_ref()
        .and_then(|output| output.as_slice().try_into().ok());
    let mut asserted = Asserted {
        id: signed.raw_id.to_vec(),
        client_data: signed.response.client_data_json.to_vec(),
        authenticator_data: signed.response.authenticator_data.to_vec(),
        signature: signed.response.signature.to_vec(),
        sealed: Sealed {
            suite: Suite::XWing,
            encapsulated: Vec::new(),
            ciphertext: Vec::new(),
        },
    };
    asserted.sealed = seal::seal(
        Suite::XWing,
        &key.ok_or("TypeError")?,
        psk,
        &challenge,
        &asserted.aad(),
        output,
        &mut UnwrapErr(SysRng),
    )
    .ok_or("OperationError")?;
    Ok(asserted.message(view["number"].as_u64().unwrap_or_default()))
}

fn unexpected() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What the page of a server does with the address of one step; what the browser brings back.
async fn on_site(browser: &mut Software, view: &Value) -> Option<Value> {
    let (origin, psk, request) = handover::page::request(view["site"].as_str()?)?;
    let origin = Url::parse(&origin).ok()?;
    let mut view = request["view"].clone();
    view["keys"] = request["keys"].clone();
    let message = match view["kind"].as_str()? {
        "create" => create(browser, &origin, &view).await,
        _ => get(browser, &origin, &view, &psk).await,
    };
    let message = message
        .unwrap_or_else(|name| json!({"kind": "failed", "step": view["number"], "name": name}));
    handover::page::handed(&psk, &request["keys"], &message, &mut UnwrapErr(SysRng))
}

fn prf(input: &Value) -> Value {
    match input {
        Value::Null => json!({}),
        input => json!({"eval": {"first": input}}),
    }
}

fn algorithms(numbers: &Value) -> Vec<Value> {
    let numbers = numbers.as_array().into_iter().flatten();
    numbers
        .map(|alg| json!({"type": "public-key", "alg": alg}))
        .collect()
}

fn listed(list: &Value) -> Option<Vec<Value>> {
    let list = list.as_array()?;
    let entries = list
        .iter()
        .map(|one| json!({"type": "public-key", "id": one["id"]}));
    (!list.is_empty()).then(|| entries.collect())
}

/// Somebody who always agrees.
struct Person;

#[async_trait::async_trait]
impl UserValidationMethod for Person {
    type PasskeyItem = Passkey;

    async fn check_user<'a>(
        &self,
        hint: UiHint<'a, Passkey>,
        presence: bool,
        verification: bool,
    ) -> Result<UserCheck, Ctap2Error> {
        match hint {
            UiHint::InformNoCredentialsFound => Err(Ctap2Error::NoCredentials),
            UiHint::InformExcludedCredentialFound(_) => Err(Ctap2Error::CredentialExcluded),
            _ => Ok(UserCheck {
                presence,
                verification,
            }),
        }
    }

    fn is_presence_enabled(&self) -> bool {
        true
    }

    fn is_verification_enabled(&self) -> Option<bool> {
        Some(true)
    }
}

#[cfg(test)]
mod tests;
