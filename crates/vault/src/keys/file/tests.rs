use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use heirloom_vault_api::Fixed;

use super::*;

fn place(record: &RecordName, version: u64) -> Place<'_> {
    Place {
        column: "vault_record.sealed",
        record,
        version,
    }
}

#[test]
fn a_sealed_value_opens_in_its_place_alone_and_under_its_key_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut rng = UnwrapErr(SysRng);
    let path = folder.path().join("keys");
    let keys = KeyFile::open_or_create(&path, &mut rng).unwrap();
    let (one, two) = (Fixed([1; 16]), Fixed([2; 16]));
    let sealed = keys.seal(&place(&one, 1), b"oprf").unwrap();
    assert_eq!(*keys.open(&place(&one, 1), &sealed).unwrap(), b"oprf");
    assert!(keys.open(&place(&two, 1), &sealed).is_err());
    assert!(keys.open(&place(&one, 2), &sealed).is_err());
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(keys.open(&place(&one, 1), &altered).is_err(), "{at}");
        assert!(keys.open(&place(&one, 1), &sealed[..at]).is_err(), "{at}");
    }
    let again = KeyFile::open_or_create(&path, &mut rng).unwrap();
    assert_eq!(*again.open(&place(&one, 1), &sealed).unwrap(), b"oprf");
    assert_eq!(again.identity().public(), keys.identity().public());
    assert_eq!(again.fake_material(&one), keys.fake_material(&one));
    let other = KeyFile::open_or_create(&folder.path().join("other"), &mut rng).unwrap();
    assert!(other.open(&place(&one, 1), &sealed).is_err());
    assert_ne!(other.fake_material(&one), keys.fake_material(&one));
}

#[cfg(unix)]
#[test]
fn a_key_file_that_others_may_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let opened = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng));
    assert!(matches!(opened, Err(KeyFileError::ReadByOthers)));
}

#[test]
fn a_key_file_of_another_length_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len(), 8 + KEY_BYTES + REST_BYTES);
    bytes.push(0);
    std::fs::write(&path, &bytes).unwrap();
    let opened = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng));
    assert!(matches!(opened, Err(KeyFileError::Malformed)));
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
}

fn keys() -> (tempfile::TempDir, PathBuf, KeyFile) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    let keys = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
    (folder, path, keys)
}

#[test]
fn a_new_wrapping_key_seals_and_the_old_one_still_opens_until_it_is_retired() {
    let (_folder, path, keys) = keys();
    let one = Fixed([1; 16]);
    let before = keys.seal(&place(&one, 1), b"before").unwrap();
    let copy = std::fs::read(&path).unwrap();
    keys.rotate().unwrap();
    let after = keys.seal(&place(&one, 1), b"after").unwrap();
    assert_eq!(keys.wrapping_keys(), 2);
    // Restarted, it is the same.
    let again = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
    for keys in [&keys, &again] {
        assert_eq!(*keys.open(&place(&one, 1), &before).unwrap(), b"before");
        assert_eq!(*keys.open(&place(&one, 1), &after).unwrap(), b"after");
        assert!(!keys.is_newest(&place(&one, 1), &before));
        assert!(keys.is_newest(&place(&one, 1), &after));
        assert!(matches!(keys.rotate(), Err(RotateError::Several(2))));
    }
    assert_eq!(again.identity().public(), keys.identity().public());
    assert_eq!(again.fake_material(&one), keys.fake_material(&one));
    keys.retire().unwrap();
    let again = KeyFile::open_or_create(&path, &mut UnwrapErr(SysRng)).unwrap();
    for keys in [&keys, &again] {
        assert_eq!(keys.wrapping_keys(), 1);
        assert!(keys.open(&place(&one, 1), &before).is_err());
        assert_eq!(*keys.open(&place(&one, 1), &after).unwrap(), b"after");
    }
    let old = &copy[8..8 + KEY_BYTES];
    let file = std::fs::read(&path).unwrap();
    assert!(!file.windows(KEY_BYTES).any(|part| part == old));
    assert_eq!(again.identity().public(), keys.identity().public());
}

#[cfg(unix)]
#[test]
fn a_key_file_stays_for_its_owner_alone_and_is_not_replaced_when_it_is_another() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_folder, path, keys) = keys();
    keys.rotate().unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A key that cannot be kept never seals.
    std::fs::write(&path, b"something else").unwrap();
    assert!(matches!(keys.retire(), Err(RotateError::Io(_))));
    assert_eq!(keys.wrapping_keys(), 2);
    assert_eq!(std::fs::read(&path).unwrap(), b"something else");
}

#[test]
fn a_cut_or_longer_file_of_several_keys_is_refused() {
    let (_folder, path, keys) = keys();
    keys.rotate().unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert_eq!(whole.len(), MOST_BYTES);
    for length in 0..whole.len() {
        assert!(Parts::of(&whole[..length]).is_none(), "{length}");
    }
    for count in [0, 1, 3, 255] {
        let mut other = whole.clone();
        other[8] = count;
        assert!(Parts::of(&other).is_none(), "{count}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert!(Parts::of(&longer).is_none());
}
