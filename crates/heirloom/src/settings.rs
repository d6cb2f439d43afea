//! Settings: flag before environment (both by clap) before `config.toml`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Color;
use crate::failure::Failure;

/// What `config.toml` may hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    /// When to use colours.
    pub(crate) color: Option<Color>,
    /// What this computer is called in backups.
    pub(crate) device_name: Option<String>,
    /// The file that holds the recovery key.
    pub(crate) recovery_key_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file; one that is not there is empty.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::file("read", path, &error)),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| {
                text[..span.start.min(text.len())].matches('\n').count() + 1
            });
            Failure::usage(format!(
                "{}, line {line}: {}",
                path.display(),
                error.message().trim()
            ))
            .hint("known settings are color, device-name and recovery-key-file")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read() {
        let settings = Settings::parse(
            "color = \"never\"\ndevice-name = \"Laptop\"\n",
            Path::new("c"),
        )
        .unwrap();
        assert_eq!(settings.color, Some(Color::Never));
        assert_eq!(settings.device_name.as_deref(), Some("Laptop"));
    }

    #[test]
    fn an_unknown_setting_is_refused_with_its_line() {
        let failure = Settings::parse(
            "color = \"never\"\npassword = \"x\"\n",
            Path::new("config.toml"),
        )
        .unwrap_err();
        assert!(
            failure
                .message
                .starts_with("config.toml, line 2: unknown field `password`"),
            "{}",
            failure.message
        );
    }
}
