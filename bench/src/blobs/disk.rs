//! Writes that a disk has to have: a server's, against one thread that writes, flushes and renames files.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;

use super::{Seen, line, pack, sign_in, write};
use crate::machine;
use crate::vault::Process;

fn plain(folder: &Path, packs: u32) -> Result<f64> {
    let pack = pack();
    let mut bytes = 0.0;
    for at in 0..packs {
        let (part, path) = (folder.join("part"), folder.join(format!("p{at}")));
        let mut file = File::create(&part)?;
        file.write_all(&pack)?;
        file.sync_all()?;
        std::fs::rename(&part, &path)?;
        File::open(folder)?.sync_all()?;
        bytes += f64::from(u32::try_from(pack.len())?);
    }
    Ok(bytes)
}

pub(super) fn run(core: Option<u32>, (rounds, packs, connections): (u32, u32, u32)) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-blobs-")
        .tempdir_in(std::env::current_dir()?.join("target"))?;
    let data = folder.path().join("vault");
    let beside = folder.path().join("plain");
    std::fs::create_dir(&beside)?;
    let process = Process::start(core, &data, None, (1, &["--no-grace"]))?;
    let target = sign_in(&process)?;
    let (mut ours, mut theirs) = (Seen::default(), Seen::default());
    for round in 0..rounds {
        let before = process.seconds()?;
        let name = |at| format!("/v1/blobs/data/r{round}-{at}");
        let (bytes, took) = write(&target, (packs, connections), name)?;
        ours.add(bytes, took, process.seconds()? - before);
        let (before, begun) = (machine::seconds(std::process::id())?, Instant::now());
        let bytes = plain(&beside, packs)?;
        let cpu = machine::seconds(std::process::id())? - before;
        theirs.add(bytes, begun.elapsed(), cpu);
    }
    line(
        "PUT 16 MiB, on this disk",
        &ours,
        &theirs,
        "write, fsync, rename, fsync of the folder, one file after the other",
    );
    Ok(())
}
