//! `check`: looks for damage, and says what it affects.

use std::collections::HashMap;

use heirloom_engine::check::{self, CheckOptions, Problem};
use heirloom_engine::keyrings;
use heirloom_keys::LockedKeyring;
use serde::Serialize;

use crate::args::manage::Check;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::engine::Shown;
use crate::output::events::{self, Event};
use crate::repository::{self, Opened};
use crate::words;

#[derive(Serialize)]
struct Line<'a> {
    object: &'a str,
    what: &'a str,
    affects: &'a str,
}

#[derive(Serialize)]
struct Summary {
    ok: bool,
    problems: usize,
    objects: u64,
    bytes: u64,
    /// Packs that no snapshot needs: left by a run that was cut off, or waiting to be pruned.
    unused_packs: u64,
    read_data_percent: u8,
    seconds: f64,
}

/// Checks.
pub(crate) fn run(args: &Check, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let repository = match opened.repository_damaged() {
        Ok(repository) => repository,
        // Nothing was backed up yet: the words for that are the same everywhere.
        Err(_) => opened.repository()?,
    };
    let progress = Shown::new(&context.output, &context.interrupt);
    let outcome = check::run(
        &repository,
        &CheckOptions {
            read_data: args.read_data,
        },
        &progress,
    );
    progress.done();
    let mut outcome = outcome?;
    keyrings_in_line(&opened, &mut outcome.problems)?;
    let output = &context.output;
    for problem in &outcome.problems {
        say(problem, context);
    }
    if let Some(state) = &opened.found.state
        && outcome.problems.is_empty()
    {
        state.note(|notes| notes.checked_ms = Some(now_ms()))?;
    }
    let what = match args.read_data {
        None => "structure checked; contents were not read".to_owned(),
        Some(100) => "structure and all contents checked".to_owned(),
        Some(share) => format!("structure and {share} % of the contents checked"),
    };
    let amount = format!(
        "{}, {}",
        words::count(outcome.objects, "object", "objects"),
        words::bytes(outcome.bytes)
    );
    if outcome.problems.is_empty() {
        output.line(&format!("No damage: {what} ({amount})"));
        if args.read_data.is_none() {
            output.hint("`--read-data` reads the contents too; `--read-data=5%` a sample of them");
        }
    } else {
        output.line(&format!(
            "{} ({amount})",
            words::count(
                u64::try_from(outcome.problems.len()).unwrap_or(u64::MAX),
                "problem",
                "problems"
            )
        ));
        output.hint("bring the objects named above back from a copy of the store; `heirloom backup SOURCE --to STORE --force` stores again what the source still has");
    }
    output.event(&events::summary(
        "check",
        Summary {
            ok: outcome.problems.is_empty(),
            problems: outcome.problems.len(),
            objects: outcome.objects,
            bytes: outcome.bytes,
            unused_packs: outcome.unused_packs,
            read_data_percent: args.read_data.unwrap_or(0),
            seconds: context.seconds(),
        },
    ));
    Ok(if outcome.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Damage
    })
}

/// Every keyring back to the first has to be there and to be the one that the next names: the engine does not know
/// what a keyring is.
fn keyrings_in_line(opened: &Opened, problems: &mut Vec<Problem>) -> Result<(), Failure> {
    let store = &*opened.found.store;
    let mut wanted = vec![opened.found.newest.clone()];
    let mut known = HashMap::new();
    for name in keyrings::list(store)? {
        let read = keyrings::load(store, &name.name).map_err(Failure::from);
        match read.and_then(|bytes| Ok(LockedKeyring::parse(&bytes)?)) {
            Ok(keyring)
                if keyring.number() == name.number
                    && keyring.repository() == opened.found.newest.repository() =>
            {
                known.insert(keyring.hash(), (name, keyring));
            }
            Ok(_) => problems.push(problem(
                &name.name,
                "it belongs to another place or another backup",
            )),
            Err(failure) => problems.push(problem(&name.name, &failure.message)),
        }
    }
    known.remove(&opened.found.newest.hash());
    while let Some(keyring) = wanted.pop() {
        for hash in keyring.previous_hashes() {
            match known.remove(hash) {
                Some((_, before)) => wanted.push(before),
                None if keyring.number() > 1 => {
                    // Its whole name is not known: objects are named by another hash than keyrings name each other.
                    let name = format!("keyring/{:08}", keyring.number() - 1);
                    if problems.iter().all(|known| known.object != name) {
                        problems.push(problem(&name, "it is missing"));
                    }
                }
                None => {}
            }
        }
    }
    for (name, _) in known.into_values() {
        problems.push(problem(&name.name, "the newest keyring does not follow it"));
    }
    Ok(())
}

fn problem(object: &str, what: &str) -> Problem {
    let affects = "no message: only the record of how the ways in changed";
    Problem {
        object: object.to_owned(),
        what: what.to_owned(),
        affects: affects.to_owned(),
    }
}

/// One problem: which object, what is wrong with it, what that costs.
pub(crate) fn say(problem: &Problem, context: &Context) {
    let Problem {
        object,
        what,
        affects,
    } = problem;
    let costs = if affects.is_empty() {
        String::new()
    } else {
        format!("; affects {}", words::tame(affects))
    };
    context.output.line(&format!(
        "damaged: {}: {}{costs}",
        words::tame(object),
        words::tame(what)
    ));
    context.output.event(&Event::new(
        "problem",
        Line {
            object,
            what,
            affects,
        },
    ));
}
