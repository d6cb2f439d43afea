//! Where the bytes of attachments come from.

use std::io::{self, Read};
use std::path::PathBuf;

/// What tells cheaply that a file did not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// Nanoseconds since 1970 of the last change of the content; 0 = unknown.
    pub modified_ns: i64,
    /// Nanoseconds since 1970 of the last change of the file's entry; 0 = unknown.
    pub changed_ns: i64,
    /// The file's number on its disk; 0 = unknown.
    pub inode: u64,
}

/// An opened medium.
pub enum MediaFile {
    /// A plain file, which may be read at any place by several workers.
    File(PathBuf),
    /// A stream, read once from its beginning.
    Stream(Box<dyn Read + Send>),
}

impl std::fmt::Debug for MediaFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// The media of one source; shared by several workers.
pub trait MediaStore: Send + Sync {
    /// Opens the medium that an attachment's `source_path` names.
    ///
    /// Never follows a path out of the source.
    fn open(&self, source_path: &str) -> io::Result<MediaFile>;

    /// What tells that the medium did not change; `None` when the source cannot tell.
    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>>;
}

/// For sources without media.
#[derive(Debug, Clone, Copy)]
pub struct NoMedia;

impl MediaStore for NoMedia {
    fn open(&self, source_path: &str) -> io::Result<MediaFile> {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            source_path.to_owned(),
        ))
    }

    fn stamp(&self, source_path: &str) -> io::Result<Option<Stamp>> {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            source_path.to_owned(),
        ))
    }
}
