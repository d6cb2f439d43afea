//! Everything that a stranger's bytes are read by, for a fuzz target and the replay of its seeds. Not an interface.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue, header};
use heirloom_vault_api::{
    Activate, BlobName, ChangeOwner, Forget, GuessStart, LogRead, Proof, RegistrationFinish,
    RegistrationStart, SignIn, StatusRead, WitnessPut, WitnessRead,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::file::ConfigFile;
use crate::config::proxies::{ForwardedHeader, Proxies};
use crate::http::reading;

/// How many kinds of bytes there are; the first byte says which one.
pub const KINDS: u8 = 19;

/// Reads `bytes` as the kind that their first byte names; whether they were taken.
pub fn request(bytes: &[u8]) -> bool {
    let Some((kind, rest)) = bytes.split_first() else {
        return false;
    };
    match kind % KINDS {
        0 => body::<GuessStart>(rest),
        1 => body::<Proof>(rest),
        2 => body::<RegistrationStart>(rest),
        3 => body::<RegistrationFinish>(rest),
        4 => body::<Activate>(rest),
        5 => body::<ChangeOwner>(rest),
        6 => body::<Forget>(rest),
        7 => body::<StatusRead>(rest),
        8 => body::<LogRead>(rest),
        9 => body::<WitnessPut>(rest),
        10 => body::<WitnessRead>(rest),
        11 => body::<SignIn>(rest),
        12 => blob_name(rest),
        13 => range(rest),
        14 => client(rest, ForwardedHeader::XForwardedFor),
        15 => client(rest, ForwardedHeader::Forwarded),
        16 => one_header(rest, header::AUTHORIZATION.as_str(), |headers| {
            reading::is_token(headers)
        }),
        17 => one_header(rest, "idempotency-key", reading::is_key),
        _ => std::str::from_utf8(rest)
            .is_ok_and(|text| ConfigFile::parse(text, std::path::Path::new("")).is_ok()),
    }
}

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
    assert!(name.len() <= 200 && !name.starts_with('/') && !name.contains(".."));
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
}
