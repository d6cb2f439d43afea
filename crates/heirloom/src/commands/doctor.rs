//! `doctor`: what is wrong on this computer or with a store, and what to do about it.

use heirloom_ceremony::{LOCALHOST, Purpose};
use heirloom_engine::keyrings;
use heirloom_engine::store::{Put, Store};
use heirloom_keys::{LockedKeyring, Method, Status, Unlocked};
use rand_core::Rng;
use serde::Serialize;

use crate::args::manage::Doctor;
use crate::commands::protect::show::status_of;
use crate::context::{Context, now_ms};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::home::RepositoryState;
use crate::output::events::{self, Event};
use crate::{keys, process, repository, unlock, words};

/// A check-up is due after so long.
const VERIFY_DUE_MS: i64 = 90 * 86_400_000;
/// A backup is overdue after so long.
const BACKUP_DUE_MS: i64 = 7 * 86_400_000;

#[derive(Debug, Serialize)]
struct Finding {
    /// "ok", "note" or "problem".
    verdict: &'static str,
    what: String,
    hint: Option<&'static str>,
}

#[derive(Serialize)]
struct Summary {
    ok: bool,
    problems: usize,
    seconds: f64,
}

/// What was found so far.
struct Findings<'a> {
    context: &'a Context,
    problems: usize,
}

impl Findings<'_> {
    fn ok(&mut self, what: impl Into<String>) {
        self.add("ok", what.into(), None);
    }

    fn note(&mut self, what: impl Into<String>, hint: &'static str) {
        self.add("note", what.into(), Some(hint));
    }

    fn problem(&mut self, what: impl Into<String>, hint: &'static str) {
        self.problems += 1;
        self.add("problem", what.into(), Some(hint));
    }

    fn failure(&mut self, failure: &Failure) {
        self.problems += 1;
        let mut words = vec![failure.message.clone()];
        words.extend(failure.causes.iter().cloned());
        self.add("problem", words.join(": "), None);
        if let Some(hint) = &failure.hint {
            self.context.output.line(&format!("      {hint}"));
        }
    }

    fn add(&mut self, verdict: &'static str, what: String, hint: Option<&'static str>) {
        let mark = match verdict {
            "ok" => "✓",
            "note" => "•",
            _ => "✗",
        };
        let output = &self.context.output;
        output.line(&format!("  {mark} {what}"));
        if let Some(hint) = hint {
            output.line(&format!("      {hint}"));
        }
        output.event(&Event::new(
            "finding",
            Finding {
                verdict,
                what,
                hint,
            },
        ));
    }
}

/// Examines this computer, and a store when one is named.
pub(crate) fn run(args: &Doctor, context: &Context) -> Exit {
    let mut findings = Findings {
        context,
        problems: 0,
    };
    context.output.title("This computer");
    computer(&mut findings, context);
    for state in context.home.all() {
        context
            .output
            .title(&format!("Backup {}", hex::encode(&state.id()[..4])));
        known(&mut findings, &state);
    }
    if let Some(address) = &args.store {
        context.output.title(&format!("Store {address}"));
        if let Err(failure) = examine_store(&mut findings, address, args, context) {
            findings.failure(&failure);
        }
    }
    let problems = findings.problems;
    let ok = problems == 0;
    let sentence = if ok {
        "Nothing is wrong".to_owned()
    } else {
        words::count(
            u64::try_from(problems).unwrap_or(u64::MAX),
            "problem",
            "problems",
        )
    };
    context.output.line(&sentence);
    context.output.event(&events::summary(
        "doctor",
        Summary {
            ok,
            problems,
            seconds: context.seconds(),
        },
    ));
    if ok { Exit::Done } else { Exit::Failed }
}

fn computer(findings: &mut Findings<'_>, context: &Context) {
    if process::core_dumps_are_off() {
        findings.ok("core dumps are off for this program");
    } else {
        findings.problem(
            "core dumps could not be turned off",
            "a crash could leave keys on the disk: set `ulimit -c 0`",
        );
    }
    let now = now_ms();
    // Heirloom did not exist before 2026: an earlier clock is wrong whatever else is true.
    if now < 1_767_225_600_000 {
        findings.problem(
            format!("the clock says {}", words::moment(now)),
            "set the clock right",
        );
    } else {
        findings.ok(format!("the clock says {}", words::moment(now)));
    }
    let state = context.home.state();
    if state.is_dir() {
        permissions(findings, state, "the state folder");
    } else {
        findings.ok(format!(
            "no backup is known here yet ({} is not there)",
            state.display()
        ));
    }
    server(findings, &state.join("server"));
}

/// A server of this computer, where there is one: where its keys lie is for its host to know.
fn server(findings: &mut Findings<'_>, data: &std::path::Path) {
    let key_file = data.join("server.keys");
    if !key_file.exists() {
        return;
    }
    if !is_private(&key_file) {
        findings.problem(
            "the key file of the server on this computer can be read by others",
            "run `chmod 600` on it; with the database, it lets them try passwords",
        );
    } else if super::admin::is_in_hsm(data) {
        findings.ok("the wrapping key of the server on this computer lies in an HSM");
    } else {
        findings.note(
            "the keys of the server on this computer lie in a file",
            "whoever has it and the database can try passwords: keep their copies apart (docs/hosting.md)",
        );
    }
}

#[cfg(unix)]
fn permissions(findings: &mut Findings<'_>, path: &std::path::Path, what: &str) {
    use std::os::unix::fs::MetadataExt;
    match std::fs::metadata(path) {
        // The folder that a person named as home is theirs; only what lies below it is ours.
        Ok(metadata) if metadata.mode() & 0o022 != 0 => {
            findings.problem(
                format!("{what} {} can be changed by others", path.display()),
                "run `chmod go-w` on it",
            );
        }
        Ok(_) => findings.ok(format!("{what} is {}", path.display())),
        Err(error) => findings.failure(&Failure::file("read", path, &error)),
    }
}

#[cfg(not(unix))]
fn permissions(findings: &mut Findings<'_>, path: &std::path::Path, what: &str) {
    findings.ok(format!("{what} is {}", path.display()));
}

#[cfg(unix)]
fn is_private(path: &std::path::Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.mode().trailing_zeros() >= 6)
}

#[cfg(not(unix))]
fn is_private(_path: &std::path::Path) -> bool {
    true
}

fn known(findings: &mut Findings<'_>, state: &RepositoryState) {
    for name in [device::CREDENTIAL, device::WRITER] {
        let path = state.folder().join(name);
        if path.exists() && !is_private(&path) {
            findings.problem(
                format!("{} can be read by others", path.display()),
                "run `chmod 600` on it",
            );
        }
    }
    match Device::load(state) {
        Ok(Some(device)) if device.writer.removal_due_ms.is_some() => findings.note(
            "it was turned off: nothing is added to it",
            "to keep it after all: `heirloom protect off STORE --undo`",
        ),
        Ok(Some(device)) => findings.ok(format!(
            "this computer may add to it (keyring {})",
            device.writer.keyring_number
        )),
        Ok(None) => findings.note(
            "this computer is no device of it",
            "a run that was cut off may have left this; it does no harm",
        ),
        Err(failure) => findings.failure(&failure),
    }
    if state.is_locked() {
        findings.note(
            "a run is at work on it right now",
            "wait until it has ended",
        );
    }
    let notes = match state.notes() {
        Ok(notes) => notes,
        Err(failure) => return findings.failure(&failure),
    };
    let now = now_ms();
    for store in &notes.stores {
        findings.ok(format!("it lies in {store}"));
    }
    let due = |at: Option<i64>, after: i64| at.is_none_or(|at| now.saturating_sub(at) > after);
    if due(notes.backed_up_ms, BACKUP_DUE_MS) {
        findings.note(
            format!(
                "last backup from here: {}",
                words::ago(notes.backed_up_ms, now)
            ),
            "run `heirloom backup` again",
        );
    } else {
        findings.ok(format!(
            "last backup from here: {}",
            words::ago(notes.backed_up_ms, now)
        ));
    }
    if due(notes.verified_ms, VERIFY_DUE_MS) {
        findings.note(
            format!(
                "last drill from here: {}",
                words::ago(notes.verified_ms, now)
            ),
            "run `heirloom drill STORE`",
        );
    } else {
        findings.ok(format!(
            "last drill from here: {}",
            words::ago(notes.verified_ms, now)
        ));
    }
}

fn examine_store(
    findings: &mut Findings<'_>,
    address: &str,
    args: &Doctor,
    context: &Context,
) -> Result<(), Failure> {
    let Some(store) = repository::open_store(address, false, context)? else {
        findings.problem("it is not there", "check the folder or URL");
        return Ok(());
    };
    probe(findings, &*store);
    if crate::server::Address::is_one(address) {
        findings.note(
            "the store and its witness are one server: whoever runs it could go back in time with both",
            "compare the check code of `heirloom protect status STORE` with the one in your kit",
        );
    }
    let Some(found) = repository::look(address, context)? else {
        findings.note(
            "it holds no backup",
            "`heirloom backup SOURCE --to STORE` makes a first one",
        );
        return Ok(());
    };
    findings.ok(format!(
        "it holds a backup: keyring {} of {}, with {}",
        found.newest.number(),
        keyrings::list(&*store)?.len(),
        words::count(
            u64::try_from(found.newest.slots().len()).unwrap_or(u64::MAX),
            "way in",
            "ways in"
        )
    ));
    if found.twin.is_some() {
        findings.problem(
            "two computers changed the ways in at once",
            "`heirloom protect rotate STORE` joins the two",
        );
        return Ok(());
    }
    public_part(findings, &found.newest);
    if !unlock::is_given(&args.unlock, context) {
        findings.note(
            "it was not unlocked",
            "with `--recovery-key-file FILE` or `--passkey` the ways in and the newest snapshot are examined too",
        );
        return Ok(());
    }
    let (unlocked, _) = unlock::unlock(&found, &args.unlock, Purpose::Check, context)?.done();
    let opened = found.opened(unlocked);
    let now = now_ms();
    ways_in(findings, opened.reader.keyring(), now);
    let repository = opened.repository_if_any()?;
    let snapshots = repository
        .map(|repository| repository.snapshots())
        .transpose()?
        .unwrap_or_default();
    let newest = snapshots
        .into_iter()
        .map(|snapshot| snapshot.created_at)
        .max();
    match newest {
        Some(at) if at > now => findings.problem(
            format!(
                "the newest snapshot is from {}, after this computer's time",
                words::moment(at)
            ),
            "set the clock right",
        ),
        Some(at) => findings.ok(format!("the newest snapshot is from {}", words::moment(at))),
        None => findings.note("it holds no snapshot yet", "run `heirloom backup`"),
    }
    Ok(())
}

/// What the public part alone says of the ways in: it may be a store's invention, and is worth a look all the same.
fn public_part(findings: &mut Findings<'_>, locked: &LockedKeyring) {
    let slots = locked.slots();
    if slots.len() < 2 {
        findings.note(
            "there is one way in: if it is lost, nobody can open the backup",
            "add a second one: `heirloom protect add passkey STORE` or `heirloom protect add recovery-key STORE`",
        );
    }
    let mut passkeys = slots
        .iter()
        .filter_map(|slot| match slot.method() {
            Method::Passkey(passkey) => Some(passkey),
            _ => None,
        })
        .peekable();
    if passkeys.peek().is_some() && passkeys.all(|passkey| passkey.rp_id == LOCALHOST) {
        findings.note(
            "its passkeys are for browsers on computers (localhost): no phone can use them",
            "keep a recovery key beside them: `heirloom kit STORE` prints it",
        );
    }
}

/// What only an unlocked keyring says.
fn ways_in(findings: &mut Findings<'_>, keyring: &Unlocked, now: i64) {
    for slot in keyring.slots() {
        let name = words::tame(&slot.name);
        let proven = slot.last_proven_ms;
        match slot.next_check_ms() {
            None => findings.problem(
                format!("\"{name}\" was never proven"),
                "run `heirloom drill STORE` with it",
            ),
            Some(next) if now > next => findings.note(
                format!(
                    "\"{name}\" was proven {}, and its check is due since {}",
                    words::ago(proven, now),
                    words::day(next)
                ),
                "run `heirloom protect check STORE` with it",
            ),
            Some(next) => findings.ok(format!(
                "\"{name}\" was proven {}; its next check is on {}",
                words::ago(proven, now),
                words::day(next)
            )),
        }
        if slot
            .provider
            .is_some_and(|provider| !provider.backup_eligible)
        {
            findings.note(
                format!("\"{name}\" is only on one device, and gone with it"),
                "count it as an extra way in, and keep another",
            );
        }
    }
    match status_of(keyring, now, findings.context) {
        Status::Protected => findings.ok("protected: two independent ways in were proven"),
        Status::CheckDue => findings.note(
            "protected, and a check is due",
            "run `heirloom protect check STORE` with each way in",
        ),
        Status::Ending { due_ms } => findings.note(
            format!(
                "it was turned off, and is to be removed from {} on",
                words::day(due_ms)
            ),
            "to keep it after all: `heirloom protect off STORE --undo`",
        ),
        Status::AlmostProtected { .. } => findings.note(
            "almost protected: fewer than two independent ways in were proven",
            "`heirloom protect status STORE` says what is missing",
        ),
        _ => findings.problem("there is no way in", "`heirloom protect status STORE`"),
    }
}

/// Writes, reads and deletes an object of no meaning.
fn probe(findings: &mut Findings<'_>, store: &dyn Store) {
    let mut bytes = [0; 16];
    keys::rng().fill_bytes(&mut bytes);
    let name = format!("tmp/probe-{}", hex::encode(bytes));
    let result = store
        .put_new(&name, &bytes)
        .and_then(|put| Ok((put, store.get(&name, 64)?)))
        .and_then(|read| store.delete(&name).map(|()| read));
    match result {
        Ok((Put::Created, read)) if read == bytes => {
            findings.ok("it can be written, read and deleted from");
        }
        Ok(_) => findings.problem(
            "it gives back something else than was written",
            "do not use this store",
        ),
        Err(error) => findings.failure(&error.into()),
    }
}
