//! The Android folder: `msgstore.db`, plain or encrypted, `wa.db` and the media beside them.
//!
//! The modern schema is read as one merge join: `message` in the order of its row numbers (past `SQLite` where all of
//! it is wanted: [`pages`]), and a cursor for each of the tables around it. Memory does not grow with the number of
//! messages, but for a dozen bytes a page.
#![cfg(not(target_arch = "wasm32"))]

mod build;
mod files;
mod kinds;
mod layout;
mod legacy;
mod modern;
mod once;
pub mod pages;
mod people;
mod ranges;
mod rows;
mod sides;
mod since;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use heirloom_archive::{MediaStore, Reading, Report, Sink, Source, SourceError, SourceInfo};

use crate::folder::{Listed, list, stamp_of};
use crate::sqlite::Database;
use crate::whatsapp::crypt::{DecryptedFile, WaKey};

use files::Files;
use layout::Layout;
use modern::Wanted;
use people::Names;
use since::Tally;

pub use pages::PageMap;
pub use ranges::RowRanges;

/// The id of the person whose phone it is.
pub const OWNER: &str = "self";

/// A folder of `WhatsApp` for Android, or one database of it.
#[derive(Debug)]
pub struct AndroidFolder {
    layout: Layout,
    database: Database,
    names: Names,
    files: Arc<Files>,
    schema: SchemaKind,
    /// The files below `Media`, once they were listed.
    listed: Option<Vec<Listed>>,
    _decrypted: Option<DecryptedFile>,
}

/// Which tables hold the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SchemaKind {
    /// `message` and the tables around it.
    Modern,
    /// `messages`, up to 2021.
    Legacy,
}

impl AndroidFolder {
    /// Opens the folder or database at `path`. Nothing is written beside it.
    ///
    /// A plain database is preferred to an encrypted one; `key` is used for the latter only, which is decrypted
    /// to a private place until the value is dropped.
    pub fn open(path: &Path, key: Option<WaKey>) -> Result<Self, SourceError> {
        let layout = Layout::find(path)?;
        let decrypted = if layout.encrypted {
            let needed = || SourceError::KeyNeeded {
                file: layout.label.clone(),
            };
            Some(DecryptedFile::make(
                &layout.database,
                &key.ok_or_else(needed)?,
            )?)
        } else {
            None
        };
        let database = Database::open(
            decrypted
                .as_ref()
                .map_or(&*layout.database, DecryptedFile::path),
        )?;
        let schema = Self::schema_of(&database, &layout)?;
        let names = Names::read(layout.names.as_deref());
        let files = Arc::new(Files::new(layout.base.clone()));
        Ok(Self {
            layout,
            database,
            names,
            files,
            schema,
            listed: None,
            _decrypted: decrypted,
        })
    }

    /// Reads only the messages whose rows lie in `rows` (and calls that have no message: see [`RowRanges`]).
    ///
    /// People and conversations are given as in a full read, and each message is exactly what a full read would give.
    pub fn read_rows(
        &mut self,
        rows: &RowRanges,
        sink: &mut dyn Sink,
    ) -> Result<Report, SourceError> {
        let wanted = Wanted { rows, hashes: None };
        self.read_some(wanted, sink, &mut Tally::default())
    }

    /// Whether rows can be read singly: the modern schema.
    pub fn reads_rows(&self) -> bool {
        self.schema == SchemaKind::Modern
    }

    /// Files with a table of each kind exist, from the time of the change: the one with more rows is it.
    fn schema_of(database: &Database, layout: &Layout) -> Result<SchemaKind, SourceError> {
        let modern =
            database.schema.has("message", "_id") && database.schema.has("message", "chat_row_id");
        let legacy = database.schema.has("messages", "key_remote_jid");
        match (modern, legacy) {
            (true, false) => Ok(SchemaKind::Modern),
            (false, true) => Ok(SchemaKind::Legacy),
            (false, false) => Err(SourceError::NotAChat {
                path: layout.label.clone(),
                hint: "it is a database, but has no table of messages; choose msgstore.db"
                    .to_owned(),
            }),
            (true, true) => {
                // Beyond the sentinel row of each.
                let rows = |sql| {
                    database
                        .connection
                        .query_row::<i64, _, _>(sql, [], |row| row.get(0))
                };
                let modern = rows("SELECT count(*) FROM (SELECT 1 FROM message LIMIT 2)");
                Ok(if modern.map_err(|error| database.failure(error))? > 1 {
                    SchemaKind::Modern
                } else {
                    SchemaKind::Legacy
                })
            }
        }
    }

    /// The files below `Media`; none where there is no such folder.
    fn media_files(&mut self) -> io::Result<&[Listed]> {
        if self.listed.is_none() {
            let media = self.layout.base.join("Media");
            self.listed = Some(if media.is_dir() {
                list(&media)?
            } else {
                Vec::new()
            });
        }
        Ok(self.listed.as_deref().unwrap_or_default())
    }

    fn read_some(
        &mut self,
        wanted: Wanted<'_>,
        sink: &mut dyn Sink,
        tally: &mut Tally,
    ) -> Result<Report, SourceError> {
        let mut report = Report::default();
        for other in &self.layout.others {
            report.note(&format!(
                "left aside: {other}, another copy of the database"
            ));
        }
        for increment in &self.layout.increments {
            report.note(&format!(
                "not read: {increment}, which holds later messages that are not in the full backup"
            ));
        }
        for problem in &self.names.problems {
            report.note(problem);
        }
        match self.schema {
            SchemaKind::Modern => modern::read(
                &self.database,
                &self.names,
                &self.files,
                wanted,
                sink,
                &mut report,
                tally,
            )?,
            SchemaKind::Legacy => {
                legacy::read(&self.database, &self.names, &self.files, sink, &mut report)?;
            }
        }
        Ok(report)
    }
}

impl Source for AndroidFolder {
    fn info(&self) -> SourceInfo {
        SourceInfo {
            app: "whatsapp",
            form: "whatsapp-android",
            label: self.layout.label.clone(),
        }
    }

    fn read(&mut self, sink: &mut dyn Sink) -> Result<Report, SourceError> {
        self.read_rows(&RowRanges::all(), sink)
    }

    fn read_since(
        &mut self,
        mark: Option<&[u8]>,
        key: &[u8; 32],
        sink: &mut dyn Sink,
    ) -> Result<Reading, SourceError> {
        self.read_what_changed(mark, key, sink)
    }

    fn media(&self) -> Arc<dyn MediaStore> {
        Arc::<Files>::clone(&self.files)
    }

    /// Covers the databases with their journals and every file below `Media`, by name, size, times and inode.
    fn stamp(&mut self) -> io::Result<Option<[u8; 32]>> {
        let mut hasher = blake3::Hasher::new();
        let mut one = |name: &str, stamp: heirloom_archive::Stamp| {
            hasher
                .update(&u64::try_from(name.len()).unwrap_or(u64::MAX).to_le_bytes())
                .update(name.as_bytes());
            hasher
                .update(&stamp.len.to_le_bytes())
                .update(&stamp.modified_ns.to_le_bytes());
            hasher
                .update(&stamp.changed_ns.to_le_bytes())
                .update(&stamp.inode.to_le_bytes());
        };
        let beside = |path: &Path, suffix: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        for database in std::iter::once(&self.layout.database).chain(&self.layout.names) {
            for suffix in ["", "-wal", "-journal"] {
                let path = beside(database, suffix);
                match std::fs::metadata(&path) {
                    Ok(metadata) => one(
                        &path.file_name().unwrap_or_default().to_string_lossy(),
                        stamp_of(&metadata),
                    ),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        // Listed anew each time: what is remembered must not be older than the digest.
        self.listed = None;
        for listed in self.media_files()? {
            one(&listed.entry.path, listed.stamp);
        }
        Ok(Some(*hasher.finalize().as_bytes()))
    }
}
