//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the same request with the same key gets the
//! answer that it got, for a day. Guesses and proofs take none: each of them counts.

use axum::http::{HeaderMap, HeaderName};
use heirloom_vault_api::{Code, Token};
use hkdf::Hkdf;
use rand_core::Rng as _;
use secrecy::SecretBox;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::store::repeat::Once;
use crate::vault::rng;

pub(super) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

const SHORTEST: usize = 16;
const LONGEST: usize = 255;

const NAME: &[u8] = b"heirloom/vault/v1/repeat/name";
const REQUEST: &[u8] = b"heirloom/vault/v1/repeat/request";
const SEAL: &[u8] = b"heirloom/vault/v1/repeat/seal";

/// The key, if one came: a string of structured fields (RFC 9651), or the same characters bare.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<Zeroizing<String>>, Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Code::BadRequest)?.trim();
    let bare = match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"'),
        None => Some(text),
    };
    let is_key = |bare: &&str| {
        (SHORTEST..=LONGEST).contains(&bare.len())
            && bare
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b','))
    };
    match (bare.filter(is_key), values.next()) {
        (Some(key), None) => Ok(Some(Zeroizing::new(key.to_owned()))),
        _ => Err(Code::BadRequest.into()),
    }
}

/// What is remembered of a request to `route`, by whoever holds `secret`: the sign-in's token, or what else of the
/// request nobody can guess. Nothing else may be given back to whoever repeats a key.
pub(super) fn once(
    headers: &HeaderMap,
    route: &str,
    secret: &[u8],
    body: &[u8],
) -> Result<Option<Once>, Refusal> {
    let Some(key) = key(headers)? else {
        return Ok(None);
    };
    let name = Sha256::new()
        .chain_update(NAME)
        .chain_update(Sha256::digest(route))
        .chain_update(Sha256::digest(secret))
        .chain_update(key.as_bytes());
    let mut all = Zeroizing::new(Vec::with_capacity(96 + body.len()));
    all.extend_from_slice(&Sha256::digest(route));
    all.extend_from_slice(&Sha256::digest(secret));
    all.extend_from_slice(&Sha256::digest(key.as_bytes()));
    all.extend_from_slice(secret);
    all.extend_from_slice(body);
    let derived = Hkdf::<Sha256>::new(None, &all);
    let mut request = [0; 32];
    let mut seal = Box::new([0; 32]);
    let long = derived
        .expand(REQUEST, &mut request)
        .and_then(|()| derived.expand(SEAL, seal.as_mut_slice()));
    long.expect("HKDF-SHA256 gives 32 bytes");
    let mut nonce = [0; 12];
    rng().fill_bytes(&mut nonce);
    Ok(Some(Once {
        name: name.finalize().into(),
        request,
        seal: SecretBox::new(seal),
        nonce,
    }))
}

/// The same, of a signed-in request.
pub(super) fn once_of_token(
    headers: &HeaderMap,
    route: &str,
    token: &Token,
    body: &[u8],
) -> Result<Option<Once>, Refusal> {
    once(headers, route, token.0.as_bytes(), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_key_is_a_string_or_the_same_characters_bare() {
        let uuid = "8e03978e-40d5-43dd-bc93-6894a57f9324";
        let read = |value: &str| key(&headers(&[value])).unwrap().unwrap();
        assert_eq!(*read(&format!("\"{uuid}\"")), *read(uuid));
        assert!(key(&headers(&[])).unwrap().is_none());
        for wrong in [
            "",
            "\"\"",
            "short",
            "\"8e03978e-40d5-43dd-bc93-6894a57f9324",
            "8e03978e-40d5-43dd-bc93-6894a57f9324\"",
            "8e03978e-40d5 43dd-bc93-6894a57f9324",
            "8e03978e-40d5-43dd-bc93-6894a57f9324, another",
            &"k".repeat(256),
        ] {
            assert!(key(&headers(&[wrong])).is_err(), "{wrong}");
        }
        assert!(key(&headers(&[uuid, uuid])).is_err());
    }

    #[test]
    fn everything_of_the_request_decides() {
        let headers_of = |key| headers(&[key]);
        let (one, other) = (
            headers_of("kkkkkkkkkkkkkkkk"),
            headers_of("kkkkkkkkkkkkkkkl"),
        );
        let made = |headers: &HeaderMap, route, secret: &[u8], body: &[u8]| {
            let given = once(headers, route, secret, body).unwrap().unwrap();
            (given.name, given.request)
        };
        let first = made(&one, "/a", b"s", b"b");
        assert_eq!(first, made(&one, "/a", b"s", b"b"));
        // Another body is another request under the same name; all else is another name.
        let body = made(&one, "/a", b"s", b"c");
        assert_eq!((first.0 == body.0, first.1 == body.1), (true, false));
        for another in [
            made(&other, "/a", b"s", b"b"),
            made(&one, "/b", b"s", b"b"),
            made(&one, "/a", b"t", b"b"),
        ] {
            assert!(first.0 != another.0 && first.1 != another.1);
        }
    }
}
