//! What a computer keeps for itself and what it asks an owner for, for a fuzz target and the replay of its seeds.
//! Not an interface.

use std::sync::LazyLock;

use secrecy::ExposeSecret as _;

use crate::testing::TestRng;
use crate::{
    Act, Admission, CreateParams, DeviceCredential, DeviceWay, Keyring, LockedKeyring, RecoveryKey,
    UnlockSecret, Unlocked, verify_successor,
};

const NOW: i64 = 1_790_000_000_000;

/// A backup with one way in and one computer.
struct Owner {
    recovery: RecoveryKey,
    unlocked: Unlocked,
    act: Act,
}

static OWNER: LazyLock<Owner> = LazyLock::new(|| {
    let mut rng = TestRng::new(0x6675_7A7A);
    let recovery = RecoveryKey::generate(&mut rng);
    let params = CreateParams {
        device_name: "laptop",
        recovery: &recovery,
        recovery_name: "in the safe",
    };
    let (_, unlocked, credential) =
        Keyring::create(&mut rng, NOW, &params).expect("its names are short");
    let act = Act {
        device: credential.device(),
        now_ms: NOW + 1,
    };
    Owner {
        recovery,
        unlocked,
        act,
    }
});

/// Reads bytes as a computer's own file or as what it asks for, as the first byte says; whether they were taken.
///
/// What is taken reads the same when it is written again. What is asked for is answered: however it was made, the
/// owner still opens what comes of it, and there is one way in more.
///
/// # Panics
/// When that is not so.
pub fn admission(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        Some((0, file)) => DeviceWay::from_bytes(file).is_ok_and(|way| {
            assert_eq!(way.expose_bytes().expose_secret(), file);
            let _ = way.unlock_secret();
            true
        }),
        Some((_, asked)) => Admission::from_bytes(asked).is_ok_and(|admission| {
            assert_eq!(admission.expose_bytes().expose_secret(), asked);
            answered(&admission)
        }),
        None => false,
    }
}

fn answered(admission: &Admission) -> bool {
    let Owner {
        recovery,
        unlocked,
        act,
    } = &*OWNER;
    let Ok(made) = unlocked.admit(&mut TestRng::new(1), *act, "phone", admission) else {
        return false;
    };
    let locked = LockedKeyring::parse(&made.bytes).expect("what an owner makes is a keyring");
    assert_eq!(verify_successor(unlocked, &locked), Ok(()));
    let opened = locked.unlock(&UnlockSecret::recovery_key(recovery));
    let opened = opened.expect("the owner is not locked out");
    assert_eq!(opened.slots().len(), 2);
    assert_eq!(opened.devices().len(), 2);
    // Who asks cannot take the owner's place.
    assert_eq!(opened.slots()[0].id, unlocked.slots()[0].id);
    assert_eq!(opened.devices()[0].id, act.device);
    true
}

/// What a fuzzer begins with, by name: a computer's file, and what that computer asks this owner for.
pub fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut rng = TestRng::new(0x7365_6564);
    let credential = DeviceCredential::generate(&mut rng, OWNER.unlocked.repository());
    let way = DeviceWay::generate(&mut rng, &credential);
    let asked = way
        .ask(&mut rng, &credential)
        .expect("it is this computer's");
    let seed = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    vec![
        ("way", seed(0, way.expose_bytes().expose_secret())),
        ("asks", seed(1, asked.expose_bytes().expose_secret())),
    ]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn fuzz_corpus_every_admission_is_replayed() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/admission");
        // `HEIRLOOM_WRITE_SEEDS=1` makes them anew.
        if std::env::var_os("HEIRLOOM_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            for (name, seed) in seeds() {
                std::fs::write(folder.join(name), seed).unwrap();
            }
        }
        for (name, seed) in seeds() {
            assert!(admission(&seed), "{name}");
            assert_eq!(std::fs::read(folder.join(name)).unwrap(), seed, "{name}");
        }
        for file in std::fs::read_dir(folder).unwrap() {
            admission(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn a_request_with_any_byte_changed_is_refused_or_locks_nobody_out() {
        let (_, seed) = seeds()
            .into_iter()
            .find(|(name, _)| *name == "asks")
            .unwrap();
        let is_taken = |at: usize, bit: u8| {
            let mut bytes = seed.clone();
            bytes[at] ^= 1 << bit;
            admission(&bytes)
        };
        // Its kind, its first words and the backup that it names; a few of the rest, keys included.
        assert!((1..27).all(|at| !is_taken(at, 0)));
        let taken = (27..seed.len()).step_by(101).filter(|at| is_taken(*at, 3));
        assert!(
            taken.count() > 0,
            "a way that opens nothing is its own loss"
        );
    }
}
