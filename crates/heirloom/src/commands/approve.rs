//! `approve`: lets a new computer into the account, after both showed the same words.

use serde::Serialize;

use crate::args::server::Approve;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::secrets;
use crate::server::{Account, Address, Client, approval};

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    seconds: f64,
}

/// Compares words, then seals an invitation to the new computer.
pub(crate) fn run(args: &Approve, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let account = Account::needed(&address, context)?;
    let client = Client::new(&address, Some(&account.token));
    let code = match &args.code {
        Some(code) => code.clone(),
        None if context.output.can_ask() => {
            secrets::ask_line("The code that the new computer shows: ")?
        }
        None => {
            return Err(
                Failure::usage("which computer is to be let in? No code was given")
                    .hint("add `--code CODE`: the new computer shows it"),
            );
        }
    };
    approval::let_in(&client, account.identity, code.trim(), context)?;
    context
        .output
        .line("The new computer was let into your account. It opens no backup by that");
    context
        .output
        .say(&format!("`heirloom devices {}` lists it", address.origin));
    context.output.event(&events::summary(
        "approve",
        Summary {
            server: &address.origin,
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}
