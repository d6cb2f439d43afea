//! `kit`: the recovery key with all that is needed, for the terminal or a printer.

use serde::Serialize;

use crate::args::manage;
use crate::atomic;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::kit::{self, Kit};
use crate::output::events;
use crate::{repository, unlock, words};

#[derive(Serialize)]
struct Summary {
    to: Option<String>,
    keyring: u64,
    check_code: String,
    seconds: f64,
}

/// Makes a kit. The key is stored nowhere, so it has to be entered; it is proven by opening the backup first.
pub(crate) fn run(args: &manage::Kit, context: &Context) -> Result<Exit, Failure> {
    if args.to.is_none() && context.output.json() {
        return Err(
            Failure::usage("a kit holds the key, and JSON is no place for it")
                .hint("add `--to FILE.pdf`"),
        );
    }
    let found = repository::find(&args.store, context)?;
    if args.unlock.passkey {
        return Err(
            Failure::usage("a kit holds the recovery key, and a passkey does not know it")
                .hint("unlock with the recovery key itself: `--recovery-key-file FILE`"),
        );
    }
    if unlock::offers::Offers::of(&found.newest).recovery_keys == 0 {
        return Err(Failure::usage("this backup has no recovery key to print")
            .hint("`heirloom protect add recovery-key STORE` makes one"));
    }
    let (unlocked, entered) = unlock::by_recovery_key(&found, &args.unlock, context)?;
    let seen = unlocked.seen();
    let way = unlocked
        .slots()
        .into_iter()
        .find(|slot| Some(slot.id) == unlocked.opened_with());
    let check_code = kit::check_code(seen.hash.as_bytes());
    let kit = Kit {
        groups: entered.groups(),
        name: way.map(|slot| slot.name).unwrap_or_default(),
        store: found.place.clone(),
        repository: hex::encode(unlocked.repository().as_bytes()),
        keyring_number: seen.number,
        check_code: check_code.clone(),
        made_on: words::moment(now_ms())
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned(),
    };
    let output = &context.output;
    match &args.to {
        None => output.line(&kit.text()?),
        Some(path) => {
            let page = zeroize::Zeroizing::new(kit::pdf(&kit, args.paper)?);
            atomic::create_private(path, &page).map_err(|error| {
                let failure = Failure::file("write", path, &error);
                if error.kind() == std::io::ErrorKind::AlreadyExists {
                    return failure.hint("a kit is never replaced: name another file");
                }
                failure
            })?;
            output.line(&format!("Wrote the kit to {}", path.display()));
            output.hint("print it, put it where you keep your passport, and delete the file");
        }
    }
    let to = args.to.as_ref().map(|path| path.display().to_string());
    let summary = Summary {
        to,
        keyring: seen.number,
        check_code,
        seconds: context.seconds(),
    };
    output.event(&events::summary("kit", summary));
    Ok(Exit::Done)
}
