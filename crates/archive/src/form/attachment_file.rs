//! Attachments on disk: whole under their name, or not there.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::PART;
use crate::paths::RelativePath;

/// Whether the attachment is there with so many bytes. A file under its final name is always whole, see
/// [`AttachmentFile`].
pub fn is_there(root: &Path, path: &RelativePath, bytes: u64) -> bool {
    std::fs::symlink_metadata(path.below(root))
        .is_ok_and(|data| data.is_file() && data.len() == bytes)
}

/// An attachment being written. It gets its name in [`AttachmentFile::finish`]; one that is dropped before is removed.
///
/// Needs no [`super::ArchiveWriter`], so that several workers can write at once, each its own path.
#[derive(Debug)]
pub struct AttachmentFile {
    file: File,
    part: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl AttachmentFile {
    /// Begins, and makes the folder if it must.
    pub fn create(root: &Path, path: &RelativePath) -> io::Result<Self> {
        let path = path.below(root);
        let no_name = || io::Error::new(io::ErrorKind::InvalidInput, "a path without a name");
        let (Some(folder), Some(name)) = (
            path.parent(),
            path.file_name().and_then(|name| name.to_str()),
        ) else {
            return Err(no_name());
        };
        let part = folder.join(format!("{PART}{name}"));
        let file = match File::create(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(folder)?;
                File::create(&part)?
            }
            other => other?,
        };
        Ok(Self {
            file,
            part,
            path,
            finished: false,
        })
    }

    /// The file, for writing at any place.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name. Not synced to disk: the caller decides when that pays.
    pub fn finish(mut self) -> io::Result<()> {
        std::fs::rename(&self.part, &self.path)?;
        self.finished = true;
        Ok(())
    }
}

impl Write for AttachmentFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AttachmentFile {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: a leftover is overwritten by the next run.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}
