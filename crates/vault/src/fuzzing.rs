//! Everything that a stranger's bytes are read by, for a fuzz target and the replay of its seeds. Not an interface.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, header};
use heirloom_vault_api::{
    Activate, ApprovalAnswer, ApprovalAsk, ApprovalCommit, ApprovalEnd, ApprovalJoin,
    ApprovalReply, ApprovalReveal, ApprovalStart, AskOffers, Assertion, BlobName, BlobRestore,
    Bytes, ChangeOwner, ElsewhereStart, Fixed, Forget, GuessStart, HandoverAnswer, HandoverAsk,
    HandoverEnd, HandoverFind, HandoverLook, HandoverStart, HandoverWait, LogRead, PageAnswer,
    PageSession, Proof, RegistrationFinish, RegistrationStart, SignIn, SignInFinish, SignInStart,
    StatusRead, TokenSignIn, UploadStart, WitnessPut, WitnessRead, base64url,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::accounts::{Site, messenger, passkey};
use crate::config::file::ConfigFile;
use crate::config::proxies::{ForwardedHeader, Proxies};
use crate::http::reading;
use crate::store::passkey::Stored;

/// How many kinds of bytes there are; the first byte says which one.
pub const KINDS: u8 = 48;

/// Bodies of requests: each kind's number and type, and all types by name.
macro_rules! bodies {
    ($($kind:literal => $body:ident),* $(,)?) => {
        fn a_body(kind: u8, bytes: &[u8]) -> Option<bool> {
            match kind {
                $($kind => Some(body::<$body>(bytes)),)*
                _ => None,
            }
        }

        /// For the test that none of the document's bodies is missing.
        #[cfg(test)]
        const BODIES: &[&str] = &[$(stringify!($body)),*];
    };
}

bodies! {
    0 => GuessStart,
    1 => Proof,
    2 => RegistrationStart,
    3 => RegistrationFinish,
    4 => Activate,
    5 => ChangeOwner,
    6 => Forget,
    7 => StatusRead,
    8 => LogRead,
    9 => WitnessPut,
    10 => WitnessRead,
    11 => SignIn,
    19 => PageSession,
    20 => SignInStart,
    21 => PageAnswer,
    22 => SignInFinish,
    23 => TokenSignIn,
    24 => ApprovalStart,
    25 => ApprovalCommit,
    26 => ApprovalJoin,
    27 => ApprovalAsk,
    28 => ApprovalAnswer,
    29 => ApprovalReveal,
    30 => ApprovalEnd,
    31 => UploadStart,
    32 => BlobRestore,
    33 => AskOffers,
    39 => HandoverStart,
    40 => HandoverAsk,
    41 => HandoverWait,
    42 => HandoverEnd,
    43 => HandoverLook,
    44 => HandoverAnswer,
    45 => HandoverFind,
    46 => ApprovalReply,
    47 => ElsewhereStart,
}

/// Reads `bytes` as the kind that their first byte names; whether they were taken.
pub fn request(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else {
        return false;
    };
    let kind = kind % KINDS;
    if let Some(taken) = a_body(kind, rest) {
        return taken;
    }
    match kind {
        12 => blob_name(rest),
        13 => range(rest),
        14 => client(rest, ForwardedHeader::XForwardedFor),
        15 => client(rest, ForwardedHeader::Forwarded),
        16 => one_header(rest, header::AUTHORIZATION.as_str(), |headers| {
            reading::is_token(headers)
        }),
        17 => one_header(rest, "idempotency-key", reading::is_key),
        34 => reading::is_form(rest),
        35 => std::str::from_utf8(rest).is_ok_and(messenger::is_read),
        36 => attested(rest),
        37 => asserted(rest),
        38 => one_header(rest, "upload-offset", reading::is_offset),
        _ => std::str::from_utf8(rest)
            .is_ok_and(|text| ConfigFile::parse(text, std::path::Path::new("")).is_ok()),
    }
}

/// Of every passkey here.
const CHALLENGE: Fixed<32> = Fixed([0x63; 32]);
const CREDENTIAL: &[u8] = &[0xC4; 16];

fn site() -> Site {
    Site {
        rp_id: "localhost".to_owned(),
        rp_name: "Heirloom".to_owned(),
        origins: vec!["http://localhost:8080".to_owned()],
    }
}

fn client_data(kind: &str) -> Vec<u8> {
    let challenge = base64url(CHALLENGE.as_bytes());
    let text = format!(
        r#"{{"type":"webauthn.{kind}","challenge":"{challenge}","origin":"http://localhost:8080","crossOrigin":false}}"#
    );
    text.into_bytes()
}

/// An attestation object, as the page sends one.
fn attested(bytes: &[u8]) -> bool {
    let made = passkey::registered(
        &site(),
        &CHALLENGE,
        CREDENTIAL,
        &client_data("create"),
        bytes,
        &[],
    );
    made.is_ok()
}

/// A signature, one byte before it for its length, and the authenticator data behind it; the key is 1.
fn asserted(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first() else {
        return false;
    };
    let Some((signature, data)) = rest.split_at_checked(usize::from(*length)) else {
        return false;
    };
    let handle = Fixed([0x68; 32]);
    let (Some(authenticator_data), Some(signature), Some(user_handle)) = (
        Bytes::new(data.to_vec()),
        Bytes::new(signature.to_vec()),
        Bytes::new(handle.as_bytes().to_vec()),
    ) else {
        return false;
    };
    let assertion = Assertion {
        authenticator_data,
        signature,
        user_handle,
    };
    let stored = Stored {
        account: Fixed([1; 16]),
        handle,
        public_key: PUBLIC_KEY.to_vec(),
        counter: 0,
        eligible: true,
    };
    let signed = passkey::signed(
        &site(),
        &CHALLENGE,
        CREDENTIAL,
        &client_data("get"),
        &assertion,
        &stored,
    );
    signed.is_ok()
}

/// `COSE_Key` of the generator of P-256.
const PUBLIC_KEY: &[u8; 77] = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
    \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x22\x58\x20\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
    \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

/// What was read is written and read again as the same.
fn body<T: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) -> bool {
    let Some(value) = reading::body::<T>(bytes) else {
        return false;
    };
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    assert_eq!(
        reading::body::<T>(&written).expect("what was written can be read"),
        value
    );
    true
}

fn blob_name(bytes: &[u8]) -> bool {
    let Ok(text) = String::from_utf8(bytes.to_vec()) else {
        return false;
    };
    let Ok(name) = BlobName::try_from(text) else {
        return false;
    };
    let name = name.as_str();
    // A part may hold dots, but be none: `a..` is a name as any other.
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.');
    assert!(name.len() <= 200 && name.split('/').all(is_plain));
    true
}

fn range(bytes: &[u8]) -> bool {
    let (size, text) = bytes.split_at(bytes.len().min(8));
    let size = size
        .iter()
        .fold(0_u64, |size, byte| size << 8 | u64::from(*byte));
    let Ok(value) = HeaderValue::from_bytes(text) else {
        return false;
    };
    let Some((first, length)) = reading::range(&value, size) else {
        return false;
    };
    assert!(length > 0 && first.checked_add(length).is_some_and(|end| end <= size));
    true
}

fn one_header(bytes: &[u8], name: &'static str, taken: impl Fn(&HeaderMap) -> bool) -> bool {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n').take(8) {
        let Ok(value) = HeaderValue::from_bytes(line) else {
            return false;
        };
        headers.append(name, value);
    }
    taken(&headers)
}

/// Nobody is who asks but the peer itself, unless a proxy that is trusted says so.
fn client(bytes: &[u8], header: ForwardedHeader) -> bool {
    let name = match header {
        ForwardedHeader::XForwardedFor => "x-forwarded-for",
        ForwardedHeader::Forwarded => "forwarded",
    };
    let proxy = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let trusted = "127.0.0.0/8".parse().expect("a network");
    one_header(bytes, name, |headers| {
        let proxies = Proxies {
            trusted: vec![trusted],
            header,
        };
        let stranger = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
        assert_eq!(proxies.client(stranger, headers), stranger);
        proxies.client(proxy, headers) != proxy
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fuzz_corpus_every_request_is_replayed() {
        let seeds =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/vault_request");
        let mut kinds = std::collections::BTreeSet::new();
        for seed in std::fs::read_dir(seeds).unwrap() {
            let seed = seed.unwrap();
            let bytes = std::fs::read(seed.path()).unwrap();
            let taken = request(&bytes);
            let name = seed.file_name().into_string().unwrap();
            assert_eq!(taken, !name.starts_with("not-"), "{name}");
            if taken {
                kinds.insert(bytes[0] % KINDS);
            }
        }
        assert_eq!(kinds.len(), usize::from(KINDS), "{kinds:?}");
    }

    /// "A fuzz target for every request body": also for one that is added later.
    #[test]
    fn every_json_body_of_the_openapi_document_has_a_kind() {
        // Another test says that it is what the code says.
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let document: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut missing = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for operation in operations.as_object().unwrap().values() {
                let json = &operation["requestBody"]["content"]["application/json"];
                let Some(to) = json["schema"]["$ref"].as_str() else {
                    continue;
                };
                let name = to.rsplit('/').next().unwrap();
                if !BODIES.contains(&name) {
                    missing.push(format!("{path}: {name}"));
                }
            }
        }
        assert!(
            missing.is_empty(),
            "fuzzing.rs, bodies!: {missing:?} (a kind and a seed each)"
        );
    }
}
