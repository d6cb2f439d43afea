//! `protect status` and `protect log`.

use heirloom_keys::{
    DeviceInfo, Event as Entry, EventKind, Method, Provider, SlotInfo, Status, Unlocked,
};
use serde::Serialize;

use crate::args::manage::Ways;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::password::{Guess, Guesses, Stands, Watched};
use crate::{kit, password, repository, words};

#[derive(Serialize)]
struct Way<'a> {
    number: usize,
    name: &'a str,
    method: &'static str,
    /// Who keeps a passkey, by what it says of itself; for display only.
    provider: Option<&'static str>,
    /// `synced`, `not_synced_yet` or `this_device_only`, for a passkey.
    synced: Option<&'static str>,
    /// The site that a passkey is saved for.
    rp_id: Option<&'a str>,
    /// Who checks a password.
    server: Option<&'a str>,
    /// Whether a password opens on any computer, where its server was asked.
    in_force: Option<bool>,
    /// How many wrong passwords are left, where the server was asked.
    guesses_left: Option<u32>,
    /// How many there were, ever, and the newest of them.
    guesses: Option<u64>,
    last_guesses: Option<Vec<GuessLine>>,
    created_at: Option<String>,
    last_used_at: Option<String>,
    last_proven_at: Option<String>,
    next_check_at: Option<String>,
    check_due: bool,
}

/// A guess at a password.
#[derive(Serialize)]
struct GuessLine {
    at: Option<String>,
    signed_in: bool,
    /// `None`: one of several that were made at the same time was.
    right: Option<bool>,
}

#[derive(Serialize)]
struct DeviceLine<'a> {
    id: String,
    name: &'a str,
    this_computer: bool,
    added_at: Option<String>,
    seen_keyring: u64,
    revoked_at: Option<String>,
}

#[derive(Serialize)]
struct Summary {
    status: &'static str,
    proven: u8,
    ways: usize,
    devices: usize,
    keyring: u64,
    check_code: String,
    last_verified_at: Option<String>,
    next_check_at: Option<String>,
    removal_due_at: Option<String>,
    seconds: f64,
}

/// How many guesses at a password are shown.
const GUESSES: usize = 5;

/// The first line that an owner reads.
pub(crate) fn status_words(status: Status) -> (&'static str, String) {
    match status {
        Status::Protected => ("protected", "Protected".into()),
        Status::AlmostProtected { proven } => (
            "almost_protected",
            format!("Almost protected ({proven} of 2 ways in)"),
        ),
        Status::CheckDue => ("check_due", "Protected, and a check is due".into()),
        Status::Ending { due_ms } => (
            "ending",
            format!("Off: to be removed from {} on", words::day(due_ms)),
        ),
        _ => ("off", "Off: there is no way in".into()),
    }
}

/// Shows the ways in and the devices.
pub(super) fn status(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let keyring = opened.reader.keyring();
    if let Some(state) = &opened.found.state {
        repository::remember(state, keyring, None)?;
    }
    let notes = opened
        .found
        .state
        .as_ref()
        .map(crate::home::RepositoryState::notes)
        .transpose()?
        .unwrap_or_default();
    let output = &context.output;
    let now = now_ms();
    let slots = keyring.slots();
    let standing = standing(&slots, context);
    let (counted, status) = counted(keyring, &standing, now);
    let (word, sentence) = status_words(status);
    output.title(&format!(
        "{sentence} · last drill {}",
        words::ago(notes.verified_ms, now)
    ));
    output.line("");
    output.title("Ways in");
    let mut not_whole = None;
    for (at, (slot, stands)) in slots.iter().zip(&standing).enumerate() {
        if let Err(failure) = way(at + 1, slot, *stands, now, context) {
            not_whole = Some(failure);
        }
    }
    output.line("");
    output.title("Devices");
    let own = opened
        .found
        .state
        .as_ref()
        .map(crate::device::Device::load)
        .transpose()?
        .flatten();
    let own = own.map(|device| device.credential.device());
    let devices = keyring.devices();
    for known in &devices {
        device_line(known, Some(known.id) == own, context);
    }
    let seen = keyring.seen();
    let check_code = kit::check_code(seen.hash.as_bytes());
    output.line("");
    output.line(&format!(
        "Keyring {}, check code {check_code}, made {}",
        seen.number,
        words::moment(keyring.made_ms())
    ));
    if let Some(hint) = next_step_words(&counted, status, now) {
        output.hint(&hint);
    }
    // Last, so that it is what a person reads, and in place of a summary that says that all is well.
    if let Some(failure) = not_whole {
        return Err(failure);
    }
    let proven = match status {
        Status::Protected | Status::CheckDue => 2,
        Status::AlmostProtected { proven } => proven,
        // What is to be removed may have been protected all the same: count as without the plan.
        _ => match Status::of(&counted, now) {
            Status::Protected | Status::CheckDue => 2,
            Status::AlmostProtected { proven } => proven,
            _ => 0,
        },
    };
    output.event(&events::summary(
        "protect status",
        Summary {
            status: word,
            proven,
            ways: slots.len(),
            devices: devices.len(),
            keyring: seen.number,
            check_code,
            last_verified_at: notes.verified_ms.and_then(words::rfc3339),
            next_check_at: next_check(&slots).and_then(words::rfc3339),
            removal_due_at: keyring.removal_due_ms().and_then(words::rfc3339),
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

/// How each way in stands at its server: only passwords do.
fn standing(slots: &[SlotInfo], context: &Context) -> Vec<Option<Stands>> {
    slots
        .iter()
        .map(|slot| match &slot.method {
            Method::Password(password) => password::stands(password, context),
            _ => None,
        })
        .collect()
}

/// The ways in that count, and how protected they leave the backup: what does not open on any computer protects nothing,
/// whatever was proven on this one.
fn counted(keyring: &Unlocked, standing: &[Option<Stands>], now: i64) -> (Vec<SlotInfo>, Status) {
    let counted: Vec<_> = keyring
        .slots()
        .into_iter()
        .zip(standing)
        .filter(|(_, stands)| matches!(stands, None | Some(Stands::InForce)))
        .map(|(slot, _)| slot)
        .collect();
    let status = match keyring.status(now) {
        ending @ Status::Ending { .. } => ending,
        _ => Status::of(&counted, now),
    };
    (counted, status)
}

/// How protected a backup is. The servers of its passwords are asked, where this computer is signed in to them.
pub(crate) fn status_of(keyring: &Unlocked, now: i64, context: &Context) -> Status {
    counted(keyring, &standing(&keyring.slots(), context), now).1
}

/// Shows a way in. What its server hides of guesses is an error, after everything was shown.
fn way(
    number: usize,
    slot: &SlotInfo,
    stands: Option<Stands>,
    now: i64,
    context: &Context,
) -> Result<(), Failure> {
    let method = method_word(&slot.method);
    let passkey = match &slot.method {
        Method::Passkey(passkey) => Some(passkey),
        _ => None,
    };
    let provider = slot
        .provider
        .and_then(|provider| heirloom_ceremony::provider_name(&provider.aaguid));
    let synced = slot.provider.map(synced);
    let next = slot.next_check_ms();
    let is_due = next.is_some_and(|next| now > next);
    let mut facts = vec![method.replace('_', " ")];
    facts.extend(provider.map(|provider| format!("in {provider}")));
    facts.extend(synced.map(|(_, words)| words.to_owned()));
    facts.extend(passkey.map(|passkey| match passkey.rp_id.as_str() {
        heirloom_ceremony::LOCALHOST => "for browsers on computers".into(),
        other => format!("saved for {}", words::tame(other)),
    }));
    if matches!(slot.method, Method::Device(_)) {
        facts = vec!["kept by a computer that was let in".into()];
    }
    let password = match &slot.method {
        Method::Password(password) => Some(password),
        _ => None,
    };
    let watched = password.and_then(|password| password::watch(password, context));
    let (guesses_left, guesses, failed) = match watched {
        None => (None, None, None),
        Some(Watched { left, guesses }) => match guesses {
            Ok(guesses) => (Some(left), Some(guesses), None),
            Err(failure) => (Some(left), None, Some(failure)),
        },
    };
    facts.extend(
        match stands {
            None | Some(Stands::InForce) => None,
            Some(Stands::Pending) => Some("not in force yet: run what added or changed it again"),
            Some(Stands::Gone) => Some("not in force: another took its place, or it is gone"),
        }
        .map(ToOwned::to_owned),
    );
    facts.extend(password.map(|password| format!("checked by {}", words::tame(&password.server))));
    facts.extend(
        guesses_left.map(|left| format!("{} left", words::count(left.into(), "guess", "guesses"))),
    );
    facts.push(format!("added {}", words::moment(slot.created_ms)));
    facts.extend(
        slot.last_used_ms
            .map(|used| format!("used {}", words::ago(Some(used), now))),
    );
    facts.push(match slot.last_proven_ms {
        None => "not proven yet".to_owned(),
        proven => format!("proven {}", words::ago(proven, now)),
    });
    facts.extend(next.map(|next| {
        if is_due {
            "check due".to_owned()
        } else {
            format!("next check {}", words::day(next))
        }
    }));
    context.output.line(&format!(
        "  {number}. {}  ({})",
        words::tame(&slot.name),
        facts.join(", ")
    ));
    if let Some(guesses) = &guesses {
        for line in guess_lines(guesses) {
            context.output.line(&line);
        }
    }
    context.output.event(&Event::new(
        "way",
        Way {
            number,
            name: &slot.name,
            method,
            provider,
            synced: synced.map(|(word, _)| word),
            rp_id: passkey.map(|passkey| passkey.rp_id.as_str()),
            server: password.map(|password| password.server.as_str()),
            in_force: stands.map(|stands| stands == Stands::InForce),
            guesses_left,
            guesses: guesses.as_ref().map(|guesses| guesses.count),
            last_guesses: guesses.as_ref().map(last_guesses),
            created_at: words::rfc3339(slot.created_ms),
            last_used_at: slot.last_used_ms.and_then(words::rfc3339),
            last_proven_at: slot.last_proven_ms.and_then(words::rfc3339),
            next_check_at: next.and_then(words::rfc3339),
            check_due: is_due,
        },
    ));
    failed.map_or(Ok(()), Err)
}

/// When a guess was made: by the server's clock, which may say anything.
fn guessed_ms(guess: &Guess) -> i64 {
    i64::try_from(guess.time_ms).unwrap_or(i64::MAX)
}

/// How often a password was guessed at, and the last times, one line each.
fn guess_lines(guesses: &Guesses) -> Vec<String> {
    let count = words::count(guesses.count, "guess", "guesses");
    let shown: Vec<_> = guesses.newest(GUESSES).collect();
    let mut lines = vec![match shown.len() {
        0 => return Vec::new(),
        1 => format!("       {count} so far:"),
        some => format!("       {count} so far, the last {some}:"),
    }];
    lines.extend(shown.into_iter().map(|guess| {
        let right = match guess.right {
            Some(true) => "right",
            Some(false) => "wrong or broken off",
            None => "right, or another at the same time was",
        };
        let who = if guess.signed_in {
            "signed in to your account"
        } else {
            "not signed in"
        };
        format!(
            "         {}  {right}, {who}",
            words::moment(guessed_ms(guess))
        )
    }));
    lines
}

fn last_guesses(guesses: &Guesses) -> Vec<GuessLine> {
    let lines = guesses.newest(GUESSES).map(|guess| GuessLine {
        at: words::rfc3339(guessed_ms(guess)),
        signed_in: guess.signed_in,
        right: guess.right,
    });
    lines.collect()
}

/// Where else a passkey is, as it said when it was added.
fn synced(provider: Provider) -> (&'static str, &'static str) {
    match (provider.backup_eligible, provider.backup_state) {
        (false, _) => ("this_device_only", "only on this device"),
        (true, false) => ("not_synced_yet", "not synced yet"),
        (true, true) => ("synced", "synced"),
    }
}

/// The earliest check of all ways that were proven.
fn next_check(slots: &[SlotInfo]) -> Option<i64> {
    slots.iter().filter_map(SlotInfo::next_check_ms).min()
}

fn device_line(known: &DeviceInfo, this: bool, context: &Context) {
    let this_words = if this { ", this computer" } else { "" };
    let revoked = known
        .revoked_ms
        .map(|at| format!(", removed {}", words::moment(at)))
        .unwrap_or_default();
    context.output.line(&format!(
        "  {}  (added {}, has seen keyring {}{this_words}{revoked})",
        words::tame(&known.name),
        words::moment(known.added_ms),
        known.seen_number,
    ));
    context.output.event(&Event::new(
        "device",
        DeviceLine {
            id: hex::encode(known.id.as_bytes()),
            name: &known.name,
            this_computer: this,
            added_at: words::rfc3339(known.added_ms),
            seen_keyring: known.seen_number,
            revoked_at: known.revoked_ms.and_then(words::rfc3339),
        },
    ));
}

/// Says what to do next, where there is something.
pub(crate) fn next_step(keyring: &Unlocked, now: i64, context: &Context) {
    if let Some(hint) = next_step_words(&keyring.slots(), keyring.status(now), now) {
        context.output.hint(&hint);
    }
}

fn next_step_words(slots: &[SlotInfo], status: Status, now: i64) -> Option<String> {
    let is_due = |slot: &&SlotInfo| slot.next_check_ms().is_some_and(|next| now > next);
    match status {
        Status::Protected => None,
        Status::Ending { .. } => {
            Some("to keep it after all: `heirloom protect off STORE --undo`".into())
        }
        Status::CheckDue => {
            let due: Vec<_> = slots.iter().filter(is_due).map(prove_it).collect();
            Some(format!("prove your ways in again: {}", due.join(", ")))
        }
        _ => {
            let unproven = slots.iter().find(|slot| {
                slot.last_proven_ms.is_none() && status_with(slots, slot, now) != status
            });
            Some(match unproven {
                Some(slot) => format!("one way in was not tried yet: {}", prove_it(slot)),
                None if slots.iter().all(|slot| matches!(slot.method, Method::RecoveryKey)) => {
                    "\"Protected\" needs a second way of another kind: `heirloom protect add passkey STORE`".into()
                }
                None => "\"Protected\" needs a second way that does not depend on this computer: `heirloom protect add recovery-key STORE`".into(),
            })
        }
    }
}

/// What the status would be if one more way were proven.
fn status_with(slots: &[SlotInfo], one: &SlotInfo, now: i64) -> Status {
    let mut slots = slots.to_vec();
    for slot in slots.iter_mut().filter(|slot| slot.id == one.id) {
        slot.last_proven_ms = Some(now);
        slot.proofs = slot.proofs.max(1);
    }
    Status::of(&slots, now)
}

/// How one way in is proven.
fn prove_it(slot: &SlotInfo) -> String {
    let flag = match slot.method {
        Method::Passkey(_) => "--passkey",
        Method::Password(_) => "--password-file FILE",
        Method::Device(_) => {
            return format!(
                "\"{}\" by `heirloom protect check STORE` on that computer",
                words::tame(&slot.name)
            );
        }
        _ => "--recovery-key-file FILE",
    };
    format!(
        "\"{}\" by `heirloom protect check STORE {flag}`",
        words::tame(&slot.name)
    )
}

fn method_word(method: &Method) -> &'static str {
    match method {
        Method::RecoveryKey => "recovery_key",
        Method::Passkey(_) => "passkey",
        Method::Password(_) => "password",
        Method::Device(_) => "device",
        _ => "unknown",
    }
}

#[derive(Serialize)]
struct LogLine<'a> {
    seq: u64,
    at: Option<String>,
    what: &'static str,
    subject: String,
    device: &'a str,
}

#[derive(Serialize)]
struct LogSummary {
    events: usize,
    keyring: u64,
    seconds: f64,
}

/// Shows the event log, oldest first.
pub(super) fn log(args: &Ways, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let keyring = opened.reader.keyring();
    let (slots, devices) = (keyring.slots(), keyring.devices());
    for entry in keyring.events() {
        let device = devices
            .iter()
            .find(|known| known.id == entry.device)
            .map_or("?", |known| known.name.as_str());
        let subject = subject(entry, &slots, &devices);
        let what = what(entry.kind);
        context.output.line(&format!(
            "{:>4}  {}  {:<26} {:<24} by {}",
            entry.seq,
            words::moment(entry.time_ms),
            what.replace('_', " "),
            words::tame(&subject),
            words::tame(device)
        ));
        let at = words::rfc3339(entry.time_ms);
        context.output.event(&Event::new(
            "event",
            LogLine {
                seq: entry.seq,
                at,
                what,
                subject,
                device,
            },
        ));
    }
    let summary = LogSummary {
        events: keyring.events().len(),
        keyring: keyring.seen().number,
        seconds: context.seconds(),
    };
    context
        .output
        .event(&events::summary("protect log", summary));
    Ok(Exit::Done)
}

fn subject(entry: &Entry, slots: &[SlotInfo], devices: &[DeviceInfo]) -> String {
    let slot = slots
        .iter()
        .find(|slot| slot.id.as_bytes().as_slice() == entry.subject);
    let device = devices
        .iter()
        .find(|device| device.id.as_bytes().as_slice() == entry.subject);
    match (slot, device) {
        (Some(slot), _) => slot.name.clone(),
        (_, Some(device)) => device.name.clone(),
        _ => hex::encode(entry.subject.get(..4).unwrap_or_default()),
    }
}

fn what(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Created => "backup_created",
        EventKind::SlotAdded => "way_added",
        EventKind::SlotRemoved => "way_removed",
        EventKind::SlotProven => "way_proven",
        EventKind::DeviceAdded => "device_added",
        EventKind::DeviceRevoked => "device_removed",
        EventKind::Rotated => "root_key_changed",
        EventKind::Merged => "two_keyrings_joined",
        EventKind::Seen => "keyring_seen",
        EventKind::SlotRenamed => "way_renamed",
        EventKind::DeviceRenamed => "device_renamed",
        EventKind::RemovalPlanned => "removal_planned",
        EventKind::RemovalCancelled => "removal_undone",
        _ => "other",
    }
}
