//! `kit`: the recovery key with all that is needed, for the terminal or a printer.

use std::path::Path;

use heirloom_vault_api::{self as api, DeviceName, Invitation, SignedIn};
use serde::Serialize;

use crate::args::manage;
use crate::atomic;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::kit::{self, Kit, SignIn};
use crate::output::events;
use crate::server::{Account, Address, CallError, Client, paper};
use crate::{repository, secrets, unlock, words};

#[derive(Serialize)]
struct Summary {
    to: Option<String>,
    keyring: u64,
    check_code: String,
    seconds: f64,
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    let failure = Failure::file("write", path, error);
    if error.kind() == std::io::ErrorKind::AlreadyExists {
        return failure.hint("a kit is never replaced: name another file");
    }
    failure
}

/// Makes a sign-in for the kit alone, where it is wanted: the server lists it, and another device can end it.
fn sign_in(args: &manage::Kit, place: &str, context: &Context) -> Result<Option<SignIn>, Failure> {
    if !Address::is_one(place) {
        return if args.with_sign_in {
            Err(
                Failure::usage("this backup lies on no server, and needs no sign-in")
                    .hint("leave `--with-sign-in` out"),
            )
        } else {
            Ok(None)
        };
    }
    let address = Address::parse(place)?;
    let origin = &address.origin;
    if !args.with_sign_in {
        if args.without_sign_in || !context.output.can_ask() {
            return Ok(None);
        }
        let question = format!(
            "Print a sign-in to {origin} on it, too? With the kit alone a new computer then gets everything back. Print it"
        );
        if !secrets::ask_yes(&question)? {
            return Ok(None);
        }
    }
    let account = Account::needed(&address, context)?;
    let failed = |error: CallError| error.failure(origin);
    let Invitation { invite } = Client::new(&address, Some(&account.token))
        .post_once("/v1/invitations", &serde_json::json!({}))
        .map_err(failed)?;
    let sign_in = api::SignIn {
        invite: Some(invite),
        name: DeviceName::new("Recovery kit"),
        on_paper: true,
    };
    let SignedIn { account: _, token } = Client::new(&address, None)
        .post_once("/v1/accounts", &sign_in)
        .map_err(failed)?;
    Ok(Some(SignIn {
        code: paper::code(&token, &account.identity, origin),
        origin: origin.clone(),
    }))
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
    if let Some(path) = args.to.as_ref().filter(|path| path.exists()) {
        // Before a sign-in is made that would be printed nowhere.
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(not_written(path, &exists));
    }
    let sign_in = sign_in(args, &found.place, context)?;
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
        sign_in,
    };
    let output = &context.output;
    match &args.to {
        None => output.line(&kit.text()?),
        Some(path) => {
            let page = zeroize::Zeroizing::new(kit::pdf(&kit, args.paper)?);
            atomic::create_private(path, &page).map_err(|error| not_written(path, &error))?;
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
