//! The recovery key is nowhere but in its file: not in arguments, environment or output, and not in the memory of a run
//! that has gone on from its use.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot set its scene fails, or says so"
)]

#[cfg(feature = "software-authenticator")]
#[path = "support/browser.rs"]
mod browser;
#[expect(dead_code, reason = "this file needs a part of it")]
#[path = "support/session.rs"]
mod session;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use session::Session;

/// All forms in which 32 bytes could lie somewhere.
#[cfg(feature = "software-authenticator")]
fn forms_of_bytes(secret: &[u8; 32]) -> Vec<(&'static str, Vec<u8>)> {
    let base64 = |engine: &base64::engine::GeneralPurpose| engine.encode(secret).into_bytes();
    let digits = hex::encode(secret);
    vec![
        ("raw", secret[..16].to_vec()),
        ("raw, second half", secret[16..].to_vec()),
        ("digits", digits.as_bytes()[..32].to_vec()),
        ("DIGITS", digits.to_uppercase().as_bytes()[..32].to_vec()),
        ("base64", base64(&STANDARD)[..40].to_vec()),
        ("base64 url", base64(&URL_SAFE_NO_PAD)[..40].to_vec()),
        (
            "as numbers",
            format!("{secret:?}").as_bytes()[..40].to_vec(),
        ),
    ]
}

/// All forms in which the key could lie somewhere.
fn forms(key_file: &str) -> Vec<(&'static str, Vec<u8>)> {
    let line = key_file
        .lines()
        .find(|line| !line.starts_with('#'))
        .unwrap();
    let digits: String = line.chars().filter(char::is_ascii_hexdigit).collect();
    let raw = hex::decode(&digits).unwrap();
    // The last four bytes are parity; the key is the 28 before.
    let secret = &raw[..28];
    let base64 = |engine: &base64::engine::GeneralPurpose| engine.encode(secret).into_bytes();
    // Half a key would be bad enough.
    let mut forms = vec![
        ("raw", secret[..14].to_vec()),
        ("raw, second half", secret[14..].to_vec()),
        ("digits", digits.as_bytes()[..28].to_vec()),
        ("DIGITS", digits.to_uppercase().as_bytes()[..28].to_vec()),
        ("groups", line.as_bytes()[..34].to_vec()),
        ("groups, end", line.as_bytes()[40..].to_vec()),
        ("base64", base64(&STANDARD)[..36].to_vec()),
        ("base64 url", base64(&URL_SAFE)[..36].to_vec()),
    ];
    forms.push(("base64 no pad", base64(&STANDARD_NO_PAD)[..36].to_vec()));
    forms.push(("base64 url no pad", base64(&URL_SAFE_NO_PAD)[..36].to_vec()));
    let groups: Vec<u8> = digits
        .as_bytes()
        .chunks(4)
        .rev()
        .flatten()
        .copied()
        .collect();
    forms.push(("groups backwards", groups[..28].to_vec()));
    // As 16-bit numbers of this machine.
    forms.push((
        "groups as numbers",
        secret[..14]
            .chunks(2)
            .flat_map(|two| [two[1], two[0]])
            .collect(),
    ));
    forms
}

/// A chat that takes a while to back up.
fn long_chat(session: &Session) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for at in 0..400_000_u32 {
        let (day, hour, minute) = (at / 1440 % 28 + 1, at / 60 % 24, at % 60);
        writeln!(
            text,
            "{day:02}/{:02}/20{:02}, {hour:02}:{minute:02} - Ana: line number {at}",
            at / 40_320 % 12 + 1,
            at / 483_840 + 19
        )
        .unwrap();
    }
    let path = session.path("WhatsApp Chat with Ana.txt");
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// Stops a process in its tracks.
fn signal(child: &Child, name: &str) {
    let done = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(done.success(), "kill {name}");
}

/// All memory of a stopped process that can be read.
fn memory(child: &Child) -> Option<Vec<Vec<u8>>> {
    let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).ok()?;
    let mut mem = File::open(format!("/proc/{}/mem", child.id())).ok()?;
    let mut parts = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next()?, words.next()?);
        // Only what can be written can hold secrets; mapped files of others cannot.
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-')?;
        let (from, to) = (
            u64::from_str_radix(from, 16).ok()?,
            u64::from_str_radix(to, 16).ok()?,
        );
        let mut part = vec![0; usize::try_from(to - from).ok()?];
        if mem.seek(SeekFrom::Start(from)).is_ok() && mem.read_exact(&mut part).is_ok() {
            parts.push(part);
        }
    }
    Some(parts)
}

fn holds(memory: &[Vec<u8>], needle: &[u8]) -> bool {
    let first = needle[0];
    memory.iter().any(|part| {
        part.windows(needle.len())
            .any(|window| window[0] == first && window == needle)
    })
}

/// Runs until `ready`, stops the process there and hands out its memory, arguments and environment.
fn at(
    session: &Session,
    args: &[&str],
    ready: impl Fn() -> bool,
) -> Option<(Vec<Vec<u8>>, Vec<u8>, String)> {
    let child = session
        .command()
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    look_into(child, ready)
}

/// The same for a process that was started already.
fn look_into(
    mut child: Child,
    ready: impl Fn() -> bool,
) -> Option<(Vec<Vec<u8>>, Vec<u8>, String)> {
    let begun = Instant::now();
    while !ready() {
        assert!(
            begun.elapsed() < Duration::from_mins(2),
            "the run did not get so far"
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "the run ended too early: {:?}",
            child.wait_with_output()
        );
        std::thread::sleep(Duration::from_micros(200));
    }
    signal(&child, "-STOP");
    std::thread::sleep(Duration::from_millis(50));
    let mut around = fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    around.extend(fs::read(format!("/proc/{}/environ", child.id())).unwrap());
    let memory = memory(&child);
    signal(&child, "-CONT");
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Some((memory?, around, said))
}

fn assert_clean(session: &Session, found: Option<(Vec<Vec<u8>>, Vec<u8>, String)>) {
    let Some((memory, around, said)) = found else {
        println!("skipped: the memory of a process cannot be read here");
        return;
    };
    // What has to be there shows that the search finds what is there.
    assert!(holds(
        &memory,
        session.path("store").as_os_str().as_encoded_bytes()
    ));
    let key_file = fs::read_to_string(session.path("key.txt")).unwrap();
    for (name, form) in forms(&key_file) {
        assert!(!holds(&memory, &form), "the key lies in memory: {name}");
        assert!(
            !holds(&[around.clone(), said.clone().into_bytes()], &form),
            "the key was shown: {name}"
        );
    }
}

fn has_packs(session: &Session) -> bool {
    fs::read_dir(session.path("store/packs")).is_ok_and(|mut entries| entries.next().is_some())
}

#[test]
fn the_new_key_is_gone_from_memory_when_the_first_pack_is_written() {
    let session = Session::new();
    let source = long_chat(&session);
    let args = [
        "backup",
        &source,
        "--to",
        "store",
        "--date-order",
        "dmy",
        "--new-recovery-key-file",
        "key.txt",
        "-vv",
    ];
    let found = at(&session, &args, || has_packs(&session));
    assert_clean(&session, found);
}

#[test]
fn the_key_that_unlocked_is_gone_from_memory_when_messages_are_restored() {
    let session = Session::new();
    let source = long_chat(&session);
    let first = session.run(&[
        "backup",
        &source,
        "--to",
        "store",
        "--date-order",
        "dmy",
        "--new-recovery-key-file",
        "key.txt",
    ]);
    assert_eq!(first.code, 0, "{first:?}");
    let args = [
        "restore",
        "store",
        "--to",
        "out",
        "--recovery-key-file",
        "key.txt",
        "-vv",
    ];
    let found = at(&session, &args, || session.path("out").exists());
    assert_clean(&session, found);
}

#[test]
fn the_state_of_this_computer_holds_no_recovery_key() {
    let session = Session::new();
    session.first_backup();
    let key_file = fs::read_to_string(session.path("key.txt")).unwrap();
    let mut folders = vec![session.path("home"), session.path("store")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = [fs::read(entry.path()).unwrap()];
            for (name, form) in forms(&key_file) {
                assert!(
                    !holds(&bytes, &form),
                    "{} holds the key: {name}",
                    entry.path().display()
                );
            }
        }
    }
    assert!(files > 5);
}

/// What a passkey in software gives for a backup: `HMAC-SHA256(its secret, SHA-256("WebAuthn PRF" ‖ 0 ‖ input))`.
#[cfg(feature = "software-authenticator")]
fn prf_output(session: &Session) -> [u8; 32] {
    use heirloom_engine::{keyrings, store};
    use sha2::{Digest, Sha256};
    let store = store::open(session.path("store").to_str().unwrap(), false).unwrap();
    let name = keyrings::list(&*store).unwrap().pop().unwrap().name;
    let bytes = keyrings::load(&*store, &name).unwrap();
    let locked = heirloom_keys::LockedKeyring::parse(&bytes).unwrap();
    let wallet: serde_json::Value =
        serde_json::from_slice(&fs::read(session.path("wallet")).unwrap()).unwrap();
    let secret = wallet["passkeys"][0]["hmac_secret"].as_str().unwrap();
    let mut key = [0; 64];
    key[..32].copy_from_slice(&URL_SAFE_NO_PAD.decode(secret).unwrap());
    let pad = |with: u8| key.map(|byte| byte ^ with);
    let inner = Sha256::new()
        .chain_update(pad(0x36))
        .chain_update(heirloom_keys::prf_salt(locked.prf_input()));
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    outer.finalize().into()
}

/// A backup of a long chat with a passkey in `wallet`.
#[cfg(feature = "software-authenticator")]
fn with_a_passkey(session: &Session) {
    let source = long_chat(session);
    let args = [
        "backup",
        &source,
        "--to",
        "store",
        "--date-order",
        "dmy",
        "--new-recovery-key-file",
        "key.txt",
        "--new-passkey",
        "-vv",
    ];
    let ended = browser::run(session, &args, "wallet");
    assert_eq!(ended.code, 0, "{ended:?}");
}

/// The output that is looked for is the one that opens the backup: else the searches below would find nothing by mistake.
#[cfg(feature = "software-authenticator")]
fn assert_opens(session: &Session, output: &[u8; 32]) {
    use heirloom_engine::{keyrings, store};
    use heirloom_keys::{
        HighEntropySecret, KeySlot, LockedKeyring, Method, PrfOutput, UnlockSecret,
    };
    let store = store::open(session.path("store").to_str().unwrap(), false).unwrap();
    let name = keyrings::list(&*store).unwrap().pop().unwrap().name;
    let locked = LockedKeyring::parse(&keyrings::load(&*store, &name).unwrap()).unwrap();
    let passkey = locked
        .slots()
        .iter()
        .map(KeySlot::method)
        .find_map(|method| match method {
            Method::Passkey(passkey) => Some(passkey.clone()),
            _ => None,
        })
        .unwrap();
    let prf = PrfOutput::filled(|bytes| bytes.copy_from_slice(output));
    let secret = HighEntropySecret::try_from(prf).unwrap();
    locked
        .unlock(&UnlockSecret::passkey(passkey, secret))
        .unwrap();
}

#[cfg(feature = "software-authenticator")]
#[test]
fn what_the_passkey_gave_is_gone_from_memory_when_messages_are_restored() {
    let session = Session::new();
    with_a_passkey(&session);
    let output = prf_output(&session);
    assert_opens(&session, &output);
    let args = ["restore", "store", "--to", "out", "--passkey", "-vv"];
    let (child, file, said) = browser::start(&session, &args);
    heirloom_ceremony::software::open(&session.path("wallet"), &file.unwrap()).unwrap();
    let Some((memory, around, later)) = look_into(child, || session.path("out").exists()) else {
        println!("skipped: the memory of a process cannot be read here");
        return;
    };
    assert!(holds(
        &memory,
        session.path("store").as_os_str().as_encoded_bytes()
    ));
    for (name, form) in forms_of_bytes(&output) {
        assert!(
            !holds(&memory, &form),
            "what the passkey gave lies in memory: {name}"
        );
        assert!(
            !holds(
                &[
                    around.clone(),
                    said.clone().into_bytes(),
                    later.clone().into_bytes()
                ],
                &form
            ),
            "what the passkey gave was shown: {name}"
        );
    }
}

#[cfg(feature = "software-authenticator")]
#[test]
fn no_file_of_this_computer_or_the_store_holds_what_the_passkey_gave() {
    let session = Session::new();
    with_a_passkey(&session);
    let restored = browser::run(&session, &["drill", "store", "--passkey", "-vv"], "wallet");
    assert_eq!(restored.code, 0, "{restored:?}");
    let output = prf_output(&session);
    assert_opens(&session, &output);
    let mut folders = vec![session.path("home"), session.path("store")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
                continue;
            }
            files += 1;
            let bytes = [fs::read(entry.path()).unwrap()];
            for (name, form) in forms_of_bytes(&output) {
                assert!(
                    !holds(&bytes, &form),
                    "{} holds it: {name}",
                    entry.path().display()
                );
            }
        }
    }
    assert!(files > 5);
    for (name, form) in forms_of_bytes(&output) {
        let said = [
            restored.stdout.clone().into_bytes(),
            restored.stderr.clone().into_bytes(),
        ];
        assert!(!holds(&said, &form), "it was shown: {name}");
    }
}
