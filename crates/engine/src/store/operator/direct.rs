//! Writing a file that is durable when the call returns, past the page cache where the system allows it.
//!
//! Packs are not read again soon. Written through the cache they cost six times the CPU and push out what others need.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Files from this size on go past the cache.
const DIRECT_FROM: usize = 256 * 1024;
/// What disks demand of addresses, lengths and offsets.
const ALIGNMENT: usize = 4096;

/// Makes the file and its folder; `path` must not exist, or be a leftover.
pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if bytes.len() >= DIRECT_FROM && write_direct(path, bytes).is_ok() {
        return Ok(());
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(target_os = "linux")]
fn write_direct(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::cell::RefCell;
    use std::os::unix::fs::OpenOptionsExt as _;

    thread_local! {
        // One for each worker, kept: fresh memory would cost a page fault for every 4 KiB.
        static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)?;
    BUFFER.with_borrow_mut(|buffer| {
        const PART: usize = 128 * 1024;
        buffer.resize(PART + ALIGNMENT, 0);
        let skip = buffer.as_ptr().align_offset(ALIGNMENT);
        let aligned = buffer
            .get_mut(skip..skip + PART)
            .ok_or(io::ErrorKind::Unsupported)?;
        // What lies right already is written from where it is.
        let (whole, bytes) = if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
            bytes.split_at(bytes.len() / ALIGNMENT * ALIGNMENT)
        } else {
            bytes.split_at(0)
        };
        file.write_all(whole)?;
        for part in bytes.chunks(PART) {
            let whole = part.len().next_multiple_of(ALIGNMENT);
            aligned[..part.len()].copy_from_slice(part);
            aligned[part.len()..whole].fill(0);
            file.write_all(&aligned[..whole])?;
        }
        if !bytes.len().is_multiple_of(ALIGNMENT) {
            let len = u64::try_from(whole.len() + bytes.len())
                .map_err(|_| io::ErrorKind::FileTooLarge)?;
            file.set_len(len)?;
        }
        file.sync_all()
    })
}

#[cfg(not(target_os = "linux"))]
fn write_direct(_: &Path, _: &[u8]) -> io::Result<()> {
    let _ = (OpenOptions::new(), ALIGNMENT);
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_written_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        for len in [
            0,
            1,
            DIRECT_FROM - 1,
            DIRECT_FROM,
            DIRECT_FROM + 1,
            1024 * 1024 + 4096,
            3_000_001,
        ] {
            let bytes: Vec<u8> = (0..len).map(|at| (at % 251).to_le_bytes()[0]).collect();
            let path = dir.path().join(format!("a/{len}"));
            write_durably(&path, &bytes).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{len}");
        }
    }
}
