//! `devices`: who is signed in to an account, and which passkeys may.

use heirloom_vault_api::{
    Code, Device, DeviceList, DeviceName, Fixed, PasskeyList, SignInPasskey, SignedInBy,
};
use serde::Serialize;

use crate::args::server::Devices;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::server::{Account, Address, CallError, Client, signin};
use crate::words;

#[derive(Serialize)]
struct DeviceEvent<'a> {
    id: String,
    name: Option<&'a str>,
    by: SignedInBy,
    signed_in_at: Option<String>,
    seen_at: Option<String>,
    present: bool,
}

#[derive(Serialize)]
struct PasskeyEvent<'a> {
    id: String,
    name: Option<&'a str>,
    saved_at: Option<String>,
    used_at: Option<String>,
    synced: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    devices: usize,
    passkeys: usize,
    removed: Option<&'a str>,
    seconds: f64,
}

/// Lists, removes, or saves a passkey.
pub(crate) fn run(args: &Devices, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let account = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&account.token));
    let failed = |error: CallError| error.failure(&address.origin);
    if let Some(id) = &args.remove {
        remove(&client, id, &address, context)?;
    }
    if args.new_passkey {
        save(args, &client, context)?;
    }
    let DeviceList { devices } = client.get("/v1/devices").map_err(failed)?;
    let PasskeyList { passkeys } = client.get("/v1/passkeys").map_err(failed)?;
    if args.remove.is_none() && !args.new_passkey {
        show(&devices, &passkeys, context);
    }
    context.output.event(&events::summary(
        "devices",
        Summary {
            server: &address.origin,
            devices: devices.len(),
            passkeys: passkeys.len(),
            removed: args.remove.as_deref(),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

fn remove(client: &Client, id: &str, address: &Address, context: &Context) -> Result<(), Failure> {
    let unknown = || {
        Failure::usage("the account has no device or passkey of this id")
            .hint(format!("`heirloom devices {}` lists them", address.origin))
    };
    let id = Fixed::<16>::parse(id).map_err(|_| unknown())?.to_text();
    let failed = |error: CallError| error.failure(&address.origin);
    let DeviceList { devices } = client.get("/v1/devices").map_err(failed)?;
    if devices
        .iter()
        .any(|device| device.present && device.device.to_text() == id)
    {
        return Err(
            Failure::usage("this is the device you are using").hint(format!(
                "to sign it out: `heirloom logout {}`",
                address.origin
            )),
        );
    }
    match client.delete(&format!("/v1/devices/{id}")) {
        Ok(()) => {
            context
                .output
                .line("Signed out. It hears of it with its next request");
            return Ok(());
        }
        Err(error) if error.code() == Some(Code::NotFound) => {}
        Err(error) => return Err(failed(error)),
    }
    match client.delete(&format!("/v1/passkeys/{id}")) {
        Ok(()) => {
            context
                .output
                .line("This passkey signs in no more. You can delete it in your password manager");
            Ok(())
        }
        Err(error) if error.code() == Some(Code::NotFound) => Err(unknown()),
        Err(error) => Err(failed(error)),
    }
}

fn save(args: &Devices, client: &Client, context: &Context) -> Result<(), Failure> {
    let name = match &args.name {
        Some(name) => Some(DeviceName::new(name).ok_or_else(|| {
            Failure::usage("a name has 1 to 80 characters, and none that moves the cursor")
        })?),
        None => None,
    };
    let path = "/v1/passkeys/start";
    let finish = signin::on_page(client, path, None, name, &args.browser, context)?;
    let PasskeyList { passkeys: _ } = client
        .post_once("/v1/passkeys", &finish)
        .map_err(|error| error.failure(client.origin()))?;
    context
        .output
        .line("Passkey saved. It signs new devices in, and opens no backup");
    context.output.say(&format!(
        "On a new computer: `heirloom login {} --passkey --account-file FILE`",
        client.origin()
    ));
    Ok(())
}

fn show(devices: &[Device], passkeys: &[SignInPasskey], context: &Context) {
    let output = &context.output;
    let now = now_ms();
    let ms = |time: u64| i64::try_from(time).unwrap_or(i64::MAX);
    output.title("Signed in");
    for device in devices {
        let name = device.name.as_ref().map(DeviceName::as_str);
        output.event(&Event::new(
            "sign_in",
            DeviceEvent {
                id: device.device.to_text(),
                name,
                by: device.by,
                signed_in_at: words::rfc3339(ms(device.created_ms)),
                seen_at: words::rfc3339(ms(device.seen_ms)),
                present: device.present,
            },
        ));
        let seen = if device.present {
            "this computer".to_owned()
        } else {
            format!("last seen {}", words::ago(Some(ms(device.seen_ms)), now))
        };
        output.line(&format!(
            "  {}  {} · {} · since {}, {}",
            device.device.to_text(),
            // The names are other computers' words.
            words::tame(name.unwrap_or("without a name")),
            seen,
            words::day(ms(device.created_ms)),
            by(device.by),
        ));
    }
    if !passkeys.is_empty() {
        output.title("Passkeys that sign in");
    }
    for passkey in passkeys {
        let name = passkey.name.as_ref().map(DeviceName::as_str);
        let used = passkey.used_ms.map(ms);
        output.event(&Event::new(
            "sign_in_passkey",
            PasskeyEvent {
                id: passkey.passkey.to_text(),
                name,
                saved_at: words::rfc3339(ms(passkey.created_ms)),
                used_at: used.and_then(words::rfc3339),
                synced: passkey.synced,
            },
        ));
        let place = if passkey.synced {
            "synced"
        } else {
            "only on one device"
        };
        output.line(&format!(
            "  {}  {} · {place} · saved {}, used {}",
            passkey.passkey.to_text(),
            words::tame(name.unwrap_or("Passkey")),
            words::day(ms(passkey.created_ms)),
            words::ago(used, now),
        ));
    }
}

fn by(by: SignedInBy) -> &'static str {
    match by {
        SignedInBy::First => "the first",
        SignedInBy::Passkey => "with a passkey",
        SignedInBy::PasskeyElsewhere => "by a QR code, with a passkey on another device",
        SignedInBy::Messenger => "through a messenger",
        SignedInBy::Paper => "for a recovery kit",
        _ => "by invitation",
    }
}
