//! The normative vectors in `testdata/vectors/keys`: made here, and read back as anyone would.
//!
//! `HEIRLOOM_WRITE_VECTORS=1` rewrites them; review accepts.

use std::path::PathBuf;

use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::{RecoveryEntry, RunKey, RunKeyError, seal_run_key};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/vectors/keys")
        .join(name)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

pub(super) fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(super) fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap()
}

#[track_caller]
pub(super) fn assert_file(name: &str, made: &Value) {
    if std::env::var_os("HEIRLOOM_WRITE_VECTORS").is_some_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(made).unwrap() + "\n";
        std::fs::write(path(name), text).unwrap();
    }
    assert!(read(name) == *made, "{name} differs from what is made now");
}

/// One keyring with every secret that leads to it or that it leads to.
fn described(name: &str, owner: &mut Owner, secrets: &[(&str, Vec<u8>)]) -> Value {
    let unlocked = &owner.unlocked;
    let contents = &unlocked.contents;
    let (repository, epoch) = (unlocked.repository(), contents.current());
    let run_key = RunKey::generate(&mut owner.rng);
    let sealed = seal_run_key(
        &unlocked.reader_public(),
        &run_key,
        &mut owner.rng,
        &repository,
    );
    let epoch_of =
        |epoch: &Epoch| json!({ "number": epoch.number, "root": hex(epoch.root.exposed()) });
    let slots: Vec<_> = contents
        .slots
        .iter()
        .zip(secrets)
        .map(|(slot, (method, secret))| {
            let opened = UnlockSecretOf(method, secret).open(unlocked, slot);
            json!({
                "id": hex(slot.public.id().as_bytes()), "method": method, "name": slot.name, "secret": hex(secret),
                "seed": hex(opened.seed.exposed()), "auth_psk": hex(opened.auth_psk.exposed()),
                "public_key": hex(&slot.key.to_bytes()),
            })
        })
        .collect();
    let device = owner.credential.device();
    json!({
        "name": name,
        "expect": "opens",
        "bytes": hex(&owner.bytes),
        "hash": hex(unlocked.seen().hash.as_bytes()),
        "repository": hex(repository.as_bytes()),
        "number": unlocked.seen().number,
        "events": unlocked.seen().events,
        "epochs": contents.epochs.iter().map(epoch_of).collect::<Vec<_>>(),
        "reader_seed": hex(epoch.reader(&repository).exposed()),
        "reader_public": hex(&unlocked.reader_public().key.to_bytes()),
        "chunk_id_key": hex(unlocked.chunk_id_key().expose_secret()),
        "prf_input": hex(unlocked.prf_input()),
        "slots": slots,
        "device": {
            "id": hex(device.as_bytes()),
            "credential": hex(owner.credential.expose_bytes().expose_secret()),
            "writer_key": hex(unlocked.writer_key(&device).expose_secret()),
            "writer_credentials": hex(&unlocked.writer_credentials(&device).unwrap().expose_bytes_for_test()),
        },
        "run_key": hex(run_key.expose_secret()),
        "sealed_run_key": hex(&sealed),
    })
}

/// The secret of one slot, by the name that the vectors give its method.
struct UnlockSecretOf<'a>(&'a str, &'a [u8]);

impl UnlockSecretOf<'_> {
    fn open(
        &self,
        unlocked: &Unlocked,
        slot: &super::super::contents::Slot,
    ) -> crate::slot::SlotSecrets {
        let secret = match self.0 {
            "passkey" => PrfOutput::filled(|bytes| bytes.copy_from_slice(self.1))
                .try_into()
                .unwrap(),
            _ => HighEntropySecret::from(&recovery_from(self.1)),
        };
        slot.public.open(&unlocked.repository(), &secret).unwrap()
    }
}

fn recovery_from(secret: &[u8]) -> RecoveryKey {
    let mut rng = TestRng::new(VECTOR_SEED);
    let key = RecoveryKey::generate(&mut rng);
    assert_eq!(key.exposed().as_slice(), secret);
    key
}

const VECTOR_SEED: u64 = 0x6865_6972_6c6f_6f6d;

fn made() -> Value {
    let mut owner = Owner::new(VECTOR_SEED);
    let recovery = ("recovery key", owner.recovery.exposed().to_vec());
    let secrets = [recovery, ("passkey", vec![1; 32])];
    let first_bytes = owner.bytes.clone();
    let first = described(
        "the first keyring, with a recovery key",
        &mut owner,
        &secrets,
    );
    owner.go(|unlocked, rng, act| unlocked.add_slot(rng, act, passkey_slot(1, &prf(1))));
    let second = described("a passkey was added", &mut owner, &secrets);
    let second_bytes = owner.bytes.clone();
    let fork = owner.change(Unlocked::rotate).unwrap().unlocked;
    owner.go(Unlocked::rotate);
    let third = described("the root was rotated", &mut owner, &secrets);
    owner.go(|unlocked, rng, act| unlocked.merge_fork(&fork, rng, act));
    let merged = described("two successors were merged", &mut owner, &secrets);

    let flipped = |at: usize| {
        let mut bytes = first_bytes.clone();
        bytes[at] ^= 1;
        hex(&bytes)
    };
    let len = first_bytes.len();
    let header_len =
        usize::try_from(u32::from_be_bytes(first_bytes[10..14].try_into().unwrap())).unwrap();
    let not_canonical = {
        let header = [&first_bytes[14..14 + header_len], &[0x78, 0x01]].concat();
        let header_bytes = u32::try_from(header.len()).unwrap().to_be_bytes();
        [
            &first_bytes[..10],
            &header_bytes,
            &header,
            &first_bytes[14 + header_len..],
        ]
        .concat()
    };
    let spliced = [
        &second_bytes[..second_bytes.len() - 32],
        &first_bytes[len - 32..],
    ]
    .concat();
    let refused = json!([
        { "name": "another magic", "expect": "not a keyring", "bytes": flipped(0) },
        { "name": "version 0", "expect": "malformed", "bytes": flipped(9) },
        { "name": "version 257", "expect": "too new", "bytes": flipped(8) },
        { "name": "cut off", "expect": "malformed", "bytes": hex(&first_bytes[..100]) },
        { "name": "an unknown field in the header", "expect": "malformed", "bytes": hex(&not_canonical) },
        { "name": "another PRF input", "expect": "not authentic",
          "bytes": flipped(first_bytes.windows(32).position(|window| window == owner.unlocked.prf_input()).unwrap()) },
        { "name": "another commitment of the sealed part", "expect": "not authentic", "bytes": flipped(14 + header_len) },
        { "name": "another tag of the sealed part", "expect": "not authentic", "bytes": flipped(len - 33) },
        { "name": "another succession MAC", "expect": "not authentic", "bytes": flipped(len - 1) },
        { "name": "the succession MAC of another keyring", "expect": "not authentic", "bytes": hex(&spliced) },
    ]);
    json!({
        "comment": "docs/keyring.md. Test data: these secrets protect nothing.",
        "recovery_key": owner.recovery.expose_groups().expose_secret(),
        "keyrings": [first, second, third, merged],
        "refused": refused,
    })
}

#[test]
fn the_keyring_vectors_are_what_is_made_today() {
    assert_file("keyring.json", &made());
}

#[test]
fn the_keyring_vectors_open_and_are_refused_as_they_say() {
    let file = read("keyring.json");
    let RecoveryEntry::Exact(recovery) = RecoveryKey::parse(file["recovery_key"].as_str().unwrap())
    else {
        panic!()
    };
    let secret = UnlockSecret::recovery_key(&recovery);
    let mut before: Option<Unlocked> = None;
    for vector in file["keyrings"].as_array().unwrap() {
        let locked = LockedKeyring::parse(&unhex(&vector["bytes"])).unwrap();
        let opened = locked.unlock(&secret).unwrap();
        assert_eq!(locked.hash().as_bytes().as_slice(), unhex(&vector["hash"]));
        let root = opened.contents.current().root.exposed();
        assert_eq!(root.as_slice(), unhex(&vector["epochs"][0]["root"]));
        let run_key = opened
            .open_run_key(&unhex(&vector["sealed_run_key"]))
            .unwrap();
        assert_eq!(
            run_key.expose_secret().as_slice(),
            unhex(&vector["run_key"])
        );
        assert_eq!(opened.seen().events, vector["events"].as_u64().unwrap());
        if let Some(before) = before {
            assert_eq!(crate::verify_successor(&before, &locked), Ok(()));
            // An earlier keyring does not know a later epoch.
            let outcome = before.open_run_key(&unhex(&vector["sealed_run_key"]));
            assert!(
                opened.contents.epochs.len() == before.contents.epochs.len()
                    || matches!(outcome, Err(RunKeyError::UnknownEpoch { .. }))
            );
        }
        before = Some(opened);
    }
    for vector in file["refused"].as_array().unwrap() {
        let outcome = match LockedKeyring::parse(&unhex(&vector["bytes"])) {
            Err(KeyringError::NotAKeyring) => "not a keyring",
            Err(KeyringError::TooNew { .. }) => "too new",
            Err(_) => "malformed",
            Ok(locked) => match locked.unlock(&secret).unwrap_err() {
                OpenError::NotAuthentic => "not authentic",
                other => panic!("{other}"),
            },
        };
        assert_eq!(outcome, vector["expect"], "{}", vector["name"]);
    }
}

#[test]
fn the_recovery_key_vectors_read_as_they_say() {
    let key = RecoveryKey::generate(&mut TestRng::new(VECTOR_SEED));
    let groups = key.expose_groups();
    let text = groups.expose_secret();
    let wrong = |groups: &[(usize, u16)]| {
        let mut all: Vec<_> = text
            .split(' ')
            .map(|group| u16::from_str_radix(group, 16).unwrap())
            .collect();
        for (index, difference) in groups {
            all[*index] ^= difference;
        }
        all.iter()
            .map(|group| hex(&group.to_be_bytes()))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let typed = [
        text.to_owned(),
        text.to_uppercase().replace(' ', "-"),
        text.replace('0', "O").replace('1', "l"),
        wrong(&[(0, 0x0001)]),
        wrong(&[(7, 0xffff)]),
        wrong(&[(13, 0x8000)]),
        wrong(&[(14, 0x1234)]),
        wrong(&[(15, 0x0100)]),
        wrong(&[(0, 1), (1, 1)]),
        wrong(&[(3, 0x0f0f), (15, 0x0f0e)]),
        text[..78].to_owned(),
        format!("{text}0"),
        text.replacen(' ', "x", 1),
        "0".repeat(64),
    ];
    let made: Vec<_> = typed
        .iter()
        .map(|text| {
            let (expect, group, secret) = match RecoveryKey::parse(text) {
                RecoveryEntry::Exact(key) => ("exact", None, Some(key)),
                RecoveryEntry::MendedCandidate { group, key } => ("candidate", Some(group), Some(key)),
                RecoveryEntry::TooManyWrong => ("too many wrong", None, None),
                RecoveryEntry::BadLength { .. } => ("bad length", None, None),
                RecoveryEntry::BadCharacter { .. } => ("bad character", None, None),
            };
            json!({ "typed": text, "expect": expect, "group": group, "secret": secret.map(|key| hex(key.exposed())) })
        })
        .collect();
    assert_file("recovery-key.json", &json!(made));
    let expected: Vec<_> = made
        .iter()
        .map(|vector| vector["expect"].as_str().unwrap())
        .collect();
    assert_eq!(
        expected,
        [
            "exact",
            "exact",
            "exact",
            "candidate",
            "candidate",
            "candidate",
            "candidate",
            "candidate",
            "too many wrong",
            "too many wrong",
            "bad length",
            "bad length",
            "bad character",
            "too many wrong",
        ]
    );
}

#[test]
fn the_vectors_of_the_x_wing_draft_are_met() {
    let file = read("x-wing-draft.json");
    let vectors = file.as_array().unwrap();
    assert!(vectors.len() >= 3);
    for vector in vectors {
        let seed = crate::kem::KeyPair::new(Secret32::from_slice(&unhex(&vector["sk"])).unwrap());
        assert_eq!(seed.public().to_bytes(), unhex(&vector["pk"]));
        assert_eq!(
            seed.shared_for_test(&unhex(&vector["ct"])),
            unhex(&vector["ss"])
        );
        let key = crate::kem::PublicKey::from_slice(&unhex(&vector["pk"])).unwrap();
        let (ct, ss) = key.encapsulate_for_test(&unhex(&vector["eseed"]));
        assert_eq!((ct, ss), (unhex(&vector["ct"]), unhex(&vector["ss"])));
    }
}
