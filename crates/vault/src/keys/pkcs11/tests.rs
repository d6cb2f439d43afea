use std::path::Path;
use std::process::Command;

use heirloom_vault_api::Fixed;

use super::*;
use crate::vault::rng;

const CHILD: &str = "HEIRLOOM_SOFTHSM_FOLDER";

fn module() -> Option<PathBuf> {
    [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/softhsm/libsofthsm.so",
    ]
    .into_iter()
    .map(PathBuf::from)
    .find(|path| path.exists())
}

/// The module reads its configuration from the environment: this test asks itself, as another process.
#[test]
fn a_value_sealed_by_an_hsm_opens_there_alone_and_its_key_stays_inside() {
    if let Some(folder) = std::env::var_os(CHILD) {
        return inside(Path::new(&folder));
    }
    if module().is_none() {
        println!("skipped: SoftHSM is absent");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    std::fs::create_dir(&tokens).unwrap();
    let settings = folder.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&settings, text).unwrap();
    for label in ["vault", "other"] {
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--so-pin",
                "12345678",
                "--pin",
                "1234",
                "--label",
                label,
            ])
            .env("SOFTHSM2_CONF", &settings)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }
    let name =
        "keys::pkcs11::tests::a_value_sealed_by_an_hsm_opens_there_alone_and_its_key_stays_inside";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, folder.path())
        .env("SOFTHSM2_CONF", &settings)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8_lossy(&output.stdout).contains("looked inside"));
}

fn inside(folder: &Path) {
    let pin_file = folder.join("pin");
    std::fs::write(&pin_file, "1234\n").unwrap();
    let hsm = |token: &str| Pkcs11 {
        module: module().unwrap(),
        token: token.to_owned(),
        pin_file: pin_file.clone(),
    };
    let file = || KeyFile::open_or_create(&folder.join("keys"), &mut rng()).unwrap();
    let keys = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
    let (one, two) = (Fixed([1; 16]), Fixed([2; 16]));
    let place = |record| Place {
        column: "vault_record.sealed",
        record,
        version: 1,
    };
    let sealed = keys.seal(&place(&one), b"oprf").unwrap();
    assert_eq!(*keys.open(&place(&one), &sealed).unwrap(), b"oprf");
    assert!(keys.open(&place(&two), &sealed).is_err());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(keys.open(&place(&one), &altered).is_err(), "{at}");
    }
    // Neither the key file nor another token opens it; the same one does, found by its label.
    assert!(file().open(&place(&one), &sealed).is_err());
    let other = Pkcs11Keys::open(&hsm("other"), file()).unwrap();
    assert!(other.open(&place(&one), &sealed).is_err());
    let again = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
    assert_eq!(*again.open(&place(&one), &sealed).unwrap(), b"oprf");
    let missing = Pkcs11Keys::open(&hsm("missing"), file());
    assert!(matches!(missing, Err(Pkcs11Error::NoToken)));

    // Another wrapping key, also after a restart in between; then the old one goes.
    keys.rotate().unwrap();
    let newer = keys.seal(&place(&one), b"newer").unwrap();
    assert!(matches!(keys.rotate(), Err(RotateError::Several(2))));
    let again = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
    for keys in [&keys, &again] {
        assert_eq!(keys.wrapping_keys(), 2);
        assert_eq!(*keys.open(&place(&one), &sealed).unwrap(), b"oprf");
        assert_eq!(*keys.open(&place(&one), &newer).unwrap(), b"newer");
        assert!(!keys.is_newest(&place(&one), &sealed));
        assert!(keys.is_newest(&place(&one), &newer));
    }
    keys.retire().unwrap();
    let again = Pkcs11Keys::open(&hsm("vault"), file()).unwrap();
    for keys in [&keys, &again] {
        assert_eq!(keys.wrapping_keys(), 1);
        assert!(keys.open(&place(&one), &sealed).is_err());
        assert_eq!(*keys.open(&place(&one), &newer).unwrap(), b"newer");
    }

    // The log-in is lost, for all sessions of a process: the next call has another one, whatever it asks.
    let lose = || {
        let (session, _) = log_in(&hsm("vault"), Missing::Refuse).unwrap();
        session.logout().unwrap();
    };
    lose();
    assert_eq!(*keys.open(&place(&one), &newer).unwrap(), b"newer");
    lose();
    assert!(keys.probe().is_ok());
    lose();
    keys.rotate().unwrap();
    let newest = keys.seal(&place(&one), b"newest").unwrap();
    lose();
    keys.retire().unwrap();
    assert!(keys.open(&place(&one), &newer).is_err());
    assert_eq!(*keys.open(&place(&one), &newest).unwrap(), b"newest");

    let (session, found) = log_in(&hsm("vault"), Missing::Refuse).unwrap();
    assert_eq!(found.len(), 1, "the old key is still in the token");
    let value = session
        .get_attributes(found[0].handle, &[AttributeType::Value])
        .unwrap();
    assert!(value.is_empty(), "the key left the token");

    // A token without the key is not ours any more, and gets none from a server that runs.
    session.destroy_object(found[0].handle).unwrap();
    assert!(keys.probe().is_err());
    assert!(keys.open(&place(&one), &newest).is_err());
    let none = log_in(&hsm("vault"), Missing::Refuse);
    assert!(matches!(none, Err(Pkcs11Error::NoKey)));
    println!("looked inside");
}
