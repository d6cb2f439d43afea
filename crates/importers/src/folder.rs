//! A folder as a source's files.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use heirloom_archive::{MediaFile, MediaStore, Stamp};

use crate::zipped::{FileEntry, is_safe};

/// Files that a folder may have.
pub const MAX_FILES: usize = 2_000_000;

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 16;

/// The files of a folder as media, each a plain file.
///
/// Nothing is listed in advance. A name that leads out of the folder, also by a symbolic link, is refused.
#[derive(Debug, Clone)]
pub struct FolderMedia {
    root: PathBuf,
}

impl FolderMedia {
    /// Media below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file's true path, after every step to it was seen to be a plain folder.
    fn resolve(&self, source_path: &str) -> io::Result<(PathBuf, Metadata)> {
        if !is_safe(source_path) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the name leads out of the folder",
            ));
        }
        let mut path = self.root.clone();
        let mut parts = source_path.split('/').peekable();
        while let Some(part) = parts.next() {
            path.push(part);
            let metadata = fs::symlink_metadata(&path)?;
            if parts.peek().is_none() {
                return if metadata.is_file() {
                    Ok((path, metadata))
                } else {
                    Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "not a plain file",
                    ))
                };
            }
            if !metadata.is_dir() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the way to it is not a plain folder",
                ));
            }
        }
        Err(io::Error::from(io::ErrorKind::NotFound))
    }
}

impl MediaStore for FolderMedia {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        Ok(MediaFile::File(self.resolve(source_path)?.0))
    }

    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>> {
        Ok(Some(stamp_of(&self.resolve(source_path)?.1)))
    }
}

/// What tells that a file did not change.
pub fn stamp_of(metadata: &Metadata) -> Stamp {
    let modified_ns = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0);
    #[cfg(unix)]
    let (changed_ns, inode) = {
        use std::os::unix::fs::MetadataExt;
        (
            metadata
                .ctime()
                .saturating_mul(1_000_000_000)
                .saturating_add(metadata.ctime_nsec()),
            metadata.ino(),
        )
    };
    #[cfg(not(unix))]
    let (changed_ns, inode) = (0, 0);
    Stamp {
        len: metadata.len(),
        modified_ns,
        changed_ns,
        inode,
    }
}

/// A file of a folder, found by [`list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is, relative to the folder, and its length.
    pub entry: FileEntry,
    /// What tells that it did not change.
    pub stamp: Stamp,
}

/// All plain files below `root`, sorted by their paths. Symbolic links and names that are not Unicode are
/// left out; more than [`MAX_FILES`] is an error.
pub fn list(root: &Path) -> io::Result<Vec<Listed>> {
    list_to_depth(root, MAX_DEPTH)
}

/// The plain files that lie in `root` itself.
pub fn list_flat(root: &Path) -> io::Result<Vec<Listed>> {
    list_to_depth(root, 0)
}

/// As [`list`], but only so many folders deep.
pub(crate) fn list_to_depth(root: &Path, max_depth: usize) -> io::Result<Vec<Listed>> {
    let mut found = Vec::new();
    let mut open = vec![(root.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = open.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            let Some(name) = entry
                .file_name()
                .to_str()
                .map(|name| format!("{prefix}{name}"))
            else {
                continue;
            };
            if metadata.is_dir() && depth < max_depth {
                open.push((entry.path(), format!("{name}/"), depth + 1));
            } else if metadata.is_file() && is_safe(&name) {
                if found.len() >= MAX_FILES {
                    return Err(io::Error::other("too many files in one folder"));
                }
                let stamp = stamp_of(&metadata);
                found.push(Listed {
                    entry: FileEntry {
                        path: name,
                        len: stamp.len,
                    },
                    stamp,
                });
            }
        }
    }
    found.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
    Ok(found)
}

/// The digest of [`heirloom_archive::Source::stamp`]: BLAKE3 over sorted (path, size, times, inode).
pub fn digest<'a>(files: impl IntoIterator<Item = (&'a str, Stamp)>) -> [u8; 32] {
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|(path, _)| *path);
    let mut hasher = blake3::Hasher::new();
    for (path, stamp) in files {
        let Stamp {
            len,
            modified_ns,
            changed_ns,
            inode,
        } = stamp;
        hasher
            .update(&u64::try_from(path.len()).unwrap_or(u64::MAX).to_le_bytes())
            .update(path.as_bytes());
        hasher
            .update(&len.to_le_bytes())
            .update(&modified_ns.to_le_bytes());
        hasher
            .update(&changed_ns.to_le_bytes())
            .update(&inode.to_le_bytes());
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("Media")).unwrap();
        fs::write(folder.path().join("Media/a.jpg"), b"picture").unwrap();
        fs::write(folder.path().join("b.txt"), b"text").unwrap();
        folder
    }

    #[test]
    fn files_are_listed_and_opened_by_their_relative_names() {
        let folder = folder();
        let names: Vec<_> = list(folder.path())
            .unwrap()
            .into_iter()
            .map(|f| f.entry.path)
            .collect();
        assert_eq!(names, ["Media/a.jpg", "b.txt"]);
        let media = FolderMedia::new(folder.path());
        assert!(matches!(media.open("Media/a.jpg"), Ok(MediaFile::File(_))));
        assert_eq!(media.stamp("b.txt").unwrap().unwrap().len, 4);
    }

    #[cfg(unix)]
    #[test]
    fn no_name_and_no_link_leads_out_of_the_folder() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"s").unwrap();
        let folder = folder();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), folder.path().join("s")).unwrap();
        let media = FolderMedia::new(folder.path());
        for name in ["../secret", "link/secret", "s", "/etc/passwd", "Media", ""] {
            assert!(media.open(name).is_err(), "{name}");
        }
        assert_eq!(list(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn the_digest_changes_with_a_file_and_not_with_the_order() {
        let folder = folder();
        let of = || digest_of(&list(folder.path()).unwrap());
        let before = of();
        assert_eq!(before, of());
        fs::write(folder.path().join("b.txt"), b"text2").unwrap();
        assert_ne!(before, of());
    }

    fn digest_of(files: &[Listed]) -> [u8; 32] {
        digest(files.iter().rev().map(|f| (f.entry.path.as_str(), f.stamp)))
    }
}
