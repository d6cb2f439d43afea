//! Where the software authenticator keeps its passkeys: a file of its owner's.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use passkey::authenticator::{CredentialStore, DiscoverabilitySupport, StoreInfo};
use passkey::crypto::coset::{CborSerializable as _, CoseKey};
use passkey_types::ctap2::make_credential::{
    Options, PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity,
};
use passkey_types::ctap2::{Ctap2Error, StatusCode};
use passkey_types::webauthn::PublicKeyCredentialDescriptor;
use passkey_types::{CredentialExtensions, Passkey, StoredHmacSecret};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::bytes;

/// The file's form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wallet {
    pub(super) aaguid: [u8; 16],
    pub(super) passkeys: Vec<Kept>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    key: String,
    pub(super) credential_id: String,
    rp_id: String,
    user_handle: String,
    username: Option<String>,
    pub(super) hmac_secret: Option<String>,
}

impl Wallet {
    pub(super) fn load(path: &Path) -> io::Result<Self> {
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

pub(super) struct Store {
    path: PathBuf,
    wallet: Wallet,
}

impl Store {
    pub(super) fn new(path: &Path, wallet: Wallet) -> Self {
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
