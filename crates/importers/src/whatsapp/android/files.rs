//! The media of the folder.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use heirloom_archive::{MediaFile, MediaStore, Stamp};

use crate::folder::{FolderMedia, stamp_of};
use crate::zipped::is_safe;

/// Folders remembered as plain ones.
const FOLDERS_MAX: usize = 10_000;

/// Media below the folder that message rows name them from.
#[derive(Debug)]
pub(super) struct Files {
    media: FolderMedia,
    base: PathBuf,
    /// Whether a folder is reached through plain folders only.
    plain: Mutex<HashMap<String, bool>>,
}

/// What is there under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    File(u64),
    Nothing,
    /// Something that must not be followed: a link, a name that leads out.
    Refused,
}

impl Files {
    pub(super) fn new(base: PathBuf) -> Self {
        Self {
            media: FolderMedia::new(&base),
            base,
            plain: Mutex::default(),
        }
    }

    /// Looks for a file without opening it. One system call for most files: folders are remembered.
    pub(super) fn look(&self, source_path: &str) -> Found {
        if !is_safe(source_path) {
            return Found::Refused;
        }
        if let Some((folder, _)) = source_path.rsplit_once('/')
            && !self.is_plain(folder)
        {
            return if self.base.join(folder).exists() {
                Found::Refused
            } else {
                Found::Nothing
            };
        }
        match fs::symlink_metadata(self.base.join(source_path)) {
            Ok(metadata) if metadata.is_file() => Found::File(metadata.len()),
            Ok(_) => Found::Refused,
            Err(_) => Found::Nothing,
        }
    }

    fn is_plain(&self, folder: &str) -> bool {
        let mut plain = self.plain.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = plain.get(folder) {
            return *known;
        }
        if plain.len() > FOLDERS_MAX {
            plain.clear();
        }
        let mut path = self.base.clone();
        let found = folder.split('/').all(|part| {
            path.push(part);
            fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir())
        });
        plain.insert(folder.to_owned(), found);
        found
    }

    #[cfg(test)]
    fn base(&self) -> &std::path::Path {
        &self.base
    }
}

impl MediaStore for Files {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        self.media.open(source_path)
    }

    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>> {
        if self.look(source_path) == Found::Refused {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name leads out of the folder",
            ));
        }
        Ok(Some(stamp_of(&fs::symlink_metadata(
            self.base.join(source_path),
        )?)))
    }
}

/// A path as a row gives it, made relative to the `WhatsApp` folder.
pub(super) fn relative(path: &str) -> &str {
    const INSIDE: &str = "WhatsApp/Media/";
    if path.starts_with("Media/") {
        return path;
    }
    path.rfind(INSIDE)
        .map_or(path, |at| &path[at + "WhatsApp/".len()..])
        .trim_start_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_old_phones_are_made_relative() {
        assert_eq!(
            relative("/storage/emulated/0/WhatsApp/Media/WhatsApp Images/a.jpg"),
            "Media/WhatsApp Images/a.jpg"
        );
        assert_eq!(relative("Media/WhatsApp/Media/a"), "Media/WhatsApp/Media/a");
        assert_eq!(relative("a.jpg"), "a.jpg");
    }

    #[cfg(unix)]
    #[test]
    fn no_link_and_no_dots_lead_out() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("WhatsApp");
        fs::create_dir_all(base.join("Media/a")).unwrap();
        fs::write(dir.path().join("secret"), b"s").unwrap();
        fs::write(base.join("Media/a/x"), b"xy").unwrap();
        std::os::unix::fs::symlink(dir.path(), base.join("Media/out")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("secret"), base.join("Media/a/link")).unwrap();
        let files = Files::new(base);
        assert!(files.base().ends_with("WhatsApp"));
        assert_eq!(files.look("Media/a/x"), Found::File(2));
        assert_eq!(files.look("Media/a/y"), Found::Nothing);
        assert_eq!(files.look("Media/b/y"), Found::Nothing);
        for path in [
            "Media/out/secret",
            "Media/a/link",
            "../secret",
            "/etc/passwd",
            "Media/a",
        ] {
            assert_eq!(files.look(path), Found::Refused, "{path}");
            assert!(files.open(path).is_err(), "{path}");
            assert!(files.stamp(path).is_err(), "{path}");
        }
    }
}
