use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use heirloom_vault_api::base64url;
use serde_json::{Value, json};

use super::*;

const NOW_S: u64 = 1_700_000_000;

enum Signer {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Signer {
    fn ec() -> Self {
        Self::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn ed() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    fn alg(&self) -> &'static str {
        match self {
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
            Self::Rsa(_) => "RS256",
        }
    }

    fn jwk(&self) -> Value {
        match self {
            Self::Ec(key) => {
                let point = key.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig",
                    "x": base64url(&point[1..33]), "y": base64url(&point[33..])})
            }
            Self::Ed(key) => json!({"kty": "OKP", "crv": "Ed25519", "kid": "k",
                "x": base64url(key.public_key().as_ref())}),
            Self::Rsa(key) => {
                let public: PublicKeyComponents<Vec<u8>> = key.public_key().into();
                json!({"kty": "RSA", "kid": "k", "alg": "RS256",
                    "n": base64url(&public.n), "e": base64url(&public.e)})
            }
        }
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(head), part(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(key) => key
                .sign(&random, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec(),
            Self::Ed(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(
                    &RSA_PKCS1_SHA256,
                    &random,
                    signed.as_bytes(),
                    &mut signature,
                )
                .unwrap();
                signature
            }
        };
        format!("{signed}.{}", base64url(&signature))
    }

    fn head(&self) -> Value {
        json!({"alg": self.alg(), "kid": "k", "typ": "JWT"})
    }
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "sub": "user-1", "aud": "heirloom",
        "iat": NOW_S - 10, "exp": NOW_S + 600})
}

fn messenger() -> Messenger {
    Messenger {
        issuer: "https://id.example".into(),
        audience: "heirloom".into(),
        keys: KeySource::Discovery,
    }
}

fn keys(jwk: Value) -> Vec<Key> {
    let jwk: Jwk = serde_json::from_value(jwk).unwrap();
    Key::of(&jwk).into_iter().collect()
}

fn verify(token: &str, keys: &[Key]) -> Option<String> {
    Token::read(token)?.verify(keys, &messenger(), NOW_S)
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[test]
fn a_token_of_each_algorithm_says_who_it_is_for() {
    let rsa = Signer::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
    for signer in [Signer::ec(), Signer::ed(), rsa] {
        let token = signer.sign(&signer.head(), &claims());
        let keys = keys(signer.jwk());
        assert_eq!(
            verify(&token, &keys).as_deref(),
            Some("user-1"),
            "{}",
            signer.alg()
        );
        assert_eq!(verify(&token[..token.len() - 2], &keys), None);
    }
}

#[test]
fn a_token_of_somebody_else_or_for_somebody_else_or_for_another_time_is_refused() {
    let signer = Signer::ed();
    let keys = keys(signer.jwk());
    let says = |claims: &Value| verify(&signer.sign(&signer.head(), claims), &keys);
    for (name, value) in [
        ("iss", json!("https://id.example/")),
        ("aud", json!("another")),
        ("aud", json!([])),
        ("aud", json!(["heirloom", "another"])),
        ("sub", json!("")),
        ("sub", json!("x".repeat(256))),
        ("sub", json!(7)),
        ("exp", json!(NOW_S - 60)),
        ("exp", json!(NOW_S - 10 + 24 * 3600 + 1)),
        ("exp", json!(NOW_S - 11)),
        ("exp", json!("soon")),
        ("exp", json!(-1)),
        ("iat", json!(NOW_S + 61)),
        ("nbf", json!(NOW_S + 61)),
    ] {
        assert_eq!(says(&with(name, value.clone())), None, "{name}: {value}");
    }
    for name in ["iss", "aud", "sub", "exp", "iat"] {
        let mut less = claims();
        less.as_object_mut().unwrap().remove(name);
        assert_eq!(says(&less), None, "without {name}");
    }
    for (name, value) in [
        ("aud", json!(["heirloom"])),
        ("exp", json!(NOW_S - 10 + 24 * 3600)),
        ("nbf", json!(NOW_S)),
    ] {
        assert!(
            says(&with(name, value.clone())).is_some(),
            "{name}: {value}"
        );
    }
}

#[test]
fn no_token_decides_how_it_is_verified() {
    let signer = Signer::ed();
    let public = signer.jwk();
    let keys = keys(public.clone());
    let token = signer.sign(&signer.head(), &claims());
    let (_, rest) = token.split_once('.').unwrap();
    for head in [
        json!({"alg": "none", "kid": "k"}),
        json!({"alg": "None"}),
        json!({"alg": "HS256", "kid": "k"}),
        json!({"alg": "RS256", "kid": "k"}),
        json!({"alg": "ES256", "kid": "k"}),
        json!({"alg": "EdDSA", "kid": "another"}),
        json!({"alg": "EdDSA", "kid": "k", "crit": ["b64"], "b64": false}),
        json!({"alg": "EdDSA", "kid": "k", "typ": "at+jwt"}),
        json!({"kid": "k"}),
    ] {
        let with_signature = signer.sign(&head, &claims());
        assert_eq!(verify(&with_signature, &keys), None, "{head}");
        let unsigned = format!("{}.{rest}", base64url(head.to_string().as_bytes()));
        assert_eq!(verify(&unsigned, &keys), None, "{head}");
    }
    // The public key as an HMAC secret, the classic.
    let head = base64url(br#"{"alg":"HS256","kid":"k"}"#);
    let body = base64url(claims().to_string().as_bytes());
    let secret = heirloom_vault_api::from_base64url(public["x"].as_str().unwrap()).unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
    let tag = aws_lc_rs::hmac::sign(&key, format!("{head}.{body}").as_bytes());
    let forged = format!("{head}.{body}.{}", base64url(tag.as_ref()));
    assert_eq!(verify(&forged, &keys), None);
    // Without a signature, and taken apart otherwise.
    for bad in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c",
        &format!("{head}.{body}."),
        &token.replace('.', ".."),
    ] {
        assert_eq!(verify(bad, &keys), None, "{bad}");
    }
    let other = Signer::ed();
    assert_eq!(verify(&other.sign(&other.head(), &claims()), &keys), None);
}

#[test]
fn only_keys_that_sign_and_are_long_enough_are_taken() {
    let rsa = |bytes: usize, first: u8| {
        let mut modulus = vec![0xC5; bytes];
        modulus[0] = first;
        json!({"kty": "RSA", "n": base64url(&modulus), "e": "AQAB"})
    };
    assert_eq!(keys(rsa(256, 0x80)).len(), 1);
    for refused in [
        rsa(128, 0x80),
        rsa(256, 0x7f),
        rsa(255, 0x80),
        rsa(1025, 0x80),
        json!({"kty": "oct", "k": "AAAA"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&[1; 32]), "use": "enc"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&[1; 32]), "alg": "RS256"}),
        json!({"kty": "EC", "crv": "P-384", "x": base64url(&[1; 48]), "y": base64url(&[1; 48])}),
    ] {
        assert!(keys(refused.clone()).is_empty(), "{refused}");
    }
}

fn of_file(path: std::path::PathBuf) -> Tenant {
    Tenant {
        name: TenantName::new("a").unwrap(),
        site: None,
        messenger: Some(Messenger {
            keys: KeySource::File(path),
            ..messenger()
        }),
        quota_bytes: None,
    }
}

#[tokio::test]
async fn a_new_key_is_found_and_a_token_of_no_key_asks_once_a_minute() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let write = |jwk: Value| {
        std::fs::write(&path, json!({"keys": [jwk]}).to_string()).unwrap();
    };
    let tenant = of_file(path.clone());
    let messengers = Messengers::new(Log::new(|_| ()));
    let (one, other) = (Signer::ed(), Signer::ed());
    let token =
        |signer: &Signer, kid: &str| signer.sign(&json!({"alg": "EdDSA", "kid": kid}), &claims());
    let asks = async |token: String, now_ms: u64| {
        let refusal = messengers.subject(&tenant, &token, now_ms).await;
        refusal.map_err(|refusal| refusal.problem.code)
    };
    let now = NOW_S * 1000;
    // No file yet: that is the server's matter.
    assert_eq!(asks(token(&one, "k"), now).await, Err(Code::Unavailable));
    write(one.jwk());
    let now = now + PATIENCE_MS;
    assert_eq!(asks(token(&one, "k"), now).await.unwrap(), "user-1");
    let mut next = other.jwk();
    next["kid"] = json!("next");
    write(next);
    // Asked a moment ago: whatever a token names, nobody is asked again yet.
    let soon = now + PATIENCE_MS - 1;
    assert_eq!(asks(token(&other, "next"), soon).await, Err(Code::NotLetIn));
    assert_eq!(asks(token(&one, "k"), soon).await.unwrap(), "user-1");
    let later = now + PATIENCE_MS;
    assert_eq!(asks(token(&other, "next"), later).await.unwrap(), "user-1");
    assert_eq!(asks(token(&one, "k"), later).await, Err(Code::NotLetIn));
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_up_no_other_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let signer = Signer::ed();
    std::fs::write(&path, json!({"keys": [signer.jwk()]}).to_string()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hangs = Tenant {
        name: TenantName::new("b").unwrap(),
        site: None,
        messenger: Some(Messenger {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            ..messenger()
        }),
        quota_bytes: None,
    };
    let messengers = Arc::new(Messengers::new(Log::new(|_| ())));
    let token = signer.sign(&signer.head(), &claims());
    let (all, shown) = (Arc::clone(&messengers), token.clone());
    let waits = tokio::spawn(async move {
        let refused = all.subject(&hangs, &shown, NOW_S * 1000).await;
        refused.map_err(|refusal| refusal.problem.code)
    });
    // It was asked, and never answers.
    let (asked, _) = listener.accept().await.unwrap();
    let other = of_file(path);
    let answered = messengers.subject(&other, &token, NOW_S * 1000).await;
    assert_eq!(answered.unwrap(), "user-1");
    assert!(!waits.is_finished());
    drop((asked, listener));
    assert_eq!(waits.await.unwrap(), Err(Code::Unavailable));
}
