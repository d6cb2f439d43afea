//! Which source a path is.

use std::path::Path;

use heirloom_archive::{Source, SourceError};

use crate::whatsapp::android::AndroidFolder;
use crate::whatsapp::crypt::WaKey;
use crate::whatsapp::text::{DateOrder, TextExport, TextOptions};

/// What a person can say about a source.
#[derive(Debug, Default)]
pub struct Options {
    /// The order of day and month, for texts that do not show it.
    pub date_order: Option<DateOrder>,
    /// The key of an encrypted WhatsApp database.
    pub wa_key: Option<WaKey>,
    /// The title of an exported chat, instead of the one that it gives.
    pub title: Option<String>,
}

/// The file that marks a folder in archive form.
pub const ARCHIVE_MARK: &str = "heirloom-archive.json";

/// Opens whatever `path` is: an exported chat (zip, folder or text), WhatsApp's Android folder or its
/// database, or a folder in archive form.
///
/// Takes the options by value: a key is never copied.
pub fn open(path: &Path, options: Options) -> Result<Box<dyn Source + Send>, SourceError> {
    let Options {
        date_order,
        wa_key,
        title,
    } = options;
    let metadata = std::fs::metadata(path).map_err(|source| SourceError::Io {
        path: path.display().to_string(),
        source,
    })?;
    if metadata.is_dir() && path.join(ARCHIVE_MARK).is_file() {
        return open_archive(path);
    }
    let is_android = if metadata.is_dir() {
        is_android_folder(path)
    } else {
        is_database_name(path) || starts_like_sqlite(path)
    };
    if is_android {
        return Ok(Box::new(AndroidFolder::open(path, wa_key)?));
    }
    Ok(Box::new(TextExport::open(
        path,
        TextOptions { date_order, title },
    )?))
}

fn open_archive(path: &Path) -> Result<Box<dyn Source + Send>, SourceError> {
    Ok(Box::new(crate::archive_form::ArchiveForm::open(path)?))
}

fn is_android_folder(path: &Path) -> bool {
    let holds_database = |folder: &Path| {
        std::fs::read_dir(folder).is_ok_and(|entries| {
            entries
                .flatten()
                .any(|entry| is_database_name(Path::new(&entry.file_name())))
        })
    };
    holds_database(path) || holds_database(&path.join("Databases"))
}

/// `msgstore.db`, `msgstore.db.crypt15`, `msgstore-2022-03-27.1.db.crypt14`.
fn is_database_name(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return false;
    };
    let Some(rest) = name.strip_prefix("msgstore") else {
        return false;
    };
    let Some((_, ending)) = rest.split_once(".db") else {
        return false;
    };
    ending.is_empty()
        || ending
            .strip_prefix(".crypt")
            .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

fn starts_like_sqlite(path: &Path) -> bool {
    use std::io::Read;
    let mut head = [0; 16];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut head))
        .is_ok()
        && head == *b"SQLite format 3\0"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_databases_are_known() {
        for name in [
            "msgstore.db",
            "msgstore.db.crypt15",
            "a/msgstore-2022-03-27.1.db.crypt14",
            "msgstore-increment-1.db.crypt14",
        ] {
            assert!(is_database_name(Path::new(name)), "{name}");
        }
        for name in [
            "msgstore.db-wal",
            "msgstore.txt",
            "wa.db",
            "msgstore.db.cryptx",
        ] {
            assert!(!is_database_name(Path::new(name)), "{name}");
        }
    }
}
