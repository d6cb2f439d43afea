//! A messenger's word for its user: a signed token (RFC 7519), checked as RFC 8725 asks.
//!
//! The key decides the algorithm, never the token: an RSA key verifies RS256 and nothing else, so neither
//! `none` nor a public key used as a secret can be said.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use heirloom_vault_api::{Code, TenantName};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::keyset;
use super::{KeySource, Messenger, Tenant};
use crate::log::Log;
use crate::refusal::Refusal;

/// The longest token.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// A token for a longer time is refused.
const MAX_LIFE_S: u64 = 24 * 3600;
/// How far clocks may be apart.
const LEEWAY_S: u64 = 60;
/// Keys are asked for again after this time …
const FRESH_MS: u64 = 3600 * 1000;
/// … and no sooner than this one, whatever key a token names.
const PATIENCE_MS: u64 = 60 * 1000;
/// The longest `sub`.
const MAX_SUBJECT_BYTES: usize = 255;
/// An RSA modulus that is shorter signs nothing.
const MIN_RSA_BYTES: usize = 256;
const MAX_RSA_BYTES: usize = 1024;
/// Keys of one issuer.
const MAX_KEYS: usize = 64;

/// What the issuers' keys are, as far as they are known.
#[derive(Debug)]
pub(crate) struct Messengers {
    /// A lock for each tenant: an issuer that hangs holds up its own users alone.
    keys: std::sync::Mutex<HashMap<TenantName, Arc<Mutex<Fetched>>>>,
    log: Log,
}

/// An issuer's keys, and when they were asked for last.
#[derive(Debug, Default)]
struct Fetched {
    keys: Vec<Key>,
    /// When there was an answer.
    at: Option<u64>,
    /// When there was a question.
    asked: Option<u64>,
}

/// A public key and the one algorithm that it is for.
#[derive(Debug)]
struct Key {
    kid: Option<String>,
    algorithm: Algorithm,
    decoding: DecodingKey,
}

#[derive(Deserialize)]
struct Head {
    alg: String,
    kid: Option<String>,
    // "Recipients MUST reject a JWS with an extension that they do not understand" (RFC 7515, section 4.1.11).
    crit: Option<serde::de::IgnoredAny>,
    typ: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: u64,
    iat: u64,
    nbf: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Audience {
    /// A token for others as well is not one for us: any of them could show it here.
    fn is(&self, ours: &str) -> bool {
        match self {
            Self::One(one) => one == ours,
            Self::Several(all) => matches!(all.as_slice(), [one] if one == ours),
        }
    }
}

impl Messengers {
    pub(crate) fn new(log: Log) -> Self {
        Self {
            keys: std::sync::Mutex::default(),
            log,
        }
    }

    /// Verifies a token of `tenant`'s messenger and gives its subject.
    pub(crate) async fn subject(
        &self,
        tenant: &Tenant,
        token: &str,
        now_ms: u64,
    ) -> Result<String, Refusal> {
        let messenger = tenant.messenger.as_ref().ok_or(Code::NotFound)?;
        let read = Token::read(token).ok_or(Code::NotLetIn)?;
        // One question at a time to an issuer, whoever else waits.
        let of_tenant = self.of(&tenant.name);
        let mut fetched = of_tenant.lock().await;
        if fetched.is_to_be_asked(&read.head, now_ms) {
            fetched.asked = Some(now_ms);
            match load(messenger).await {
                Ok(keys) => {
                    fetched.keys = keys;
                    fetched.at = Some(now_ms);
                }
                Err(why) => self
                    .log
                    .line(&format!("keys of tenant {}: {why}", tenant.name.as_str())),
            }
        }
        if fetched.at.is_none() {
            return Err(Code::Unavailable.into());
        }
        let verified = read.verify(&fetched.keys, messenger, now_ms / 1000);
        drop(fetched);
        verified.ok_or_else(|| Code::NotLetIn.into())
    }

    fn of(&self, tenant: &TenantName) -> Arc<Mutex<Fetched>> {
        let mut all = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(tenant.clone()).or_default())
    }
}

impl Fetched {
    fn is_to_be_asked(&self, head: &Head, now_ms: u64) -> bool {
        let since = |then: Option<u64>| then.map(|then| now_ms.saturating_sub(then));
        let is_patient = since(self.asked).is_none_or(|ms| ms >= PATIENCE_MS);
        let is_fresh = since(self.at).is_some_and(|ms| ms < FRESH_MS);
        let is_known = self.keys.iter().any(|key| key.is_named(head));
        is_patient && !(is_fresh && is_known)
    }
}

impl Key {
    /// `None` for a key that is not for signatures, or of a kind that is not taken.
    fn of(jwk: &Jwk) -> Option<Self> {
        if !matches!(
            jwk.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        ) {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                Algorithm::EdDSA
            }
            AlgorithmParameters::RSA(key) => {
                let modulus = heirloom_vault_api::from_base64url(&key.n)?;
                let modulus = modulus.as_slice();
                let is_long = (MIN_RSA_BYTES..=MAX_RSA_BYTES).contains(&modulus.len());
                // 2,048 bits, and not 2,041 of them.
                let is_full = modulus.first().is_some_and(|first| *first >= 0x80)
                    || modulus.len() > MIN_RSA_BYTES;
                if !is_long || !is_full {
                    return None;
                }
                Algorithm::RS256
            }
            _ => return None,
        };
        let stated = jwk.common.key_algorithm.map(|stated| stated.to_string());
        if stated.is_some_and(|stated| stated != name(algorithm)) {
            return None;
        }
        Some(Self {
            kid: jwk.common.key_id.clone(),
            algorithm,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }

    fn is_named(&self, head: &Head) -> bool {
        head.alg == name(self.algorithm) && (head.kid.is_none() || head.kid == self.kid)
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        Algorithm::RS256 => "RS256",
        _ => "none of ours",
    }
}

/// A token, taken apart.
struct Token<'a> {
    head: Head,
    signed: &'a str,
    signature: &'a str,
    claims: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head: Head = serde_json::from_slice(&heirloom_vault_api::from_base64url(head)?).ok()?;
        Some(Self {
            head,
            signed,
            signature,
            claims: heirloom_vault_api::from_base64url(claims)?,
        })
    }

    /// The subject, where everything fits.
    fn verify(&self, keys: &[Key], messenger: &Messenger, now_s: u64) -> Option<String> {
        let Self {
            head,
            signed,
            signature,
            claims,
        } = self;
        let is_jwt = head
            .typ
            .as_deref()
            .is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"));
        if head.crit.is_some() || !is_jwt {
            return None;
        }
        let verifies = |key: &&Key| {
            key.is_named(head)
                && jsonwebtoken::crypto::verify(
                    signature,
                    signed.as_bytes(),
                    &key.decoding,
                    key.algorithm,
                )
                .unwrap_or(false)
        };
        keys.iter().find(verifies)?;
        let Claims {
            iss,
            sub,
            aud,
            exp,
            iat,
            nbf,
        } = serde_json::from_slice(claims).ok()?;
        let is_ours = iss == messenger.issuer && aud.is(&messenger.audience);
        let is_now = exp.saturating_add(LEEWAY_S) > now_s
            && iat <= now_s.saturating_add(LEEWAY_S)
            && nbf.is_none_or(|nbf| nbf <= now_s.saturating_add(LEEWAY_S))
            && exp.checked_sub(iat).is_some_and(|life| life <= MAX_LIFE_S);
        let is_somebody = (1..=MAX_SUBJECT_BYTES).contains(&sub.len());
        (is_ours && is_now && is_somebody).then_some(sub)
    }
}

/// Whether a token can be taken apart, for [`crate::fuzzing`].
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn is_read(token: &str) -> bool {
    Token::read(token).is_some()
}

async fn load(messenger: &Messenger) -> Result<Vec<Key>, String> {
    let bytes = match &messenger.keys {
        KeySource::File(path) => keyset::read(path).await?,
        KeySource::Discovery => {
            keyset::discover(&messenger.issuer, Duration::from_secs(10)).await?
        }
    };
    let JwkSet { keys } =
        serde_json::from_slice(&bytes).map_err(|_| "the key set cannot be read".to_owned())?;
    let keys: Vec<_> = keys.iter().take(MAX_KEYS).filter_map(Key::of).collect();
    if keys.is_empty() {
        return Err("the key set holds no key of ES256, EdDSA or RS256 with 2,048 bits".to_owned());
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
