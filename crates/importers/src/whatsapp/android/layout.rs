//! Where things lie in a folder that was copied from a phone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use heirloom_archive::SourceError;

/// Folders of the phone in which the database is looked for, the nearest first.
const PLACES: [&str; 8] = [
    "",
    "Databases",
    "databases",
    "WhatsApp/Databases",
    "com.whatsapp/WhatsApp/Databases",
    "Android/media/com.whatsapp/WhatsApp/Databases",
    "Backups",
    "WhatsApp",
];
/// The folder in which `Media` lies, seen from the one that was given.
const BASES: [&str; 4] = [
    "WhatsApp",
    "",
    "com.whatsapp/WhatsApp",
    "Android/media/com.whatsapp/WhatsApp",
];

/// What was found of a folder.
#[derive(Debug)]
pub(super) struct Layout {
    /// For people: the name of what was given.
    pub(super) label: String,
    /// The database to read.
    pub(super) database: PathBuf,
    pub(super) encrypted: bool,
    /// `wa.db`, with the names of contacts.
    pub(super) names: Option<PathBuf>,
    /// The folder that media paths begin in.
    pub(super) base: PathBuf,
    /// Names of other copies of the database.
    pub(super) others: Vec<String>,
    /// Names of increments, which nobody can merge.
    pub(super) increments: Vec<String>,
}

impl Layout {
    pub(super) fn find(path: &Path) -> Result<Self, SourceError> {
        let at = |source| SourceError::Io {
            path: path.display().to_string(),
            source,
        };
        let label = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into_owned(),
        );
        let metadata = fs::metadata(path).map_err(at)?;
        if metadata.is_file() {
            let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
            let encrypted = is_encrypted(&label);
            let names = wa_db(&[&folder]);
            let base = base_of(&folder);
            let (others, increments) = (Vec::new(), Vec::new());
            return Ok(Self {
                label,
                database: path.to_owned(),
                encrypted,
                names,
                base,
                others,
                increments,
            });
        }
        let mut found = Vec::new();
        let mut increments = Vec::new();
        for place in PLACES {
            let folder = if place.is_empty() {
                path.to_owned()
            } else {
                path.join(place)
            };
            for name in names_in(&folder).map_err(at)? {
                let file = folder.join(&name);
                if is_increment(&name) {
                    increments.push(name);
                } else if is_database(&name)
                    && fs::metadata(&file).is_ok_and(|found| found.is_file())
                {
                    found.push((rank(&name), place, name, file));
                }
            }
        }
        // The plain one, then the newest form of encryption, then dated backups, newest first.
        found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.2.cmp(&a.2)));
        // "Databases" and "databases" are one folder on many disks.
        found.dedup_by(|a, b| a.2 == b.2 && a.1.eq_ignore_ascii_case(b.1));
        let mut found = found.into_iter();
        let Some((_, _, name, database)) = found.next() else {
            return Err(SourceError::NotAChat {
                path: path.display().to_string(),
                hint: "a WhatsApp folder holds msgstore.db, or Databases/msgstore.db.crypt15"
                    .to_owned(),
            });
        };
        let others = found
            .map(|(_, place, name, _)| {
                if place.is_empty() {
                    name
                } else {
                    format!("{place}/{name}")
                }
            })
            .collect();
        let beside = database.parent().map(Path::to_path_buf).unwrap_or_default();
        let names = wa_db(&[
            &beside,
            path,
            &path.join("databases"),
            &path.join("Databases"),
        ]);
        increments.sort();
        increments.dedup();
        Ok(Self {
            label,
            encrypted: is_encrypted(&name),
            names,
            base: base_of(path),
            database,
            others,
            increments,
        })
    }
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(folder) {
        Ok(entries) => {
            let mut names = Vec::new();
            for entry in entries {
                if let Ok(name) = entry?.file_name().into_string() {
                    names.push(name);
                }
            }
            Ok(names)
        }
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// `msgstore.db`, `msgstore.db.crypt15`, `msgstore-2024-05-01.1.db.crypt14`, `msgstore-noexpiry.db.crypt14`
fn is_database(name: &str) -> bool {
    let (stem, _) = name.split_once(".crypt").unwrap_or((name, ""));
    let plain = stem
        .strip_prefix("msgstore")
        .and_then(|rest| rest.strip_suffix(".db"));
    plain.is_some() && (stem == name || is_encrypted(name))
}

fn is_increment(name: &str) -> bool {
    name.starts_with("msgstore-increment") && is_encrypted(name)
}

fn is_encrypted(name: &str) -> bool {
    name.rsplit_once(".crypt")
        .is_some_and(|(_, version)| matches!(version, "12" | "14" | "15"))
}

fn rank(name: &str) -> u8 {
    match name {
        "msgstore.db" => 0,
        "msgstore.db.crypt15" => 1,
        "msgstore.db.crypt14" => 2,
        "msgstore.db.crypt12" => 3,
        _ if !is_encrypted(name) => 4,
        _ => 5,
    }
}

fn wa_db(folders: &[&Path]) -> Option<PathBuf> {
    folders
        .iter()
        .map(|folder| folder.join("wa.db"))
        .find(|file| file.is_file())
}

/// The folder that holds `Media`; the given one where there is none.
fn base_of(folder: &Path) -> PathBuf {
    // "Databases" lies beside "Media"; nothing else is a reason to look outside of what was given.
    let in_databases = folder
        .file_name()
        .is_some_and(|name| name.eq_ignore_ascii_case("Databases"));
    let above = folder.parent().filter(|_| in_databases);
    BASES
        .iter()
        .map(|base| {
            if base.is_empty() {
                folder.to_owned()
            } else {
                folder.join(base)
            }
        })
        .chain(above.map(Path::to_path_buf))
        .find(|base| base.join("Media").is_dir())
        .unwrap_or_else(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        dir
    }

    #[test]
    fn the_plain_database_is_preferred_and_the_others_are_named() {
        let dir = folder(&[
            "msgstore.db",
            "wa.db",
            "WhatsApp/Databases/msgstore.db.crypt15",
            "WhatsApp/Databases/msgstore-2024-05-01.1.db.crypt15",
            "WhatsApp/Databases/msgstore-increment-1.db.crypt15",
            "WhatsApp/Media/x",
        ]);
        let layout = Layout::find(dir.path()).unwrap();
        assert_eq!(layout.database, dir.path().join("msgstore.db"));
        assert!(!layout.encrypted && layout.names.is_some());
        assert_eq!(layout.base, dir.path().join("WhatsApp"));
        assert_eq!(
            layout.others,
            [
                "WhatsApp/Databases/msgstore.db.crypt15",
                "WhatsApp/Databases/msgstore-2024-05-01.1.db.crypt15"
            ]
        );
        assert_eq!(layout.increments, ["msgstore-increment-1.db.crypt15"]);
    }

    #[test]
    fn the_newest_dated_backup_is_read_where_there_is_no_other() {
        let dir = folder(&[
            "Databases/msgstore-2024-05-01.1.db.crypt14",
            "Databases/msgstore-2024-06-01.1.db.crypt14",
        ]);
        let layout = Layout::find(dir.path()).unwrap();
        assert!(layout.encrypted);
        assert!(
            layout
                .database
                .ends_with("Databases/msgstore-2024-06-01.1.db.crypt14")
        );
    }

    #[test]
    fn a_single_file_finds_what_lies_beside_it() {
        let dir = folder(&["Databases/msgstore.db.crypt12", "Media/x"]);
        let layout = Layout::find(&dir.path().join("Databases/msgstore.db.crypt12")).unwrap();
        assert_eq!(layout.base, dir.path());
    }

    #[test]
    fn a_folder_without_a_database_is_no_chat() {
        let dir = folder(&["Media/x", "msgstore.db.txt", "notmsgstore.db"]);
        assert!(matches!(
            Layout::find(dir.path()).unwrap_err(),
            SourceError::NotAChat { .. }
        ));
    }
}
