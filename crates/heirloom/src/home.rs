//! What this computer keeps: settings, and a state folder for each backup that it knows.

pub(crate) mod repository;

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;

use crate::atomic;
use crate::exit::Exit;
use crate::failure::Failure;

pub(crate) use repository::{RepositoryState, Seen, SeenHead};

/// Where settings and state lie.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    settings: PathBuf,
    state: PathBuf,
}

impl Home {
    /// `given` (flag or `HEIRLOOM_HOME`) holds both; else the system's usual places do.
    pub(crate) fn find(given: Option<&Path>) -> Result<Self, Failure> {
        if let Some(given) = given {
            let absolute =
                std::path::absolute(given).map_err(|error| Failure::file("use", given, &error))?;
            return Ok(Self {
                settings: absolute.join("config.toml"),
                state: absolute,
            });
        }
        let base = etcetera::choose_base_strategy().map_err(|_| {
            Failure::new(Exit::Failed, "this user has no home folder")
                .hint("say where: `--home DIR` or HEIRLOOM_HOME")
        })?;
        let state = base
            .state_dir()
            .unwrap_or_else(|| base.data_dir())
            .join("heirloom");
        Ok(Self {
            settings: base.config_dir().join("heirloom/config.toml"),
            state,
        })
    }

    /// The settings file.
    pub(crate) fn settings(&self) -> &Path {
        &self.settings
    }

    /// The folder of the state.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// The state of one backup; its folder is made when `create`.
    pub(crate) fn repository(
        &self,
        id: [u8; 16],
        create: bool,
    ) -> Result<Option<RepositoryState>, Failure> {
        let folder = self.repositories().join(hex::encode(id));
        if create {
            atomic::private_folder(&folder)
                .map_err(|error| Failure::file("make", &folder, &error))?;
        } else if !folder.is_dir() {
            return Ok(None);
        }
        Ok(Some(RepositoryState::new(id, folder)))
    }

    /// The state of all backups that this computer knows.
    pub(crate) fn all(&self) -> Vec<RepositoryState> {
        let Ok(entries) = std::fs::read_dir(self.repositories()) else {
            return Vec::new();
        };
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let mut id = [0; 16];
                hex::decode_to_slice(entry.file_name().to_str()?, &mut id).ok()?;
                Some(RepositoryState::new(id, entry.path()))
            })
            .collect();
        found.sort_by_key(RepositoryState::id);
        found
    }

    fn repositories(&self) -> PathBuf {
        self.state.join("repositories")
    }
}

/// A store's place as it is remembered: a folder by its whole path, a URL as it is.
pub(crate) fn place(store: &str) -> String {
    if let Ok(address) = crate::server::Address::parse(store) {
        return address.place();
    }
    if store.contains("://") {
        return store.trim_end_matches('/').to_owned();
    }
    let path = Path::new(store);
    std::fs::canonicalize(path)
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned())
        .display()
        .to_string()
}
