//! `prune`: lets go of snapshots, with a preview in plain words.

use heirloom_engine::prune::{self, KeepRules};
use serde::Serialize;

use crate::args::manage::Prune;
use crate::context::{Context, now_ms};
use crate::device::Device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::engine::Shown;
use crate::output::events::{self, Event};
use crate::{keys, repository, secrets, words};

#[derive(Serialize)]
struct Line<'a> {
    snapshot: &'a str,
    created_at: Option<String>,
    keep: bool,
    why: &'a str,
}

#[derive(Serialize)]
struct Summary {
    dry_run: bool,
    kept: usize,
    let_go: usize,
    marked_objects: u64,
    swept_objects: u64,
    freed_bytes: u64,
    seconds: f64,
}

/// Prunes.
pub(crate) fn run(args: &Prune, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let repository = opened.repository()?;
    let rules = KeepRules {
        last: args.keep_last.unwrap_or(0),
        daily: args.keep_daily.unwrap_or(0),
        weekly: args.keep_weekly.unwrap_or(0),
        monthly: args.keep_monthly.unwrap_or(0),
        yearly: args.keep_yearly.unwrap_or(0),
    };
    let plan = prune::plan(&repository, &rules, now_ms())?;
    let output = &context.output;
    for choice in &plan.snapshots {
        let verb = if choice.keep { "keep" } else { "let go" };
        let short = choice.snapshot.get(..8).unwrap_or(&choice.snapshot);
        output.line(&format!(
            "{verb:<7} {short}  {}  {}",
            words::moment(choice.created_at),
            choice.why
        ));
        output.event(&Event::new(
            "choice",
            Line {
                snapshot: &choice.snapshot,
                created_at: words::rfc3339(choice.created_at),
                keep: choice.keep,
                why: &choice.why,
            },
        ));
    }
    let kept = plan.snapshots.iter().filter(|choice| choice.keep).count();
    let let_go = plan.snapshots.len() - kept;
    output.line(&format!(
        "Keeps {kept}, lets go of {let_go}; {} to mark, {} to sweep ({})",
        words::count(plan.marked_objects, "object", "objects"),
        words::count(plan.swept_objects, "object", "objects"),
        words::bytes(plan.freed_bytes),
    ));
    let summary = Summary {
        dry_run: args.dry_run,
        kept,
        let_go,
        marked_objects: plan.marked_objects,
        swept_objects: plan.swept_objects,
        freed_bytes: plan.freed_bytes,
        seconds: context.seconds(),
    };
    if args.dry_run {
        output.hint("nothing was changed; without `--dry-run` it is done");
        output.event(&events::summary("prune", summary));
        return Ok(Exit::Done);
    }
    let device = opened
        .found
        .state
        .as_ref()
        .map(Device::load)
        .transpose()?
        .flatten();
    let Some(mut device) = device else {
        return Err(Failure::new(
            Exit::NeedsUnlock,
            "this computer is no device of the backup, and only a device may change it",
        )
        .hint(
            "join it first: `heirloom backup SOURCE --to STORE --recovery-key-file FILE --join`",
        ));
    };
    if !args.yes {
        if !output.can_ask() {
            return Err(Failure::usage(
                "prune asks before it lets go of anything, and nobody is here to ask",
            )
            .hint("add `--yes`"));
        }
        if !secrets::ask_yes("Do this")? {
            return Err(Failure::new(Exit::Failed, "nothing was changed"));
        }
    }
    let _lock = device.state.lock()?;
    device.follow(opened.reader.keyring())?;
    let mut rng = keys::rng();
    let run_keys = keys::for_one_run(&device.writer, &mut rng);
    let progress = Shown::new(output, &context.interrupt);
    let done = prune::apply(&repository, plan, &run_keys, &mut rng, &progress);
    progress.done();
    let done = done?;
    output.line(&format!("Freed {}", words::bytes(done.freed_bytes)));
    output.event(&events::summary(
        "prune",
        Summary {
            seconds: context.seconds(),
            freed_bytes: done.freed_bytes,
            ..summary
        },
    ));
    Ok(Exit::Done)
}
