//! The file that says where objects lie, and how to get in.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// More than any such file has.
const FILE_BYTES: u64 = 16 << 10;

/// Why the file of an object storage is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectsFileError {
    /// It cannot be read.
    #[error("the file of the object storage cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It holds a secret.
    #[error("the file of the object storage can be read by other users: chmod 600")]
    ReadByOthers,
    /// Its form. Values are not told.
    #[error("the file of the object storage is not what it should be: {0}")]
    Form(String),
    /// What it says cannot be.
    #[error("the object storage cannot be used: {0}")]
    Refused(String),
}

/// What it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) endpoint: String,
    pub(super) bucket: String,
    pub(super) region: String,
    #[serde(default)]
    pub(super) prefix: String,
    /// For one answer, and between two parts of it.
    #[serde(default = "half_a_minute")]
    pub(super) timeout_s: u64,
    pub(super) access_key_id: String,
    #[serde(deserialize_with = "secret")]
    pub(super) secret_access_key: SecretString,
}

fn half_a_minute() -> u64 {
    30
}

fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
    String::deserialize(from).map(SecretString::from)
}

impl Settings {
    pub(super) fn read(path: &Path) -> Result<Self, ObjectsFileError> {
        let file = File::open(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(ObjectsFileError::ReadByOthers);
            }
        }
        let mut text = Zeroizing::new(String::new());
        file.take(FILE_BYTES + 1).read_to_string(&mut text)?;
        if u64::try_from(text.len()).map_or(true, |length| length > FILE_BYTES) {
            return Err(ObjectsFileError::Form("it is too long".to_owned()));
        }
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, ObjectsFileError> {
        // The parser's message alone: its excerpt would show the line with the secret.
        let settings: Self = toml::from_str(text)
            .map_err(|error| ObjectsFileError::Form(error.message().to_owned()))?;
        let is_address = settings.endpoint.starts_with("https://") || settings.is_plain();
        if !is_address {
            return Err(ObjectsFileError::Refused(
                "the endpoint must begin with https:// or http://".to_owned(),
            ));
        }
        if settings.bucket.is_empty() || settings.region.is_empty() {
            return Err(ObjectsFileError::Refused(
                "bucket and region must not be empty".to_owned(),
            ));
        }
        Ok(settings)
    }

    /// Without TLS: for a storage on the same computer or in a network of its own.
    pub(super) fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "endpoint = \"https://s3.example.org\"\nbucket = \"heirloom\"\nregion = \"eu-1\"\n\
         access_key_id = \"id\"\nsecret_access_key = \"canary-secret\"\n";

    #[test]
    fn a_file_of_settings_is_read_and_shows_no_secret() {
        let settings = Settings::parse(TEXT).unwrap();
        assert_eq!(settings.bucket, "heirloom");
        assert_eq!((settings.prefix.as_str(), settings.timeout_s), ("", 30));
        assert!(!format!("{settings:?}").contains("canary"));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for wrong in [
            TEXT.replace("bucket =", "buckets ="),
            TEXT.replace("https://", "ftp://"),
            TEXT.replace("\"canary-secret\"", "canary-secret"),
            TEXT.replace("\"canary-secret\"", "[\"canary-secret\"]"),
            TEXT.replace("\"heirloom\"", "\"\""),
        ] {
            let error = Settings::parse(&wrong).unwrap_err();
            let told = format!("{error} {error:?}");
            assert!(!told.contains("canary"), "{told}");
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_file_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s3.toml");
        std::fs::write(&path, TEXT).unwrap();
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        mode(0o640);
        assert!(matches!(
            Settings::read(&path),
            Err(ObjectsFileError::ReadByOthers)
        ));
        mode(0o600);
        assert!(Settings::read(&path).is_ok());
    }
}
