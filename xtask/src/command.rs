//! Other programs, run from the workspace root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use anyhow::{Context as _, Result};

/// The workspace root, wherever this was called from.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies in the workspace")
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether nothing but this program was built here yet, as on a machine of CI: what makes the next build shorter is
/// 2.7 GB there that nobody uses.
static IS_FIRST_BUILD: LazyLock<bool> = LazyLock::new(|| {
    let Ok(built) = std::fs::read_dir(target().join("debug/incremental")) else {
        return true;
    };
    let mut names = built.flatten().map(|entry| entry.file_name());
    !names.any(|name| name.to_string_lossy().starts_with("heirloom"))
});

/// A command that will be run.
#[derive(Debug)]
pub(crate) struct Cmd(Command);

/// What a command printed and whether it succeeded.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) success: bool,
    pub(crate) output: String,
}

impl Cmd {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        // Cargo tells a program that it runs about itself; other cargos must not hear of it.
        for (name, _) in std::env::vars_os() {
            let own = name
                .to_str()
                .is_some_and(|n| n.starts_with("CARGO_PKG_") || n.starts_with("CARGO_MANIFEST_"));
            if own {
                command.env_remove(name);
            }
        }
        Self(command)
    }

    pub(crate) fn cargo<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(args: I) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let command = Self::new(cargo).args(args);
        if *IS_FIRST_BUILD {
            command.env("CARGO_INCREMENTAL", "0")
        } else {
            command
        }
    }

    pub(crate) fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, args: I) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.env_remove(name);
        self
    }

    pub(crate) fn dir(mut self, dir: &Path) -> Self {
        self.0.current_dir(dir);
        self
    }

    /// Runs it with our own output, and says whether it succeeded.
    pub(crate) fn passes(mut self) -> Result<bool> {
        let status = self
            .0
            .status()
            .with_context(|| format!("run {}", self.name()))?;
        Ok(status.success())
    }

    /// Runs it and keeps what it printed, both streams in one, as they came.
    pub(crate) fn run(mut self) -> Result<Ran> {
        let mut log = tempfile::tempfile().context("make a temporary file")?;
        let name = self.name();
        let status = self
            .0
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .status()
            .with_context(|| format!("run {name}"))?;
        let mut bytes = Vec::new();
        std::io::Seek::rewind(&mut log)?;
        std::io::Read::read_to_end(&mut log, &mut bytes)?;
        Ok(Ran {
            success: status.success(),
            output: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// What it prints on its standard output; `None` if it fails or is not there.
    pub(crate) fn answer(mut self) -> Option<String> {
        let out = self
            .0
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    }

    fn name(&self) -> String {
        self.0.get_program().to_string_lossy().into_owned()
    }
}

/// Whether `program` is on the path.
pub(crate) fn on_path(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
