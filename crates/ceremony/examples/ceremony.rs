//! Runs ceremonies one after the other and prints what came of each: for the browser tests.
//!
//! ```text
//! ceremony --folder DIR [--timeout SECONDS] [--known ID]... [--wallet FILE] STEP...
//! ```
//! Steps are `register`, `unlock`, `restore`, `check`, `add`, `remove`, `rotate`, `off`; `hold:SECONDS`
//! waits. `--known` takes an id as it was printed. Without `--wallet` the path of the opening file is
//! printed, and the test opens a browser on it.

#![expect(
    clippy::print_stdout,
    reason = "a program for tests, which read its lines"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use getrandom::SysRng;
use heirloom_ceremony::{
    Ask, CeremonyError, Ending, Enrol, Known, LOCALHOST, Options, Purpose, Session,
};
use rand_core::UnwrapErr;

const PRF_INPUT: [u8; 32] = *b"heirloom's example of an input..";

struct Arguments {
    folder: PathBuf,
    timeout: Duration,
    known: Vec<Known>,
    wallet: Option<PathBuf>,
    steps: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let Arguments {
        folder,
        timeout,
        mut known,
        wallet,
        steps,
    } = arguments()?;
    let mut rng = UnwrapErr(SysRng);
    let options = Options {
        repository: [7; 16],
        backup_label: "Chats on the disk “Blue”",
        folder: &folder,
        timeout,
        site: None,
    };
    let mut open = |path: &Path| {
        println!("open {}", path.display());
        match &wallet {
            Some(wallet) => answer_with(wallet, path),
            None => Ok(()),
        }
    };
    let mut session = Session::begin(&options, &mut open, &mut rng)?;
    let mut failed = None;
    for step in &steps {
        if let Some(seconds) = step.strip_prefix("hold:") {
            std::thread::sleep(Duration::from_secs(seconds.parse()?));
            continue;
        }
        let outcome = match step.as_str() {
            "register" => register(&mut session, &mut known, &mut rng),
            purpose => authenticate(&mut session, purpose_of(purpose)?, &known, &mut rng),
        };
        match outcome {
            Ok(line) => println!("{line}"),
            Err(error) => {
                println!("error {error}");
                println!("hint {}", error.hint().unwrap_or(""));
                println!("kind {}", format!("{error:?}").replace('\n', " "));
                failed = Some(error);
                break;
            }
        }
    }
    match failed {
        Some(_) => drop(session),
        None => session.end(&Ending {
            good: true,
            title: "It opens your backup".to_owned(),
            text: "You can close this page and go back to Heirloom.".to_owned(),
        }),
    }
    println!("done");
    Ok(())
}

fn register(
    session: &mut Session,
    known: &mut Vec<Known>,
    rng: &mut UnwrapErr<SysRng>,
) -> Result<String, CeremonyError> {
    let registered = session.register(
        &Enrol {
            prf_input: &PRF_INPUT,
            exclude: known,
            user_name: "Unlocks your chat backup – don't delete",
            display_name: "Unlocks your chat backup – don't delete",
        },
        rng,
    )?;
    let id = URL_SAFE_NO_PAD.encode(&registered.passkey.credential_id);
    let line = format!(
        "registered {id} transports={} be={} bs={} aaguid={} name={}",
        registered.passkey.transports.join(","),
        registered.provider.backup_eligible,
        registered.provider.backup_state,
        hex::encode(registered.provider.aaguid),
        registered.provider_name.unwrap_or("-"),
    );
    known.push(Known {
        credential_id: registered.passkey.credential_id,
        rp_id: registered.passkey.rp_id,
        transports: registered.passkey.transports,
        name: Some("My phone's passkey".to_owned()),
        public_key: Some(registered.public_key),
    });
    Ok(line)
}

fn authenticate(
    session: &mut Session,
    purpose: Purpose,
    known: &[Known],
    rng: &mut UnwrapErr<SysRng>,
) -> Result<String, CeremonyError> {
    let ask = Ask {
        purpose,
        prf_input: &PRF_INPUT,
        candidates: known,
    };
    let answer = session.authenticate(&ask, rng)?;
    let id = URL_SAFE_NO_PAD.encode(&answer.credential_id);
    Ok(format!(
        "answered {id} be={} bs={}",
        answer.backup_eligible, answer.backup_state
    ))
}

fn purpose_of(name: &str) -> anyhow::Result<Purpose> {
    Ok(match name {
        "unlock" => Purpose::Unlock,
        "restore" => Purpose::Restore,
        "check" => Purpose::Check,
        "confirm" => Purpose::Confirm,
        "add" => Purpose::Add,
        "remove" => Purpose::Remove,
        "rotate" => Purpose::Rotate,
        "off" => Purpose::Off,
        other => bail!("no step is called {other}"),
    })
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut arguments = std::env::args().skip(1);
    let mut found = Arguments {
        folder: PathBuf::new(),
        timeout: Options::TIMEOUT,
        known: Vec::new(),
        wallet: None,
        steps: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--folder" => found.folder = value()?.into(),
            "--timeout" => found.timeout = Duration::from_secs(value()?.parse()?),
            "--wallet" => found.wallet = Some(value()?.into()),
            "--known" => found.known.push(Known {
                credential_id: URL_SAFE_NO_PAD.decode(value()?)?,
                rp_id: LOCALHOST.to_owned(),
                transports: Vec::new(),
                name: None,
                public_key: None,
            }),
            _ => found.steps.push(argument),
        }
    }
    if found.folder.as_os_str().is_empty() {
        bail!("--folder is missing");
    }
    Ok(found)
}

#[cfg(feature = "software-authenticator")]
fn answer_with(wallet: &Path, opening: &Path) -> std::io::Result<()> {
    heirloom_ceremony::software::open(wallet, opening)
}

#[cfg(not(feature = "software-authenticator"))]
fn answer_with(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::Error::other(
        "built without software-authenticator",
    ))
}
