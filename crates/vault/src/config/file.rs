//! The configuration file (TOML). Secrets stand in files of their own, which it names; paths begin at its folder.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use heirloom_vault_api::{Fixed, OperatorPublic};
use serde::Deserialize;

use super::proxies::{BadNetwork, ForwardedHeader, Network, Proxies};
use super::well_known::{BadWellKnown, WellKnown};
use super::{Config, Limits, Objects};
use crate::accounts::{BadTenants, Tenants};
use crate::db::postgres::address::{AddressError, Isolation, Postgres};
use crate::keys::Pkcs11;
use crate::rollout::RolloutConfig;
use crate::traces::{BadTraces, Traces};

/// The longest file that is read.
const MOST_BYTES: u64 = 1 << 20;

/// Why a configuration file is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFileError {
    /// It cannot be read.
    #[error("the configuration cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// It is not what is expected.
    #[error("the configuration, line {line}: {message}")]
    Malformed {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// Below `[proxies]`.
    #[error("the configuration's proxies: {0}")]
    Proxies(#[from] BadNetwork),
    /// Below `[well_known]`.
    #[error(transparent)]
    WellKnown(#[from] BadWellKnown),
    /// The database's address.
    #[error(transparent)]
    Database(#[from] AddressError),
    /// The file of tenants.
    #[error(transparent)]
    Tenants(#[from] BadTenants),
    /// Below `[rollout]`.
    #[error("the configuration's rollout: `operator` is no operator's public key")]
    Operator,
    /// The collector of traces.
    #[error(transparent)]
    Traces(#[from] BadTraces),
}

/// What the file says. All of it may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConfigFile {
    /// Where it answers.
    pub listen: Option<SocketAddr>,
    /// The operator's port.
    pub admin_listen: Option<SocketAddr>,
    /// The folder of the database and the objects.
    pub data: Option<PathBuf>,
    key_file: Option<PathBuf>,
    watermark: Option<PathBuf>,
    quota_bytes: Option<u64>,
    grace_days: Option<u16>,
    sign_in_unused_days: Option<u16>,
    first_account_is_free: Option<bool>,
    tenants_file: Option<PathBuf>,
    limits: LimitsTable,
    proxies: ProxiesTable,
    database: Option<DatabaseTable>,
    hsm: Option<HsmTable>,
    objects: Option<ObjectsTable>,
    rollout: Option<RolloutTable>,
    well_known: WellKnown,
    /// `json` for lines of JSON on standard error, requests too.
    pub log: Option<LogFormat>,
    otlp_endpoint: Option<String>,
    #[serde(skip)]
    folder: PathBuf,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Sentences about the server's own matters.
    Text,
    /// One JSON object a line, requests too.
    Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    guesses_per_minute: Option<u64>,
    requests_per_second: Option<u64>,
    account_requests_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProxiesTable {
    trusted: Vec<String>,
    header: HeaderName,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum HeaderName {
    #[default]
    XForwardedFor,
    Forwarded,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DatabaseTable {
    address_file: PathBuf,
    connections: Option<u16>,
    #[serde(default)]
    serializable: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HsmTable {
    module: PathBuf,
    token: String,
    pin_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectsTable {
    s3_file: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RolloutTable {
    file: PathBuf,
    operator: String,
    region: Option<String>,
}

fn days(number: u16) -> Duration {
    Duration::from_hours(u64::from(number) * 24)
}

impl ConfigFile {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, ConfigFileError> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?
            .take(MOST_BYTES)
            .read_to_string(&mut text)?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// The same of a text; paths in it begin at `folder`.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigFileError> {
        let mut file: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            ConfigFileError::Malformed {
                line: before.unwrap_or_default().matches('\n').count() + 1,
                message: error.message().trim().to_owned(),
            }
        })?;
        folder.clone_into(&mut file.folder);
        Ok(file)
    }

    /// Puts what the file says into `config`, all but the addresses and the folder, which a caller may know better.
    pub fn apply(self, config: &mut Config) -> Result<(), ConfigFileError> {
        let Self {
            listen: _,
            admin_listen: _,
            data: _,
            key_file,
            watermark,
            quota_bytes,
            grace_days,
            sign_in_unused_days,
            first_account_is_free,
            tenants_file,
            limits,
            proxies,
            database,
            hsm,
            objects,
            rollout,
            well_known,
            log: _,
            otlp_endpoint,
            folder,
        } = self;
        if let Some(endpoint) = otlp_endpoint {
            config.traces = Some(Traces::new(&endpoint)?);
        }
        well_known.check()?;
        config.well_known = well_known;
        let ProxiesTable { trusted, header } = proxies;
        let trusted: Result<Vec<Network>, _> = trusted.iter().map(|text| text.parse()).collect();
        config.proxies = Proxies {
            trusted: trusted?,
            header: match header {
                HeaderName::XForwardedFor => ForwardedHeader::XForwardedFor,
                HeaderName::Forwarded => ForwardedHeader::Forwarded,
            },
        };
        let LimitsTable {
            guesses_per_minute,
            requests_per_second,
            account_requests_per_second,
        } = limits;
        let Limits {
            guesses_per_minute: guesses,
            requests_per_second: requests,
        } = config.limits;
        config.limits = Limits {
            guesses_per_minute: guesses_per_minute.unwrap_or(guesses),
            requests_per_second: requests_per_second.unwrap_or(requests),
        };
        if let Some(most) = account_requests_per_second {
            config.account_requests_per_second = most;
        }
        if let Some(path) = key_file {
            config.key_file = folder.join(path);
        }
        if let Some(path) = watermark {
            config.watermark = folder.join(path);
        }
        if let Some(bytes) = quota_bytes {
            config.quota_bytes = bytes;
        }
        if let Some(number) = grace_days {
            config.grace = days(number);
        }
        if let Some(number) = sign_in_unused_days {
            config.sign_in_unused = days(number);
        }
        if let Some(free) = first_account_is_free {
            config.first_account_is_free = free;
        }
        if let Some(path) = tenants_file {
            config.tenants = Tenants::read(&folder.join(path))?;
        }
        if let Some(table) = database {
            config.database = Some(table.postgres(&folder)?);
        }
        if let Some(HsmTable {
            module,
            token,
            pin_file,
        }) = hsm
        {
            config.hsm = Some(Pkcs11 {
                module: folder.join(module),
                token,
                pin_file: folder.join(pin_file),
            });
        }
        if let Some(ObjectsTable { s3_file }) = objects {
            config.objects = Objects::S3 {
                file: folder.join(s3_file),
            };
        }
        if let Some(table) = rollout {
            config.rollout = Some(table.rollout(&folder)?);
        }
        Ok(())
    }
}

impl RolloutTable {
    fn rollout(self, folder: &Path) -> Result<RolloutConfig, ConfigFileError> {
        let Self {
            file,
            operator,
            region,
        } = self;
        let operator = Fixed::parse(&operator).map_err(|_| ConfigFileError::Operator)?;
        Ok(RolloutConfig {
            file: folder.join(file),
            operator: OperatorPublic::new(&operator).map_err(|_| ConfigFileError::Operator)?,
            region,
        })
    }
}

impl DatabaseTable {
    fn postgres(self, folder: &Path) -> Result<Postgres, ConfigFileError> {
        let Self {
            address_file,
            connections,
            serializable,
        } = self;
        let mut postgres = Postgres::from_file(&folder.join(address_file))?;
        if let Some(number) = connections {
            postgres.connections = usize::from(number);
        }
        if serializable {
            postgres.isolation = Isolation::Serializable;
        }
        Ok(postgres)
    }
}

#[cfg(test)]
mod tests {
    use heirloom_vault_api::OperatorKey;
    use secrecy::SecretBox;

    use super::*;

    fn config() -> Config {
        Config::new("127.0.0.1:0".parse().unwrap(), "/data".into())
    }

    #[test]
    fn everything_may_be_left_out() {
        let mut config = config();
        ConfigFile::parse("", Path::new("/etc"))
            .unwrap()
            .apply(&mut config)
            .unwrap();
        assert_eq!(config.limits.guesses_per_minute, 30);
        assert!(config.proxies.trusted.is_empty());
        assert!(config.database.is_none() && config.hsm.is_none());
    }

    #[test]
    fn what_it_says_is_taken_and_paths_begin_at_its_folder() {
        let text = r#"
            listen = "127.0.0.1:9000"
            admin_listen = "127.0.0.1:9001"
            data = "/srv"
            key_file = "keys/server.keys"
            quota_bytes = 5
            grace_days = 2
            sign_in_unused_days = 30
            first_account_is_free = false
            log = "json"
            [limits]
            guesses_per_minute = 7
            account_requests_per_second = 9
            [proxies]
            trusted = ["127.0.0.1", "10.0.0.0/8"]
            header = "forwarded"
            [hsm]
            module = "/usr/lib/p11.so"
            token = "vault"
            pin_file = "pin"
            [objects]
            s3_file = "s3.toml"
            [well_known]
            related_origins = ["https://example.org"]
            [well_known.passkey_endpoints]
            manage = "https://example.org/passkeys"
        "#;
        let file = ConfigFile::parse(text, Path::new("/etc/heirloom")).unwrap();
        assert_eq!(file.listen.unwrap().port(), 9000);
        assert_eq!(file.log, Some(LogFormat::Json));
        let mut config = config();
        file.apply(&mut config).unwrap();
        assert_eq!(config.key_file, Path::new("/etc/heirloom/keys/server.keys"));
        assert_eq!(
            (config.quota_bytes, config.first_account_is_free),
            (5, false)
        );
        assert_eq!(config.limits.guesses_per_minute, 7);
        assert_eq!(config.limits.requests_per_second, 100);
        assert_eq!(config.account_requests_per_second, 9);
        assert_eq!(config.sign_in_unused, Duration::from_hours(30 * 24));
        assert_eq!(config.proxies.trusted.len(), 2);
        assert_eq!(config.proxies.header, ForwardedHeader::Forwarded);
        let hsm = config.hsm.unwrap();
        assert_eq!(hsm.pin_file, Path::new("/etc/heirloom/pin"));
        assert!(
            matches!(config.objects, Objects::S3 { file } if file == Path::new("/etc/heirloom/s3.toml"))
        );
        assert_eq!(config.well_known.related_origins.len(), 1);
    }

    #[test]
    fn a_roll_out_names_its_file_its_operator_and_perhaps_a_region() {
        let key = OperatorKey::new(SecretBox::new(Box::new([7; 32]))).public();
        let apply = |text: &str| {
            let file = ConfigFile::parse(text, Path::new("/etc/heirloom"))?;
            let mut config = config();
            file.apply(&mut config).map(|()| config.rollout)
        };
        let table = format!(
            "[rollout]\nfile = 'offers.signed'\noperator = '{}'\n",
            key.to_bytes().to_text()
        );
        let rollout = apply(&table).unwrap().unwrap();
        assert_eq!(rollout.file, Path::new("/etc/heirloom/offers.signed"));
        assert!(rollout.operator == key && rollout.region.is_none());
        let rollout = apply(&(table.clone() + "region = 'eu'")).unwrap().unwrap();
        assert_eq!(rollout.region.as_deref(), Some("eu"));
        assert!(apply("").unwrap().is_none());
        for wrong in ["", "key", &Fixed([0; 32]).to_text()] {
            let text = format!("[rollout]\nfile = 'a'\noperator = '{wrong}'");
            let refused = apply(&text).unwrap_err();
            assert!(matches!(refused, ConfigFileError::Operator), "{wrong}");
        }
        for wrong in [
            "[rollout]\nfile = 'a'",
            "[rollout]\noperator = 'a'",
            "[rollout]\nfile = 'a'\noperator = 'b'\nkey_file = 'c'",
        ] {
            let refused = apply(wrong).unwrap_err();
            assert!(matches!(refused, ConfigFileError::Malformed { .. }));
        }
    }

    #[test]
    fn a_collector_is_an_address_of_http() {
        let apply = |text: &str| {
            let file = ConfigFile::parse(text, Path::new("")).unwrap();
            let mut config = config();
            file.apply(&mut config).map(|()| config.traces)
        };
        assert_eq!(apply("").unwrap(), None);
        let collector = apply("otlp_endpoint = \"http://localhost:4318\"").unwrap();
        assert_eq!(collector, Traces::new("http://localhost:4318").ok());
        assert!(apply("otlp_endpoint = \"localhost\"").is_err());
    }

    #[test]
    fn what_it_does_not_know_is_refused_with_its_line() {
        for (text, at) in [
            ("\nlimit = 3", 2),
            ("[hsm]\nmodule = 'a'\ntoken = 'b'\npin = '1234'", 4),
            ("[proxies]\nheader = 'via'", 2),
            ("quota_bytes = -1", 1),
        ] {
            let error = ConfigFile::parse(text, Path::new("")).unwrap_err();
            assert!(
                matches!(error, ConfigFileError::Malformed { line, .. } if line == at),
                "{text}: {error}"
            );
        }
        let text = "[proxies]\ntrusted = ['host.example']";
        let file = ConfigFile::parse(text, Path::new("")).unwrap();
        assert!(file.apply(&mut config()).is_err());
        let text = "[well_known]\napple = ['x']";
        let file = ConfigFile::parse(text, Path::new("")).unwrap();
        assert!(file.apply(&mut config()).is_err());
    }
}
