//! Heirloom and a peer, back to back, on the same folder: `cargo xtask bench`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use serde::Serialize;
use serde_json::{Value, json};

use crate::daily;
use crate::generate::{self, Amount};
use crate::measure::{Usage, stored};
use crate::outs::Outs;
use crate::report;
use crate::tools::{Place, Step, Tool};

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    #[arg(long, default_value = "small")]
    size: Scale,
    /// Alternating pairs of Heirloom and each peer.
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Peers, by commas.
    #[arg(long, value_delimiter = ',', default_value = "restic,borg")]
    peers: Vec<Tool>,
    /// A folder with programs of peers that are not on the path.
    #[arg(long, env = "HEIRLOOM_PEERS")]
    peers_dir: Option<PathBuf>,
    /// Where to work; needs about eight times the size.
    #[arg(long, default_value = "target/bench")]
    dir: PathBuf,
    /// A folder that `generate` made before, instead of making one.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Days of the daily runs (on the small folder); 0 leaves them out.
    #[arg(long, default_value_t = 30)]
    days: u64,
    /// Measure the peers alone.
    #[arg(long)]
    without_heirloom: bool,
    /// Only the daily runs.
    #[arg(long)]
    only_daily: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scale {
    Small,
    Large,
}

/// One measured step.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    pub(crate) pair: usize,
    /// The peer of this pair; Heirloom's own rows name it too.
    pub(crate) peer: &'static str,
    pub(crate) tool: &'static str,
    pub(crate) step: &'static str,
    #[serde(flatten)]
    pub(crate) usage: Usage,
    /// Bytes of the repository afterwards, and how many this step added.
    pub(crate) stored: u64,
    pub(crate) grown: u64,
}

/// Runs the comparison, prints the tables and keeps every value.
pub(crate) fn run(options: &Options) -> Result<()> {
    let dir = std::path::absolute(&options.dir)?;
    let bench = Bench {
        dir: dir.join("work"),
        peers: options.peers_dir.clone(),
    };
    fs::create_dir_all(&bench.dir)?;
    let heirloom = (!options.without_heirloom).then_some(&Tool::Heirloom);
    for tool in heirloom.into_iter().chain(&options.peers) {
        let version = tool.version(bench.peers.as_deref());
        println!(
            "{}: {}",
            tool.name(),
            version.with_context(|| format!("{} cannot be run", tool.name()))?
        );
    }
    if !options.only_daily {
        let (name, amount) = match options.size {
            Scale::Small => ("small", Amount::SMALL),
            Scale::Large => ("large", Amount::LARGE),
        };
        let day = bench.folders(options.data.as_deref(), amount)?;
        let outs = Outs::new(&bench.dir, stored(&bench.dir.join("day1"))?)?;
        println!("restores go to {outs}");
        let mut rows = Vec::new();
        for pair in 0..options.pairs {
            for &peer in &options.peers {
                // Who goes first changes, so that neither always finds the warmer machine.
                let order = if pair % 2 == 0 {
                    [Tool::Heirloom, peer]
                } else {
                    [peer, Tool::Heirloom]
                };
                for tool in order {
                    if tool == Tool::Heirloom && options.without_heirloom {
                        continue;
                    }
                    eprintln!("pair {}: {}", pair + 1, tool.name());
                    rows.extend(bench.sequence(tool, peer, pair, &outs)?);
                }
            }
        }
        outs.remove()?;
        let file = dir.join(format!("compare-{name}.json"));
        fs::write(
            &file,
            serde_json::to_vec_pretty(&json!({"size": name, "next_day": day, "rows": rows}))?,
        )?;
        println!("\n{}", report::comparison(&rows, &options.peers));
        println!(
            "next day: {} new unique media bytes",
            day["unique_media_bytes"]
        );
        println!("every value: {}", file.display());
    }
    if options.days > 0 && !options.without_heirloom {
        let runs = daily::run(&bench, options.days)?;
        let file = dir.join("daily.json");
        fs::write(&file, serde_json::to_vec_pretty(&runs)?)?;
        println!("\n{}", report::daily(&runs));
        println!("every value: {}", file.display());
    }
    Ok(())
}

/// Folders and programs of a run.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) dir: PathBuf,
    pub(crate) peers: Option<PathBuf>,
}

impl Bench {
    /// Makes `day0` and `day1`; the media of both are the same files, so that no tool reads them again.
    fn folders(&self, data: Option<&Path>, amount: Amount) -> Result<Value> {
        let (zero, one) = (self.dir.join("day0"), self.dir.join("day1"));
        for old in [&zero, &one, &self.dir.join("source")] {
            remove(old)?;
        }
        match data {
            Some(made) => copy(&["-a", "--reflink=auto"], made, &zero)?,
            None => {
                generate::folder(&zero, amount, 1)?;
            }
        }
        fs::create_dir(&one)?;
        copy(&["-al"], &zero.join("WhatsApp"), &one.join("WhatsApp"))?;
        for database in ["msgstore.db", "wa.db"] {
            copy(
                &["-a", "--reflink=auto"],
                &zero.join(database),
                &one.join(database),
            )?;
        }
        Ok(serde_json::to_value(generate::next_day(
            &one,
            Amount::NEXT_DAY,
            1,
        )?)?)
    }

    /// All steps of one tool.
    fn sequence(&self, tool: Tool, peer: Tool, pair: usize, outs: &Outs) -> Result<Vec<Measured>> {
        let mut place = Place {
            root: self.dir.join(tool.name()),
            source: self.dir.join("source"),
            out: PathBuf::new(),
        };
        remove(&place.root)?;
        fs::create_dir_all(place.root.join("home"))?;
        tool.prepare(&place, self.peers.as_deref())?;
        let mut rows = Vec::new();
        for step in Step::ALL {
            let restores = matches!(step, Step::Restore | Step::Messages) || tool != Tool::Heirloom;
            if restores {
                place.out = outs.next();
            }
            let Some(job) = tool.job(step, &place, self.peers.as_deref()) else {
                continue;
            };
            // Copying the whole repository to forget the local state is done once.
            if step == Step::NextDayFresh && pair > 0 {
                continue;
            }
            let day = if matches!(step, Step::First | Step::Unchanged) {
                "day0"
            } else {
                "day1"
            };
            let (saved, kept) = (
                place.root.join("saved"),
                step == Step::NextDay && tool == Tool::Heirloom && pair == 0,
            );
            if kept {
                copy(&["-a", "--reflink=auto"], &place.repository(), &saved)?;
            }
            if step == Step::NextDayFresh {
                fs::rename(place.repository(), place.root.join("repository-next"))?;
                fs::rename(&saved, place.repository())?;
                fs::create_dir_all(place.root.join("fresh-home"))?;
            }
            let before = if place.repository().exists() {
                stored(&place.repository())?
            } else {
                0
            };
            // Heirloom makes its own folder; a peer is given one.
            if tool != Tool::Heirloom {
                fs::create_dir_all(&place.out)?;
            }
            fs::rename(self.dir.join(day), &place.source)?;
            settle();
            let measured = job.measure(&place.root);
            fs::rename(&place.source, self.dir.join(day))?;
            let usage = measured?;
            let after = stored(&place.repository())?;
            let grown = after.saturating_sub(before);
            rows.push(Measured {
                pair,
                peer: peer.name(),
                tool: tool.name(),
                step: step.name(),
                usage,
                stored: after,
                grown,
            });
            if step == Step::NextDayFresh {
                remove(&place.repository())?;
                fs::rename(place.root.join("repository-next"), place.repository())?;
            }
            if pair == 0 {
                self.verify(tool, step, &place)?;
            }
            if restores {
                outs.used(&place.out)?;
            }
        }
        remove(&place.root)?;
        Ok(rows)
    }

    /// A peer that does not restore what it was given has not done the work.
    fn verify(&self, tool: Tool, step: Step, place: &Place) -> Result<()> {
        let day = self.dir.join("day1");
        match (tool, step) {
            (Tool::Heirloom, Step::First | Step::NextDay) => {
                let summary = last_line(&place.root.join("stdout.txt"))?;
                for kind in ["messages", "attachments"] {
                    let (found, taken) = (&summary[kind]["found"], &summary[kind]["taken"]);
                    ensure!(
                        found.as_u64().is_some_and(|n| n > 0) && found == taken,
                        "heirloom took {taken} of {found} {kind}"
                    );
                }
                eprintln!("  heirloom, {}: {}", step.name(), summary["messages"]);
            }
            (Tool::Heirloom, _)
            | (
                _,
                Step::First | Step::Unchanged | Step::NextDay | Step::NextDayFresh | Step::Check,
            ) => {}
            (_, Step::Restore | Step::Messages) => {
                let found =
                    find(&place.out, "msgstore.db")?.context("no msgstore.db was restored")?;
                let (restored, source) = match step {
                    Step::Restore => (
                        found.parent().map(Path::to_path_buf).unwrap_or_default(),
                        day,
                    ),
                    _ => (found, day.join("msgstore.db")),
                };
                let same = Command::new("diff")
                    .arg("-rq")
                    .args([&restored, &source])
                    .status()?;
                ensure!(
                    same.success(),
                    "{} did not restore what it was given",
                    tool.name()
                );
            }
        }
        Ok(())
    }
}

/// The last line of a `--json` run.
pub(crate) fn last_line(file: &Path) -> Result<Value> {
    let text = fs::read_to_string(file)?;
    let line = text.lines().next_back().context("no summary was printed")?;
    serde_json::from_str(line).context("the last line is not JSON")
}

/// Lets the disk finish what the step before left to it.
pub(crate) fn settle() {
    // Without it the figures are only a little worse.
    let _ = Command::new("sync").status();
}

pub(crate) fn copy(flags: &[&str], from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").args(flags).args([from, to]).status()?;
    if !status.success() {
        bail!("cp {} {}", from.display(), to.display());
    }
    Ok(())
}

pub(crate) fn remove(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))?;
    }
    Ok(())
}

fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|n| n == name) {
            return Ok(Some(path));
        }
        if path.is_dir()
            && let Some(found) = find(&path, name)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
