//! Thirty days, one backup a day: does the repository grow by what was new, and does it stay quick to open?

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use serde::Serialize;

use crate::compare::{Bench, last_line, remove, settle};
use crate::generate::{self, Amount};
use crate::measure::{Job, Usage, stored};
use crate::tools::{Place, Step, Tool};

/// A day of the small folder: a twentieth of a day of the large one, and five edits.
const DAY: Amount = Amount {
    messages: 100,
    files: 2,
    bytes: 3_000_000,
    copied: 0,
    edits: 5,
};

/// One day.
#[derive(Debug, Serialize)]
pub(crate) struct Day {
    pub(crate) number: u64,
    pub(crate) backup: Usage,
    /// Opening the newest state and listing its conversations.
    pub(crate) open: Usage,
    /// Listing the snapshots: one more each day.
    pub(crate) list: Usage,
    pub(crate) stored: u64,
    pub(crate) grown: u64,
    pub(crate) unique_media_bytes: u64,
    pub(crate) new_messages: u64,
}

/// Runs `days` days, the first with everything.
pub(crate) fn run(bench: &Bench, days: u64) -> Result<Vec<Day>> {
    let tool = Tool::Heirloom;
    let place = Place {
        root: bench.dir.join("daily"),
        source: bench.dir.join("daily-source"),
        out: PathBuf::new(),
    };
    for old in [&place.root, &place.source] {
        remove(old)?;
    }
    fs::create_dir_all(place.root.join("home"))?;
    generate::folder(&place.source, Amount::SMALL, 7)?;
    let mut out: Vec<Day> = Vec::new();
    for day in 0..=days {
        let made = if day == 0 {
            None
        } else {
            Some(generate::next_day(&place.source, DAY, 7)?)
        };
        let step = if day == 0 { Step::First } else { Step::NextDay };
        let Some(job) = tool.job(step, &place, None) else {
            continue;
        };
        settle();
        let backup = job.measure(&place.root)?;
        let new_messages = last_line(&place.root.join("stdout.txt"))?["messages"]["new"]
            .as_u64()
            .unwrap_or(0);
        let look = |verb: &str| -> Result<Usage> {
            let args = [
                verb,
                &place.repository().display().to_string(),
                "--recovery-key-file",
                &place.root.join("key.txt").display().to_string(),
                "--json",
            ];
            let job = Job {
                args: args.map(str::to_owned).to_vec(),
                ..job.clone()
            };
            job.measure(&place.root)
        };
        let (open, list) = (look("browse")?, look("snapshots")?);
        let stored = stored(&place.repository())?;
        let grown = stored - out.last().map_or(0, |before| before.stored.min(stored));
        let unique_media_bytes = made.map_or(0, |made| made.unique_media_bytes);
        out.push(Day {
            number: day,
            backup,
            open,
            list,
            stored,
            grown,
            unique_media_bytes,
            new_messages,
        });
    }
    remove(&place.root)?;
    remove(&place.source)?;
    Ok(out)
}
