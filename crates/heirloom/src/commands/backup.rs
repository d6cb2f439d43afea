//! `backup` and `start-over`.

mod dry;
mod first;
mod join;
mod report;
mod source;

pub(crate) use join::describe;

use std::path::Path;
use std::sync::Arc;

use heirloom_engine::backup::{self, BackupJob, BackupOptions};
use heirloom_engine::keys::ReaderKeys;
use heirloom_engine::ledger::SqliteLedger;
use heirloom_engine::store::Store;

use crate::args::write::{Backup, From, How, StartOver};
use crate::context::{Context, now_ms};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guard::Guard;
use crate::home::repository::Lock;
use crate::keys::{self, Reader};
use crate::output::engine::Shown;
use crate::{recovery, repository};

/// Everything that a run needs, whatever way it came to it.
struct Ready {
    store: Arc<dyn Store>,
    place: String,
    device: Device,
    /// There when the backup was unlocked in this run.
    reader: Option<Arc<Reader>>,
    how: Began,
    _lock: Lock,
}

/// How a run came to its backup.
enum Began {
    /// It made it. Where the key was written, when it was.
    First {
        key_file: Option<std::path::PathBuf>,
    },
    /// It joined it.
    Joined,
    /// It knew it.
    Known,
}

/// Backs up a chat history.
pub(crate) fn run(args: &Backup, context: &Context) -> Result<Exit, Failure> {
    let mut source = source::open(&args.from, context)?;
    if args.dry_run {
        return dry::run(source.as_mut(), args, context);
    }
    let found = repository::look(&args.to, context)?;
    let is_known = found.as_ref().is_some_and(|found| found.state.is_some());
    if !is_known {
        source = source::rehearse(source, &args.from, context)?;
    }
    let ready = match found {
        None => {
            if args.unlock.passkey {
                return Err(repository::no_backup(&args.to).hint(
                    "a first backup makes new ways in: add `--new-passkey` instead, and `--new-recovery-key-file FILE`",
                ));
            }
            if let (None, Some(_)) = (
                &args.new_recovery_key_file,
                recovery::file(&args.unlock, context),
            ) {
                return Err(repository::no_backup(&args.to).hint(
                    "a first backup makes a new key: add `--new-recovery-key-file FILE` instead",
                ));
            }
            first::begin(
                &args.to,
                first::NewWays {
                    key_file: args.new_recovery_key_file.as_deref(),
                    passkey: args.new_passkey.then_some(&args.unlock),
                },
                &args.how,
                context,
            )?
        }
        Some(found) => join::known_or_join(found, args, context)?,
    };
    go(ready, source.as_mut(), &args.from, &args.how, context)
}

/// Begins a new backup beside one that cannot be opened any more.
pub(crate) fn start_over(args: &StartOver, context: &Context) -> Result<Exit, Failure> {
    let old = repository::find(&args.to, context)?;
    if !args.keep_old_backup {
        return Err(Failure::usage(format!(
            "{} holds a backup (keyring {}), and a new one would have other keys",
            old.place,
            old.newest.number()
        ))
        .hint("if every way into it is lost, confirm with `--keep-old-backup`: it stays where it is, and the new one begins beside it"));
    }
    let mut source = source::rehearse(source::open(&args.from, context)?, &args.from, context)?;
    let day = crate::words::moment(now_ms());
    let day = day.split(' ').next().unwrap_or("today");
    let beside = format!("{}/started-over-{day}", args.to.trim_end_matches('/'));
    if repository::look(&beside, context)?.is_some() {
        return Err(
            Failure::usage(format!("{beside} holds a backup already")).hint(format!(
                "go on with it: `heirloom backup SOURCE --to {beside}`"
            )),
        );
    }
    let ready = first::begin(
        &beside,
        first::NewWays {
            key_file: args.new_recovery_key_file.as_deref(),
            passkey: None,
        },
        &args.how,
        context,
    )?;
    context.output.say(&format!(
        "The old backup in {} was not touched; from now on use {beside}",
        args.to
    ));
    go(ready, source.as_mut(), &args.from, &args.how, context)
}

/// What makes the same files be read another way.
fn read_as(from: &From) -> String {
    from.date_order
        .map_or_else(String::new, |order| format!("{order:?}"))
}

/// Runs the engine and tells how it ended.
fn go(
    ready: Ready,
    source: &mut dyn heirloom_archive::Source,
    from: &From,
    how: &How,
    context: &Context,
) -> Result<Exit, Failure> {
    let Ready {
        store,
        place,
        device,
        reader,
        how: began,
        _lock,
    } = ready;
    let mut rng = keys::rng();
    let progress = Shown::new(&context.output, &context.interrupt);
    let ledger = SqliteLedger::open(&device.state.ledger())?;
    let name = device::name(how.device_name.as_deref(), &context.settings);
    let run_keys = keys::for_one_run(&device.writer, &mut rng);
    let guard = Arc::new(Guard::new(
        store.clone(),
        device.state.clone(),
        device.writer.keyring_number,
    ));
    let outcome = backup::run(BackupJob {
        store: guard.clone(),
        keys: &run_keys,
        reader: reader
            .clone()
            .map(|reader| -> Arc<dyn ReaderKeys> { reader }),
        ledger: &ledger,
        source,
        rng: &mut rng,
        now_ms: now_ms(),
        device_name: &name,
        options: BackupOptions {
            force: how.force,
            read_as: read_as(from),
            clock: Some(now_ms),
            ..BackupOptions::default()
        },
        progress: &progress,
    });
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            progress.done();
            return Err(guard.refusal().unwrap_or_else(|| error.into()));
        }
    };
    repository::remember_head(&device.state, &outcome)?;
    if let Some(ahead_ms) = outcome.ahead_ms {
        context
            .output
            .warn(&report::clock_words(ahead_ms, now_ms()));
    }
    let checked = check(
        &store,
        &device,
        reader.as_ref(),
        &outcome.snapshot,
        &progress,
    )?;
    progress.done();
    device.state.note(|notes| {
        notes.stores.retain(|known| *known != place);
        notes.stores.push(place.clone());
        notes.backed_up_ms = Some(now_ms());
    })?;
    report::tell(
        &outcome,
        &began,
        checked,
        reader.as_deref().map(Reader::keyring),
        &source.info(),
        &from.source,
        &place,
        context,
    );
    Ok(if outcome.report.left_out_something_readable() {
        Exit::SomeSkipped
    } else {
        Exit::Done
    })
}

/// Opens what was just stored, where this run can read at all. Returns whether it could.
fn check(
    store: &Arc<dyn Store>,
    device: &Device,
    reader: Option<&Arc<Reader>>,
    snapshot: &str,
    progress: &Shown<'_>,
) -> Result<bool, Failure> {
    use heirloom_archive::History;
    use heirloom_engine::repository::{Repository, Selection};
    let Some(reader) = reader else {
        return Ok(false);
    };
    progress.meter().phase("Checking", None, None);
    let keys: Arc<dyn ReaderKeys> = reader.clone();
    // What this computer has seen of other lineages is not forgotten by a run that reads them.
    let seen = repository::known_heads(&device.state)?;
    let opened = Arc::new(Repository::open(store.clone(), keys, seen.as_ref())?);
    let mut view = opened
        .clone()
        .view(&Selection::Snapshot(snapshot.to_owned()))?;
    let conversations = view.conversations()?;
    progress.meter().advance(
        "Checking",
        u64::try_from(conversations.len()).unwrap_or(u64::MAX),
        0,
    );
    repository::remember(
        &device.state,
        reader.keyring(),
        Some(repository::heads(&opened)),
    )?;
    Ok(true)
}

/// A path as it was given, for words.
fn shown(path: &Path) -> String {
    crate::words::tame(&path.display().to_string())
}
