//! The files of an export: a zip, a folder, or a text alone.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use heirloom_archive::{MediaFile, MediaStore, Stamp};
use unicode_normalization::UnicodeNormalization;

use super::header::is_mark;
use crate::zipped::{FileEntry, Reopen, ZipMedia};

/// Where an export's files lie.
pub(super) trait Files: MediaStore {
    /// All of them.
    fn entries(&self) -> &[FileEntry];

    /// Names that are refused because they lead out of the export.
    fn refused(&self) -> &[String] {
        &[]
    }

    /// See [`heirloom_archive::Source::stamp`].
    fn digest(&self) -> io::Result<Option<[u8; 32]>>;
}

impl<R: Reopen> Files for ZipMedia<R> {
    fn entries(&self) -> &[FileEntry] {
        ZipMedia::entries(self)
    }

    fn refused(&self) -> &[String] {
        ZipMedia::refused(self)
    }

    fn digest(&self) -> io::Result<Option<[u8; 32]>> {
        #[cfg(not(target_arch = "wasm32"))]
        return Ok(self
            .zip()
            .stamp()?
            .map(|stamp| crate::folder::digest([("", stamp)])));
        #[cfg(target_arch = "wasm32")]
        return Ok(None);
    }
}

/// Folders within an unpacked export that are looked into: whoever names a home folder by mistake does not
/// wait for all of it.
#[cfg(not(target_arch = "wasm32"))]
const DEPTH: usize = 3;

/// A folder whose files were listed once.
#[cfg(not(target_arch = "wasm32"))]
#[derive(Debug)]
pub(super) struct Folder {
    media: crate::folder::FolderMedia,
    entries: Vec<FileEntry>,
    /// Of the text alone, when only the text was asked for.
    only: Option<String>,
}

#[cfg(not(target_arch = "wasm32"))]
impl Folder {
    pub(super) fn open(root: &std::path::Path, only: Option<String>) -> io::Result<Self> {
        let listed = if only.is_some() {
            crate::folder::list_flat(root)?
        } else {
            crate::folder::list_to_depth(root, DEPTH)?
        };
        let entries = listed.into_iter().map(|file| file.entry).collect();
        Ok(Self {
            media: crate::folder::FolderMedia::new(root),
            entries,
            only,
        })
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl MediaStore for Folder {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        self.media.open(source_path)
    }

    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>> {
        self.media.stamp(source_path)
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Files for Folder {
    fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    fn digest(&self) -> io::Result<Option<[u8; 32]>> {
        let listed = if self.only.is_some() {
            crate::folder::list_flat(self.media.root())?
        } else {
            crate::folder::list_to_depth(self.media.root(), DEPTH)?
        };
        Ok(Some(crate::folder::digest(
            listed
                .iter()
                .map(|file| (file.entry.path.as_str(), file.stamp)),
        )))
    }
}

/// A text in memory, without media.
#[derive(Debug)]
pub(super) struct TextAlone {
    entries: Vec<FileEntry>,
    bytes: Arc<[u8]>,
}

impl TextAlone {
    pub(super) fn new(name: &str, bytes: Arc<[u8]>) -> Self {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Self {
            entries: vec![FileEntry {
                path: name.to_owned(),
                len,
            }],
            bytes,
        }
    }
}

impl MediaStore for TextAlone {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        if self.entries.iter().any(|entry| entry.path == source_path) {
            Ok(MediaFile::Stream(Box::new(io::Cursor::new(Arc::clone(
                &self.bytes,
            )))))
        } else {
            Err(io::Error::from(io::ErrorKind::NotFound))
        }
    }

    fn stamp(&self, _source_path: &str) -> io::Result<Option<Stamp>> {
        Ok(None)
    }
}

impl Files for TextAlone {
    fn entries(&self) -> &[FileEntry] {
        &self.entries
    }

    fn digest(&self) -> io::Result<Option<[u8; 32]>> {
        Ok(None)
    }
}

/// Opens a file to be read from its beginning.
pub(super) fn reader(files: &dyn Files, path: &str) -> io::Result<Box<dyn Read + Send>> {
    match files.open(path)? {
        MediaFile::Stream(stream) => Ok(stream),
        #[cfg(not(target_arch = "wasm32"))]
        MediaFile::File(path) => Ok(Box::new(std::fs::File::open(path)?)),
        #[cfg(target_arch = "wasm32")]
        MediaFile::File(_) => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

/// Finds files by the names that messages give them.
#[derive(Debug, Default)]
pub(super) struct Names {
    by_name: HashMap<String, usize>,
}

impl Names {
    /// Files beside the text come before those elsewhere.
    pub(super) fn new(entries: &[FileEntry], text: &str) -> Self {
        let beside = text
            .rfind('/')
            .map_or("", |at| text.get(..=at).unwrap_or(""));
        let mut by_name = HashMap::new();
        for (index, entry) in entries.iter().enumerate() {
            if entry.path == text || is_junk(&entry.path) {
                continue;
            }
            let name = normal(entry.path.rsplit('/').next().unwrap_or(&entry.path));
            let is_beside = entry
                .path
                .strip_prefix(beside)
                .is_some_and(|rest| !rest.contains('/'));
            if is_beside {
                by_name.insert(name, index);
            } else {
                by_name.entry(name).or_insert(index);
            }
        }
        Self { by_name }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        if self.by_name.is_empty() {
            return None;
        }
        self.by_name.get(&normal(name)).copied()
    }
}

/// Names are compared without marks and in one normal form: a zip made on a Mac decomposes them.
fn normal(name: &str) -> String {
    name.chars().filter(|c| !is_mark(*c)).nfc().collect()
}

/// What file managers leave behind.
pub(super) fn is_junk(path: &str) -> bool {
    path.split('/').any(|part| {
        part == "__MACOSX"
            || part == ".DS_Store"
            || part == "Thumbs.db"
            || part == "desktop.ini"
            || part.starts_with("._")
    })
}
