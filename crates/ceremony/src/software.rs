//! An authenticator in software that answers in place of a browser, for tests and machines without one.
//!
//! It takes the page's part over HTTP: the same file, token, messages, challenge and sealing, with the
//! [`passkey`] crate (1Password's, and none of ours) as the browser and its authenticator. Whoever can
//! read its file can open what it protects, and nobody is asked: so no release build has it.

#[cfg(not(debug_assertions))]
compile_error!(
    "the software authenticator asks nobody and keeps its keys in a file: debug builds only"
);

use std::io;
use std::path::{Path, PathBuf};

use getrandom::SysRng;
use passkey::authenticator::extensions::HmacSecretConfig;
use passkey::authenticator::{
    Authenticator, CredentialStore, DiscoverabilitySupport, StoreInfo, UiHint, UserCheck,
    UserValidationMethod,
};
use passkey::client::{Client as Browser, DefaultClientData, WebauthnError};
use passkey::crypto::coset::{CborSerializable as _, CoseKey};
use passkey::crypto::rust_crypto::RustCryptoBackend;
use passkey_types::ctap2::make_credential::{
    Options, PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity,
};
use passkey_types::ctap2::{Aaguid, Ctap2Error, StatusCode};
use passkey_types::webauthn::{
    AuthenticationExtensionsClientOutputs, CredentialCreationOptions, CredentialRequestOptions,
    PublicKeyCredentialDescriptor,
};
use passkey_types::{CredentialExtensions, Passkey, StoredHmacSecret};
use rand_core::UnwrapErr;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use crate::bytes;
use crate::client::Client;
use crate::message::Asserted;
use crate::seal::{self, Sealed, Suite};

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
            Some("get") => runtime.block_on(get(&mut browser, &origin, &view, client)),
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
    client: &Client,
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
        &client.psk,
        &challenge,
        &asserted.aad(),
        output,
        &mut UnwrapErr(SysRng),
    )
    .ok_or("OperationError")?;
    Ok(asserted.message(view["number"].as_u64().unwrap_or_default()))
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

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wallet {
    aaguid: [u8; 16],
    passkeys: Vec<Kept>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    key: String,
    credential_id: String,
    rp_id: String,
    user_handle: String,
    username: Option<String>,
    hmac_secret: Option<String>,
}

impl Wallet {
    fn load(path: &Path) -> io::Result<Self> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(serde_json::from_slice(&Zeroizing::new(bytes))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut aaguid = [0; 16];
                getrandom::fill(&mut aaguid).map_err(io::Error::other)?;
                let wallet = Self {
                    aaguid,
                    passkeys: Vec::new(),
                };
                wallet.save(path)?;
                Ok(wallet)
            }
            Err(error) => Err(error),
        }
    }

    fn save(&self, path: &Path) -> io::Result<()> {
        use std::io::Write as _;
        let json = Zeroizing::new(serde_json::to_vec_pretty(self)?);
        let new = path.with_extension("new");
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&new)?.write_all(&json)?;
        std::fs::rename(new, path)
    }
}

impl Kept {
    fn of(passkey: &Passkey) -> Option<Self> {
        let secret = passkey.extensions.hmac_secret.as_ref();
        Some(Self {
            key: bytes::text(&passkey.key.clone().to_vec().ok()?),
            credential_id: bytes::text(&passkey.credential_id),
            rp_id: passkey.rp_id.clone(),
            user_handle: passkey
                .user_handle
                .as_deref()
                .map_or_else(String::new, |handle| bytes::text(handle)),
            username: passkey.username.clone(),
            hmac_secret: secret.map(|secret| bytes::text(&secret.cred_with_uv)),
        })
    }

    fn passkey(&self) -> Option<Passkey> {
        let read = |text: &str| bytes::read(text, 4096);
        let secret = self.hmac_secret.as_deref().map(|secret| {
            read(secret).map(|cred_with_uv| StoredHmacSecret {
                cred_with_uv,
                cred_without_uv: None,
            })
        });
        Some(Passkey {
            key: CoseKey::from_slice(&read(&self.key)?).ok()?,
            credential_id: read(&self.credential_id)?.into(),
            rp_id: self.rp_id.clone(),
            user_handle: Some(read(&self.user_handle)?.into()),
            username: self.username.clone(),
            user_display_name: None,
            counter: None,
            extensions: CredentialExtensions {
                hmac_secret: match secret {
                    Some(secret) => Some(secret?),
                    None => None,
                },
            },
        })
    }
}

struct Store {
    path: PathBuf,
    wallet: Wallet,
}

impl Store {
    fn new(path: &Path, wallet: Wallet) -> Self {
        Self {
            path: path.to_owned(),
            wallet,
        }
    }
}

#[async_trait::async_trait]
impl CredentialStore for Store {
    type PasskeyItem = Passkey;

    async fn find_credentials(
        &self,
        ids: Option<&[PublicKeyCredentialDescriptor]>,
        rp_id: &str,
        _user_handle: Option<&[u8]>,
    ) -> Result<Vec<Passkey>, StatusCode> {
        let kept = self.wallet.passkeys.iter().filter_map(Kept::passkey);
        let found: Vec<Passkey> = kept
            .filter(|passkey| passkey.rp_id == rp_id)
            .filter(|passkey| {
                ids.is_none_or(|ids| ids.iter().any(|id| id.id == passkey.credential_id))
            })
            .collect();
        if found.is_empty() {
            return Err(Ctap2Error::NoCredentials.into());
        }
        Ok(found)
    }

    async fn save_credential(
        &mut self,
        passkey: Passkey,
        _user: PublicKeyCredentialUserEntity,
        _rp: PublicKeyCredentialRpEntity,
        _options: Options,
    ) -> Result<(), StatusCode> {
        let kept = Kept::of(&passkey).ok_or(Ctap2Error::InvalidCredential)?;
        self.wallet.passkeys.push(kept);
        let saved = self.wallet.save(&self.path);
        saved.map_err(|_| Ctap2Error::KeyStoreFull.into())
    }

    async fn update_credential(&mut self, _passkey: &Passkey) -> Result<(), StatusCode> {
        // Synced passkeys have no counter, and there is nothing else to change.
        Ok(())
    }

    async fn get_info(&self) -> StoreInfo {
        StoreInfo {
            discoverability: DiscoverabilitySupport::ForcedDiscoverable,
        }
    }
}

#[cfg(test)]
mod tests;
