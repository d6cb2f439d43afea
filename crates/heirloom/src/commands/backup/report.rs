//! How a backup ended, in words and as JSON. The numbers add up, and each skip has its reason.

use std::path::Path;

use heirloom_archive::{Kind, Report, SourceInfo};
use heirloom_engine::backup::BackupOutcome;
use heirloom_keys::Unlocked;
use serde::Serialize;

use super::Began;
use crate::commands::protect::show::{next_step, status_words};
use crate::context::{Context, now_ms};
use crate::output::events;
use crate::words;

/// Counts of one kind. `found` = `taken` + `skipped`; `absent` is not part of them.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    found: u64,
    taken: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<u64>,
    skipped: u64,
    absent: u64,
}

/// Why something was left out.
#[derive(Debug, Serialize)]
pub(super) struct Skipped {
    reason: String,
    count: u64,
    kind: &'static str,
    readable: bool,
    examples: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Note {
    note: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    source: Origin<'a>,
    store: &'a str,
    conversations: Counted,
    messages: Counted,
    attachments: Counted,
    skipped: Vec<Skipped>,
    notes: Vec<Note>,
    stored_bytes: u64,
    seconds: f64,
    snapshot: &'a str,
    lineage: &'a str,
    sequence: u64,
    /// "first", "joined" or "known".
    began: &'static str,
    /// The source had not changed, and nothing was stored.
    unchanged: bool,
    /// What was stored was opened and looked through.
    checked: bool,
    /// How protected it is, where this run unlocked the backup: as in `protect status`.
    status: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Origin<'a> {
    app: &'a str,
    form: &'a str,
    label: &'a str,
}

/// What is said when the run before this one has a later time: which clock was wrong only its owner can tell.
pub(super) fn clock_words(ahead_ms: i64, now_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let ahead = ahead_ms.saturating_sub(now_ms);
    let days = u64::try_from(ahead / DAY_MS).unwrap_or(0);
    let by = match days {
        0 => words::count(
            u64::try_from(ahead / 3_600_000).unwrap_or(0),
            "hour",
            "hours",
        ),
        days => words::count(days, "day", "days"),
    };
    format!(
        "the backup before this one is from {}, {by} ahead of this computer's clock ({}): one of the two is wrong. This one was made all the same; if it is the clock of now, set it right",
        words::moment(ahead_ms),
        words::moment(now_ms)
    )
}

/// Counts of one kind for JSON.
pub(super) fn counted(report: &Report, kind: Kind, new: Option<u64>) -> Counted {
    let counts = report.counts(kind);
    Counted {
        found: counts.found,
        taken: counts.taken,
        new,
        skipped: counts.skipped,
        absent: counts.absent,
    }
}

/// All skips for JSON.
pub(super) fn skipped(report: &Report) -> Vec<Skipped> {
    let one = |skip: &heirloom_archive::Skip| Skipped {
        reason: skip.reason.clone(),
        count: skip.count,
        kind: match skip.kind {
            Kind::Conversations => "conversations",
            Kind::Messages => "messages",
            Kind::Attachments => "attachments",
        },
        readable: skip.readable,
        examples: skip.examples.clone(),
    };
    report.skips().map(one).collect()
}

/// The counts and what was left out, as lines. `new`: chats, messages, media.
pub(super) fn table(report: &Report, new: Option<[u64; 3]>) -> Vec<String> {
    let mut lines = Vec::new();
    let head = if new.is_some() { "         new" } else { "" };
    lines.push(format!(
        "{:<10}{:>12}{:>12}{:>12}{head}",
        "", "found", "taken", "skipped"
    ));
    let kinds = [
        ("chats", Kind::Conversations),
        ("messages", Kind::Messages),
        ("media", Kind::Attachments),
    ];
    for (at, (name, kind)) in kinds.into_iter().enumerate() {
        let counts = report.counts(kind);
        let new = new
            .map(|new| format!("{:>12}", words::number(new[at])))
            .unwrap_or_default();
        let [found, taken, skipped] =
            [counts.found, counts.taken, counts.skipped].map(words::number);
        lines.push(format!(
            "{name:<10}{found:>12}{taken:>12}{skipped:>12}{new}"
        ));
    }
    let absent = report.counts(Kind::Attachments).absent;
    if absent > 0 {
        lines.push(String::new());
        lines.push(format!(
            "{} named there, and never part of it",
            words::count(absent, "media file is", "media files are")
        ));
    }
    if report.skips().next().is_some() {
        lines.push(String::new());
        lines.push("Left out:".into());
    }
    for skip in report.skips() {
        let examples = skip
            .examples
            .iter()
            .map(|example| words::tame(example))
            .collect::<Vec<_>>()
            .join(", ");
        let examples = if examples.is_empty() {
            examples
        } else {
            format!(" ({examples})")
        };
        lines.push(format!(
            "  {} × {}{examples}",
            words::number(skip.count),
            words::tame(&skip.reason)
        ));
    }
    for (note, count) in report.notes() {
        lines.push(format!(
            "  {} × {}",
            words::number(count),
            words::tame(note)
        ));
    }
    lines
}

/// Says how it ended and what to do next.
#[expect(
    clippy::too_many_arguments,
    reason = "all that a run knows at its end, told at one place"
)]
pub(super) fn tell(
    outcome: &BackupOutcome,
    began: &Began,
    checked: bool,
    keyring: Option<&Unlocked>,
    info: &SourceInfo,
    source: &Path,
    place: &str,
    context: &Context,
) {
    let output = &context.output;
    let (report, new) = (&outcome.report, &outcome.new);
    let short = outcome.snapshot.get(..8).unwrap_or(&outcome.snapshot);
    if outcome.unchanged {
        output.line(&format!(
            "{} has not changed since the last backup; nothing new was stored",
            super::shown(source)
        ));
    } else {
        output.title(&format!("Backed up {} to {place}", super::shown(source)));
        output.line("");
        for line in table(
            report,
            Some([new.conversations, new.messages, new.attachments]),
        ) {
            output.line(&line);
        }
        output.line("");
        let proof = if checked { ", checked" } else { "" };
        let seconds = context.started.elapsed().as_secs();
        output.line(&format!(
            "Stored {} in {} as snapshot {short}{proof}",
            words::bytes(outcome.stored_bytes),
            words::duration(seconds)
        ));
    }
    let now = now_ms();
    let status = keyring.map(|keyring| status_words(keyring.status(now)));
    next_steps(began, place, context);
    if let (Began::First { .. }, Some(keyring), Some((_, sentence))) = (began, keyring, &status) {
        output.say("");
        output.say(sentence);
        next_step(keyring, now, context);
    }
    output.event(&events::summary(
        "backup",
        Summary {
            source: Origin {
                app: info.app,
                form: info.form,
                label: &info.label,
            },
            store: place,
            conversations: counted(report, Kind::Conversations, Some(new.conversations)),
            messages: counted(report, Kind::Messages, Some(new.messages)),
            attachments: counted(report, Kind::Attachments, Some(new.attachments)),
            skipped: skipped(report),
            notes: report
                .notes()
                .map(|(note, count)| Note {
                    note: note.to_owned(),
                    count,
                })
                .collect(),
            stored_bytes: outcome.stored_bytes,
            seconds: context.seconds(),
            snapshot: &outcome.snapshot,
            lineage: &outcome.lineage,
            sequence: outcome.sequence,
            began: match began {
                Began::First { .. } => "first",
                Began::Joined => "joined",
                Began::Known => "known",
            },
            unchanged: outcome.unchanged,
            checked,
            status: status.map(|(word, _)| word),
        },
    ));
}

fn next_steps(began: &Began, place: &str, context: &Context) {
    let output = &context.output;
    match began {
        Began::First { key_file } => {
            if let Some(path) = key_file {
                output.say("");
                output.say(&format!("The recovery key is in {}", super::shown(path)));
                output.say("Move it away from this computer: onto paper, a USB stick, a safe. Whoever has it can read the backup;");
                output.say("without it, and without another way in, nobody can, not even you");
            }
            output.say("");
            output.say("Next:");
            output.say(&format!("  heirloom kit {place} --to recovery-kit.pdf    prints the key with all that is needed"));
            output.say(&format!(
                "  heirloom drill {place}                        proves that everything comes back"
            ));
            output.say(&format!(
                "  heirloom browse {place}                       looks into the chats"
            ));
        }
        Began::Joined => {
            output.hint(&format!(
                "from now on this computer needs no key to add to {place}"
            ));
        }
        Began::Known => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_ahead_is_said_with_both_times() {
        let said = clock_words(4_102_444_800_000, 1_795_473_020_000);
        assert!(
            said.starts_with("the backup before this one is from 2100-01-01 00:00 UTC, 26,7"),
            "{said}"
        );
        assert!(clock_words(7_200_000, 0).contains(", 2 hours ahead of"));
        assert!(clock_words(86_400_000, 0).contains(", 1 day ahead of"));
    }
}
