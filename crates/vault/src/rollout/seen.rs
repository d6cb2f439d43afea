//! The newest rules that this server ever had in force, in a file of its own.

use std::io::{ErrorKind, Read as _, Write as _};
use std::path::PathBuf;

use heirloom_vault_api::SeenRules;

use crate::generation::sync_folder;

const MAX_BYTES: u64 = 4096;

/// The file.
#[derive(Debug)]
pub(super) struct SeenFile(pub(super) PathBuf);

impl SeenFile {
    /// A missing file is none; one that makes no sense is an error, for it may hide a newer version.
    pub(super) fn read(&self) -> Result<Option<SeenRules>, String> {
        let file = match std::fs::File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {}", self.0.display(), error.kind())),
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{}: {}", self.0.display(), error.kind()))?;
        serde_json::from_slice(&bytes).map(Some).map_err(|_| {
            format!(
                "{} makes no sense: it says which rules are too old, and only its host can remove it",
                self.0.display()
            )
        })
    }

    /// Whole or not at all, and on the disk.
    pub(super) fn write(&self, seen: Option<SeenRules>) -> Result<(), String> {
        let part = self.0.with_extension("part");
        let written = || {
            let mut file = std::fs::File::create(&part)?;
            file.write_all(&serde_json::to_vec(&seen)?)?;
            file.sync_all()?;
            std::fs::rename(&part, &self.0)?;
            self.0.parent().map_or(Ok(()), sync_folder)
        };
        written().map_err(|error: std::io::Error| format!("{}: {}", self.0.display(), error.kind()))
    }
}
