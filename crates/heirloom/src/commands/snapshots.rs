//! `snapshots`: what states of the backup there are.

use heirloom_engine::repository::SnapshotInfo;
use serde::Serialize;

use crate::args::read::Snapshots;
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::events::{self, Event};
use crate::{repository, words};

#[derive(Serialize)]
struct Line<'a> {
    snapshot: &'a str,
    lineage: &'a str,
    sequence: u64,
    created_at: Option<String>,
    /// When a run last found it current.
    confirmed_at: Option<String>,
    device: &'a str,
    source: Origin<'a>,
    conversations: u64,
    messages: u64,
    attachments: u64,
    added: Added,
    stored_bytes: u64,
    /// Whether it is the newest of its device.
    newest: bool,
}

#[derive(Serialize)]
struct Origin<'a> {
    app: &'a str,
    form: &'a str,
    label: &'a str,
}

#[derive(Serialize)]
struct Added {
    conversations: u64,
    messages: u64,
    attachments: u64,
}

#[derive(Serialize)]
struct Summary {
    snapshots: usize,
    lineages: usize,
    keyring: u64,
    seconds: f64,
}

/// Lists all snapshots, the newest last.
pub(crate) fn run(args: &Snapshots, context: &Context) -> Result<Exit, Failure> {
    let opened = repository::open(&args.store, &args.unlock, context)?;
    let repository = opened.repository()?;
    let mut snapshots = repository.snapshots()?;
    snapshots.sort_by_key(|snapshot| snapshot.created_at);
    let output = &context.output;
    if !snapshots.is_empty() {
        output.title(&format!(
            "{:<10}{:<24}{:<20}{:>8}{:>12}{:>10}",
            "snapshot", "made", "by", "chats", "messages", "media"
        ));
    }
    let mut lineages: Vec<&str> = Vec::new();
    for snapshot in &snapshots {
        output.line(&row(snapshot));
        output.event(&Event::new("snapshot", line(snapshot)));
        if !lineages.contains(&snapshot.lineage.as_str()) {
            lineages.push(&snapshot.lineage);
        }
    }
    let keyring = opened.reader.keyring().seen().number;
    output.line(&format!(
        "{} of {}; keyring {keyring}",
        words::count(
            u64::try_from(snapshots.len()).unwrap_or(u64::MAX),
            "snapshot",
            "snapshots"
        ),
        words::count(
            u64::try_from(lineages.len()).unwrap_or(u64::MAX),
            "device",
            "devices"
        ),
    ));
    let summary = Summary {
        snapshots: snapshots.len(),
        lineages: lineages.len(),
        keyring,
        seconds: context.seconds(),
    };
    output.event(&events::summary("snapshots", summary));
    Ok(Exit::Done)
}

fn row(snapshot: &SnapshotInfo) -> String {
    format!(
        "{:<10}{:<24}{:<20}{:>8}{:>12}{:>10}",
        snapshot.hash.get(..8).unwrap_or(&snapshot.hash),
        words::moment(snapshot.created_at),
        words::tame(&snapshot.device_name)
            .chars()
            .take(18)
            .collect::<String>(),
        words::number(snapshot.totals.0),
        words::number(snapshot.totals.1),
        words::number(snapshot.totals.2),
    )
}

fn line(snapshot: &SnapshotInfo) -> Line<'_> {
    Line {
        snapshot: &snapshot.hash,
        lineage: &snapshot.lineage,
        sequence: snapshot.sequence,
        created_at: words::rfc3339(snapshot.created_at),
        confirmed_at: words::rfc3339(snapshot.confirmed_at),
        device: &snapshot.device_name,
        source: Origin {
            app: &snapshot.source.0,
            form: &snapshot.source.1,
            label: &snapshot.source.2,
        },
        conversations: snapshot.totals.0,
        messages: snapshot.totals.1,
        attachments: snapshot.totals.2,
        added: Added {
            conversations: snapshot.added.0,
            messages: snapshot.added.1,
            attachments: snapshot.added.2,
        },
        stored_bytes: snapshot.stored_bytes,
        newest: snapshot.newest,
    }
}
