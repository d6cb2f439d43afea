//! Where restores go: each to a new folder.
//!
//! On ext4 a file that is made where one was just deleted is slower by far (it looks for inode numbers that were deleted
//! lately, and passes them over), so that whoever restores second would pay for the deletion. In memory that is not so.

use std::cell::Cell;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::compare::remove;

/// Where a file system in memory is, on Linux.
const MEMORY: &str = "/dev/shm";
/// Folders on the disk that may be kept until the end, by what the disk has left for them.
const SHARE_OF_DISK: u64 = 2;

/// Gives new folders.
#[derive(Debug)]
pub(crate) struct Outs {
    dir: PathBuf,
    in_memory: bool,
    next: Cell<u32>,
    /// What may still be left lying on the disk, in bytes, and what one restore leaves.
    room: Cell<u64>,
    bytes: u64,
}

impl Outs {
    /// In memory if there is room for two restores of `bytes` bytes, else below `disk`.
    pub(crate) fn new(disk: &Path, bytes: u64) -> Result<Self> {
        let in_memory = free(Path::new(MEMORY)).is_some_and(|free| free / 2 > bytes);
        let dir = if in_memory {
            PathBuf::from(MEMORY).join(format!("heirloom-bench-{}", std::process::id()))
        } else {
            disk.join("restored")
        };
        remove(&dir)?;
        fs::create_dir_all(&dir)?;
        Ok(Self {
            in_memory,
            next: Cell::new(0),
            room: Cell::new(free(&dir).unwrap_or(0) / SHARE_OF_DISK),
            bytes,
            dir,
        })
    }

    /// A folder that is not there yet.
    pub(crate) fn next(&self) -> PathBuf {
        self.next.set(self.next.get() + 1);
        self.dir.join(self.next.get().to_string())
    }

    /// The folder was looked at. On a disk it stays until the end, as long as there is room.
    pub(crate) fn used(&self, out: &Path) -> Result<()> {
        if !self.in_memory && self.room.get() >= self.bytes {
            if out.exists() {
                self.room.set(self.room.get() - self.bytes);
            }
            return Ok(());
        }
        remove(out)
    }

    /// Removes all of them.
    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.dir)
    }
}

impl fmt::Display for Outs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.dir.display();
        if self.in_memory {
            write!(f, "{place} (memory), each to a new folder")
        } else {
            write!(
                f,
                "{place} (disk), each to a new folder, removed at the end while there is room"
            )
        }
    }
}

/// Bytes that are free on the file system of a folder.
fn free(dir: &Path) -> Option<u64> {
    let out = Command::new("df")
        .args(["--output=avail", "-B1"])
        .arg(dir)
        .output()
        .ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.lines().next_back()?.trim().parse().ok()
}
