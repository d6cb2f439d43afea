//! `logout`: ends the sign-in on the server, then forgets it here.

use heirloom_vault_api::{Code, VaultInfo};
use serde::Serialize;

use crate::args::server::Logout;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::server::{Account, Address, Client, account};

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    removed: Vec<String>,
    seconds: f64,
}

/// Signs out. Where the server cannot be reached nothing is forgotten: the sign-in would live on.
pub(crate) fn run(args: &Logout, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let signed_in = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&signed_in.token));
    match client.delete("/v1/session") {
        Ok(()) => {}
        // It was over already, where it is the server that gave it which says so.
        Err(error) if matches!(error.code(), Some(Code::SignInNeeded | Code::SignedOut)) => {
            let info: VaultInfo = client
                .get("/v1/vault")
                .map_err(|error| error.failure(&address.origin))?;
            if info.identity != signed_in.identity {
                return Err(Failure::new(
                    Exit::Damage,
                    format!(
                        "{} is not the server that this computer signed in to, and nothing was forgotten",
                        address.origin
                    ),
                )
                .hint("ask who runs the server whether it was set up anew"));
            }
        }
        Err(error) => return Err(error.failure(&address.origin)),
    }
    let removed = account::forget(&signed_in, context)?;
    context
        .output
        .line(&format!("Signed out of {}", address.origin));
    context
        .output
        .say("This computer forgot the sign-in. Backups stay where they are");
    context.output.event(&events::summary(
        "logout",
        Summary {
            server: &address.origin,
            removed: removed
                .iter()
                .map(|path| path.display().to_string())
                .collect(),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}
