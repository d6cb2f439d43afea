//! What stands below `/.well-known/`: what the operator configured, and nothing else.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Value, json};

/// Files that apps, browsers and people look for. What is not configured is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WellKnown {
    /// `passkey-endpoints`: where a person adds and manages passkeys, and what they are for.
    pub passkey_endpoints: Option<PasskeyEndpoints>,
    /// `webauthn`: other origins that may use this domain's passkeys.
    pub related_origins: Vec<String>,
    /// `security.txt` (RFC 9116).
    pub security: Option<SecurityTxt>,
    /// `assetlinks.json`: Android apps of this domain.
    pub android: Vec<AndroidApp>,
    /// `apple-app-site-association`: Apple apps that use this domain's passkeys, as `TEAM.bundle.id`.
    pub apple: Vec<String>,
}

/// Where passkeys are added and managed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasskeyEndpoints {
    /// Where one is added.
    pub enroll: Option<String>,
    /// Where they are managed.
    pub manage: Option<String>,
    /// A page that says what a passkey's secret is used for, for whoever is about to delete it.
    pub prf_usage_details: Option<String>,
}

/// Whom to tell about a weakness.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecurityTxt {
    /// `mailto:` or https addresses.
    pub contact: Vec<String>,
    /// Until when this holds (RFC 3339).
    pub expires: String,
    /// The policy's address.
    pub policy: Option<String>,
    /// The address of a key to encrypt to.
    pub encryption: Option<String>,
    /// Languages, as `en, de`.
    pub preferred_languages: Option<String>,
    /// The address of this file itself.
    pub canonical: Option<String>,
}

/// An Android app.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AndroidApp {
    /// `org.example.app`.
    pub package: String,
    /// SHA-256 of the certificates that it is signed with, in hexadecimal with colons.
    pub sha256: Vec<String>,
}

/// A value of the configuration that would make a file false.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("below well_known: {0}")]
pub struct BadWellKnown(&'static str);

impl WellKnown {
    /// Refuses what would make a file false: it is read by programs that say nothing.
    pub fn check(&self) -> Result<(), BadWellKnown> {
        let Self {
            passkey_endpoints,
            related_origins,
            security,
            android,
            apple,
        } = self;
        if let Some(PasskeyEndpoints {
            enroll,
            manage,
            prf_usage_details,
        }) = passkey_endpoints
        {
            let all = [enroll, manage, prf_usage_details];
            if !all.into_iter().flatten().all(|url| is_https(url)) {
                return Err(BadWellKnown("addresses of passkey_endpoints are https"));
            }
        }
        let is_origin = |text: &String| {
            is_https(text)
                && text
                    .strip_prefix("https://")
                    .is_some_and(|host| !host.contains('/'))
        };
        if !related_origins.iter().all(is_origin) {
            return Err(BadWellKnown("related_origins are as https://example.org"));
        }
        if let Some(security) = security {
            security.check()?;
        }
        let is_fingerprint = |text: &String| {
            let mut pairs = text.split(':');
            let is_pair = |pair: &str| {
                pair.len() == 2
                    && pair
                        .bytes()
                        .all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F'))
            };
            text.len() == 95 && pairs.all(is_pair)
        };
        let is_app = |app: &AndroidApp| {
            let AndroidApp { package, sha256 } = app;
            package.contains('.') && !sha256.is_empty() && sha256.iter().all(is_fingerprint)
        };
        if !android.iter().all(is_app) {
            return Err(BadWellKnown(
                "android has a package and sha256 as AA:BB:… of 32 bytes",
            ));
        }
        let is_id = |id: &String| {
            id.split_once('.')
                .is_some_and(|(team, bundle)| team.len() == 10 && !bundle.is_empty())
        };
        if !apple.iter().all(is_id) {
            return Err(BadWellKnown("apple is as ABCDE12345.org.example.app"));
        }
        Ok(())
    }

    pub(crate) fn passkey_endpoints(&self) -> Option<Value> {
        let PasskeyEndpoints {
            enroll,
            manage,
            prf_usage_details,
        } = self.passkey_endpoints.as_ref()?;
        let mut members = serde_json::Map::new();
        for (name, url) in [
            ("enroll", enroll),
            ("manage", manage),
            ("prfUsageDetails", prf_usage_details),
        ] {
            if let Some(url) = url {
                members.insert(name.to_owned(), url.as_str().into());
            }
        }
        Some(members.into())
    }

    pub(crate) fn webauthn(&self) -> Option<Value> {
        let origins = &self.related_origins;
        (!origins.is_empty()).then(|| json!({"origins": origins}))
    }

    pub(crate) fn security(&self) -> Option<String> {
        self.security.as_ref().map(SecurityTxt::text)
    }

    pub(crate) fn assetlinks(&self) -> Option<Value> {
        let statement = |app: &AndroidApp| {
            let AndroidApp { package, sha256 } = app;
            json!({
                "relation": ["delegate_permission/common.get_login_creds"],
                "target": {
                    "namespace": "android_app",
                    "package_name": package,
                    "sha256_cert_fingerprints": sha256,
                },
            })
        };
        let all: Vec<_> = self.android.iter().map(statement).collect();
        (!all.is_empty()).then(|| all.into())
    }

    pub(crate) fn apple(&self) -> Option<Value> {
        let apps = &self.apple;
        (!apps.is_empty()).then(|| json!({"webcredentials": {"apps": apps}}))
    }
}

impl SecurityTxt {
    fn check(&self) -> Result<(), BadWellKnown> {
        let Self {
            contact,
            expires,
            policy,
            encryption,
            preferred_languages,
            canonical,
        } = self;
        let is_contact = |text: &String| {
            is_https(text) || text.starts_with("mailto:") || text.starts_with("tel:")
        };
        if contact.is_empty() || !contact.iter().all(is_contact) {
            return Err(BadWellKnown("security.contact is mailto:, tel: or https"));
        }
        // RFC 3339 in its usual length: 2027-01-01T00:00:00Z.
        if expires.len() < 20 || expires.as_bytes().get(10) != Some(&b'T') {
            return Err(BadWellKnown("security.expires is as 2027-01-01T00:00:00Z"));
        }
        let others = [policy, encryption, preferred_languages, canonical];
        let all = contact
            .iter()
            .chain([expires])
            .chain(others.into_iter().flatten());
        if all.flat_map(|text| text.chars()).any(char::is_control) {
            return Err(BadWellKnown("security has lines without line feeds"));
        }
        Ok(())
    }

    fn text(&self) -> String {
        let Self {
            contact,
            expires,
            policy,
            encryption,
            preferred_languages,
            canonical,
        } = self;
        let mut text = String::new();
        for contact in contact {
            let _ = writeln!(text, "Contact: {contact}");
        }
        let _ = writeln!(text, "Expires: {expires}");
        for (name, value) in [
            ("Policy", policy),
            ("Encryption", encryption),
            ("Preferred-Languages", preferred_languages),
            ("Canonical", canonical),
        ] {
            if let Some(value) = value {
                let _ = writeln!(text, "{name}: {value}");
            }
        }
        text
    }
}

fn is_https(text: &str) -> bool {
    text.strip_prefix("https://").is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_make_a_file_false_is_refused() {
        let good = || WellKnown {
            related_origins: vec!["https://example.org".to_owned()],
            apple: vec!["ABCDE12345.org.example.app".to_owned()],
            android: vec![AndroidApp {
                package: "org.example.app".to_owned(),
                sha256: vec![["AB"; 32].join(":")],
            }],
            ..WellKnown::default()
        };
        assert_eq!(good().check(), Ok(()));
        let wrong: [fn(&mut WellKnown); 6] = [
            |w| w.related_origins.push("http://example.org".to_owned()),
            |w| {
                w.related_origins
                    .push("https://example.org/path".to_owned());
            },
            |w| w.apple.push("org.example.app".to_owned()),
            |w| w.android[0].sha256.push("AB:CD".to_owned()),
            |w| w.android[0].sha256.clear(),
            |w| {
                w.security = Some(SecurityTxt {
                    contact: vec!["mailto:a@example.org\nEvil: x".to_owned()],
                    expires: "2027-01-01T00:00:00Z".to_owned(),
                    policy: None,
                    encryption: None,
                    preferred_languages: None,
                    canonical: None,
                });
            },
        ];
        for change in wrong {
            let mut well_known = good();
            change(&mut well_known);
            assert!(well_known.check().is_err(), "{well_known:?}");
        }
    }
}
