//! A keyring that passkeys open: the normative vectors of `testdata/vectors/keys/passkey.json`, the early
//! keyring beside it, and how long an opening takes.

use serde_json::{Value, json};

use super::vectors::{assert_file, hex, read, unhex};
use super::*;
use crate::{CredRandom, RunKey, prf_salt, seal_run_key};

const VECTOR_SEED: u64 = 0x7061_7373_6b65_7973;

/// One passkey of the vectors; its authenticator keeps SHA-256("passkey" ‖ number).
struct Vector {
    number: u8,
    name: &'static str,
    rp_id: &'static str,
    provider: Provider,
}

impl Vector {
    fn all() -> [Self; 3] {
        let provider = |aaguid, backup_eligible, backup_state| Provider {
            aaguid: [aaguid; 16],
            backup_eligible,
            backup_state,
        };
        [
            Self {
                number: 1,
                name: "phone",
                rp_id: "chat.example",
                provider: provider(0x11, true, true),
            },
            Self {
                number: 2,
                name: "security key",
                rp_id: "chat.example",
                provider: provider(0x22, false, false),
            },
            Self {
                number: 3,
                name: "to try it out",
                rp_id: "localhost",
                provider: provider(0, true, false),
            },
        ]
    }

    fn binding(&self) -> Passkey {
        Passkey {
            credential_id: crate::committed::sha256(&[self.number])[..20].to_vec(),
            rp_id: self.rp_id.into(),
            transports: vec!["hybrid".into(), "internal".into()],
        }
    }

    fn cred_random(&self) -> [u8; 32] {
        crate::committed::sha256(&[b"passkey".as_slice(), &[self.number]].concat())
    }

    fn output(&self, prf_input: &[u8; 32]) -> PrfOutput {
        let random = self.cred_random();
        let authenticator = CredRandom::filled(|bytes| bytes.copy_from_slice(&random));
        authenticator.output(&prf_salt(prf_input))
    }

    fn secret(&self, prf_input: &[u8; 32]) -> UnlockSecret {
        UnlockSecret::passkey(self.binding(), self.output(prf_input).try_into().unwrap())
    }
}

fn made() -> Value {
    let mut owner = Owner::new(VECTOR_SEED);
    let prf_input = *owner.unlocked.prf_input();
    let vectors = Vector::all();
    for vector in &vectors {
        let secret = vector.output(&prf_input).try_into().unwrap();
        owner.go(|unlocked, rng, act| {
            let slot = NewSlot {
                name: vector.name,
                method: Method::Passkey(vector.binding()),
                provider: Some(vector.provider),
                secret: &secret,
            };
            unlocked.add_slot(rng, act, slot)
        });
    }
    owner.prove(&vectors[0].secret(&prf_input));
    owner.go(Unlocked::record_proof);
    owner.prove(&vectors[1].secret(&prf_input));
    let phone = owner.slot(1);
    owner.go(|unlocked, rng, act| unlocked.rename_slot(rng, act, &phone, "the new phone"));
    owner.go(Unlocked::rotate);
    owner.go(Unlocked::plan_removal);
    let run_key = RunKey::generate(&mut owner.rng);
    let reader = owner.unlocked.reader_public();
    let repository = owner.unlocked.repository();
    let sealed = seal_run_key(&reader, &run_key, &mut owner.rng, &repository);
    let passkeys: Vec<_> = vectors
        .iter()
        .zip(&owner.unlocked.contents.slots[1..])
        .map(|(vector, slot)| {
            let binding = vector.binding();
            let output = vector.output(&prf_input);
            let secrets = slot.public.open(&repository, &output.try_into().unwrap());
            let secrets = secrets.unwrap();
            json!({
                "name": slot.name, "slot": hex(slot.public.id().as_bytes()),
                "credential_id": hex(&binding.credential_id), "rp_id": binding.rp_id,
                "transports": binding.transports, "proofs": slot.proofs,
                "aaguid": hex(&vector.provider.aaguid),
                "backup_eligible": vector.provider.backup_eligible,
                "backup_state": vector.provider.backup_state,
                "cred_random": hex(&vector.cred_random()),
                "prf_output": hex(vector.output(&prf_input).exposed()),
                "seed": hex(secrets.seed.exposed()), "auth_psk": hex(secrets.auth_psk.exposed()),
            })
        })
        .collect();
    let refused = |name, credential: &Vector, output: [u8; 32]| {
        let credential_id = hex(&credential.binding().credential_id);
        json!({ "name": name, "credential_id": credential_id, "prf_output": hex(&output) })
    };
    let output = |vector: &Vector| *vector.output(&prf_input).exposed();
    let hashed_twice = {
        let random = vectors[0].cred_random();
        let authenticator = CredRandom::filled(|bytes| bytes.copy_from_slice(&random));
        *authenticator
            .output(&prf_salt(&prf_salt(&prf_input)))
            .exposed()
    };
    let mut flipped = output(&vectors[0]);
    flipped[31] ^= 1;
    let refused = [
        refused("another passkey's output", &vectors[0], output(&vectors[1])),
        refused("one bit of the output differs", &vectors[0], flipped),
        refused("the input was hashed twice", &vectors[0], hashed_twice),
        refused("an output of zeros", &vectors[0], [0; 32]),
        json!({ "name": "a passkey without a slot", "credential_id": "00", "prf_output": hex(&output(&vectors[0])) }),
    ];
    json!({
        "comment": "docs/keyring.md, section 4.1. Test data: these secrets protect nothing.",
        "bytes": hex(&owner.bytes),
        "hash": hex(owner.unlocked.seen().hash.as_bytes()),
        "number": owner.unlocked.seen().number,
        "prf_input": hex(&prf_input),
        "prf_salt": hex(&prf_salt(&prf_input)),
        "passkeys": passkeys,
        "refused": refused,
        "removal_due_ms": owner.unlocked.removal_due_ms(),
        "run_key": hex(run_key.expose_secret()),
        "sealed_run_key": hex(&sealed),
    })
}

#[test]
fn the_passkey_vectors_are_what_is_made_today() {
    assert_file("passkey.json", &made());
}

#[test]
fn the_passkey_vectors_open_and_are_refused_as_they_say() {
    let file = read("passkey.json");
    let locked = LockedKeyring::parse(&unhex(&file["bytes"])).unwrap();
    let open = |vector: &Value| {
        let id = unhex(&vector["credential_id"]);
        let slot = locked.slots().iter().find_map(|slot| match slot.method() {
            Method::Passkey(passkey) if passkey.credential_id == id => Some(passkey.clone()),
            _ => None,
        });
        let output = unhex(&vector["prf_output"]);
        let output = PrfOutput::filled(|bytes| bytes.copy_from_slice(&output));
        let secret = output.try_into().ok()?;
        locked.unlock(&UnlockSecret::passkey(slot?, secret)).ok()
    };
    for vector in file["passkeys"].as_array().unwrap() {
        let opened = open(vector).unwrap();
        let run_key = opened
            .open_run_key(&unhex(&file["sealed_run_key"]))
            .unwrap();
        assert_eq!(run_key.expose_secret().as_slice(), unhex(&file["run_key"]));
        assert_eq!(opened.removal_due_ms(), file["removal_due_ms"].as_i64());
        let slots = opened.slots();
        let slot = slots
            .iter()
            .find(|slot| Some(slot.id) == opened.opened_with());
        assert_eq!(slot.unwrap().name, vector["name"].as_str().unwrap());
    }
    let refused = file["refused"].as_array().unwrap();
    assert!(refused.len() > 4);
    for vector in refused {
        assert!(open(vector).is_none(), "{}", vector["name"]);
    }
}

/// Made before proofs were counted and a removal could be planned; never made again.
#[test]
fn an_early_keyring_opens_and_goes_on() {
    let file = read("keyring-early.json");
    let text = file["recovery_key"].as_str().unwrap();
    let crate::RecoveryEntry::Exact(recovery) = RecoveryKey::parse(text) else {
        panic!()
    };
    let vector = &file["keyring"];
    let bytes = unhex(&vector["bytes"]);
    let opened = open(&bytes, &UnlockSecret::recovery_key(&recovery)).unwrap();
    assert_eq!(
        opened.seen().hash.as_bytes().as_slice(),
        unhex(&vector["hash"])
    );
    assert_eq!(opened.removal_due_ms(), None);
    let device = &file["device"];
    let credential = DeviceCredential::from_bytes(&unhex(&device["credential"])).unwrap();
    let held = crate::WriterCredentials::from_bytes(&unhex(&device["writer_credentials"]));
    let held = held.unwrap();
    assert_eq!(held.removal_due_ms, None);
    let locked = LockedKeyring::parse(&bytes).unwrap();
    let again = locked.open_device_slot(&credential, &held).unwrap();
    assert_eq!(again.removal_due_ms, None);
    let act = Act {
        device: credential.device(),
        now_ms: NOW,
    };
    let next = opened.plan_removal(&mut TestRng::new(1), act).unwrap();
    let next = LockedKeyring::parse(&next.bytes).unwrap();
    let told = next.open_device_slot(&credential, &again).unwrap();
    assert_eq!(told.removal_due_ms, Some(NOW + crate::REMOVAL_DELAY_MS));
}

/// What a person waits for after the fingerprint, of our own work. Printed, not asserted: a computer may
/// be busy.
#[test]
fn from_a_passkeys_output_to_an_open_keyring_takes_little() {
    let file = read("passkey.json");
    let (small, prf_input) = (unhex(&file["bytes"]), unhex(&file["prf_input"]));
    let mut owner = Owner::new(VECTOR_SEED);
    assert_eq!(owner.unlocked.prf_input().as_slice(), prf_input);
    let phone = &Vector::all()[0];
    let secret = phone.output(owner.unlocked.prf_input()).try_into().unwrap();
    let mut contents = owner.unlocked.contents.duplicate();
    let slot = NewSlot {
        name: phone.name,
        method: Method::Passkey(phone.binding()),
        provider: Some(phone.provider),
        secret: &secret,
    };
    contents.enrol(&mut owner.rng, NOW, slot).unwrap();
    for id in 1..31 {
        let secret = prf(id);
        contents
            .enrol(&mut owner.rng, NOW, passkey_slot(id, &secret))
            .unwrap();
    }
    for at in 0..10_000 {
        contents.happen(crate::events::Happening {
            time_ms: NOW + at,
            device: owner.credential.device(),
            kind: crate::EventKind::Seen,
            subject: vec![],
        });
    }
    owner.unlocked.contents = contents;
    owner.go(Unlocked::record_seen);
    for (what, bytes) in [
        ("small", &small),
        ("32 ways in, 10,000 events", &owner.bytes),
    ] {
        let took = (0..5).map(|_| {
            let output = phone.output(owner.unlocked.prf_input());
            let id = phone.binding().credential_id;
            let started = std::time::Instant::now();
            crate::open_with_passkey(bytes, &id, output).unwrap();
            started.elapsed()
        });
        let best = took.min().unwrap();
        println!("from a passkey's output to an open keyring, {what}: {best:?}");
    }
}
