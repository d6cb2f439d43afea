//! Long streams in and out, many at a time, and how much memory the server has meanwhile.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use heirloom_vault_api::{BlobName, Fixed, MAX_BLOB_BYTES, UploadAt, UploadStart};
use sha2::{Digest as _, Sha256};

use super::wire::Wire;
use super::{Target, pack, sign_in};
use crate::vault::Process;

/// Runs `work`, and looks at the server's memory all the while.
fn watched(process: &Process, work: impl FnOnce() -> Result<()>) -> Result<(Duration, Vec<u64>)> {
    let (over, seen) = (AtomicBool::new(false), Mutex::new(vec![process.memory()?]));
    let begun = Instant::now();
    std::thread::scope(|scope| -> Result<()> {
        let watcher = scope.spawn(|| -> Result<()> {
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
                let now = process.memory()?;
                seen.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(now);
            }
            Ok(())
        });
        let done = work();
        over.store(true, Ordering::SeqCst);
        watcher.join().ok().context("the watcher")??;
        done
    })?;
    Ok((
        begun.elapsed(),
        seen.into_inner().unwrap_or_else(PoisonError::into_inner),
    ))
}

fn at_once(streams: u32, one: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..streams)
            .map(|number| {
                let one = &one;
                scope.spawn(move || one(number))
            })
            .collect();
        for thread in threads {
            thread.join().ok().context("a stream")??;
        }
        Ok(())
    })
}

fn upload(target: &Target, name: &str, piece: &[u8], times: u32, hash: &Fixed<32>) -> Result<()> {
    let start = UploadStart {
        name: BlobName::try_from(name.to_owned())?,
        size: u64::try_from(piece.len())? * u64::from(times),
        sha256: *hash,
    };
    let mut wire = Wire::open(target)?;
    let answer = wire.json("POST", "/v1/uploads", &serde_json::to_vec(&start)?)?;
    let at: UploadAt = serde_json::from_slice(&answer)?;
    let path = format!("/v1/uploads/{}", at.upload.to_text());
    wire.upload(&path, piece, times)
}

#[expect(clippy::print_stdout, reason = "a table for the terminal")]
fn line(what: &str, streams: u32, objects: u32, (took, seen): &(Duration, Vec<u64>)) {
    let mb = |bytes: u64| f64::from(u32::try_from(bytes / 1000).unwrap_or(u32::MAX)) / 1000.0;
    let at = |part: usize| mb(seen.get(seen.len() * part / 4).copied().unwrap_or_default());
    let gigabytes = f64::from(streams) * f64::from(objects) * 0.268_435_456;
    println!(
        "{streams} streams {what} of {objects} x 256 MiB each: {:.0} MB/s; server's memory in MB at the start {:.1}, \
         after a quarter {:.1}, half {:.1}, three quarters {:.1}, at the end {:.1}; most {:.1}",
        gigabytes * 1e3 / took.as_secs_f64(),
        at(0),
        at(1),
        at(2),
        at(3),
        mb(seen.last().copied().unwrap_or_default()),
        mb(seen.iter().copied().max().unwrap_or_default()),
    );
}

pub(super) fn run(core: Option<u32>, memory: &Path, (streams, objects): (u32, u32)) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("heirloom-bench-blobs-")
        .tempdir_in(memory)?;
    let process = Process::start(
        core,
        &folder.path().join("vault"),
        None,
        (1, &["--no-grace"]),
    )?;
    let target = sign_in(&process)?;
    let piece = pack();
    let times = u32::try_from(MAX_BLOB_BYTES / u64::try_from(piece.len())?)?;
    let mut hasher = Sha256::new();
    for _ in 0..times {
        hasher.update(&piece);
    }
    let hash = Fixed(hasher.finalize().into());
    upload(&target, "data/kept", &piece, times, &hash)?;
    let up = watched(&process, || {
        at_once(streams, |number| {
            for object in 0..objects {
                let name = format!("data/s{number}-{object}");
                upload(&target, &name, &piece, times, &hash)?;
                // Or the folder would have to hold all of it.
                Wire::open(&target)?.json("DELETE", &format!("/v1/blobs/{name}"), &[])?;
            }
            Ok(())
        })
    })?;
    line("up", streams, objects, &up);
    let down = watched(&process, || {
        at_once(streams, |_| {
            let mut wire = Wire::open(&target)?;
            for _ in 0..objects {
                wire.get("/v1/blobs/data/kept", None)?;
            }
            Ok(())
        })
    })?;
    line("down", streams, objects, &down);
    Ok(())
}
