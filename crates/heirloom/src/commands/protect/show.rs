//! `protect status` and `protect log`.

use heirloom_keys::{DeviceInfo, Event as Entry, EventKind, Method, SlotInfo, Status, Unlocked};
use serde::Serialize;

use crate::args::manage::Ways;
use crate::context::{Context, now_ms};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::{kit, repository, words};

#[derive(Serialize)]
struct Way<'a> {
    number: usize,
    name: &'a str,
    method: &'static str,
    created_at: Option<String>,
    last_used_at: Option<String>,
    last_proven_at: Option<String>,
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
    seconds: f64,
}

/// The first line that an owner reads.
pub(super) fn status_words(status: Status) -> (&'static str, String) {
    match status {
        Status::Protected => ("protected", "Protected".into()),
        Status::AlmostProtected { proven } => (
            "almost_protected",
            format!("Almost protected ({proven} of 2 ways in)"),
        ),
        Status::CheckDue => ("check_due", "Protected, and a check is due".into()),
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
    let (word, sentence) = status_words(keyring.status(now));
    output.title(&format!(
        "{sentence} · last drill {}",
        words::ago(notes.verified_ms, now)
    ));
    output.line("");
    output.title("Ways in");
    let slots = keyring.slots();
    for (at, slot) in slots.iter().enumerate() {
        way(at + 1, slot, now, context);
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
    next_step(keyring, now, context);
    let proven = match keyring.status(now) {
        Status::Protected | Status::CheckDue => 2,
        Status::AlmostProtected { proven } => proven,
        _ => 0,
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
            seconds: context.seconds(),
        },
    ));
    Ok(Exit::Done)
}

fn way(number: usize, slot: &SlotInfo, now: i64, context: &Context) {
    let method = method_word(&slot.method);
    let proven = match slot.last_proven_ms {
        None => "not proven yet".to_owned(),
        proven => format!("proven {}", words::ago(proven, now)),
    };
    context.output.line(&format!(
        "  {number}. {}  ({}, added {}, {proven})",
        words::tame(&slot.name),
        method.replace('_', " "),
        words::moment(slot.created_ms),
    ));
    context.output.event(&Event::new(
        "way",
        Way {
            number,
            name: &slot.name,
            method,
            created_at: words::rfc3339(slot.created_ms),
            last_used_at: slot.last_used_ms.and_then(words::rfc3339),
            last_proven_at: slot.last_proven_ms.and_then(words::rfc3339),
        },
    ));
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

fn next_step(keyring: &Unlocked, now: i64, context: &Context) {
    match keyring.status(now) {
        Status::Protected => {}
        Status::CheckDue => context.output.hint("prove your ways in again: `heirloom drill STORE`"),
        _ => context.output.hint(
            "prove this way in by `heirloom drill STORE`; \"Protected\" needs a second way of another kind, which this version does not have yet",
        ),
    }
}

fn method_word(method: &Method) -> &'static str {
    match method {
        Method::RecoveryKey => "recovery_key",
        Method::Passkey(_) => "passkey",
        Method::Password(_) => "password",
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
        _ => "other",
    }
}
