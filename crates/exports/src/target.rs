//! The folder that an export is written into.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::outcome::ExportError;

/// Where everything is until the export is done.
const UNFINISHED: &str = ".heirloom-unfinished";

/// An export being written: all of it lies in a hidden folder until [`Target::finish`].
#[derive(Debug)]
pub(crate) struct Target {
    root: PathBuf,
    work: PathBuf,
    made_root: bool,
    finished: bool,
}

impl Target {
    /// Begins in a new or empty folder; what an interrupted export left there is removed.
    pub(crate) fn create(root: &Path) -> Result<Self, ExportError> {
        let made_root = !root.exists();
        fs::create_dir_all(root).map_err(ExportError::writing(root))?;
        let work = root.join(UNFINISHED);
        for entry in fs::read_dir(root).map_err(ExportError::writing(root))? {
            let entry = entry.map_err(ExportError::writing(root))?;
            if entry.file_name() != UNFINISHED {
                return Err(ExportError::NotEmpty(root.to_owned()));
            }
        }
        if fs::symlink_metadata(&work).is_ok_and(|data| data.is_dir()) {
            fs::remove_dir_all(&work).map_err(ExportError::writing(&work))?;
        }
        fs::create_dir(&work).map_err(ExportError::writing(&work))?;
        Ok(Self {
            root: root.to_owned(),
            work,
            made_root,
            finished: false,
        })
    }

    /// The folder to write into, for now.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// Creates a file, and its folder.
    pub(crate) fn file(&self, name: &str) -> Result<BufWriter<File>, ExportError> {
        let path = self.work.join(name);
        let create = || -> io::Result<File> {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            File::create_new(&path)
        };
        create()
            .map(|file| BufWriter::with_capacity(1 << 16, file))
            .map_err(ExportError::writing(&path))
    }

    /// Writes a whole file.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ExportError> {
        let path = self.work.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(ExportError::writing(folder))?;
        }
        fs::write(&path, bytes).map_err(ExportError::writing(&path))
    }

    /// Moves everything into place, `main` last.
    pub(crate) fn finish(mut self, main: &str) -> Result<(), ExportError> {
        let entries = fs::read_dir(&self.work).map_err(ExportError::writing(&self.work))?;
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(ExportError::writing(&self.work))?.file_name());
        }
        names.sort_by_key(|name| name == main);
        for name in names {
            let to = self.root.join(&name);
            fs::rename(self.work.join(&name), &to).map_err(ExportError::writing(&to))?;
        }
        fs::remove_dir(&self.work).map_err(ExportError::writing(&self.work))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.finished {
            // Best effort: the next export into this folder removes what stays.
            let _ = fs::remove_dir_all(&self.work);
            if self.made_root {
                let _ = fs::remove_dir(&self.root);
            }
        }
    }
}
