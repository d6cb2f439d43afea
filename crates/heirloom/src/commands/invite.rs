//! `invite`: a code that lets another computer into the account.

use heirloom_vault_api::{Invitation, Invite as Code};
use serde::Serialize;

use crate::args::server::Invite;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::server::{Account, Address, Client};

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    invite: &'a str,
    seconds: f64,
}

/// Asks the server for a code and shows it once.
pub(crate) fn run(args: &Invite, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let account = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&account.token));
    let Invitation { invite: Code(code) } = client
        .post_once("/v1/invitations", &serde_json::json!({}))
        .map_err(|error| error.failure(&address.origin))?;
    let code = code.to_text();
    context.output.line(&code);
    context.output.say(&format!(
        "Good once, for a day: `heirloom login {} --invite {code} --account-file FILE`",
        address.origin
    ));
    context.output.event(&events::summary(
        "invite",
        Summary {
            server: &address.origin,
            invite: &code,
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}
