//! `login`: an account on a server, and the file that stands for it.

use std::path::Path;

use heirloom_vault_api::{
    Code, Fixed, Invite, SignIn, SignedIn, TenantName, TokenSignIn, VaultInfo,
};
use serde::Serialize;

use crate::args::server::Login;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::secrets;
use crate::server::{Account, Address, CallError, Client, approval, signin};

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    account: String,
    account_file: String,
    seconds: f64,
}

/// Signs in, writes the account file, and has this computer remember it.
pub(crate) fn run(args: &Login, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let file = new_file(context)?;
    let invite = args.invite.as_deref().map(invitation).transpose()?;
    let client = Client::new(&address, None);
    let failed = |error: CallError| error.failure(&address.origin);
    let info: VaultInfo = client.get("/v1/vault").map_err(failed)?;
    let signed_in = enter(args, invite, &info.identity, &client, context)?;
    let account = Account::new(&address, signed_in, info.identity);
    // First where nothing is in the way: a sign-in that lies nowhere could not be made again.
    account.remember(context)?;
    account.write(file)?;
    context
        .output
        .line(&format!("Signed in to {}", address.origin));
    context.output.say(&format!(
        "The account file is {}: keep a copy of it with your recovery key. It opens no backup by itself",
        file.display()
    ));
    context.output.say(&format!(
        "Next: `heirloom backup SOURCE --to {}`",
        address.place()
    ));
    context.output.event(&events::summary(
        "login",
        Summary {
            server: &address.origin,
            account: account.id.to_text(),
            account_file: file.display().to_string(),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

/// Asks the server for a sign-in, in the way that was named.
fn enter(
    args: &Login,
    invite: Option<Invite>,
    identity: &Fixed<32>,
    client: &Client,
    context: &Context,
) -> Result<SignedIn, Failure> {
    let origin = client.origin();
    let tenant = match &args.tenant {
        Some(name) => Some(
            TenantName::new(name)
                .ok_or_else(|| Failure::usage("no server has users of this name"))?,
        ),
        None => None,
    };
    let name = signin::device_name(args.device_name.as_deref(), context);
    if args.passkey {
        let path = "/v1/signin/start";
        let finish = signin::on_page(client, path, tenant, name, &args.browser, context)?;
        return client
            .post_once("/v1/signin/finish", &finish)
            .map_err(|error| error.failure(origin));
    }
    if let (Some(file), Some(tenant)) = (&args.token_file, tenant) {
        let token = secrets::read_text(file)?;
        let sign_in = TokenSignIn {
            tenant,
            jwt: token.trim().to_owned(),
            name,
        };
        return client
            .post_once("/v1/signin/token", &sign_in)
            .map_err(|error| error.failure(origin));
    }
    let invite = if args.approve {
        Some(approval::ask_to_be_let_in(client, identity, context)?)
    } else {
        invite
    };
    let is_invited = invite.is_some();
    // Once only: an invitation is spent by the first call that arrives.
    client
        .post_once("/v1/accounts", &SignIn { invite, name })
        .map_err(|error| refused(error, is_invited, origin))
}

/// Where the account file goes; refused before anything is asked of the server.
fn new_file(context: &Context) -> Result<&Path, Failure> {
    let file = context.account_file.as_deref().ok_or_else(|| {
        Failure::usage("a sign-in is kept in a file, and none was named")
            .hint("add `--account-file FILE`: it is written there, for you alone")
    })?;
    if file.exists() {
        return Err(Failure::usage(format!("{} exists already", file.display()))
            .hint("name a new file: an account file is never replaced"));
    }
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder
        && !folder.is_dir()
    {
        return Err(Failure::usage(format!(
            "{} is not a folder",
            folder.display()
        )));
    }
    Ok(file)
}

fn invitation(text: &str) -> Result<Invite, Failure> {
    Fixed::parse(text.trim()).map(Invite).map_err(|_| {
        Failure::usage("this is not an invitation code")
            .hint("it has 22 letters, digits, `-` and `_`; copy all of it")
    })
}

fn refused(error: CallError, is_invited: bool, origin: &str) -> Failure {
    let refused = matches!(
        error.code(),
        Some(Code::SignInNeeded | Code::NotFound | Code::Conflict | Code::NotProven)
    );
    match (refused, is_invited) {
        (true, true) => Failure::new(
            Exit::NeedsUnlock,
            format!("{origin} does not know this invitation, or it was used already"),
        )
        .hint("ask for another one: each is good once, for a day"),
        (true, false) => Failure::new(
            Exit::NeedsUnlock,
            format!("{origin} lets nobody in without an invitation"),
        )
        .hint("ask who runs the server for one, then add `--invite CODE`; if you have an account file already, use it: `--account-file FILE`"),
        (false, _) => error.failure(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use heirloom_vault_api::Problem;

    #[test]
    fn an_invitation_is_read_and_anything_else_refused() {
        let code = Fixed([7; 16]).to_text();
        assert_eq!(
            invitation(&format!(" {code}\n")).unwrap(),
            Invite(Fixed([7; 16]))
        );
        for bad in ["", "abc", &code[1..], "!!!!!!!!!!!!!!!!!!!!!!"] {
            assert_eq!(invitation(bad).unwrap_err().exit, Exit::Usage);
        }
    }

    #[test]
    fn who_is_not_let_in_is_told_what_is_missing() {
        let refusal = || CallError::Refused(Box::new(Problem::from(Code::SignInNeeded)));
        let failure = refused(refusal(), false, "http://localhost:1");
        assert_eq!(
            (failure.exit, failure.message.as_str()),
            (
                Exit::NeedsUnlock,
                "http://localhost:1 lets nobody in without an invitation"
            )
        );
        let failure = refused(refusal(), true, "http://localhost:1");
        assert!(failure.message.ends_with("or it was used already"));
    }
}
