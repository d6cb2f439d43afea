//! A decrypted database in a private place.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use heirloom_archive::SourceError;
use tempfile::TempDir;

use super::check::verify;
use super::key::WaKey;

/// A decrypted copy of an encrypted database, in a directory that only its owner can enter. Removed on drop.
#[derive(Debug)]
pub struct DecryptedFile {
    path: PathBuf,
    bytes: u64,
    _dir: TempDir,
}

impl DecryptedFile {
    /// Decrypts the file at `path`. Where that fails, nothing is left behind.
    ///
    /// Costs two passes over the file and the space of its content in the system's place for temporary files.
    pub fn make(path: &Path, key: &WaKey) -> Result<Self, SourceError> {
        let name = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        let at = |path: &Path| {
            let path = path.display().to_string();
            move |source| SourceError::Io { path, source }
        };
        let mut file = File::open(path).map_err(at(path))?;
        let plaintext = verify(&mut file, &name, key)?;
        let dir = tempfile::Builder::new()
            .prefix("heirloom-")
            .tempdir()
            .map_err(at(&std::env::temp_dir()))?;
        let out_path = dir.path().join("msgstore.db");
        let mut out =
            BufWriter::with_capacity(1 << 18, fs::File::create(&out_path).map_err(at(&out_path))?);
        let bytes = plaintext.write(&mut file, &name, &mut out)?;
        out.flush().map_err(at(&out_path))?;
        Ok(Self {
            path: out_path,
            bytes,
            _dir: dir,
        })
    }

    /// Where it lies until this value is dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
