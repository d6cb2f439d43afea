//! `admin users`: accounts.

use std::fmt::Write as _;

use heirloom_vault::{Answer, Ask, UserInfo};
use serde::Serialize;

use super::asking::{Asking, account, strange};
use crate::args::admin::UsersCommand;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::{secrets, words};

#[derive(Serialize)]
struct User {
    account: String,
    tenant: Option<String>,
    created_at: Option<String>,
    used_bytes: u64,
    quota_bytes: u64,
    disabled_at: Option<String>,
    devices: u64,
    objects: u64,
}

#[derive(Serialize)]
struct Listed {
    users: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    passwords: u64,
    seconds: f64,
}

#[derive(Serialize)]
struct Outcome<'a> {
    account: &'a str,
    changed: bool,
    seconds: f64,
}

pub(super) fn run(
    command: &UsersCommand,
    asking: &Asking,
    context: &Context,
) -> Result<Exit, Failure> {
    match command {
        UsersCommand::List => list(asking, context),
        UsersCommand::Show(who) => show(&who.account, asking, context),
        UsersCommand::Quota { account: who, size } => {
            let ask = Ask::Quota {
                account: account(&who.account)?,
                quota_bytes: *size,
            };
            asking.change(&ask)?;
            let sentence = format!("The account may store {} from now on", words::bytes(*size));
            tell("admin users quota", &who.account, true, &sentence, context);
            Ok(Exit::Done)
        }
        UsersCommand::Disable(who) => disable(&who.account, true, asking, context),
        UsersCommand::Enable(who) => disable(&who.account, false, asking, context),
        UsersCommand::Delete { account, yes } => delete(&account.account, *yes, asking, context),
    }
}

fn time(ms: u64) -> Option<String> {
    words::rfc3339(i64::try_from(ms).ok()?)
}

fn user(info: UserInfo) -> User {
    let UserInfo {
        account,
        tenant,
        created_ms,
        used_bytes,
        quota_bytes,
        disabled_ms,
        devices,
        objects,
    } = info;
    User {
        account: account.to_text(),
        tenant,
        created_at: time(created_ms),
        used_bytes,
        quota_bytes,
        disabled_at: disabled_ms.and_then(time),
        devices,
        objects,
    }
}

fn line(user: &User) -> String {
    let User {
        account,
        tenant,
        created_at: _,
        used_bytes,
        quota_bytes,
        disabled_at,
        devices,
        objects: _,
    } = user;
    let (stored, quota) = (words::bytes(*used_bytes), words::bytes(*quota_bytes));
    let devices = words::count(*devices, "device", "devices");
    let mut line = format!("{account}  {stored} of {quota} · {devices}");
    // The one tenant of a server that was not told of any says nothing.
    if let Some(tenant) = tenant.as_deref().filter(|name| *name != "default") {
        let _ = write!(line, " · {}", words::tame(tenant));
    }
    if disabled_at.is_some() {
        line.push_str(" · disabled");
    }
    line
}

fn list(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let Answer::Users { users, more } = asking.ask(&Ask::Users { after })? else {
            return Err(strange());
        };
        after = users.last().map(|user| user.account);
        for info in users {
            let user = user(info);
            context.output.line(&line(&user));
            context.output.event(&Event::new("user", user));
            count += 1;
        }
        if !more {
            break;
        }
    }
    let seconds = context.seconds();
    context
        .output
        .say(&words::count(count, "account", "accounts"));
    let listed = Listed {
        users: count,
        seconds,
    };
    context
        .output
        .event(&events::summary("admin users list", listed));
    Ok(Exit::Done)
}

fn show(text: &str, asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let ask = Ask::User {
        account: account(text)?,
    };
    let Answer::User {
        user: info,
        passwords,
    } = asking.ask(&ask)?
    else {
        return Err(strange());
    };
    let user = user(info);
    let output = &context.output;
    output.line(&line(&user));
    output.line(&format!(
        "opened {} · {} · {}",
        user.created_at.as_deref().unwrap_or("at an unknown time"),
        words::count(user.objects, "object", "objects"),
        words::count(passwords, "password", "passwords"),
    ));
    let shown = Shown {
        user,
        passwords,
        seconds: context.seconds(),
    };
    output.event(&events::summary("admin users show", shown));
    Ok(Exit::Done)
}

fn disable(
    text: &str,
    disabled: bool,
    asking: &Asking,
    context: &Context,
) -> Result<Exit, Failure> {
    let ask = Ask::Disable {
        account: account(text)?,
        disabled,
    };
    let changed = asking.change(&ask)?;
    let (command, sentence) = match (disabled, changed) {
        (true, true) => (
            "admin users disable",
            "The account's sign-ins are refused; nothing was deleted",
        ),
        (true, false) => ("admin users disable", "The account was disabled already"),
        (false, true) => (
            "admin users enable",
            "The account's sign-ins are taken again",
        ),
        (false, false) => ("admin users enable", "The account was not disabled"),
    };
    tell(command, text, changed, sentence, context);
    Ok(Exit::Done)
}

fn delete(text: &str, yes: bool, asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let ask = Ask::Delete {
        account: account(text)?,
    };
    if !yes {
        if !context.output.can_ask() {
            return Err(Failure::new(
                Exit::NeedsUnlock,
                "an account is deleted only when somebody confirms it",
            )
            .hint(
                "add `--yes`; its passwords are destroyed at once, its objects after the grace",
            ));
        }
        context
            .output
            .show("Its passwords are destroyed at once, its objects after the grace");
        if !secrets::ask_yes("Delete the account")? {
            return Err(Failure::new(Exit::Interrupted, "nothing was deleted"));
        }
    }
    asking.change(&ask)?;
    let sentence = "The account is deleted: its passwords at once, its objects after the grace";
    tell("admin users delete", text, true, sentence, context);
    Ok(Exit::Done)
}

fn tell(command: &'static str, account: &str, changed: bool, sentence: &str, context: &Context) {
    context.output.line(sentence);
    let outcome = Outcome {
        account,
        changed,
        seconds: context.seconds(),
    };
    context.output.event(&events::summary(command, outcome));
}
