//! Which PostgreSQL, told in a file: it holds a password, so that it is never an argument.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::config::{ChannelBinding, Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use super::tls::Asked;
use crate::generation::marks::SLOTS;

/// An address is shorter.
const MOST_BYTES: u64 = 16 << 10;
const CONNECT: Duration = Duration::from_secs(3);
const CONNECTIONS: usize = 16;
const DEADLINE: Duration = Duration::from_secs(5);

/// How transactions see each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Every statement sees what others committed before it. The rules hold: each is one conditional statement,
    /// or holds its row first.
    ReadCommitted,
    /// As if one after the other; those that collide run again.
    Serializable,
}

/// Which PostgreSQL a vault uses, and how.
///
/// The address is one of PostgreSQL's, several hosts included: `postgres://vault@one,two,three/vault`. It is
/// written to by whichever host takes writes. `sslrootcert` names the certificates of the authorities that are
/// believed, instead of the system's; a relative path begins at the address's own file.
#[derive(Clone, Debug)]
pub struct Postgres {
    pub(crate) address: Arc<Address>,
    /// Connections, at most 48; each carries one operation at a time.
    pub connections: usize,
    /// For one statement, commit included. What takes longer is given up, and counts as unknown.
    pub deadline: Duration,
    /// How transactions see each other.
    pub isolation: Isolation,
}

/// Parsed; its `Debug` leaves the password out.
pub(crate) struct Address {
    config: tokio_postgres::Config,
    /// Authorities' certificates, where they are not the system's.
    pub(crate) roots: Option<PathBuf>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address")
            .field(&self.config.get_hosts())
            .finish()
    }
}

/// Why the file's address is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// The file.
    #[error("the file with the database's address cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Not an address of PostgreSQL. The parser's words may hold the password, so they are not told.
    #[error("the file does not hold an address like postgres://user:password@host/database")]
    Malformed,
    /// Without TLS, over a network.
    #[error("the database's address says sslmode=disable, which is for this computer alone")]
    InTheOpen,
    /// A promise that would not be kept.
    #[error(
        "the database's address says channel_binding=require, which is not known here; leave it out: the \
         certificate and the host's name are verified whenever there is TLS"
    )]
    ChannelBinding,
}

impl Postgres {
    /// Reads the address from a file, whose one line it is.
    pub fn from_file(path: &Path) -> Result<Self, AddressError> {
        use std::io::Read as _;
        let file = std::fs::File::open(path)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MOST_BYTES).read_to_string(&mut text)?;
        let mut postgres = Self::new(text.trim())?;
        if let (Some(address), Some(folder)) = (Arc::get_mut(&mut postgres.address), path.parent())
        {
            let roots = address.roots.take();
            address.roots = roots.map(|roots| folder.join(roots));
        }
        Ok(postgres)
    }

    /// Takes an address as it is written.
    pub fn new(address: &str) -> Result<Self, AddressError> {
        let Asked { address, roots } = Asked::of(address).ok_or(AddressError::Malformed)?;
        let mut config: tokio_postgres::Config =
            address.parse().map_err(|_| AddressError::Malformed)?;
        let (hosts, ports) = (config.get_hosts(), config.get_ports());
        let ports_fit = ports.len() <= 1 || ports.len() == hosts.len();
        if hosts.is_empty() || !ports_fit || !config.get_hostaddrs().is_empty() {
            return Err(AddressError::Malformed);
        }
        if config.get_channel_binding() == ChannelBinding::Require {
            return Err(AddressError::ChannelBinding);
        }
        if hosts.iter().all(is_near) {
            if config.get_ssl_mode() == SslMode::Prefer {
                config.ssl_mode(SslMode::Disable);
            }
        } else if config.get_ssl_mode() == SslMode::Disable {
            return Err(AddressError::InTheOpen);
        } else {
            config.ssl_mode(SslMode::Require);
        }
        if config.get_application_name().is_none() {
            config.application_name("heirloom-vault");
        }
        Ok(Self {
            address: Arc::new(Address { config, roots }),
            connections: CONNECTIONS,
            deadline: DEADLINE,
            isolation: Isolation::ReadCommitted,
        })
    }

    pub(crate) fn slots(&self) -> usize {
        self.connections.clamp(1, SLOTS)
    }
}

/// On this computer, where nobody listens in between.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

impl Address {
    /// One address for each host: a host that hangs costs its own time alone.
    pub(crate) fn each(&self) -> Vec<tokio_postgres::Config> {
        let config = &self.config;
        let ports = config.get_ports();
        let one = |(index, host): (usize, &Host)| {
            let port = ports.get(index).or_else(|| ports.first());
            let mut one = tokio_postgres::Config::new();
            match host {
                Host::Tcp(name) => one.host(name),
                #[cfg(unix)]
                Host::Unix(path) => one.host_path(path),
            };
            one.port(port.copied().unwrap_or(5432));
            if let Some(user) = config.get_user() {
                one.user(user);
            }
            if let Some(password) = config.get_password() {
                one.password(password);
            }
            if let Some(name) = config.get_dbname() {
                one.dbname(name);
            }
            if let Some(options) = config.get_options() {
                one.options(options);
            }
            if let Some(name) = config.get_application_name() {
                one.application_name(name);
            }
            one.ssl_mode(config.get_ssl_mode())
                .ssl_negotiation(config.get_ssl_negotiation())
                .connect_timeout(config.get_connect_timeout().copied().unwrap_or(CONNECT))
                .tcp_user_timeout(
                    (config.get_tcp_user_timeout().copied()).unwrap_or(Duration::from_secs(5)),
                )
                .keepalives_idle(Duration::from_secs(5))
                .keepalives_interval(Duration::from_secs(1))
                .keepalives_retries(3)
                .target_session_attrs(TargetSessionAttrs::ReadWrite);
            one
        };
        config.get_hosts().iter().enumerate().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let address = "postgres://vault:canary@one.example,two.example:5433/vault";
        let postgres = Postgres::new(address);
        // One port for two hosts is given to both by nobody.
        assert!(!format!("{postgres:?}").contains("canary"));
        let address = "postgres://vault:canary@one.example:1,two.example:2/vault";
        let postgres = Postgres::new(address).unwrap();
        assert!(!format!("{postgres:?}").contains("canary"));
        assert_eq!(postgres.address.each().len(), 2);
        let wrong = Postgres::new("postgres://vault:canary@one:x/").unwrap_err();
        assert!(!format!("{wrong} {wrong:?}").contains("canary"));
    }

    #[test]
    fn another_computer_is_reached_by_tls_alone() {
        let mode = |address: &str| {
            let postgres = Postgres::new(address).unwrap();
            postgres.address.each()[0].get_ssl_mode()
        };
        assert_eq!(mode("postgres://db.example/vault"), SslMode::Require);
        assert_eq!(
            mode("postgres://db.example/vault?sslmode=prefer"),
            SslMode::Require
        );
        assert_eq!(mode("postgres://127.0.0.1/vault"), SslMode::Disable);
        assert_eq!(mode("host=/run/postgresql dbname=vault"), SslMode::Disable);
        let open = Postgres::new("postgres://db.example/vault?sslmode=disable");
        assert!(matches!(open, Err(AddressError::InTheOpen)));
        // One of them is far:
        let open = Postgres::new("postgres://localhost:1,db.example:1/vault?sslmode=disable");
        assert!(matches!(open, Err(AddressError::InTheOpen)));
    }

    #[test]
    fn what_would_not_be_kept_is_refused_and_what_is_kept_is_not() {
        let require = Postgres::new("postgres://db.example/vault?channel_binding=require");
        assert!(matches!(require, Err(AddressError::ChannelBinding)));
        for kept in [
            "channel_binding=prefer",
            "sslmode=verify-full",
            "sslmode=verify-ca",
        ] {
            Postgres::new(&format!("postgres://db.example/vault?{kept}")).unwrap();
        }
        // A word of nobody's is no lesser promise.
        let unknown = Postgres::new("postgres://db.example/vault?sslmode=verify");
        assert!(matches!(unknown, Err(AddressError::Malformed)));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in ["", "vault", "mysql://x/y", "dbname=vault", "postgres://[/"] {
            assert!(
                matches!(Postgres::new(wrong), Err(AddressError::Malformed)),
                "{wrong}"
            );
        }
    }
}
