//! The real files of `../shared/corpus`, which never become part of this repository.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

/// A source, and what a person has to say about it.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub path: PathBuf,
    pub wa_key: Option<PathBuf>,
    pub date_order: Option<&'static str>,
}

impl Case {
    pub fn new(path: &Path) -> Self {
        Self {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path: path.to_owned(),
            wa_key: None,
            date_order: None,
        }
    }

    pub fn with_key(path: &Path, key: &Path) -> Self {
        Self {
            wa_key: Some(key.to_owned()),
            ..Self::new(path)
        }
    }

    /// `backup SOURCE …`, without the store.
    pub fn args(&self) -> Vec<String> {
        let mut args = vec!["backup".to_owned(), self.path.display().to_string()];
        if let Some(key) = &self.wa_key {
            args.extend(["--wa-key".to_owned(), key.display().to_string()]);
        }
        if let Some(order) = self.date_order {
            args.extend(["--date-order".to_owned(), order.to_owned()]);
        }
        args
    }
}

/// A path in `../shared/corpus`; without it the test is skipped, or fails when `HEIRLOOM_REQUIRE_SHARED=1`.
pub fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("HEIRLOOM_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let found = root.join("corpus").join(path);
    if found.exists() {
        return Some(found);
    }
    assert!(
        std::env::var_os("HEIRLOOM_REQUIRE_SHARED").is_none_or(|value| value != "1"),
        "../shared is absent"
    );
    println!("skipped: ../shared is absent");
    None
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The encrypted forms of a database, each with a key that opens it. Keys are copied into `scratch`.
pub fn encrypted(folder: &Path, scratch: &Path) -> Vec<Case> {
    [
        ("msgstore.db.crypt12", "key"),
        ("msgstore.db.crypt14", "key"),
        ("msgstore-noexpiry.db.crypt14", "key"),
        ("msgstore.db.crypt15", "encrypted_backup.key"),
        ("msgstore.db.crypt15", "key64.txt"),
        ("msgstore-nomd5.db.crypt15", "encrypted_backup.key"),
    ]
    .map(|(file, key)| Case::with_key(&folder.join(file), &private(folder, key, scratch)))
    .to_vec()
}

/// A key file that only its owner can read: the program refuses others, and the corpus stays as it is.
pub fn private(folder: &Path, key: &str, scratch: &Path) -> PathBuf {
    let path = scratch.join(key);
    fs::write(&path, fs::read(folder.join(key)).unwrap()).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// The legacy database, made from its statements.
pub fn legacy(statements: &Path, to: &Path) -> Case {
    fs::create_dir_all(to).unwrap();
    let path = to.join("msgstore.db");
    let connection = Connection::open(&path).unwrap();
    for part in ["msgstore.db.schema.sql", "test-database.sql"] {
        let sql = String::from_utf8(fs::read(statements.join(part)).unwrap()).unwrap();
        connection.execute_batch(&sql).unwrap();
    }
    Case {
        name: "legacy msgstore.db".to_owned(),
        ..Case::new(to)
    }
}
