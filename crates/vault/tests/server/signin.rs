//! Devices, sign-in passkeys and messengers, over HTTP, with an authenticator of a test's own making.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use heirloom_vault::{Clock, KeySource, Messenger, Site, Tenant, Tenants};
use heirloom_vault_api::*;
use serde_cbor_2::Value as Cbor;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::client::{Answer, Client};
use crate::running::{Running, contains, start, walk};

pub(crate) const VERIFIER: Verifier = Verifier(Fixed([0xC5; 32]));
const UP: u8 = 1;
const UV: u8 = 4;
const SYNCED: u8 = 8 | 16;
const ATTESTED: u8 = 64;

/// A passkey, and what it would say.
pub(crate) struct Passkey {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    handle: Vec<u8>,
    rp_id: String,
    origin: String,
    flags: u8,
    counter: u32,
}

fn bytes<const MAX: usize>(bytes: &[u8]) -> Bytes<MAX> {
    Bytes::new(bytes.to_vec()).unwrap()
}

impl Passkey {
    fn new(id: u8, options: &PageOptions, origin: &str) -> Self {
        let handle = options.create.as_ref().map(|create| create.user_id.0);
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            id: vec![id; 32],
            handle: handle.unwrap_or([1; 32]).to_vec(),
            rp_id: options.rp_id.clone(),
            origin: origin.to_owned(),
            flags: UP | UV | SYNCED,
            counter: 0,
        }
    }

    fn client_data(&self, kind: &str, challenge: &Fixed<32>) -> Vec<u8> {
        json!({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false})
            .to_string()
            .into_bytes()
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest(self.rp_id.as_bytes()).to_vec();
        data.push(flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    fn create(&self, session: Fixed<16>, challenge: &Fixed<32>) -> PageAnswer {
        let point = self.key.public_key().as_ref();
        let number = |n: i128| Cbor::Integer(n);
        let cose = Cbor::Map(
            [
                (number(1), number(2)),
                (number(3), number(-7)),
                (number(-1), number(1)),
                (number(-2), Cbor::Bytes(point[1..33].to_vec())),
                (number(-3), Cbor::Bytes(point[33..].to_vec())),
            ]
            .into(),
        );
        let mut data = self.data(self.flags | ATTESTED);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend(serde_cbor_2::to_vec(&cose).unwrap());
        let attestation = Cbor::Map(
            [
                (Cbor::Text("fmt".into()), Cbor::Text("none".into())),
                (Cbor::Text("attStmt".into()), Cbor::Map([].into())),
                (Cbor::Text("authData".into()), Cbor::Bytes(data)),
            ]
            .into(),
        );
        PageAnswer {
            session,
            id: bytes(&self.id),
            client_data: bytes(&self.client_data("webauthn.create", challenge)),
            attestation: Some(bytes(&serde_cbor_2::to_vec(&attestation).unwrap())),
            assertion: None,
        }
    }

    pub(crate) fn sign(&self, session: Fixed<16>, challenge: &Fixed<32>) -> PageAnswer {
        let client_data = self.client_data("webauthn.get", challenge);
        let data = self.data(self.flags);
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(&client_data));
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        PageAnswer {
            session,
            id: bytes(&self.id),
            client_data: bytes(&client_data),
            attestation: None,
            assertion: Some(Assertion {
                authenticator_data: bytes(&data),
                signature: bytes(signature.as_ref()),
                user_handle: bytes(&self.handle),
            }),
        }
    }
}

fn begun(client: &Client, path: &str, tenant: Option<&str>) -> SignInStarted {
    let start = SignInStart {
        tenant: tenant.and_then(TenantName::new),
        challenge: VERIFIER.challenge(),
    };
    let answer = client.post(path, &start).unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

pub(crate) fn options(client: &Client, session: Fixed<16>) -> PageOptions {
    client
        .post("/v1/signin/options", &PageSession { session })
        .unwrap()
        .json()
}

pub(crate) fn finish(client: &Client, path: &str, session: Fixed<16>, code: Fixed<16>) -> Answer {
    let finish = SignInFinish {
        session,
        code,
        verifier: VERIFIER,
        name: DeviceName::new("Phone"),
    };
    client.post(path, &finish).unwrap()
}

/// Saves a passkey to the account of `client`.
pub(crate) fn saved(client: &Client, id: u8) -> Passkey {
    let SignInStarted { session, page } = begun(client, "/v1/passkeys/start", None);
    let options = options(client, session);
    let passkey = Passkey::new(id, &options, page.strip_suffix("/signin").unwrap());
    let answer = client
        .post(
            "/v1/signin/answer",
            &passkey.create(session, &options.challenge),
        )
        .unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let PageCode { code } = answer.json();
    let kept = finish(client, "/v1/passkeys", session, code);
    assert_eq!(kept.status, 201, "{kept:?}");
    passkey
}

/// What the page is answered when `passkey` signs in.
fn tried(server: &Running, passkey: &Passkey, tenant: Option<&str>) -> (Fixed<16>, Answer) {
    let client = server.client();
    let SignInStarted { session, page: _ } = begun(&client, "/v1/signin/start", tenant);
    let challenge = options(&client, session).challenge;
    let answer = client.post("/v1/signin/answer", &passkey.sign(session, &challenge));
    (session, answer.unwrap())
}

pub(crate) fn account(client: &Client) -> AccountId {
    let Account { account, .. } = client.get("/v1/account").json();
    account
}

#[test]
fn devices_have_names_and_one_is_signed_out_by_another_at_once() {
    let server = start(|_| ());
    let mut laptop = server.signed_in();
    let Invitation { invite } = laptop
        .send("POST", "/v1/invitations", &[], b"")
        .unwrap()
        .json();
    let mut phone = server.client();
    let sign_in = SignIn {
        invite: Some(invite),
        name: DeviceName::new("Phone"),
        ..SignIn::by(None)
    };
    let SignedIn { token, .. } = phone.post("/v1/accounts", &sign_in).unwrap().json();
    phone.token = Some(token);
    let DeviceList { devices } = laptop.get("/v1/devices").json();
    let seen: Vec<_> = devices
        .iter()
        .map(|device| (device.name.as_ref().map(DeviceName::as_str), device.present))
        .collect();
    assert_eq!(seen.len(), 2);
    assert!(
        seen.contains(&(Some("Phone"), false)) && seen.contains(&(None, true)),
        "{seen:?}"
    );
    let stranger = server.signed_in();
    let id = devices
        .iter()
        .find(|device| !device.present)
        .unwrap()
        .device
        .to_text();
    let path = format!("/v1/devices/{id}");
    let remove = |client: &Client| client.send("DELETE", &path, &[], b"").unwrap();
    assert_eq!(remove(&stranger).problem().code, Code::NotFound);
    assert_eq!(phone.get("/v1/account").status, 200);
    assert_eq!(remove(&laptop).status, 200);
    assert_eq!(remove(&laptop).problem().code, Code::NotFound);
    for path in ["/v1/account", "/v1/devices", "/v1/blobs"] {
        assert_eq!(phone.get(path).problem().code, Code::SignedOut, "{path}");
    }
    let DeviceList { devices } = laptop.get("/v1/devices").json();
    assert_eq!(devices.len(), 1);
    laptop.token = Some(Token(Fixed([1; 32])));
    assert_eq!(laptop.get("/v1/devices").problem().code, Code::SignInNeeded);
    for path in ["/v1/devices/x", "/v1/devices/AAAAAAAAAAAAAAAAAAAAAA"] {
        let answer = stranger.send("DELETE", path, &[], b"").unwrap();
        assert_eq!(answer.problem().code, Code::NotFound, "{path}");
    }
    server.stop();
}

fn invited(client: &Client) -> Invite {
    let answer = client.send("POST", "/v1/invitations", &[], b"").unwrap();
    let Invitation { invite } = answer.json();
    invite
}

/// Another device of the inviter's account.
fn let_in(server: &Running, invite: Invite) -> Result<Client, Code> {
    let mut client = server.client();
    let answer = client.post("/v1/accounts", &SignIn::by(Some(invite)));
    let answer = answer.unwrap();
    if answer.status != 201 {
        return Err(answer.problem().code);
    }
    let SignedIn { token, .. } = answer.json();
    client.token = Some(token);
    Ok(client)
}

#[test]
fn a_device_that_was_signed_out_does_not_come_back_by_an_invitation_of_its_own() {
    let server = start(|_| ());
    let (laptop, stranger) = (server.signed_in(), server.signed_in());
    let ends: [&dyn Fn(&Client); 2] = [
        &|phone| {
            let DeviceList { devices } = phone.get("/v1/devices").json();
            let phone = devices.iter().find(|device| device.present).unwrap();
            let path = format!("/v1/devices/{}", phone.device.to_text());
            let ended = laptop.send("DELETE", &path, &[], b"").unwrap();
            assert_eq!(ended.status, 200);
        },
        &|phone| {
            let ended = phone.send("DELETE", "/v1/session", &[], b"").unwrap();
            assert_eq!(ended.status, 200);
        },
    ];
    for end in ends {
        let phone = let_in(&server, invited(&laptop)).unwrap();
        let (one, other) = (invited(&phone), invited(&phone));
        let theirs = invited(&stranger);
        end(&phone);
        for invite in [one, other] {
            assert_eq!(let_in(&server, invite).err(), Some(Code::SignInNeeded));
        }
        assert!(let_in(&server, theirs).is_ok(), "of another account");
        let tablet = let_in(&server, invited(&laptop)).unwrap();
        assert_eq!(account(&tablet), account(&laptop));
    }
    server.stop();
}

#[test]
fn an_account_has_at_most_fifty_open_invitations() {
    let server = start(|_| ());
    let (laptop, stranger) = (server.signed_in(), server.signed_in());
    let mut open: Vec<_> = (0..50).map(|_| invited(&laptop)).collect();
    let refused = |client: &Client| {
        let answer = client.send("POST", "/v1/invitations", &[], b"").unwrap();
        (answer.status != 201).then(|| answer.problem().code)
    };
    for _ in 0..3 {
        assert_eq!(refused(&laptop), Some(Code::TooManyRequests));
    }
    assert_eq!(refused(&stranger), None);
    // One that was used makes room for one.
    let phone = let_in(&server, open.pop().unwrap()).unwrap();
    assert_eq!(refused(&phone), None);
    assert_eq!(refused(&phone), Some(Code::TooManyRequests));
    assert!(let_in(&server, open.pop().unwrap()).is_ok());
    server.stop();
}

#[test]
fn a_saved_passkey_signs_another_device_in() {
    let server = start(|_| ());
    let client = server.signed_in();
    let passkey = saved(&client, 7);
    let PasskeyList { passkeys } = client.get("/v1/passkeys").json();
    assert_eq!(passkeys.len(), 1);
    assert_eq!((passkeys[0].used_ms, passkeys[0].synced), (None, true));
    let (session, answer) = tried(&server, &passkey, None);
    let PageCode { code } = answer.json();
    let mut device = server.client();
    let answer = finish(&device, "/v1/signin/finish", session, code);
    assert_eq!(answer.status, 201, "{answer:?}");
    let SignedIn { account: id, token } = answer.json();
    assert_eq!(id, account(&client));
    device.token = Some(token);
    let DeviceList { devices } = device.get("/v1/devices").json();
    let present = devices.iter().find(|device| device.present).unwrap();
    assert_eq!(present.by, SignedInBy::Passkey);
    let again = finish(&device, "/v1/signin/finish", session, code);
    assert_eq!(again.problem().code, Code::NotLetIn);
    let PasskeyList { passkeys } = client.get("/v1/passkeys").json();
    assert!(passkeys[0].used_ms.is_some());
    let path = format!("/v1/passkeys/{}", passkeys[0].passkey.to_text());
    let (begun_before, answer) = tried(&server, &passkey, None);
    let PageCode { code } = answer.json();
    assert_eq!(client.send("DELETE", &path, &[], b"").unwrap().status, 200);
    let device = server.client();
    let too_late = finish(&device, "/v1/signin/finish", begun_before, code);
    assert_eq!(too_late.problem().code, Code::NotLetIn);
    let (_, answer) = tried(&server, &passkey, None);
    assert_eq!(answer.problem().code, Code::NotLetIn);
    server.stop();
}

#[test]
fn who_removes_a_device_sees_the_passkeys_that_were_saved_since_and_removes_them_too() {
    let server = start(|_| ());
    let laptop = server.signed_in();
    let old = saved(&laptop, 7);
    std::thread::sleep(std::time::Duration::from_millis(5));
    let thief = let_in(&server, invited(&laptop)).unwrap();
    let theirs = saved(&thief, 8);
    let DeviceList { devices } = laptop.get("/v1/devices").json();
    let device = devices.iter().find(|device| !device.present).unwrap();
    let PasskeyList { passkeys } = laptop.get("/v1/passkeys").json();
    assert_eq!(passkeys.len(), 2);
    let since: Vec<_> = passkeys
        .iter()
        .filter(|passkey| passkey.created_ms >= device.created_ms)
        .collect();
    assert_eq!(since.len(), 1);
    let remove = |client: &Client, path: &str| client.send("DELETE", path, &[], b"").unwrap();
    let path = format!("/v1/devices/{}", device.device.to_text());
    assert_eq!(remove(&laptop, &path).status, 200);
    assert_eq!(
        thief.get("/v1/account").problem().code,
        Code::SignedOut,
        "at once"
    );
    // The passkey does not go with its device: it signs in until it is removed as well.
    assert_eq!(tried(&server, &theirs, None).1.status, 200);
    let path = format!("/v1/passkeys/{}", since[0].passkey.to_text());
    for other in [&thief, &server.signed_in()] {
        assert!([401, 404].contains(&remove(other, &path).status));
    }
    assert_eq!(remove(&laptop, &path).status, 200);
    assert_eq!(remove(&laptop, &path).problem().code, Code::NotFound);
    let (_, answer) = tried(&server, &theirs, None);
    assert_eq!(answer.problem().code, Code::NotLetIn);
    assert_eq!(tried(&server, &old, None).1.status, 200);
    server.stop();
}

#[test]
fn an_answer_that_does_not_fit_signs_nobody_in() {
    let server = start(|_| ());
    let client = server.signed_in();
    let mut passkey = saved(&client, 7);
    passkey.counter = 5;
    assert_eq!(tried(&server, &passkey, None).1.status, 200);
    let refused = |passkey: &Passkey, why: &str| {
        let (_, answer) = tried(&server, passkey, None);
        assert_eq!(answer.problem().code, Code::NotLetIn, "{why}");
    };
    refused(&passkey, "the counter stays");
    passkey.counter = 4;
    refused(&passkey, "the counter goes back");
    passkey.counter = 6;
    for (flags, why) in [
        (UP | SYNCED, "not verified"),
        (UV | SYNCED, "not present"),
        (UP | UV, "another kind of passkey"),
        (UP | UV | 16, "synced and not able to be"),
    ] {
        passkey.flags = flags;
        refused(&passkey, why);
    }
    passkey.flags = UP | UV | SYNCED;
    let origin = std::mem::replace(&mut passkey.origin, "https://evil.example".into());
    refused(&passkey, "another origin");
    passkey.origin = origin.replace("localhost", "127.0.0.1");
    refused(&passkey, "another spelling of the origin");
    passkey.origin = origin;
    let rp_id = std::mem::replace(&mut passkey.rp_id, "evil.example".into());
    refused(&passkey, "another relying party");
    passkey.rp_id = rp_id;
    let handle = std::mem::replace(&mut passkey.handle, vec![1; 32]);
    refused(&passkey, "another user handle");
    passkey.handle = handle;
    let id = std::mem::replace(&mut passkey.id, vec![8; 32]);
    refused(
        &passkey,
        "a passkey that nobody saved here, of a backup say",
    );
    passkey.id = id;
    let other = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let key = std::mem::replace(&mut passkey.key, other);
    refused(&passkey, "another key");
    passkey.key = key;
    assert_eq!(tried(&server, &passkey, None).1.status, 200);
    server.stop();
}

#[test]
fn a_challenge_is_good_once_and_a_code_only_with_its_verifier() {
    let server = start(|_| ());
    let client = server.signed_in();
    let mut passkey = saved(&client, 7);
    passkey.counter = 1;
    let SignInStarted { session, page: _ } = begun(&client, "/v1/signin/start", None);
    let challenge = options(&client, session).challenge;
    let answer = passkey.sign(session, &challenge);
    let first = client.post("/v1/signin/answer", &answer).unwrap();
    let PageCode { code } = first.json();
    let again = client.post("/v1/signin/answer", &answer).unwrap();
    assert_eq!(again.problem().code, Code::NotFound, "replayed");
    let other = begun(&client, "/v1/signin/start", None).session;
    passkey.counter = 2;
    let elsewhere = client.post("/v1/signin/answer", &passkey.sign(other, &challenge));
    assert_eq!(
        elsewhere.unwrap().problem().code,
        Code::NotLetIn,
        "an earlier challenge"
    );
    let shown = client.post("/v1/signin/options", &PageSession { session: other });
    assert_eq!(
        shown.unwrap().problem().code,
        Code::NotFound,
        "a wrong answer ended it"
    );
    let mut finish = SignInFinish {
        session,
        code,
        verifier: Verifier(Fixed([1; 32])),
        name: None,
    };
    let refused = client.post("/v1/signin/finish", &finish).unwrap();
    assert_eq!(refused.problem().code, Code::NotLetIn);
    finish.verifier = VERIFIER;
    let refused = client.post("/v1/signin/finish", &finish).unwrap();
    assert_eq!(refused.problem().code, Code::NotLetIn, "there is one try");
    server.stop();
}

#[test]
fn a_passkey_is_kept_by_who_began_it_and_is_saved_verified() {
    let server = start(|_| ());
    let (client, other) = (server.signed_in(), server.signed_in());
    let begin = |change: &dyn Fn(&mut Passkey)| {
        let SignInStarted { session, page } = begun(&client, "/v1/passkeys/start", None);
        let options = options(&client, session);
        let mut passkey = Passkey::new(7, &options, page.strip_suffix("/signin").unwrap());
        change(&mut passkey);
        let made = passkey.create(session, &options.challenge);
        (session, client.post("/v1/signin/answer", &made).unwrap())
    };
    for change in [
        |passkey: &mut Passkey| passkey.flags = UP | SYNCED,
        |passkey: &mut Passkey| passkey.origin = "https://evil.example".into(),
        |passkey: &mut Passkey| passkey.rp_id = "evil.example".into(),
    ] {
        assert_eq!(begin(&change).1.problem().code, Code::NotLetIn);
    }
    let (session, answer) = begin(&|_| ());
    let PageCode { code } = answer.json();
    let stolen = finish(&other, "/v1/passkeys", session, code);
    assert_eq!(stolen.problem().code, Code::NotLetIn);
    let (session, answer) = begin(&|_| ());
    let PageCode { code } = answer.json();
    let as_sign_in = finish(&client, "/v1/signin/finish", session, code);
    assert_eq!(as_sign_in.problem().code, Code::NotLetIn);
    let PasskeyList { passkeys } = client.get("/v1/passkeys").json();
    assert!(passkeys.is_empty());
    let one = saved(&client, 9);
    let session = begun(&client, "/v1/passkeys/start", None).session;
    let create = options(&client, session).create.unwrap();
    assert_eq!(create.exclude, [bytes(&one.id)]);
    assert_ne!(
        create.user_id.0.to_vec(),
        one.handle,
        "another handle for each"
    );
    assert!(
        create.user_name.starts_with("Sign in to "),
        "{}",
        create.user_name
    );
    server.stop();
}

#[derive(Debug)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn tenant(name: &str, site: Option<&str>, jwks: Option<&std::path::Path>, quota: u64) -> Tenant {
    Tenant {
        name: TenantName::new(name).unwrap(),
        site: site.map(|rp_id| Site {
            rp_id: rp_id.into(),
            rp_name: rp_id.into(),
            origins: vec![format!("https://{rp_id}")],
        }),
        messenger: jwks.map(|path| Messenger {
            issuer: format!("https://id.{name}.example"),
            audience: "heirloom".into(),
            keys: KeySource::File(path.to_owned()),
        }),
        quota_bytes: Some(quota),
    }
}

#[test]
fn what_a_tenant_says_is_good_in_no_other() {
    const NOW_S: u64 = 1_700_000_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    // Both trust the same key, as with one provider for several customers.
    let key = Ed25519KeyPair::generate().unwrap();
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": base64url(key.public_key().as_ref())});
    std::fs::write(&path, json!({"keys": [jwk]}).to_string()).unwrap();
    let clock = Arc::new(Hand(AtomicU64::new(NOW_S * 1000)));
    let server = start(|config| {
        config.clock = clock.clone();
        config.tenants = Tenants::new(vec![
            tenant("a", Some("a.example"), Some(&path), 1000),
            tenant("b", Some("b.example"), Some(&path), 2000),
        ])
        .unwrap();
    });
    let token = |issuer: &str, sub: &str| {
        let part = |value: &Value| base64url(value.to_string().as_bytes());
        let claims = json!({"iss": format!("https://id.{issuer}.example"), "aud": "heirloom", "sub": sub,
            "iat": NOW_S, "exp": NOW_S + 60});
        let signed = format!(
            "{}.{}",
            part(&json!({"alg": "EdDSA", "kid": "k"})),
            part(&claims)
        );
        format!(
            "{signed}.{}",
            base64url(key.sign(signed.as_bytes()).as_ref())
        )
    };
    let sign_in = |tenant: &str, jwt: String| {
        let sign_in = TokenSignIn {
            tenant: TenantName::new(tenant).unwrap(),
            jwt,
            name: None,
        };
        server.client().post("/v1/signin/token", &sign_in).unwrap()
    };
    let client = |answer: Answer| {
        assert_eq!(answer.status, 201, "{answer:?}");
        let SignedIn { token, .. } = answer.json();
        let mut client = server.client();
        client.token = Some(token);
        client
    };
    let one = client(sign_in("a", token("a", "user")));
    let again = client(sign_in("a", token("a", "user")));
    let other = client(sign_in("b", token("b", "user")));
    let neighbour = client(sign_in("a", token("a", "user2")));
    assert_eq!(account(&one), account(&again), "one account each");
    assert_ne!(account(&one), account(&other), "same subject, other tenant");
    assert_ne!(account(&one), account(&neighbour));
    let quota = |client: &Client| {
        let Account { quota_bytes, .. } = client.get("/v1/account").json();
        quota_bytes
    };
    assert_eq!((quota(&one), quota(&other)), (1000, 2000));
    assert_eq!(
        sign_in("b", token("a", "user")).problem().code,
        Code::NotLetIn
    );
    assert_eq!(
        sign_in("c", token("a", "user")).problem().code,
        Code::NotFound
    );
    // A passkey of the first tenant is for its page, and is none at the second.
    let passkey = saved(&one, 7);
    assert_eq!(
        (passkey.rp_id.as_str(), passkey.origin.as_str()),
        ("a.example", "https://a.example")
    );
    assert_eq!(
        tried(&server, &passkey, Some("b")).1.problem().code,
        Code::NotLetIn
    );
    assert_eq!(tried(&server, &passkey, Some("a")).1.status, 200);
    let start = SignInStart {
        tenant: TenantName::new("c"),
        challenge: VERIFIER.challenge(),
    };
    let answer = server.client().post("/v1/signin/start", &start).unwrap();
    assert_eq!(answer.problem().code, Code::NotFound);
    let folder = server.stop();
    for file in walk(&folder.path().join("data")) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(
            !contains(&bytes, b"user2"),
            "{} names a user",
            file.display()
        );
    }
}

#[test]
fn the_page_is_strict_and_holds_what_the_form_gave_and_nothing_else() {
    let server = start(|_| ());
    let client = server.client();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let id = Fixed([0xC5; 16]).to_text();
    let post = |body: &str| {
        client
            .send("POST", "/signin", &form, body.as_bytes())
            .unwrap()
    };
    let page = post(&format!("session={id}&port=40000&state={id}"));
    assert_eq!(page.status, 200, "{page:?}");
    let text = String::from_utf8(page.body.clone()).unwrap();
    assert!(text.contains(&format!("name=\"heirloom-session\" content=\"{id}\"")));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("trusted-types 'none'"));
    for bad in [
        String::new(),
        "session=1&port=40000&state=2".into(),
        format!("session={id}&port=80&state={id}"),
        format!("session={id}&port=70000&state={id}"),
        format!("session={id}&port=40000&state=%22%3E%3Cscript%3E"),
        format!("session={id}&port=40000&state={id}&more=1"),
        "x".repeat(300),
    ] {
        assert_eq!(post(&bad).status, 400, "{bad}");
    }
    let notice = client.send("GET", "/signin", &[], b"").unwrap();
    assert_eq!(notice.status, 200);
    for path in ["/signin.js", "/signin.css"] {
        assert!(
            client
                .send("GET", path, &[], b"")
                .unwrap()
                .header("content-security-policy")
                .is_some()
        );
    }
    server.stop();
}
