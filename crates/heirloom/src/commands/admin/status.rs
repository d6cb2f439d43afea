//! `admin stats`, `locks`, `keys`, `generation`: how the server stands.

use std::fmt::Write as _;

use heirloom_vault::{Answer, Ask, KeysInfo, LockInfo, StatsInfo};
use serde::Serialize;

use super::asking::{Asking, strange};
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::{secrets, words};

#[derive(Serialize)]
struct Timed<T> {
    #[serde(flatten)]
    body: T,
    seconds: f64,
}

fn timed<T: Serialize>(body: T, context: &Context) -> Timed<T> {
    Timed {
        body,
        seconds: context.seconds(),
    }
}

pub(super) fn stats(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let Answer::Stats(stats) = asking.ask(&Ask::Stats)? else {
        return Err(strange());
    };
    let StatsInfo {
        accounts,
        disabled,
        devices,
        passwords,
        locked,
        destroyed,
        unknown_names,
        objects,
        object_bytes,
        deleted_objects,
        restores,
        restore_waits,
        rollout_version,
        rollout_fault,
    } = &stats;
    let output = &context.output;
    output.line(&format!(
        "{}, {} disabled, {}",
        words::count(*accounts, "account", "accounts"),
        words::number(*disabled),
        words::count(*devices, "device", "devices"),
    ));
    output.line(&format!(
        "{}, {} locked to strangers, {} destroyed; {} that nobody registered",
        words::count(*passwords, "password", "passwords"),
        words::number(*locked),
        words::number(*destroyed),
        words::count(*unknown_names, "name", "names"),
    ));
    output.line(&format!(
        "{}, {}; {} deleted, in their grace",
        words::count(*objects, "object", "objects"),
        words::bytes(*object_bytes),
        words::number(*deleted_objects),
    ));
    output.line(&match rollout_version {
        0 => "No rules of a roll-out".to_owned(),
        version => format!("Rules of the roll-out: version {version}"),
    });
    if let Some(fault) = rollout_fault {
        output.warn(&format!(
            "the rules in the file are not in force: {}",
            words::tame(fault)
        ));
    }
    if *restore_waits {
        output.warn(
            "the database was put back from a copy: until `heirloom admin generation accept`, strangers cannot guess",
        );
    } else if *restores > 0 {
        output.line(&format!(
            "Put back from a copy: {}",
            words::count(*restores, "time", "times")
        ));
    }
    output.event(&events::summary("admin stats", timed(stats, context)));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Lock {
    record: String,
    account: String,
    state: String,
    guesses: u64,
    lifetime: u64,
    not_before: Option<String>,
}

#[derive(Serialize)]
struct Locks {
    locks: u64,
}

pub(super) fn locks(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let (mut after, mut count) = (None, 0);
    loop {
        let Answer::Locks { locks, more } = asking.ask(&Ask::Locks { after })? else {
            return Err(strange());
        };
        after = locks.last().map(|lock| lock.record);
        for lock in locks {
            let LockInfo {
                record,
                account,
                state,
                guesses,
                lifetime,
                not_before_ms,
            } = lock;
            let until = i64::try_from(not_before_ms)
                .ok()
                .filter(|until| *until > now_ms())
                .and_then(words::rfc3339);
            let mut line = format!(
                "{}  {} guesses of 10, {} of 100 in its life · {}",
                account.to_text(),
                guesses,
                lifetime,
                words::tame(&state)
            );
            if let Some(until) = &until {
                let _ = write!(line, " · waits until {until}");
            }
            context.output.line(&line);
            let event = Lock {
                record: record.to_text(),
                account: account.to_text(),
                state,
                guesses,
                lifetime,
                not_before: until,
            };
            context.output.event(&Event::new("lock", event));
            count += 1;
        }
        if !more {
            break;
        }
    }
    context.output.say(&format!(
        "{}; only a proven password opens one",
        words::count(count, "lock", "locks")
    ));
    let summary = timed(Locks { locks: count }, context);
    context
        .output
        .event(&events::summary("admin locks list", summary));
    Ok(Exit::Done)
}

pub(super) fn keys(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let Answer::Keys(keys) = asking.ask(&Ask::Keys)? else {
        return Err(strange());
    };
    let KeysInfo {
        custody,
        wrapping_keys,
        wrapped,
        unreadable,
    } = &keys;
    let output = &context.output;
    output.line(if custody == "hsm" {
        "The wrapping key lies in an HSM"
    } else {
        "The server's keys lie in a file: whoever has it and the database can try passwords"
    });
    if *wrapping_keys > 1 {
        output.line(&format!(
            "It is being changed: {} wrapped anew so far",
            words::count(*wrapped, "value", "values")
        ));
    }
    if *unreadable > 0 {
        output.warn(&format!(
            "{} under no key: the old key stays, and `heirloom admin audit verify` may say more",
            words::count(*unreadable, "value opens", "values open")
        ));
    }
    output.event(&events::summary("admin keys status", timed(keys, context)));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Changed {
    changed: bool,
}

pub(super) fn rotate(asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    let changed = asking.change(&Ask::RotateKeys)?;
    let output = &context.output;
    output.line(
        "A new wrapping key seals from now on; what is sealed under the old one is sealed anew",
    );
    output.say("Copy the key file again, apart from the database. `heirloom admin keys status` shows when the old key is gone");
    output.event(&events::summary(
        "admin keys rotate",
        timed(Changed { changed }, context),
    ));
    Ok(Exit::Done)
}

pub(super) fn accept(yes: bool, asking: &Asking, context: &Context) -> Result<Exit, Failure> {
    if !yes {
        let what = "guesses that were made since the copy was taken are forgotten";
        if !context.output.can_ask() {
            return Err(Failure::new(
                Exit::NeedsUnlock,
                "a copy is accepted only when somebody confirms it",
            )
            .hint(format!("add `--yes`; {what}")));
        }
        context.output.show(&format!("Then {what}"));
        if !secrets::ask_yes("Accept the database as it is")? {
            return Err(Failure::new(Exit::Interrupted, "nothing was accepted"));
        }
    }
    let changed = asking.change(&Ask::AcceptRestore)?;
    let output = &context.output;
    output.line(if changed {
        "The database is accepted as it is"
    } else {
        "The database was not put back from a copy: there is nothing to accept"
    });
    output.event(&events::summary(
        "admin generation accept",
        timed(Changed { changed }, context),
    ));
    Ok(Exit::Done)
}
