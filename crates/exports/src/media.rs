//! Attachments on their way into an export.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use heirloom_archive::canon::ContentDigest;
use heirloom_archive::form::FolderNames;
use heirloom_archive::paths::{MAX_NAME_BYTES, safe_name};
use heirloom_archive::{Attachment, History, Presence};
use sha2::{Digest, Sha256};

use crate::filter::Walk;
use crate::outcome::ExportError;

/// What became of an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Medium {
    /// Lies in the folder under this name.
    Written { name: String, digest: ContentDigest },
    /// The history does not have it, or the filter left it out.
    Absent,
    /// The history should have it.
    Unreadable,
}

/// One conversation's folder of media.
#[derive(Debug, Default)]
pub(crate) struct MediaFolder {
    names: FolderNames,
    /// Put behind the names of files that a browser would run.
    pub(crate) harmless: bool,
}

/// Kinds of files whose scripts would run when they are opened from a page.
const ACTIVE: &[&str] = &[
    "html", "htm", "xhtml", "xht", "shtml", "svg", "svgz", "xml", "xsl", "xslt", "mht", "mhtml",
    "js", "mjs", "swf", "hta",
];

impl MediaFolder {
    /// Copies an attachment's bytes below `folder`, hashing them on the way. Equal files of one name are one file.
    pub(crate) fn copy(
        &mut self,
        walk: &mut Walk<'_>,
        history: &mut dyn History,
        attachment: &Attachment,
        folder: &Path,
    ) -> Result<Medium, ExportError> {
        if attachment.presence == i32::from(Presence::Unreadable) {
            return Ok(Medium::Unreadable);
        }
        if walk.filter.without_media || attachment.presence != i32::from(Presence::Present) {
            walk.outcome.absent += 1;
            return Ok(Medium::Absent);
        }
        let mut read = match history.open(attachment) {
            Ok(Some(read)) => read,
            Ok(None) => {
                walk.outcome.absent += 1;
                return Ok(Medium::Absent);
            }
            Err(error) => {
                walk.outcome.add_unreadable(&attachment.name, &error);
                return Ok(Medium::Unreadable);
            }
        };
        fs::create_dir_all(folder).map_err(ExportError::writing(folder))?;
        let part = folder.join(".part");
        let mut file = File::create(&part).map_err(ExportError::writing(&part))?;
        let digest = match transfer(&mut read, &mut file, walk) {
            Ok(digest) => digest,
            Err(Broken::Reading(error)) => {
                walk.outcome.add_unreadable(&attachment.name, &error);
                fs::remove_file(&part).map_err(ExportError::writing(&part))?;
                return Ok(Medium::Unreadable);
            }
            Err(Broken::Writing(error)) => return Err(ExportError::writing(&part)(error)),
            Err(Broken::Stopped(error)) => return Err(error),
        };
        drop(file);
        let name = self.place(&attachment.name, &digest.sha256, &part, folder)?;
        walk.outcome.attachments += 1;
        Ok(Medium::Written { name, digest })
    }

    /// Writes a file that is no attachment by itself (a contact card).
    pub(crate) fn write(
        &mut self,
        name: &str,
        bytes: &[u8],
        folder: &Path,
    ) -> Result<String, ExportError> {
        fs::create_dir_all(folder).map_err(ExportError::writing(folder))?;
        let part = folder.join(".part");
        fs::write(&part, bytes).map_err(ExportError::writing(&part))?;
        self.place(name, &Sha256::digest(bytes).into(), &part, folder)
    }

    /// Keeps a name from being given to an attachment.
    pub(crate) fn reserve(&mut self, name: &str) {
        // No content has this digest but by a break of SHA-256.
        self.names.give(name, &[0xff; 32]);
    }

    fn place(
        &mut self,
        name: &str,
        sha256: &[u8; 32],
        part: &Path,
        folder: &Path,
    ) -> Result<String, ExportError> {
        // As it will be written: "a.html." and "a.html " lose their ends on the way.
        let name = safe_name(name, MAX_NAME_BYTES);
        let active = name
            .rsplit('.')
            .next()
            .is_some_and(|end| ACTIVE.contains(&end.to_ascii_lowercase().as_str()));
        let wished = if self.harmless && active {
            format!("{name}.txt")
        } else {
            name
        };
        let name = self.names.give(&wished, sha256);
        let path = folder.join(&name);
        fs::rename(part, &path).map_err(ExportError::writing(&path))?;
        Ok(name)
    }
}

enum Broken {
    Reading(io::Error),
    Writing(io::Error),
    Stopped(ExportError),
}

fn transfer(
    read: &mut dyn Read,
    file: &mut File,
    walk: &mut Walk<'_>,
) -> Result<ContentDigest, Broken> {
    let mut buffer = vec![0; 1 << 17];
    let mut hasher = Sha256::new();
    let mut bytes = 0_u64;
    loop {
        let got = match read.read(&mut buffer) {
            Ok(0) => break,
            Ok(got) => got,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                walk.outcome.bytes -= bytes;
                return Err(Broken::Reading(error));
            }
        };
        hasher.update(&buffer[..got]);
        file.write_all(&buffer[..got]).map_err(Broken::Writing)?;
        let before = bytes >> 24;
        let got = u64::try_from(got).unwrap_or(u64::MAX);
        bytes += got;
        walk.outcome.bytes += got;
        if bytes >> 24 != before {
            walk.tell().map_err(Broken::Stopped)?;
        }
    }
    Ok(ContentDigest {
        bytes,
        sha256: hasher.finalize().into(),
    })
}
