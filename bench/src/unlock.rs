//! How long a person waits after the fingerprint: from what a passkey gave to an open keyring.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use getrandom::SysRng;
use heirloom_keys::{
    Act, CreateParams, Keyring, Method, NewSlot, Passkey, PrfOutput, Provider, RecoveryKey,
    Unlocked, open_with_passkey,
};
use rand_core::UnwrapErr;

const TIMES: usize = 200;
const NOW_MS: i64 = 1_800_000_000_000;

/// A keyring with so many passkeys, and after so many changes, and the median of opening it.
pub(crate) fn run() -> Result<String> {
    let mut lines = vec![
        "| keyring | bytes | opened by a passkey in |".to_owned(),
        "|---|---|---|".to_owned(),
    ];
    for (passkeys, changes) in [(1, 0), (31, 500)] {
        let (bytes, median) = measure(passkeys, changes)?;
        let milliseconds = median.as_secs_f64() * 1e3;
        lines.push(format!(
            "| {passkeys} passkeys, {changes} changes more | {bytes} | {milliseconds:.2} ms |"
        ));
    }
    Ok(lines.join("\n"))
}

fn measure(passkeys: u8, changes: usize) -> Result<(usize, Duration)> {
    let mut rng = UnwrapErr(SysRng);
    let recovery = RecoveryKey::generate(&mut rng);
    let first = CreateParams {
        device_name: "bench",
        recovery: &recovery,
        recovery_name: "Recovery key",
    };
    let (mut bytes, mut unlocked, device) = Keyring::create(&mut rng, NOW_MS, &first)?;
    let act = Act {
        device: device.device(),
        now_ms: NOW_MS,
    };
    let mut go_on = |unlocked: &Unlocked, passkey: Option<u8>| -> Result<(Vec<u8>, Unlocked)> {
        let successor = match passkey {
            None => unlocked.record_seen(&mut rng, act)?,
            Some(number) => {
                let secret = output(number).try_into()?;
                let slot = NewSlot {
                    name: "Passkey",
                    method: Method::Passkey(binding(number)),
                    provider: Some(Provider {
                        aaguid: [number; 16],
                        backup_eligible: true,
                        backup_state: true,
                    }),
                    secret: &secret,
                };
                unlocked.add_slot(&mut rng, act, slot)?
            }
        };
        Ok((successor.bytes, successor.unlocked))
    };
    for number in 1..=passkeys {
        (bytes, unlocked) = go_on(&unlocked, Some(number))?;
    }
    for _ in 0..changes {
        (bytes, unlocked) = go_on(&unlocked, None)?;
    }
    let credential = binding(1).credential_id;
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let given = output(1);
        let begun = Instant::now();
        open_with_passkey(&bytes, &credential, given)?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    let median = took.get(TIMES / 2).context("nothing was measured")?;
    Ok((bytes.len(), *median))
}

fn binding(number: u8) -> Passkey {
    Passkey {
        credential_id: vec![number; 32],
        rp_id: "localhost".into(),
        transports: vec!["internal".into()],
    }
}

fn output(number: u8) -> PrfOutput {
    PrfOutput::filled(|bytes| bytes.fill(number))
}
