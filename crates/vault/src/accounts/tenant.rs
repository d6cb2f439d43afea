//! Tenants: each has its own addresses for passkeys, its own messenger, its own quota. Nothing of one is good in another.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use heirloom_vault_api::{AccountId, TenantName};
use serde::Deserialize;
use url::{Host, Url};

use crate::store::account::NewAccount;
use crate::vault::random;

/// The name of the tenant of a server that was not told of any.
const DEFAULT: &str = "default";
/// As `localhost` is called in the addresses of pages.
const LOCALHOST: &str = "localhost";

/// A messenger, or whoever else has users here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its name in configuration and requests.
    pub name: TenantName,
    /// Where passkeys sign in; `None`: they do not.
    pub site: Option<Site>,
    /// Who vouches for users; `None`: nobody does.
    pub messenger: Option<Messenger>,
    /// Bytes that a new account may have; `None`: what the server's configuration says.
    pub quota_bytes: Option<u64>,
}

/// Whom passkeys are for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The relying party's id: a domain, for ever. Passkeys of another one do not sign in.
    pub rp_id: String,
    /// How it is called in a password manager.
    pub rp_name: String,
    /// From where pages may ask, the first being where the page lies. `https`, but on `localhost`.
    pub origins: Vec<String>,
}

/// Who signs tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messenger {
    /// `iss`.
    pub issuer: String,
    /// `aud`: this server, as the issuer calls it.
    pub audience: String,
    /// Where its keys are.
    pub keys: KeySource,
}

/// Where an issuer's public keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// `OpenID` Connect Discovery 1.0, below the issuer's address.
    Discovery,
    /// A JWKS file (RFC 7517), read again when it changes.
    File(PathBuf),
}

/// A configuration that names no tenants that could be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadTenants(String);

/// All tenants, the first being the one of whoever names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants(Vec<Tenant>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tenant: Vec<One>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    name: String,
    rp_id: Option<String>,
    rp_name: Option<String>,
    #[serde(default)]
    origins: Vec<String>,
    quota_bytes: Option<u64>,
    issuer: Option<String>,
    audience: Option<String>,
    jwks_file: Option<PathBuf>,
}

impl Default for Tenants {
    /// One, whose passkeys are for `localhost`: a server that is tried out.
    fn default() -> Self {
        Self(vec![Tenant {
            name: TenantName::new(DEFAULT).expect("a tenant's name"),
            site: Some(Site {
                rp_id: LOCALHOST.to_owned(),
                rp_name: "Heirloom".to_owned(),
                origins: Vec::new(),
            }),
            messenger: None,
            quota_bytes: None,
        }])
    }
}

impl Tenants {
    /// Reads a TOML file of `[[tenant]]` tables; paths in it begin at its folder.
    pub fn read(path: &Path) -> Result<Self, BadTenants> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadTenants(format!("{} cannot be read: {error}", path.display())))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder)
    }

    /// The same of a text.
    pub fn parse(text: &str, folder: &Path) -> Result<Self, BadTenants> {
        let File { tenant } =
            toml::from_str(text).map_err(|error| BadTenants(error.message().to_owned()))?;
        let tenants: Vec<_> = tenant
            .into_iter()
            .map(|one| one.checked(folder))
            .collect::<Result<_, _>>()?;
        Self::new(tenants)
    }

    /// Takes tenants; two of one name, with one issuer and audience, or with one origin are refused.
    pub fn new(tenants: Vec<Tenant>) -> Result<Self, BadTenants> {
        if tenants.is_empty() {
            return Err(BadTenants("no tenant is configured".to_owned()));
        }
        for (at, one) in tenants.iter().enumerate() {
            for other in tenants.iter().skip(at + 1) {
                let says = |what: &str| {
                    Err(BadTenants(format!(
                        "the tenants {} and {} have the same {what}",
                        one.name.as_str(),
                        other.name.as_str()
                    )))
                };
                if one.name == other.name {
                    return says("name");
                }
                let vouched = |tenant: &Tenant| {
                    let messenger = tenant.messenger.as_ref();
                    messenger.map(|m| (m.issuer.clone(), m.audience.clone()))
                };
                if one.messenger.is_some() && vouched(one) == vouched(other) {
                    return says("issuer and audience");
                }
                let (Some(mine), Some(theirs)) = (&one.site, &other.site) else {
                    continue;
                };
                if mine.rp_id == theirs.rp_id {
                    return says("rp_id");
                }
                if mine
                    .origins
                    .iter()
                    .any(|origin| theirs.origins.contains(origin))
                {
                    return says("origin");
                }
            }
        }
        Ok(Self(tenants))
    }

    /// Gives `localhost` the port that the server has.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        for tenant in &mut self.0 {
            let Some(site) = &mut tenant.site else {
                continue;
            };
            if site.origins.is_empty() && site.rp_id == LOCALHOST {
                // From elsewhere nobody reaches a page of `localhost`.
                if address.ip().is_loopback() {
                    site.origins = vec![format!("http://{LOCALHOST}:{}", address.port())];
                } else {
                    tenant.site = None;
                }
            }
        }
        self
    }

    /// The tenant of this name; the first one where none was named.
    pub(crate) fn named(&self, name: Option<&TenantName>) -> Option<&Tenant> {
        match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|tenant| tenant.name == *name),
        }
    }

    /// All.
    pub fn iter(&self) -> impl Iterator<Item = &Tenant> {
        self.0.iter()
    }

    /// An account for each that an invitation could be for.
    pub(crate) fn new_accounts(&self, quota_bytes: u64) -> Vec<NewAccount> {
        self.iter()
            .map(|tenant| tenant.new_account(quota_bytes))
            .collect()
    }
}

impl Tenant {
    /// An account that may be opened.
    pub(crate) fn new_account(&self, quota_bytes: u64) -> NewAccount {
        let account: AccountId = random();
        NewAccount {
            account,
            tenant: self.name.clone(),
            quota_bytes: self.quota_bytes.unwrap_or(quota_bytes),
        }
    }
}

impl Site {
    /// Where the page lies.
    pub(crate) fn page(&self) -> Option<String> {
        self.origins
            .first()
            .map(|origin| format!("{origin}/signin"))
    }
}

impl One {
    fn checked(self, folder: &Path) -> Result<Tenant, BadTenants> {
        let Self {
            name,
            rp_id,
            rp_name,
            origins,
            quota_bytes,
            issuer,
            audience,
            jwks_file,
        } = self;
        let bad = |why: &str| BadTenants(format!("tenant {}: {why}", name.escape_debug()));
        let tenant =
            TenantName::new(&name).ok_or_else(|| bad("a name is 1 to 32 of a-z, 0-9 and `-`"))?;
        let site = match rp_id {
            Some(rp_id) => {
                is_domain(&rp_id).then_some(()).ok_or_else(|| {
                    bad("rp_id is a domain in small letters, without scheme and port")
                })?;
                for origin in &origins {
                    is_origin_of(origin, &rp_id).then_some(()).ok_or_else(|| {
                        bad("an origin is https://HOST[:PORT] of the rp_id or below it, and http on localhost alone")
                    })?;
                }
                if origins.is_empty() && rp_id != LOCALHOST {
                    return Err(bad(
                        "rp_id needs origins: from where is the page asked for?",
                    ));
                }
                let rp_name = rp_name.unwrap_or_else(|| rp_id.clone());
                if rp_name.is_empty() || rp_name.len() > 64 || rp_name.chars().any(char::is_control)
                {
                    return Err(bad("rp_name has 1 to 64 bytes"));
                }
                Some(Site {
                    rp_id,
                    rp_name,
                    origins,
                })
            }
            None if !origins.is_empty() || rp_name.is_some() => {
                return Err(bad("origins and rp_name need an rp_id"));
            }
            None => None,
        };
        let messenger = match (issuer, audience) {
            (Some(issuer), Some(audience)) => {
                let keys = match jwks_file {
                    Some(file) => KeySource::File(folder.join(file)),
                    None if is_issuer(&issuer) => KeySource::Discovery,
                    None => return Err(bad("an issuer without jwks_file is an https address")),
                };
                if audience.is_empty() {
                    return Err(bad("audience is empty"));
                }
                Some(Messenger {
                    issuer,
                    audience,
                    keys,
                })
            }
            (None, None) if jwks_file.is_none() => None,
            _ => return Err(bad("issuer and audience go together")),
        };
        Ok(Tenant {
            name: tenant,
            site,
            messenger,
            quota_bytes,
        })
    }
}

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    let is_address = matches!(
        Host::parse(text),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_)
    );
    text.len() <= 253 && !is_address && text.split('.').all(is_label)
}

fn is_origin_of(origin: &str, rp_id: &str) -> bool {
    let Ok(url) = Url::parse(origin) else {
        return false;
    };
    let Some(Host::Domain(host)) = url.host() else {
        return false;
    };
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && host == LOCALHOST);
    let belongs = host == rp_id
        || host
            .strip_suffix(rp_id)
            .is_some_and(|sub| sub.ends_with('.'));
    is_safe && belongs && url.origin().ascii_serialization() == origin
}

/// As discovery needs it: https, and plain http on this computer alone.
fn is_issuer(issuer: &str) -> bool {
    let Ok(url) = Url::parse(issuer) else {
        return false;
    };
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == LOCALHOST,
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_plain && (url.scheme() == "https" || (url.scheme() == "http" && is_local))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Tenants, BadTenants> {
        Tenants::parse(text, Path::new("/etc/heirloom"))
    }

    #[test]
    fn tenants_are_read_with_all_they_have() {
        let tenants = parse(
            r#"
            [[tenant]]
            name = "ours"
            rp_id = "example.org"
            rp_name = "Example"
            origins = ["https://vault.example.org", "https://example.org:8443"]
            quota_bytes = 1000
            [[tenant]]
            name = "messenger"
            issuer = "https://id.example.com/"
            audience = "heirloom"
            [[tenant]]
            name = "third"
            issuer = "third"
            audience = "heirloom"
            jwks_file = "third.json"
            "#,
        )
        .unwrap();
        let [ours, messenger, third] = tenants.0.as_slice() else {
            panic!("{tenants:?}")
        };
        let page = ours.site.as_ref().unwrap().page();
        assert_eq!(page.as_deref(), Some("https://vault.example.org/signin"));
        assert_eq!(
            messenger.messenger.as_ref().unwrap().keys,
            KeySource::Discovery
        );
        let file = PathBuf::from("/etc/heirloom/third.json");
        assert_eq!(
            third.messenger.as_ref().unwrap().keys,
            KeySource::File(file)
        );
        assert_eq!(tenants.named(None), Some(ours));
        assert_eq!(tenants.named(TenantName::new("fourth").as_ref()), None);
    }

    #[test]
    fn what_could_be_mistaken_is_refused() {
        let site = |rp_id: &str, origin: &str| {
            format!("[[tenant]]\nname = \"a\"\nrp_id = \"{rp_id}\"\norigins = [\"{origin}\"]")
        };
        for bad in [
            String::new(),
            "tenant = []".into(),
            "[[tenant]]\nname = \"A\"".into(),
            "[[tenant]]\nname = \"a\"\nrpid = \"x\"".into(),
            "[[tenant]]\nname = \"a\"\n[[tenant]]\nname = \"a\"".into(),
            "[[tenant]]\nname = \"a\"\nissuer = \"https://a.example\"".into(),
            "[[tenant]]\nname = \"a\"\nissuer = \"http://a.example\"\naudience = \"b\"".into(),
            "[[tenant]]\nname = \"a\"\nrp_id = \"example.org\"".into(),
            site("https://example.org", "https://example.org"),
            site("127.0.0.1", "http://127.0.0.1"),
            site("example.org", "http://example.org"),
            site("example.org", "https://example.org/"),
            site("example.org", "https://badexample.org"),
            site("example.org", "https://example.org.evil.com"),
            site("example.org", "https://evil.com"),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_tenants_share_neither_issuer_nor_relying_party() {
        let twice = |one: &str| {
            parse(&format!(
                "[[tenant]]\nname = \"a\"\n{one}\n[[tenant]]\nname = \"b\"\n{one}"
            ))
        };
        let issuer = "issuer = \"https://a.example\"\naudience = \"x\"";
        let said = twice(issuer).unwrap_err().to_string();
        assert_eq!(
            said,
            "the tenants a and b have the same issuer and audience"
        );
        let site = "rp_id = \"example.org\"\norigins = [\"https://example.org\"]";
        assert!(twice(site).is_err());
    }

    #[test]
    fn localhost_has_the_port_of_the_server_and_is_no_site_elsewhere() {
        let local = Tenants::default().at("127.0.0.1:8750".parse().unwrap());
        let site = local.0[0].site.as_ref().unwrap();
        assert_eq!(site.origins, ["http://localhost:8750"]);
        let open = Tenants::default().at("0.0.0.0:8750".parse().unwrap());
        assert_eq!(open.0[0].site, None);
    }
}
