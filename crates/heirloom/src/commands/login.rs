//! `login`: an account on a server, and the file that stands for it.

mod let_in;

use std::path::Path;

use heirloom_vault_api::{
    Code, DeviceName, Fixed, Invitation, Invite, SignIn, SignedIn, TenantName, TokenSignIn,
    VaultInfo,
};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::args::server::{Login, SignInVia};
use crate::browser;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events;
use crate::secrets;
use crate::server::approval::{self, Granted};
use crate::server::paper::{self, BadCode, PaperSignIn};
use crate::server::{Account, Address, CallError, Client, account, signin, signin_elsewhere};

use self::let_in::LetIn;

/// How often a kit's sign-in may be typed again.
const TRIES: usize = 3;

#[derive(Serialize)]
struct Summary<'a> {
    server: &'a str,
    account: String,
    account_file: String,
    /// The backup that this computer opens by itself, since another one let it in.
    backup: Option<&'a str>,
    seconds: f64,
}

/// Signs in, writes the account file, and has this computer remember it.
pub(crate) fn run(args: &Login, context: &Context) -> Result<Exit, Failure> {
    let address = Address::parse(&args.url)?;
    let file = new_file(args.approve, context)?;
    let invite = match (&args.invite, &args.invite_file) {
        (Some(code), _) => Some(invitation(code)?),
        (None, Some(path)) => Some(invitation(&secrets::read_text(path)?)?),
        (None, None) => None,
    };
    let on_paper = on_paper(args, &address, context)?;
    let client = Client::new(&address, None);
    let failed = |error: CallError| error.failure(&address.origin);
    let info: VaultInfo = client.get("/v1/vault").map_err(failed)?;
    let (account, let_in) = if args.approve {
        approved(args, &address, &info.identity, file, context)?
    } else {
        let invite = match on_paper {
            Some(paper) => Some(invited_by_kit(&paper, &address, &info.identity)?),
            None => invite,
        };
        let account = if args.passkey && is_elsewhere(args, &address) {
            on_other_device(args, &address, &info.identity, file, context)?
        } else {
            let signed_in = enter(args, invite, &client, context)?;
            let account = Account::new(&address, signed_in, info.identity);
            keep(&account, file, context)?;
            account
        };
        (account, None)
    };
    let next = match &let_in {
        None => {
            context.output.say(&format!(
                "The account file is {}: keep a copy of it with your recovery key. It opens no backup by itself",
                file.display()
            ));
            format!("Next: `heirloom backup SOURCE --to {}`", address.place())
        }
        Some(LetIn { place }) => {
            context.output.line(&format!(
                "This computer opens the backup in {place} from now on, without a key"
            ));
            format!("Next: `heirloom restore {place} --to DIR`")
        }
    };
    context.output.say(&next);
    context.output.event(&events::summary(
        "login",
        Summary {
            server: &address.origin,
            account: account.id.to_text(),
            account_file: file.display().to_string(),
            backup: let_in.as_ref().map(|let_in| let_in.place.as_str()),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

/// Keeps a sign-in that was just made. One that could be kept nowhere is ended again: else it would stand in the list of
/// devices for good, and nobody would have it.
fn keep(account: &Account, file: &Path, context: &Context) -> Result<(), Failure> {
    let kept = account.write(file).and_then(|()| {
        remember(account, context).inspect_err(|_| {
            // It was written a moment ago, and opens nothing any more.
            let _ = std::fs::remove_file(file);
        })
    });
    if let Err(mut failure) = kept {
        let address = Address::parse(&account.server)?;
        let client = Client::new(&address, Some(&account.token));
        failure.causes.push(match client.delete("/v1/session") {
            Ok(()) => "this computer was signed out again".into(),
            Err(_) => format!(
                "this computer could not be signed out again: `heirloom devices {} --remove ID` does that on another one",
                account.server
            ),
        });
        return Err(failure.or_hint(Some(
            "mend that and sign in again; an invitation is good once, so ask for another one"
                .into(),
        )));
    }
    context
        .output
        .line(&format!("Signed in to {}", account.server));
    Ok(())
}

/// Has this computer remember a sign-in, unless it goes by another account on this server: that one stays, as long as the
/// server accepts it.
fn remember(account: &Account, context: &Context) -> Result<(), Failure> {
    let address = Address::parse(&account.server)?;
    let path = account::remembered(&account.server, context);
    // What cannot be read is of no use to anybody.
    let before = path.exists().then(|| Account::read(&path).ok()).flatten();
    if let Some(before) = before
        && before.id != account.id
    {
        let accepted: Result<heirloom_vault_api::Account, _> =
            Client::new(&address, Some(&before.token)).get("/v1/account");
        let is_over = accepted
            .is_err_and(|error| matches!(error.code(), Some(Code::SignInNeeded | Code::SignedOut)));
        if !is_over {
            context.output.warn(&format!(
                "this computer goes on with the account that it was signed in to before on {}; for the new one name its file: `--account-file FILE`. `heirloom logout {}`, before another sign-in, makes it forget the old one",
                account.server, account.server
            ));
            return Ok(());
        }
    }
    account.remember(context)
}

/// Signs in by the word of another computer, and opens the backup by itself where its owner says so. Run again, it goes on
/// where it ended: a sign-in is not made twice, nor asked for what was given.
fn approved(
    args: &Login,
    address: &Address,
    identity: &Fixed<32>,
    file: &Path,
    context: &Context,
) -> Result<(Account, Option<LetIn>), Failure> {
    let name = signin::device_name(args.device_name.as_deref(), context);
    if file.exists() {
        let account = Account::read(file)?;
        if account.server != address.origin {
            return Err(exists(file));
        }
        let client = Client::new(address, Some(&account.token));
        let _: heirloom_vault_api::Account = client
            .get("/v1/account")
            .map_err(|error| error.failure(&address.origin))?;
        remember(&account, context)?;
        context
            .output
            .say(&format!("Signed in to {} already", address.origin));
        if let Some(let_in) = let_in::already(address, context)? {
            return Ok((account, Some(let_in)));
        }
        let Granted { invite: _, offered } =
            approval::ask_to_be_let_in(&client, identity, context)?;
        let let_in = offered
            .map(|offered| let_in::enter(offered, shown(name.as_ref()), &client, context))
            .transpose()?;
        return Ok((account, let_in));
    }
    let client = Client::new(address, None);
    let Granted { invite, offered } = approval::ask_to_be_let_in(&client, identity, context)?;
    let own = shown(name.as_ref());
    // Once only: an invitation is spent by the first call that arrives.
    let sign_in = SignIn {
        invite: Some(invite),
        name,
        on_paper: false,
    };
    let signed_in = client
        .post_once("/v1/accounts", &sign_in)
        .map_err(|error| refused(error, true, &address.origin))?;
    let account = Account::new(address, signed_in, *identity);
    keep(&account, file, context)?;
    let client = Client::new(address, Some(&account.token));
    let let_in = offered
        .map(|offered| let_in::enter(offered, own, &client, context))
        .transpose()?;
    Ok((account, let_in))
}

/// The sign-in of a kit, typed or from a file. Nothing is sent before it fits the server's address.
fn on_paper(
    args: &Login,
    address: &Address,
    context: &Context,
) -> Result<Option<PaperSignIn>, Failure> {
    let origin = &address.origin;
    if let Some(path) = &args.kit_file {
        let text = secrets::read_text(path)?;
        let mut lines = text.lines();
        let code = Zeroizing::new(
            lines
                .by_ref()
                .filter(|line| !line.starts_with('#'))
                .collect::<String>(),
        );
        return PaperSignIn::read(&code, origin)
            .map(Some)
            .map_err(|bad| no_code(bad, origin));
    }
    if !args.from_kit {
        return Ok(None);
    }
    if !context.output.can_ask() {
        return Err(Failure::new(
            Exit::NeedsUnlock,
            "this needs the sign-in of a kit, and nobody can be asked for it here",
        )
        .hint("write it into a file: `--kit-file FILE`"));
    }
    let output = &context.output;
    output.show("The sign-in in the kit has 5 lines of 16 letters and digits. They are not shown.");
    let mut last = None;
    for _ in 0..TRIES {
        let mut code = Zeroizing::new(String::with_capacity(256));
        while code.len() < paper::LETTERS {
            let line = code.len() / paper::LINE_LETTERS + 1;
            let typed = secrets::ask_hidden(&format!("Sign-in, line {line}: "))?;
            match paper::letters(&typed) {
                Some(letters)
                    if !letters.is_empty() && letters.len().is_multiple_of(paper::LINE_LETTERS) =>
                {
                    code.push_str(&letters);
                }
                _ => output.show("  a line has 16 letters and digits; type this line again"),
            }
        }
        match PaperSignIn::read(&code, origin) {
            Ok(paper) => return Ok(Some(paper)),
            Err(bad) => {
                let failure = no_code(bad, origin);
                output.complain(&failure);
                last = Some(failure);
            }
        }
    }
    Err(last.unwrap_or_else(|| no_code(BadCode::Other, origin)))
}

fn no_code(bad: BadCode, origin: &str) -> Failure {
    let message = match bad {
        BadCode::Length(letters) => {
            format!(
                "a sign-in has {} letters and digits, and this has {letters}",
                paper::LETTERS
            )
        }
        BadCode::Character => "this holds a character that no sign-in has".into(),
        BadCode::Other => format!("a letter is wrong, or this is no sign-in to {origin}"),
    };
    Failure::new(Exit::WrongKey, message)
        .hint("compare it with the kit, and the address with the one that stands there")
}

/// The kit's sign-in invites the new computer, and stays as it is: a sign-in on paper is used by nobody every day.
fn invited_by_kit(
    paper: &PaperSignIn,
    address: &Address,
    identity: &Fixed<32>,
) -> Result<Invite, Failure> {
    if !paper.is_of(identity) {
        return Err(Failure::new(
            Exit::Damage,
            format!(
                "{} is not the server that the kit was made with",
                address.origin
            ),
        )
        .hint("ask who runs the server whether it was set up anew; nothing was sent to it"));
    }
    let Invitation { invite } = Client::new(address, Some(paper.token()))
        .post_once("/v1/invitations", &serde_json::json!({}))
        .map_err(|error| match error.code() {
            Some(Code::SignInNeeded | Code::SignedOut) => Failure::new(
                Exit::NeedsUnlock,
                "the kit's sign-in was ended by another device",
            )
            .hint("sign in another way, and print a new kit"),
            _ => error.failure(&address.origin),
        })?;
    Ok(invite)
}

fn shown(name: Option<&DeviceName>) -> String {
    name.map(|name| name.as_str().to_owned())
        .unwrap_or_default()
}

/// Whether the passkey is asked for on another device. A server of this computer has no page that one reaches.
fn is_elsewhere(args: &Login, address: &Address) -> bool {
    match args.via {
        Some(via) => via == SignInVia::Qr,
        None => !address.is_local() && !browser::is_there(&args.browser),
    }
}

/// Signs in by a passkey on another device, which is told of it when the sign-in lies here.
fn on_other_device(
    args: &Login,
    address: &Address,
    identity: &Fixed<32>,
    file: &Path,
    context: &Context,
) -> Result<Account, Failure> {
    let name = signin::device_name(args.device_name.as_deref(), context).ok_or_else(|| {
        Failure::usage("the other device has to show what this computer is called")
            .hint("name it: `--device-name NAME`")
    })?;
    let tenant = tenant(args)?;
    let (finish, page) =
        signin_elsewhere::on_other_device(address, tenant.as_ref(), name, context)?;
    let signed_in = Client::new(address, None)
        .post_once("/v1/signin/finish", &finish)
        .map_err(|error| error.failure(&address.origin))?;
    let account = Account::new(address, signed_in, *identity);
    keep(&account, file, context)?;
    page.end_well();
    Ok(account)
}

fn tenant(args: &Login) -> Result<Option<TenantName>, Failure> {
    let named = args.tenant.as_deref().map(|name| {
        TenantName::new(name).ok_or_else(|| Failure::usage("no server has users of this name"))
    });
    named.transpose()
}

/// Asks the server for a sign-in, in the way that was named.
fn enter(
    args: &Login,
    invite: Option<Invite>,
    client: &Client,
    context: &Context,
) -> Result<SignedIn, Failure> {
    let origin = client.origin();
    let tenant = tenant(args)?;
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
    let is_invited = invite.is_some();
    let sign_in = SignIn {
        invite,
        name,
        on_paper: false,
    };
    // Once only: an invitation is spent by the first call that arrives.
    client
        .post_once("/v1/accounts", &sign_in)
        .map_err(|error| refused(error, is_invited, origin))
}

/// Where the account file goes; refused before anything is asked of the server.
fn new_file(goes_on: bool, context: &Context) -> Result<&Path, Failure> {
    let file = context.account_file.as_deref().ok_or_else(|| {
        Failure::usage("a sign-in is kept in a file, and none was named")
            .hint("add `--account-file FILE`: it is written there, for you alone")
    })?;
    if file.exists() && !goes_on {
        return Err(exists(file));
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
    // An invitation is spent and a server owned by the sign-in that has then to be kept.
    if !file.exists() {
        tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
            .map_err(|error| Failure::file("write", file, &error))?;
    }
    Ok(file)
}

fn exists(file: &Path) -> Failure {
    Failure::usage(format!("{} exists already", file.display()))
        .hint("name a new file: an account file is never replaced")
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
        .hint("ask who runs the server for one, then add `--invite-file FILE`; if you have an account file already, use it: `--account-file FILE`"),
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
